"""Reading and writing with libvips: TIFF, 16-bit PNG and images above Pillow's size limit.

Pillow silently reduces 16-bit colours to 8 bits, cannot read float TIFF, and its libtiff prints to stderr.
pyvips is imported only when needed.
"""

import struct
import threading
import zlib
from typing import Any

import numpy as np
from PIL import Image

from refinesr.errors import InputError, OutputError, RefineSRError
from refinesr.images.exif import EXIF_HEADER, add_exif, exif_from_tags
from refinesr.images.georeference import Georeference
from refinesr.images.missing import nodata_tag, read_nodata
from refinesr.images.picture import Picture, choose_frame, split_alpha
from refinesr.images.pillow import valid_dpi
from refinesr.images.tiff import (
    Directory,
    StackedBands,
    has_overviews,
    with_extra_samples,
    with_readable_planes,
    with_tags,
)

LARGEST = 2**29  # pixels of 3 bands, 6 GB as floats: a limit, as a small file can declare any size
CLASSIC = 2**32 - 2**24  # bytes of pixels; offsets of a classic TIFF have 32 bits
TILES = threading.Lock()  # held while reading an image whose errors libvips only logs
KINDS = {"uchar": np.uint8, "ushort": np.uint16, "float": np.float32}
OTHER_SPACES = ("cmyk", "lab", "labs", "labq", "xyz")
MILLIMETRES = 25.4  # per inch; libvips has pixels per millimetre, 1 if unknown
SUPPORTED_TYPES = "convert them to unsigned 8 or 16 bits, or to 32-bit floats from 0 to 1"


def decode(data: bytes, name: str, frame: int | None) -> tuple[Picture, int]:
    """The picture as it is stored, and its EXIF orientation.  Raises InputError with `name`."""
    pyvips, directory = _pyvips(name, InputError), Directory.parse(data, frame or 0)
    try:
        readable, stacked = with_readable_planes(directory)
        image = _opened(pyvips, readable, name, frame, stacked)
        icc = _blob(image, "icc-profile-data")
        if image.interpretation in OTHER_SPACES and image.format in ("uchar", "ushort"):
            image, icc = _as_rgb(image, icc), None
        if image.format not in KINDS:
            raise InputError(
                f"{name}: {directory.sample_type_text() or image.format} cannot be read; {SUPPORTED_TYPES}"
            )
        values = _whole_tiles(pyvips, image) if directory.tiled else image.numpy()
        bands = values.reshape(image.height, image.width, image.bands)
        if stacked is not None:
            bands = np.concatenate(np.split(bands, stacked.bands), axis=2)[: stacked.height]
    except pyvips.Error as error:
        if directory.has_wide_samples:  # libvips' own message would be "samples out of range"
            raise InputError(
                f"{name}: {directory.sample_type_text()} cannot be read; {SUPPORTED_TYPES}"
            ) from error
        remedy = "; lay them pixel by pixel" if "separate planes" in _reason(error) else ""
        raise InputError(f"{name}: cannot be read whole: {_reason(error)}{remedy}") from error
    form = str(image.get("vips-loader")).partition("load")[0].upper()
    has_alpha = bool(image.hasalpha()) if stacked is None else stacked.bands != 3
    pixels, alpha = split_alpha(bands, has_alpha and (form != "TIFF" or directory.ends_in_alpha))
    exif = _tiff_exif(data) if form == "TIFF" else _blob(image, "exif-data")
    turn = image.get("orientation") if "orientation" in image.get_fields() else 1
    georeference = Georeference.from_directory(directory, pixels.shape[:2])
    nodata = read_nodata(directory)
    return Picture(pixels, alpha, icc, exif, _dpi(image), form, name, georeference, nodata), int(turn)


def _opened(pyvips: Any, data: bytes, name: str, frame: int | None, stacked: StackedBands | None) -> Any:
    """libvips' image, not decoded yet.  fail_on="truncated" would accept half a TIFF; "error" does not."""
    image = pyvips.Image.new_from_buffer(data, "", access="sequential", fail_on="error")
    pages = image.get_n_pages()
    page = choose_frame(frame, 1 if frame is None and has_overviews(data, pages) else pages, name)
    if page > 0:
        image = pyvips.Image.new_from_buffer(data, "", access="sequential", fail_on="error", page=page)
    bands, height = stacked or (image.bands, image.height)
    limit = 3 * LARGEST // max(3, bands)
    if image.width * height > limit:
        kind = f"pixels of {bands} bands" if bands > 3 else "pixels"
        size = f"{image.width} x {height} {kind} are too many"
        raise InputError(f"{name}: {size}; at most {limit // 10**6} million can be read")
    return image


def _whole_tiles(pyvips: Any, image: Any) -> Any:
    """The values of all tiles.  Raises libvips' error if a tile cannot be read.

    libvips itself would fill such tiles with black and only log the error, in a log shared by all threads.
    The last tile is read first: it is absent in a small file that declares a great height.
    """
    with TILES:
        pyvips.Error("")  # empties the log, of errors in other files
        for part in (image.crop(image.width - 1, image.height - 1, 1, 1), image):
            values = part.numpy()
            logged = pyvips.Error("a tile")
            if logged.detail:
                raise logged
    return values


def _as_rgb(image: Any, icc: bytes | None) -> Any:
    """The image as RGB; CMYK without profile is converted as Pillow does it: (1 - ink) (1 - black)."""
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
        return EXIF_HEADER + data.removeprefix(EXIF_HEADER)
    return data or None


def _dpi(image: Any) -> tuple[float, float] | None:
    if image.xres == image.yres == 1:
        return None
    return valid_dpi((image.xres * MILLIMETRES, image.yres * MILLIMETRES))


def _tiff_exif(tiff: bytes) -> bytes | None:
    tags = Image.Exif()
    try:
        tags.load(tiff)
        return exif_from_tags(tags)
    except Exception:  # Pillow raises many types of errors for damaged tags; the pixels are still valid
        return None


def encode_png(picture: Picture) -> bytes:
    """A 16-bit PNG; profile, EXIF and resolution are added here, as libvips would write its own EXIF data."""
    image = _image(picture, "grey16" if picture.channels == 1 else "rgb16")
    png: bytes = image.pngsave_buffer(bitdepth=16, compression=6, filter="paeth", keep="none")
    header, _, body = png.partition(b"IDAT")  # header and libvips' resolution precede the pixels
    chunks = [header[:33]]  # signature and IHDR
    if picture.matching_icc:
        chunks.append(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.matching_icc)))
    if picture.dpi:
        per_metre = (round(value / MILLIMETRES * 1000) for value in picture.dpi)
        chunks.append(_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if picture.exif:
        chunks.append(_chunk(b"eXIf", picture.exif.removeprefix(EXIF_HEADER)))
    return b"".join([*chunks, header[-4:], b"IDAT", body])


def encode_tiff(picture: Picture) -> bytes:
    """A deflated TIFF of any depth and bands; floats without predictor, which few readers support."""
    pyvips = _pyvips(picture.name, OutputError)
    colours = {"uint8": "srgb", "uint16": "rgb16", "float32": "scrgb"}[picture.pixels.dtype.name]
    image = _image(picture, {1: "b-w", 2: "b-w", 3: colours}.get(picture.channels, "multiband"))
    if picture.matching_icc:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", picture.matching_icc)
    across, down = picture.dpi or (MILLIMETRES, MILLIMETRES)
    tiff: bytes = image.tiffsave_buffer(
        compression="deflate",
        predictor="none" if picture.pixels.dtype == np.float32 else "horizontal",
        bigtiff=picture.pixels_with_alpha().nbytes > CLASSIC,
        xres=across / MILLIMETRES,
        yres=down / MILLIMETRES,
        resunit="inch",
    )
    tiff = with_extra_samples(tiff, picture.alpha is not None)
    georeference = picture.georeference and picture.georeference.resized(picture.size)
    tags = list(georeference.tags()) if georeference else []
    tags += [] if picture.nodata is None else [nodata_tag(picture.nodata)]
    tiff = with_tags(tiff, tags) if tags else tiff
    if not picture.exif:
        return tiff
    try:
        return add_exif(tiff, picture.exif)
    except Exception:  # as in reading, damaged EXIF data is no reason to refuse the picture
        return tiff


def _image(picture: Picture, space: str) -> Any:
    pyvips, bands = _pyvips(picture.name, OutputError), np.ascontiguousarray(picture.pixels_with_alpha())
    height, width, count = bands.shape
    kind = {np.dtype(dtype): name for name, dtype in KINDS.items()}[bands.dtype]
    image = pyvips.Image.new_from_memory(bands.data, width, height, count, kind)
    return image.copy(interpretation=space)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _pyvips(name: str, error: type[RefineSRError]) -> Any:
    try:
        import pyvips
    except (ImportError, OSError) as missing:  # OSError: libvips cannot be loaded
        why = "TIFF, 16 bits and this size need pyvips: pip install pyvips[binary]"
        raise error(f"{name}: {why}") from missing
    return pyvips


def _reason(error: Any) -> str:
    """The first line of libvips' message, which has one for every row that could not be read."""
    lines = str(error.detail or error.message).strip().splitlines()
    return lines[0].strip() if lines else str(error.message)
