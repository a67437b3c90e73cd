"""Good pictures, and the poor ones that are to be restored: which belong together, cut and checked."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from refinesr.errors import InputError
from refinesr.evaluate.cuts import Crop
from refinesr.evaluate.depths import EIGHT_BITS, Depth, Stored, check_modes, mode, resized, unit
from refinesr.files import is_text
from refinesr.images.entries import Entry, list_entries
from refinesr.images.naming import IDENTIFIED_BY_NAME, entry_path, stem, without_marks
from refinesr.images.picture import format_size, with_span
from refinesr.images.resize import Kernel
from refinesr.images.shifts import Grey, best_shift
from refinesr.images.span import Span


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture and the poor one that methods are shown, both of one type, at the depth they are compared."""

    name: str
    high: Tensor
    low: Tensor
    source: str = ""
    """The file, for messages."""
    depth: Depth = EIGHT_BITS

    @property
    def checksum(self) -> str:
        return checksum(self.low)


@dataclass(frozen=True)
class Pair:
    """A picture of a data set, not read yet.  `name` has no folder and no suffix."""

    name: str
    high: Entry
    low: Entry | None = None
    depth: Depth = EIGHT_BITS

    @property
    def bands(self) -> int:
        """How many the picture has.  Reads it."""
        return opened(self.high, self.depth).shape[1]

    @property
    def scale(self) -> int | None:
        """What the sizes of both tell; None without a poor one.  Reads them."""
        if self.low is None:
            return None
        return round(opened(self.high, self.depth).shape[-1] / opened(self.low, self.depth).shape[-1])

    def shown(self, crop: Crop, scale: int, kernel: Kernel) -> Shown:
        """Read, cut, and reduced unless its poor one is given.  Raises InputError naming the files."""
        high = crop(opened(self.high, self.depth), scale, self.high.name)
        size = high.shape[-2] // scale, high.shape[-1] // scale
        if self.low is None:
            made = resized(high, size, kernel, self.depth.span)
            return Shown(self.name, high, made, self.high.name, self.depth)
        low = opened(self.low, self.depth)
        if tuple(low.shape[-2:]) != size:
            found = f"{sized(low)}; {self.high.name}, {sized(high)}, at scale {scale} has {format_size(size)}"
            raise InputError(f"{self.low.name}: {found}")
        check_modes(self.high.name, high, self.low.name, mode(low))
        check_place(self.low.name, resized(high, size, kernel, self.depth.span), low, self.depth.span)
        return Shown(self.name, high, low, self.high.name, self.depth)


def pairs(
    data: Path, low: Path | None = None, limit: int | None = None, depth: Depth = EIGHT_BITS
) -> list[Pair]:
    """The pictures of a folder or tar file by name, the first `limit` of them, and those that belong to them.

    By their own name, whatever folder they lie in: ImageNet's first pictures are of many classes.
    Names belong together if they are the same but for what data sets hang on them: img_HR, img_LR, imgx4.
    Raises InputError, naming the file, for a picture without a partner, for two of one name, and for a name
    that results cannot have.
    """
    high = named(data)
    poor = {} if low is None else named(low)
    for key, entry in poor.items():
        if key not in high:
            raise InputError(f"{entry.name}: no picture in {data} has this name")
    for key, entry in high.items() if low is not None else ():
        if key not in poor:
            raise InputError(f"{entry.name}: no picture in {low} has this name")
    first = sorted(high, key=lambda key: entry_path(high[key]).name)[:limit]
    for key in first:
        check_called(high[key])
    return [Pair(stem(high[key]), high[key], poor.get(key), depth) for key in first]


def named(source: Path) -> Mapping[str, Entry]:
    """Pictures by what of their names tells them apart."""
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


def check_called(entry: Entry) -> None:
    """Raises InputError for a name that the picture's results, and lines of a report, could not have.

    A file is called as its system allows; a tar comes from anywhere.  Training writes nothing by such names.
    """
    name = entry_path(entry).name
    if not is_text(name):
        raise InputError(f"{entry.name!r}: its name is no text in UTF-8, as names in reports are; rename it")
    if entry.length is not None and set(name) & set("\\:"):
        why = "results are called as it is, and no file on Windows has \\ or : in its name"
        raise InputError(f"{entry.name}: {why}; rename it in the tar file")


def opened(entry: Entry, depth: Depth = EIGHT_BITS) -> Stored:
    """Its bands at that depth.

    Raises InputError for what cannot be compared so, and for values, be they integers, far outside its span.
    """
    return depth.taken(with_span(entry.read_picture(depth.span), depth.span), entry.name)


def checksum(image: Tensor) -> str:
    """Of size and values."""
    values = image.contiguous().numpy().tobytes()
    return f"{zlib.crc32(values, zlib.crc32(str(tuple(image.shape)).encode())):08x}"


def sized(image: Tensor) -> str:
    return f"{format_size(image.shape[-2:])} pixels"


REACH = 2
"""Pixels by which pictures may be out of place, to be found out."""

CLEARLY = 2.0
"""How many times smaller the squared error is elsewhere (3 dB), to call a picture shifted."""


def squared_error(one: Grey, other: Grey) -> float:
    """Mean squared difference."""
    return float(((other - one) ** 2).mean())


def check_place(name: str, one: Tensor, other: Tensor, span: Span | None = None) -> None:
    """Raises InputError if `other` fits `one` clearly better when moved by a few pixels."""
    height, width = one.shape[-2:]
    if min(height, width) < 8 * REACH:
        return
    grey, moved = (in_levels(x, span).mean(1)[0].numpy() for x in (one, other))
    shift, best, here = best_shift(grey, moved, REACH, squared_error)
    if here > CLEARLY * best and here > 1:
        raise InputError(
            f"{name}: is shifted: of {sized(other)}, its content lies {shift} of where it should be"
        )


def in_levels(image: Tensor, span: Span | None = None) -> Tensor:
    """0 to 255, whatever the depth; not rounded."""
    whole = image.dtype == torch.uint8 and span is None
    return image.double() if whole else 255 * unit(image, span)
