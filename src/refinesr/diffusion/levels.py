"""Distributions of training noise levels, and how the levels of a batch are drawn from them.

A distribution is given by its quantile function: `at(u)` is sigma for u in [0, 1), ascending in u; all
float64.  `lowest` and `highest` bound the range that counts as trained.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from refinesr.diffusion.schedule import Schedule, check_levels, check_range, gamma_of, sigmas
from refinesr.errors import ConfigError
from refinesr.shapes import PerImage


@dataclass(frozen=True)
class Discrete:
    """A uniformly random row of the table (DDPM, SRDiff)."""

    table: Schedule

    def __post_init__(self) -> None:
        sigmas(self.table)  # raises ConfigError for an invalid table

    def at(self, u: PerImage) -> PerImage:
        return sigmas(self.table)[_row_index(u, self.table.rows)]

    def lowest(self) -> float:
        return float(sigmas(self.table)[0])

    def highest(self) -> float:
        return float(sigmas(self.table)[-1])


@dataclass(frozen=True)
class Continuous:
    """t ~ U{1..T}, then gamma ~ U(gamma_t, gamma_{t-1}), gamma_0 = 1 (Chen et al. 2021; SR3, section 2.4)."""

    table: Schedule

    def __post_init__(self) -> None:
        sigmas(self.table)  # raises ConfigError for an invalid table

    def at(self, u: PerImage) -> PerImage:
        row = _row_index(u, self.table.rows)
        levels = sigmas(self.table)
        # 1 - gamma = sigma² gamma, from row 0 (gamma_0 = 1) on, without cancellation
        noise_share = torch.cat([levels.new_zeros(1), levels**2 * gamma_of(levels)])
        between = torch.lerp(noise_share[row], noise_share[row + 1], u * self.table.rows - row)
        return (between / (1 - between)).sqrt()

    def lowest(self) -> float:
        """0: as gamma_0 = 1, one level in T is drawn between 0 and the first row."""
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
        """Three standard deviations below the mean; one level in 740 is lower."""
        return math.exp(self.mean - 3 * self.std)

    def highest(self) -> float:
        """Three standard deviations above the mean; one level in 740 is higher."""
        return math.exp(self.mean + 3 * self.std)


@dataclass(frozen=True)
class LogUniform:
    """ln sigma ~ U(ln low, ln high)."""

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
    """Always the same sigma, which is enough for regression."""

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
    """A uniformly random one of these levels, listed in descending order.

    For distilled students: one level for each network call.
    """

    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        check_levels(self.levels)

    def at(self, u: PerImage) -> PerImage:
        ascending = torch.tensor(self.levels[::-1], dtype=torch.float64)
        return ascending[_row_index(u, len(self.levels))]

    def lowest(self) -> float:
        return self.levels[-1]

    def highest(self) -> float:
        return self.levels[0]


Levels = Discrete | Continuous | LogNormal | LogUniform | OneLevel | Few


@dataclass(frozen=True)
class Independent:
    """Independent draws for the images of a batch."""

    def spread(self, n: int, rng: Generator) -> PerImage:
        """n quantiles u in (0, 1), float64."""
        return _open_interval(torch.rand(n, generator=rng, dtype=torch.float64))


@dataclass(frozen=True)
class Stratified:
    """Stratified sampling: one image in each of n equal quantile ranges, in random order.

    Each image has the distribution of an independent draw; the mean over the batch has less variance.
    """

    def spread(self, n: int, rng: Generator) -> PerImage:
        """n quantiles u in (0, 1), float64."""
        stratum = torch.randperm(n, generator=rng)
        return _open_interval((stratum + torch.rand(n, generator=rng, dtype=torch.float64)) / n)


Spread = Independent | Stratified


def _row_index(u: PerImage, rows: int) -> Tensor:
    return (u * rows).long()  # u < 1: in float64 the product is less than rows, too


def _open_interval(u: PerImage) -> PerImage:
    """u clamped into the open interval (0, 1): at the ends, sigma would be 0 or infinite."""
    return u.clamp(2.0**-54, 1 - 2.0**-53)
