"""Crops of protocols: the part of an image that is evaluated, and its size.  Types are preserved."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from refinesr.errors import InputError
from refinesr.evaluate.depths import Levels, Stored
from refinesr.images.band_matrix import BandMatrix, along_both, band_matrix
from refinesr.images.eight_bits import resize_eight_bits, round_levels_
from refinesr.images.picture import format_size
from refinesr.images.resize import Kernel

Cropped = UInt8[Tensor, "1 C h w"]


@dataclass(frozen=True)
class ModCrop:
    """Crops right and bottom to the largest multiple of the scale (`modcrop` of the MATLAB codes)."""

    convention: ClassVar[str] = "pictures cut on the right and below to a multiple of the scale"

    def __call__(self, high: Stored, scale: int, name: str) -> Tensor:
        height, width = (side // scale * scale for side in high.shape[-2:])
        if min(height, width) == 0:
            raise InputError(
                f"{name}: has {format_size(high.shape[-2:])} pixels, less than the scale, {scale}"
            )
        return high[..., :height, :width]


@dataclass(frozen=True)
class AreaMean:
    """Reduction by area averaging (TensorFlow's `AREA`); partly covered pixels count by their share."""

    def __call__(self, high: Levels, size: tuple[int, int]) -> Cropped:
        bands = _area_weights(high.shape[-2], size[0]), _area_weights(high.shape[-1], size[1])
        return round_levels_(along_both(*bands, high.double())).byte()


@dataclass(frozen=True)
class Bicubic:
    """Reduction by a bicubic kernel."""

    kernel: Kernel

    def __call__(self, high: Levels, size: tuple[int, int]) -> Cropped:
        return resize_eight_bits(high, size, self.kernel)


@dataclass(frozen=True)
class CentralSquare:
    """The largest central square, reduced to `side` pixels if it is larger."""

    side: int
    reduction: AreaMean | Bicubic

    @property
    def convention(self) -> str:
        method = {AreaMean: "the mean over areas", Bicubic: "antialiased bicubic"}[type(self.reduction)]
        size = f"{self.side} x {self.side} pixels"
        return f"the largest central square of a picture, reduced to {size} by {method}"

    def __call__(self, high: Levels, scale: int, name: str) -> Cropped:
        height, width = high.shape[-2:]
        side = min(height, width)
        if side < self.side:
            raise InputError(f"{name}: has {width} x {height} pixels; {self.side} a side are needed")
        top, left = (height - side) // 2, (width - side) // 2
        square = high[..., top : top + side, left : left + side]
        return square if side == self.side else self.reduction(square, (self.side, self.side))


@dataclass(frozen=True)
class ResizedCentre:
    """The central square of `side` pixels, after resizing the shorter side to `shorter` pixels.

    Equals torchvision's `Resize(shorter)` and `CenterCrop(side)` pixel for pixel; smaller images are
    enlarged.  Images of `side` x `side` pixels are returned unchanged.
    """

    side: int
    shorter: int
    kernel: Kernel

    @property
    def convention(self) -> str:
        return (
            f"the shorter side of a picture made {self.shorter} pixels by antialiased bicubic, and of that "
            f"the central {self.side} x {self.side}; pictures of {self.side} x {self.side} as they are"
        )

    def __call__(self, high: Levels, scale: int, name: str) -> Cropped:
        height, width = high.shape[-2:]
        if height == width == self.side:
            return high
        short = min(height, width)
        size = self.shorter * height // short, self.shorter * width // short
        whole = high if short == self.shorter else resize_eight_bits(high, size, self.kernel)
        top, left = (round((side - self.side) / 2) for side in whole.shape[-2:])
        return whole[..., top : top + self.side, left : left + self.side]


Crop = ModCrop | CentralSquare | ResizedCentre


@lru_cache(maxsize=64)
def _area_weights(size_in: int, size_out: int) -> BandMatrix:
    ratio = size_in / size_out
    start = np.arange(size_out)[:, None] * ratio
    index = np.floor(start).astype(np.int64) + np.arange(int(np.ceil(ratio)) + 1)
    shared = np.minimum(index + 1, start + ratio) - np.maximum(index, start)
    weights = np.where(index < size_in, shared.clip(0), 0.0)
    return band_matrix(np.minimum(index, size_in - 1), weights / weights.sum(axis=1, keepdims=True), size_in)
