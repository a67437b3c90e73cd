"""Distances between pixels.  Images in [0, 1]; every convention is a parameter or in the name."""

import torch
from jaxtyping import Float
from torch import Tensor

from refinesr.shapes import Images, PerImage


def psnr(high: Images, other: Images, *, border: int = 0) -> PerImage:
    """Peak signal-to-noise ratio in dB over all channels, peak 1; inf for equal images.

    `border` pixels are cut from every side first; papers on super-resolution cut `scale`.  Raises ValueError
    if nothing is left.
    """
    if 2 * border >= min(high.shape[-2:]):
        raise ValueError(f"nothing of {tuple(high.shape[-2:])} is left without a border of {border}")
    error = (high - other).double().square()
    inner = error[..., border : high.shape[-2] - border, border : high.shape[-1] - border]
    return -10 * inner.mean((1, 2, 3)).log10()


def luma(images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1 H W"]:
    """MATLAB's rgb2ycbcr (ITU-R BT.601, 16 to 235 of 255): what papers call PSNR on Y is taken of this."""
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=images.dtype, device=images.device) / 255
    return (images * weights[:, None, None]).sum(1, keepdim=True) + 16 / 255
