"""Means over pictures, their intervals by bootstrap, and how both are written."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refinesr.evaluate.aims import Interval

DRAWS, PART = 2000, 50
"""Of pictures, for a bootstrap interval; so many are made at once."""

LEVEL = 0.95

SMALL = 0.01
"""Of numbers below it four decimals leave too little."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean over `count` pictures and its 95 % interval: none of less than two, nor where nobody says."""

    mean: float
    low: float | None = None
    high: float | None = None
    count: int | None = None

    @property
    def interval(self) -> Interval | None:
        return None if self.low is None or self.high is None else (self.low, self.high)

    @staticmethod
    def of(values: Iterable[float]) -> "Estimate":
        """By bootstrap over pictures (percentiles of `DRAWS` means), always from the same random numbers."""
        column = np.array([*values])
        with np.errstate(invalid="ignore"):  # inf - inf, of methods that are perfect on different pictures
            return Estimate.around(float(column.mean()), means(column), len(column))

    @staticmethod
    def around(mean: float, draws: Floats, count: int) -> "Estimate":
        """Of a number of `count` pictures, and of those that were drawn of them."""
        if count < 2:
            return Estimate(mean, count=count)
        # whole draws, for between infinite ones there is nothing
        low, high = np.quantile(draws, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), method="inverted_cdf")
        return Estimate(mean, float(low), float(high), count)


def means(column: Floats) -> Floats:
    """Of `DRAWS` times as many pictures, drawn with repetition; the same ones for columns of one length."""
    rng = np.random.default_rng(0)
    places = (rng.integers(len(column), size=(PART, len(column))) for _ in range(0, DRAWS, PART))
    return np.concatenate([column[part].mean(1) for part in places])


def told(estimate: Estimate | None) -> str:
    """With how far its interval goes: ± if as far up as down, to the digits that are shown."""
    if estimate is None:
        return ""
    largest = max(map(abs, (estimate.mean, *(estimate.interval or ()))))
    form = ".2e" if 0 < largest < SMALL else ".4f" if abs(estimate.mean) < 2 else ".2f"
    if estimate.low is None or estimate.high is None or not math.isfinite(estimate.high - estimate.low):
        return f"{estimate.mean:{form}}"
    up, down = (f"{abs(end - estimate.mean):{form}}" for end in (estimate.high, estimate.low))
    return f"{estimate.mean:{form}} ± {up}" if up == down else f"{estimate.mean:{form}} +{up} -{down}"
