"""What a screen can show of a picture."""

import numpy as np
import pytest

from refinesr.images.display import for_display
from refinesr.images.picture import Picture

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("bands", "shown"), [(1, 1), (2, 1), (3, 3), (5, 3)])
def test_the_first_three_bands_or_one(bands: int, shown: int) -> None:
    pixels = RNG.integers(0, 256, (3, 4, bands), np.uint8)
    made = for_display(Picture(pixels, name="a"))
    assert np.array_equal(made.pixels, pixels[..., :shown])
    assert made.pixels.flags.c_contiguous


def test_every_depth_is_rounded_to_levels_of_255() -> None:
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    made = for_display(Picture(deep[..., None], alpha=deep[::-1].copy()))
    assert np.array_equal(made.pixels[..., 0], (deep.astype(int) + 128) // 257)
    assert np.array_equal(made.alpha, (deep[::-1].astype(int) + 128) // 257)
    floats = np.array([-0.1, 0.0, 0.5 / 255 - 1e-4, 0.5 / 255 + 1e-4, 1.0, 1.1, np.nan], np.float32)
    assert for_display(Picture(floats[None, :, None])).pixels.ravel().tolist() == [0, 0, 0, 1, 255, 255, 0]
