"""EXIF data: applying the orientation, and converting tags between TIFF files and the other formats.

An EXIF block is a small TIFF file after "Exif\\0\\0": a directory of 12-byte entries (tag, type, count,
value or offset), sub-directories, and offsets counted from its start (CIPA DC-008, 4.6; TIFF 6.0, section 2).
"""

import struct
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from refinesr.images.picture import Picture

EXIF_HEADER = b"Exif\0\0"
ORIENTATION = int(ExifTags.Base.Orientation)
DESCRIPTION = int(ExifTags.Base.ImageDescription)

# Tags of a TIFF file that describe the photo; all others describe how and where its pixels are stored.
PHOTO_TAGS = (
    DESCRIPTION,
    *(int(tag) for tag in (ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.Software)),
    *(int(tag) for tag in (ExifTags.Base.DateTime, ExifTags.Base.Artist, ExifTags.Base.Copyright)),
    *(int(tag) for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)),
)


def apply_orientation(picture: Picture, orientation: int) -> Picture:
    """The picture turned upright, with EXIF orientation 1 (values: CIPA DC-008, 4.6.4)."""
    if orientation not in range(2, 9):
        return picture
    pixels = _turn(picture.pixels, orientation)
    alpha = None if picture.alpha is None else _turn(picture.alpha, orientation)
    dpi = picture.dpi[::-1] if picture.dpi and orientation >= 5 else picture.dpi
    place = picture.georeference and picture.georeference.oriented(orientation)
    exif = picture.exif and reset_orientation(picture.exif)
    return replace(picture, pixels=pixels, alpha=alpha, dpi=dpi, exif=exif, georeference=place)


def _turn(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """The array turned upright; orientations 5 to 8 are 1 to 4 after swapping rows and columns."""
    if orientation >= 5:
        values = values.swapaxes(0, 1)
    down = -1 if orientation in (3, 4, 7, 8) else 1
    right = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(values[::down, ::right])


def reset_orientation(exif: bytes) -> bytes:
    """The EXIF data with orientation 1 and without the thumbnail, whose orientation would be wrong.

    No bytes are moved, so that makers' notes, which contain offsets, stay valid.  Damaged data is unchanged.
    """
    data = bytearray(exif)
    try:
        order, start = _order(exif, len(EXIF_HEADER)), len(EXIF_HEADER)
        (first,) = struct.unpack_from(order + "I", exif, start + 4)
        entries = _entries(exif, start + first, order)
        for place, entry in enumerate(entries):
            if _tag(entry, order) == ORIENTATION:
                struct.pack_into(order + "HIHH", data, start + first + 2 + 12 * place + 2, 3, 1, 1, 0)
        struct.pack_into(order + "I", data, start + first + 2 + 12 * len(entries), 0)  # the next directory
    except (struct.error, ValueError):
        return exif
    return bytes(data)


def exif_from_tags(tags: Image.Exif) -> bytes | None:
    """EXIF data from a TIFF file's tags, as read by Pillow; None if none of them describes the photo."""
    kept = Image.Exif()
    for tag in PHOTO_TAGS:
        value = tags.get_ifd(tag) if tag in ExifTags.IFD.__members__.values() else tags.get(tag)
        if value and not (tag == DESCRIPTION and _written_by_program(str(value))):
            kept[tag] = value
    return kept.tobytes() if len(kept) else None


def _written_by_program(description: str) -> bool:
    """Whether tifffile, OME or ImageJ wrote the description; it holds sizes that are wrong after resizing."""
    return description.startswith(("{", "<", "ImageJ="))


def add_exif(tiff: bytes, exif: bytes) -> bytes:
    """The TIFF file with those EXIF tags added that it lacks, in a new directory at its end.

    A BigTIFF (above 4 GB) is returned unchanged.
    """
    order = _order(tiff, 0)
    block = Image.Exif()
    block.load(exif)
    block.endian = order
    if tiff[2:4] != struct.pack(order + "H", 42) or not len(block):
        return tiff
    tiff += bytes(len(tiff) % 2)  # directories begin at even offsets
    added = block.tobytes(len(tiff))[
        len(EXIF_HEADER) + 8 :
    ]  # without header, with offsets for the end of `tiff`
    (first,) = struct.unpack_from(order + "I", tiff, 4)
    entries = {_tag(entry, order): entry for entry in _entries(added, 0, order)}
    entries |= {_tag(entry, order): entry for entry in _entries(tiff, first, order)}
    place = struct.pack(order + "I", len(tiff) + len(added))
    directory = b"".join(entries[tag] for tag in sorted(entries))
    count = struct.pack(order + "H", len(entries))
    return tiff[:4] + place + tiff[8:] + added + count + directory + bytes(4)


def _order(data: bytes, start: int) -> str:
    """The byte order as in struct.  Raises ValueError unless a TIFF header begins at `start`."""
    orders = {b"II": "<", b"MM": ">"}
    if data[start : start + 2] not in orders:
        raise ValueError("no TIFF header")
    return orders[data[start : start + 2]]


def _entries(data: bytes, start: int, order: str) -> list[bytes]:
    """The 12-byte entries of the directory at offset `start`."""
    (count,) = struct.unpack_from(order + "H", data, start)
    return [data[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]


def _tag(entry: bytes, order: str) -> int:
    (tag,) = struct.unpack_from(order + "H", entry)
    return int(tag)
