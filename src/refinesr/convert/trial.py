"""What leaves no trace in weights may show in their use: built as trained, a network finds the noise best.

Measured on a small SR3 trained with norms of 4 groups: after 4000 updates its error is 0.10 of that of saying
nothing, with 2, 1, 8 and 16 groups 0.13, 0.14, 0.25 and 0.45, and from 100 updates on 4 is the best, as are 1
and 8 where they are right.  How Palette's attention is cut into heads makes no such difference.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from refinesr.checkpoint import model_with_weights
from refinesr.convert.selection import Found
from refinesr.method import Method
from refinesr.shapes import Images

SIDE = 64
"""Pixels of the picture it is tried on, at most: attention over a large one takes minutes."""

QUANTILES = (0.4, 0.6, 0.8)
"""Of the noise levels it was trained at: high ones, where the noise is easily told from any picture."""

GOOD = 0.2
"""Error that no mistaken network comes below, in parts of that of a network that says nothing."""

MARGIN = 1.25
"""How many times larger the second smallest error has to be."""


def theirs(name: str) -> str:
    """What a tensor of ours is called in a file."""
    for ours, start in (("network.rrdb.", ""), ("network.", "denoise_fn."), ("source.encoder.", "rrdb.")):
        if name.startswith(ours):
            return start + name[len(ours) :]
    return name


def best(found: Found, methods: Sequence[Method], side: int) -> Method | None:
    """The method that clearly fits the weights, if one does; all of them have the same tensors.

    `side` is that of training images, in pixels, as far as it is known.
    """
    errors = [error(found, method, side) for method in methods]
    ranked = sorted(range(len(methods)), key=errors.__getitem__)
    if not ranked or errors[ranked[0]] > GOOD:
        return None
    clear = len(ranked) == 1 or errors[ranked[1]] > MARGIN * errors[ranked[0]]
    return methods[ranked[0]] if clear else None


@torch.no_grad()
def error(found: Found, method: Method, side: int) -> float:
    """Of the noise predicted in a soft picture, over that of predicting none."""
    model, objective = model_with_weights(found.path, method, found.weights, theirs), method.objective()
    high = picture(method, min(side, SIDE)).expand(len(QUANTILES), -1, -1, -1)
    low = method.degradation(high, torch.Generator().manual_seed(0))
    eps = torch.randn(high.shape, generator=torch.Generator().manual_seed(1))
    sigma = method.levels.at(torch.tensor(QUANTILES, dtype=torch.float64))
    return float(objective.loss(model, high, low, sigma, eps).mean() / eps.abs().pow(method.p).mean())


def picture(method: Method, side: int) -> Images:
    """Blurred blots, of a size that the scale divides."""
    side = max(side - side % method.scale, method.scale)
    coarse = torch.rand((1, method.channels, 4, 4), generator=torch.Generator().manual_seed(2)) * 2 - 1
    return F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False).clamp(-1, 1)
