"""A still picture in memory: its pixels as they are stored, and what its file says besides."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8, UInt16
from numpy.typing import NDArray
from torch import Tensor

from refinesr.errors import InputError
from refinesr.images.georeference import Georeference
from refinesr.images.span import SLACK, Span, min_max
from refinesr.shapes import Images

Pixels = UInt8[np.ndarray, "H W C"] | UInt16[np.ndarray, "H W C"] | Float32[np.ndarray, "H W C"]
Plane = UInt8[np.ndarray, "H W"] | UInt16[np.ndarray, "H W"] | Float32[np.ndarray, "H W"]

PEAKS = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0, np.dtype(np.float32): 1.0}


@dataclass(frozen=True, eq=False)
class Picture:
    """Colours (H, W, C) as uint8, uint16 or float32, from 0 to `peak`; C is 1 (grey), 3 (RGB) or any number.

    `alpha` (H, W) has the same type; 0 is transparent and the colours are not multiplied by it.  `icc` is
    the colour profile, `exif` the EXIF data beginning with "Exif\\0\\0", `dpi` (horizontal, vertical)
    pixels an inch, `format` the source's ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"), `name` what
    messages call it.  `span` says which values of the colours, not of alpha, networks are shown as -1 and 1;
    None: 0 and `peak`.  `georeference` is that of the picture it was made of, which may have another size;
    `nodata` is the value that stands for a missing one, as NaN does.
    Raises ValueError where the arrays do not fit each other.
    """

    pixels: Pixels
    alpha: Plane | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    format: str | None = None
    name: str = "picture"
    georeference: Georeference | None = None
    nodata: float | None = None
    span: Span | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or 0 in self.pixels.shape or self.pixels.dtype not in PEAKS:
            shape, kind = self.pixels.shape, self.pixels.dtype
            raise ValueError(f"pixels are (H, W, C) of uint8, uint16 or float32, not {shape} of {kind}")
        if self.alpha is None:
            return
        if (self.alpha.shape, self.alpha.dtype) != (self.size, self.pixels.dtype):
            raise ValueError(f"alpha is {self.alpha.shape} of {self.alpha.dtype}, its pixels {self.size}")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def channels(self) -> int:
        """The number of colours, without alpha."""
        return int(self.pixels.shape[2])

    @property
    def peak(self) -> float:
        """The type's white, and opaque alpha: 255, 65535, or 1 of floats (whose pixels may exceed it)."""
        return PEAKS[self.pixels.dtype]

    @property
    def matching_icc(self) -> bytes | None:
        """`icc` if it is for as many colours as there are, else None (ICC.1:2022, 7.2: the header)."""
        spaces = {1: b"GRAY", 3: b"RGB "}
        return self.icc if self.icc and self.icc[16:20] == spaces.get(self.channels) else None

    @property
    def missing_mask(self) -> Bool[np.ndarray, "H W C"] | None:
        """Where there is no value, NaN or `nodata`; None if that is nowhere."""
        if self.pixels.dtype != np.float32 and self.nodata is None:
            return None
        with np.errstate(over="ignore"):  # of a nodata that no float32 can be
            lost = np.isnan(self.pixels) if self.nodata is None else self.pixels == self.nodata
        if self.pixels.dtype == np.float32:
            lost |= np.isnan(self.pixels)
        return lost if lost.any() else None

    @property
    def any_band_missing(self) -> Bool[np.ndarray, "H W"] | None:
        """Where any band is missing; None if that is nowhere."""
        return None if (lost := self.missing_mask) is None else np.any(lost, axis=2)

    def pixels_with_alpha(self) -> NDArray[Any]:
        """Colours and alpha in one array (H, W, C or C + 1)."""
        return self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha])


def format_size(size: tuple[int, ...]) -> str:
    """(height, width) as people say it: width first."""
    height, width = size
    return f"{width} x {height}"


def split_alpha(bands: NDArray[Any], has_alpha: bool) -> tuple[Pixels, Plane | None]:
    """Colours, and the last band as alpha if `has_alpha`: the inverse of `Picture.pixels_with_alpha`."""
    if not has_alpha:
        return bands, None
    return np.ascontiguousarray(bands[:, :, :-1]), np.ascontiguousarray(bands[:, :, -1])


def check_range(picture: Picture) -> Picture:
    """The picture itself.  Raises InputError if it has floats farther than `SLACK` outside its span, [0, 1]
    without one.

    Missing values and colours under full transparency do not count, infinity is left to `check_complete`.
    """
    if picture.pixels.dtype == np.float32:
        check_value_range(_visible_values(picture), picture.name, picture.span)
    return picture


def with_span(picture: Picture, span: Span | None) -> Picture:
    """The same values, by another span.  Raises InputError as `check_range`, for integers outside it, too."""
    meant = replace(picture, span=span)
    check_value_range(_visible_values(meant), meant.name, span)
    return meant


def _visible_values(picture: Picture) -> NDArray[Any]:
    """Colours (..., C) that are not wholly transparent, NaN where they are missing."""
    pixels = picture.pixels
    # integers are checked by a span alone, and float32 holds those of 16 bits
    if (lost := picture.missing_mask) is not None and (
        pixels.dtype == np.float32 or picture.span is not None
    ):
        pixels = np.where(lost, np.float32(np.nan), pixels)
    return pixels if picture.alpha is None else pixels[picture.alpha > 0]


def check_value_range(values: NDArray[Any], name: str, span: Span | None = None) -> None:
    """`check_range` for numbers of any type, before they are made pixels: float32 holds none beyond 3e38.

    With a span they are (..., bands).
    """
    if span is not None and values.dtype.kind in "uf":
        if not span.fits(bands := values.shape[-1]):
            raise InputError(f"{name}: has {bands} bands, and method.span is of {span.bands}: {span}")
        if faults := span.range_error(values):
            raise InputError(f"{name}: {faults}")
    if span is not None:
        return
    if values.dtype.kind != "f" or not values.size:
        return
    low, high = min_max(values)
    if not np.isfinite((low, high)).all() or (low >= -SLACK and high <= 1 + SLACK):
        return
    found = f"these go from {low:g} to {high:g}"
    span_of_units = "train with a method.span, and evaluate with --span"
    right = f"rescale all pictures alike, (x - lowest) / (highest - lowest), or {span_of_units}"
    raise InputError(f"{name}: float pixels lie in [0, 1]; {found}; {right}")


def choose_frame(frame: int | None, count: int, name: str) -> int:
    """The number of the frame to read, from 0.  Raises InputError if there is a choice and none was made."""
    if frame is None and count > 1:
        raise InputError(f"{name} has {count} frames, not one; upscale picks one with --frame")
    if frame is not None and not 0 <= frame < count:
        raise InputError(f"{name} has no frame {frame}, only {count}, numbered from 0")
    return frame or 0


def check_complete(picture: Picture) -> None:
    """Raises InputError for missing values, and for infinity."""
    name, pixels = picture.name, picture.pixels
    alone = "only pictures to upscale, and to learn from, may lack values"
    if pixels.dtype == np.float32 and not np.isfinite(pixels).all():
        hint = f"; {alone}" if np.isnan(pixels).any() else ""
        within = picture.span or "0 to 1"
        raise InputError(f"{name}: holds NaN or infinite values; pixels are finite, from {within}{hint}")
    if picture.missing_mask is not None:
        right = "cut out parts without any, or take away the tag if they are values"
        raise InputError(
            f"{name}: holds {picture.nodata:g}, missing by its tag GDAL_NODATA; {alone}; {right}"
        )


def check_finite(picture: Picture) -> None:
    """Raises InputError for infinity, unless it stands for what is missing."""
    pixels, lost = picture.pixels, picture.missing_mask
    if pixels.dtype != np.float32 or np.isfinite(pixels).all():
        return
    if (np.isinf(pixels) if lost is None else np.isinf(pixels) & ~lost).any():
        within = picture.span or "0 to 1"
        raise InputError(f"{picture.name}: holds infinite values; pixels are finite, from {within}")


def to_tensor(picture: Picture) -> Images:
    """The colours as (1, C, H, W) float32: 0 becomes -1 and `peak` 1, or the ends of the picture's span do.

    Without one float pixels are taken as [0, 1].  What lies outside stays outside.  Raises InputError as
    `check_complete`.
    """
    check_complete(picture)
    values = torch.from_numpy(picture.pixels.transpose(2, 0, 1)[None].astype(np.float32))
    if picture.span is not None:
        picture.span.normalise_(values.movedim(1, -1))
        return values
    return values.div_(picture.peak / 2).sub_(1)


def from_tensor(
    images: Float[Tensor, "1 C H W"] | UInt8[Tensor, "1 C H W"],
    like: Picture,
    alpha: Plane | None = None,
) -> Picture:
    """A picture of the depth and with the profile, EXIF, name and span of `like`; the inverse of `to_tensor`.

    Floats are rounded to the nearest value of the type, and clamped to it (not so for a float picture).  A
    uint8 tensor is taken as it is and needs an 8-bit `like`, else ValueError.  `alpha` is (H, W) in `like`'s
    type.
    """
    return replace(like, pixels=_to_pixels(images, like), alpha=alpha)


def _to_pixels(images: Tensor, like: Picture) -> Pixels:
    values = images[0].permute(1, 2, 0).detach().cpu()
    if images.dtype == torch.uint8:
        if like.pixels.dtype != np.uint8:
            raise ValueError(f"a uint8 tensor makes no {like.pixels.dtype} picture")
        return np.ascontiguousarray(values.numpy())
    if like.span is None:
        values = values.float().add(1).mul(like.peak / 2)
    else:
        values = like.span.denormalise_(values.to(torch.float32, copy=True))
    if like.pixels.dtype != np.float32:
        values = values.round().clamp(0, like.peak)
    return np.ascontiguousarray(values.numpy().astype(like.pixels.dtype))


def tensor_to_array(values: Tensor, name: str) -> NDArray[Any]:
    """All floats as float32, for NumPy has no bfloat16, or float64.  Raises InputError if there are none."""
    if values.layout != torch.strided or values.is_meta:
        kind = f"{values.layout} tensor on {values.device}".removeprefix("torch.")
        raise InputError(f"{name}: a {kind} is given; a dense one with values is taken")
    plain = values.detach().cpu().resolve_conj().resolve_neg()
    narrow = plain.is_floating_point() and plain.dtype != torch.float64
    made: NDArray[Any] = (plain.float() if narrow else plain).numpy()
    return made
