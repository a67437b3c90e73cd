"""Conversion between `Picture` and Pillow images; Pillow reads and writes most 8-bit formats."""

import io
import math
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from refinesr.errors import InputError
from refinesr.images.exif import EXIF_HEADER, exif_from_tags
from refinesr.images.picture import Picture, split_alpha

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")  # no others, as Pillow would run Ghostscript for EPS
JPEG_MARKER = 65533  # largest EXIF data in a JPEG file, in bytes


def from_pil(image: Image.Image, name: str = "picture") -> Picture:
    """The picture of a Pillow image, pixel for pixel; the EXIF orientation is kept and not applied.

    Modes 1, L and grey palettes become grey; other palettes, YCbCr, HSV and CMYK (through its profile, if
    any) become RGB; any transparency becomes alpha; I;16, and I within 0 to 65535, become uint16; F float32.
    Raises InputError, with `name`, for other modes and for images that cannot be loaded or have no pixels.
    """
    load(image, name)
    bands = _bands(image, name)
    pixels, alpha = split_alpha(bands, bands.shape[2] in (2, 4))
    icc = None if image.mode == "CMYK" else image.info.get("icc_profile")
    form = "JPEG" if image.format == "MPO" else image.format
    return Picture(pixels, alpha, icc or None, _exif(image), valid_dpi(image.info.get("dpi")), form, name)


def load(image: Image.Image, name: str) -> None:
    """Decode the pixels.  Raises InputError if the file is truncated, damaged or closed, or has no pixels."""
    try:
        image.load()
    except Exception as error:  # Pillow's decoders raise exceptions of almost any type
        raise InputError(f"{name}: cannot be read whole: {one_line(error)}") from error
    if 0 in image.size:
        raise InputError(f"{name}: has no pixels, {image.width} x {image.height}")


def one_line(error: BaseException) -> str:
    """The error's message in one line, or its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def to_pil(picture: Picture) -> Image.Image:
    """An image of mode L, LA, RGB, RGBA, I;16 or F, with icc_profile, exif and dpi in `info`.

    Raises ValueError for pictures that Pillow has no mode for, such as 16-bit RGB.
    """
    bands = picture.pixels_with_alpha()
    count, kind = bands.shape[2], bands.dtype
    if count > (4 if kind == np.uint8 else 1):
        raise ValueError(f"Pillow has no mode for {count} bands of {kind}")
    image = Image.fromarray(bands[:, :, 0] if count == 1 else bands)
    image.info.update(save_metadata(picture))
    return image


def save_metadata(picture: Picture) -> dict[str, Any]:
    """Arguments of Pillow's `save` for the metadata that the picture has: icc_profile, exif, dpi."""
    known = {"icc_profile": picture.matching_icc, "exif": picture.exif, "dpi": picture.dpi}
    return {key: value for key, value in known.items() if value}


def encode(picture: Picture, form: str, quality: int) -> bytes:
    """The file's bytes as "PNG", "JPEG" (4:4:4) or "WEBP" (lossless at quality 100).

    PNG uses run-length matching only: on photos a full search takes five times as long and saves 1 %.
    """
    metadata = save_metadata(picture)
    if form == "JPEG" and len(metadata.get("exif", b"")) > JPEG_MARKER:
        del metadata["exif"]
    if form == "WEBP" and picture.channels == 1:
        metadata.pop("icc_profile", None)  # WebP stores RGB, to which a grey profile does not apply
    options: dict[str, dict[str, Any]] = {
        "PNG": {"compress_type": zlib.Z_RLE},
        "JPEG": {"quality": quality, "subsampling": "4:4:4"},
        "WEBP": {"quality": quality, "lossless": quality == 100, "exact": True},
    }
    file = io.BytesIO()
    to_pil(picture).save(file, form, **options.get(form, {}), **metadata)
    return file.getvalue()


def valid_dpi(dpi: Any) -> tuple[float, float] | None:
    """(horizontal, vertical) pixels per inch if both are positive and finite, else None."""
    try:
        across, down = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down) if 0 < across < math.inf and 0 < down < math.inf else None


def _bands(image: Image.Image, name: str) -> NDArray[Any]:
    """Colours and alpha (H, W, 1 to 4)."""
    mode, clear = image.mode, image.has_transparency_data
    if mode.startswith("I"):
        return to_sixteen_bits(image, name)[:, :, None]
    if mode == "F":
        return np.array(image, dtype=np.float32)[:, :, None]
    if mode in ("1", "L", "LA", "La"):
        bands = np.array(image.convert("LA" if clear else "L"))
        return bands.reshape(*bands.shape[:2], -1)
    if mode in ("P", "PA"):
        bands = np.array(image.convert("RGBA" if clear else "RGB"))
        if not _has_grey_palette(image) or _has_rgb_profile(image):
            return bands
        return bands[:, :, 2:] if clear else bands[:, :, :1]
    if mode in ("RGB", "RGBX", "RGBA", "RGBa", "YCbCr", "HSV"):
        return np.array(image.convert("RGBA" if clear else "RGB"))
    if mode == "CMYK":
        return np.array(_from_cmyk(image))
    raise InputError(f"{name}: {mode} pixels cannot be read; convert it to RGB")


def _has_grey_palette(image: Image.Image) -> bool:
    """Whether all colours of the palette are grey."""
    palette = np.reshape(image.getpalette("RGB") or [], (-1, 3))
    return bool((palette == palette[:, :1]).all())


def _has_rgb_profile(image: Image.Image) -> bool:
    """Whether its ICC profile is for RGB, which a grey picture could not keep."""
    return (image.info.get("icc_profile") or b"")[16:20] == b"RGB "


def to_sixteen_bits(image: Image.Image, name: str) -> NDArray[np.uint16]:
    """uint16 (H, W) of an image in one of the modes I.  Raises InputError for values beyond 16 bits."""
    values = np.array(image)
    if values.min() < 0 or values.max() > 65535:
        raise InputError(f"{name}: integers beyond 0 to 65535 cannot be read; convert it to 16 bit or float")
    return values.astype(np.uint16)


def _from_cmyk(image: Image.Image) -> Image.Image:
    icc = image.info.get("icc_profile")
    if not icc:
        return image.convert("RGB")
    try:
        inks, screen = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
        intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
        converted = ImageCms.profileToProfile(image, inks, screen, intent, outputMode="RGB", flags=flags)
        return converted or image.convert("RGB")
    except (ImageCms.PyCMSError, OSError):  # a damaged profile, or one for other colours
        return image.convert("RGB")


def _exif(image: Image.Image) -> bytes | None:
    if image.format == "TIFF":
        return exif_from_tags(image.getexif())
    data: bytes = image.info.get("exif") or b""
    return EXIF_HEADER + data.removeprefix(EXIF_HEADER) if data else None


@final
class _WarningFilter:
    """Warning filters are global to the process, so readers in several threads share one change of them."""

    lock = threading.Lock()
    readers = 0
    filters = warnings.catch_warnings()


@contextmanager
def suppress_warnings() -> Iterator[None]:
    """Ignore Pillow's warnings, of damaged EXIF data or large images: these are read, or raise InputError."""
    with _WarningFilter.lock:
        if _WarningFilter.readers == 0:
            _WarningFilter.filters = warnings.catch_warnings()
            _WarningFilter.filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _WarningFilter.readers += 1
    try:
        yield
    finally:
        with _WarningFilter.lock:
            _WarningFilter.readers -= 1
            if _WarningFilter.readers == 0:
                _WarningFilter.filters.__exit__(None, None, None)
