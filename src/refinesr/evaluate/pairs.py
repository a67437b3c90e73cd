"""Good pictures, and the poor ones that are to be restored: which belong together, cut and checked."""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from jaxtyping import UInt8
from torch import Tensor

from refinesr.errors import InputError
from refinesr.evaluate.cuts import Crop
from refinesr.images.eight_bits import resize_eight_bits
from refinesr.images.io import read, read_bytes
from refinesr.images.picture import Picture, extent, to_tensor
from refinesr.images.resize import Kernel
from refinesr.images.shards import Entry, entries

Levels = UInt8[Tensor, "1 C H W"]

MARK = re.compile(r"(?<=.)[-_ .]?(x\d+|hr|lr|sr|lrbi|gt|srf[-_]\d+)$")
"""What sets of pictures hang on names of the good, the poor and the restored."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture and the poor one that methods are shown: whole levels of 255, grey or RGB."""

    name: str
    high: Tensor
    low: Tensor
    source: str = ""
    """The file, for messages."""

    @property
    def checksum(self) -> str:
        return checksum(self.low)


@dataclass(frozen=True)
class Pair:
    """A picture of a data set, not read yet.  `name` has no folder and no suffix."""

    name: str
    high: Entry
    low: Entry | None = None

    @property
    def scale(self) -> int | None:
        """What the sizes of both tell; None without a poor one.  Reads them."""
        if self.low is None:
            return None
        return round(opened(self.high).shape[-1] / opened(self.low).shape[-1])

    def shown(self, crop: Crop, scale: int, kernel: Kernel) -> Shown:
        """Read, cut, and reduced unless its poor one is given.  Raises InputError naming the files."""
        high = crop(opened(self.high), scale, self.high.name)
        size = high.shape[-2] // scale, high.shape[-1] // scale
        if self.low is None:
            return Shown(self.name, high, resize_eight_bits(high, size, kernel), self.high.name)
        low = opened(self.low)
        if tuple(low.shape[-2:]) != size:
            found = f"{sized(low)}; {self.high.name}, {sized(high)}, at scale {scale} has {extent(size)}"
            raise InputError(f"{self.low.name}: {found}")
        check_modes(self.high.name, high, self.low.name, low)
        check_place(self.low.name, resize_eight_bits(high, size, kernel), low)
        return Shown(self.name, high, low, self.high.name)


def pairs(data: Path, low: Path | None = None, limit: int | None = None) -> list[Pair]:
    """The pictures of a folder or tar file by name, the first `limit` of them, and those that belong to them.

    By their own name, whatever folder they lie in: ImageNet's first pictures are of many classes.
    Names belong together if they are the same but for what data sets hang on them: img_HR, img_LR, imgx4.
    Raises InputError, naming the file, for a picture without a partner and for two of one name.
    """
    high = named(data)
    poor = {} if low is None else named(low)
    for key, entry in poor.items():
        if key not in high:
            raise InputError(f"{entry.name}: no picture in {data} has this name")
    for key, entry in high.items() if low is not None else ():
        if key not in poor:
            raise InputError(f"{entry.name}: no picture in {low} has this name")
    first = sorted(high, key=lambda key: called(high[key]).name)[:limit]
    return [Pair(stem(high[key]), high[key], poor.get(key)) for key in first]


def named(source: Path) -> Mapping[str, Entry]:
    """Pictures by what of their names tells them apart."""
    found: dict[str, Entry] = {}
    for entry in entries(source):
        key = plain(stem(entry))
        if key in found:
            raise InputError(
                f"{found[key].name} and {entry.name}: both are called '{key}', and pictures are told apart "
                "by their names without suffix; rename one, or take it out of the folder"
            )
        found[key] = entry
    return found


def called(entry: Entry) -> PurePosixPath:
    """The name without the tar file it is in."""
    return PurePosixPath(
        entry.path.name if entry.length is None else entry.name.removeprefix(f"{entry.path}:")
    )


def stem(entry: Entry) -> str:
    """The name without folders, suffix, and the tar file it is in."""
    return called(entry).stem


def plain(name: str) -> str:
    """The name without marks, in lower case: 0801x4 and 0801, img_001_SRF_4_LR and img_001."""
    short = name.casefold()
    while (less := MARK.sub("", short)) != short:
        short = less
    return short


def opened(entry: Entry) -> Levels:
    """Its colours as whole levels of 255.  Raises InputError for what is no opaque grey or RGB picture."""
    if entry.length is None:
        return levels_of(read(entry.path), entry.name)
    with entry.path.open("rb") as file:
        file.seek(entry.start)
        return levels_of(read_bytes(file.read(entry.length), entry.name), entry.name)


def levels_of(picture: Picture, name: str) -> Levels:
    """16 bits and floats are rounded.  NaN is refused, and transparency: what would be compared under it?"""
    if picture.channels not in (1, 3):
        raise InputError(f"{name}: has {picture.channels} channels; grey and RGB pictures are compared")
    if picture.alpha is not None and bool((picture.alpha < picture.peak).any()):
        raise InputError(f"{name}: is transparent in parts; opaque pictures are compared")
    return ((to_tensor(picture) + 1) * 127.5).round().clamp(0, 255).byte()


def checksum(levels: Tensor) -> str:
    """Of size and values."""
    values = levels.contiguous().numpy().tobytes()
    return f"{zlib.crc32(values, zlib.crc32(str(tuple(levels.shape)).encode())):08x}"


def sized(image: Tensor) -> str:
    return f"{extent(image.shape[-2:])} pixels"


def check_modes(name: str, image: Tensor, other: str, picture: Tensor) -> None:
    words = {1: "grey", 3: "RGB"}
    modes = words[image.shape[1]], words[picture.shape[1]]
    if modes[0] != modes[1]:
        raise InputError(f"{name} is {modes[0]} and {other} is {modes[1]}; both must be of one mode")


REACH = 2
"""Pixels by which pictures may be out of place, to be found out."""

CLEARLY = 2.0
"""How many times smaller the squared error is elsewhere (3 dB), to call a picture shifted."""


def check_place(name: str, one: Tensor, other: Tensor) -> None:
    """Raises InputError if `other` fits `one` clearly better when moved by a few pixels."""
    height, width = one.shape[-2:]
    if min(height, width) < 8 * REACH:
        return
    grey, moved = (x.double().mean(1)[0] for x in (one, other))
    middle = grey[REACH:-REACH, REACH:-REACH]
    errors = torch.stack([
        (moved[y : y + height - 2 * REACH, x : x + width - 2 * REACH] - middle).square().mean()
        for y in range(2 * REACH + 1)
        for x in range(2 * REACH + 1)
    ])  # fmt: skip
    best, here = int(errors.argmin()), errors[REACH * (2 * REACH + 2)]
    if here > CLEARLY * errors[best] and here > 1:
        down, right = best // (2 * REACH + 1) - REACH, best % (2 * REACH + 1) - REACH
        place = f"{right:+d} pixels to the right and {down:+d} down"
        raise InputError(
            f"{name}: is shifted: of {sized(other)}, its content lies {place} of where it should be"
        )
