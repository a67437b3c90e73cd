"""What part of a picture a protocol takes, and at what size.  Of a picture's own type in and out."""

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

Cut = UInt8[Tensor, "1 C h w"]


@dataclass(frozen=True)
class Multiple:
    """From the upper left corner to the largest multiple of the scale (`modcrop` of the MATLAB codes)."""

    convention: ClassVar[str] = "pictures cut on the right and below to a multiple of the scale"

    def __call__(self, high: Stored, scale: int, name: str) -> Tensor:
        height, width = (side // scale * scale for side in high.shape[-2:])
        if min(height, width) == 0:
            raise InputError(
                f"{name}: has {format_size(high.shape[-2:])} pixels, less than the scale, {scale}"
            )
        return high[..., :height, :width]


@dataclass(frozen=True)
class Area:
    """Reduction by the mean over the area of a pixel (TensorFlow's `AREA`); parts of pixels count in part."""

    def __call__(self, high: Levels, size: tuple[int, int]) -> Cut:
        bands = _area(high.shape[-2], size[0]), _area(high.shape[-1], size[1])
        return round_levels_(along_both(*bands, high.double())).byte()


@dataclass(frozen=True)
class By:
    """Reduction by a bicubic kernel."""

    kernel: Kernel

    def __call__(self, high: Levels, size: tuple[int, int]) -> Cut:
        return resize_eight_bits(high, size, self.kernel)


@dataclass(frozen=True)
class Square:
    """The largest central square, reduced to `side` pixels."""

    side: int
    reducing: Area | By

    @property
    def convention(self) -> str:
        way = {Area: "the mean over areas", By: "antialiased bicubic"}[type(self.reducing)]
        return (
            f"the largest central square of a picture, reduced to {self.side} x {self.side} pixels by {way}"
        )

    def __call__(self, high: Levels, scale: int, name: str) -> Cut:
        height, width = high.shape[-2:]
        side = min(height, width)
        if side < self.side:
            raise InputError(f"{name}: has {width} x {height} pixels; {self.side} a side are needed")
        top, left = (height - side) // 2, (width - side) // 2
        square = high[..., top : top + side, left : left + side]
        return square if side == self.side else self.reducing(square, (self.side, self.side))


@dataclass(frozen=True)
class Centre:
    """The central square of `side` pixels, after the shorter side has been made `shorter` pixels.

    Pixel for pixel what torchvision's `Resize(shorter)` and `CenterCrop(side)` take, smaller pictures made
    larger among them.  What has `side` x `side` pixels already is taken as it is.
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

    def __call__(self, high: Levels, scale: int, name: str) -> Cut:
        height, width = high.shape[-2:]
        if height == width == self.side:
            return high
        short = min(height, width)
        size = self.shorter * height // short, self.shorter * width // short
        whole = high if short == self.shorter else resize_eight_bits(high, size, self.kernel)
        top, left = (round((side - self.side) / 2) for side in whole.shape[-2:])
        return whole[..., top : top + self.side, left : left + self.side]


Crop = Multiple | Square | Centre


@lru_cache(maxsize=64)
def _area(size_in: int, size_out: int) -> BandMatrix:
    ratio = size_in / size_out
    start = np.arange(size_out)[:, None] * ratio
    index = np.floor(start).astype(np.int64) + np.arange(int(np.ceil(ratio)) + 1)
    shared = np.minimum(index + 1, start + ratio) - np.maximum(index, start)
    weights = np.where(index < size_in, shared.clip(0), 0.0)
    return band_matrix(np.minimum(index, size_in - 1), weights / weights.sum(axis=1, keepdims=True), size_in)
