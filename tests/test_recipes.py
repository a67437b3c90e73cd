"""Every recipe is a complete run: of the size it says, in JSON and back, trained, saved and sampled."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from methods import FewPairs, normal

import refinesr
from refinesr.config import from_data, override, to_data
from refinesr.diffusion.noise import NoiseField
from refinesr.diffusion.precond import Blind
from refinesr.diffusion.schedule import grid_warnings
from refinesr.recipes import METHODS, RECIPES, tiny
from refinesr.recipes.tiny import shrink_method
from refinesr.run import Run
from refinesr.sources import Blank, Encoded
from refinesr.train import train

RUNS = {name: recipe() for name, recipe in RECIPES.items()}
each = pytest.mark.parametrize("name", RECIPES)

PARAMETERS = {
    "photo-x4": (4e6, 20e6),
    "photo-x4-small": (0, 4e6),
    "regression": (4e6, 20e6),
    # SR3's table A.1 says 550, 625, 625 and 150 M
    "sr3-16-128": (0.98 * 550e6, 1.02 * 550e6),
    "sr3-16-128-regression": (0.98 * 550e6, 1.02 * 550e6),
    "sr3-64-256": (0.96 * 625e6, 1.04 * 625e6),
    "sr3-64-256-aug": (0.96 * 625e6, 1.04 * 625e6),
    "sr3-64-512": (0.96 * 625e6, 1.04 * 625e6),
    "sr3-256-1024": (0.98 * 150e6, 1.02 * 150e6),
    # the layouts of public code are known to the parameter: facts of the published checkpoints
    "sr3-16-128-small": (97.75e6, 97.85e6),
    "srdiff-celeba-x8": (12.03e6, 12.04e6),
    "srdiff-celeba-x8-encoder": (1.485e6, 1.495e6),
    "srdiff-df2k-x4": (25.305e6, 25.32e6),
    "srdiff-df2k-x4-encoder": (12.375e6, 12.385e6),
    "palette-colorization": (62.55e6, 62.65e6),
    "palette-inpainting": (62.55e6, 62.65e6),
    "palette-uncropping": (62.55e6, 62.65e6),
    "palette-jpeg": (62.55e6, 62.65e6),
    # Dhariwal and Nichol 2021, table 4: 296 M, which is with classes and six channels out
    "base-64": (0.98 * 296e6, 296e6),
    "base-64-class": (0.98 * 296e6, 296e6),
}


def parameters(run: Run) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in run.method.build().parameters())


@each
def test_it_is_as_large_as_it_should_be(name: str) -> None:
    least, most = PARAMETERS[name]
    assert least < parameters(RUNS[name]) < most


@each
def test_it_is_as_large_as_it_says(name: str) -> None:
    """If its docstring gives a number of parameters, to the digits that it gives."""
    said = re.search(r"(Under )?([\d.]+) M parameters", RECIPES[name].__doc__ or "")
    if said is None:
        return
    found = parameters(RUNS[name]) / 1e6
    digits = len(said[2].partition(".")[2])
    assert found < float(said[2]) if said[1] else round(found, digits) == float(said[2])


@each
def test_its_name_is_its_own(name: str) -> None:
    assert RUNS[name].name == name
    assert METHODS[name] == RUNS[name].method == refinesr.METHODS[name]


@each
def test_json_holds_all_of_it(name: str) -> None:
    for run in (RUNS[name], tiny(RUNS[name])):
        assert from_data(Run, json.loads(json.dumps(to_data(run))), "test") == run


@each
def test_it_samples_where_it_was_trained(name: str) -> None:
    method = RUNS[name].method
    assert grid_warnings(method.sampling.levels(), method.levels.highest()) == []


@each
def test_its_crops_are_whole_low_pixels(name: str) -> None:
    for run in (RUNS[name], tiny(RUNS[name])):
        assert run.plan.size % run.method.scale == 0


def test_ours_calls_the_network_at_most_four_times() -> None:
    assert METHODS["photo-x4"].sampling.calls <= 4
    assert METHODS["photo-x4-small"].sampling.calls <= 4
    assert METHODS["regression"].sampling.calls == 1


def test_ours_sees_no_farther_than_the_design_allows() -> None:
    reach = METHODS["photo-x4"].reach
    assert reach is not None
    assert reach <= 64


def test_sr3_is_trained_as_the_paper_says() -> None:
    """Facts: batch 256, 1 M updates, 10 000 of warm-up to a constant 1e-4, L1, dropout 0.2 for 16 -> 128."""
    run = RUNS["sr3-16-128-small"]
    assert (run.plan.batch, run.plan.steps, run.plan.warmup, run.plan.size) == (256, 1_000_000, 10_000, 128)
    assert run.plan.rate_at(9_999) == run.plan.rate_at(999_999) == 1e-4
    assert (run.method.p, run.method.scale) == (1, 8)
    assert to_data(run.method)["network"]["dropout"] == 0.2


def test_regression_is_the_same_network_with_its_noise_switched_off() -> None:
    regression, ours = METHODS["regression"], METHODS["photo-x4"]
    assert regression.precond == Blind()
    same = replace(ours, precond=regression.precond, levels=regression.levels, sampling=regression.sampling)
    assert regression == same


def trained(run: Run, folder: Path, encoder: Path | None = None) -> Path:
    """A folder of five updates."""
    run = override(run, "plan.steps=5", "plan.preview_every=5")
    pairs = FewPairs(run.method, run.plan.batch, run.plan.size)
    reports = list(train(run, pairs, folder, device=torch.device("cpu"), encoder=encoder))
    assert len(reports) == 5
    return folder


@each
def test_tiny_trains_saves_loads_and_samples(name: str, tmp_path: Path) -> None:
    run = tiny(RUNS[name])
    if run.method.sampling.steps > 4:
        run = override(run, "method.sampling.steps=4")
    assert parameters(run) < 80_000  # a thousand classes are 32,000
    source, encoder = run.method.source, None
    if isinstance(source, Encoded) and source.frozen:
        encoder = trained(tiny(RUNS[f"{name}-encoder"]), tmp_path / "encoder")
    folder = trained(run, tmp_path / "run", encoder)
    assert (folder / "previews" / "0000005.png").exists()
    model = refinesr.load(folder)
    assert model.method == run.method
    low = torch.cat((normal(1, 3, 8, 9).clamp(-1, 1), torch.zeros(1, source.planes, 8, 9)), 1)
    *_, last = model(low, NoiseField((0,)))
    assert last.image.shape == (1, 3, 8 * run.method.scale, 9 * run.method.scale)
    assert last.done == last.total == run.method.sampling.steps
    assert bool(last.image.isfinite().all())


@each
def test_tiny_changes_sizes_and_nothing_else(name: str) -> None:
    """Precond, label, levels, target, degradation and sampling are those that are tried."""
    method = METHODS[name]
    small = shrink_method(method)
    assert replace(small, network=method.network, source=method.source) == method
    assert type(small.network) is type(method.network)


def test_tiny_of_a_network_without_a_condition_has_none_either() -> None:
    method = METHODS["photo-x4"]
    blank = replace(method, network=replace(method.network, features=0), source=Blank())
    assert shrink_method(blank).source == Blank()
    shrink_method(blank).build()
