"""The directory of one page of a TIFF file: what its pixels are, and how they lie (TIFF 6.0, section 2).

BigTIFF is the same with counts and offsets of 64 bits; Pillow knows none of big-endian numbers.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # in the byte orders of Intel and Motorola; +: BigTIFF

IMAGE_LENGTH, TILE_LENGTH = 257, 323  # rows
PHOTOMETRIC_INTERPRETATION, BLACK_IS_ZERO, RGB = 262, 1, 2
PLANAR_CONFIGURATION, CHUNKY, SEPARATE = 284, 1, 2
EXTRA_SAMPLES, UNSPECIFIED, ASSOCIATED, UNASSOCIATED = 338, 0, 1, 2  # alpha: multiplied into colours, or not
SAMPLES_PER_PIXEL, BITS_PER_SAMPLE, SAMPLE_FORMAT = 277, 258, 339
FORMATS = {1: "unsigned {}-bit integers", 2: "signed {}-bit integers", 3: "{}-bit floats"}

SHORT, LONG = 3, 4  # types
SIGNS = {SHORT: "H", LONG: "I"}  # struct's


@dataclass(frozen=True)
class Entry:
    """Of one tag, at `place`; its numbers lie at `values` if they are of 16 bits, or if there is but one."""

    tag: int
    type: int
    count: int
    values: int
    place: int


@dataclass(frozen=True, eq=False)
class Directory:
    """Nothing is in that of a page that is damaged, or of a file that is no TIFF."""

    file: bytes
    entries: tuple[Entry, ...] = ()
    numbers: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """By tag, where they are of 16 bits, or it is one of 32."""

    @classmethod
    def of(cls, file: bytes, page: int = 0) -> "Directory":
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

    @property
    def tiled(self) -> bool:
        return any(each.tag == TILE_LENGTH for each in self.entries)

    @property
    def wide(self) -> bool:
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

    def pixels(self) -> str | None:
        """What they are, in words."""
        bits, form = self.number(BITS_PER_SAMPLE), self.number(SAMPLE_FORMAT) or 1
        return FORMATS.get(form, "{}-bit complex numbers").format(bits) if bits is not None else None

    def changed(self, numbers: Mapping[int, Sequence[int]]) -> bytes:
        """The file, but for these numbers of tags it has: one each, or as many of 16 bits as there were."""
        data, (order, word) = bytearray(self.file), _signs(self.file)
        for each in self.entries:
            if values := numbers.get(each.tag):
                kind = SHORT if max(values) < 2**16 else LONG
                inside = each.place + struct.calcsize(f"{order}HH{word}")
                place = inside if len(values) == 1 else each.values
                struct.pack_into(f"{order}HH{word}", data, each.place, each.tag, kind, len(values))
                struct.pack_into(f"{order}{len(values)}{SIGNS[kind]}", data, place, *values)
        return bytes(data)


def _signs(file: bytes) -> tuple[str, str]:
    """struct's for the byte order, and for counts and offsets."""
    return "<" if file.startswith(b"II") else ">", "Q" if 43 in file[2:4] else "I"


def _entries(file: bytes, page: int) -> Iterator[Entry]:
    order, word = _signs(file)
    many, place = (order + "Q", 8) if word == "Q" else (order + "H", 4)
    size, header = struct.calcsize(word), struct.calcsize(many)
    for number in range(page + 1):
        (start,) = struct.unpack_from(order + word, file, place)
        (entries,) = struct.unpack_from(many, file, start)
        place = start + header + entries * (4 + 2 * size)
        for entry in range(start + header, place, 4 + 2 * size) if number == page else ():
            tag, kind, count, offset = struct.unpack_from(f"{order}HH{2 * word}", file, entry)
            yield Entry(tag, kind, count, entry + 4 + size if 2 * count <= size else offset, entry)


def _is_read(entry: Entry) -> bool:
    return (entry.type == SHORT and entry.count < 2**16) or (entry.type == LONG and entry.count == 1)


def _numbers(file: bytes, entry: Entry) -> tuple[int, ...]:
    order, _ = _signs(file)
    return struct.unpack_from(f"{order}{entry.count}{SIGNS[entry.type]}", file, entry.values)


class Column(NamedTuple):
    """Bands one below the other; below the rows of each are those that fill its last tiles."""

    bands: int
    height: int


def by_bands(directory: Directory) -> tuple[bytes, Column | None]:
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
        return directory.changed({PHOTOMETRIC_INTERPRETATION: [RGB]}), None
    one = {tag: values[:1] for tag, values in said.items() if tag in (BITS_PER_SAMPLE, SAMPLE_FORMAT)}
    one |= {PHOTOMETRIC_INTERPRETATION: (BLACK_IS_ZERO,), SAMPLES_PER_PIXEL: (1,)}
    one |= {PLANAR_CONFIGURATION: (CHUNKY,), EXTRA_SAMPLES: (UNSPECIFIED,)}
    one |= {IMAGE_LENGTH: (min(bands * -(-height // tile) * tile, 2**32 - 1),)}
    return directory.changed(one), Column(bands, height)


def with_extra_samples(tiff: bytes, clear: bool) -> bytes:
    """The same file, of whose further bands the last alone is transparency, if any: libvips calls all so."""
    directory = Directory.of(tiff)
    others = [UNSPECIFIED] * (len(directory.numbers.get(EXTRA_SAMPLES, ())) - 1)
    return directory.changed({EXTRA_SAMPLES: [*others, UNASSOCIATED if clear else UNSPECIFIED]})
