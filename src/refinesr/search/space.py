"""The search space: the two ends of a grid within the trained noise levels, and the spacing between them.

A `Point` is a spacing and two coordinates in [0, 1], logarithmic in sigma: `low` goes from the lowest trained
level to a middle one, `high` from there to the highest.  All spacings share these coordinates.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context

import torch

from refinesr.diffusion.levels import Continuous, Discrete, Few
from refinesr.diffusion.precond import Blind
from refinesr.diffusion.schedule import Even, GridChoice, Karras, Linear, LogSNR
from refinesr.errors import ConfigError
from refinesr.method import Method

DIGITS = 4
"""Significant digits of a grid's numbers; they are rounded into the trained range."""

EDGE = 0.05
"""Smallest distance, in coordinates, of either end from the middle level, where the grid would be empty."""


@dataclass(frozen=True)
class Power:
    """sigma**(1/rho) evenly spaced (Karras et al. 2022): a larger rho has more low levels."""

    rho: float = 7.0

    def grid(self, low: float, high: float, steps: int) -> GridChoice:
        return Karras(low, high, self.rho)

    def neighbours(self, step: float) -> tuple["Spacing", ...]:
        """Spacings with a larger and a smaller rho, closer for a smaller step."""
        factor = 1 + 4 * step
        return tuple(Power(round(max(1.0, rho), 2)) for rho in (self.rho * factor, self.rho / factor))


@dataclass(frozen=True)
class LogEven:
    """log(sigma) evenly spaced: `Power` with an infinite rho."""

    def grid(self, low: float, high: float, steps: int) -> GridChoice:
        return LogSNR(low, high)

    def neighbours(self, step: float) -> tuple["Spacing", ...]:
        return (Power(14.0),)


@dataclass(frozen=True)
class NewTable:
    """As in SR3: a new table of `steps` evenly spaced betas, all of whose rows are visited."""

    def grid(self, low: float, high: float, steps: int) -> GridChoice | None:
        """None if no such table has these ends."""
        first = rounded(low**2 / (1 + low**2), ROUND_CEILING)  # of sigma² = 1 / (1 - beta) - 1
        last = last_beta(first, high, steps)
        return None if last is None else Even(Linear(first if steps > 1 else last, last, steps))

    def neighbours(self, step: float) -> tuple["Spacing", ...]:
        return ()


Spacing = Power | LogEven | NewTable


def last_beta(first: float, high: float, steps: int) -> float | None:
    """The last of `steps` evenly spaced betas such that the last row is at most sigma = `high`, by bisection.

    None if `first` alone exceeds it.
    """

    def log_inverse_gamma(last: float) -> float:
        """-log(gamma) of the last row; increases with `last`."""
        betas = torch.linspace(first if steps > 1 else last, last, steps, dtype=torch.float64)
        return float(-torch.log1p(-betas).sum())

    target, lower, upper = math.log1p(high**2), 0.0, 1.0
    if log_inverse_gamma(1e-9) > target:
        return None
    for _ in range(60):
        middle = (lower + upper) / 2
        lower, upper = (middle, upper) if log_inverse_gamma(middle) <= target else (lower, middle)
    # close to 1, the digits of the distance from 1 matter
    return rounded(lower, ROUND_FLOOR) if lower < 0.5 else 1 - rounded(1 - lower, ROUND_CEILING)


@dataclass(frozen=True)
class Range:
    """The lowest and highest trained noise level, and one between, which separates the two ends of a grid."""

    lowest: float
    middle: float
    highest: float

    def ends(self, low: float, high: float) -> tuple[float, float]:
        """sigma of a grid's two ends for the coordinates `low` and `high`."""
        last = self.lowest * (self.middle / self.lowest) ** low
        first = self.middle * (self.highest / self.middle) ** high
        return rounded(last, ROUND_CEILING), rounded(first, ROUND_FLOOR)


def trained_range(method: Method) -> Range:
    """The range of a method's training levels.

    The lowest is their 0.1 % quantile; the middle is sigma = 1 if that is well inside.  Raises ConfigError if
    the method has no range of levels to search.
    """
    if isinstance(method.precond, Blind):
        raise ConfigError(
            "method.precond: a Blind model makes one call and has no noise levels: nothing to search"
        )
    if isinstance(method.levels, Few):
        raise ConfigError(f"method.levels: {method.levels} are few levels and no range: nothing to search")
    lowest = float(method.levels.at(torch.tensor([1e-3], dtype=torch.float64)))
    highest = method.levels.highest()
    if highest < 2 * lowest:
        raise ConfigError(f"method.levels: {method.levels} is one level and no range: nothing to search")
    middle = 1.0 if 2 * lowest < 1 < highest / 2 else math.sqrt(lowest * highest)
    return Range(lowest, middle, highest)


def usable_spacings(method: Method, steps: int) -> tuple[Spacing, ...]:
    """The spacings to search; `NewTable` is among them if the model was trained with a table, as in SR3.

    Two levels are the ends alone, so one spacing is enough; for a single level there is none.
    """
    sampling = method.sampling
    if sampling.fidelity == 1 and sampling.mean is not None:
        raise ConfigError("sampling.fidelity: 1 is the mean, asked for at sampling.mean: nothing to search")
    if steps == 1 or sampling.fidelity == 1:
        return ()
    if steps == 2:
        return (Power(),)
    common = (Power(7.0), Power(2.5), LogEven())
    return (*common, NewTable()) if isinstance(method.levels, Discrete | Continuous) else common


@dataclass(frozen=True)
class Point:
    """A point of the search space: `low` in [0, 1), `high` in (0, 1]."""

    spacing: Spacing
    low: float
    high: float

    def grid(self, levels: Range, steps: int) -> GridChoice | None:
        return self.spacing.grid(*levels.ends(self.low, self.high), steps)

    def neighbours(self, step: float) -> Iterator["Point"]:
        """Points with either end moved by a step, up or down, and with neighbouring spacings."""
        for change in (-step, step):
            yield replace(self, low=min(max(self.low + change, 0.0), 1 - EDGE))
            yield replace(self, high=min(max(self.high + change, EDGE), 1.0))
        yield from (replace(self, spacing=spacing) for spacing in self.spacing.neighbours(step))


def lattice(spacings: Sequence[Spacing], side: int) -> list[Point]:
    """side x side evenly spaced points for each spacing; the first of each is the whole trained range."""
    offsets = [k / side for k in range(side)]
    return [Point(spacing, low, 1 - high) for spacing in spacings for low in offsets for high in offsets]


def rounded(value: float, direction: str) -> float:
    """To `DIGITS` significant digits, in a rounding direction of `decimal`."""
    return float(Context(prec=DIGITS, rounding=direction).create_decimal(value))
