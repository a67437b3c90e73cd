"""Depths at which images are compared: rounded to 8 bits, or as stored in their files.

An image in memory is a tensor (1, C, H, W) of uint8, uint16, or float32 in [0, 1].  Results have the type of
the original image, so that only reading and writing depend on the protocol.
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

TYPE_NAMES = {torch.uint8: "8 bits", torch.uint16: "16 bits", torch.float32: "floats"}
PEAKS = {torch.uint8: 255.0, torch.uint16: 65535.0, torch.float32: 1.0}
"""The value of white."""


@dataclass(frozen=True)
class EightBits:
    """Grey or RGB, rounded to 8 bits, as in most published tables.

    span                values that metrics see as 0 and 1; None: 0 and the type's largest value (floats: 1)
    suffix              file suffix of results in a report
    unit_name           unit of distances between values
    allows_mixed_modes  whether images of one set may differ in type and number of bands
    low_convention      how low-resolution images are made, for reports
    result_convention   what happens to results before they are measured, for reports
    """

    span: ClassVar[Span | None] = None
    suffix: ClassVar[str] = ".png"
    unit_name: ClassVar[str] = "levels of 255"
    allows_mixed_modes: ClassVar[bool] = True
    low_convention: ClassVar[str] = "in 8 bits"
    result_convention: ClassVar[str] = "results are rounded to 8 bits before anything is measured"

    def to_tensor(self, picture: Picture, name: str) -> Levels:
        """The image as uint8.  Raises InputError unless it is grey or RGB, opaque, without missing values."""
        return eight_bit_levels(picture, name)

    def accepted_bands(self, channels: int) -> tuple[int, ...]:
        """Numbers of bands of images that a network of `channels` accepts: grey is repeated."""
        return 1, channels


@dataclass(frozen=True)
class AsStored:
    """Any number of bands of 8 bits, 16 bits or floats, unchanged.  Fields as in `EightBits`.

    Without a span, floats are in [0, 1].
    """

    span: Span | None = None

    suffix: ClassVar[str] = ".tiff"
    unit_name: ClassVar[str] = "the files' own units"
    allows_mixed_modes: ClassVar[bool] = False
    result_convention: ClassVar[str] = (
        "all bands are compared as the files hold them, nothing is rounded to 8 bits; results of models and "
        "interpolation are rounded to the original's own type if that is of 8 or 16 bits, floats stay floats"
    )

    @property
    def low_convention(self) -> str:
        ends = "0 to 1" if self.span is None else "the span"
        return (
            "in float64 and rounded once to their file's type (8-bit ones as Pillow itself makes them); "
            f"floats are not rounded, only clipped to {ends}"
        )

    def to_tensor(self, picture: Picture, name: str) -> Stored:
        """The image in its own type.

        Raises InputError for transparency, missing or infinite values, and another number of bands than the
        span's.
        """
        if self.span is not None and not self.span.fits(picture.channels):
            raise InputError(f"{name}: has {picture.channels} bands, and the span is of {self.span.bands}")
        check_opaque(picture, name)
        check_complete(picture)
        return stored_tensor(picture)

    def accepted_bands(self, channels: int) -> tuple[int, ...]:
        return (channels,)


Depth = EightBits | AsStored

EIGHT_BITS = EightBits()

SUFFIXES = (EightBits.suffix, AsStored.suffix)


def stored_tensor(picture: Picture) -> Stored:
    """The image's bands as a tensor of their own type."""
    return torch.from_numpy(np.ascontiguousarray(picture.pixels.transpose(2, 0, 1)))[None]


def as_picture(image: Stored, name: str = "picture") -> Picture:
    """The inverse of `stored_tensor`."""
    return Picture(np.ascontiguousarray(image[0].permute(1, 2, 0).numpy()), name=name)


def eight_bit_levels(picture: Picture, name: str) -> Levels:
    """The image rounded to uint8.

    Raises InputError unless it is grey or RGB, and for transparent or missing pixels, which have no value.
    """
    if picture.channels not in (1, 3):
        raise InputError(f"{name}: has {picture.channels} channels; grey and RGB pictures are compared")
    check_opaque(picture, name)
    return to_uint8(to_tensor(picture))


def check_opaque(picture: Picture, name: str) -> None:
    if picture.alpha is not None and bool((picture.alpha < picture.peak).any()):
        raise InputError(f"{name}: is transparent in parts; opaque pictures are compared")


def check_same_mode(name: str, image: Tensor, other: str, wanted: str) -> None:
    """Raises InputError if the mode of `image`, named `name`, is not `wanted`, the mode of `other`."""
    if mode_name(image) != wanted:
        raise InputError(f"{name} is {mode_name(image)} and {other} is {wanted}; both must be of one mode")


def mode_name(image: Tensor) -> str:
    """Number of bands and type in words, as "RGB" or "of 4 bands of 16 bits"."""
    bands = image.shape[1]
    if image.dtype == torch.uint8 and bands in (1, 3):
        return {1: "grey", 3: "RGB"}[bands]
    return f"of {bands} band{'s' * (bands != 1)} of {TYPE_NAMES[image.dtype]}"


def to_unit_range(image: Tensor, span: Span | None = None) -> Tensor:
    """Values (B, C, H, W) relative to the type's range or the span, in [0, 1], float64."""
    if span is None:
        return image.double() / PEAKS[image.dtype]
    return (image.double() - per_band(span.low)) / per_band(span.width)


def from_unit_range(values: Tensor, span: Span) -> Tensor:
    """The inverse of `to_unit_range` with a span, float64."""
    return values.double() * per_band(span.width) + per_band(span.low)


def per_band(numbers: Sequence[float]) -> Tensor:
    """One number for all bands or one per band as a tensor (C, 1, 1) that broadcasts, float64."""
    return torch.tensor(numbers, dtype=torch.float64)[:, None, None]


def to_type(values: Float[Tensor, "1 C H W"], like: torch.dtype, span: Span | None = None) -> Stored:
    """Convert `values`, in the units of the type `like`, to this type.

    Integers are rounded and clipped to the type's range; floats are clipped to [0, 1], or to the span.
    """
    if not like.is_floating_point:
        return values.round().clamp(0, PEAKS[like]).to(like)
    if span is None:
        return values.clamp(0, PEAKS[like]).to(like)
    return values.double().clamp(per_band(span.low), per_band(span.high)).to(like)


def resized(image: Stored, size: tuple[int, int], kernel: Kernel, span: Span | None = None) -> Tensor:
    """Resize to (height, width): uint8 bit for bit as Pillow or MATLAB, other types in float64."""
    if image.dtype == torch.uint8:
        return resize_eight_bits(image, size, kernel)
    return to_type(resize(image.double(), size, kernel), image.dtype, span)
