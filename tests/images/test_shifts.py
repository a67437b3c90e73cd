"""Poor pictures that lie beside their place are told of, and no others."""

import io

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageFilter

from refinesr.images.shifts import detect_shift

PICTURES = [
    each()[8:296, 100:388] for each in (skimage.data.chelsea, skimage.data.coffee, skimage.data.astronaut)
]


def good(picture: np.ndarray, scale: int) -> np.ndarray:
    height, width = (side // scale * scale for side in picture.shape[:2])
    return picture[:height, :width]


def reduced(high: np.ndarray, scale: int) -> np.ndarray:
    """By Pillow."""
    size = high.shape[1] // scale, high.shape[0] // scale
    return np.asarray(Image.fromarray(high).resize(size, Image.Resampling.BICUBIC))


@pytest.mark.parametrize("moved", [(0, 1), (-1, 0), (2, -2), (3, 3)])
@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("picture", PICTURES, ids=["chelsea", "coffee", "astronaut"])
def test_a_shift_by_whole_pixels_is_told(picture: np.ndarray, scale: int, moved: tuple[int, int]) -> None:
    high = good(picture, scale)
    low = np.roll(reduced(high, scale), moved, (0, 1))
    assert detect_shift(high, low) == moved
    deep = high.astype(np.uint16) * 257, (255 - low).astype(np.float32) / 255
    assert detect_shift(*deep) == moved


def noisy(low: np.ndarray) -> np.ndarray:
    grain = np.random.default_rng(0).normal(0, 20, low.shape)
    return (low + grain).clip(0, 255).astype(np.uint8)


def as_jpeg(low: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(low).save(file, "JPEG", quality=10)
    return np.asarray(Image.open(file))


SPOILT = {
    "as it is": lambda low: low,
    "inverted": lambda low: 255 - low,
    "darker": lambda low: (255 * (low / 255) ** 2.2).astype(np.uint8),
    "noisy": noisy,
    "JPEG": as_jpeg,
    "blurred": lambda low: np.asarray(Image.fromarray(low).filter(ImageFilter.GaussianBlur(2))),
    "edges": lambda low: np.asarray(Image.fromarray(low).filter(ImageFilter.FIND_EDGES)),
    "embossed": lambda low: np.asarray(Image.fromarray(low).filter(ImageFilter.EMBOSS)),
    "flat": lambda low: np.full_like(low, 90),
    "noise": lambda low: np.random.default_rng(1).integers(0, 256, low.shape, dtype=np.uint8),
    "another": lambda low: low[::-1, ::-1],
}


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_what_a_poor_picture_suffers_is_no_shift(scale: int, spoilt) -> None:
    for picture in PICTURES:
        high = good(picture, scale)
        assert detect_shift(high, np.ascontiguousarray(spoilt(reduced(high, scale)))) is None


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_nor_is_the_corner_of_each_block_though_it_lies_beside_the_middle(scale: int) -> None:
    for picture in PICTURES:
        high = good(picture, scale)
        for corner in (0, scale - 1):
            assert detect_shift(high, high[corner::scale, corner::scale]) is None


def test_stripes_that_fit_in_several_places_and_small_pictures_are_passed_over() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))[..., None]
    assert detect_shift(stripes, np.roll(stripes, 2, 1)) is None
    high = good(PICTURES[0], 4)[:80, :80]
    assert detect_shift(high, np.roll(reduced(high, 4), 1, 0)) is None
