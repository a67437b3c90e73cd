"""benchmarks/calls.py on data whose exact denoiser is known, judged by the mean squared error."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from methods import normal, packed, plain, stage
from PIL import Image
from torch import Tensor

from refinesr.checkpoint import save_stage
from refinesr.diffusion.samplers import Ancestral, Heun
from refinesr.diffusion.schedule import Even, Karras, Linear
from refinesr.method import Sampling
from refinesr.search import HeldOutSet, SearchPlan
from refinesr.search.trials import Evaluator
from refinesr.stage import Stage

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import calls
from test_temperature_and_fidelity import MEAN, STD, exact


def squared(high: Tensor, result: Tensor) -> Tensor:
    return (high - result).square().mean((1, 2, 3))


def tried(made: Stage, count: int = 8) -> Any:
    """Pictures that the poor ones, all black, say nothing about."""
    high = (MEAN + 0.5 * STD * normal(count, 3, 32, 32, seed=5)).clamp(-1, 1)
    held = HeldOutSet(tuple(map(str, range(count))), high, torch.zeros(count, 3, 16, 16))
    return calls.Tried(Evaluator(made, held, calls.Both(squared, 2), SearchPlan(1), None))


START = Sampling(Ancestral(0.0), Karras(0.05, 20.0), 4)


def test_by_the_squared_error_the_mean_wins_and_ends_the_front() -> None:
    made = exact(**vars(START))
    found = tried(made)
    score = found.scored([2, 4])
    choices = calls.Choices(made.method, frozenset({"sampler", "grid"}))
    best = calls.descended(START, choices, found.evaluator.rungs, score, 4)
    assert score(best, 8) < score(START, 8)
    assert best.fidelity == 1 or best.temperature == min(calls.TEMPERATURES)
    front = [found.numbers(way, 8) for way in found.front(4)]
    assert front == sorted(front, reverse=True)
    assert len({distance for _, distance in front}) == len(front)


def test_every_choice_is_one_change_and_fits_the_method() -> None:
    method = stage(packed(4)).method
    around = list(calls.Choices(method).around(replace(START, consistent=method.sampling.consistent)))
    changed = [
        [name for name, value in vars(way).items() if value != getattr(START, name) and name != "consistent"]
        for way in around
    ]
    assert all(len(names) <= 1 for names in changed)
    assert {name for names in changed for name in names} == {"sampler", "grid", "temperature", "fidelity"}
    assert {way.consistent for way in around} == {None, method.sampling.consistent}
    assert all(replace(method, sampling=way) for way in around)
    pinned = calls.Choices(method, frozenset({"fidelity", "sampler", "consistent", "grid"}))
    assert {way.temperature for way in pinned.around(START)} == set(calls.TEMPERATURES)


def test_a_grid_of_a_table_is_replaced_by_one_with_its_ends() -> None:
    method = plain(2)
    rule = replace(method.sampling, grid=Even(Linear(1e-4, 0.02, 1000)), steps=4)
    grids = list(calls.Choices(method).grids(rule))
    assert all(isinstance(grid, Karras) for grid in grids)
    assert {grid.low for grid in grids} == set(calls.LOWS)


@pytest.mark.parametrize(("sampler", "steps"), [(Ancestral(), [1, 2, 4, 8]), (Heun(), [1, 1, 2, 4])], ids=str)
def test_of_two_calls_a_step_half_as_many_steps_are_had(sampler: Any, steps: list[int]) -> None:
    rule = replace(START, sampler=sampler)
    assert [calls.in_calls(rule, count).steps for count in (1, 2, 4, 8)] == steps


def test_a_mean_that_takes_a_call_of_its_own_is_not_had_in_one() -> None:
    way = replace(START, fidelity=0.5, mean=20.0)
    had = [calls.in_calls(way, count) for count in (1, 2, 4)]
    assert [(each.fidelity, each.steps, each.calls) for each in had] == [
        (0.0, 1, 1),
        (0.5, 1, 2),
        (0.5, 3, 4),
    ]
    every = tried(exact(**vars(way)), 4)
    every.tried(way, 1, 4)
    assert [each.calls for each in every.front(1)] == [1]
    twice = replace(START, orientations=2)
    assert [calls.in_calls(twice, count).steps for count in (2, 4, 8)] == [1, 2, 4]


def test_the_better_third_goes_on_to_more_pictures() -> None:
    seen: list[tuple[float, int]] = []

    def score(way: Sampling, images: int) -> float:
        seen.append((way.temperature, images))
        return abs(way.temperature - 0.5)

    ways = [replace(START, temperature=t / 8) for t in range(9)]
    assert calls.halved(ways, [2, 4, 8], score).temperature == 0.5
    assert [sum(images == rung for _, images in seen) for rung in (2, 4, 8)] == [9, 3, 1]


def test_the_script_tells_own_best_and_front(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for k in range(4):
        values = (normal(3, 32, 32, seed=k).clamp(-2, 2) * 40 + 128).byte()
        Image.fromarray(values.permute(1, 2, 0).numpy()).save(tmp_path / f"{k}.png")
    save_stage(stage(packed(4)), tmp_path / "model.safetensors")
    monkeypatch.setattr(calls, "Perceptual", lambda folder, device: squared)
    monkeypatch.setattr(calls, "FIDELITIES", (0.0, 0.5))
    words = ["--high", tmp_path, "--perceptual", tmp_path, "--model", tmp_path / "model.safetensors"]
    words += [
        "--calls",
        2,
        "--rounds",
        1,
        "--size",
        32,
        "--json",
        tmp_path / "out.json",
        "--precision",
        "fp32",
    ]
    words += ["--keep", "sampler", "grid", "temperature", "--device", "cpu", "--threads", 1]
    monkeypatch.setattr(sys, "argv", ["calls.py", *map(str, words)])
    calls.main()
    told, kept = capsys.readouterr().out, json.loads((tmp_path / "out.json").read_text())
    assert all(f"2 calls, {kind}" in told for kind in ("own", "best", "front"))
    assert kept["best"]["2"]["steps"] == 2
    assert {trial["sampling"]["fidelity"] for trial in kept["trials"]} == {0.0, 0.5}
    assert all(trial["perceptual"] > 0 for trial in kept["trials"])
