"""Crops that are smaller than what the network will be shown are told of."""

import re
from pathlib import Path

import pytest
from commands import Command

from refinesr.cli.sizes import crop_size_warning
from refinesr.config import override
from refinesr.recipes import RECIPES
from refinesr.stage import window_size


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_recipe_is_odd(recipe: str) -> None:
    assert crop_size_warning(RECIPES[recipe]()) is None


@pytest.mark.parametrize("recipe", ["sr3-16-128", "sr3-64-256", "palette-jpeg"])
def test_who_follows_the_advice_is_left_alone(recipe: str) -> None:
    run = override(RECIPES[recipe](), "plan.size=96")
    said = crop_size_warning(run)
    assert said is not None
    seen = window_size(run.method)
    assert seen is not None
    assert seen > 96
    assert f"windows of {seen} pixels" in said
    followed = override(run, *re.findall(r"--set (\S+)", said))
    assert crop_size_warning(followed) is None
    assert window_size(followed.method) in range(65, 97)
    assert getattr(followed.method.network, "size", 96) == 96


def test_what_is_made_from_nothing_is_as_large_as_its_crops() -> None:
    said = crop_size_warning(override(RECIPES["base-64"](), "plan.size=32"))
    assert (
        said == "plan.size: 32, but pictures will be made in windows of 64 pixels; add --set method.tile=32"
    )


@pytest.mark.parametrize("size", [64, 4096])
def test_a_network_with_a_reach_learns_from_any_crops(size: int) -> None:
    assert crop_size_warning(override(RECIPES["photo-x4"](), f"plan.size={size}")) is None


def test_it_is_said_before_the_work(refinesr: Command, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("load_pairs", "run_training"):
        monkeypatch.setattr(f"refinesr.cli.train.{name}", lambda *_, **__: 0)
    words = ("train", "sr3-16-128", "--data", photos, "-o", "run", "--set", "plan.size=96")
    ran = refinesr(*words)
    assert ran.code == 0
    assert ran.err == (
        "plan.size: 96, but pictures will be made in windows of 128 pixels; "
        "add --set method.tile=4 --set method.network.size=96\n"
    )
