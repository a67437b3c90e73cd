"""Missing values: NaN among floats, and what the GDAL_NODATA of a TIFF names; each band has its own.

A smooth extension of the known ones lies under them while a picture is restored, as under what is
transparent, and they are missing again in the result.
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
LONGEST = 64  # characters of a number; GDAL writes 18 digits at most

APART = 16
"""Units in the last place from a float that means missing to one that does not: readers take 4 for equal."""


def read_nodata(directory: Directory) -> float | None:
    """The value that a page says is none.

    Not where numbers in the file are no values of the picture: of palettes, inks, inverted greys, few bits.
    """
    said = directory.text(NODATA).rstrip(b"\0 ")
    if directory.number(COLOURS) not in (BLACK_IS_ZERO, RGB, YCBCR) or len(said) > LONGEST:
        return None
    try:
        return float(said) if (directory.number(BITS_PER_SAMPLE) or 1) >= 8 else None
    except ValueError:
        return None


def nodata_tag(value: float) -> Tag:
    return Tag(NODATA, ASCII, f"{value:.17g}".encode() + b"\0")


def fill_missing(picture: Picture, *, under_alpha: bool = False) -> Picture:
    """A copy in which missing values are extrapolated from those around them, and `nodata` is None.

    With `under_alpha` fully transparent pixels are filled as well, from the visible ones.  Raises InputError
    if a band has no known value.
    """
    lost = picture.missing_mask
    clear = None if picture.alpha is None or not under_alpha else picture.alpha > 0
    if lost is None:
        pixels = picture.pixels if clear is None else _spread(picture.pixels, clear)
        return replace(picture, pixels=pixels, nodata=None)
    if bool((empty := lost.all((0, 1))).any()):
        which = "" if empty.all() else f" in band {int(empty.argmax()) + 1} of {picture.channels}"
        raise InputError(f"{picture.name}: all values{which} are missing (NaN, or the file's GDAL_NODATA)")
    if picture.channels > 1 and bool((lost == lost[..., :1]).all()):
        lost = lost[..., :1]
    bands = np.split(picture.pixels, lost.shape[2], axis=2)
    known = (_known(~lost[..., band], clear) for band in range(len(bands)))
    pixels = np.concatenate([_spread(*each) for each in zip(bands, known, strict=True)], axis=2)
    return replace(picture, pixels=pixels, nodata=None)


def restore_missing(made: Picture, picture: Picture) -> Picture:
    """What has been made of a picture, missing wherever the pixel of that is which lies there.

    Nothing is made up and nothing lost: each missing value is missing in all pixels that it has become.
    """
    lost, made = picture.missing_mask, avoid_nodata(replace(made, nodata=picture.nodata))
    if lost is None:
        return made
    rows, columns = (
        np.minimum((np.arange(new) + 0.5) * (old / new), old - 1).astype(int)
        for new, old in zip(made.size, picture.size, strict=True)
    )
    gone = lost[rows][:, columns]
    return replace(made, pixels=np.where(gone, picture.pixels[rows][:, columns], made.pixels))


def avoid_nodata(picture: Picture) -> Picture:
    """All its values known: where they happen to be the one that means missing, the next one beside it."""
    if picture.nodata is None:
        return picture
    kind, floats = picture.pixels.dtype, picture.pixels.dtype == np.float32
    with np.errstate(over="ignore"):  # of one that no float32 can be
        nodata = float(np.float32(picture.nodata)) if floats else picture.nodata
    if not (math.isfinite(nodata) if floats else 0 <= nodata <= picture.peak):
        return picture
    step = APART * abs(float(np.spacing(np.float32(nodata)))) if floats else 1.0
    inwards = kind.type(nodata + math.copysign(step, picture.peak / 2 - nodata))
    return replace(picture, pixels=np.where(picture.pixels == nodata, inwards, picture.pixels))


def _known(known: NDArray[np.bool_], clear: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Of those that can be seen, if there are any."""
    both = known if clear is None else known & clear
    return both if both.any() else known


def _spread(pixels: Pixels, known: NDArray[np.bool_]) -> Pixels:
    return fill_transparent(pixels, known.astype(np.uint8))
