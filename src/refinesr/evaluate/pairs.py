"""Pairs of high- and low-resolution images: matching by name, loading, cropping and checks."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from refinesr.errors import InputError
from refinesr.evaluate.cropping import Crop
from refinesr.evaluate.depths import (
    EIGHT_BITS,
    Depth,
    Stored,
    check_same_mode,
    mode_name,
    resized,
    to_unit_range,
)
from refinesr.files import is_utf8
from refinesr.images.entries import Entry, list_entries
from refinesr.images.naming import IDENTIFIED_BY_NAME, entry_path, stem, without_marks
from refinesr.images.picture import format_size, with_span
from refinesr.images.resize import Kernel
from refinesr.images.shifts import Grey, best_shift
from refinesr.images.span import Span


@dataclass(frozen=True, eq=False)
class LoadedPair:
    """An image and its low-resolution input, tensors (1, C, H, W) of one type, at the protocol's depth."""

    name: str
    high: Tensor
    low: Tensor
    source: str = ""
    """Name of the file, for messages."""
    depth: Depth = EIGHT_BITS

    @property
    def checksum(self) -> str:
        return checksum(self.low)


@dataclass(frozen=True)
class Pair:
    """Files of an image and, if given, of its low-resolution image.  `name` has no folder and no suffix."""

    name: str
    high: Entry
    low: Entry | None = None
    depth: Depth = EIGHT_BITS

    @property
    def bands(self) -> int:
        """Number of bands of the image, which is read."""
        return read_entry(self.high, self.depth).shape[1]

    @property
    def scale(self) -> int | None:
        """The scale factor between the two images, which are read; None without a low-resolution image."""
        if self.low is None:
            return None
        return round(read_entry(self.high, self.depth).shape[-1] / read_entry(self.low, self.depth).shape[-1])

    def load(self, crop: Crop, scale: int, kernel: Kernel) -> LoadedPair:
        """Read and crop the image; read its low-resolution image, or make it by `kernel` if none is given.

        Raises InputError naming the files.
        """
        high = crop(read_entry(self.high, self.depth), scale, self.high.name)
        size = high.shape[-2] // scale, high.shape[-1] // scale
        if self.low is None:
            made = resized(high, size, kernel, self.depth.span)
            return LoadedPair(self.name, high, made, self.high.name, self.depth)
        low = read_entry(self.low, self.depth)
        if tuple(low.shape[-2:]) != size:
            expected = f"{self.high.name}, {size_text(high)}, at scale {scale} has {format_size(size)}"
            raise InputError(f"{self.low.name}: {size_text(low)}; {expected}")
        check_same_mode(self.high.name, high, self.low.name, mode_name(low))
        check_alignment(self.low.name, resized(high, size, kernel, self.depth.span), low, self.depth.span)
        return LoadedPair(self.name, high, low, self.high.name, self.depth)


def find_pairs(
    data: Path, low: Path | None = None, limit: int | None = None, depth: Depth = EIGHT_BITS
) -> list[Pair]:
    """The first `limit` images of a folder or tar file by name, paired with those of `low` if it is given.

    Images are ordered by file name, whatever folder they lie in, as ImageNet's classes are folders.  Names
    match up to suffixes that data sets add: img_HR, img_LR, imgx4.  Raises InputError naming the file for an
    image without a partner, for two images of one name, and for a name that results cannot have.
    """
    high_entries = entries_by_name(data)
    low_entries = {} if low is None else entries_by_name(low)
    for key, entry in low_entries.items():
        if key not in high_entries:
            raise InputError(f"{entry.name}: no picture in {data} has this name")
    for key, entry in high_entries.items() if low is not None else ():
        if key not in low_entries:
            raise InputError(f"{entry.name}: no picture in {low} has this name")
    first = sorted(high_entries, key=lambda key: entry_path(high_entries[key]).name)[:limit]
    for key in first:
        check_name(high_entries[key])
    return [Pair(stem(high_entries[key]), high_entries[key], low_entries.get(key), depth) for key in first]


def entries_by_name(source: Path) -> Mapping[str, Entry]:
    """Images by name without suffixes of data sets.  Raises InputError for two of one name."""
    found: dict[str, Entry] = {}
    for entry in list_entries(source):
        key = without_marks(stem(entry))
        if key in found:
            raise InputError(
                f"{found[key].name} and {entry.name}: both are called '{key}', {IDENTIFIED_BY_NAME}; "
                "rename one, or take it out of the folder"
            )
        found[key] = entry
    return found


def check_name(entry: Entry) -> None:
    """Raises InputError for a name that results or lines of a report cannot have.

    Names in a tar file may be invalid on this system.  Training writes no files by these names.
    """
    name = entry_path(entry).name
    if not is_utf8(name):
        raise InputError(f"{entry.name!r}: its name is no text in UTF-8, as names in reports are; rename it")
    if entry.length is not None and set(name) & set("\\:"):
        why = "results are called as it is, and no file on Windows has \\ or : in its name"
        raise InputError(f"{entry.name}: {why}; rename it in the tar file")


def read_entry(entry: Entry, depth: Depth = EIGHT_BITS) -> Stored:
    """Read an image at the given depth.

    Raises InputError if it cannot be compared at this depth, and for values far outside the span.
    """
    return depth.to_tensor(with_span(entry.read_picture(depth.span), depth.span), entry.name)


def checksum(image: Tensor) -> str:
    """CRC-32 of the image's shape and values."""
    values = image.contiguous().numpy().tobytes()
    return f"{zlib.crc32(values, zlib.crc32(str(tuple(image.shape)).encode())):08x}"


def size_text(image: Tensor) -> str:
    return f"{format_size(image.shape[-2:])} pixels"


MAX_SHIFT = 2
"""Largest displacement, in pixels, that is searched for."""

SHIFT_RATIO = 2.0
"""An image counts as shifted if the squared error at another position is this many times smaller (3 dB)."""


def squared_error(one: Grey, other: Grey) -> float:
    """Mean squared difference."""
    return float(((other - one) ** 2).mean())


def check_alignment(name: str, one: Tensor, other: Tensor, span: Span | None = None) -> None:
    """Raises InputError if `other` matches `one` clearly better when moved by up to `MAX_SHIFT` pixels."""
    height, width = one.shape[-2:]
    if min(height, width) < 8 * MAX_SHIFT:
        return
    grey, moved = (to_levels(x, span).mean(1)[0].numpy() for x in (one, other))
    shift, best, here = best_shift(grey, moved, MAX_SHIFT, squared_error)
    if here > SHIFT_RATIO * best and here > 1:
        raise InputError(
            f"{name}: is shifted: of {size_text(other)}, its content lies {shift} of where it should be"
        )


def to_levels(image: Tensor, span: Span | None = None) -> Tensor:
    """Values in [0, 255], whatever the depth; not rounded."""
    whole = image.dtype == torch.uint8 and span is None
    return image.double() if whole else 255 * to_unit_range(image, span)
