"""`refinesr info`: recipes and files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import Command
from methods import packed, plain, stage

from refinesr.checkpoint import save_stage
from refinesr.cli import facts
from refinesr.config import from_data
from refinesr.diffusion import doctor
from refinesr.diffusion.levels import Continuous
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Even, Linear
from refinesr.method import Method, Sampling
from refinesr.recipes import RECIPES
from refinesr.stage import Card, Stage


def test_a_recipe_is_described_as_json(refinesr: Command) -> None:
    ran = refinesr("info", "photo-x4-small", "--json")
    told = json.loads(ran.out)
    method = RECIPES["photo-x4-small"]().method
    assert (ran.code, ran.err) == (0, "")
    assert from_data(Method, told["method"], "info") == method
    assert told["parameters"] == sum(parameter.numel() for parameter in method.build().parameters())
    assert told["grid"] == method.sampling.levels().tolist()
    assert told["grid"][-1] == 0
    assert (told["scale"], told["kind"], told["licence"]) == (4, "recipe", "")
    assert (told["steps"], told["calls"]) == (method.sampling.steps, method.sampling.calls)
    assert (told["reach"], told["stride"]) == (method.reach, method.stride)


def test_steps_change_the_grid(refinesr: Command) -> None:
    told = json.loads(refinesr("info", "photo-x4", "--steps", 7, "--json").out)
    assert (len(told["grid"]), told["steps"], told["calls"]) == (8, 7, 7)
    ran = refinesr("info", "photo-x4", "--steps", 0)
    assert (ran.code, ran.err) == (2, "steps: 0 is not positive\n")


def test_a_large_recipe_takes_no_memory(refinesr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """97.8 M parameters, and a picture of 1024 x 1024 through them: all on the meta device."""
    told = json.loads(refinesr("info", "sr3-16-128-small", "--json").out)
    assert told["parameters"] == 97_807_491
    assert told["reach"] is None


def test_operations_are_two_for_each_multiplication_of_a_convolution() -> None:
    """Counted by hand for the smallest network: its stem, one block, its end, and the layers of the label."""
    method = plain(scale=2)
    with torch.device("meta"):
        model = method.build()
    costs = facts.costs(model, method)
    pixels = 256 * 256
    convolutions = 9 * (6 * 8 + 8 * 8 + 8 * 3) * pixels
    assert costs.encoder == 0
    assert costs.call == pytest.approx(2 * (convolutions + 16 * 16) / 1e9)


def test_a_file_is_described_with_its_card(refinesr: Command) -> None:
    made = stage(packed())
    card = Card("toy", "a toy", "CC0-1.0", ("two photos", "a third"), ("6 steps",), ("none",))
    save_stage(Stage(made.method, made.model, card), Path("toy.safetensors"))
    told = json.loads(refinesr("info", "toy.safetensors", "--json").out)
    assert (told["name"], told["kind"], told["licence"]) == ("toy", "file", "CC0-1.0")
    assert told["card"]["data"] == ["two photos", "a third"]
    lines = refinesr("info", "toy.safetensors").out.splitlines()
    assert lines[0] == "name        toy (file)"
    assert "data        two photos" in lines
    assert "            a third" in lines
    assert "licence     CC0-1.0" in lines
    assert "steps       3: 3 calls of the network" in lines
    assert "check       nothing odd" in lines


def test_text_says_what_is_odd_about_the_grid(refinesr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts.doctor, "findings", lambda grid, levels: ["it starts too low", "it is coarse"])
    assert (
        "check       it starts too low\n            it is coarse\n" in refinesr("info", "photo-x4-small").out
    )


def cut_short() -> Method:
    """The betas of a training table of 2000 rows over 100, as users of the public SR3 code try it."""
    sampling = Sampling(Ancestral(0.0), Even(Linear(1e-6, 1e-2, 100)), steps=100)
    return replace(plain(), levels=Continuous(Linear(1e-6, 1e-2, 2000)), sampling=sampling)


def test_a_file_with_a_bad_grid_is_told_what_comes_of_it(refinesr: Command) -> None:
    """The mean of 0.50 falls to 0.38, and the spread grows."""
    save_stage(stage(cut_short()), Path("cut.safetensors"))
    told = json.loads(refinesr("info", "cut.safetensors", "--json").out)
    (complaint,) = told["complaints"]
    assert "gamma = 0.61" in complaint
    assert told["bias"] == pytest.approx(
        {"mean": 0.3815, "std": 0.3047, "of_mean": 0.5, "of_std": 0.2}, abs=1e-4
    )
    lines = refinesr("info", "cut.safetensors").out.splitlines()
    assert f"check       {complaint}" in lines
    said = "Gaussian data of mean 0.50 and std 0.20 would come out as mean 0.381, std 0.305"
    assert f"bias        {said}" in lines
    assert "images span -1 to 1" in lines[lines.index(f"bias        {said}") + 1]


def test_what_is_odd_and_the_bias_are_those_of_the_steps_asked_for(refinesr: Command) -> None:
    told = [
        json.loads(refinesr("info", "sr3-16-128-small", "--steps", steps, "--json").out)
        for steps in (10, 500)
    ]
    assert "last step" in told[0]["complaints"][0]
    assert told[1]["complaints"] == []
    for known in told:
        grid = torch.tensor(known["grid"], dtype=torch.float64)
        assert (known["bias"]["mean"], known["bias"]["std"]) == doctor.bias(Ancestral(1.0), grid)


def test_a_regression_has_no_bias_of_its_grid(refinesr: Command) -> None:
    assert json.loads(refinesr("info", "regression", "--json").out)["bias"] is None
    assert "bias        none: a regression does not look at noise\n" in refinesr("info", "regression").out


def test_long_grids_are_shortened(refinesr: Command) -> None:
    sigma = next(
        line for line in refinesr("info", "sr3-16-128-small").out.splitlines() if line.startswith("sigma")
    )
    assert sigma.split()[5] == "..."
    assert len(sigma.split()) == 10


def test_a_shipped_model_comes_before_a_recipe_of_its_name(
    refinesr: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "shipped", lambda: ["photo-x4"])
    monkeypatch.setattr(facts, "load", lambda name: stage(packed()))
    shipped = refinesr("info", "photo-x4").out.splitlines()
    assert shipped[0] == "name        photo-x4 (shipped model)"
    assert shipped[1] == "recipe      `refinesr info recipe:photo-x4` describes the recipe of this name"
    assert refinesr("info", "recipe:photo-x4").out.startswith("name        photo-x4 (recipe)\n")


def test_a_name_that_is_nothing_is_one_line(refinesr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "shipped", lambda: ["faces"])
    near, far = refinesr("info", "fotos-x4"), refinesr("info", "zzz")
    start = "is no shipped model, file, folder or recipe"
    assert (near.code, near.err) == (2, f"model: 'fotos-x4' {start}; did you mean 'photo-x4'?\n")
    assert far.err == f"model: 'zzz' {start}; there are faces, {', '.join(RECIPES)}\n"
    assert refinesr("info", "no.safetensors").err == "no.safetensors: no such file\n"
    missing = refinesr("info", "recipe:zzz")
    assert missing.err == f"recipe: 'zzz' is not one of {', '.join(RECIPES)}\n"
