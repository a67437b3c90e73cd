"""`Renoised`: the algorithm of its paper, and what it makes of Gaussian data and of a mixture.

Its paper asks a consistency function, which says where the path of the flow from x ends.  Of Gaussian data it
is known; of others a fine solver walks the path.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from test_mixture import CENTRES, COUNT, SHARES, SPREADS, denoise, distance, exact
from truths import MEAN, STD, gaussian, pushed, squashed

from refinesr.diffusion.diagnostics import result_moments
from refinesr.diffusion.samplers import Ancestral, Heun, Renoised
from refinesr.diffusion.schedule import Explicit, Karras, Leading, LogSNR


def arrived(x, sigma):
    """Where the flow of N(MEAN, STD²) ends: (x - MEAN) shrinks as the standard deviation does."""
    return MEAN + STD / torch.sqrt(STD**2 + sigma**2) * (x - MEAN)


def test_is_the_papers_algorithm_state_by_state():
    """Song et al. 2023, algorithm 1, where the last level eps is 0; the start is ours, of variance 1 + T²."""
    taus, rng = [5.0, 2.0, 0.7, 0.2], torch.Generator().manual_seed(3)
    draws = torch.randn(4, 1, 2, 3, 3, dtype=torch.float64, generator=rng)
    states, source = [], iter(draws)

    def f(x, sigma):
        states.append(x)
        return squashed(x, sigma)

    start = math.sqrt(1 + taus[0] ** 2) * next(source)
    results = list(Renoised()(f, start, Explicit(tuple(taus)).grid(4), lambda like: next(source)))
    eps = 0.0
    x = squashed(start, torch.tensor(taus[0], dtype=torch.float64))  # line 1
    assert torch.equal(results[0], x)
    for tau, z, state, result in zip(taus[1:], draws[1:], states[1:], results[1:], strict=True):
        noisy = x + math.sqrt(tau**2 - eps**2) * z  # line 4
        x = squashed(noisy, torch.tensor(tau, dtype=torch.float64))  # line 5
        torch.testing.assert_close(state, noisy, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(result, x, rtol=1e-12, atol=1e-12)


GRIDS = [
    Explicit((20.0,)).grid(1),
    Leading((20.0, 0.49)).grid(2),
    Karras(0.05, 20.0).grid(7),
    LogSNR(0.3, 3.0).grid(30),
]


@pytest.mark.parametrize("grid", GRIDS, ids=len)
def test_paths_ends_are_the_data_in_any_number_of_calls(grid):
    """Mean and variance of the result are those of the data but for what the start lacks of them, N(MEAN,
    STD² + sigma²), and each call shrinks that by (STD² / (STD² + sigma²)) of the variance.
    """
    left = math.prod(STD / math.sqrt(STD**2 + sigma**2) for sigma in grid[:-1].tolist())
    mean, variance = pushed(Renoised(), arrived, grid)
    assert float(mean) == pytest.approx(MEAN - left * MEAN, abs=1e-12)
    assert float(variance) == pytest.approx(STD**2 + left**2 * (1 - STD**2), abs=1e-12)


@pytest.mark.parametrize("grid", GRIDS, ids=len)
def test_a_denoisers_estimates_lose_contrast(grid):
    """By hand: with t = STD² / (STD² + sigma²), x0 = MEAN + t (x - MEAN) and x = x0 + lower * z."""
    mean, variance = 0.0, 1 + float(grid[0]) ** 2
    for sigma, lower in pairwise(grid.tolist()):
        trust = STD**2 / (STD**2 + sigma**2)
        mean, variance = MEAN + trust * (mean - MEAN), trust**2 * variance + lower**2
    assert result_moments(Renoised(), grid, MEAN, STD) == pytest.approx(
        (mean, math.sqrt(variance)), rel=1e-12
    )
    assert math.sqrt(variance) < 0.8 * STD


@pytest.mark.parametrize("denoiser", [arrived, gaussian])
def test_the_moments_are_what_samples_show(denoiser):
    """200 000 of them, within 4 standard errors."""
    grid, count, rng = Explicit((20.0, 2.0, 0.4)).grid(3), 200_000, torch.Generator().manual_seed(0)

    def noise(like):
        return torch.randn(like.shape, dtype=like.dtype, generator=rng)

    x = math.sqrt(1 + 20.0**2) * noise(torch.zeros(count, 1, 1, 1, dtype=torch.float64))
    *_, last = Renoised()(denoiser, x, grid, noise)
    mean, variance = (float(value) for value in pushed(Renoised(), denoiser, grid))
    assert float(last.mean()) == pytest.approx(mean, abs=4 * math.sqrt(variance / count))
    assert float(last.var()) == pytest.approx(variance, rel=4 * math.sqrt(2 / count))


def walked(steps):
    """The end of the path from x at sigma, by a solver of second order."""

    def end(x, sigma):
        *_, last = Heun()(denoise, x, Karras(0.005, float(sigma)).grid(steps), torch.zeros_like)
        return last

    return end


@pytest.mark.parametrize("levels", [(50.0,), (50.0, 0.5), (50.0, 1.0, 0.3)], ids=len)
def test_paths_ends_of_a_mixture_are_the_mixture_in_any_number_of_calls(levels):
    """By the yardsticks of `test_mixture`."""
    like, rng = torch.zeros(COUNT, 2, 1, 1, dtype=torch.float64), torch.Generator().manual_seed(5)

    def noise(like):
        return torch.randn(like.shape, dtype=like.dtype, generator=rng)

    grid = Leading(levels).grid(len(levels))
    *_, last = Renoised()(walked(40), math.sqrt(1 + levels[0] ** 2) * noise(like), grid, noise)
    points = last.flatten(1)
    mode = torch.cdist(points, CENTRES).argmin(1)
    for k, share in enumerate(SHARES.tolist()):
        own = points[mode == k]
        assert len(own) / COUNT == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / COUNT) + 0.01)
        width = float((own - own.mean(0)).square().mean().sqrt())
        assert width == pytest.approx(float(SPREADS[k]), rel=0.1)
    assert distance(points, exact(1)) < 0.03


def test_a_later_call_mends_an_earlier_one():
    """A first call that is far too smooth (DDIM in two steps) is forgotten by what its noise covers."""
    rough, fine = pushed(Ancestral(0.0), gaussian, Explicit((20.0, 0.5)).grid(2)), None

    def student(x, sigma):
        return gaussian(x, sigma) if float(sigma) > 1 else arrived(x, sigma)

    fine = pushed(Renoised(), student, Explicit((20.0, 0.5)).grid(2))
    errors = [abs(math.sqrt(float(variance)) / STD - 1) for _, variance in (rough, fine)]
    assert errors[1] < errors[0] / 2
    np.testing.assert_array_less(errors[1], 0.08)
