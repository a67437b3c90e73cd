"""Axes of plots: positions of values, and tick values."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from refinesr.evaluate.estimates import Estimate
from refinesr.evaluate.geometry import Number


@dataclass(frozen=True)
class Axis:
    """Maps values from `low` to `high` to positions from `start` to `end`; logarithmic if `log`."""

    title: str
    low: Number
    high: Number
    start: Number
    end: Number
    log: bool = False
    tick_values: tuple[Number, ...] = ()
    """Values of the ticks; round numbers if empty."""

    def __call__(self, value: Number) -> Number:
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> tuple[Number, ...]:
        return self.tick_values or round_numbers(self.low, self.high)


def round_numbers(low: Number, high: Number) -> tuple[Number, ...]:
    """Multiples of 1, 2 or 5 times a power of ten within [low, high], at most 6 of them."""
    power = 10.0 ** math.floor(math.log10((high - low) / 6))
    step = next(s * power for s in (1, 2, 5, 10, 20) if (high - low) / (s * power) <= 5)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(step * k for k in range(first, last + 1))


def tick_text(value: Number, ticks: Sequence[Number]) -> str:
    """The tick's label, with as many decimals as the distance between ticks needs."""
    step = min((b - a for a, b in pairwise(ticks)), default=1.0)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value + 0.0:.{decimals}f}"


def axis_around(title: str, values: Iterable[Estimate], start: Number, end: Number) -> Axis:
    """An axis that covers all means and intervals with a margin of a tenth on either side."""
    ends = [end for value in values for end in (value.mean, *(value.interval or ()))]
    low, high = min(ends), max(ends)
    margin = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(title, low - margin, high + margin, start, end)


def spaced(values: Iterable[Number], x: Axis, least: Number = 30) -> Iterator[Number]:
    """The ascending values whose positions are at least `least` from the previous one taken."""
    last = -math.inf
    for value in values:
        if x(value) - last >= least:
            last = x(value)
            yield value
