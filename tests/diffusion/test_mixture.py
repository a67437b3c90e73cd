"""Samplers on data of several modes: a mixture in two dimensions whose score is known exactly.

A point is an image of two channels and one pixel.  What is asked: the share of each mode, its mean and
spread, and the distance between the sampled distribution and the mixture, seen from many directions.
"""

import math

import pytest
import torch

from refinesr.diffusion.noise import NoiseField
from refinesr.diffusion.samplers import DPM2M, Ancestral, AnnealedLangevin, Heun, Langevin, SR3Ancestral
from refinesr.diffusion.schedule import Even, Karras, Linear, LogSNR

SHARES = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
CENTRES = torch.tensor([[-0.8, -0.4], [0.7, -0.3], [0.1, 0.8]], dtype=torch.float64)
SPREADS = torch.tensor([0.10, 0.15, 0.06], dtype=torch.float64)
COUNT = 4000


def denoise(x, sigma):
    """E[x0 | x]: in each mode the Gaussian formula, weighed by the mode's posterior share."""
    point = x.flatten(1)[:, None]  # (B, 1, 2)
    variance = SPREADS**2 + sigma**2
    fit = (
        SHARES.log() - ((point - CENTRES) ** 2).sum(-1) / (2 * variance) - variance.log()
    )  # 2-D: log(variance)/2 twice
    best = (SPREADS[:, None] ** 2 * point + sigma**2 * CENTRES) / variance[:, None]  # (B, modes, 2)
    return (fit.softmax(-1)[..., None] * best).sum(1).view_as(x)


def exact(seed):
    rng = torch.Generator().manual_seed(seed)
    mode = torch.multinomial(SHARES, COUNT, replacement=True, generator=rng)
    return CENTRES[mode] + SPREADS[mode, None] * torch.randn(COUNT, 2, dtype=torch.float64, generator=rng)


def distance(points, others):
    """Sliced Wasserstein-1 over 60 directions."""
    angles = torch.arange(60, dtype=torch.float64) * math.pi / 60
    directions = torch.stack([angles.cos(), angles.sin()])
    return float(((points @ directions).sort(0).values - (others @ directions).sort(0).values).abs().mean())


def sampled(sampler, grid):
    like = torch.zeros(COUNT, 2, 1, 1, dtype=torch.float64)
    rng = torch.Generator().manual_seed(5)

    def noise(like):
        return torch.randn(like.shape, dtype=like.dtype, generator=rng)

    *_, last = sampler(denoise, math.sqrt(1 + float(grid[0]) ** 2) * noise(like), grid, noise)
    return last.flatten(1)


@pytest.mark.parametrize(
    ("sampler", "grid"),
    [
        (Ancestral(), Karras(0.005, 50.0).grid(250)),
        (SR3Ancestral(), Even(Linear(1e-6, 1e-2, 2000)).grid(500)),
        (Ancestral(0.5), Karras(0.005, 50.0).grid(150)),
        (Ancestral(0.0), Karras(0.005, 50.0).grid(150)),
        (Heun(), Karras(0.005, 50.0).grid(30)),
        (Heun(20.0), Karras(0.005, 50.0).grid(60)),
        (DPM2M(), Karras(0.005, 50.0).grid(50)),
        (Langevin(), Karras(0.005, 50.0).grid(120)),
        (Langevin(4), Karras(0.005, 50.0).grid(60)),
        (AnnealedLangevin(), LogSNR(0.01, 2.0).grid(12)),
        (AnnealedLangevin(20), LogSNR(0.01, 4.0).grid(40)),
    ],
    ids=lambda value: repr(value) if not isinstance(value, torch.Tensor) else str(len(value) - 1),
)
def test_samples_are_those_of_the_mixture(sampler, grid):
    """4000 points: shares within 4 standard errors, sqrt(p (1 - p) / n), and 0.01 for the steps; spreads
    within a tenth; the distance no more than 0.03, where two exact samples of that size lie 0.01 to 0.025
    apart and modes 1.5.
    """
    points = sampled(sampler, grid)
    mode = torch.cdist(points, CENTRES).argmin(1)
    for k, (share, centre, spread) in enumerate(zip(SHARES.tolist(), CENTRES, SPREADS.tolist(), strict=True)):
        own = points[mode == k]
        assert len(own) / COUNT == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / COUNT) + 0.01)
        assert (own.mean(0) - centre).abs().max() < 5 * spread / math.sqrt(len(own)) + 0.01
        assert float((own - own.mean(0)).square().mean().sqrt()) == pytest.approx(spread, rel=0.1)
    assert distance(points, exact(1)) < 0.03


def test_the_distance_is_a_yardstick():
    """Two exact samples are near, one with the shares of two modes exchanged is far."""
    near = [distance(exact(1), exact(seed)) for seed in range(2, 8)]
    assert max(near) < 0.03
    swapped = exact(2)
    swapped[:, 0] *= -1
    assert distance(exact(1), swapped) > 0.1


def test_one_step_gives_the_mean_of_all_pictures():
    """Why a regression is blurred: from pure noise the best single estimate is the mean of the mixture."""
    x = 1e4 * NoiseField(tuple(range(8)))(torch.zeros(8, 2, 1, 1, dtype=torch.float64))
    (only,) = DPM2M()(denoise, x, torch.tensor([1e4, 0.0], dtype=torch.float64), torch.zeros_like)
    torch.testing.assert_close(only.flatten(1), (SHARES @ CENTRES).expand(8, 2), rtol=0, atol=1e-3)
