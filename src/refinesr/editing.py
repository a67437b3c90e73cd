"""Interpolation and fusion of images by partial noising and denoising (SRDiff, Li et al. 2021).

Any restoration model can do both; nothing here is trained.  `skip` is the number of the grid's level, from 0,
to which images are noised and from which sampling starts: grid[skip:] is visited.  With 0 little but noise is
left of the images, with the last number before the grid's end nearly everything.
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


def interpolate_images(
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
    """Interpolate between two high-resolution images (B, C, H, W) in [-1, 1] of one low-resolution image.

    `share` of the second and 1 - share of the first are mixed as noisy states (Ho et al. 2020, section 4.3).
    `noise` is called for the first image, for the second, then as the sampler needs it; see
    `repeat_first_draw`.  `lag` levels are skipped between noising and sampling, while the variance-preserving
    form sqrt(gamma) x of the state is kept: 1 reproduces SRDiff's public code, which noises to row t and
    starts to denoise at row t - 1.  The other parameters are those of `Stage.__call__`.

    Raises ConfigError for a model that sees no noise, ValueError for levels that the grid lacks.
    """
    sampling = sampling or without_mean(stage)
    grid = checked_grid(stage, sampling, skip, lag)
    sigma, later = float(grid[skip]), float(grid[skip + lag])
    with torch.no_grad():
        base, target = stage.model.base(low), stage.method.target
        one, other = (diffused(target.training_target(high, base), sigma, noise) for high in (first, second))
        x = math.sqrt((1 + later**2) / (1 + sigma**2)) * torch.lerp(one, other, share)
    start = Start(x, skip + lag)
    yield from stage(low, noise, sampling=sampling, tile=tile, autocast=autocast, start=start)


def fuse_images(
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
    """Redraw a high-resolution image with something `pasted` into it: SRDiff's content fusion.

    high (B, C, H, W) in [-1, 1].  As published all of it is redrawn; with a `mask` (B, 1, H, W) in [0, 1]
    every estimate is blended with `high`: 1 is redrawn, 0 stays `high`.  `noise` is called once, then as the
    sampler needs it.  The other parameters, and what is raised, are those of `interpolate_images`.
    """
    sampling = sampling or without_mean(stage)
    grid, target = checked_grid(stage, sampling, skip)[skip:], stage.method.target
    with torch.no_grad():
        base = stage.model.base(low)
        x = diffused(target.training_target(high, base), float(grid[0]), noise)
        denoise = stage.denoiser(low, base, sampling, tile, autocast)
        if mask is not None:
            denoise = keeping_known(denoise, target.encode(high, base), mask)
    yield from stage.run_sampler(sampling, denoise, x, grid, noise, base)


def without_mean(stage: Stage) -> Sampling:
    """The method's own sampling with fidelity 0: redrawn images are not drawn to the posterior mean."""
    return replace(stage.method.sampling, fidelity=0.0)


def checked_grid(stage: Stage, sampling: Sampling, skip: int, lag: int = 0) -> Grid:
    """The grid of the sampling.

    Raises ConfigError for a model that sees no noise, ValueError if the grid lacks the levels.
    """
    if isinstance(stage.method.precond, Blind):
        raise ConfigError("precond: a Blind network takes no noisy image, so it cannot redraw one")
    grid = sampling.levels()
    if skip < 0 or lag < 0 or skip + lag >= len(grid) - 1:
        raise ValueError(f"{skip=}, {lag=}: the grid has the levels 0 to {len(grid) - 2}")
    return grid


def diffused(x0: Images, sigma: float, noise: Noise) -> Images:
    """x0 with noise of standard deviation sigma."""
    return x0 + sigma * noise(x0)


def keeping_known(denoise: Denoiser, known: Images, mask: Mask) -> Denoiser:
    """A denoiser whose estimates are blended with `known` where `mask` is below 1.

    The network sees known pixels as noisy as the rest, as in its training (Lugmayr et al. 2022); networks for
    `inpainted` were trained with known pixels free of noise.
    """

    def denoise_the_rest(x: Images, sigma: Sigma) -> Images:
        return torch.lerp(known, denoise(x, sigma), mask)

    return denoise_the_rest


def repeat_first_draw(noise: Noise) -> Noise:
    """A source of noise whose second draw repeats the first: for two images that are noised and mixed.

    A mix of two independent draws has only sqrt(share² + (1 - share)²) of their standard deviation, 0.71 in
    the middle; conditioned on the full level, the network removes texture in place of noise.  A mix of one
    draw with itself keeps the level, and at a share of 0 or 1 the other image has no influence.
    """
    calls = count()
    first: list[Tensor] = []

    def draw(like: Images) -> Images:
        match next(calls):
            case 0:
                first.append(noise(like))
                return first[0]
            case 1:
                return first.pop()
        return noise(like)

    return draw


def pasted(high: Images, other: LowImages, box: Box, weight: Tensor) -> Images:
    """A copy of high with `other` blended in at `box`: `weight` (h, w) of other, 1 - weight of high."""
    out = high.clone()
    box.of(out).lerp_(other, weight.to(out))
    return out
