"""What is wrong with a grid of noise levels, known before a network has been asked.

It rests on one case that can be solved: data N(mean, std²).  Their denoiser is known exactly and affine, so
a sampler's result is affine in its draws, and its errors are the sampler's and the grid's alone.
"""

import math
from collections.abc import Iterator
from itertools import count, pairwise
from typing import NamedTuple

import torch

from refinesr.diffusion.levels import Levels
from refinesr.diffusion.precond import over_pixels
from refinesr.diffusion.schedule import check
from refinesr.diffusion.walking import Walk
from refinesr.shapes import Denoiser, Grid, Images, Noise, Sigma

MEAN, STD = 0.5, 0.2
"""Of the data in question, in the units of x0, where images span -1 to 1."""

VISIBLE = 0.1
"""The part of the data's contrast whose loss in one step is worth a word."""

SHARE = 3
"""A step before the last may turn so many times as far as if all did equally; good grids of few reach 2.7."""

SELDOM = 1e-6
"""Beyond the levels of all but this part of training, on either side, a network is not trained."""


class Moments(NamedTuple):
    mean: float
    std: float


def bias(sampler: Walk, grid: Grid, mean: float = MEAN, std: float = STD) -> Moments:
    """What the sampler makes of this grid for data N(mean, std²) with their exact denoiser.

    No random numbers, and no formula for each sampler: it runs once, on a batch where one image has only
    zeros for noise and each other one a 1 in one draw.  For samplers that are affine in their draws where
    the denoiser is affine, as all of ours are.
    """
    denoise, order = gaussian(mean, std), count(1)

    def impulse(like: Images) -> Images:
        z = torch.zeros_like(like)
        z[next(order)] = 1
        return z

    none, *each = _made(sampler, denoise, grid, 1 + _draws(sampler, denoise, grid), impulse)
    return Moments(none, math.hypot(*(one - none for one in each)))


def findings(sampler: Walk, grid: Grid, levels: Levels) -> list[str]:
    """What is odd about a sampler on a grid for a network trained at `levels`, a line each."""
    return [*check(grid, levels.highest()), *_outside(sampler, grid, levels), *_coarse(grid, levels)]


def lost(sigma: float, lower: float, std: float = STD) -> float:
    """The part of the contrast of Gaussian data that a step of DDIM from sigma to lower takes away.

    Exactly 1 - cos(a(sigma) - a(lower)) with a = arctan(sigma / std): a step is a turn, and the chord falls
    short of its arc.  With lower = 0 it is the blur of the last estimate, whatever the sampler.
    """
    return 1 - math.cos(_angle(sigma, std) - _angle(lower, std))


def gaussian(mean: float, std: float) -> Denoiser:
    """The exact denoiser of data N(mean, std²)."""

    def denoise(x: Images, sigma: Sigma) -> Images:
        return mean + over_pixels(std**2 / (std**2 + sigma**2), x) * (x - mean)

    return denoise


def _outside(sampler: Walk, grid: Grid, levels: Levels) -> Iterator[str]:
    """Rows of a table lie in its range to rounding; hence 1e-6 of themselves."""
    seldom = levels.at(torch.tensor([SELDOM, 1 - SELDOM], dtype=torch.float64)).tolist()
    lowest, highest = min(levels.lowest(), seldom[0]), max(levels.highest(), seldom[1])
    first, last = float(grid[0]), float(grid[-2])
    advice = "the network has not seen such levels; take them from the trained range"
    asked = _highest_asked(sampler, grid)
    if first > highest * (1 + 1e-6):
        yield f"the grid starts at sigma {first:.3g}, above the end of training, {highest:.3g}: {advice}"
    elif asked > highest * (1 + 1e-6):
        end = f"above the end of training, {highest:.3g}"
        yield f"the sampler raises sigma {first:.3g} to {asked:.3g}, {end}: {advice}, or churn less"
    if last < lowest * (1 - 1e-6):
        yield f"the grid ends at sigma {last:.3g}, below the end of training, {lowest:.3g}: {advice}"


def _coarse(grid: Grid, levels: Levels) -> Iterator[str]:
    """The only step of a grid is meant, and a last one need not be finer than training allows."""
    steps, even = list(pairwise(grid.tolist())), _angle(float(grid[0]), STD) / (len(grid) - 1)
    for sigma, lower in steps[:-1]:
        if _angle(sigma, STD) - _angle(lower, STD) > SHARE * even:
            yield from _visible("step", sigma, lower)
    if len(steps) > 1 and levels.lowest() < float(grid[-2]):
        yield from _visible("last step", float(grid[-2]), 0.0)


def _visible(name: str, sigma: float, lower: float) -> Iterator[str]:
    part = lost(sigma, lower)
    if part > VISIBLE:
        yield (
            f"the {name}, from sigma {sigma:.3g} to {lower:.3g}, is coarse: it takes {part:.0%} of the "
            f"contrast of data of std {STD:g}; take more steps, or a grid with levels between"
        )


def _angle(sigma: float, std: float) -> float:
    return math.atan2(sigma, std)


def _highest_asked(sampler: Walk, grid: Grid) -> float:
    """The highest level that the denoiser is asked at: above the grid's where noise is added first."""
    exact, asked = gaussian(MEAN, STD), list[float]()

    def denoise(x: Images, sigma: Sigma) -> Images:
        asked.append(float(sigma))
        return exact(x, sigma)

    _made(sampler, denoise, grid, 1, torch.zeros_like)
    return max(asked)


def _draws(sampler: Walk, denoise: Denoiser, grid: Grid) -> int:
    """How often the sampler asks for noise, the start included."""
    asked = count()

    def nothing(like: Images) -> Images:
        next(asked)
        return torch.zeros_like(like)

    _made(sampler, denoise, grid, 1, nothing)
    return next(asked)


def _made(sampler: Walk, denoise: Denoiser, grid: Grid, batch: int, noise: Noise) -> list[float]:
    """The sampler's results for images of one pixel."""
    start = noise(torch.zeros(batch, 1, 1, 1, dtype=torch.float64))
    *_, last = sampler(denoise, math.sqrt(1 + float(grid[0]) ** 2) * start, grid, noise)
    return [float(value) for value in last.flatten()]
