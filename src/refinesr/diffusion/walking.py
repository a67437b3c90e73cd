"""What the loops of all samplers have in common."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from refinesr.shapes import Denoiser, Grid, Images, Noise, Sigma

P = ParamSpec("P")
Step = TypeVar("Step")

Walk = Callable[[Denoiser, Tensor, Tensor, Noise], Iterator[Tensor]]
"""A sampler, of ours or not."""


def without_gradients(walk: Callable[P, Iterator[Tensor]]) -> Callable[P, Iterator[Tensor]]:
    """What happens between the yields runs without gradients.

    `@torch.no_grad()` does not see that it decorates a generator if a checker of types has wrapped it before.
    """

    @wraps(walk)
    def watched(*args: P.args, **kwargs: P.kwargs) -> Iterator[Tensor]:
        steps = walk(*args, **kwargs)
        del args, kwargs  # the start is as large as the picture
        while True:
            with torch.no_grad():
                x0 = next(steps, None)
            if x0 is None:
                return
            yield x0

    return watched


def anchored(
    walk: Walk,
    denoise: Denoiser,
    x: Images,
    grid: Grid,
    noise: Noise,
    share: float,
    mean: Images | None = None,
) -> Iterator[Images]:
    """The walk's estimates, with so much of the mean of all answers in each; the walk is the same.

    If it is not given it is the first thing the denoiser says: asked at a level of pure noise, of data it has
    learnt by squared errors, a denoiser says the mean of all answers.  Given the input, a sample is
    independent of the truth, so the squared error is D* + (1 - share)² (D - D*), where D* is the mean's and D
    the sample's; a share below 0 goes beyond the sample.  Between the mean and that estimator of the right
    distribution whose error is least, nothing does better than this straight line (Freirich et al. 2021,
    arXiv 2107.02555).
    """
    first = [] if mean is None else [mean]

    def kept(x: Images, sigma: Sigma) -> Images:
        x0 = denoise(x, sigma)
        first[:] = first or [x0]
        return x0

    for x0 in walk(kept, x, grid, noise):
        yield torch.lerp(x0, first[0], share)


def last(steps: Iterable[Step]) -> Step:
    """What a walk ends with.  Raises ValueError if there is nothing.

    `*_, end = steps` would hold all of them until then; here each goes when the next has come.
    """
    (end,) = deque(steps, maxlen=1)
    return end


def level(sigma: float) -> Tensor:
    """sigma as denoisers want it: float64 on the CPU."""
    return torch.tensor(sigma, dtype=torch.float64)
