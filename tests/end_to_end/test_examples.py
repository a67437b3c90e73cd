"""Every example runs as it stands, from a copy of its folder, and ends in what it promises."""

import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*.py"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The examples write beside themselves."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("cat-*.png")))


def run(script: Path, *arguments: str) -> str:
    """What it prints; warnings are errors, as in the other tests."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
    command = [sys.executable, str(script), *arguments]
    ran = subprocess.run(
        command, cwd=script.parent, env=environment, check=False, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        return image.size


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_example_is_short_and_says_what_it_is(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith('"""')
    assert len(lines) <= 40


def test_upscale_makes_the_cat_four_times_larger_and_faithful(folder: Path) -> None:
    said = run(folder / "upscale.py")
    assert size(folder / "cat-large.png") == tuple(4 * side for side in size(folder / "cat.jpg"))
    assert float(said.split("%")[0].split()[-1]) >= 99


def test_before_after_makes_the_picture_of_the_readme(folder: Path) -> None:
    run(folder / "before_after.py")
    width, height = size(folder / "docs" / "pictures" / "cat.png")
    assert width > 3 * height


def test_watch_shows_an_estimate_for_every_step(folder: Path) -> None:
    said = run(folder / "watch.py")
    assert [line.split()[:4] for line in said.splitlines()[:4]] == [
        ["step", str(k), "of", "4:"] for k in (1, 2, 3, 4)
    ]
    assert size(folder / "cat-steps.png") == (5 * 320, 240)


def test_toy_draws_the_discs(folder: Path) -> None:
    pictures = run(folder / "toy.py").split("calls\n")[1:]
    assert len(pictures) == 4
    for picture in pictures[1:]:
        top, bottom = picture.splitlines()[:6], picture.splitlines()[11:15]
        assert any(set("*#@") & set(line[24:40]) for line in top)
        assert any(set("*#@") & set(line[4:20]) for line in bottom)
        assert any(set("*#@") & set(line[44:60]) for line in bottom)


def test_own_sampler_is_of_second_order_and_works_on_a_photo(folder: Path) -> None:
    errors = [float(line.split()[-1].rstrip("%")) for line in run(folder / "own_sampler.py").splitlines()[:3]]
    ratios = [first / second for first, second in pairwise(errors)]
    assert ratios == pytest.approx([4, 4], rel=0.05)
    assert size(folder / "cat-midpoint.png") == (320, 240)


def test_train_tiny_learns_and_restores(folder: Path) -> None:
    said = run(folder / "train_tiny.py", str(folder / "run"))
    losses = [float(line.split()[-1]) for line in said.splitlines() if line.startswith("update")]
    assert len(losses) == 4
    assert size(folder / "run" / "large.png") == (96, 96)
    assert (folder / "run" / "run" / "model.safetensors").exists()
