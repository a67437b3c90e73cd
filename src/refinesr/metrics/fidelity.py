"""How far a result, made small again, is the picture it was made from.  Images in [0, 1].

No good picture is needed.  Which `kernel` reduces the result is part of the number: it is the one that made
the poor picture.  At another the best of results looks unfaithful.
"""

from jaxtyping import Float64, UInt8
from torch import Tensor

from refinesr.devices import on_float64_device
from refinesr.images.eight_bits import resize_eight_bits
from refinesr.images.resize import Kernel, resize
from refinesr.metrics.pixel import eight_bit_levels, mse, psnr, to_float64
from refinesr.shapes import Images, LowImages, PerImage

MAX_DECIBELS = 200.0
"""dB that stand for infinity, so that means are numbers; no 8-bit pictures that differ get there."""


def lr_psnr(low: LowImages, result: Images, kernel: Kernel) -> PerImage:
    """PSNR in dB of the reduced result against low, over all channels; at most 200.

    In float64, nothing rounded or clipped.  Raises ValueError if the result is smaller than low.
    """
    return psnr(low, _downsampled(low, result, kernel)).clamp(max=MAX_DECIBELS)


def lr_psnr_eight_bits(low: LowImages, result: Images, kernel: Kernel) -> PerImage:
    """PSNR in dB of saved pictures: both in whole levels of 255, and the result reduced in those.

    Bit for bit what Pillow or MATLAB makes of the file; 200 for equal pictures.  With Pillow's bicubic this
    is what `refinesr upscale` reports; SRDiff's LR-PSNR is taken with MATLAB's, as its public code does.
    Raises ValueError if the result is smaller than low, and for NaN, which 8 bits do not have.
    """
    return decibels(
        level_differences(eight_bit_levels(low), eight_bit_levels(result), kernel).square().mean((1, 2, 3))
    )


def level_differences(
    low: UInt8[Tensor, "B C h w"], result: UInt8[Tensor, "B C H W"], kernel: Kernel
) -> Float64[Tensor, "B C h w"]:
    """How many levels each value of the result, reduced in 8 bits, is above that of low."""
    _check(low, result)
    return to_float64(
        resize_eight_bits(on_float64_device(result), (low.shape[-2], low.shape[-1]), kernel)
    ) - to_float64(low)


def decibels(error: Float64[Tensor, "..."]) -> Float64[Tensor, "..."]:
    """PSNR of mean squared errors in levels of 255, squared; at most 200."""
    return (-10 * (error / 255**2).log10()).clamp(max=MAX_DECIBELS)


def consistency(low: LowImages, result: Images, kernel: Kernel) -> PerImage:
    """SR3's consistency: the MSE between low and the reduced result, in units of 1e-5.

    Table 1 of Saharia et al. (2021) has 2.68 for SR3, 2.71 for regression and 161.1 for PULSE, of faces
    16 -> 128, and the paper says neither of which range nor with which kernel.  The range is [0, 1] here,
    which is inferred: PULSE's public code is content with 1e-3 or 2e-3, by version, in [0, 1]: 100 or 200 in
    these units, and its 161.1 is between.  In [-1, 1], where all values are four times as large, it would be
    content with 400.  So 2.68 is an LR-PSNR of 45.7 dB.  Nothing is rounded here; a low rounded to 8 bits
    alone makes 0.13.
    Raises ValueError if the result is smaller than low.
    """
    return mse(low, _downsampled(low, result, kernel)) / 1e-5


def _downsampled(low: LowImages, result: Images, kernel: Kernel) -> LowImages:
    _check(low, result)
    return resize(to_float64(result), (low.shape[-2], low.shape[-1]), kernel)


def _check(low: Tensor, result: Tensor) -> None:
    sizes = tuple(low.shape[-2:]), tuple(result.shape[-2:])
    if any(small > large for small, large in zip(*sizes, strict=True)):
        raise ValueError(f"a result of {sizes[1]} pixels is smaller than {sizes[0]}, what it was made from")
