"""Whether the poor picture of a pair has its values in another unit than the good one.

A network learns that with all the rest, and its results are as wrong.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from refinesr.images.entries import Entry
from refinesr.images.image_store import Raster
from refinesr.images.picture import PEAKS
from refinesr.images.shifts import Grey, centre_means
from refinesr.images.span import Span, format_range


class UnitMismatch(NamedTuple):
    """From where to where the values of both go, in words."""

    high: str
    low: str


LEAST = 64
"""Pixels of a poor picture that anything can be told of."""

ALIKE = 0.5
"""Both show the same, in whatever unit, where they correlate so much.  Noise that multiplies the deviation by
F leaves a correlation of 1 / F, and blur that divides it leaves little more: neither is taken for a unit."""

FACTOR = 50.0
"""Times that one's deviation is the other's, if by the unit.  hPa and Pa are 100 apart, 0 to 1 and 0 to 255
are 255; a photo in sRGB of a hundredth of the exposure has an 18th."""

AWAY, PART, SIMILAR = 5.0, 0.25, 3.0
"""Deviations, and share of the span, by which means are apart, if by the unit; the deviations are the same
then but for so many times.  Kelvin and Celsius are 273 apart, where fields vary by 1 to 20, and of a span
that holds both this is a large part, which a bias is not.  Darker pictures vary less, too."""


def detect_unit_mismatch(high: Raster, low: Raster, span: Span | None = None) -> UnitMismatch | None:
    """How the values of `low` (h, w, C) differ from those of `high`, (scale * h, scale * w, C), if that is
    plain to see in the middle of both, and no bias, noise or blur makes it so.

    Each band of a span of its own is looked at; those that share one, and so a unit, by their mean.  Without
    a span values are shares of what is white to their type, and 0 is the same to all: only factors are
    looked for.
    """
    if low.shape[0] * low.shape[1] < LEAST:
        return None
    good, poor = centre_means(high, low)
    if span is None:
        good, poor = good / PEAKS[high.dtype], poor / PEAKS[low.dtype]
    alone = span is not None and span.bands > 1
    if not alone:
        good, poor = (bands.mean(2, keepdims=True) for bands in (good, poor))
    for band in range(good.shape[2]):
        width = None if span is None else span.of_band(band).width[0]
        one, other = good[..., band], poor[..., band]
        if units_differ(one, other, width):
            place = f" in band {band + 1}" if alone else ""
            return UnitMismatch(*(f"{range_text(values, span)}{place}" for values in (one, other)))
    return None


def units_differ(one: Grey, other: Grey, width: float | None) -> bool:
    """Whether values (H, W) of one place are; `width` is that of their span.  Not so where one is NaN."""
    spread, mean = np.array([(values.std(), values.mean()) for values in (one, other)]).T
    shared = ((one - mean[0]) * (other - mean[1])).mean()
    if not shared >= ALIKE * spread.prod() > 0:
        return False
    factor, apart = spread.max() / spread.min(), abs(mean[1] - mean[0])
    moved = width is not None and factor <= SIMILAR and apart >= max(AWAY * spread.max(), PART * width)
    return bool(factor >= FACTOR or moved)


def range_text(values: Grey, span: Span | None) -> str:
    """In words, of few digits."""
    factor, unit = (100, " % of white") if span is None else (1, "")
    least, most = (float(f"{factor * value:.4g}") for value in (values.min(), values.max()))
    return f"{format_range((least,), (most,))}{unit}"


def unit_warning(found: Sequence[tuple[Sequence[Entry], UnitMismatch]], total: int) -> str:
    """What to say of so many pairs out of a total; the first is named."""
    (high, low), first = found[0]
    many = f" ({len(found)} of {total} pairs are so)" if len(found) > 1 else ""
    values = f"its values are {first.low} where {high.name} has {first.high}"
    return f"{low.name}: {values}, as if in another unit; bring both into one{many}"
