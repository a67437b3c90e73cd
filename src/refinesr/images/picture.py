"""A still image in memory: its pixels as they are stored, and the metadata of its file."""

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
    """An image file in memory.

    pixels        colours (H, W, C) as uint8, uint16 or float32, from 0 to `peak`; C is 1 (grey), 3 (RGB) or
                  any other number of bands
    alpha         (H, W) of the same type, 0 is transparent; colours are not premultiplied by it
    icc           colour profile
    exif          EXIF data, beginning with "Exif\\0\\0"
    dpi           pixels per inch: (horizontal, vertical)
    format        of the source file: "PNG", "JPEG", "WEBP", "BMP", "GIF" or "TIFF"
    name          used in messages
    georeference  of the source image, which may have another size
    nodata        value that marks missing values, as NaN does
    span          values of the colours, not of alpha, that networks see as -1 and 1; None: 0 and `peak`

    Raises ValueError if the arrays do not fit each other.
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
        """The number of bands, without alpha."""
        return int(self.pixels.shape[2])

    @property
    def peak(self) -> float:
        """The value of white and opaque alpha: 255, 65535, or 1 for floats (whose pixels may exceed it)."""
        return PEAKS[self.pixels.dtype]

    @property
    def matching_icc(self) -> bytes | None:
        """`icc` if it has as many colours as the picture, else None (ICC.1:2022, 7.2: header)."""
        spaces = {1: b"GRAY", 3: b"RGB "}
        return self.icc if self.icc and self.icc[16:20] == spaces.get(self.channels) else None

    @property
    def missing_mask(self) -> Bool[np.ndarray, "H W C"] | None:
        """True where a value is missing (NaN or `nodata`); None if none is."""
        if self.pixels.dtype != np.float32 and self.nodata is None:
            return None
        with np.errstate(over="ignore"):  # `nodata` may be beyond float32
            missing = np.isnan(self.pixels) if self.nodata is None else self.pixels == self.nodata
        if self.pixels.dtype == np.float32:
            missing |= np.isnan(self.pixels)
        return missing if missing.any() else None

    @property
    def any_band_missing(self) -> Bool[np.ndarray, "H W"] | None:
        """True where the value of any band is missing; None if none is."""
        return None if (missing := self.missing_mask) is None else np.any(missing, axis=2)

    def pixels_with_alpha(self) -> NDArray[Any]:
        """Colours and, if there is any, alpha in one array (H, W, C or C + 1)."""
        return self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha])


def format_size(size: tuple[int, ...]) -> str:
    """(height, width) as text, width first: "640 x 480"."""
    height, width = size
    return f"{width} x {height}"


def split_alpha(bands: NDArray[Any], has_alpha: bool) -> tuple[Pixels, Plane | None]:
    """Colours, and the last band as alpha if `has_alpha`: the inverse of `Picture.pixels_with_alpha`."""
    if not has_alpha:
        return bands, None
    return np.ascontiguousarray(bands[:, :, :-1]), np.ascontiguousarray(bands[:, :, -1])


def check_range(picture: Picture) -> Picture:
    """Returns the picture.  Raises InputError if it has floats outside its span, or [0, 1], by over `SLACK`.

    Missing values and colours of fully transparent pixels are ignored; infinity is left to `check_complete`.
    """
    if picture.pixels.dtype == np.float32:
        check_value_range(_visible_values(picture), picture.name, picture.span)
    return picture


def with_span(picture: Picture, span: Span | None) -> Picture:
    """The same picture with another span.  Raises InputError as `check_range`, also for integers."""
    picture = replace(picture, span=span)
    check_value_range(_visible_values(picture), picture.name, span)
    return picture


def _visible_values(picture: Picture) -> NDArray[Any]:
    """Colours (..., C) of pixels that are not fully transparent, NaN where they are missing."""
    pixels = picture.pixels
    # integers are checked only against a span; float32 represents 16-bit integers exactly
    if (missing := picture.missing_mask) is not None and (
        pixels.dtype == np.float32 or picture.span is not None
    ):
        pixels = np.where(missing, np.float32(np.nan), pixels)
    return pixels if picture.alpha is None else pixels[picture.alpha > 0]


def check_value_range(values: NDArray[Any], name: str, span: Span | None = None) -> None:
    """`check_range` for values of any type, before they become float32 pixels, which hold none beyond 3e38.

    With a span `values` are (..., bands).
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
    """The index of the frame to read.  Raises InputError if `frame` does not exist, or is None of several."""
    if frame is None and count > 1:
        raise InputError(f"{name} has {count} frames, not one; upscale picks one with --frame")
    if frame is not None and not 0 <= frame < count:
        raise InputError(f"{name} has no frame {frame}, only {count}, numbered from 0")
    return frame or 0


def check_complete(picture: Picture) -> None:
    """Raises InputError for missing and infinite values."""
    name, pixels = picture.name, picture.pixels
    allowed = "only pictures to upscale, and to learn from, may lack values"
    if pixels.dtype == np.float32 and not np.isfinite(pixels).all():
        hint = f"; {allowed}" if np.isnan(pixels).any() else ""
        within = picture.span or "0 to 1"
        raise InputError(f"{name}: holds NaN or infinite values; pixels are finite, from {within}{hint}")
    if picture.missing_mask is not None:
        right = "cut out parts without any, or take away the tag if they are values"
        raise InputError(
            f"{name}: holds {picture.nodata:g}, missing by its tag GDAL_NODATA; {allowed}; {right}"
        )


def check_finite(picture: Picture) -> None:
    """Raises InputError for infinite values, unless they mark missing ones."""
    pixels, missing = picture.pixels, picture.missing_mask
    if pixels.dtype != np.float32 or np.isfinite(pixels).all():
        return
    if (np.isinf(pixels) if missing is None else np.isinf(pixels) & ~missing).any():
        within = picture.span or "0 to 1"
        raise InputError(f"{picture.name}: holds infinite values; pixels are finite, from {within}")


def to_tensor(picture: Picture) -> Images:
    """The colours as (1, C, H, W) float32: the span's ends, or 0 and `peak` without one, become -1 and 1.

    Not clipped.  Raises InputError as `check_complete`.
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
    """A picture with the data type, profile, EXIF, name and span of `like`; the inverse of `to_tensor`.

    Values are rounded and clamped if `like` has integers.  A uint8 tensor is used unchanged; raises
    ValueError unless `like` is uint8, too.  `alpha` is (H, W) of `like`'s type.
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
    """A tensor as an array; float16 and bfloat16 become float32, as NumPy has no bfloat16.

    Raises InputError for sparse tensors and those without data.
    """
    if values.layout != torch.strided or values.is_meta:
        kind = f"{values.layout} tensor on {values.device}".removeprefix("torch.")
        raise InputError(f"{name}: a {kind} is given; a dense one with values is expected")
    plain = values.detach().cpu().resolve_conj().resolve_neg()
    is_narrow = plain.is_floating_point() and plain.dtype != torch.float64
    array: NDArray[Any] = (plain.float() if is_narrow else plain).numpy()
    return array
