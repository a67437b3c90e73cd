"""TIFF, 16-bit PNG and what is above Pillow's size limit, through libvips.

Pillow silently turns 16-bit colours into 8 bits, cannot read float TIFF, and its libtiff prints on stderr.
pyvips is imported where it is needed.
"""

import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from refinesr.errors import InputError, OutputError, RefineSRError
from refinesr.images.exif import MARK, from_tiff, into_tiff
from refinesr.images.picture import Picture, parted, picked
from refinesr.images.pillow import resolution

LARGEST = 2**29  # pixels of 3 bands; a small file can claim any size, and this takes 6 GB as floats
CLASSIC = 2**32 - 2**24  # bytes of pixels; offsets of a TIFF that is no BigTIFF have 32 bits
TILES = threading.Lock()  # one image at a time is read whose errors libvips only notes
KINDS = {"uchar": np.uint8, "ushort": np.uint16, "float": np.float32}
OTHER_SPACES = ("cmyk", "lab", "labs", "labq", "xyz")
MILLIMETRES = 25.4  # in an inch; libvips counts pixels per millimetre, 1 where it knows nothing

BITS, EXTRA, FORMAT = 258, 338, 339  # TIFF 6.0: BitsPerSample, ExtraSamples, SampleFormat
LOOK, COUNT, PLANES = 262, 277, 284  # PhotometricInterpretation, SamplesPerPixel, PlanarConfiguration
HEIGHT, TILE = 257, 323  # ImageLength, TileLength: rows
BLACK_IS_ZERO, RGB, CHUNKY, SEPARATE = 1, 2, 1, 2
ALPHA = ASSOCIATED, UNASSOCIATED = 1, 2  # in ExtraSamples: multiplied into the colours, or not; 0: no alpha
SHORT, LONG = 3, 4  # types: of the former, but for rows, which may be of both
NUMBERS = {1: "unsigned {}-bit integers", 2: "signed {}-bit integers", 3: "{}-bit floats"}  # by SampleFormat
RIGHT = "convert them to unsigned 8 or 16 bits, or to 32-bit floats from 0 to 1"


def decode(data: bytes, name: str, frame: int | None) -> tuple[Picture, int]:
    """The picture as it is stored, and its EXIF orientation.  Raises InputError naming `name`."""
    pyvips, tags = _pyvips(name, InputError), _tags(data, frame or 0)
    try:
        readable, column = _by_bands(data, tags, frame or 0)
        image = _opened(pyvips, readable, name, frame, column)
        icc = _blob(image, "icc-profile-data")
        if image.interpretation in OTHER_SPACES and image.format in ("uchar", "ushort"):
            image, icc = _as_rgb(image, icc), None
        if image.format not in KINDS:
            raise InputError(f"{name}: {_numbers(tags) or image.format} cannot be read; {RIGHT}")
        tiled = bool(tags) and any(tag == TILE for tag, *_ in _entries(data, frame or 0))
        values = _whole_tiles(pyvips, image) if tiled else image.numpy()
        bands = values.reshape(image.height, image.width, image.bands)
        if column is not None:
            bands = np.concatenate(np.split(bands, column.bands), axis=2)[: column.height]
    except pyvips.Error as error:
        if _too_wide(tags):  # of which libvips says "samples out of range"
            raise InputError(f"{name}: {_numbers(tags)} cannot be read; {RIGHT}") from error
        remedy = "; lay them pixel by pixel" if "separate planes" in _reason(error) else ""
        raise InputError(f"{name}: cannot be read whole: {_reason(error)}{remedy}") from error
    form = str(image.get("vips-loader")).partition("load")[0].upper()
    clear = bool(image.hasalpha()) if column is None else column.bands != 3
    pixels, alpha = parted(bands, clear and (form != "TIFF" or _ends_in_alpha(tags)))
    exif = _tiff_exif(data) if form == "TIFF" else _blob(image, "exif-data")
    turn = image.get("orientation") if "orientation" in image.get_fields() else 1
    return Picture(pixels, alpha, icc, exif, _dpi(image), form, name), int(turn)


def _opened(pyvips: Any, data: bytes, name: str, frame: int | None, column: "Column | None") -> Any:
    """libvips' image, nothing decoded yet.  Its "truncated" lets half a TIFF pass; "error" does not."""
    image = pyvips.Image.new_from_buffer(data, "", access="sequential", fail_on="error")
    page = picked(frame, image.get_n_pages(), name)
    if page > 0:
        image = pyvips.Image.new_from_buffer(data, "", access="sequential", fail_on="error", page=page)
    bands, height = column or (image.bands, image.height)
    most = 3 * LARGEST // max(3, bands)
    if image.width * height > most:
        kind = f"pixels of {bands} bands" if bands > 3 else "pixels"
        size = f"{image.width} x {height} {kind} are too many"
        raise InputError(f"{name}: {size}; at most {most // 10**6} million can be read")
    return image


def _whole_tiles(pyvips: Any, image: Any) -> Any:
    """Its values.  Raises libvips' error for tiles that it cannot read.

    It would paint them black and go on, and only note why, where the notes of all threads are.
    """
    with TILES:
        pyvips.Error("")  # which takes what has been noted, of other files
        values = image.numpy()
        noted = pyvips.Error("a tile")
    if noted.detail:
        raise noted
    return values


def _tags(data: bytes, page: int) -> Mapping[int, tuple[int, ...]]:
    """The whole numbers of 16 bits in the directory of that page of a TIFF, by tag.

    Nothing where it is damaged or is no TIFF.  Pillow knows no BigTIFF of big-endian numbers.
    """
    try:
        shorts = [entry for entry in _entries(data, page) if entry[1] == SHORT and entry[2] < 2**16]
        return {tag: struct.unpack_from(f"{_order(data)}{n}H", data, at) for tag, _, n, at, _ in shorts}
    except (struct.error, OverflowError):  # an offset beyond the end, or beyond all memory
        return {}


class Column(NamedTuple):
    """Bands one below the other; below the rows of each are those that fill its last tiles."""

    bands: int
    height: int


def _by_bands(data: bytes, tags: Mapping[int, tuple[int, ...]], page: int) -> tuple[bytes, Column | None]:
    """The same TIFF, of which libvips reads bands that lie one after the other.

    If they are called levels of grey (as GDAL's INTERLEAVE=BAND does), libvips 8.18 reads the first row of
    each strip and scrambles the others; called colours, they come out as they are.  In tiles it reads none;
    these are the tiles of a single band, too, that is as high as all of them together.
    """
    look, (bands, *_) = tags.get(LOOK), tags.get(COUNT) or (1,)
    if tags.get(PLANES) != (SEPARATE,) or look not in ((BLACK_IS_ZERO,), (RGB,)) or bands == 1:
        return data, None
    entries = list(_entries(data, page))
    order, forms = _order(data), {SHORT: "H", LONG: "I"}
    rows = [each for each in entries if each[0] in (HEIGHT, TILE) and each[1] in forms and each[2] == 1]
    sizes = {tag: struct.unpack_from(order + forms[kind], data, at)[0] for tag, kind, _, at, _ in rows}
    column = Column(bands, sizes[HEIGHT]) if sizes.get(HEIGHT) and sizes.get(TILE) else None
    changes = {LOOK: (SHORT, RGB)}
    if column is not None:
        whole = bands * -(-column.height // sizes[TILE]) * sizes[TILE]
        one = {LOOK: BLACK_IS_ZERO, COUNT: 1, PLANES: CHUNKY, EXTRA: 0}
        one |= {tag: tags[tag][0] for tag in (BITS, FORMAT) if tags.get(tag)}
        changes = {HEIGHT: (LONG, min(whole, 2**32 - 1))} | {
            tag: (SHORT, value) for tag, value in one.items()
        }
    changed, count = bytearray(data), "Q" if _big(data) else "I"
    for tag, *_, entry in entries:
        if tag in changes:  # a single number lies in its entry
            kind, value = changes[tag]
            struct.pack_into(f"{order}HH{count}{forms[kind]}", changed, entry, tag, kind, 1, value)
    return bytes(changed), column


def _big(tiff: bytes) -> bool:
    return 43 in tiff[2:4]  # the mark of BigTIFF


def _order(tiff: bytes) -> str:
    return "<" if tiff[:2] == b"II" else ">"


def _entries(tiff: bytes, page: int = 0) -> Iterator[tuple[int, int, int, int, int]]:
    """(tag, type, number of values, place of the first if they are of 16 bits, own place) of a directory.

    TIFF 6.0, section 2; BigTIFF has offsets and numbers of 64 bits.
    """
    order, big = _order(tiff), _big(tiff)
    offset, count = (order + "Q", order + "Q") if big else (order + "I", order + "H")
    size, header, place = struct.calcsize(offset), struct.calcsize(count), 8 if big else 4
    for number in range(page + 1):
        (start,) = struct.unpack_from(offset, tiff, place)
        (entries,) = struct.unpack_from(count, tiff, start)
        place = start + header + entries * (4 + 2 * size)
        for entry in range(start + header, place, 4 + 2 * size) if number == page else ():
            tag, kind = struct.unpack_from(order + "HH", tiff, entry)
            values, elsewhere = struct.unpack_from(order + 2 * offset[-1], tiff, entry + 4)
            yield tag, kind, values, entry + 4 + size if 2 * values <= size else elsewhere, entry


def _ends_in_alpha(tags: Mapping[int, tuple[int, ...]]) -> bool:
    """Whether the last band, and no other, is transparency: libvips would call any second or fourth that.

    Files with several, as libvips writes for five bands, do not mean it.
    """
    *others, last = tags.get(EXTRA) or (0,)
    return last in ALPHA and not any(value in ALPHA for value in others)


def _numbers(tags: Mapping[int, tuple[int, ...]]) -> str | None:
    """What its pixels are, in words."""
    bits, kind = tags.get(BITS), tags.get(FORMAT) or (1,)
    return NUMBERS.get(kind[0], "{}-bit complex numbers").format(bits[0]) if bits else None


def _too_wide(tags: Mapping[int, tuple[int, ...]]) -> bool:
    return any(bits > 32 for bits in tags.get(BITS, ()))


def _as_rgb(image: Any, icc: bytes | None) -> Any:
    """Inks without a profile are converted as Pillow does it for JPEG: (1 - ink) (1 - black)."""
    depth, peak, space = (16, 65535, "rgb16") if image.format == "ushort" else (8, 255, "srgb")
    if image.interpretation != "cmyk":
        return image.colourspace(space)
    if icc and icc[16:20] == b"CMYK":
        return image.icc_transform("srgb", embedded=True, depth=depth, black_point_compensation=True)
    paper = image.linear(-1, peak)
    colours = paper.extract_band(0, n=3) * paper.extract_band(3) / peak
    return colours.rint().cast(image.format).copy(interpretation=space)


def _blob(image: Any, field: str) -> bytes | None:
    data = bytes(image.get(field)) if field in image.get_fields() else b""
    if field == "exif-data" and data:
        return MARK + data.removeprefix(MARK)
    return data or None


def _dpi(image: Any) -> tuple[float, float] | None:
    if image.xres == image.yres == 1:
        return None
    return resolution((image.xres * MILLIMETRES, image.yres * MILLIMETRES))


def _tiff_exif(tiff: bytes) -> bytes | None:
    tags = Image.Exif()
    try:
        tags.load(tiff)
        return from_tiff(tags)
    except Exception:  # Pillow raises many kinds for damaged tags; without them the picture is still whole
        return None


def encode_png(picture: Picture) -> bytes:
    """A 16-bit PNG, given profile, EXIF and resolution here: libvips would write EXIF data of its own."""
    image = _image(picture, "grey16" if picture.channels == 1 else "rgb16")
    png: bytes = image.pngsave_buffer(bitdepth=16, compression=6, filter="paeth", keep="none")
    header, _, body = png.partition(b"IDAT")  # a header and libvips' resolution come before the pixels
    chunks = [header[:33]]  # signature and IHDR
    if picture.profile:
        chunks.append(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.profile)))
    if picture.dpi:
        per_metre = (round(value / MILLIMETRES * 1000) for value in picture.dpi)
        chunks.append(_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if picture.exif:
        chunks.append(_chunk(b"eXIf", picture.exif.removeprefix(MARK)))
    return b"".join([*chunks, header[-4:], b"IDAT", body])


def encode_tiff(picture: Picture) -> bytes:
    """TIFF of any depth and number of bands, deflated; floats without a predictor, which few readers know."""
    pyvips = _pyvips(picture.name, OutputError)
    colours = {"uint8": "srgb", "uint16": "rgb16", "float32": "scrgb"}[picture.pixels.dtype.name]
    image = _image(picture, {1: "b-w", 2: "b-w", 3: colours}.get(picture.channels, "multiband"))
    if picture.profile:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", picture.profile)
    across, down = picture.dpi or (MILLIMETRES, MILLIMETRES)
    tiff: bytes = image.tiffsave_buffer(
        compression="deflate",
        predictor="none" if picture.pixels.dtype == np.float32 else "horizontal",
        bigtiff=picture.bands().nbytes > CLASSIC,
        xres=across / MILLIMETRES,
        yres=down / MILLIMETRES,
        resunit="inch",
    )
    tiff = _with_extra_samples(tiff, picture.alpha is not None)
    if not picture.exif:
        return tiff
    try:
        return into_tiff(tiff, picture.exif)
    except Exception:  # damaged EXIF data is no reason to refuse the picture, here as in reading
        return tiff


def _with_extra_samples(tiff: bytes, clear: bool) -> bytes:
    """The same file, of whose further bands the last alone is transparency, if any: libvips calls all so."""
    data = bytearray(tiff)
    for tag, _, bands, place, _ in _entries(tiff):
        if tag == EXTRA:
            last = UNASSOCIATED if clear else 0
            struct.pack_into(f"{_order(tiff)}{bands}H", data, place, *[0] * (bands - 1), last)
    return bytes(data)


def _image(picture: Picture, space: str) -> Any:
    pyvips, bands = _pyvips(picture.name, OutputError), np.ascontiguousarray(picture.bands())
    height, width, count = bands.shape
    kind = {np.dtype(dtype): name for name, dtype in KINDS.items()}[bands.dtype]
    image = pyvips.Image.new_from_memory(bands.data, width, height, count, kind)
    return image.copy(interpretation=space)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _pyvips(name: str, error: type[RefineSRError]) -> Any:
    try:
        import pyvips
    except (ImportError, OSError) as missing:  # OSError: no libvips for it to load
        why = "TIFF, 16 bits and this size need pyvips: pip install pyvips[binary]"
        raise error(f"{name}: {why}") from missing
    return pyvips


def _reason(error: Any) -> str:
    """The first line libvips gives: it piles up one for every row it could not read."""
    lines = str(error.detail or error.message).strip().splitlines()
    return lines[0].strip() if lines else str(error.message)
