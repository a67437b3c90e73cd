"""How far a result, downsampled, is its input."""

import math

import numpy as np
import pytest
from PIL import Image

from refinesr.cli.fidelity import Fidelity, decibels, fidelity, resampled
from refinesr.images.io import Picture

RNG = np.random.default_rng(0)
LARGE = RNG.integers(0, 256, (48, 40, 3), dtype=np.uint8)
SMALL = np.asarray(Image.fromarray(LARGE).resize((10, 12), Image.Resampling.BICUBIC))


def test_pillows_own_downsampling_agrees_wholly() -> None:
    assert fidelity(Picture(SMALL), Picture(LARGE)) == Fidelity(200.0, 1.0)


def test_one_wrong_value_is_counted_and_measured() -> None:
    wrong = SMALL.copy()
    wrong[3, 4, 1] ^= 1
    kept = fidelity(Picture(wrong), Picture(LARGE))
    assert kept is not None
    assert kept.agreement == pytest.approx(1 - 1 / SMALL.size)
    assert kept.lr_psnr == pytest.approx(20 * math.log10(255) + 10 * math.log10(SMALL.size))


def test_what_cannot_be_seen_does_not_count() -> None:
    alpha = np.full(SMALL.shape[:2], 255, np.uint8)
    alpha[0] = 0
    wrong = SMALL.copy()
    wrong[0] ^= 255
    assert fidelity(Picture(wrong, alpha), Picture(LARGE)) == Fidelity(200.0, 1.0)
    nothing = fidelity(Picture(wrong, alpha * 0), Picture(LARGE))
    assert nothing is not None
    assert nothing.agreement == pytest.approx(11 / 12, abs=0.01)


def test_sixteen_bits_are_compared_as_eight() -> None:
    deep = fidelity(Picture(SMALL.astype(np.uint16) * 257), Picture(LARGE.astype(np.uint16) * 257))
    assert deep == Fidelity(200.0, 1.0)


def test_a_smaller_result_is_not_compared() -> None:
    assert fidelity(Picture(LARGE), Picture(SMALL)) is None


def test_colour_made_of_grey_is_not_compared() -> None:
    """Whichever has more channels."""
    assert fidelity(Picture(SMALL[..., :1]), Picture(LARGE)) is None
    assert fidelity(Picture(SMALL), Picture(LARGE[..., :1])) is None
    assert fidelity(Picture(SMALL[..., :1]), Picture(LARGE[..., :1])) == Fidelity(200.0, 1.0)


def test_no_picture_with_a_difference_reaches_the_number_for_infinity() -> None:
    assert decibels(0.0) == 200
    assert decibels(1 / (3 * 2**40)) < 200


def test_resampling_keeps_depth_alpha_and_metadata() -> None:
    alpha = np.full((48, 40), 65535, np.uint16)
    picture = Picture(LARGE.astype(np.uint16) * 257, alpha, icc=b"profile", name="a.png")
    small = resampled(picture, (12, 10))
    assert (small.size, small.pixels.dtype, small.icc, small.name) == (
        (12, 10),
        np.uint16,
        b"profile",
        "a.png",
    )
    assert small.alpha is not None
    assert (small.alpha == 65535).all()
    assert np.abs(small.pixels / 257 - SMALL).max() < 3
