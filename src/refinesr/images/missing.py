"""Missing values: NaN in floats, and the value of a TIFF's GDAL_NODATA tag; separately for each band.

While a picture is restored they are replaced by a smooth extrapolation of the known values, as under
transparent pixels; in the result they are missing again.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from refinesr.errors import InputError
from refinesr.images.alpha import fill_transparent
from refinesr.images.picture import Picture, Pixels
from refinesr.images.tiff import ASCII, BITS_PER_SAMPLE, BLACK_IS_ZERO, RGB, YCBCR, Directory, Tag
from refinesr.images.tiff import PHOTOMETRIC_INTERPRETATION as COLOURS

NODATA = 42113
LONGEST = 64  # characters of the tag's number; GDAL writes up to 18 digits

APART = 16
"""Distance, in units in the last place, of a known float from `nodata`: readers treat 4 as equal."""


def read_nodata(directory: Directory) -> float | None:
    """The value that marks missing ones on a TIFF page; None if there is none.

    Ignored where the numbers stored are not the picture's values: palettes, inks, inverted greys, under 8
    bits.
    """
    text = directory.text(NODATA).rstrip(b"\0 ")
    if directory.number(COLOURS) not in (BLACK_IS_ZERO, RGB, YCBCR) or len(text) > LONGEST:
        return None
    try:
        return float(text) if (directory.number(BITS_PER_SAMPLE) or 1) >= 8 else None
    except ValueError:
        return None


def nodata_tag(value: float) -> Tag:
    """The GDAL_NODATA tag."""
    return Tag(NODATA, ASCII, f"{value:.17g}".encode() + b"\0")


def fill_missing(picture: Picture, *, under_alpha: bool = False) -> Picture:
    """A copy in which missing values are extrapolated from those around them, and `nodata` is None.

    With `under_alpha` fully transparent pixels are filled as well, from the visible ones.  Raises InputError
    if a band has no known value.
    """
    missing = picture.missing_mask
    visible = None if picture.alpha is None or not under_alpha else picture.alpha > 0
    if missing is None:
        pixels = picture.pixels if visible is None else _extrapolate(picture.pixels, visible)
        return replace(picture, pixels=pixels, nodata=None)
    if bool((empty := missing.all((0, 1))).any()):
        which = "" if empty.all() else f" in band {int(empty.argmax()) + 1} of {picture.channels}"
        raise InputError(f"{picture.name}: all values{which} are missing (NaN, or the file's GDAL_NODATA)")
    if picture.channels > 1 and bool((missing == missing[..., :1]).all()):
        missing = missing[..., :1]
    bands = np.split(picture.pixels, missing.shape[2], axis=2)
    known = (_known(~missing[..., band], visible) for band in range(len(bands)))
    pixels = np.concatenate([_extrapolate(*pair) for pair in zip(bands, known, strict=True)], axis=2)
    return replace(picture, pixels=pixels, nodata=None)


def restore_missing(made: Picture, picture: Picture) -> Picture:
    """The result `made` from `picture`, with values missing where the source pixel at that place is missing.

    No value is invented and none lost: a missing value is missing in all pixels that it was enlarged to.
    """
    missing, made = picture.missing_mask, avoid_nodata(replace(made, nodata=picture.nodata))
    if missing is None:
        return made
    rows, columns = (
        np.minimum((np.arange(new) + 0.5) * (old / new), old - 1).astype(int)
        for new, old in zip(made.size, picture.size, strict=True)
    )
    enlarged = missing[rows][:, columns]
    return replace(made, pixels=np.where(enlarged, picture.pixels[rows][:, columns], made.pixels))


def avoid_nodata(picture: Picture) -> Picture:
    """A copy in which values that happen to equal `nodata` are moved to the nearest distinct value."""
    if picture.nodata is None:
        return picture
    kind, floats = picture.pixels.dtype, picture.pixels.dtype == np.float32
    with np.errstate(over="ignore"):  # `nodata` may be beyond float32
        nodata = float(np.float32(picture.nodata)) if floats else picture.nodata
    if not (math.isfinite(nodata) if floats else 0 <= nodata <= picture.peak):
        return picture
    step = APART * abs(float(np.spacing(np.float32(nodata)))) if floats else 1.0
    inwards = kind.type(nodata + math.copysign(step, picture.peak / 2 - nodata))
    return replace(picture, pixels=np.where(picture.pixels == nodata, inwards, picture.pixels))


def _known(known: NDArray[np.bool_], visible: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Known and, as long as any are, visible pixels."""
    both = known if visible is None else known & visible
    return both if both.any() else known


def _extrapolate(pixels: Pixels, known: NDArray[np.bool_]) -> Pixels:
    return fill_transparent(pixels, known.astype(np.uint8))
