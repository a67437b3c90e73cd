"""The noise levels a network is trained at, and how a batch is spread over them.

A distribution is given by its quantiles: `at(u)` is sigma, ascending, for u uniform in [0, 1); all float64.
`lowest` and `highest` are the ends of what it teaches a network.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from refinesr.diffusion.schedule import Schedule, check_few, check_range, gamma_of, sigmas
from refinesr.errors import ConfigError
from refinesr.shapes import PerImage


@dataclass(frozen=True)
class Discrete:
    """Every row of the table equally often (DDPM, SRDiff)."""

    table: Schedule

    def __post_init__(self) -> None:
        sigmas(self.table)  # refuses what is no table

    def at(self, u: PerImage) -> PerImage:
        return sigmas(self.table)[_rows_below(u, self.table.rows)]

    def lowest(self) -> float:
        return float(sigmas(self.table)[0])

    def highest(self) -> float:
        return float(sigmas(self.table)[-1])


@dataclass(frozen=True)
class Continuous:
    """t ~ U{1..T}, then gamma ~ U(gamma_t, gamma_{t-1}), gamma_0 = 1 (Chen et al. 2021; SR3, section 2.4)."""

    table: Schedule

    def __post_init__(self) -> None:
        sigmas(self.table)  # refuses what is no table

    def at(self, u: PerImage) -> PerImage:
        row = _rows_below(u, self.table.rows)
        levels = sigmas(self.table)
        lost = torch.cat([levels.new_zeros(1), levels**2 * gamma_of(levels)])  # 1 - gamma, not cancelled
        between = torch.lerp(lost[row], lost[row + 1], u * self.table.rows - row)
        return (between / (1 - between)).sqrt()

    def lowest(self) -> float:
        """gamma_0 = 1: one level in T lies below the first row, as near to 0 as one likes."""
        return 0.0

    def highest(self) -> float:
        return float(sigmas(self.table)[-1])


@dataclass(frozen=True)
class LogNormal:
    """ln sigma ~ N(mean, std²) (Karras et al. 2022, table 1)."""

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        if not math.isfinite(self.mean):
            raise ConfigError(f"mean: {self.mean:g} is not finite")
        if not 0 < self.std < math.inf:
            raise ConfigError(f"std: {self.std:g} is no standard deviation; more than 0")

    def at(self, u: PerImage) -> PerImage:
        return torch.exp(self.mean + self.std * torch.special.ndtri(u))

    def lowest(self) -> float:
        """Three standard deviations down: one level in 740 is lower."""
        return math.exp(self.mean - 3 * self.std)

    def highest(self) -> float:
        """Three standard deviations up: one level in 740 is higher."""
        return math.exp(self.mean + 3 * self.std)


@dataclass(frozen=True)
class LogUniform:
    """ln sigma evenly between ln low and ln high."""

    low: float
    high: float

    def __post_init__(self) -> None:
        check_range(self.low, self.high)

    def at(self, u: PerImage) -> PerImage:
        return self.low * torch.exp(u * math.log(self.high / self.low))

    def lowest(self) -> float:
        return self.low

    def highest(self) -> float:
        return self.high


@dataclass(frozen=True)
class OneLevel:
    """Always the same sigma: all that regression needs."""

    sigma: float

    def __post_init__(self) -> None:
        if not 0 < self.sigma < math.inf:
            raise ConfigError(f"sigma: {self.sigma:g} is no noise level; more than 0")

    def at(self, u: PerImage) -> PerImage:
        return torch.full_like(u, self.sigma)

    def lowest(self) -> float:
        return self.sigma

    def highest(self) -> float:
        return self.sigma


@dataclass(frozen=True)
class Few:
    """Each of these, descending, equally often: a student's, one for each of its calls."""

    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        check_few(self.levels)

    def at(self, u: PerImage) -> PerImage:
        ascending = torch.tensor(self.levels[::-1], dtype=torch.float64)
        return ascending[_rows_below(u, len(self.levels))]

    def lowest(self) -> float:
        return self.levels[-1]

    def highest(self) -> float:
        return self.levels[0]


Levels = Discrete | Continuous | LogNormal | LogUniform | OneLevel | Few


@dataclass(frozen=True)
class Independent:
    """Every image draws for itself."""

    def spread(self, n: int, rng: Generator) -> PerImage:
        """n numbers inside (0, 1), float64."""
        return _inside(torch.rand(n, generator=rng, dtype=torch.float64))


@dataclass(frozen=True)
class Stratified:
    """One image in each n-th of the distribution, in random order: each is as before, their mean steadier."""

    def spread(self, n: int, rng: Generator) -> PerImage:
        """n numbers inside (0, 1), float64."""
        part = torch.randperm(n, generator=rng)
        return _inside((part + torch.rand(n, generator=rng, dtype=torch.float64)) / n)


Spread = Independent | Stratified


def _rows_below(u: PerImage, rows: int) -> Tensor:
    return (u * rows).long()  # u < 1: in float64 the product is less than rows, too


def _inside(u: PerImage) -> PerImage:
    """The ends of [0, 1] cut off by less than one rounding: a quantile there is sigma = 0 or inf."""
    return u.clamp(2.0**-54, 1 - 2.0**-53)
