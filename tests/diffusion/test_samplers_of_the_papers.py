"""The samplers against the algorithms of the papers, in their notation, state by state."""

import math

import numpy as np
import pytest
import torch
from truths import squashed

from refinesr.diffusion.samplers import Ancestral, Heun, SR3Ancestral
from refinesr.diffusion.schedule import Even, Karras, Linear, WarmUp, gammas


def walk(sampler, grid, draws):
    """States that the sampler showed to the denoiser, and its result."""
    states, source = [], iter(draws)

    def denoise(x, sigma):
        states.append(x)
        return squashed(x, sigma)

    x = math.sqrt(1 + float(grid[0]) ** 2) * next(source)
    *_, last = sampler(denoise, x, grid, lambda like: next(source))
    return [state.numpy() for state in states], last.numpy()


def ddpm_posterior(x, x0, alpha, gamma, gamma_before):
    """Ho et al. 2020, eq. 7: mean and variance of q(x_{t-1} | x_t, x0)."""
    beta = 1 - alpha
    mean = (
        math.sqrt(gamma_before) * beta / (1 - gamma) * x0
        + math.sqrt(alpha) * (1 - gamma_before) / (1 - gamma) * x
    )
    return mean, (1 - gamma_before) / (1 - gamma) * beta


def sr3_step(x, x0, alpha, gamma, gamma_before):
    """SR3, algorithm 2, lines 3 and 4."""
    eps = (x - math.sqrt(gamma) * x0) / math.sqrt(1 - gamma)
    return (x - (1 - alpha) / math.sqrt(1 - gamma) * eps) / math.sqrt(alpha), 1 - alpha


@pytest.mark.parametrize(("sampler", "step"), [(Ancestral(), ddpm_posterior), (SR3Ancestral(), sr3_step)])
@pytest.mark.parametrize("table", [Linear(1e-4, 0.1, 40), WarmUp(1e-4, 0.2, 30, 0.5)])
def test_is_the_papers_algorithm_state_by_state(sampler, step, table):
    """The papers' x is sqrt(gamma) times ours; 1e-11: forty steps of float64, the papers' 1 - gamma
    cancelling.
    """
    alphas = 1 - table.betas().numpy()
    products = np.cumprod(alphas)
    draws = torch.randn(
        table.rows, 1, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    states, last = walk(sampler, Even(table).grid(table.rows), draws)
    x = draws[0].numpy()
    for t, z, state in zip(reversed(range(table.rows)), [*draws[1:].numpy(), 0.0], states, strict=True):
        gamma, before = products[t], products[t - 1] if t else 1.0
        np.testing.assert_allclose(math.sqrt(gamma) * state, x, rtol=1e-11, atol=1e-11)
        x0 = squashed(
            torch.tensor(x / math.sqrt(gamma)), torch.tensor(math.sqrt(1 / gamma - 1), dtype=torch.float64)
        ).numpy()
        mean, variance = step(x, x0, alphas[t], gamma, before)
        x = mean + math.sqrt(max(variance, 0.0)) * z
    np.testing.assert_allclose(last, x, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ancestral_is_ddim_of_the_paper_for_every_eta(eta):
    """Song et al. 2021, eq. 12 with sigma_t of eq. 16, over respaced rows."""
    table = Linear(1e-4, 0.02, 1000)
    grid = Even(table).grid(10)
    draws = torch.randn(10, 1, 1, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    states, last = walk(Ancestral(eta), grid, draws)
    products = np.append(np.cumprod(1 - table.betas().numpy())[99::100][::-1], 1.0)
    x = draws[0].numpy()
    for a, b, z, state in zip(products[:-1], products[1:], [*draws[1:].numpy(), 0.0], states, strict=True):
        np.testing.assert_allclose(math.sqrt(a) * state, x, rtol=1e-11, atol=1e-11)
        x0 = squashed(
            torch.tensor(x / math.sqrt(a)), torch.tensor(math.sqrt(1 / a - 1), dtype=torch.float64)
        ).numpy()
        eps = (x - math.sqrt(a) * x0) / math.sqrt(1 - a)
        fresh = eta * math.sqrt((1 - b) / (1 - a)) * math.sqrt(1 - a / b)
        x = math.sqrt(b) * x0 + math.sqrt(1 - b - fresh**2) * eps + fresh * z
    np.testing.assert_allclose(last, x, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("larger", [False, True], ids=["ddpm", "sr3"])
def test_variance_after_each_step_is_the_papers(larger):
    """Where all data are one point the state's variance is only what the steps leave and add."""
    table = Linear(1e-3, 0.2, 12)
    beta = table.betas().numpy()
    product = np.cumprod(1 - beta)
    before = np.append(1.0, product[:-1])
    added = beta if larger else (1 - before) / (1 - product) * beta
    left = (1 - beta) * ((1 - before) / (1 - product)) ** 2  # the square of x_t's coefficient in the mean
    expected = [1.0]
    for t in reversed(range(1, 12)):
        expected.append(left[t] * expected[-1] + added[t])
    states, seen = [], torch.eye(12, dtype=torch.float64).view(12, 12, 1, 1, 1)
    source = iter(seen)

    def point(x, sigma):
        states.append(x.flatten())
        return 0 * x

    grid = Even(table).grid(12)
    start = math.sqrt(1 + float(grid[0]) ** 2) * next(source)
    list((SR3Ancestral() if larger else Ancestral())(point, start, grid, lambda like: next(source)))
    gamma = gammas(table).flip(0)
    ours = [float(g * (state**2).sum()) for g, state in zip(gamma, states, strict=True)]
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


@pytest.mark.parametrize(("churn", "gamma"), [(0.0, 0.0), (2.0, 0.25), (40.0, math.sqrt(2) - 1)])
def test_heun_is_edms_algorithm_2_state_by_state(churn, gamma):
    """Karras et al. 2022, S_min = 0, S_max = inf, S_noise = 1; gamma_i = min(S_churn / N, sqrt(2) - 1)."""
    grid = Karras(0.02, 50.0).grid(8)
    draws = torch.randn(9, 1, 1, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    states, last = walk(Heun(churn), grid, draws)

    def slope(x, t):
        shown.append(x)
        return (x - squashed(torch.tensor(x), torch.tensor(t, dtype=torch.float64)).numpy()) / t

    shown, x = [], math.sqrt(1 + 50.0**2) * draws[0].numpy()
    for i, noise in enumerate(draws[1:].numpy()):
        t, t_next = float(grid[i]), float(grid[i + 1])
        t_hat = t + gamma * t
        x_hat = x + math.sqrt(t_hat**2 - t**2) * noise
        d = slope(x_hat, t_hat)
        x = x_hat + (t_next - t_hat) * d
        if t_next != 0:
            x = x_hat + (t_next - t_hat) * (d / 2 + slope(x, t_next) / 2)
    for state, theirs in zip(states, shown, strict=True):
        np.testing.assert_allclose(state, theirs, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(last, x, rtol=1e-11, atol=1e-11)
