"""`refinesr interpolate` in this process, with a model of random weights."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Command, picture
from PIL import Image

from refinesr.cli.interpolate import MIX_OPTIONS
from refinesr.cli.redraw_options import REDRAW_OPTIONS
from refinesr.mixing import interpolating, redrawing


@pytest.fixture
def between(refinesr: Command, model: str) -> Command:
    return lambda *words: refinesr("interpolate", "-m", model, "--precision", "fp32", *words)


def pixels(name: str) -> Any:
    return np.asarray(Image.open(name))


def test_of_a_photo_alone_it_makes_a_strip_between_two_samples(between: Command, photo: Path) -> None:
    ran = between(photo, "-o", "new/strip.png")
    assert (ran.code, ran.err) == (0, "")
    pattern = (
        r"photo\.png -> new/strip\.png  5 pictures of 80 x 48  2 of 8 steps from sigma 0\.172  \d+\.\d s\n"
    )
    assert re.fullmatch(pattern, ran.out)
    strip = pixels("new/strip.png")
    assert strip.shape == (48, 5 * 80 + 4 * 4, 3)
    assert (strip[:, 80:84] == 255).all()
    assert sorted(os.listdir("new")) == ["strip.png"]


def test_the_samples_are_those_of_upscale(between: Command, upscale: Command, photo: Path) -> None:
    for seed in (5, 6):
        upscale(photo, "--seed", seed, "--steps", 8, "--precision", "fp32", "-o", f"{seed}.png")
    assert between(photo, "-o", "made.png", "--seeds", "5,6", "--shares", "0.5").code == 0
    assert between(photo, "5.png", "6.png", "-o", "given.png", "--shares", "0.5").code == 0
    assert (pixels("made.png") == pixels("given.png")).all()
    assert pixels("made.png").shape == (48, 80, 3)


def test_a_strip_is_made_of_what_single_shares_are(between: Command, photo: Path) -> None:
    one, two = picture("one.png", 48, 80, seed=1), picture("two.png", 48, 80, seed=2)
    ran = between(photo, one, two, "-o", "strip.png", "--shares", "0,0.3", "--steps", 10, "--depth", 0.3)
    assert "2 pictures of 80 x 48  3 of 10 steps" in ran.out
    ran = between(photo, one, two, "-o", "one-share.png", "--shares", "0.3", "--steps", 10, "--depth", 0.3)
    assert "-> one-share.png  80 x 48  3 of 10" in ran.out
    assert (pixels("strip.png")[:, 84:] == pixels("one-share.png")).all()
    assert (pixels("strip.png")[:, :80] != pixels("one-share.png")).any()


def test_the_seed_is_that_of_the_noise(between: Command, photo: Path) -> None:
    one, two = picture("one.png", 48, 80, seed=1), picture("two.png", 48, 80, seed=2)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        between(photo, one, two, "-o", f"{name}.png", "--shares", "0.5", "--seed", seed, "--depth", 0.8)
    assert (pixels("a.png") == pixels("b.png")).all()
    assert (pixels("a.png") != pixels("c.png")).any()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shares", "0,1.5"], "shares: 1.5 is not between 0, the first picture, and 1, the second"),
        (["--shares", "0;1"], "--shares: '0;1' is not SHARE,..."),
        (["--shares", ""], "--shares: '' is not SHARE,..."),
        (["--seeds", "1"], "--seeds: '1' is not SEED,SEED"),
        (["--seeds", "1,2,3"], "--seeds: '1,2,3' is not SEED,SEED"),
        (["--seeds", "1,x"], "--seeds: '1,x' is not SEED,SEED"),
        (["--seeds=1,-2"], "seed: -2 is not between 0 and 2**63 - 1"),
        (["--depth", "0"], "depth: 0 is not a share of the steps; more than 0, at most 1"),
        (["--steps", "1"], "steps: 1 has no level between picture and noise; use at least 2"),
        (["--quality", "0"], "--quality: 0 is not between 1 and 100"),
    ],
)
def test_values_that_make_no_sense_are_one_line(
    between: Command, photo: Path, words: list[object], message: str
) -> None:
    ran = between(photo, "-o", "strip.png", *words)
    assert (ran.code, ran.out, ran.err) == (2, "", message + "\n")
    assert os.listdir() == ["photo.png"]


def test_a_second_picture_is_required(between: Command, photo: Path) -> None:
    ran = between(photo, "one.png", "-o", "strip.png")
    message = "SECOND: missing; one.png is only one picture; give two, or none\n"
    assert (ran.code, ran.err) == (2, message)


def test_pictures_of_another_size_are_one_line(between: Command, photo: Path) -> None:
    ran = between(photo, picture("one.png", 48, 80), picture("two.png", 48, 81), "-o", "strip.png")
    message = "two.png: has 81 x 48 pixels, but photo.png enlarged 4 times has 80 x 48\n"
    assert (ran.code, ran.out, ran.err) == (2, "", message)


def test_an_existing_result_is_not_replaced_without_overwrite(between: Command, photo: Path) -> None:
    strip = picture("strip.png", 2, 2)
    ran = between("no.png", "-o", strip)
    assert (ran.code, ran.err) == (2, "strip.png exists; --overwrite replaces it\n")
    assert between(photo, "-o", strip, "--shares", "1", "--overwrite").code == 0
    assert pixels("strip.png").shape == (48, 80, 3)


def test_an_input_is_never_replaced(between: Command, photo: Path) -> None:
    ran = between(photo, strip := picture("one.png"), "two.png", "-o", strip, "--overwrite")
    message = "one.png: the result would replace the input one.png; rename one\n"
    assert (ran.code, ran.out, ran.err) == (2, "", message)


@pytest.mark.parametrize(
    ("shares", "code"), [("0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1", 2), ("0.1", 0)], ids=["11", "1"]
)
def test_a_strip_too_long_for_its_file_is_refused_before_the_work(
    between: Command, monkeypatch: pytest.MonkeyPatch, shares: str, code: int
) -> None:
    """11 pictures of 1600 pixels and gaps are more than the 16383 that WebP can hold."""
    photo = picture("wide.png", 2, 400)
    if code:
        monkeypatch.setattr("refinesr.mixing.sample_end", None)
    ran = between(photo, "-o", "strip.webp", "--shares", shares, "--steps", 2)
    assert ran.code == code
    assert code == 0 or ran.err.startswith("strip.webp: WebP cannot hold a side of ")


def test_the_defaults_are_those_of_the_library() -> None:
    assert MIX_OPTIONS.parsed() == (interpolating.SHARES, interpolating.SEEDS)
    assert REDRAW_OPTIONS.depth == redrawing.DEPTH


def test_a_terminal_shows_the_progress(
    between: Command, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refinesr.cli.bars.on_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    ran = between(photo, "-o", "strip.png", "--shares", "0,1")
    assert all(word in ran.err for word in ("share 1", "2/2"))
