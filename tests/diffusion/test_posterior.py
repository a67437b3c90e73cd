"""Super-resolution that can be solved exactly: Gaussian pictures, a linear downsampling, and the posterior in
closed form.

8 x 8 pictures with a smooth covariance are seen as 4 x 4, bicubically reduced, with or without noise on
them.  All that the low picture allows is then N(mean, cov); its denoiser is affine, so mean and covariance of
what a sampler makes are computed exactly, by pushing a basis through it.
"""

import math

import numpy as np
import pytest
import torch
from truths import pushed

from refinesr.diffusion.denoisers import consistent
from refinesr.diffusion.samplers import (
    DPM2M,
    Ancestral,
    AnnealedLangevin,
    Heun,
    Langevin,
    Renoised,
    SR3Ancestral,
)
from refinesr.diffusion.schedule import LogSNR

SIDE = 8


def keys(x):
    """Keys' cubic, a = -1/2."""
    x = np.abs(x)
    return np.where(
        x <= 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0)
    )


def halving(size):
    """(size / 2, size): bicubic weights with anti-aliasing, cut at the border."""
    centres = 2 * np.arange(size // 2)[:, None] + 0.5
    weights = keys((np.arange(size)[None] - centres) / 2)
    return weights / weights.sum(1, keepdims=True)


def smooth(size, length=2.0):
    apart = np.subtract.outer(np.arange(size), np.arange(size))
    return np.exp(-((apart / length) ** 2) / 2) + 0.05 * np.eye(size)


A = np.kron(halving(SIDE), halving(SIDE))  # (16, 64)
PRIOR = 0.3 * np.kron(smooth(SIDE), smooth(SIDE))
TRUE = np.linalg.cholesky(PRIOR) @ np.random.default_rng(0).standard_normal(SIDE**2)


def posterior(noise):
    """(mean, cov) of a picture whose low one is A TRUE + N(0, noise²)."""
    gain = PRIOR @ A.T @ np.linalg.inv(A @ PRIOR @ A.T + noise**2 * np.eye(len(A)))
    return gain @ A @ TRUE, PRIOR - gain @ A @ PRIOR


def exact_denoiser(mean, cov):
    """E[x0 | x, low] = mean + cov (cov + sigma²)^-1 (x - mean), by the eigenvectors of cov."""
    mean = torch.tensor(mean)
    values, vectors = (torch.tensor(part) for part in np.linalg.eigh(cov))
    values = values.clamp(min=0)  # without noise 16 are 0 but for rounding

    def denoise(x, sigma):
        along = (x.flatten(1) - mean) @ vectors
        return (mean + along * (values / (values + sigma**2)) @ vectors.T).view_as(x)

    return denoise


EVERY = [
    Ancestral(),
    SR3Ancestral(),
    Ancestral(0.0),
    Heun(),
    DPM2M(),
    Langevin(),
    AnnealedLangevin(2),
    Renoised(),
]
GRID = LogSNR(0.002, 500.0)
SHAPE = (1, SIDE, SIDE)


def made(sampler, denoise, steps):
    mean, cov = pushed(sampler, denoise, GRID.grid(steps), SHAPE)
    return mean.numpy(), cov.numpy()


def apart(ours, truth):
    """Differences of mean and covariance, relative to the spread of the posterior."""
    size = np.trace(truth[1])
    return np.linalg.norm(ours[0] - truth[0]) / math.sqrt(size), np.linalg.norm(ours[1] - truth[1]) / size


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("sampler", [Heun(), DPM2M()], ids=repr)
def test_second_order_samplers_reach_the_posterior(sampler, noise):
    """300 steps over five decades: the start and the last level account for 1e-3, the steps for less."""
    truth = posterior(noise)
    assert max(apart(made(sampler, exact_denoiser(*truth), 300), truth)) < 2e-3


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("sampler", [Ancestral(), Ancestral(0.5), Ancestral(0.0), SR3Ancestral()], ids=repr)
def test_first_order_samplers_approach_it_with_the_step(sampler, noise):
    """Half the step, half the error; and what two step sizes foretell of none at all (2 b - a) is the
    posterior.
    """
    truth = posterior(noise)
    coarse, fine = (made(sampler, exact_denoiser(*truth), steps) for steps in (40, 80))
    foretold = [2 * b - a for a, b in zip(coarse, fine, strict=True)]
    assert apart(fine, truth)[1] < 0.65 * apart(coarse, truth)[1]
    assert max(apart(foretold, truth)) < 0.2 * apart(fine, truth)[1] + 2e-3


@pytest.mark.parametrize("sampler", EVERY, ids=repr)
def test_every_sample_downsampled_is_the_low_picture(sampler):
    """In any number of steps, to rounding: the noise-free posterior has no spread in what the low picture
    shows.
    """
    mean, cov = made(sampler, exact_denoiser(*posterior(0.0)), 8)
    np.testing.assert_allclose(A @ mean, A @ TRUE, atol=1e-10)
    np.testing.assert_allclose(A @ cov @ A.T, 0, atol=1e-10)


@pytest.mark.parametrize("sampler", EVERY, ids=repr)
def test_so_is_that_of_any_denoiser_made_consistent(sampler):
    """Here one that knows nothing of the low picture, only the prior, and is projected."""
    pinv, low = torch.tensor(np.linalg.pinv(A)), torch.tensor(A @ TRUE)

    def project(x0):
        flat = x0.flatten(1)
        return (flat + (low - flat @ torch.tensor(A).T) @ pinv.T).view_as(x0)

    mean, cov = made(sampler, consistent(exact_denoiser(np.zeros(SIDE**2), PRIOR), project), 8)
    np.testing.assert_allclose(A @ mean, A @ TRUE, atol=1e-10)
    np.testing.assert_allclose(A @ cov @ A.T, 0, atol=1e-10)
    assert np.trace(cov) > 0.01 * np.trace(PRIOR)  # the rest is still made, not copied
