"""Detection of pairs whose low-resolution image is shifted by some pixels against the high-resolution one.

A network trained on such pairs learns the shift, and its results are displaced.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from refinesr.images.entries import Entry
from refinesr.images.image_store import Raster

Grey = npt.NDArray[np.float64]
"""(H, W), or (H, W, C) for several bands."""


class Shift(NamedTuple):
    """Displacement of an image's content, in its pixels."""

    down: int
    right: int

    def __str__(self) -> str:
        return f"{self.right:+d} pixels to the right and {self.down:+d} down"


REACH = 3
"""Largest shift that is searched, in low-resolution pixels."""

SIDE = 96
"""Side of the central part of the low-resolution image that is compared, in pixels."""

ALIKE, CLEARLY = 0.9, 4.0
"""Conditions of a warning: the least correlation with the shift, and the least ratio of (1 - correlation)
without it to that with it."""


def detect_shift(high: Raster, low: Raster) -> Shift | None:
    """The shift of `low` (h, w, C) against `high` (scale * h, scale * w, C); None unless it is clear.

    `low` is correlated with the means of blocks of scale x scale pixels of `high`.  This does not depend on
    brightness, contrast and sign, and hardly on noise, blur and JPEG blocks unless they dominate.
    """
    if min(low.shape[:2]) < 8 * REACH:
        return None
    blocks, other = (bands.mean(2) for bands in centre_means(high, low))
    found, best, here = best_shift(blocks, other, REACH, lambda one, two: 1 - correlation(one, two))
    if here == best or best > 1 - ALIKE or here < CLEARLY * best:
        return None
    return found


def centre_means(high: Raster, low: Raster) -> tuple[Grey, Grey]:
    """In the central part of both: the means of blocks of `high`, and the pixels of `low`, (H, W, C) each."""
    scale = high.shape[0] // low.shape[0]
    (top, height), (left, width) = (centre_range(side) for side in low.shape[:2])
    window = high[top * scale : (top + height) * scale, left * scale : (left + width) * scale]
    blocks = window.reshape(height, scale, width, scale, -1).mean((1, 3), np.float64)
    return blocks, low[top : top + height, left : left + width].astype(np.float64)


def best_shift(
    still: Grey, other: Grey, reach: int, distance: Callable[[Grey, Grey], float]
) -> tuple[Shift, float, float]:
    """The shift by up to `reach` pixels of least distance, that distance, and the distance without a shift.

    Both images are (H, W) with more than 2 * reach pixels a side; the outermost `reach` pixels of `still` are
    ignored.
    """
    inner = still[reach:-reach, reach:-reach]
    rows, columns = inner.shape
    steps = range(2 * reach + 1)
    distances = np.array([
        [distance(inner, other[y : y + rows, x : x + columns]) for x in steps] for y in steps
    ])  # fmt: skip
    down, right = np.unravel_index(distances.argmin(), distances.shape)
    found = Shift(int(down) - reach, int(right) - reach)
    return found, float(distances[down, right]), float(distances[reach, reach])


def shift_warning(shifted: Sequence[tuple[Sequence[Entry], Shift]], total: int) -> str:
    """The warning about shifted pairs, naming the first; `total` is the number of all pairs."""
    (high, low), first = shifted[0]
    many = f" ({len(shifted)} of {total} pairs are shifted)" if len(shifted) > 1 else ""
    return f"{low.name}: its content lies {first} of where {high.name} has it, and so will results{many}"


def centre_range(side: int) -> tuple[int, int]:
    """(start, length) of the central part along a side."""
    length = min(side, SIDE)
    return (side - length) // 2, length


def correlation(one: Grey, other: Grey) -> float:
    """The absolute value of Pearson's correlation; 0 if one image is constant."""
    one, other = one - one.mean(), other - other.mean()
    power = (one**2).sum() * (other**2).sum()
    return float(abs((one * other).sum()) / np.sqrt(power)) if power > 0 else 0.0
