"""Samplers: from noise to an image, one noise level of a grid after the other.

A sampler is called with a denoiser, the initial state x = sqrt(1 + grid[0]²) * noise, a descending grid of
noise levels that ends in 0, and a source of noise.  It yields its estimate of x0 after each step; the last
one is the result.  It computes without gradients; the caller's grad mode is unchanged between two yields.  In
each step, sigma is the noise level of x and `lower` the next level of the grid.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch

from refinesr.diffusion.langevin import AnnealedLangevin, Langevin
from refinesr.diffusion.loops import sigma_tensor, without_gradients
from refinesr.errors import ConfigError
from refinesr.shapes import Denoiser, Grid, Images, Noise


@dataclass(frozen=True)
class Ancestral:
    """Ancestral sampling: eta = 1 is the DDPM posterior (Ho et al. 2020, eq. 7), eta = 0 is DDIM.

    The family of Song et al. 2021 (DDIM), eq. 12 and 16.  SRDiff and the public SR3 code sample with eta = 1.
    First order, one network call per step.
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
            x0 = denoise(x, sigma_tensor(sigma))
            yield x0
            if lower == 0:
                return
            # eq. 16, in units of sigma: std of the noise that is drawn anew
            fresh = self.eta * lower * math.sqrt(1 - (lower / sigma) ** 2)
            # eq. 12: the predicted noise (x - x0) / sigma has the rest of the variance lower²
            kept = math.sqrt(lower**2 - fresh**2)
            x = torch.lerp(x0, x, kept / sigma)  # x0 + kept * (x - x0) / sigma
            if fresh > 0:
                x.add_(noise(x), alpha=fresh)


@dataclass(frozen=True)
class SR3Ancestral:
    """SR3, algorithm 2: the posterior mean with the larger variance 1 - alpha_t.

    No noise in the last step.  First order, one network call per step.
    """

    def calls(self, steps: int) -> int:
        return steps

    @without_gradients
    def __call__(self, denoise: Denoiser, x: Images, grid: Grid, noise: Noise) -> Iterator[Images]:
        for sigma, lower in pairwise(grid.tolist()):
            x0 = denoise(x, sigma_tensor(sigma))
            yield x0
            if lower == 0:
                return
            x = x0 + (lower / sigma) ** 2 * (x - x0)  # posterior mean
            # (1 - alpha_t) / gamma(lower), where alpha_t = (1 + lower²) / (1 + sigma²)
            variance = (1 + lower**2) * (sigma**2 - lower**2) / (1 + sigma**2)
            x = x + math.sqrt(variance) * noise(x)


@dataclass(frozen=True)
class Heun:
    """Heun's method with churn: Karras et al. 2022, algorithm 2, with S_noise = 1 and churn at every level.

    `churn` is S_churn; 0 solves the probability-flow ODE.  Second order, two network calls per step and one
    in the last.
    """

    churn: float = 0.0

    def __post_init__(self) -> None:
        if not self.churn >= 0:
            raise ConfigError(f"churn: {self.churn:g} is not 0 or more")

    def calls(self, steps: int) -> int:
        return 2 * steps - 1

    @without_gradients
    def __call__(self, denoise: Denoiser, x: Images, grid: Grid, noise: Noise) -> Iterator[Images]:
        extra = min(self.churn / (len(grid) - 1), math.sqrt(2) - 1)  # gamma_i of the paper
        for sigma, lower in pairwise(grid.tolist()):
            higher = sigma * (1 + extra)  # line 5
            if extra > 0:
                x = x + math.sqrt(higher**2 - sigma**2) * noise(x)  # line 6
            x0 = denoise(x, sigma_tensor(higher))
            slope = (x - x0) / higher  # line 7
            start, x = x, x0 + lower * slope  # line 8
            if lower > 0:
                x0 = denoise(x, sigma_tensor(lower))
                x = start + (lower - higher) * (slope + (x - x0) / lower) / 2  # lines 10, 11
            yield x0


@dataclass(frozen=True)
class DPM2M:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2), with alpha = 1 in the coordinate sigma.

    Second order, one network call per step.  The first step and the one to 0 are of first order.
    """

    def calls(self, steps: int) -> int:
        return steps

    @without_gradients
    def __call__(self, denoise: Denoiser, x: Images, grid: Grid, noise: Noise) -> Iterator[Images]:
        previous = None  # the estimate x0 and the width h, in log(sigma), of the previous step
        for sigma, lower in pairwise(grid.tolist()):
            x0 = denoise(x, sigma_tensor(sigma))
            yield x0
            if lower == 0:
                return
            width, midpoint = math.log(sigma / lower), x0
            if previous is not None:  # D_i: x0 extrapolated to the middle of this step
                midpoint = x0 + width / (2 * previous[1]) * (x0 - previous[0])
            previous = x0, width
            x = midpoint + lower / sigma * (x - midpoint)


@dataclass(frozen=True)
class Renoised:
    """Multistep consistency sampling (Song et al. 2023, algorithm 1): each estimate is noised again.

    For distilled students (`refinesr distill`), which predict the end point of the probability-flow ODE from
    x, not the posterior mean.  Their estimates are samples after any number of steps; with an ordinary
    denoiser the result would lose contrast.  One network call per step.
    """

    def calls(self, steps: int) -> int:
        return steps

    @without_gradients
    def __call__(self, denoise: Denoiser, x: Images, grid: Grid, noise: Noise) -> Iterator[Images]:
        for sigma, lower in pairwise(grid.tolist()):
            x0 = denoise(x, sigma_tensor(sigma))
            yield x0
            if lower > 0:
                x = x0 + lower * noise(x)


Sampler = Ancestral | SR3Ancestral | Heun | DPM2M | Langevin | AnnealedLangevin | Renoised
