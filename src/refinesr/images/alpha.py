"""Transparency: hidden colours must not bleed into visible ones when a picture is enlarged."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from refinesr.images.picture import Pixels, Plane

RINGS = 4  # pixels beyond the edge filled by local means: twice the reach of bicubic interpolation


def fill_transparent(pixels: Pixels, alpha: Plane) -> Pixels:
    """Colours of fully transparent pixels (alpha 0) replaced by an extrapolation of the others.

    All other colours are unchanged, as is a picture without any visible pixel.  Near the edge each pixel is
    the mean of its known neighbours; the rest is filled from a pyramid of weighted means (push-pull; Gortler
    et al.  1996, "The Lumigraph", section 3.4.2).
    """
    visible = alpha > 0
    if visible.all() or not visible.any():
        return pixels
    weight = torch.from_numpy(visible.astype(np.float32))[None, None]
    colours = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    colours = torch.where(weight > 0, colours, 0)  # not a product: 0 times a hidden NaN is NaN
    for _ in range(RINGS):
        colours, weight = _grown(colours, weight)
    filled = _filled(colours, weight)[0].permute(1, 2, 0).numpy()
    if pixels.dtype != np.float32:
        filled = np.rint(filled)
    return np.where(visible[:, :, None], pixels, filled.astype(pixels.dtype))


Colours = Float[Tensor, "1 C H W"]
Weight = Float[Tensor, "1 1 H W"]


def _grown(colours: Colours, weight: Weight) -> tuple[Colours, Weight]:
    """Known colours extended by one pixel on all sides.  Weights are 0, where colours are 0, or 1."""
    total, near = F.avg_pool2d(colours, 3, 1, 1), F.avg_pool2d(weight, 3, 1, 1)
    mean = total / near.clamp(min=0.01)  # at least 1/9 where any neighbour is known; elsewhere 0 / 0.01
    return torch.where(weight > 0, colours, mean), (near > 0).float()


def _filled(total: Colours, weight: Weight) -> Colours:
    """total / weight where the weight is positive, elsewhere the enlarged result at half the resolution."""
    own = total / weight.clamp(min=torch.finfo(weight.dtype).tiny)
    if bool((weight > 0).all()):
        return own
    coarse = _filled(F.avg_pool2d(total, 2, ceil_mode=True), F.avg_pool2d(weight, 2, ceil_mode=True))
    wide = F.interpolate(coarse, scale_factor=2, mode="bilinear")[..., : own.shape[2], : own.shape[3]]
    return torch.where(weight > 0, own, wide)
