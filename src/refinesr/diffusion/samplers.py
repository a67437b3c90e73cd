"""From noise to a picture, level by level.

A sampler is called with a denoiser, a start x = sqrt(1 + grid[0]²) * noise, a descending grid that ends in 0,
and a source of noise.  It yields its estimate of x0 after each step; the last one is the result.  It computes
without gradients; between two yields the caller's grad mode is untouched.  sigma is the level of x, `lower`
the next one.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch

from refinesr.diffusion.langevin import AnnealedLangevin, Langevin
from refinesr.diffusion.walking import level, without_gradients
from refinesr.errors import ConfigError
from refinesr.shapes import Denoiser, Grid, Images, Noise


@dataclass(frozen=True)
class Ancestral:
    """eta = 1: the DDPM posterior (Ho et al. 2020, eq. 7), as in SRDiff and the public SR3; eta = 0: DDIM.

    Song et al. 2021, eq. 12 and 16.  First order, one call a step.
    """

    eta: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ConfigError(f"eta: {self.eta:g} is not between 0 (DDIM) and 1 (DDPM)")

    def calls(self, steps: int) -> int:
        return steps

    @without_gradients
    def __call__(self, denoise: Denoiser, x: Images, grid: Grid, noise: Noise) -> Iterator[Images]:
        for sigma, lower in pairwise(grid.tolist()):
            x0 = denoise(x, level(sigma))
            yield x0
            if lower == 0:
                return
            fresh = self.eta * lower * math.sqrt(1 - (lower / sigma) ** 2)
            kept = math.sqrt(lower**2 - fresh**2)
            x = torch.lerp(x0, x, kept / sigma)
            if fresh > 0:
                x.add_(noise(x), alpha=fresh)


@dataclass(frozen=True)
class SR3Ancestral:
    """SR3, algorithm 2: the posterior's mean, the larger variance 1 - alpha_t, no noise in the last step."""

    def calls(self, steps: int) -> int:
        return steps

    @without_gradients
    def __call__(self, denoise: Denoiser, x: Images, grid: Grid, noise: Noise) -> Iterator[Images]:
        for sigma, lower in pairwise(grid.tolist()):
            x0 = denoise(x, level(sigma))
            yield x0
            if lower == 0:
                return
            x = x0 + (lower / sigma) ** 2 * (x - x0)  # alpha_t = (1 + lower²) / (1 + sigma²)
            x = x + math.sqrt((1 + lower**2) * (sigma**2 - lower**2) / (1 + sigma**2)) * noise(x)


@dataclass(frozen=True)
class Heun:
    """Karras et al. 2022, algorithm 2, with S_noise = 1 and every level churned.

    Second order, two calls a step, one for the last.
    """

    churn: float = 0.0

    def __post_init__(self) -> None:
        if not self.churn >= 0:
            raise ConfigError(f"churn: {self.churn:g} is not 0 or more")

    def calls(self, steps: int) -> int:
        return 2 * steps - 1

    @without_gradients
    def __call__(self, denoise: Denoiser, x: Images, grid: Grid, noise: Noise) -> Iterator[Images]:
        more = min(self.churn / (len(grid) - 1), math.sqrt(2) - 1)
        for sigma, lower in pairwise(grid.tolist()):
            higher = sigma * (1 + more)  # line 5
            if more > 0:
                x = x + math.sqrt(higher**2 - sigma**2) * noise(x)  # line 6
            x0 = denoise(x, level(higher))
            slope = (x - x0) / higher  # line 7
            start, x = x, x0 + lower * slope  # line 8
            if lower > 0:
                x0 = denoise(x, level(lower))
                x = start + (lower - higher) * (slope + (x - x0) / lower) / 2  # lines 10, 11
            yield x0


@dataclass(frozen=True)
class DPM2M:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2) where alpha = 1.  Second order, one call a step.

    The first step and the one to 0 are of first order.
    """

    def calls(self, steps: int) -> int:
        return steps

    @without_gradients
    def __call__(self, denoise: Denoiser, x: Images, grid: Grid, noise: Noise) -> Iterator[Images]:
        before = None  # the estimate of the step before and the width of that step in log(sigma)
        for sigma, lower in pairwise(grid.tolist()):
            x0 = denoise(x, level(sigma))
            yield x0
            if lower == 0:
                return
            width, ahead = math.log(sigma / lower), x0
            if before is not None:
                ahead = x0 + width / (2 * before[1]) * (x0 - before[0])  # D_i: x0 in the middle of this step
            before = x0, width
            x = ahead + lower / sigma * (x - ahead)


@dataclass(frozen=True)
class Renoised:
    """Every estimate is a result, and is noised anew for the next (Song et al. 2023, algorithm 1).

    For networks that say where the path of the flow from x ends, not the mean of all ends: those that
    `refinesr distill` makes.  Theirs are samples of the data after any number of steps; a denoiser's would
    lose contrast.  One call a step.
    """

    def calls(self, steps: int) -> int:
        return steps

    @without_gradients
    def __call__(self, denoise: Denoiser, x: Images, grid: Grid, noise: Noise) -> Iterator[Images]:
        for sigma, lower in pairwise(grid.tolist()):
            x0 = denoise(x, level(sigma))
            yield x0
            if lower > 0:
                x = x0 + lower * noise(x)


Sampler = Ancestral | SR3Ancestral | Heun | DPM2M | Langevin | AnnealedLangevin | Renoised
