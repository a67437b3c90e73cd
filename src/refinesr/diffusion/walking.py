"""What the loops of all samplers have in common."""

from collections.abc import Callable, Iterator
from functools import wraps
from typing import ParamSpec

import torch
from torch import Tensor

P = ParamSpec("P")


def without_gradients(walk: Callable[P, Iterator[Tensor]]) -> Callable[P, Iterator[Tensor]]:
    """What happens between the yields runs without gradients.

    `@torch.no_grad()` does not see that it decorates a generator if a checker of types has wrapped it before.
    """

    @wraps(walk)
    def watched(*args: P.args, **kwargs: P.kwargs) -> Iterator[Tensor]:
        steps = walk(*args, **kwargs)
        while True:
            with torch.no_grad():
                x0 = next(steps, None)
            if x0 is None:
                return
            yield x0

    return watched


def level(sigma: float) -> Tensor:
    """sigma as denoisers want it: float64 on the CPU."""
    return torch.tensor(sigma, dtype=torch.float64)
