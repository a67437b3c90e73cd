"""Pixelwise metrics.  Images are in [0, 1]; every convention is a parameter or part of the name.

NaN in an image makes its value NaN, here and in the other pixelwise metrics.
"""

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from refinesr.devices import on_float64_device
from refinesr.shapes import Images, PerImage

Cut = Float[Tensor, "B C h w"]

CEILING = 100.0
"""PSNR in dB of equal images in means; one value of 10,000 that is off by one level gives 88 dB."""


def psnr(high: Images, other: Images, *, border: int = 0) -> PerImage:
    """Peak signal-to-noise ratio in dB over all channels, peak 1; inf for equal images.

    `border` pixels are cut from every side first; papers on super-resolution cut `scale`.  Raises ValueError
    if nothing is left, for shapes that differ and for integers.
    """
    return -10 * mse(high, other, border=border).log10()


def mse(high: Images, other: Images, *, border: int = 0) -> PerImage:
    """Mean squared error over all pixels and channels, 0 for equal images; `border` as in `psnr`."""
    one, two = without_borders(high, other, border)
    error = to_float64(one) - to_float64(two)
    return error.square().mean((1, 2, 3))


def luma(images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1 H W"]:
    """Y of MATLAB's rgb2ycbcr (ITU-R BT.601, 16 to 235 of 255), on which papers compute "PSNR on Y"."""
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=images.dtype, device=images.device) / 255
    return (images * weights[:, None, None]).sum(1, keepdim=True) + 16 / 255


def eight_bit_levels(images: Images) -> UInt8[Tensor, "B C H W"]:
    """Images as saved in 8 bits: clipped to [0, 1] and rounded to levels of 255, halves to even.

    Published values are of saved images.  Rounding alone has an MSE of 1/12 level² (58.9 dB).  Raises
    ValueError for NaN.
    """
    if images.isnan().any():
        raise ValueError("NaN is no level of 8 bits")
    return (images.clamp(0, 1) * 255).round().byte()


def without_borders(high: Images, other: Images, border: int) -> tuple[Cut, Cut]:
    """Both images without `border` pixels on every side.

    Raises ValueError for different shapes, and for integers, which are not in [0, 1].
    """
    if high.ndim != 4 or high.shape != other.shape:
        shapes = f"{tuple(high.shape)} and {tuple(other.shape)}"
        raise ValueError(f"images of one shape (B, C, H, W) can be compared, not of {shapes}")
    if not (high.is_floating_point() and other.is_floating_point()):
        raise ValueError(f"images are floats in [0, 1], not {high.dtype} and {other.dtype}")
    return without_border(high, border), without_border(other, border)


def without_border(images: Images, border: int) -> Cut:
    """Images without `border` pixels on every side.  Raises ValueError if nothing is left."""
    height, width = images.shape[-2:]
    if not 0 <= 2 * border < min(height, width):
        raise ValueError(f"nothing of {(height, width)} is left without a border of {border}")
    return images[..., border : height - border, border : width - border]


def to_float64(values: Float[Tensor, "..."] | UInt8[Tensor, "..."]) -> Float64[Tensor, "..."]:
    """The values in float64, on their device, or on the CPU if the device has no float64, as MPS."""
    return on_float64_device(values).double()
