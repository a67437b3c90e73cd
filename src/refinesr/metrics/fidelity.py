"""Consistency of a result with its low-resolution input: the downsampled result against `low`.

Images are in [0, 1].  No high-resolution original is needed.  `kernel` must be the one that made the
low-resolution image: with another one, even perfect results seem inconsistent.
"""

from jaxtyping import Float64, UInt8
from torch import Tensor

from refinesr.devices import on_float64_device
from refinesr.images.eight_bits import resize_eight_bits
from refinesr.images.resize import Kernel, resize
from refinesr.metrics.pixel import eight_bit_levels, mse, psnr, to_float64
from refinesr.shapes import Images, LowImages, PerImage

MAX_DECIBELS = 200.0
"""Value in dB for equal images, so that means are finite; different 8-bit images never reach it."""


def lr_psnr(low: LowImages, result: Images, kernel: Kernel) -> PerImage:
    """PSNR in dB of the downsampled result against `low`, over all channels; at most 200.

    Computed in float64 without rounding or clipping.  Raises ValueError if the result is smaller than `low`.
    """
    return psnr(low, _downsampled(low, result, kernel)).clamp(max=MAX_DECIBELS)


def lr_psnr_eight_bits(low: LowImages, result: Images, kernel: Kernel) -> PerImage:
    """PSNR in dB of 8-bit images: both are rounded to 8 bits, and the result is downsampled in 8 bits.

    Downsampling equals that of Pillow or MATLAB bit for bit; 200 for equal images.  With Pillow's bicubic
    this is the value that `refinesr upscale` reports; SRDiff's public code uses MATLAB's.  Raises ValueError
    if the result is smaller than `low`, and for NaN.
    """
    return decibels(
        level_differences(eight_bit_levels(low), eight_bit_levels(result), kernel).square().mean((1, 2, 3))
    )


def level_differences(
    low: UInt8[Tensor, "B C h w"], result: UInt8[Tensor, "B C H W"], kernel: Kernel
) -> Float64[Tensor, "B C h w"]:
    """Differences in levels of 255: the result, downsampled in 8 bits, less `low`."""
    _check(low, result)
    return to_float64(
        resize_eight_bits(on_float64_device(result), (low.shape[-2], low.shape[-1]), kernel)
    ) - to_float64(low)


def decibels(error: Float64[Tensor, "..."]) -> Float64[Tensor, "..."]:
    """PSNR in dB of a mean squared error in squared levels of 255; at most 200."""
    return (-10 * (error / 255**2).log10()).clamp(max=MAX_DECIBELS)


def consistency(low: LowImages, result: Images, kernel: Kernel) -> PerImage:
    """SR3's consistency: the MSE between `low` and the downsampled result, in units of 1e-5.

    Table 1 of Saharia et al. (2021) has 2.68 for SR3, 2.71 for regression and 161.1 for PULSE, for faces
    16 -> 128; the paper states neither the range of values nor the kernel.  The range [0, 1] is inferred:
    PULSE's public code stops at 1e-3 or 2e-3, by version, in [0, 1], which is 100 or 200 in these units, and
    its 161.1 lies between; in [-1, 1] the values would be four times as large.  So 2.68 is an LR-PSNR of
    45.7 dB.  Nothing is rounded here; rounding `low` to 8 bits alone gives 0.13.
    Raises ValueError if the result is smaller than `low`.
    """
    return mse(low, _downsampled(low, result, kernel)) / 1e-5


def _downsampled(low: LowImages, result: Images, kernel: Kernel) -> LowImages:
    _check(low, result)
    return resize(to_float64(result), (low.shape[-2], low.shape[-1]), kernel)


def _check(low: Tensor, result: Tensor) -> None:
    sizes = tuple(low.shape[-2:]), tuple(result.shape[-2:])
    if any(small > large for small, large in zip(*sizes, strict=True)):
        raise ValueError(f"a result of {sizes[1]} pixels is smaller than {sizes[0]}, what it was made from")
