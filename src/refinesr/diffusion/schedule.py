"""Noise schedules: the tables of training, and the grids of noise levels that a sampler visits.

A table is what the papers call a beta schedule; row t = 0, 1, ..., T - 1 is one step of the forward process.
All other modules use it only as the sigmas of its rows, in ascending order:
gamma_t = prod(1 - beta_i) for i <= t, and sigma_t² = 1 / gamma_t - 1.  A grid is in descending order and ends
in 0.  Both are float64 on the CPU.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from refinesr.errors import ConfigError
from refinesr.shapes import Grid, Table

MAX_TABLE_SIGMA = 1e4
"""The largest sigma of a table; gamma = 0 in the last row would be sigma = inf."""

MAX_GRID_SIGMA = 1e18
"""The largest sigma of a grid, whose square is still finite in float32."""

MAX_ROWS = 10**6
"""The most rows of a table and levels of a grid, so that a short file cannot exhaust the memory."""


@dataclass(frozen=True)
class Linear:
    """beta from `first` to `last` (Ho et al. 2020); Linear(1e-6, 1e-2, 2000) in the public SR3 code."""

    first: float
    last: float
    rows: int

    def betas(self) -> Table:
        return torch.linspace(self.first, self.last, self.rows, dtype=torch.float64)


@dataclass(frozen=True)
class Quadratic:
    """sqrt(beta) from sqrt(first) to sqrt(last)."""

    first: float
    last: float
    rows: int

    def betas(self) -> Table:
        first, last = torch.tensor([self.first, self.last], dtype=torch.float64).sqrt().tolist()
        return Linear(first, last, self.rows).betas() ** 2


@dataclass(frozen=True)
class Constant:
    """The same beta in every row."""

    beta: float
    rows: int

    def betas(self) -> Table:
        return torch.full((self.rows,), self.beta, dtype=torch.float64)


@dataclass(frozen=True)
class WarmUp:
    """beta from `first` to `last` over the first `fraction` of the rows, then `last`."""

    first: float
    last: float
    rows: int
    fraction: float

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= 1:
            raise ConfigError(f"fraction: {self.fraction:g} is not a part of the rows; 0 to 1")

    def betas(self) -> Table:
        rising = int(self.rows * self.fraction)
        parts = Linear(self.first, self.last, rising), Constant(self.last, self.rows - rising)
        return torch.cat([part.betas() for part in parts])


@dataclass(frozen=True)
class JSD:
    """beta = 1/T, 1/(T - 1), ..., 1 (Sohl-Dickstein et al. 2015): each row removes 1/T of the signal."""

    rows: int

    def betas(self) -> Table:
        return 1 / torch.linspace(self.rows, 1, self.rows, dtype=torch.float64)


@dataclass(frozen=True)
class Cosine:
    """gamma(t) ~ cos²((t/T + offset) / (1 + offset) * pi/2) (Nichol and Dhariwal 2021, eq. 17)."""

    rows: int
    offset: float = 0.008
    clip: float = 0.999

    def betas(self) -> Table:
        time = torch.linspace(0, 1, self.rows + 1, dtype=torch.float64)
        gamma = torch.cos((time + self.offset) / (1 + self.offset) * math.pi / 2) ** 2
        return (1 - gamma[1:] / gamma[:-1]).clamp(max=self.clip)


Schedule = Linear | Quadratic | Constant | WarmUp | JSD | Cosine


def gamma_of(sigma: Tensor) -> Tensor:
    """1 / (1 + sigma²): SR3's gamma, DDPM's alpha-bar."""
    return 1 / (1 + sigma**2)


def sigma_of(gamma: Tensor) -> Tensor:
    """The inverse of `gamma_of`."""
    return ((1 - gamma) / gamma).sqrt()


def sigmas(table: Schedule) -> Table:
    """The noise level of every row, strictly ascending and limited to about `MAX_TABLE_SIGMA`.

    Raises ConfigError for betas outside (0, 1], or an impossible number of rows.
    """
    if not 1 <= table.rows <= MAX_ROWS:
        raise ConfigError(f"rows: {table.rows} is not a number of rows; a table needs 1 to {MAX_ROWS}")
    betas = table.betas()
    if not bool(((betas > 0) & (betas <= 1)).all()):
        raise ConfigError(f"{table}: betas from {betas.min():g} to {betas.max():g} must lie in (0, 1]")
    minus_log_gamma = -torch.log1p(-betas).cumsum(0)
    levels = torch.expm1(minus_log_gamma).sqrt()  # sqrt(1 / gamma - 1) without cancellation
    limits = torch.linspace(1, 0.5, table.rows, dtype=torch.float64).flip(0) * MAX_TABLE_SIGMA
    return torch.minimum(levels, limits)  # ascending limits keep rows of pure noise distinct


def gammas(table: Schedule) -> Table:
    """gamma of every row, descending."""
    return gamma_of(sigmas(table))


@dataclass(frozen=True)
class Even:
    """Every (T/steps)-th row of the training table, always including the last ("respacing")."""

    table: Schedule

    def __post_init__(self) -> None:
        sigmas(self.table)  # raises ConfigError for an invalid table

    def grid(self, steps: int) -> Grid:
        """Raises ConfigError for more steps than rows."""
        rows = self.table.rows
        if not 1 <= steps <= rows:
            raise ConfigError(f"steps: {steps} is not possible; the table has rows for 1 to {rows}")
        return _append_zero(sigmas(self.table)[[rows * k // steps - 1 for k in range(steps, 0, -1)]])


@dataclass(frozen=True)
class Karras:
    """Levels evenly spaced in sigma**(1/rho) (Karras et al. 2022, eq. 5)."""

    low: float
    high: float
    rho: float = 7.0

    def __post_init__(self) -> None:
        check_range(self.low, self.high)
        if not 0.1 <= self.rho <= 100:  # beyond, powers overflow float64 or lose most digits
            raise ConfigError(f"rho: {self.rho:g} is not between 0.1 and 100; 1 spaces levels evenly")

    def grid(self, steps: int) -> Grid:
        high, low = self.high ** (1 / self.rho), self.low ** (1 / self.rho)
        return _append_zero(_linspace(high, low, steps) ** self.rho)


@dataclass(frozen=True)
class LogSNR:
    """Levels evenly spaced in log(sigma) (Lu et al. 2022)."""

    low: float
    high: float

    def __post_init__(self) -> None:
        check_range(self.low, self.high)

    def grid(self, steps: int) -> Grid:
        return _append_zero(_linspace(math.log(self.high), math.log(self.low), steps).exp())


@dataclass(frozen=True)
class Explicit:
    """The listed levels, descending, without the 0 at the end."""

    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        check_levels(self.levels)

    def grid(self, steps: int) -> Grid:
        """Raises ConfigError unless exactly `steps` levels are listed."""
        if steps != len(self.levels):
            count = len(self.levels)
            raise ConfigError(
                f"steps: {steps} is not possible; the grid lists {count} level{'s' * (count > 1)}"
            )
        return _append_zero(torch.tensor(self.levels, dtype=torch.float64))


@dataclass(frozen=True)
class Leading:
    """The first `steps` of the listed levels, descending; for `Renoised`, whose estimates are all results."""

    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        check_levels(self.levels)

    def grid(self, steps: int) -> Grid:
        """Raises ConfigError for more steps than levels."""
        if not 1 <= steps <= len(self.levels):
            raise ConfigError(f"steps: {steps} is not possible; there are levels for 1 to {len(self.levels)}")
        return _append_zero(torch.tensor(self.levels[:steps], dtype=torch.float64))


GridChoice = Even | Karras | LogSNR | Explicit | Leading


def grid_warnings(grid: Grid, trained_highest: float) -> list[str]:
    """Warnings about a grid that starts too low for a network trained up to sigma `trained_highest`.

    An empty list if there are none.  A sampler starts from pure noise, but at a level with gamma well above 0
    the network expects a picture in it.  SR3's betas over 100 rows in place of 2000 start at gamma = 0.61 and
    give pale, noisy pictures.
    """
    first = float(grid[0])
    gamma, trained_gamma = (1 / (1 + sigma**2) for sigma in (first, trained_highest))
    if first >= trained_highest / 2 or gamma <= 1e-2:
        return []
    return [
        f"the grid starts at gamma = {gamma:.2g} (sigma {first:.3g}) but the network was trained down to "
        f"gamma = {trained_gamma:.2g} (sigma {trained_highest:.3g}): expect pale colours and noise; "
        "take the levels from the trained range"
    ]


def check_range(low: float, high: float) -> None:
    """Raises ConfigError unless 0 < low < high <= MAX_GRID_SIGMA."""
    if not 0 < low < high <= MAX_GRID_SIGMA:
        right = f"0 < low < high, at most {MAX_GRID_SIGMA:g}"
        raise ConfigError(f"low, high: {low:g}, {high:g} is not a range of noise levels; {right}")


def check_levels(levels: tuple[float, ...]) -> None:
    """Raises ConfigError unless `levels` is not empty, descending, above 0 and at most `MAX_GRID_SIGMA`."""
    if not levels or not all(upper > lower for upper, lower in pairwise((math.inf, *levels, 0.0))):
        raise ConfigError(f"levels: {levels} must be at least one, descend and stay above 0")
    if levels[0] > MAX_GRID_SIGMA:
        raise ConfigError(f"levels: {levels[0]:g} is no noise level; at most {MAX_GRID_SIGMA:g}")


def _linspace(first: float, last: float, steps: int) -> Table:
    if not 1 <= steps <= MAX_ROWS:
        raise ConfigError(f"steps: {steps} is not possible; 1 to {MAX_ROWS}")
    return torch.linspace(first, last, steps, dtype=torch.float64)


def _append_zero(levels: Table) -> Grid:
    return torch.cat([levels, levels.new_zeros(1)])
