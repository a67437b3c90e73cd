"""Pictures taken part of the way to noise and from there back: interpolation and fusion (Li et al. 2021).

A model that was only trained to make good images of poor ones can do both; nothing here is learnt.  `skip` is
the number of the grid's level, from 0, that the way back begins at: grid[skip:] is walked.  With 0 little but
noise is left of what was given, with the last number before the grid's end nearly everything.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import torch
from torch import Tensor

from refinesr.diffusion.precond import Blind
from refinesr.errors import ConfigError
from refinesr.method import Sampling
from refinesr.shapes import Denoiser, Grid, Images, LowImages, LowWithPlanes, Mask, Noise, Sigma
from refinesr.stage import Progress, Stage, Start
from refinesr.tiles import Box


def interpolated(
    stage: Stage,
    low: LowWithPlanes,
    first: Images,
    second: Images,
    noise: Noise,
    *,
    share: float,
    skip: int,
    lag: int = 0,
    sampling: Sampling | None = None,
    tile: int = 0,
    autocast: torch.dtype | None = None,
) -> Iterator[Progress[Tensor]]:
    """Between two good images (B, C, H, W) in [-1, 1] of one low, as two samples are: SRDiff's interpolation.

    `share` of the second, 1 - share of the first, mixed as noisy states (Ho et al. 2020, section 4.3).
    `noise` is asked for a draw for the first, for one for the second, then as the sampler needs it; see
    `first_twice`.  `lag` levels are left out between the state, whose variance-preserving form sqrt(gamma) x
    stays as it is, and the walk: with 1 it is what SRDiff's public code does, which makes states of row t and
    begins to denoise them at row t - 1.  The others are those of `Stage`.

    Raises ConfigError for a model that sees no noise, ValueError for levels that the grid has not.
    """
    sampling = sampling or plainly(stage)
    grid = walkable(stage, sampling, skip, lag)
    sigma, later = float(grid[skip]), float(grid[skip + lag])
    with torch.no_grad():
        base, target = stage.model.base(low), stage.method.target
        one, other = (diffused(target.learnt(high, base), sigma, noise) for high in (first, second))
        x = math.sqrt((1 + later**2) / (1 + sigma**2)) * torch.lerp(one, other, share)
    start = Start(x, skip + lag)
    yield from stage(low, noise, sampling=sampling, tile=tile, autocast=autocast, start=start)


def fused(
    stage: Stage,
    low: LowWithPlanes,
    high: Images,
    noise: Noise,
    *,
    skip: int,
    mask: Mask | None = None,
    sampling: Sampling | None = None,
    tile: int = 0,
    autocast: torch.dtype | None = None,
) -> Iterator[Progress[Tensor]]:
    """A good image with something `pasted` into it, redrawn as one picture of low: SRDiff's content fusion.

    high (B, C, H, W) in [-1, 1].  As published all of it is redrawn; with a `mask` (B, 1, H, W) only
    what that marks with 1, every estimate being `high` where it is 0 and a blend between.  `noise` is asked
    for one draw, then as the sampler needs it.  The others, and what is raised, are as for `interpolated`.
    """
    sampling = sampling or plainly(stage)
    grid, target = walkable(stage, sampling, skip)[skip:], stage.method.target
    with torch.no_grad():
        base = stage.model.base(low)
        x = diffused(target.learnt(high, base), float(grid[0]), noise)
        denoise = stage.denoiser(low, base, sampling, tile, autocast)
        if mask is not None:
            denoise = kept(denoise, target.encode(high, base), mask)
    yield from stage.run_sampler(sampling, denoise, x, grid, noise, base)


def plainly(stage: Stage) -> Sampling:
    """The method's own sampling, but what is redrawn is not drawn to the mean of all answers."""
    return replace(stage.method.sampling, fidelity=0.0)


def walkable(stage: Stage, sampling: Sampling, skip: int, lag: int = 0) -> Grid:
    """The grid, which has these levels."""
    if isinstance(stage.method.precond, Blind):
        raise ConfigError("precond: Blind sees no noise, so nothing of a picture could be taken back to it")
    grid = sampling.levels()
    if skip < 0 or lag < 0 or skip + lag >= len(grid) - 1:
        raise ValueError(f"{skip=}, {lag=}: the grid has the levels 0 to {len(grid) - 2}")
    return grid


def diffused(x0: Images, sigma: float, noise: Noise) -> Images:
    """x0 at a level."""
    return x0 + sigma * noise(x0)


def kept(denoise: Denoiser, known: Images, mask: Mask) -> Denoiser:
    """Estimates where `mask` is 1, `known` where it is 0.

    Unlike `inpainted`, whose networks were trained to see known pixels clean, it shows them as noisy as the
    rest: what every network was trained to see (Lugmayr et al. 2022).
    """

    def denoise_the_rest(x: Images, sigma: Sigma) -> Images:
        return torch.lerp(known, denoise(x, sigma), mask)

    return denoise_the_rest


def first_twice(noise: Noise) -> Noise:
    """The first draw comes twice: for two pictures that are diffused to be mixed.

    A mix of two draws has sqrt(share² + (1 - share)²) of their standard deviation, 0.71 in the middle, but
    the network is told the full level, and takes what is missing from the picture: it comes out flat.  A mix
    of one draw with itself has all of it, and a share of 0 or 1 is as if the other picture were not there.
    """
    asked = count()
    first: list[Tensor] = []

    def draw(like: Images) -> Images:
        match next(asked):
            case 0:
                first.append(noise(like))
                return first[0]
            case 1:
                return first.pop()
        return noise(like)

    return draw


def pasted(high: Images, other: LowImages, box: Box, weight: Tensor) -> Images:
    """high with other, of the size of `box`, in that place: `weight` (h, w) of it, 1 - weight of high."""
    out = high.clone()
    box.of(out).lerp_(other, weight.to(out))
    return out
