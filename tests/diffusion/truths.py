"""Denoisers known exactly, and what samplers make of them without a random number.

A sampler whose denoiser is affine is itself affine in its draws: pushing a basis through it gives mean and
covariance.
"""

import math
from itertools import count

import torch

MEAN, STD = 0.5, 0.2


def gaussian(x, sigma):
    """E[x0 | x] for x0 ~ N(MEAN, STD²)."""
    return (STD**2 * x + sigma**2 * MEAN) / (STD**2 + sigma**2)


def squashed(x, sigma):
    """No denoiser of anything, but nonlinear and different at each level."""
    return torch.tanh(1.3 * x / (1 + sigma) + 0.1 * torch.cos(3 * sigma))


def pushed(sampler, denoise, grid, shape=(1, 1, 1)):
    """(mean (N,), covariance (N, N)) of what `sampler` makes of standard normal draws; N = prod(shape)."""
    size, draws = math.prod(shape), draws_of(sampler, len(grid) - 1)
    last = _run(sampler, denoise, grid, shape, _basis(draws, size, shape))
    bias, columns = last[0], last[1:] - last[0]
    return bias, columns.T @ columns


def draws_of(sampler, steps):
    """Draws with the start, counted on a denoiser that says 0."""
    seen = count()

    def noise(like):
        next(seen)
        return torch.zeros_like(like)

    grid = torch.linspace(steps, 0, steps + 1, dtype=torch.float64)
    _run(sampler, lambda x, sigma: 0 * x, grid, (1, 1, 1), lambda k, like: noise(like))
    return next(seen)


def _basis(draws, size, shape):
    """Draw k: image 0 has none, image 1 + k * size + i has a 1 in its i-th pixel."""

    def draw(k, like):
        z = torch.zeros(1 + draws * size, size, dtype=torch.float64)
        z[1 + k * size : 1 + (k + 1) * size] = torch.eye(size)
        return z.view(-1, *shape)

    return draw


def _run(sampler, denoise, grid, shape, draw):
    order = count()

    def noise(like):
        return draw(next(order), like)

    start = noise(torch.zeros(1, *shape, dtype=torch.float64))
    *_, last = sampler(denoise, math.sqrt(1 + float(grid[0]) ** 2) * start, grid, noise)
    return last.flatten(1)
