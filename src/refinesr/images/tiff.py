"""The directory of a page of a TIFF file: the type and the layout of its pixels (TIFF 6.0, section 2).

BigTIFF differs in having counts and offsets of 64 bits; Pillow cannot read it in big-endian byte order.
"""

import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # little- and big-endian; +: BigTIFF

IMAGE_LENGTH, TILE_LENGTH = 257, 323  # rows
PHOTOMETRIC_INTERPRETATION, BLACK_IS_ZERO, RGB, YCBCR = 262, 1, 2, 6
PLANAR_CONFIGURATION, CHUNKY, SEPARATE = 284, 1, 2
EXTRA_SAMPLES, UNSPECIFIED, ASSOCIATED, UNASSOCIATED = 338, 0, 1, 2  # alpha: multiplied into colours, or not
SAMPLES_PER_PIXEL, BITS_PER_SAMPLE, SAMPLE_FORMAT = 277, 258, 339
FORMATS = {1: "unsigned {}-bit integers", 2: "signed {}-bit integers", 3: "{}-bit floats"}

SUBFILE, REDUCED = 254, 1  # the type of a page: a smaller version of another one, or not (0)

ASCII, SHORT, LONG, DOUBLE = 2, 3, 4, 12  # data types
STRUCT_CODES = {SHORT: "H", LONG: "I", DOUBLE: "d"}
SIZES = {ASCII: 1, SHORT: 2, LONG: 4}  # bytes; 8 for a double; other types are not read
MAX_COUNT = 2**16  # numbers in one tag


@dataclass(frozen=True)
class DirectoryEntry:
    """The entry of one tag, at `offset`; its values are at the offset `values` if their type is read."""

    tag: int
    type: int
    count: int
    values: int
    offset: int


@dataclass(frozen=True, eq=False)
class Directory:
    """The directory of a page; empty for a damaged page and for a file that is not a TIFF."""

    file: bytes
    entries: tuple[DirectoryEntry, ...] = ()
    numbers: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """Values by tag: all 16-bit values, and single 32-bit values."""

    @classmethod
    def parse(cls, file: bytes, page: int = 0) -> "Directory":
        """The directory of a page, numbered from 0."""
        if not file.startswith(TIFF_MARKS):
            return cls(file)
        try:
            entries = tuple(_entries(file, page))
            return cls(file, entries, {each.tag: _numbers(file, each) for each in entries if _is_read(each)})
        except (struct.error, OverflowError):  # an offset beyond the end of the file, or of memory
            return cls(file)

    def number(self, tag: int) -> int | None:
        """The first value of the tag; None if it is absent."""
        return next(iter(self.numbers.get(tag, ())), None)

    def reals(self, tag: int) -> tuple[float, ...]:
        """The tag's 64-bit floats; empty if one is not finite or there are too many."""
        order, _ = _struct_codes(self.file)
        for each in self.entries:
            if (each.tag, each.type) == (tag, DOUBLE) and each.count < MAX_COUNT:
                data = self.file[each.values : each.values + 8 * each.count]
                values = struct.unpack(f"{order}{len(data) // 8}d", data[: len(data) // 8 * 8])
                return values if len(values) == each.count and all(map(math.isfinite, values)) else ()
        return ()

    def text(self, tag: int) -> bytes:
        """The tag's ASCII text with its terminating zeros; empty if it is truncated."""
        for each in self.entries:
            if (each.tag, each.type) == (tag, ASCII):
                data = self.file[each.values : each.values + each.count]
                return data if len(data) == each.count else b""
        return b""

    @property
    def tiled(self) -> bool:
        """Whether pixels are stored in tiles rather than strips."""
        return any(each.tag == TILE_LENGTH for each in self.entries)

    @property
    def has_wide_samples(self) -> bool:
        """Whether any sample of a pixel has more than 32 bits."""
        return any(bits > 32 for bits in self.numbers.get(BITS_PER_SAMPLE, ()))

    @property
    def ends_in_alpha(self) -> bool:
        """Whether the last band, and no other, is alpha; libvips takes any second or fourth band for alpha.

        Files with several alpha bands, as libvips writes for five bands, are not meant to have alpha.
        """
        extra = self.numbers.get(EXTRA_SAMPLES) or (UNSPECIFIED,)
        *others, last = (each in (ASSOCIATED, UNASSOCIATED) for each in extra)
        return last and not any(others)

    def sample_type_text(self) -> str | None:
        """The type of the samples in words; None if unknown."""
        bits, form = self.number(BITS_PER_SAMPLE), self.number(SAMPLE_FORMAT) or 1
        return FORMATS.get(form, "{}-bit complex numbers").format(bits) if bits is not None else None

    def with_numbers(self, numbers: Mapping[int, Sequence[int]]) -> bytes:
        """The file with new values of existing tags: one each, or as many 16-bit values as before."""
        data, (order, word) = bytearray(self.file), _struct_codes(self.file)
        for each in self.entries:
            if values := numbers.get(each.tag):
                kind = SHORT if max(values) < 2**16 else LONG
                inside = each.offset + struct.calcsize(f"{order}HH{word}")
                place = inside if len(values) == 1 else each.values
                struct.pack_into(f"{order}HH{word}", data, each.offset, each.tag, kind, len(values))
                struct.pack_into(f"{order}{len(values)}{STRUCT_CODES[kind]}", data, place, *values)
        return bytes(data)


def _struct_codes(file: bytes) -> tuple[str, str]:
    """struct's codes for the byte order, and for counts and offsets."""
    return "<" if file.startswith(b"II") else ">", "Q" if 43 in file[2:4] else "I"


def _entries(file: bytes, page: int) -> Iterator[DirectoryEntry]:
    order, word = _struct_codes(file)
    many, place = (order + "Q", 8) if word == "Q" else (order + "H", 4)
    size, header = struct.calcsize(word), struct.calcsize(many)
    for number in range(page + 1):
        (start,) = struct.unpack_from(order + word, file, place)
        (entries,) = struct.unpack_from(many, file, start)
        place = start + header + entries * (4 + 2 * size)
        for entry in range(start + header, place, 4 + 2 * size) if number == page else ():
            tag, kind, count, offset = struct.unpack_from(f"{order}HH{2 * word}", file, entry)
            inside = count * SIZES.get(kind, 8) <= size
            yield DirectoryEntry(tag, kind, count, entry + 4 + size if inside else offset, entry)


def _is_read(entry: DirectoryEntry) -> bool:
    return (entry.type == SHORT and entry.count < MAX_COUNT) or (entry.type == LONG and entry.count == 1)


def _numbers(file: bytes, entry: DirectoryEntry) -> tuple[int, ...]:
    order, _ = _struct_codes(file)
    return struct.unpack_from(f"{order}{entry.count}{STRUCT_CODES[entry.type]}", file, entry.values)


def has_overviews(file: bytes, pages: int) -> bool:
    """Whether all pages but the first are smaller versions of it (overviews), as in GDAL's COGs."""
    smaller = (Directory.parse(file, page).number(SUBFILE) == REDUCED for page in range(1, pages))
    return pages <= 32 and all(smaller)


class StackedBands(NamedTuple):
    """The number of vertically stacked bands, and the height of each without its tiles' padding."""

    bands: int
    height: int


def with_readable_planes(directory: Directory) -> tuple[bytes, StackedBands | None]:
    """The file with its directory changed so that libvips can read separate planes (band-interleaved pixels).

    If planes in strips are declared grey (as by GDAL's INTERLEAVE=BAND), libvips 8.18 reads only the first
    row of each strip correctly; declared RGB, they are read correctly.  It cannot read planes in tiles; these
    are declared to be one band that is as high as all of them together (`StackedBands`).
    """
    numbers, bands = directory.numbers, directory.number(SAMPLES_PER_PIXEL) or 1
    grey_or_rgb = numbers.get(PHOTOMETRIC_INTERPRETATION) in ((BLACK_IS_ZERO,), (RGB,))
    if numbers.get(PLANAR_CONFIGURATION) != (SEPARATE,) or not grey_or_rgb or bands == 1:
        return directory.file, None
    height, tile = directory.number(IMAGE_LENGTH), directory.number(TILE_LENGTH)
    if not height or not tile:
        return directory.with_numbers({PHOTOMETRIC_INTERPRETATION: [RGB]}), None
    one = {tag: values[:1] for tag, values in numbers.items() if tag in (BITS_PER_SAMPLE, SAMPLE_FORMAT)}
    one |= {PHOTOMETRIC_INTERPRETATION: (BLACK_IS_ZERO,), SAMPLES_PER_PIXEL: (1,)}
    one |= {PLANAR_CONFIGURATION: (CHUNKY,), EXTRA_SAMPLES: (UNSPECIFIED,)}
    one |= {IMAGE_LENGTH: (min(bands * -(-height // tile) * tile, 2**32 - 1),)}
    return directory.with_numbers(one), StackedBands(bands, height)


def with_extra_samples(tiff: bytes, has_alpha: bool) -> bytes:
    """The file with no extra band declared alpha but the last, if `has_alpha`; libvips declares all."""
    directory = Directory.parse(tiff)
    others = [UNSPECIFIED] * (len(directory.numbers.get(EXTRA_SAMPLES, ())) - 1)
    return directory.with_numbers({EXTRA_SAMPLES: [*others, UNASSOCIATED if has_alpha else UNSPECIFIED]})


class Tag(NamedTuple):
    """A tag to write: zero-terminated ASCII, or numbers of a type."""

    number: int
    type: int
    values: bytes | tuple[float, ...]


def with_tags(tiff: bytes, tags: Iterable[Tag]) -> bytes:
    """The file with tags added to its first page, in a new directory at its end."""
    order, word = _struct_codes(tiff)
    many, first = (order + "Q", 8) if word == "Q" else (order + "H", 4)
    size = struct.calcsize(word)
    old = list(_entries(tiff, 0))
    lines = {each.tag: tiff[each.offset : each.offset + 4 + 2 * size] for each in old}
    end = old[-1].offset + 4 + 2 * size
    following = tiff[end : end + size]
    added = bytearray(-len(tiff) % 8)
    for tag in tags:
        data = _packed(order, tag)
        value = data.ljust(size, b"\0")
        if len(data) > size:
            value = struct.pack(order + word, len(tiff) + len(added))
            added += data + bytes(-len(data) % 8)
        lines[tag.number] = struct.pack(f"{order}HH{word}", tag.number, tag.type, len(tag.values)) + value
    start = struct.pack(order + word, len(tiff) + len(added))
    directory = [struct.pack(many, len(lines)), *(lines[number] for number in sorted(lines)), following]
    return b"".join([tiff[:first], start, memoryview(tiff)[first + size :], added, *directory])


def _packed(order: str, tag: Tag) -> bytes:
    if isinstance(tag.values, bytes):
        return tag.values
    return struct.pack(f"{order}{len(tag.values)}{STRUCT_CODES[tag.type]}", *tag.values)
