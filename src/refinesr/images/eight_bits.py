"""Resizing of 8-bit images, bit for bit as Pillow does it, and as MATLAB does: with rounding after each pass.

Pillow's `Image.resize` has integer taps with 22 fractional bits, runs the horizontal pass first, and rounds
and clips to 0..255 after each pass.  Sums of such products are exact in float64 in any order, so a matrix
product with rounded taps gives the same bits.  MATLAB's `imresize` has float taps and begins with the axis
that shrinks more, the vertical one if both shrink alike.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from refinesr.images.band_matrix import BandMatrix, along_rows
from refinesr.images.resize import Kernel, MatlabBicubic, resize_matrix

_PRECISION = 2.0**22  # Pillow's Resample.c: PRECISION_BITS = 32 - 8 - 2


@dataclass(frozen=True)
class ResizePasses:
    """The two passes of resizing an image, in order.

    `first` is applied along the leading axis of the image, or of its transpose if `transposed`.
    """

    first: BandMatrix
    second: BandMatrix
    transposed: bool

    def transpose(self, x: Tensor) -> Tensor:
        """(..., H, W) -> (..., axis of the first pass, axis of the second), and its own inverse; a view."""
        return x.mT if self.transposed else x


@lru_cache(maxsize=64)
def _fixed_point(exact: BandMatrix) -> BandMatrix:
    """Taps rounded to 22 fractional bits, halves away from zero."""
    taps = np.trunc(exact.taps * _PRECISION + np.copysign(0.5, exact.taps)) / _PRECISION
    return BandMatrix(exact.first, taps, exact.columns)


def resize_passes(kernel: Kernel, high: tuple[int, int], low: tuple[int, int]) -> ResizePasses:
    """The passes by which `kernel` resizes 8-bit images from `high` to `low`, both (height, width)."""
    vertical, horizontal = resize_matrix(kernel, high[0], low[0]), resize_matrix(kernel, high[1], low[1])
    if isinstance(kernel, MatlabBicubic):
        if low[0] * high[1] > low[1] * high[0]:
            return ResizePasses(horizontal, vertical, transposed=True)
        return ResizePasses(vertical, horizontal, transposed=False)
    return ResizePasses(_fixed_point(horizontal), _fixed_point(vertical), transposed=True)


def round_levels_(x: Tensor) -> Tensor:
    """Round to whole levels in [0, 255], halves upwards, in place."""
    return x.add_(0.5).floor_().clamp_(0, 255)


def to_uint8(images: Tensor) -> UInt8[Tensor, "..."]:
    """Values from -1 to 1, clipped, as uint8 from 0 to 255."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().byte()


def resize_eight_bits(
    image: UInt8[Tensor, "B C H W"], size: tuple[int, int], kernel: Kernel
) -> UInt8[Tensor, "B C h w"]:
    """`image` resized to `size` = (height, width) exactly as by Pillow (ignoring alpha) or MATLAB.

    Its device must support float64.
    """
    passes = resize_passes(kernel, (image.shape[-2], image.shape[-1]), size)
    # plane by plane, as float64 takes eight times the memory
    planes = [_resized(plane, passes) for plane in image.flatten(0, 1)]
    return torch.stack(planes).reshape(*image.shape[:2], *size)


def _resized(plane: Tensor, passes: ResizePasses) -> Tensor:
    once = round_levels_(along_rows(passes.first, passes.transpose(plane).mT.double()))
    return passes.transpose(round_levels_(along_rows(passes.second, once.mT))).to(torch.uint8)
