"""Langevin dynamics against the algorithms of the papers in their letters, and against what it must do."""

import math
from itertools import pairwise

import pytest
import torch
from test_mixture import CENTRES, SHARES, denoise
from truths import MEAN, STD, gaussian, pushed, squashed

from refinesr.diffusion.samplers import AnnealedLangevin, Langevin
from refinesr.diffusion.schedule import Explicit, LogSNR
from refinesr.diffusion.score import score


def numbers(count, seed=0):
    return torch.randn(count, 1, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def level(sigma):
    return torch.tensor(sigma, dtype=torch.float64)


def result(sampler, denoise, grid, draws):
    source = iter(draws)
    x = math.sqrt(1 + float(grid[0]) ** 2) * next(source)
    *_, last = sampler(denoise, x, grid, lambda like: next(source))
    assert next(source, None) is None
    return last


@pytest.mark.parametrize("corrections", [0, 1, 3])
def test_langevin_is_the_papers_algorithm(corrections):
    """Song et al. 2021, algorithm 2, in their letters; the last predictor step without noise is x0."""
    sigmas = [30.0, 4.0, 1.0, 0.2, 0.0]
    draws = numbers(4 + 3 * corrections)
    z = iter(draws)
    x = math.sqrt(1 + sigmas[0] ** 2) * next(z)
    for upper, lower in pairwise(sigmas):
        x = x + (upper**2 - lower**2) * score(squashed, x, level(upper))
        if lower == 0:
            break
        x = x + math.sqrt(upper**2 - lower**2) * next(z)
        step = 2 * (0.2 * lower) ** 2
        for _ in range(corrections):
            x = x + step * score(squashed, x, level(lower)) + math.sqrt(2 * step) * next(z)
    ours = result(Langevin(corrections, snr=0.2), squashed, Explicit(tuple(sigmas[:-1])).grid(4), draws)
    torch.testing.assert_close(ours, x, rtol=1e-12, atol=1e-12)


def test_a_correction_is_as_long_as_the_papers_where_noise_is_most_of_the_picture():
    """Algorithm 4 measures |z| and |score| of 12288 numbers: standard errors of 0.6 % each, squared."""
    sigma, snr = 0.5, 0.16
    rng = torch.Generator().manual_seed(3)
    x, z = torch.randn(2, 1, 3, 64, 64, dtype=torch.float64, generator=rng)

    def nearly_flat(x, sigma):
        return x * 0.02**2 / (0.02**2 + sigma**2)

    gradient = score(nearly_flat, sigma * x, level(sigma))
    theirs = 2 * (snr * z.norm() / gradient.norm()) ** 2
    assert float(theirs) == pytest.approx(2 * (snr * sigma) ** 2, rel=0.03)


@pytest.mark.parametrize("steps", [1, 3])
def test_annealed_langevin_is_the_papers_algorithm(steps):
    """Song and Ermon 2019, algorithm 1, in their letters, and one estimate of its result."""
    eps, sigmas = 2e-5, [1.0, 0.3, 0.05, 0.01]
    draws = numbers(1 + 4 * steps, seed=1)
    z = iter(draws)
    x = math.sqrt(1 + sigmas[0] ** 2) * next(z)
    for sigma in sigmas:
        alpha = eps * sigma**2 / sigmas[-1] ** 2
        for _ in range(steps):
            x = x + alpha / 2 * score(squashed, x, level(sigma)) + math.sqrt(alpha) * next(z)
    sampler = AnnealedLangevin(steps, rate=eps / sigmas[-1] ** 2)
    ours = result(sampler, squashed, Explicit(tuple(sigmas)).grid(4), draws)
    torch.testing.assert_close(ours, squashed(x, level(sigmas[-1])), rtol=1e-12, atol=1e-12)


def test_the_defaults_are_those_of_the_papers():
    """Song and Ermon 2019, section 5: T = 100, eps = 2e-5, sigma_L = 0.01; Song et al. 2021, appendix G."""
    assert AnnealedLangevin().steps == 100
    assert AnnealedLangevin().rate == pytest.approx(2e-5 / 0.01**2)
    assert (Langevin().corrections, Langevin().snr) == (1, 0.16)


@pytest.mark.parametrize("sigma", [0.05, 0.2, 2.0])
@pytest.mark.parametrize("rate", [0.05, 0.2, 1.0])
def test_stirring_settles_at_the_variance_of_the_level_and_a_known_part_more(rate, sigma):
    """After k steps of size e a state of Gaussian data has forgotten all but (1 - e / v)^k of its start; its
    variance is v / (1 - e / (2 v)), v = std² + sigma².
    """
    size, v = rate / 2 * sigma**2, STD**2 + sigma**2
    steps = min(math.ceil(-35 / math.log1p(-size / v)), 500)
    mean, variance = pushed(AnnealedLangevin(steps, rate), gaussian, Explicit((sigma,)).grid(1))
    left = (1 - size / v) ** steps
    settled = v / (1 - size / (2 * v))
    expected = settled + left**2 * (1 + sigma**2 - settled)
    assert float(mean) == pytest.approx(MEAN - STD**2 / v * left * MEAN, abs=1e-12)
    assert float(variance) == pytest.approx((STD**2 / v) ** 2 * expected, rel=1e-10)


def test_corrections_pull_a_wrong_state_towards_the_data():
    """A start at gamma = 0.61, without the data's mean, leaves a cast; many corrections heal it."""
    grid = LogSNR(0.02, 0.8).grid(10)
    errors = [abs(float(pushed(Langevin(n), gaussian, grid)[0]) - MEAN) for n in (0, 3, 30)]
    assert errors[0] > 0.02
    assert errors[1] < 0.8 * errors[0]
    assert errors[2] < 1e-3


# --- why the levels are annealed: modes far apart


COUNT = 2000


def from_one_mode(sampler, grid):
    """Shares of the modes after a start in which all points lie in the last one."""
    rng = torch.Generator().manual_seed(0)

    def noise(like):
        return torch.randn(like.shape, dtype=like.dtype, generator=rng)

    near = CENTRES[2].view(1, 2, 1, 1).expand(COUNT, 2, 1, 1)
    *_, last = sampler(denoise, near + float(grid[0]) * noise(near), grid, noise)
    mode = torch.cdist(last.flatten(1), CENTRES).argmin(1)
    return (torch.bincount(mode, minlength=3) / COUNT).tolist()


def test_plain_langevin_keeps_the_shares_it_starts_with():
    """Song and Ermon 2019, section 3.2.2: nothing is between modes, and no point crosses in 400 steps."""
    assert from_one_mode(AnnealedLangevin(400), Explicit((0.05,)).grid(1))[2] > 0.999


@pytest.mark.parametrize(
    ("sampler", "grid"),
    [(AnnealedLangevin(40), LogSNR(0.01, 2.0).grid(16)), (Langevin(), LogSNR(0.01, 50.0).grid(120))],
    ids=["annealed", "corrected"],
)
def test_annealed_langevin_finds_the_shares_from_anywhere(sampler, grid):
    """Within 4 standard errors of 2000 points, and 0.01 for the steps."""
    for found, share in zip(from_one_mode(sampler, grid), SHARES.tolist(), strict=True):
        assert found == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / COUNT) + 0.01)
