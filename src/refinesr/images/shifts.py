"""Whether the poor picture of a pair shows what the good one shows, but some pixels beside it.

A network learns such a shift with all the rest, and its results are out of place.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from refinesr.images.entries import Entry
from refinesr.images.image_store import Raster

Grey = npt.NDArray[np.float64]
"""(H, W), or (H, W, C) of several bands."""


class Shift(NamedTuple):
    """How far the content of a picture lies below and right of its place, in its pixels."""

    down: int
    right: int

    def __str__(self) -> str:
        return f"{self.right:+d} pixels to the right and {self.down:+d} down"


REACH = 3
"""Farthest shift that is looked for."""

SIDE = 96
"""Pixels of the poor picture, a side of its middle, that are looked at."""

ALIKE, CLEARLY = 0.9, 4.0
"""A shift is told where the pictures then correlate so much, and lack so many times more to 1 without it."""


def detect_shift(high: Raster, low: Raster) -> Shift | None:
    """How `low` (h, w, C) is shifted against `high`, (scale * h, scale * w, C), if that is plain to see.

    Compared is the mean of each block of scale x scale pixels, by correlation: neither brightness, contrast
    nor the sign counts, nor noise, blur and blocks unless they are all there is to see.
    """
    if min(low.shape[:2]) < 8 * REACH:
        return None
    blocks, other = (bands.mean(2) for bands in centre_means(high, low))
    found, best, here = best_shift(blocks, other, REACH, lambda one, two: 1 - correlation(one, two))
    if here == best or best > 1 - ALIKE or here < CLEARLY * best:
        return None
    return found


def centre_means(high: Raster, low: Raster) -> tuple[Grey, Grey]:
    """Of the middle of both each band: the mean of each block of `high`, and the pixel of `low` there."""
    scale = high.shape[0] // low.shape[0]
    (top, height), (left, width) = (centre_range(side) for side in low.shape[:2])
    window = high[top * scale : (top + height) * scale, left * scale : (left + width) * scale]
    blocks = window.reshape(height, scale, width, scale, -1).mean((1, 3), np.float64)
    return blocks, low[top : top + height, left : left + width].astype(np.float64)


def best_shift(
    still: Grey, other: Grey, reach: int, distance: Callable[[Grey, Grey], float]
) -> tuple[Shift, float, float]:
    """Of all shifts by up to `reach` pixels the one that `other` fits `still` best with, the distance that is
    left with it, and that without any.

    Both are (H, W), with more than 2 * reach pixels a side; the outermost `reach` of `still` do not count.
    """
    middle = still[reach:-reach, reach:-reach]
    rows, columns = middle.shape
    steps = range(2 * reach + 1)
    left = np.array([
        [distance(middle, other[y : y + rows, x : x + columns]) for x in steps] for y in steps
    ])  # fmt: skip
    down, right = np.unravel_index(left.argmin(), left.shape)
    found = Shift(int(down) - reach, int(right) - reach)
    return found, float(left[down, right]), float(left[reach, reach])


def shift_warning(shifted: Sequence[tuple[Sequence[Entry], Shift]], total: int) -> str:
    """What to say of so many pairs out of a total; the first is named."""
    (high, low), first = shifted[0]
    many = f" ({len(shifted)} of {total} pairs are shifted)" if len(shifted) > 1 else ""
    return f"{low.name}: its content lies {first} of where {high.name} has it, and so will results{many}"


def centre_range(side: int) -> tuple[int, int]:
    """Where the part that is looked at begins, and how long it is."""
    length = min(side, SIDE)
    return (side - length) // 2, length


def correlation(one: Grey, other: Grey) -> float:
    """|Pearson's|; 0 where one of them is flat."""
    one, other = one - one.mean(), other - other.mean()
    power = (one**2).sum() * (other**2).sum()
    return float(abs((one * other).sum()) / np.sqrt(power)) if power > 0 else 0.0
