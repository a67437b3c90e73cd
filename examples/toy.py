"""Samplers on two-dimensional data whose denoiser is known exactly: no network, no training, mathematics.

A point is an image of two channels and one pixel.  The data: three small discs.
"""

import math

import torch

from refinesr.diffusion.noise import NoiseField
from refinesr.diffusion.samplers import DPM2M, Ancestral, Heun
from refinesr.diffusion.schedule import Karras

CENTRES = torch.tensor([[-0.6, -0.4], [0.6, -0.4], [0.0, 0.6]])
SPREAD = 0.1  # standard deviation of each disc


def denoise(x, sigma):
    """E[x0 | x]: the best guess in each disc, weighed by how likely x came from that one."""
    point, sigma = x.flatten(1)[:, None], float(sigma)  # (B, 1, 2)
    weight = (-((point - CENTRES) ** 2).sum(-1) / (2 * (SPREAD**2 + sigma**2))).softmax(-1)
    guess = (SPREAD**2 * point + sigma**2 * CENTRES) / (SPREAD**2 + sigma**2)
    return (weight[..., None] * guess).sum(1).view_as(x)


def drawn(points, columns=64, rows=18):
    """The points as characters; each shade stands for twice as many as the one before."""
    x, y = ((points.clamp(-0.99, 0.99) + 1) / 2 * torch.tensor([columns, rows])).long().unbind(1)
    counts = torch.bincount((rows - 1 - y) * columns + x, minlength=rows * columns)
    shades = [" .:+*#@"[min(6, n.bit_length())] for n in counts.tolist()]
    return "\n".join("".join(shades[row * columns :][:columns]) for row in range(rows))


for sampler, steps in ((Ancestral(1.0), 1), (Ancestral(1.0), 20), (DPM2M(), 20), (Heun(), 10)):
    grid, noise = Karras(0.01, 30.0).grid(steps), NoiseField(tuple(range(1000)), cell=1)
    start = math.sqrt(1 + float(grid[0]) ** 2) * noise(torch.zeros(1000, 2, 1, 1))
    *_, last = sampler(denoise, start, grid, noise)
    print(f"\n{sampler}, {sampler.calls(steps)} calls\n{drawn(last.flatten(1))}")
