"""The directory of one page of a TIFF file: what its pixels are, and how they lie (TIFF 6.0, section 2).

BigTIFF is the same with counts and offsets of 64 bits; Pillow knows none of big-endian numbers.
"""

import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # in the byte orders of Intel and Motorola; +: BigTIFF

IMAGE_LENGTH, TILE_LENGTH = 257, 323  # rows
PHOTOMETRIC_INTERPRETATION, BLACK_IS_ZERO, RGB, YCBCR = 262, 1, 2, 6
PLANAR_CONFIGURATION, CHUNKY, SEPARATE = 284, 1, 2
EXTRA_SAMPLES, UNSPECIFIED, ASSOCIATED, UNASSOCIATED = 338, 0, 1, 2  # alpha: multiplied into colours, or not
SAMPLES_PER_PIXEL, BITS_PER_SAMPLE, SAMPLE_FORMAT = 277, 258, 339
FORMATS = {1: "unsigned {}-bit integers", 2: "signed {}-bit integers", 3: "{}-bit floats"}

SUBFILE, REDUCED = 254, 1  # the kind of a page: one among several, 0, or another one made smaller

ASCII, SHORT, LONG, DOUBLE = 2, 3, 4, 12  # types
SIGNS = {SHORT: "H", LONG: "I", DOUBLE: "d"}  # struct's
SIZES = {ASCII: 1, SHORT: 2, LONG: 4}  # bytes; of a double 8, others are not read
MOST = 2**16  # numbers of one tag


@dataclass(frozen=True)
class DirectoryEntry:
    """Of one tag, at `offset`; what it says lies at `values` if it is of a type that is read."""

    tag: int
    type: int
    count: int
    values: int
    offset: int


@dataclass(frozen=True, eq=False)
class Directory:
    """Nothing is in that of a page that is damaged, or of a file that is no TIFF."""

    file: bytes
    entries: tuple[DirectoryEntry, ...] = ()
    numbers: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """By tag, where they are of 16 bits, or it is one of 32."""

    @classmethod
    def parse(cls, file: bytes, page: int = 0) -> "Directory":
        if not file.startswith(TIFF_MARKS):
            return cls(file)
        try:
            entries = tuple(_entries(file, page))
            return cls(file, entries, {each.tag: _numbers(file, each) for each in entries if _is_read(each)})
        except (struct.error, OverflowError):  # an offset beyond the end, or beyond all memory
            return cls(file)

    def number(self, tag: int) -> int | None:
        """Its first."""
        return next(iter(self.numbers.get(tag, ())), None)

    def reals(self, tag: int) -> tuple[float, ...]:
        """Its 64-bit floats; none if there is any that is not finite, or too many."""
        order, _ = _signs(self.file)
        for each in self.entries:
            if (each.tag, each.type) == (tag, DOUBLE) and each.count < MOST:
                data = self.file[each.values : each.values + 8 * each.count]
                values = struct.unpack(f"{order}{len(data) // 8}d", data[: len(data) // 8 * 8])
                return values if len(values) == each.count and all(map(math.isfinite, values)) else ()
        return ()

    def text(self, tag: int) -> bytes:
        """Its ASCII, with the zeros that end it; nothing if that is not all there."""
        for each in self.entries:
            if (each.tag, each.type) == (tag, ASCII):
                data = self.file[each.values : each.values + each.count]
                return data if len(data) == each.count else b""
        return b""

    @property
    def tiled(self) -> bool:
        return any(each.tag == TILE_LENGTH for each in self.entries)

    @property
    def has_wide_samples(self) -> bool:
        """Whether any number of a pixel has more than 32 bits."""
        return any(bits > 32 for bits in self.numbers.get(BITS_PER_SAMPLE, ()))

    @property
    def ends_in_alpha(self) -> bool:
        """Whether the last band, and no other, is transparency: libvips would call any second or fourth that.

        Files with several, as libvips writes for five bands, do not mean it.
        """
        extra = self.numbers.get(EXTRA_SAMPLES) or (UNSPECIFIED,)
        *others, last = (each in (ASSOCIATED, UNASSOCIATED) for each in extra)
        return last and not any(others)

    def sample_type_text(self) -> str | None:
        """What they are, in words."""
        bits, form = self.number(BITS_PER_SAMPLE), self.number(SAMPLE_FORMAT) or 1
        return FORMATS.get(form, "{}-bit complex numbers").format(bits) if bits is not None else None

    def with_numbers(self, numbers: Mapping[int, Sequence[int]]) -> bytes:
        """The file, but for these numbers of tags it has: one each, or as many of 16 bits as there were."""
        data, (order, word) = bytearray(self.file), _signs(self.file)
        for each in self.entries:
            if values := numbers.get(each.tag):
                kind = SHORT if max(values) < 2**16 else LONG
                inside = each.offset + struct.calcsize(f"{order}HH{word}")
                place = inside if len(values) == 1 else each.values
                struct.pack_into(f"{order}HH{word}", data, each.offset, each.tag, kind, len(values))
                struct.pack_into(f"{order}{len(values)}{SIGNS[kind]}", data, place, *values)
        return bytes(data)


def _signs(file: bytes) -> tuple[str, str]:
    """struct's for the byte order, and for counts and offsets."""
    return "<" if file.startswith(b"II") else ">", "Q" if 43 in file[2:4] else "I"


def _entries(file: bytes, page: int) -> Iterator[DirectoryEntry]:
    order, word = _signs(file)
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
    return (entry.type == SHORT and entry.count < MOST) or (entry.type == LONG and entry.count == 1)


def _numbers(file: bytes, entry: DirectoryEntry) -> tuple[int, ...]:
    order, _ = _signs(file)
    return struct.unpack_from(f"{order}{entry.count}{SIGNS[entry.type]}", file, entry.values)


def has_overviews(file: bytes, pages: int) -> bool:
    """Whether all its pages but the first are that made smaller, by two and more, as GDAL's COGs have."""
    smaller = (Directory.parse(file, page).number(SUBFILE) == REDUCED for page in range(1, pages))
    return pages <= 32 and all(smaller)


class StackedBands(NamedTuple):
    """Bands one below the other; below the rows of each are those that fill its last tiles."""

    bands: int
    height: int


def with_readable_planes(directory: Directory) -> tuple[bytes, StackedBands | None]:
    """The same file, of which libvips reads bands that lie one after the other.

    If they are called levels of grey (as GDAL's INTERLEAVE=BAND does), libvips 8.18 reads the first row of
    each strip and scrambles the others; called colours, they come out as they are.  In tiles it reads none;
    these are the tiles of a single band, too, that is as high as all of them together.
    """
    said, bands = directory.numbers, directory.number(SAMPLES_PER_PIXEL) or 1
    grey_or_rgb = said.get(PHOTOMETRIC_INTERPRETATION) in ((BLACK_IS_ZERO,), (RGB,))
    if said.get(PLANAR_CONFIGURATION) != (SEPARATE,) or not grey_or_rgb or bands == 1:
        return directory.file, None
    height, tile = directory.number(IMAGE_LENGTH), directory.number(TILE_LENGTH)
    if not height or not tile:
        return directory.with_numbers({PHOTOMETRIC_INTERPRETATION: [RGB]}), None
    one = {tag: values[:1] for tag, values in said.items() if tag in (BITS_PER_SAMPLE, SAMPLE_FORMAT)}
    one |= {PHOTOMETRIC_INTERPRETATION: (BLACK_IS_ZERO,), SAMPLES_PER_PIXEL: (1,)}
    one |= {PLANAR_CONFIGURATION: (CHUNKY,), EXTRA_SAMPLES: (UNSPECIFIED,)}
    one |= {IMAGE_LENGTH: (min(bands * -(-height // tile) * tile, 2**32 - 1),)}
    return directory.with_numbers(one), StackedBands(bands, height)


def with_extra_samples(tiff: bytes, clear: bool) -> bytes:
    """The same file, of whose further bands the last alone is transparency, if any: libvips calls all so."""
    directory = Directory.parse(tiff)
    others = [UNSPECIFIED] * (len(directory.numbers.get(EXTRA_SAMPLES, ())) - 1)
    return directory.with_numbers({EXTRA_SAMPLES: [*others, UNASSOCIATED if clear else UNSPECIFIED]})


class Tag(NamedTuple):
    """To be written: ASCII, which a zero ends, or numbers of a type."""

    number: int
    type: int
    values: bytes | tuple[float, ...]


def with_tags(tiff: bytes, tags: Iterable[Tag]) -> bytes:
    """The same file, whose first page says these things besides, in a new directory at its end."""
    order, word = _signs(tiff)
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
    return struct.pack(f"{order}{len(tag.values)}{SIGNS[tag.type]}", *tag.values)
