"""Samplers by Langevin dynamics, with the score of `refinesr.diffusion.score`.

A Langevin step of size e is x + e * score + sqrt(2 e) * noise.  It keeps the noise level of x and leaves its
distribution p(x; sigma) invariant up to terms of order e.  Step sizes are given in units of sigma²: with
e = rate * sigma², the drift e * score is rate * (x0 - x), that share of the way from x to its estimate x0.
On Gaussian data the variance of x, exactly v = std² + sigma², converges to v / (1 - rate * sigma² / (2 v)).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from refinesr.diffusion.loops import sigma_tensor, without_gradients
from refinesr.errors import ConfigError
from refinesr.shapes import Denoiser, Grid, Images, Noise


@dataclass(frozen=True)
class Langevin:
    """Predictor-corrector sampler: a predictor step, then `corrections` Langevin steps at the new level.

    Algorithm 2 of Song et al. 2021, "Score-based generative modeling through stochastic differential
    equations".  The predictor is "reverse diffusion" of their table 1: the mean of `Ancestral(1)` with the
    larger variance sigma² - lower².  No noise is added in the last step.

    The corrector's step size is 2 (snr |noise| / |score|)² in their algorithm 4, with norms over a batch.
    Here both norms have their expected values, sqrt(N) and sqrt(N) / sigma, so that the step size is
    2 (snr sigma)².  A result therefore does not depend on the other images of its batch.
    """

    corrections: int = 1
    snr: float = 0.16

    def __post_init__(self) -> None:
        if self.corrections < 0:
            raise ConfigError(f"corrections: {self.corrections} is negative; 0 corrects nothing")
        if not 0 < self.snr < 1:  # corrections diverge for snr >= 1
            raise ConfigError(f"snr: {self.snr:g} is not between 0 and 1")

    def calls(self, steps: int) -> int:
        return steps + self.corrections * (steps - 1)

    @without_gradients
    def __call__(self, denoise: Denoiser, x: Images, grid: Grid, noise: Noise) -> Iterator[Images]:
        for sigma, lower in pairwise(grid.tolist()):
            x0 = denoise(x, sigma_tensor(sigma))
            yield x0
            if lower == 0:
                return
            # predictor: reverse diffusion (table 1)
            x = x0 + (lower / sigma) ** 2 * (x - x0) + math.sqrt(sigma**2 - lower**2) * noise(x)
            for _ in range(self.corrections):  # corrector: algorithm 4
                x = langevin_step(x, denoise(x, sigma_tensor(lower)), lower, 2 * self.snr**2, noise)


@dataclass(frozen=True)
class AnnealedLangevin:
    """Annealed Langevin dynamics: `steps` Langevin steps at each level (Song and Ermon 2019, algorithm 1).

    Their step size at level i is alpha_i / 2 with alpha_i = eps sigma_i² / sigma_L².  `rate` is
    alpha_i / sigma_i², the same at all levels: 0.2 in their experiments, with 100 steps at each of 10
    levels.  The last state is denoised by one more call, as proposed by Jolicoeur-Martineau et al. 2021.
    """

    steps: int = 100
    rate: float = 0.2

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"steps: {self.steps} is not positive")
        if not 0 < self.rate < 4:  # the iteration diverges for rate >= 4
            raise ConfigError(f"rate: {self.rate:g} is not between 0 and 4")

    def calls(self, steps: int) -> int:
        return steps * self.steps + 1

    @without_gradients
    def __call__(self, denoise: Denoiser, x: Images, grid: Grid, noise: Noise) -> Iterator[Images]:
        for sigma, lower in pairwise(grid.tolist()):
            for _ in range(self.steps):
                x0 = denoise(x, sigma_tensor(sigma))
                x = langevin_step(x, x0, sigma, self.rate / 2, noise)
            yield x0 if lower > 0 else denoise(x, sigma_tensor(sigma))


def langevin_step(x: Images, x0: Images, sigma: float, rate: float, noise: Noise) -> Images:
    """A Langevin step of size rate * sigma² from x, whose estimate is x0: the score is (x0 - x) / sigma²."""
    return x + rate * (x0 - x) + math.sqrt(2 * rate) * sigma * noise(x)
