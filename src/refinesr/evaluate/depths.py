"""At what depth pictures are compared: in whole levels of 8 bits, or as their files hold them.

A picture in memory is a tensor (1, C, H, W) whose type is its depth: uint8, uint16, or float32 from 0 to 1.
What is made of one has its type, so that only reading and writing depend on the protocol.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8, UInt16
from torch import Tensor

from refinesr.errors import InputError
from refinesr.images.eight_bits import resize_eight_bits, to_uint8
from refinesr.images.picture import Picture, check_complete, to_tensor
from refinesr.images.resize import Kernel, resize
from refinesr.images.span import Span

Levels = UInt8[Tensor, "1 C H W"]
Stored = Levels | UInt16[Tensor, "1 C H W"] | Float32[Tensor, "1 C H W"]

WORDS = {torch.uint8: "8 bits", torch.uint16: "16 bits", torch.float32: "floats"}
PEAKS = {torch.uint8: 255.0, torch.uint16: 65535.0, torch.float32: 1.0}
"""The value of white."""


@dataclass(frozen=True)
class EightBits:
    """Grey or RGB in whole levels of 255: what published numbers are of.

    span     which values are 0 and 1 to what measures; None: 0 and the largest of the type, of floats 1
    suffix   of results in a report
    units    of distances
    mixed    whether pictures of one set may have several numbers of bands or types
    reduced  how poor pictures are made
    results  what is done to results
    """

    span: ClassVar[Span | None] = None
    suffix: ClassVar[str] = ".png"
    units: ClassVar[str] = "levels of 255"
    mixed: ClassVar[bool] = True
    reduced: ClassVar[str] = "in 8 bits"
    results: ClassVar[str] = "results are rounded to 8 bits before anything is measured"

    def taken(self, picture: Picture, name: str) -> Levels:
        """Raises InputError for what is no opaque grey or RGB picture, and for missing values."""
        return levels_of(picture, name)

    def shows(self, channels: int) -> tuple[int, ...]:
        """How many bands pictures may have that a network of `channels` is shown: grey is also a colour."""
        return 1, channels


@dataclass(frozen=True)
class AsStored:
    """Any number of bands of 8 bits, 16 bits or floats, as they are; fields as of `EightBits`.

    Without a span floats are from 0 to 1.
    """

    span: Span | None = None

    suffix: ClassVar[str] = ".tiff"
    units: ClassVar[str] = "the files' own units"
    mixed: ClassVar[bool] = False
    results: ClassVar[str] = (
        "all bands are compared as the files hold them, nothing is rounded to 8 bits; results of models and "
        "interpolation are rounded to the original's own type if that is of 8 or 16 bits, floats stay floats"
    )

    @property
    def reduced(self) -> str:
        ends = "0 to 1" if self.span is None else "the span"
        return (
            "in float64 and rounded once to their file's type (8-bit ones as Pillow itself makes them); "
            f"floats are not rounded, only clipped to {ends}"
        )

    def taken(self, picture: Picture, name: str) -> Stored:
        """Raises InputError for transparency, missing values, infinity, and bands that the span is not of."""
        if self.span is not None and not self.span.fits(picture.channels):
            raise InputError(f"{name}: has {picture.channels} bands, and the span is of {self.span.bands}")
        check_opaque(picture, name)
        check_complete(picture)
        return stored(picture)

    def shows(self, channels: int) -> tuple[int, ...]:
        return (channels,)


Depth = EightBits | AsStored

EIGHT_BITS = EightBits()

SUFFIXES = (EightBits.suffix, AsStored.suffix)


def stored(picture: Picture) -> Stored:
    """Its bands, in their own type."""
    return torch.from_numpy(np.ascontiguousarray(picture.pixels.transpose(2, 0, 1)))[None]


def as_picture(image: Stored, name: str = "picture") -> Picture:
    """The inverse of `stored`."""
    return Picture(np.ascontiguousarray(image[0].permute(1, 2, 0).numpy()), name=name)


def levels_of(picture: Picture, name: str) -> Levels:
    """16 bits and floats are rounded.  What is missing or clear is refused: what would be compared there?"""
    if picture.channels not in (1, 3):
        raise InputError(f"{name}: has {picture.channels} channels; grey and RGB pictures are compared")
    check_opaque(picture, name)
    return to_uint8(to_tensor(picture))


def check_opaque(picture: Picture, name: str) -> None:
    if picture.alpha is not None and bool((picture.alpha < picture.peak).any()):
        raise InputError(f"{name}: is transparent in parts; opaque pictures are compared")


def check_modes(name: str, image: Tensor, other: str, wanted: str) -> None:
    """Raises InputError if `image` is not of the mode of `other`, which is `wanted`."""
    if mode(image) != wanted:
        raise InputError(f"{name} is {mode(image)} and {other} is {wanted}; both must be of one mode")


def mode(image: Tensor) -> str:
    """Its number of bands and type, in words."""
    bands = image.shape[1]
    if image.dtype == torch.uint8 and bands in (1, 3):
        return {1: "grey", 3: "RGB"}[bands]
    return f"of {bands} band{'s' * (bands != 1)} of {WORDS[image.dtype]}"


def unit(image: Tensor, span: Span | None = None) -> Tensor:
    """(B, C, H, W) in [0, 1], float64."""
    if span is None:
        return image.double() / PEAKS[image.dtype]
    return (image.double() - by_band(span.low)) / by_band(span.width)


def united(values: Tensor, span: Span) -> Tensor:
    """The inverse of `unit`, float64."""
    return values.double() * by_band(span.width) + by_band(span.low)


def by_band(numbers: Sequence[float]) -> Tensor:
    """One for all bands or one for each, to be broadcast: (C, 1, 1) float64."""
    return torch.tensor(numbers, dtype=torch.float64)[:, None, None]


def fitted(values: Float[Tensor, "1 C H W"], like: torch.dtype, span: Span | None = None) -> Stored:
    """In the type `like`, whose units `values` are in: rounded if it is one of integers.

    Clipped to what the type holds; floats to 0 to 1, or to the span.
    """
    if not like.is_floating_point:
        return values.round().clamp(0, PEAKS[like]).to(like)
    if span is None:
        return values.clamp(0, PEAKS[like]).to(like)
    return values.double().clamp(by_band(span.low), by_band(span.high)).to(like)


def resized(image: Stored, size: tuple[int, int], kernel: Kernel, span: Span | None = None) -> Tensor:
    """Made `size` = (height, width): 8 bits exactly as Pillow or MATLAB do, what is deeper in float64."""
    if image.dtype == torch.uint8:
        return resize_eight_bits(image, size, kernel)
    return fitted(resize(image.double(), size, kernel), image.dtype, span)
