"""Transparency: colours nobody sees must not bleed into those that are seen when a picture is enlarged."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from refinesr.images.picture import Pixels, Plane

RINGS = 4  # pixels beyond the edge that follow it closely: twice what bicubic enlarging reaches


def fill_transparent(pixels: Pixels, alpha: Plane) -> Pixels:
    """The same colours, but under fully transparent pixels a smooth extension of the visible ones.

    `alpha` is 0 where a pixel is transparent; colours of all others stay exactly as they are.  A picture
    without any visible pixel is returned unchanged.  Near the edge each pixel is the mean of its known
    neighbours; the rest is filled by a pyramid of weighted means, pulled up from the coarsest (push-pull;
    Gortler et al. 1996, "The Lumigraph", section 3.4.2).
    """
    seen = alpha > 0
    if seen.all() or not seen.any():
        return pixels
    weight = torch.from_numpy(seen.astype(np.float32))[None, None]
    colours = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    colours = torch.where(weight > 0, colours, 0)  # not times 0: a hidden NaN would stay one
    for _ in range(RINGS):
        colours, weight = _grown(colours, weight)
    filled = _filled(colours, weight)[0].permute(1, 2, 0).numpy()
    if pixels.dtype != np.float32:
        filled = np.rint(filled)
    return np.where(seen[:, :, None], pixels, filled.astype(pixels.dtype))


Colours = Float[Tensor, "1 C H W"]
Weight = Float[Tensor, "1 1 H W"]


def _grown(colours: Colours, weight: Weight) -> tuple[Colours, Weight]:
    """One pixel further on all sides.  Weights are 0, with black, or 1."""
    total, near = F.avg_pool2d(colours, 3, 1, 1), F.avg_pool2d(weight, 3, 1, 1)
    mean = total / near.clamp(min=0.01)  # 1/9 at least where there is any, else black over 0
    return torch.where(weight > 0, colours, mean), (near > 0).float()


def _filled(total: Colours, weight: Weight) -> Colours:
    """total / weight where anything has weight, elsewhere the same of the means of 2 x 2, enlarged."""
    own = total / weight.clamp(min=torch.finfo(weight.dtype).tiny)
    if bool((weight > 0).all()):
        return own
    coarse = _filled(F.avg_pool2d(total, 2, ceil_mode=True), F.avg_pool2d(weight, 2, ceil_mode=True))
    wide = F.interpolate(coarse, scale_factor=2, mode="bilinear")[..., : own.shape[2], : own.shape[3]]
    return torch.where(weight > 0, own, wide)
