"""Detection of pairs whose two images have their values in different units.

A network trained on such pairs learns the conversion, and its results are in the wrong unit.
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
    """The ranges of values of both images, in words."""

    high: str
    low: str


LEAST = 64
"""Least number of low-resolution pixels to decide on."""

ALIKE = 0.5
"""Least correlation of images with the same content in any unit.

Noise that multiplies the standard deviation by F leaves a correlation of 1 / F, and blur that divides it by F
leaves little more, so that neither is mistaken for a unit.
"""

FACTOR = 50.0
"""Least ratio of standard deviations that indicates different units.

hPa and Pa differ by a factor of 100, and ranges of 0 to 1 and 0 to 255 by 255; an sRGB photo at a hundredth
of the exposure differs only by 18.
"""

AWAY, PART, SIMILAR = 5.0, 0.25, 3.0
"""Conditions of an offset between units: the means differ by at least AWAY standard deviations and by at
least the fraction PART of the span, and the standard deviations by no more than the factor SIMILAR.

Kelvin and Celsius differ by 273, where fields vary by 1 to 20; of a span that holds both this is a large
fraction, unlike a bias.  Darker images have smaller standard deviations, too.
"""


def detect_unit_mismatch(high: Raster, low: Raster, span: Span | None = None) -> UnitMismatch | None:
    """The ranges of `low` (h, w, C) and `high` (scale * h, scale * w, C) if their units differ, else None.

    The central parts are compared, with limits that bias, noise and blur do not reach.  Bands with spans of
    their own are compared one by one, bands that share a span, and so a unit, by their mean.  Without a span
    values are fractions of their type's white, and only factors are detected, as zero is the same for all.
    """
    if low.shape[0] * low.shape[1] < LEAST:
        return None
    high_means, low_means = centre_means(high, low)
    if span is None:
        high_means, low_means = high_means / PEAKS[high.dtype], low_means / PEAKS[low.dtype]
    alone = span is not None and span.bands > 1
    if not alone:
        high_means, low_means = (means.mean(2, keepdims=True) for means in (high_means, low_means))
    for band in range(high_means.shape[2]):
        width = None if span is None else span.of_band(band).width[0]
        one, other = high_means[..., band], low_means[..., band]
        if units_differ(one, other, width):
            place = f" in band {band + 1}" if alone else ""
            return UnitMismatch(*(f"{range_text(values, span)}{place}" for values in (one, other)))
    return None


def units_differ(one: Grey, other: Grey, width: float | None) -> bool:
    """Whether the units of two images (H, W) of the same content differ; False if a value is NaN.

    `width` is that of the span; without it offsets are not detected.
    """
    spread, mean = np.array([(values.std(), values.mean()) for values in (one, other)]).T
    shared = ((one - mean[0]) * (other - mean[1])).mean()
    if not shared >= ALIKE * spread.prod() > 0:
        return False
    factor, apart = spread.max() / spread.min(), abs(mean[1] - mean[0])
    moved = width is not None and factor <= SIMILAR and apart >= max(AWAY * spread.max(), PART * width)
    return bool(factor >= FACTOR or moved)


def range_text(values: Grey, span: Span | None) -> str:
    """The range of the values with 4 digits."""
    factor, unit = (100, " % of white") if span is None else (1, "")
    least, most = (float(f"{factor * value:.4g}") for value in (values.min(), values.max()))
    return f"{format_range((least,), (most,))}{unit}"


def unit_warning(found: Sequence[tuple[Sequence[Entry], UnitMismatch]], total: int) -> str:
    """The warning about pairs in different units, naming the first; `total` is the number of all pairs."""
    (high, low), first = found[0]
    many = f" ({len(found)} of {total} pairs are so)" if len(found) > 1 else ""
    values = f"its values are {first.low} where {high.name} has {first.high}"
    return f"{low.name}: {values}, as if in another unit; bring both into one{many}"
