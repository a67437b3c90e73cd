"""Means over images with bootstrap confidence intervals, and their text."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refinesr.evaluate.aims import Interval

RESAMPLES, CHUNK = 2000, 50
"""Number of bootstrap resamples, and how many are drawn at once."""

CONFIDENCE = 0.95

SMALL = 0.01
"""Values below this are written in scientific notation."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean over `count` images and its 95 % interval (`low`, `high`), None if unknown or `count` < 2."""

    mean: float
    low: float | None = None
    high: float | None = None
    count: int | None = None

    @property
    def interval(self) -> Interval | None:
        return None if self.low is None or self.high is None else (self.low, self.high)

    @staticmethod
    def of(values: Iterable[float]) -> "Estimate":
        """Mean and percentile bootstrap interval over images, from a fixed seed."""
        column = np.array([*values])
        with np.errstate(invalid="ignore"):  # inf - inf, for methods that are perfect on different images
            return Estimate.from_resamples(float(column.mean()), bootstrap_means(column), len(column))

    @staticmethod
    def from_resamples(mean: float, draws: Floats, count: int) -> "Estimate":
        """From a statistic of `count` images and its values over bootstrap resamples."""
        if count < 2:
            return Estimate(mean, count=count)
        # no interpolation between draws, as they may be infinite
        low, high = np.quantile(draws, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2), method="inverted_cdf")
        return Estimate(mean, float(low), float(high), count)


def bootstrap_means(column: Floats) -> Floats:
    """Means of `RESAMPLES` bootstrap resamples; columns of equal length use the same resamples."""
    rng = np.random.default_rng(0)
    places = (rng.integers(len(column), size=(CHUNK, len(column))) for _ in range(0, RESAMPLES, CHUNK))
    return np.concatenate([column[part].mean(1) for part in places])


def estimate_text(estimate: Estimate | None) -> str:
    """The mean and its interval: `a ± b` if symmetric to the digits shown, else `a +b -c`; empty for None."""
    if estimate is None:
        return ""
    largest = max(map(abs, (estimate.mean, *(estimate.interval or ()))))
    form = ".2e" if 0 < largest < SMALL else ".4f" if abs(estimate.mean) < 2 else ".2f"
    if estimate.low is None or estimate.high is None or not math.isfinite(estimate.high - estimate.low):
        return f"{estimate.mean:{form}}"
    up, down = (f"{abs(end - estimate.mean):{form}}" for end in (estimate.high, estimate.low))
    return f"{estimate.mean:{form}} ± {up}" if up == down else f"{estimate.mean:{form}} +{up} -{down}"
