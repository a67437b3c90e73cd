"""`refinesr train` of scenes with empty corners, in this process, with --tiny."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from commands import Command


def scene(name: str, lost: int, seed: int) -> None:
    """Floats of three bands, 44 x 52 pixels, without a corner of `lost` pixels a side."""
    values = np.random.default_rng(seed).random((44, 52, 3)).astype(np.float32)
    values[:lost, :lost] = np.nan
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(name, values, photometric="rgb")


@pytest.fixture
def train(refinesr: Command) -> Command:
    return lambda *words: refinesr(
        "train", "photo-x4", "--data", "scenes", "-o", "run", "--tiny", "--precision", "fp32", *words
    )


def test_scenes_with_empty_corners_are_learnt_from(train: Command) -> None:
    """A crop has 32 pixels a side; the fourth scene has none without missing values."""
    for k, lost in enumerate((4, 9, 12, 30)):
        scene(f"scenes/{k}.tif", lost, k)
    scene("others/0.tif", 10, 7)
    ran = train("--set", "plan.steps=3", "--held-out", "others")
    assert ran.code == 0
    left = "(1 of 4 photos left out: no 32 x 32 pixels without missing values)"
    assert ran.out.splitlines()[0].endswith(f"  {left}")
    for name in ("log", "held_out"):
        losses = [json.loads(line)["loss"] for line in Path(f"run/{name}.jsonl").read_text().splitlines()]
        assert losses
        assert all(0 < loss < 100 for loss in losses)  # NaN is none of these


def test_scenes_that_miss_values_everywhere_are_one_line(train: Command) -> None:
    for k in range(2):
        scene(f"scenes/{k}.tif", 30, k)
    ran = train()
    told = "no picture has 32 x 32 pixels without missing values, the size of a crop; the first of 2 is "
    assert (ran.code, ran.out, ran.err) == (2, "", f"{told}scenes/0.tif (52 x 44)\n")
    assert not Path("run").exists()
