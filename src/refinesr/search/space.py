"""Where to search: the ends of a grid within the trained levels, and how the levels between are spaced.

A place is a spacing and two numbers in [0, 1], on a logarithmic scale: `low` from the lowest trained level to
a middle one, `high` from there to the highest.  So all spacings share one plane, and one step in it.
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
"""Of the numbers of a grid: as many as anybody can read, rounded into the trained range."""

EDGE = 0.05
"""How near the ends come to the middle, of the way; there the grid has no length."""


@dataclass(frozen=True)
class Power:
    """sigma**(1/rho) evenly spaced: the larger rho, the more levels are low."""

    rho: float = 7.0

    def grid(self, low: float, high: float, steps: int) -> GridChoice:
        return Karras(low, high, self.rho)

    def near(self, step: float) -> tuple["Spacing", ...]:
        """Those next to it, nearer for a smaller step."""
        more = 1 + 4 * step
        return tuple(Power(round(max(1.0, rho), 2)) for rho in (self.rho * more, self.rho / more))


@dataclass(frozen=True)
class LogEven:
    """log(sigma) evenly spaced: `Power` with an infinite rho."""

    def grid(self, low: float, high: float, steps: int) -> GridChoice:
        return LogSNR(low, high)

    def near(self, step: float) -> tuple["Spacing", ...]:
        return (Power(14.0),)


@dataclass(frozen=True)
class NewTable:
    """SR3's: a new table of `steps` betas, evenly spaced, all of whose rows are visited."""

    def grid(self, low: float, high: float, steps: int) -> GridChoice | None:
        """None where no such table has these ends."""
        first = rounded(low**2 / (1 + low**2), ROUND_CEILING)  # of sigma² = 1 / (1 - beta) - 1
        last = last_beta(first, high, steps)
        return None if last is None else Even(Linear(first if steps > 1 else last, last, steps))

    def near(self, step: float) -> tuple["Spacing", ...]:
        return ()


Spacing = Power | LogEven | NewTable


def last_beta(first: float, high: float, steps: int) -> float | None:
    """The last of `steps` evenly spaced betas whose last row is at most sigma = `high`, by bisection."""

    def reached(last: float) -> float:
        """-log(gamma) of the last row; ascends with `last`."""
        betas = torch.linspace(first if steps > 1 else last, last, steps, dtype=torch.float64)
        return float(-torch.log1p(-betas).sum())

    wanted, least, most = math.log1p(high**2), 0.0, 1.0
    if reached(1e-9) > wanted:
        return None
    for _ in range(60):
        half = (least + most) / 2
        least, most = (half, most) if reached(half) <= wanted else (least, half)
    # close to 1 what counts is the distance from it
    return rounded(least, ROUND_FLOOR) if least < 0.5 else 1 - rounded(1 - least, ROUND_CEILING)


@dataclass(frozen=True)
class Range:
    """Noise levels: the lowest and highest trained, and one between, where the two ends meet."""

    lowest: float
    middle: float
    highest: float

    def ends(self, low: float, high: float) -> tuple[float, float]:
        """sigma of the two ends at a place, inside the range."""
        least = self.lowest * (self.middle / self.lowest) ** low
        most = self.middle * (self.highest / self.middle) ** high
        return rounded(least, ROUND_CEILING), rounded(most, ROUND_FLOOR)


def trained(method: Method) -> Range:
    """The middle is sigma = 1, noise as strong as white is bright, if it was trained.

    The lowest is what one level in a thousand is below.  Raises ConfigError if there is nothing to search.
    """
    if isinstance(method.precond, Blind):
        raise ConfigError("method.precond: Blind answers in one call, whatever the level: nothing to search")
    if isinstance(method.levels, Few):
        raise ConfigError(f"method.levels: {method.levels} are few levels and no range: nothing to search")
    lowest = float(method.levels.at(torch.tensor([1e-3], dtype=torch.float64)))
    highest = method.levels.highest()
    if highest < 2 * lowest:
        raise ConfigError(f"method.levels: {method.levels} is one level and no range: nothing to search")
    middle = 1.0 if 2 * lowest < 1 < highest / 2 else math.sqrt(lowest * highest)
    return Range(lowest, middle, highest)


def spacings(method: Method, steps: int) -> tuple[Spacing, ...]:
    """Those to try; new tables where the model was trained with one, for that is how its paper does it.

    One or two levels are the ends, whatever the spacing: a single one is tried, and none where a single
    level is visited.
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
class Place:
    """A grid's place in the search: `low` in [0, 1), `high` in (0, 1]."""

    spacing: Spacing
    low: float
    high: float

    def grid(self, span: Range, steps: int) -> GridChoice | None:
        return self.spacing.grid(*span.ends(self.low, self.high), steps)

    def around(self, step: float) -> Iterator["Place"]:
        """One step of either end, up or down; and other spacings with these ends."""
        for away in (-step, step):
            yield replace(self, low=min(max(self.low + away, 0.0), 1 - EDGE))
            yield replace(self, high=min(max(self.high + away, EDGE), 1.0))
        yield from (replace(self, spacing=spacing) for spacing in self.spacing.near(step))


def lattice(kinds: Sequence[Spacing], many: int) -> list[Place]:
    """Evenly spread, `many` a side for each spacing, the whole trained range first."""
    share = [k / many for k in range(many)]
    return [Place(kind, low, 1 - high) for kind in kinds for low in share for high in share]


def rounded(value: float, direction: str) -> float:
    return float(Context(prec=DIGITS, rounding=direction).create_decimal(value))
