"""Samplers that stay at a level and stir: Langevin dynamics with the score of `refinesr.diffusion.score`.

A step of size e is x + e * score + sqrt(2 e) * noise.  It leaves noisy states distributed as they are, but
for terms of the order of e.  Sizes are given in units of sigma²: with e = part * sigma², e * score is a part
of the way from x to its estimate x0.  On Gaussian data the variance of x, v = std² + sigma², settles at
v / (1 - part * sigma² / (2 v)).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from refinesr.diffusion.walking import level, without_gradients
from refinesr.errors import ConfigError
from refinesr.shapes import Denoiser, Grid, Images, Noise


@dataclass(frozen=True)
class Langevin:
    """Predictor and corrector: a step down, then `corrections` stirs at the level it reached.

    Algorithm 2 of Song et al. 2021, "Score-based generative modeling through stochastic differential
    equations".  The predictor is "reverse diffusion" of their table 1: the mean of `Ancestral(1)`, and the
    larger variance sigma² - lower².  No noise in the last step.

    The corrector's step is 2 (snr |noise| / |score|)² in their algorithm 4, with norms over a batch.  Here
    both norms are what they would be on average, sqrt(N) and sqrt(N) / sigma: 2 (snr sigma)².  So a picture
    depends neither on its batch nor on the chance of a norm, and few pixels do as well as many.
    """

    corrections: int = 1
    snr: float = 0.16

    def __post_init__(self) -> None:
        if self.corrections < 0:
            raise ConfigError(f"corrections: {self.corrections} is negative; 0 corrects nothing")
        if not 0 < self.snr < 1:  # from 1 on, corrections diverge
            raise ConfigError(f"snr: {self.snr:g} is not between 0 and 1")

    def calls(self, steps: int) -> int:
        return steps + self.corrections * (steps - 1)

    @without_gradients
    def __call__(self, denoise: Denoiser, x: Images, grid: Grid, noise: Noise) -> Iterator[Images]:
        for sigma, lower in pairwise(grid.tolist()):
            x0 = denoise(x, level(sigma))
            yield x0
            if lower == 0:
                return
            x = x0 + (lower / sigma) ** 2 * (x - x0) + math.sqrt(sigma**2 - lower**2) * noise(x)
            for _ in range(self.corrections):
                x = stirred(x, denoise(x, level(lower)), lower, 2 * self.snr**2, noise)


@dataclass(frozen=True)
class AnnealedLangevin:
    """`steps` stirs at each level of the grid (Song and Ermon 2019, algorithm 1), and one last estimate.

    Their step at level i is alpha_i / 2 with alpha_i = eps sigma_i² / sigma_L².  `rate` is
    alpha_i / sigma_i², the same at all levels: 0.2 in their experiments, with 100 steps at each of 10
    levels.  That the last state is denoised is an addition of Jolicoeur-Martineau et al. 2021.
    """

    steps: int = 100
    rate: float = 0.2

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"steps: {self.steps} is not positive")
        if not 0 < self.rate < 4:  # from 4 on, it diverges
            raise ConfigError(f"rate: {self.rate:g} is not between 0 and 4")

    def calls(self, steps: int) -> int:
        return steps * self.steps + 1

    @without_gradients
    def __call__(self, denoise: Denoiser, x: Images, grid: Grid, noise: Noise) -> Iterator[Images]:
        for sigma, lower in pairwise(grid.tolist()):
            for _ in range(self.steps):
                x0 = denoise(x, level(sigma))
                x = stirred(x, x0, sigma, self.rate / 2, noise)
            yield x0 if lower > 0 else denoise(x, level(sigma))


def stirred(x: Images, x0: Images, sigma: float, part: float, noise: Noise) -> Images:
    """One step of Langevin dynamics, of size part * sigma², where x0 is the estimate of x."""
    return x + part * (x0 - x) + math.sqrt(2 * part) * sigma * noise(x)
