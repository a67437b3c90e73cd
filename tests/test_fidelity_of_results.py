"""How far a result, downsampled, is its input."""

import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from refinesr.images.picture import Picture
from refinesr.restore.fidelity import Fidelity, measure_fidelity
from refinesr.restore.rescaling import resampled

RNG = np.random.default_rng(0)
LARGE = RNG.integers(0, 256, (48, 40, 3), dtype=np.uint8)
SMALL = np.asarray(Image.fromarray(LARGE).resize((10, 12), Image.Resampling.BICUBIC))


def test_pillows_own_downsampling_agrees_wholly() -> None:
    assert measure_fidelity(Picture(SMALL), Picture(LARGE)) == Fidelity(200.0, 1.0)


def test_one_wrong_value_is_counted_and_measured() -> None:
    wrong = SMALL.copy()
    wrong[3, 4, 1] ^= 1
    kept = measure_fidelity(Picture(wrong), Picture(LARGE))
    assert kept is not None
    assert kept.agreement == pytest.approx(1 - 1 / SMALL.size)
    assert kept.lr_psnr == pytest.approx(20 * math.log10(255) + 10 * math.log10(SMALL.size))


def test_what_cannot_be_seen_does_not_count() -> None:
    alpha = np.full(SMALL.shape[:2], 255, np.uint8)
    alpha[0] = 0
    wrong = SMALL.copy()
    wrong[0] ^= 255
    assert measure_fidelity(Picture(wrong, alpha), Picture(LARGE)) == Fidelity(200.0, 1.0)
    nothing = measure_fidelity(Picture(wrong, alpha * 0), Picture(LARGE))
    assert nothing is not None
    assert nothing.agreement == pytest.approx(11 / 12, abs=0.01)


def reduced(values: Any) -> Any:
    """By Pillow itself, in its floats, which are neither rounded nor clipped."""
    planes = (Image.fromarray(plane.astype(np.float32)) for plane in np.moveaxis(values, 2, 0))
    return np.dstack([np.asarray(plane.resize((10, 12), Image.Resampling.BICUBIC)) for plane in planes])


DEEP = RNG.uniform(0.2, 0.8, (48, 40, 3))  # far from black and white, where both would be clipped
KINDS = [(np.uint16, 65535), (np.float32, 1)]


@pytest.mark.parametrize(("kind", "peak"), KINDS)
def test_deep_pictures_are_reduced_at_their_full_depth(kind: type, peak: int) -> None:
    """Rounded to 8 bits before it, as many as 15 of 100 values of the same pictures would be others."""
    large = DEEP * peak if peak == 1 else (DEEP * peak).round()
    small = reduced(large) if peak == 1 else reduced(large).round()
    kept = measure_fidelity(Picture(small.astype(kind)), Picture(large.astype(kind)))
    assert kept is not None
    assert kept.agreement == 1
    assert kept.lr_psnr > 105  # rounding to 16 bits: 107 dB
    eight = Picture((small / peak * 255).round().astype(np.uint8))
    rough = measure_fidelity(eight, Picture((large / peak * 255).round().astype(np.uint8)))
    assert rough is not None
    assert rough.agreement < 0.9


@pytest.mark.parametrize(("kind", "peak"), KINDS)
def test_deep_values_agree_up_to_half_a_level_of_eight_bits(kind: type, peak: int) -> None:
    """lr_psnr is of the error itself: 0.4 of 255 levels are 56.1 dB."""
    small = reduced(DEEP)
    for off, agreement in ((0.4, 1.0), (-0.4, 1.0), (0.6, 0.0), (-0.6, 0.0)):
        kept = measure_fidelity(
            Picture(((small + off / 255) * peak).astype(kind)), Picture((DEEP * peak).astype(kind))
        )
        assert kept is not None
        assert kept.agreement == agreement
        assert kept.lr_psnr == pytest.approx(20 * math.log10(255 / abs(off)), abs=0.1)


def test_a_smaller_result_is_not_compared() -> None:
    assert measure_fidelity(Picture(LARGE), Picture(SMALL)) is None


def test_colour_made_of_grey_is_not_compared() -> None:
    """Whichever has more channels."""
    assert measure_fidelity(Picture(SMALL[..., :1]), Picture(LARGE)) is None
    assert measure_fidelity(Picture(SMALL), Picture(LARGE[..., :1])) is None
    assert measure_fidelity(Picture(SMALL[..., :1]), Picture(LARGE[..., :1])) == Fidelity(200.0, 1.0)


def test_resampling_keeps_depth_alpha_and_metadata() -> None:
    alpha = np.full((48, 40), 65535, np.uint16)
    picture = Picture(LARGE.astype(np.uint16) * 257, alpha, icc=b"profile", name="a.png")
    small = resampled(picture, (12, 10), picture)
    assert (small.size, small.pixels.dtype, small.icc, small.name) == (
        (12, 10),
        np.uint16,
        b"profile",
        "a.png",
    )
    assert small.alpha is not None
    assert (small.alpha == 65535).all()
    assert np.abs(small.pixels / 257 - SMALL).max() < 3
