"""Distances between pixels.  Images in [0, 1]; every convention is a parameter or in the name.

NaN in a picture makes its number NaN, here and in the other metrics of pixels: nothing hides it.
"""

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from refinesr.devices import on_float64_device
from refinesr.shapes import Images, PerImage

Cut = Float[Tensor, "B C h w"]

CEILING = 100.0
"""dB that means of PSNR count equal images as; one value of 10,000 that is off by one level makes 88."""


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
    """MATLAB's rgb2ycbcr (ITU-R BT.601, 16 to 235 of 255): what papers call PSNR on Y is taken of this."""
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=images.dtype, device=images.device) / 255
    return (images * weights[:, None, None]).sum(1, keepdim=True) + 16 / 255


def eight_bit_levels(images: Images) -> UInt8[Tensor, "B C H W"]:
    """What is left of images in a file of 8 bits: clipped to [0, 1], whole levels of 255; halves to even.

    Published numbers are of saved pictures.  Errors of rounding alone have an MSE of 1/12 level² (58.9 dB).
    Raises ValueError for NaN, which 8 bits do not have.
    """
    if images.isnan().any():
        raise ValueError("NaN is no level of 8 bits")
    return (images.clamp(0, 1) * 255).round().byte()


def without_borders(high: Images, other: Images, border: int) -> tuple[Cut, Cut]:
    """Both, each without `border` pixels of every side.

    Raises ValueError for shapes that would be broadcast, and for integers, whose white is not 1.
    """
    if high.ndim != 4 or high.shape != other.shape:
        shapes = f"{tuple(high.shape)} and {tuple(other.shape)}"
        raise ValueError(f"images of one shape (B, C, H, W) can be compared, not of {shapes}")
    if not (high.is_floating_point() and other.is_floating_point()):
        raise ValueError(f"images are floats in [0, 1], not {high.dtype} and {other.dtype}")
    return without_border(high, border), without_border(other, border)


def without_border(images: Images, border: int) -> Cut:
    """Images without `border` pixels of every side; ValueError if nothing is left."""
    height, width = images.shape[-2:]
    if not 0 <= 2 * border < min(height, width):
        raise ValueError(f"nothing of {(height, width)} is left without a border of {border}")
    return images[..., border : height - border, border : width - border]


def to_float64(values: Float[Tensor, "..."] | UInt8[Tensor, "..."]) -> Float64[Tensor, "..."]:
    """The same in float64, where they are; on the CPU if their device, as MPS, has none."""
    return on_float64_device(values).double()
