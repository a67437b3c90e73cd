"""Finds settings that weights do not show by trial: with the right one, the network predicts noise best.

Measured on a small SR3 trained with GroupNorm of 4 groups: after 4000 updates its error is 0.10 of that of
predicting zero, with 2, 1, 8 and 16 groups 0.13, 0.14, 0.25 and 0.45.  From 100 updates on 4 is the best, as
are 1 and 8 for networks trained with them.  The number of Palette's attention heads makes no such difference.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from refinesr.checkpoint import model_with_weights
from refinesr.convert.selection import SourceWeights
from refinesr.method import Method
from refinesr.shapes import Images

SIDE = 64
"""Pixels of the picture it is tried on, at most: attention over a large one takes minutes."""

QUANTILES = (0.4, 0.6, 0.8)
"""Quantiles of the training levels used for the trial: high ones, where noise dominates any image."""

GOOD = 0.2
"""No network with a wrong setting has a smaller error, relative to predicting zero."""

MARGIN = 1.25
"""The second smallest error must be at least so many times the smallest."""


def key_in_file(name: str) -> str:
    """The name in a published file of a key of our state dict."""
    for ours, start in (("network.rrdb.", ""), ("network.", "denoise_fn."), ("source.encoder.", "rrdb.")):
        if name.startswith(ours):
            return start + name[len(ours) :]
    return name


def best_fit(source: SourceWeights, methods: Sequence[Method], side: int) -> Method | None:
    """The method that clearly fits the weights best, or None; all have tensors of the same shapes.

    `side` is that of the training images, in pixels, if known.
    """
    errors = [prediction_error(source, method, side) for method in methods]
    ranked = sorted(range(len(methods)), key=errors.__getitem__)
    if not ranked or errors[ranked[0]] > GOOD:
        return None
    clear = len(ranked) == 1 or errors[ranked[1]] > MARGIN * errors[ranked[0]]
    return methods[ranked[0]] if clear else None


@torch.no_grad()
def prediction_error(source: SourceWeights, method: Method, side: int) -> float:
    """Error of the predicted noise on a smooth test image, relative to predicting zero."""
    model, objective = (
        model_with_weights(source.path, method, source.weights, key_in_file),
        method.objective(),
    )
    high = test_image(method, min(side, SIDE)).expand(len(QUANTILES), -1, -1, -1)
    low = method.degradation(high, torch.Generator().manual_seed(0))
    eps = torch.randn(high.shape, generator=torch.Generator().manual_seed(1))
    sigma = method.levels.at(torch.tensor(QUANTILES, dtype=torch.float64))
    return float(objective.loss(model, high, low, sigma, eps).mean() / eps.abs().pow(method.p).mean())


def test_image(method: Method, side: int) -> Images:
    """A smooth random image whose size is a multiple of the scale."""
    side = max(side - side % method.scale, method.scale)
    coarse = torch.rand((1, method.channels, 4, 4), generator=torch.Generator().manual_seed(2)) * 2 - 1
    return F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False).clamp(-1, 1)
