"""Axes of plots: where numbers lie, and which of them are written."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from refinesr.evaluate.estimates import Estimate
from refinesr.evaluate.geometry import Number


@dataclass(frozen=True)
class Axis:
    """Numbers from `low` to `high` on a line from `start` to `end`, by their logarithms if `log`."""

    title: str
    low: Number
    high: Number
    start: Number
    end: Number
    log: bool = False
    at: tuple[Number, ...] = ()
    """Where to put ticks; at round numbers if empty."""

    def __call__(self, value: Number) -> Number:
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> tuple[Number, ...]:
        return self.at or round_numbers(self.low, self.high)


def round_numbers(low: Number, high: Number) -> tuple[Number, ...]:
    """Multiples of 1, 2 or 5 times a power of ten within [low, high], at most 6 of them."""
    power = 10.0 ** math.floor(math.log10((high - low) / 6))
    step = next(s * power for s in (1, 2, 5, 10, 20) if (high - low) / (s * power) <= 5)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(step * k for k in range(first, last + 1))


def tick_text(value: Number, ticks: Sequence[Number]) -> str:
    """With as many decimals as tell the ticks apart."""
    step = min((b - a for a, b in pairwise(ticks)), default=1.0)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value + 0.0:.{decimals}f}"


def axis(title: str, values: Iterable[Estimate], start: Number, end: Number) -> Axis:
    """One on which all means and intervals have room, with a tenth to spare."""
    ends = [end for value in values for end in (value.mean, *(value.interval or ()))]
    low, high = min(ends), max(ends)
    spare = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(title, low - spare, high + spare, start, end)


def spread(values: Iterable[Number], x: Axis, least: Number = 30) -> Iterator[Number]:
    """Those between whose places there is room for what is written there."""
    last = -math.inf
    for value in values:
        if x(value) - last >= least:
            last = x(value)
            yield value
