"""`refinesr info`: recipes and files."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cascades import BASE, FORGIVING, LARGER
from commands import Command
from methods import packed, plain, stage
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from refinesr.cascade_files import load_cascade
from refinesr.checkpoint import save_stage
from refinesr.cli import facts
from refinesr.config import from_data
from refinesr.diffusion import diagnostics
from refinesr.diffusion.labels import Timestep
from refinesr.diffusion.levels import Continuous
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Even, Karras, Linear
from refinesr.generate import generate_images
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


def test_a_sampling_can_be_set_before_it_is_used(refinesr: Command) -> None:
    words = "--set", "sampling.sampler=Heun", "--set", "sampling.steps=3"
    told = json.loads(refinesr("info", "photo-x4", *words, "--json").out)
    assert (told["method"]["sampling"]["sampler"], told["calls"]) == ({"kind": "Heun", "churn": 0.0}, 5)
    ran = refinesr("info", "photo-x4", "--set", "p=1")
    assert (ran.code, ran.err[:35]) == (2, "--set: 'p' is no field of sampling;")


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
    assert "check       no problems found" in lines


def test_text_has_the_problems_of_the_grid(refinesr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts.diagnostics, "grid_findings", lambda *_: ["it starts too low", "it is coarse"])
    assert (
        "check       it starts too low\n            it is coarse\n" in refinesr("info", "photo-x4-small").out
    )


def cut_short() -> Method:
    """The betas of a training table of 2000 rows over 100, as users of the public SR3 code try it."""
    sampling = Sampling(Ancestral(0.0), Even(Linear(1e-6, 1e-2, 100)), steps=100)
    return replace(plain(), levels=Continuous(Linear(1e-6, 1e-2, 2000)), sampling=sampling)


def test_a_bad_grid_is_reported_with_its_bias(refinesr: Command) -> None:
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
    assert "images are in [-1, 1]" in lines[lines.index(f"bias        {said}") + 1]


def test_a_label_unlike_the_trained_one_is_reported(refinesr: Command) -> None:
    method = cut_short()
    label = Timestep(Linear(1e-6, 1e-2, 100))
    save_stage(
        stage(replace(method, sampling=replace(method.sampling, label=label))), Path("told.safetensors")
    )
    _, complaint = json.loads(refinesr("info", "told.safetensors", "--json").out)["complaints"]
    assert complaint.startswith(f"the network is given {label}, not the label it was trained with")


def test_problems_and_bias_are_those_of_the_given_steps(refinesr: Command) -> None:
    told = [
        json.loads(refinesr("info", "sr3-16-128-small", "--steps", steps, "--json").out)
        for steps in (10, 500)
    ]
    assert "last step" in told[0]["complaints"][0]
    assert told[1]["complaints"] == []
    for known in told:
        grid = torch.tensor(known["grid"], dtype=torch.float64)
        assert (known["bias"]["mean"], known["bias"]["std"]) == diagnostics.result_moments(
            Ancestral(1.0), grid
        )


def test_a_regression_has_no_bias_of_its_grid(refinesr: Command) -> None:
    assert json.loads(refinesr("info", "regression", "--json").out)["bias"] is None
    assert (
        "bias        none: a regression does not depend on the noise\n" in refinesr("info", "regression").out
    )


def test_long_grids_are_shortened(refinesr: Command) -> None:
    sigma = next(
        line for line in refinesr("info", "sr3-16-128-small").out.splitlines() if line.startswith("sigma")
    )
    assert sigma.split()[5] == "..."
    assert len(sigma.split()) == 10


def cascade(**more: object) -> Path:
    """A base of three classes, told to be guided, and a stage of scale 2 that is given noise."""
    Path("small").mkdir()
    save_stage(BASE, Path("small/base.safetensors"))
    save_stage(replace(FORGIVING, card=Card("forgives")), Path("small/more.safetensors"))
    first = {"model": "base.safetensors", "steps": 5, "guidance": 2.0}
    stages = [first, {"model": "more.safetensors", "level": 0.2, "tile": 4}]
    path = Path("small/cascade.json")
    path.write_text(json.dumps({"format": "refinesr-cascade-1", "stages": stages, **more}))
    return path


def test_a_cascade_is_described_stage_by_stage_as_it_samples(refinesr: Command) -> None:
    ran = refinesr("info", cascade().parent, "--json")
    told = json.loads(ran.out)
    base, more = told["stages"]
    assert (ran.code, ran.err) == (0, "")
    assert (told["kind"], told["name"]) == ("cascade", "small/cascade.json")
    assert [(each["model"], each["name"], each["kind"]) for each in (base, more)] == [
        ("base.safetensors", "base.safetensors", "stage"),
        ("more.safetensors", "forgives", "stage"),
    ]
    assert [(each["steps"], each["calls"], len(each["grid"])) for each in (base, more)] == [
        (5, 10, 6),
        (3, 3, 4),
    ]
    assert base["method"]["sampling"]["guidance"] == 2.0
    assert [(each["tile"], each["level"]) for each in (base, more)] == [(0, 0.0), (4, 0.2)]
    assert [each["gflop_input_size"] for each in (base, more)] == [[8, 8], [8, 8]]
    assert (told["scale"], told["steps"], told["calls"]) == (2, 8, 13)
    assert told["parameters"] == base["parameters"] + more["parameters"]


def test_a_sampling_is_set_in_every_stage_of_a_cascade(refinesr: Command) -> None:
    folder = cascade().parent
    told = json.loads(refinesr("info", folder, "--set", "sampling.sampler=Heun", "--json").out)
    assert [stage["calls"] for stage in told["stages"]] == [2 * 9, 5]  # 2 n - 1; the base is guided
    assert [stage["method"]["sampling"]["guidance"] for stage in told["stages"]] == [2.0, 1.0]
    ran = refinesr("info", folder, "--set", "sampling.guidance=3")
    why = "sampling.guidance: the source has no class that could be withheld; use 1"
    assert (ran.code, ran.err) == (2, f"--set: stages.1: {why}\n")
    ran = refinesr("info", folder, "--set", "sampling.consistent=PillowBicubic")
    assert (ran.code, ran.err[:25]) == (2, "--set: stages.0: sampling")


@pytest.mark.parametrize("size", [None, [8, 16]])
def test_a_cascade_costs_what_its_networks_do(refinesr: Command, size: list[int] | None) -> None:
    """Counted while it makes a picture, call by call."""
    path = cascade(**({"size": size} if size else {}))
    told, whole, counts = json.loads(refinesr("info", path, "--json").out), load_cascade(path), []

    def counting(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def counted(*given: Tensor, **inputs: Tensor) -> Tensor:
            with FlopCounterMode(display=False) as counter:
                made = forward(*given, **inputs)
            counts.append(counter.get_total_flops())
            return made

        return counted

    for link in whole.links:
        network = link.stage.model.network
        network.forward = counting(network.forward)
    whole = replace(whole, links=(whole.links[0], replace(whole.links[1], tile=0)))
    list(generate_images(whole, [0], device="cpu", precision="fp32"))
    assert told["gflop"] == pytest.approx(sum(counts) / 1e9)
    assert told["gflop_input_size"] == (size or [8, 8])
    assert len(counts) == told["calls"]


def test_temperature_and_fidelity_are_shown_and_enter_the_bias(refinesr: Command) -> None:
    """Of Gaussian data DDIM's spread is that of the temperature; the first estimate has next to none."""
    sampling = Sampling(Ancestral(0.0), Karras(0.002, 80.0), 200, temperature=0.5)
    for name, fidelity in (("cool", 0.0), ("half", 0.5), ("mean", 1.0)):
        method = replace(packed(4), sampling=replace(sampling, fidelity=fidelity))
        save_stage(stage(method), Path(f"{name}.safetensors"))
    cool, half, mean = (
        json.loads(refinesr("info", f"{name}.safetensors", "--json").out) for name in ("cool", "half", "mean")
    )
    assert cool["bias"]["std"] == pytest.approx(0.5 * cool["bias"]["of_std"], rel=0.02)
    assert half["bias"]["std"] == pytest.approx(cool["bias"]["std"] / 2, rel=0.01)
    assert half["bias"]["mean"] == pytest.approx(half["bias"]["of_mean"], rel=0.01)
    assert (mean["calls"], len(mean["grid"])) == (1, 2)
    lines = refinesr("info", "half.safetensors").out.splitlines()
    assert "            estimates: temperature 0.5; fidelity 0.5" in lines


def test_a_cascade_is_a_block_of_facts_for_each_stage_and_a_total(refinesr: Command) -> None:
    known = json.loads(refinesr("info", cascade(), "--json").out)
    ran = refinesr("info", "small/cascade.json")
    first, base, more, total = (block.splitlines() for block in ran.out.split("\n\n"))
    assert first == ["cascade     small/cascade.json"]
    assert base[:2] == ["stage 1     base.safetensors", "name        base.safetensors (stage)"]
    assert "            estimates: guidance 2; clipped" in base
    assert "steps       5: 10 calls of the network" in base
    assert any(line.startswith("cost ") and line.endswith("for 8 x 8 -> 8 x 8 pixels") for line in base)
    assert more[:4] == [
        "stage 2     more.safetensors",
        "            its input gets noise of level 0.2",
        "            in tiles of 4 pixels of its input",
        "name        forgives (stage)",
    ]
    assert [line.split()[0] for line in more].count("check") == 1
    assert total[:2] == ["total       2 stages", "scale       2, 3 channels"]
    assert total[3] == "steps       8: 13 calls of the networks"
    assert total[4] == f"cost        {known['gflop']:.1f} GFLOP, for 8 x 8 -> 16 x 16 pixels"


def test_a_cascade_that_takes_pictures_costs_what_it_does_for_128_pixels(refinesr: Command) -> None:
    save_stage(LARGER, Path("larger.safetensors"))
    stages = [{"model": "larger.safetensors"}, {"model": "larger.safetensors"}]
    Path("cascade.json").write_text(json.dumps({"format": "refinesr-cascade-1", "stages": stages}))
    told = json.loads(refinesr("info", "cascade.json", "--json").out)
    alone = json.loads(refinesr("info", "larger.safetensors", "--json").out)["gflop_per_call"]
    assert [each["gflop_input_size"] for each in told["stages"]] == [[128, 128], [256, 256]]
    assert told["gflop"] == pytest.approx(3 * alone + 3 * 4 * alone, rel=1e-3)  # the label costs once a call


def test_steps_are_refused_for_a_cascade(refinesr: Command) -> None:
    ran = refinesr("info", cascade(), "--steps", 3)
    message = "steps: each stage of a cascade has its own; its JSON file says them\n"
    assert (ran.code, ran.out, ran.err) == (2, "", message)


def test_a_shipped_model_comes_before_a_recipe_of_its_name(
    refinesr: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "shipped_names", lambda: ["photo-x4"])
    monkeypatch.setattr(facts, "load", lambda name: stage(packed()))
    shipped = refinesr("info", "photo-x4").out.splitlines()
    assert shipped[0] == "name        photo-x4 (shipped model)"
    assert shipped[1] == "recipe      `refinesr info recipe:photo-x4` describes the recipe of this name"
    assert refinesr("info", "recipe:photo-x4").out.startswith("name        photo-x4 (recipe)\n")


def test_an_unknown_name_is_one_line(refinesr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "shipped_names", lambda: ["faces"])
    near, far = refinesr("info", "fotos-x4"), refinesr("info", "zzz")
    start = "is no shipped model, file, folder or recipe"
    assert (near.code, near.err) == (2, f"model: 'fotos-x4' {start}; did you mean 'photo-x4'?\n")
    assert far.err == f"model: 'zzz' {start}; there are faces, {', '.join(RECIPES)}\n"
    assert refinesr("info", "no.safetensors").err == "no.safetensors: no such file\n"
    missing = refinesr("info", "recipe:zzz")
    assert missing.err == f"recipe: 'zzz' is not one of {', '.join(RECIPES)}\n"
