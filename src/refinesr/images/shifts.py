"""Whether the poor picture of a pair shows what the good one shows, but some pixels beside it.

A network learns such a shift with all the rest, and its results are out of place.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from refinesr.images.shards import Entry
from refinesr.images.stock import Raster

Shift = tuple[int, int]
"""How far the content of the poor picture lies below and right of its place, in its pixels."""

REACH = 3
"""Farthest shift that is looked for."""

SIDE = 96
"""Pixels of the poor picture, a side of its middle, that are looked at."""

ALIKE, CLEARLY = 0.9, 4.0
"""A shift is told where the pictures then correlate so much, and lack so many times more to 1 without it."""


def shift(high: Raster, low: Raster) -> Shift | None:
    """How `low` (h, w, C) is shifted against `high`, (scale * h, scale * w, C), if that is plain to see.

    Compared is the mean of each block of scale x scale pixels, by correlation: neither brightness, contrast
    nor the sign counts, nor noise, blur and blocks unless they are all there is to see.
    """
    scale, sides = high.shape[0] // low.shape[0], low.shape[:2]
    if min(sides) < 8 * REACH:
        return None
    (top, height), (left, width) = (middle(side) for side in sides)
    window = high[top * scale : (top + height) * scale, left * scale : (left + width) * scale]
    blocks = window.reshape(height, scale, width, scale, -1).mean((1, 3, 4), np.float64)
    other = low[top : top + height, left : left + width].mean(2, np.float64)
    place = blocks[REACH:-REACH, REACH:-REACH]
    rows, columns = place.shape
    reach = range(2 * REACH + 1)
    found = np.array(
        [[correlation(place, other[y : y + rows, x : x + columns]) for x in reach] for y in reach]
    )
    down, right = np.unravel_index(found.argmax(), found.shape)
    best, here = found[down, right], found[REACH, REACH]
    if here == best or best < ALIKE or 1 - here < CLEARLY * (1 - best):
        return None
    return int(down) - REACH, int(right) - REACH


def told(shifted: Sequence[tuple[Sequence[Entry], Shift]], total: int) -> str:
    """What to say of so many pairs out of a total; the first is named."""
    (high, low), (down, right) = shifted[0]
    place = f"{right:+d} pixels to the right and {down:+d} down"
    many = f" ({len(shifted)} of {total} pairs are shifted)" if len(shifted) > 1 else ""
    return f"{low.name}: its content lies {place} of where {high.name} has it, and so will results{many}"


def middle(side: int) -> tuple[int, int]:
    """Where the part that is looked at begins, and how long it is."""
    length = min(side, SIDE)
    return (side - length) // 2, length


def correlation(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """|Pearson's|; 0 where one of them is flat."""
    one, other = one - one.mean(), other - other.mean()
    power = (one**2).sum() * (other**2).sum()
    return float(abs((one * other).sum()) / np.sqrt(power)) if power > 0 else 0.0
