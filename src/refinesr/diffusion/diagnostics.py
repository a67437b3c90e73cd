"""Diagnoses a grid of noise levels without evaluating a network.

The test case is Gaussian data N(mean, std²).  Its exact denoiser is known and affine, so that a sampler's
result is affine in its noise draws, and every error is due to the sampler and the grid alone.
"""

import math
from collections.abc import Iterator
from itertools import count, pairwise
from typing import NamedTuple

import torch

from refinesr.diffusion.levels import Levels
from refinesr.diffusion.loops import SamplerFunction
from refinesr.diffusion.precond import over_pixels
from refinesr.diffusion.schedule import grid_warnings
from refinesr.shapes import Denoiser, Grid, Images, Noise, Sigma

MEAN, STD = 0.5, 0.2
"""Mean and standard deviation of the Gaussian test data, in units of x0 (images span -1 to 1)."""

VISIBLE_LOSS = 0.1
"""A step that loses more than this share of the data's contrast is reported."""

COARSE_RATIO = 3
"""Largest angle of a step before the last (see `contrast_loss`), as a multiple of the mean angle.

Good grids of few steps reach 2.7.
"""

RARE_SHARE = 1e-6
"""Levels beyond this quantile of the training distribution, on either side, count as untrained."""


class Moments(NamedTuple):
    mean: float
    std: float


def result_moments(sampler: SamplerFunction, grid: Grid, mean: float = MEAN, std: float = STD) -> Moments:
    """Mean and standard deviation of the sampler's results for data N(mean, std²) with the exact denoiser.

    Exact, without random numbers and without a formula for each sampler.  The sampler runs once, on a batch
    of impulses: the first image gets zeros for all noise draws, image k a 1 in draw k and zeros otherwise.
    The sampler must be affine in its draws if the denoiser is affine in x, as all samplers here are.
    """
    denoise, order = gaussian_denoiser(mean, std), count(1)

    def impulse(like: Images) -> Images:
        z = torch.zeros_like(like)
        z[next(order)] = 1
        return z

    batch = 1 + _noise_draws(sampler, denoise, grid)
    without_noise, *responses = _sample(sampler, denoise, grid, batch, impulse)
    return Moments(without_noise, math.hypot(*(response - without_noise for response in responses)))


def grid_findings(sampler: SamplerFunction, grid: Grid, levels: Levels) -> list[str]:
    """Problems of a sampler and its grid for a network trained at `levels`, one line each."""
    return [
        *grid_warnings(grid, levels.highest()),
        *_untrained_levels(sampler, grid, levels),
        *_coarse_steps(grid, levels),
    ]


def contrast_loss(sigma: float, lower: float, std: float = STD) -> float:
    """Share of the contrast of Gaussian data that a DDIM step from sigma to lower loses.

    Exactly 1 - cos(a(sigma) - a(lower)) with a(sigma) = arctan(sigma / std): in this angle the exact solution
    follows an arc, and the step a straight line.  With lower = 0 it is the blur of the last estimate, which
    is the same for every sampler.
    """
    return 1 - math.cos(_angle(sigma, std) - _angle(lower, std))


def gaussian_denoiser(mean: float, std: float) -> Denoiser:
    """The exact denoiser of data N(mean, std²)."""

    def denoise(x: Images, sigma: Sigma) -> Images:
        return mean + over_pixels(std**2 / (std**2 + sigma**2), x) * (x - mean)

    return denoise


def _untrained_levels(sampler: SamplerFunction, grid: Grid, levels: Levels) -> Iterator[str]:
    """Levels outside the trained range.  The tolerance of 1e-6 allows for rounding of table rows."""
    rare = levels.at(torch.tensor([RARE_SHARE, 1 - RARE_SHARE], dtype=torch.float64)).tolist()
    lowest, highest = min(levels.lowest(), rare[0]), max(levels.highest(), rare[1])
    first, last = float(grid[0]), float(grid[-2])
    advice = "the network has not seen such levels; take them from the trained range"
    raised = _highest_level_called(sampler, grid)
    if first > highest * (1 + 1e-6):
        yield f"the grid starts at sigma {first:.3g}, above the trained range, {highest:.3g}: {advice}"
    elif raised > highest * (1 + 1e-6):
        end = f"above the trained range, {highest:.3g}"
        yield f"the sampler raises sigma {first:.3g} to {raised:.3g}, {end}: {advice}, or churn less"
    if last < lowest * (1 - 1e-6):
        yield f"the grid ends at sigma {last:.3g}, below the trained range, {lowest:.3g}: {advice}"


def _coarse_steps(grid: Grid, levels: Levels) -> Iterator[str]:
    """Steps that lose visible contrast.

    A grid of one step is not reported, nor is a last step that starts at the lowest trained level.
    """
    steps, mean_angle = list(pairwise(grid.tolist())), _angle(float(grid[0]), STD) / (len(grid) - 1)
    for sigma, lower in steps[:-1]:
        if _angle(sigma, STD) - _angle(lower, STD) > COARSE_RATIO * mean_angle:
            yield from _contrast_finding("step", sigma, lower)
    if len(steps) > 1 and levels.lowest() < float(grid[-2]):
        yield from _contrast_finding("last step", float(grid[-2]), 0.0)


def _contrast_finding(name: str, sigma: float, lower: float) -> Iterator[str]:
    loss = contrast_loss(sigma, lower)
    if loss > VISIBLE_LOSS:
        yield (
            f"the {name}, from sigma {sigma:.3g} to {lower:.3g}, is coarse: it loses {loss:.0%} of the "
            f"contrast of data of std {STD:g}; take more steps, or a grid with levels between"
        )


def _angle(sigma: float, std: float) -> float:
    return math.atan2(sigma, std)


def _highest_level_called(sampler: SamplerFunction, grid: Grid) -> float:
    """The highest level at which the sampler calls the denoiser; with churn it is above the grid's first."""
    exact, called = gaussian_denoiser(MEAN, STD), list[float]()

    def denoise(x: Images, sigma: Sigma) -> Images:
        called.append(float(sigma))
        return exact(x, sigma)

    _sample(sampler, denoise, grid, 1, torch.zeros_like)
    return max(called)


def _noise_draws(sampler: SamplerFunction, denoise: Denoiser, grid: Grid) -> int:
    """Number of noise draws of a sampling run, the initial state included."""
    draws = count()

    def zero_noise(like: Images) -> Images:
        next(draws)
        return torch.zeros_like(like)

    _sample(sampler, denoise, grid, 1, zero_noise)
    return next(draws)


def _sample(sampler: SamplerFunction, denoise: Denoiser, grid: Grid, batch: int, noise: Noise) -> list[float]:
    """The sampler's results for a batch of one-pixel images."""
    start = noise(torch.zeros(batch, 1, 1, 1, dtype=torch.float64))
    *_, last = sampler(denoise, math.sqrt(1 + float(grid[0]) ** 2) * start, grid, noise)
    return [float(value) for value in last.flatten()]
