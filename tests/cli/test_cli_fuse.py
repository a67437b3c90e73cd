"""`refinesr fuse` in this process, with a model of random weights."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Command, picture
from PIL import Image


@pytest.fixture
def fuse(refinesr: Command, model: str) -> Command:
    return lambda *words: refinesr("fuse", "-m", model, "--precision", "fp32", *words)


@pytest.fixture
def face() -> Path:
    """face.png, 50 pixels wide and 41 high: no multiples of 4."""
    return picture("face.png", 41, 50, seed=1)


@pytest.fixture
def other() -> Path:
    """other.png, 60 pixels wide and 30 high."""
    return picture("other.png", 30, 60, seed=2)


def pixels(name: str) -> Any:
    return np.asarray(Image.open(name))


def changed(name: str, before: str = "face.png") -> tuple[int, int, int, int]:
    """Top, left, bottom and right of what differs."""
    rows, columns = np.nonzero((pixels(name) != pixels(before)).any(-1))
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


def test_a_part_of_one_picture_lands_in_the_other(fuse: Command, face: Path, other: Path) -> None:
    """And nothing farther away than the feather, 4 pixels of a side of 16, is touched."""
    ran = fuse(face, other, "-o", "new/fused.png", "--from", "2,30,16,20", "--to", "12,10")
    assert (ran.code, ran.err) == (0, "")
    pattern = r"face\.png -> new/fused\.png  50 x 41  2 of 8 steps from sigma 0\.172  \d+\.\d s\n"
    assert re.fullmatch(pattern, ran.out)
    assert pixels("new/fused.png").shape == (41, 50, 3)
    assert changed("new/fused.png") == (8, 6, 32, 34)


def test_the_part_keeps_its_place_by_default(fuse: Command, face: Path, other: Path) -> None:
    fuse(face, other, "-o", "there.png", "--from", "12,10,16,20", "--feather", 0)
    fuse(face, other, "-o", "told.png", "--from", "12,10,16,20", "--to", "12,10", "--feather", 0)
    assert (pixels("there.png") == pixels("told.png")).all()
    assert changed("there.png") == (12, 10, 28, 30)


def test_all_of_a_picture_may_be_pasted(fuse: Command, face: Path) -> None:
    stamp = picture("stamp.png", 8, 10, seed=3)
    assert fuse(face, stamp, "-o", "fused.png", "--to", "20,30", "--feather", 1).code == 0
    assert changed("fused.png") == (19, 29, 29, 41)


def test_the_whole_is_redrawn_on_request(fuse: Command, face: Path, other: Path) -> None:
    fuse(face, other, "-o", "fused.png", "--from", "12,10,16,20", "--whole")
    assert changed("fused.png") == (0, 0, 41, 50)


def test_low_sets_what_the_result_is_consistent_with(fuse: Command, face: Path, other: Path) -> None:
    small = picture("small.png", 11, 13)
    options = "--from", "12,10,16,20", "--depth", 1
    fuse(face, other, "-o", "one.png", *options)
    assert fuse(face, other, "-o", "two.png", "--low", small, *options).code == 0
    assert (pixels("one.png") != pixels("two.png")).any()
    ran = fuse(face, other, "-o", "three.png", "--low", other, *options)
    message = "other.png: has 60 x 30 pixels, but face.png made 4 times smaller has 13 x 11\n"
    assert (ran.code, ran.err) == (2, message)


def test_grey_pictures_stay_grey_and_transparent_ones_transparent(fuse: Command, other: Path) -> None:
    for mode in ("L", "LA", "RGBA"):
        face = picture(f"{mode}.png", 41, 50, mode)
        assert fuse(face, other, "-o", f"fused-{mode}.png", "--from", "12,10,16,20").code == 0
        with Image.open(f"fused-{mode}.png") as fused:
            assert fused.mode == mode


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "1,2,3"], "--from: '1,2,3' is not TOP,LEFT,HEIGHT,WIDTH"),
        (["--from", "1,2,3,4.5"], "--from: '1,2,3,4.5' is not TOP,LEFT,HEIGHT,WIDTH"),
        (["--from", ""], "--from: '' is not TOP,LEFT,HEIGHT,WIDTH"),
        (["--from", "0,0,9,9", "--to", "1"], "--to: '1' is not TOP,LEFT"),
        (["--from", "0,0,9,9", "--to", ""], "--to: '' is not TOP,LEFT"),
        (["--from", "0,0,0,9"], "from: 9 x 0 pixels are no region"),
        (
            ["--from", "0,51,9,10"],
            "from: 10 x 9 pixels from row 0, column 51 are not all in other.png, which has 60 x 30",
        ),
        ([], "to: 60 x 30 pixels from row 0, column 0 are not all in face.png, which has 50 x 41"),
        (["--from", "0,0,9,9", "--feather", 5], "feather: 5 is not between 0 and 4, half of the region's"),
        (["--from", "0,0,9,9", "--depth", 2], "depth: 2 is not a share of the steps; more than 0, at most 1"),
    ],
)
def test_values_that_make_no_sense_are_one_line(
    fuse: Command, face: Path, other: Path, words: list[object], message: str
) -> None:
    ran = fuse(face, other, "-o", "fused.png", *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(message)
    assert ran.err.count("\n") == 1
    assert sorted(os.listdir()) == ["face.png", "other.png"]


def test_an_existing_result_is_not_replaced_without_overwrite(fuse: Command, face: Path, other: Path) -> None:
    there = picture("there.png", 2, 2)
    ran = fuse(face, other, "-o", there, "--from", "0,0,9,9")
    assert (ran.code, ran.err) == (2, "there.png exists; --overwrite replaces it\n")
    assert fuse(face, other, "-o", there, "--from", "0,0,9,9", "--overwrite").code == 0
    assert pixels("there.png").shape == pixels("face.png").shape


def test_an_input_is_never_replaced(fuse: Command, face: Path, other: Path) -> None:
    """As with `upscale`: the original would be gone."""
    low = picture("low.png", 11, 13)
    Path("link.png").symlink_to("other.png")
    before = {path.name: path.read_bytes() for path in (face, other, low)}
    wanted = {"face.png": "face.png", "./other.png": "link.png", "link.png": "link.png", "low.png": "low.png"}
    for name, source in wanted.items():
        ran = fuse(face, "link.png", "-o", name, "--low", low, "--from", "0,0,9,9", "--overwrite")
        message = f"{Path(name)}: the result would replace the input {source}; rename one\n"
        assert (ran.code, ran.out, ran.err) == (2, "", message)
    assert {path.name: path.read_bytes() for path in (face, other, low)} == before


def test_what_a_format_cannot_hold_is_an_error_before_the_work(
    fuse: Command, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refinesr.mixing.fuse_pictures", None)
    ran = fuse(picture("clear.png", 41, 50, "RGBA"), other, "-o", "fused.jpg", "--from", "0,0,9,9")
    assert (ran.code, ran.err) == (2, "fused.jpg: JPEG cannot hold transparency; use PNG or WebP\n")
