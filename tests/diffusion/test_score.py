"""The score of a denoiser against the gradient of the density, and against what training aims at."""

import math

import pytest
import torch
from test_mixture import CENTRES, SHARES, SPREADS, denoise
from truths import squashed

from refinesr.diffusion.precond import Eps, network_target, over_pixels
from refinesr.diffusion.score import score

RNG = torch.Generator().manual_seed(0)


def log_density(x, sigma):
    """Of noisy points of the mixture: each mode is wider by sigma."""
    variance = SPREADS**2 + sigma**2
    away = ((x.flatten(1)[:, None] - CENTRES) ** 2).sum(-1)
    return (SHARES.log() - away / (2 * variance) - (2 * math.pi * variance).log()).logsumexp(-1)


@pytest.mark.parametrize("sigma", [0.02, 0.3, 1.0, 30.0])
def test_is_the_gradient_of_the_log_density(sigma):
    """Of the mixture, by automatic differentiation, where the density is and far from it."""
    level = torch.tensor(sigma, dtype=torch.float64)
    x = (1 + sigma) * torch.randn(50, 2, 1, 1, dtype=torch.float64, generator=RNG)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(log_density(x, level).sum(), x)
    torch.testing.assert_close(score(denoise, x.detach(), level), gradient, rtol=1e-9, atol=1e-9)


def test_one_level_for_each_image_is_each_image_at_its_level():
    levels = torch.tensor([0.1, 1.0, 20.0], dtype=torch.float64)
    x = torch.randn(3, 2, 4, 5, dtype=torch.float64, generator=RNG)

    def each(x, sigma):
        return squashed(x, over_pixels(sigma, x))

    together = score(each, x, levels)
    alone = [score(each, x[k : k + 1], levels[k]) for k in range(3)]
    assert torch.equal(together, torch.cat(alone))
    assert together.dtype == x.dtype
    assert score(each, x.float(), levels).dtype == torch.float32


def test_learning_the_noise_is_denoising_score_matching():
    """Vincent 2011, eq. 9, times sigma²: |sigma (s - grad log q(x | x0))|² is |F - eps|², whatever F says."""
    sigma = torch.tensor([0.05, 0.7, 40.0], dtype=torch.float64)
    x0, eps = torch.randn(2, 3, 1, 4, 4, dtype=torch.float64, generator=RNG)
    c, wide = Eps().coefficients(sigma), over_pixels(sigma, x0)

    def network(x):
        return torch.sin(3 * over_pixels(c.into, x) * x)

    x = x0 + wide * eps
    ours = score(lambda x, sigma: x - wide * network(x), x, sigma)
    of_the_noising = -(x - x0) / wide**2  # the gradient of log N(x; x0, sigma²)
    matching = (wide * (ours - of_the_noising)) ** 2
    torch.testing.assert_close(
        matching, (network(x) - network_target(c, x0, eps, sigma)) ** 2, rtol=1e-9, atol=0
    )
