"""What every sampler promises whoever calls it."""

import math

import pytest
import torch
from truths import draws_of, gaussian

from refinesr.diffusion.noise import NoiseField
from refinesr.diffusion.samplers import (
    DPM2M,
    Ancestral,
    AnnealedLangevin,
    Heun,
    Langevin,
    Renoised,
    SR3Ancestral,
)
from refinesr.diffusion.schedule import Explicit, Karras, LogSNR
from refinesr.errors import ConfigError

WALKS = [
    Ancestral(),
    Ancestral(0.5),
    Ancestral(0.0),
    SR3Ancestral(),
    Heun(),
    Heun(2.0),
    DPM2M(),
    Langevin(),
    Langevin(0),
    Renoised(),
]
ALL = [*WALKS, AnnealedLangevin(4, 1.0)]


def zeros(like):
    return torch.zeros_like(like)


@pytest.mark.parametrize("sampler", ALL)
def test_yields_an_estimate_a_step_and_makes_the_calls_it_says(sampler):
    calls = []

    def denoise(x, sigma):
        assert sigma.shape == ()
        assert (sigma.dtype, sigma.device.type) == (torch.float64, "cpu")
        calls.append(float(sigma))
        return gaussian(x, sigma)

    x = torch.randn(2, 3, 4, 5)
    estimates = list(sampler(denoise, x, LogSNR(0.1, 10.0).grid(5), torch.randn_like))
    assert len(estimates) == 5
    assert len(calls) == sampler.calls(5)
    assert all(estimate.shape == x.shape and estimate.dtype == x.dtype for estimate in estimates)
    assert min(calls) > 0  # nobody asks what a network thinks of a clean picture


@pytest.mark.parametrize(
    ("sampler", "draws"),
    [
        (Ancestral(), 7),  # the start and one a step but the last
        (Ancestral(0.0), 1),
        (SR3Ancestral(), 7),
        (Heun(), 1),
        (Heun(1.0), 8),  # the start and one a step
        (DPM2M(), 1),
        (Langevin(0), 7),
        (Langevin(2), 19),  # and two at each level but the first
        (AnnealedLangevin(4), 29),  # four at every level
        (Renoised(), 7),  # the start and one a step but the last
    ],
)
def test_draws_no_more_noise_than_it_uses(sampler, draws):
    assert draws_of(sampler, 7) == draws


@pytest.mark.parametrize("sampler", WALKS)
def test_one_step_returns_what_the_denoiser_says_of_the_start(sampler):
    x = torch.randn(1, 1, 2, 2, dtype=torch.float64)
    (only,) = sampler(gaussian, x, Explicit((3.0,)).grid(1), zeros)
    level = 3.0 * (1 + min(getattr(sampler, "churn", 0), math.sqrt(2) - 1))
    assert torch.equal(only, gaussian(x, torch.tensor(level, dtype=torch.float64)))


@pytest.mark.parametrize("sampler", ALL)
def test_gradients_are_off_inside_and_the_callers_mode_is_untouched_between_the_yields(sampler):
    weight = torch.ones((), requires_grad=True)
    inside = []

    def denoise(x, sigma):
        inside.append(torch.is_grad_enabled())
        return gaussian(x, sigma) * weight

    steps = sampler(denoise, torch.randn(1, 1, 2, 2), LogSNR(0.1, 10.0).grid(4), torch.randn_like)
    assert not next(steps).requires_grad
    assert torch.is_grad_enabled()
    with torch.inference_mode():
        next(steps)
        assert torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()
    with torch.no_grad():
        next(steps)
        assert not torch.is_grad_enabled()
    steps.close()
    assert torch.is_grad_enabled()
    assert not any(inside)


@pytest.mark.parametrize("sampler", ALL)
def test_works_only_when_asked(sampler):
    """Whoever stops watching stops the network."""
    calls = []

    def denoise(x, sigma):
        calls.append(sigma)
        return x

    steps = sampler(denoise, torch.zeros(1, 1, 1, 1), LogSNR(0.1, 10.0).grid(100), zeros)
    assert not calls
    next(steps)
    assert len(calls) <= max(2, sampler.calls(1))


@pytest.mark.parametrize("sampler", ALL)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.bfloat16, 0.2)])
def test_a_state_may_be_of_any_float_type_from_any_height(sampler, dtype, tolerance):
    """From sigma = 10**4, the highest of any table, with the same draws: within some rounding units of
    float64.
    """
    grid, draws = (
        Karras(0.02, 1e4).grid(12),
        torch.randn(60, 1, 1, 4, 4, generator=torch.Generator().manual_seed(0)),
    )

    def result(dtype):
        source = iter(draws.to(dtype))
        x = math.sqrt(1 + 1e8) * next(source)
        return [*sampler(gaussian, x, grid, lambda like: next(source))][-1]

    low = result(dtype)
    assert low.dtype == dtype
    torch.testing.assert_close(low.double(), result(torch.float64), rtol=0, atol=tolerance)


@pytest.mark.parametrize("sampler", ALL)
def test_a_picture_does_not_depend_on_its_batch(sampler):
    """Its seed says what it is, beside whatever other; to the last bit where the denoiser keeps to that."""
    grid = LogSNR(0.1, 10.0).grid(5)

    def made(seeds, scales):
        noise = NoiseField(seeds)
        start = noise(torch.zeros(len(seeds), 1, 2, 3)) * torch.tensor(scales).view(-1, 1, 1, 1)
        return [*sampler(gaussian, start, grid, noise)][-1]

    assert torch.equal(made((7,), (10.0,))[0], made((1, 7, 2), (1e3, 10.0, 1e-3))[1])


@pytest.mark.parametrize("sampler", ALL)
def test_does_not_change_the_start_it_is_given(sampler):
    x = torch.randn(1, 1, 3, 3)
    before = x.clone()
    list(sampler(gaussian, x, LogSNR(0.1, 10.0).grid(3), torch.randn_like))
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (lambda: Ancestral(1.5), "eta: 1.5"),
        (lambda: Ancestral(-0.1), "eta: -0.1"),
        (lambda: Heun(-1.0), "churn: -1"),
        (lambda: Heun(math.nan), "churn: nan"),
        (lambda: Langevin(-1), "corrections: -1"),
        (lambda: Langevin(snr=0.0), "snr: 0"),
        (lambda: Langevin(snr=1.0), "snr: 1"),
        (lambda: AnnealedLangevin(0), "steps: 0"),
        (lambda: AnnealedLangevin(rate=4.0), "rate: 4"),
        (lambda: AnnealedLangevin(rate=math.nan), "rate: nan"),
    ],
)
def test_refuses_values_without_a_meaning(wrong, field):
    with pytest.raises(ConfigError, match=field):
        wrong()
