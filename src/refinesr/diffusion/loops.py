"""Functions that all samplers, which are generators, share."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from refinesr.shapes import Denoiser, Grid, Images, Noise, Sigma

P = ParamSpec("P")
Step = TypeVar("Step")

SamplerFunction = Callable[[Denoiser, Tensor, Tensor, Noise], Iterator[Tensor]]
"""The signature of a sampler: (denoise, x, grid, noise) -> its estimates of x0."""


def without_gradients(sampler: Callable[P, Iterator[Tensor]]) -> Callable[P, Iterator[Tensor]]:
    """Decorates a sampler so that it computes without gradients, but not the caller between its yields.

    `@torch.no_grad()` does not recognise a generator function that a type checker has wrapped.
    """

    @wraps(sampler)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Iterator[Tensor]:
        steps = sampler(*args, **kwargs)
        del args, kwargs  # frees the initial state, which is as large as the image
        while True:
            with torch.no_grad():
                x0 = next(steps, None)
            if x0 is None:
                return
            yield x0

    return wrapper


def blended_with_mean(
    sampler: SamplerFunction,
    denoise: Denoiser,
    x: Images,
    grid: Grid,
    noise: Noise,
    share: float,
    mean: Images | None = None,
) -> Iterator[Images]:
    """The sampler's estimates, each as (1 - share) * estimate + share * posterior mean given the condition.

    Only what is yielded is mixed; the sampling itself is unchanged.  Without `mean`, the denoiser's first
    estimate is taken: at a level of pure noise, a denoiser trained with squared errors predicts the mean of
    all images that fit the condition (the MMSE estimate).

    Given the condition, a sample is independent of the true image, so that the squared error of the result is
    D* + (1 - share)² (D - D*), with D* that of the mean and D that of the sample.  A share below 0
    extrapolates beyond the sample.  If D is the least error of an estimator with perfect perceptual quality,
    this line is the optimal perception-distortion trade-off (Freirich et al. 2021, arXiv 2107.02555).
    """
    means = [] if mean is None else [mean]

    def denoise_and_record(x: Images, sigma: Sigma) -> Images:
        x0 = denoise(x, sigma)
        if not means:
            means.append(x0)
        return x0

    for x0 in sampler(denoise_and_record, x, grid, noise):
        yield torch.lerp(x0, means[0], share)


def last_of(steps: Iterable[Step]) -> Step:
    """The last item of `steps`.  Raises ValueError if there is none.

    Holds one item at a time, where `*_, end = steps` would hold all of them.
    """
    (end,) = deque(steps, maxlen=1)
    return end


def sigma_tensor(sigma: float) -> Tensor:
    """sigma as a tensor for a denoiser: float64, on the CPU."""
    return torch.tensor(sigma, dtype=torch.float64)
