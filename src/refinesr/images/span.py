"""Which numbers of files a network is shown as -1 and 1."""

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
"""How far pixels may leave their span, as a share of it: bicubic resampling overshoots an edge by 7.5 %, and
a corner, which is one along both axes, by 1.075**2 - 1 = 15.6 %.  What goes farther is of another range."""

LARGEST, TINY = 1e38, 1e-37
"""What float32 holds with room to add, and divide by."""

Values = Float[Tensor, "*places bands"]


@dataclass(frozen=True)
class Span:
    """`low` is shown to the network as -1 and `high` as 1: values of files, in the files' own numbers.

    Each is one number for all bands, or one for each band.  Raises ConfigError for numbers that float32 does
    not hold, and unless every low is below its high.
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
        """How many have one of their own; 1 for all."""
        return len(self.low)

    @property
    def width(self) -> tuple[float, ...]:
        return tuple(high - low for low, high in zip(self.low, self.high, strict=True))

    def fits(self, channels: int) -> bool:
        """Whether it says what so many bands are."""
        return self.bands in (1, channels)

    def of_band(self, number: int) -> "Span":
        """The same for one band alone, counted from 0."""
        return self if self.bands == 1 else Span((self.low[number],), (self.high[number],))

    def normalise_(self, values: Values) -> Values:
        """From files' numbers to about [-1, 1], in place; float32.

        What the low has beyond float32 is taken off after the rest, so that values near it lose nothing.
        """
        first, beyond, half = self._parts(values)
        return values.sub_(first).sub_(beyond).div_(half).sub_(1)

    def denormalise_(self, values: Values) -> Values:
        """The inverse of `normalise_`, in place."""
        first, beyond, half = self._parts(values)
        return values.add_(1).mul_(half).add_(beyond).add_(first)

    def _parts(self, like: Values) -> tuple[Tensor, Tensor, Tensor]:
        """The low, rounded; what that lacks; half the width."""
        low, width = torch.tensor([self.low, self.width], dtype=torch.float64)
        first = low.float()
        first, beyond, half = torch.stack((first, (low - first).float(), (width / 2).float())).to(like)
        return first, beyond, half

    def range_error(self, values: NDArray[np.generic]) -> str | None:
        """What is wrong with values (..., bands) farther outside than `SLACK`, and what would hold them; None
        where nothing is, or nothing finite.  So many bands must fit.
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
    """Of all that are not NaN, which stands for missing ones."""
    return float(np.fmin.reduce(values, None)), float(np.fmax.reduce(values, None))


def as_finite_float32(name: str, value: object) -> float:
    """Raises ConfigError for what float32 does not hold."""
    found = as_float(name, value)
    if not abs(found) <= LARGEST:
        raise ConfigError(f"{name}: {found:g} is not a finite number of 32 bits")
    return found


def format_range(low: Iterable[float], high: Iterable[float]) -> str:
    """Band by band."""
    return ", ".join(
        f"{format_value(one)} to {format_value(other)}" for one, other in zip(low, high, strict=True)
    )


def format_value(value: float) -> str:
    """As short as float32 tells it apart from its neighbours."""
    return f"{value:.7g}"
