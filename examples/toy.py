"""Compare samplers on two-dimensional data whose denoiser is known in closed form: no network, no training.

A point is an image of two channels and one pixel.  The data are three Gaussian clusters.
"""

import math

import torch

from refinesr.diffusion.noise import NoiseField
from refinesr.diffusion.samplers import DPM2M, Ancestral, Heun
from refinesr.diffusion.schedule import Karras

CENTRES = torch.tensor([[-0.6, -0.4], [0.6, -0.4], [0.0, 0.6]])
SPREAD = 0.1  # standard deviation of each cluster


def denoise(x, sigma):
    """E[x0 | x]: the mean within each cluster, weighted by the probability of that cluster."""
    point, sigma = x.flatten(1)[:, None], float(sigma)  # (B, 1, 2)
    weight = (-((point - CENTRES) ** 2).sum(-1) / (2 * (SPREAD**2 + sigma**2))).softmax(-1)
    mean = (SPREAD**2 * point + sigma**2 * CENTRES) / (SPREAD**2 + sigma**2)
    return (weight[..., None] * mean).sum(1).view_as(x)


def drawing(points, columns=64, rows=18):
    """A plot of the points in characters; each shade stands for twice as many points as the one before."""
    x, y = ((points.clamp(-0.99, 0.99) + 1) / 2 * torch.tensor([columns, rows])).long().unbind(1)
    counts = torch.bincount((rows - 1 - y) * columns + x, minlength=rows * columns)
    shades = [" .:+*#@"[min(6, n.bit_length())] for n in counts.tolist()]
    return "\n".join("".join(shades[row * columns :][:columns]) for row in range(rows))


for sampler, steps in ((Ancestral(1.0), 1), (Ancestral(1.0), 20), (DPM2M(), 20), (Heun(), 10)):
    grid, noise = Karras(0.01, 30.0).grid(steps), NoiseField(tuple(range(1000)), cell=1)
    start = math.sqrt(1 + float(grid[0]) ** 2) * noise(torch.zeros(1000, 2, 1, 1))
    *_, last = sampler(denoise, start, grid, noise)
    print(f"\n{sampler}, {sampler.calls(steps)} calls\n{drawing(last.flatten(1))}")
