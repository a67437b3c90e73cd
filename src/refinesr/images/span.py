"""Which values of files a network sees as -1 and 1."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from refinesr.errors import ConfigError
from refinesr.validation import as_float, type_error_text

SLACK = 0.16
"""How far values may lie outside their span, as a fraction of its width.

Bicubic resampling overshoots an edge by 7.5 %, and a corner, which is an edge along both axes, by 15.6 %
(1.075**2 - 1).  Values farther outside are assumed to be of another range.
"""

LARGEST, TINY = 1e38, 1e-37
"""Largest magnitude and smallest difference that float32 arithmetic can handle, with a margin."""

Values = Float[Tensor, "*places bands"]


@dataclass(frozen=True)
class Span:
    """The values of files, in the files' own units, that networks see as -1 (`low`) and 1 (`high`).

    Each is a tuple of one number for all bands, or of one for each band.  Raises ConfigError for numbers
    beyond float32, and unless every low is below its high.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            given = getattr(self, name)
            if isinstance(given, str) or not isinstance(given, Iterable):
                right = "a tuple of numbers, one or one for each band,"
                raise ConfigError(f"{name}: {type_error_text(given, right)}")
            object.__setattr__(self, name, tuple(as_finite_float32(name, value) for value in given))
        if len(self.low) != len(self.high) or not self.low:
            found = f"has {len(self.high)} numbers and low {len(self.low)}"
            raise ConfigError(f"high: {found}; as many are needed, one or one for each band")
        for low, high in zip(self.low, self.high, strict=True):
            if high - low <= TINY:
                raise ConfigError(f"high: {format_value(high)} is not above low, {format_value(low)}")

    def __str__(self) -> str:
        return format_range(self.low, self.high)

    @property
    def bands(self) -> int:
        """How many bands have their own range; 1: all share one."""
        return len(self.low)

    @property
    def width(self) -> tuple[float, ...]:
        """high - low of each band."""
        return tuple(high - low for low, high in zip(self.low, self.high, strict=True))

    def fits(self, channels: int) -> bool:
        """Whether the span can be used for images of so many bands."""
        return self.bands in (1, channels)

    def of_band(self, number: int) -> "Span":
        """The span of a single band, numbered from 0."""
        return self if self.bands == 1 else Span((self.low[number],), (self.high[number],))

    def normalise_(self, values: Values) -> Values:
        """Map float32 values of files to about [-1, 1], in place.

        `low` is subtracted in two parts, its float32 value and the remainder, so that values near it keep
        their precision.
        """
        low, remainder, half = self._parts(values)
        return values.sub_(low).sub_(remainder).div_(half).sub_(1)

    def denormalise_(self, values: Values) -> Values:
        """The inverse of `normalise_`, in place."""
        low, remainder, half = self._parts(values)
        return values.add_(1).mul_(half).add_(remainder).add_(low)

    def _parts(self, like: Values) -> tuple[Tensor, Tensor, Tensor]:
        """`low` in float32, the remainder of `low`, half the width."""
        exact, width = torch.tensor([self.low, self.width], dtype=torch.float64)
        low = exact.float()
        low, remainder, half = torch.stack((low, (exact - low).float(), (width / 2).float())).to(like)
        return low, remainder, half

    def range_error(self, values: NDArray[np.generic]) -> str | None:
        """The message for values (..., bands) more than `SLACK` outside, with a span that would hold them.

        None if there are no such values, or infinite ones.  The span must fit that many bands.
        """
        if not values.size:
            return None
        parts = [values[..., band] for band in range(self.bands)] if self.bands > 1 else [values]
        least, most = np.array([min_max(part) for part in parts], np.float64).T
        low, high = np.array(self.low), np.array(self.high)
        slack = SLACK * (high - low)
        out = (least < low - slack) | (most > high + slack)
        if not np.isfinite((least, most)).all() or not out.any():
            return None
        bad = int(out.argmax())
        place = f"band {bad + 1} " if self.bands > 1 else ""
        found = f"{place}goes from {format_value(least[bad])} to {format_value(most[bad])}"
        holding = format_range(np.minimum(low, least).tolist(), np.maximum(high, most).tolist())
        far = f"more than {100 * SLACK:g} % outside the span {self}"
        return f"{found}, {far}; {holding} would hold it"


def min_max(values: NDArray[np.generic]) -> tuple[float, float]:
    """The smallest and the largest value, ignoring NaN."""
    return float(np.fmin.reduce(values, None)), float(np.fmax.reduce(values, None))


def as_finite_float32(name: str, value: object) -> float:
    """`value` as a float.  Raises ConfigError for anything but a number within float32."""
    found = as_float(name, value)
    if not abs(found) <= LARGEST:
        raise ConfigError(f"{name}: {found:g} is not a finite number of 32 bits")
    return found


def format_range(low: Iterable[float], high: Iterable[float]) -> str:
    """The ranges of all bands as text."""
    return ", ".join(
        f"{format_value(one)} to {format_value(other)}" for one, other in zip(low, high, strict=True)
    )


def format_value(value: float) -> str:
    """With the digits that distinguish a float32 from its neighbours."""
    return f"{value:.7g}"
