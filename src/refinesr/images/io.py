"""Reading image files (PNG, JPEG, WebP, TIFF, BMP, GIF) and writing them (PNG, JPEG, WebP, TIFF)."""

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.Image import DecompressionBombError

from refinesr.errors import InputError, OutputError
from refinesr.files import check_name, replacing
from refinesr.images import pillow, vips
from refinesr.images.exif import ORIENTATION, apply_orientation
from refinesr.images.picture import Picture, check_range, choose_frame
from refinesr.images.pillow import from_pil, one_line
from refinesr.images.span import Span
from refinesr.images.tiff import TIFF_MARKS

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
WRITABLE = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}

NAMES = {"PNG": "PNG", "JPEG": "JPEG", "WEBP": "WebP", "TIFF": "TIFF"}
LONGEST = {"PNG": 2**31 - 1, "JPEG": 65500, "WEBP": 16383, "TIFF": 2**31 - 1}  # pixels a side

DIGITS = re.compile(r"\d+")

MARKS = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"BM", b"GIF8")


def read(path: str | os.PathLike[str], frame: int | None = None, *, span: Span | None = None) -> Picture:
    """The picture in a file, turned upright by its EXIF orientation; `frame` (from 0) selects one of several.

    Raises InputError naming the file if it cannot be read completely, and for floats outside `span`, or [0,
    1] without one.  Values outside by no more than resampling overshoots (`span.SLACK`) are accepted
    unchanged.
    """
    return read_bytes(_read_file(Path(path)), os.fspath(path), frame, span=span)


def read_bytes(
    data: bytes, name: str = "picture", frame: int | None = None, *, span: Span | None = None
) -> Picture:
    """`read` for the bytes of a file, such as a member of a tar file; `name` is used in messages."""
    return check_range(replace(_decoded(data, name, frame), span=span))


def _decoded(data: bytes, name: str, frame: int | None) -> Picture:
    if not data:
        raise InputError(f"{name}: the file is empty")
    with pillow.suppress_warnings():
        image = _opened(data, name)
        if image is None or (image.format == "PNG" and data[24] > 8):  # bit depth, which Pillow would reduce
            return apply_orientation(*vips.decode(data, name, frame))
        try:
            picture = from_pil(_seek_frame(image, frame, name), name)
        except InputError:
            raise
        except Exception as error:  # for damaged data Pillow's decoders raise exceptions of almost any type
            raise InputError(f"{name}: cannot be read whole: {one_line(error)}") from error
        return apply_orientation(picture, _orientation(image))


def write(picture: Picture, path: str | os.PathLike[str], *, quality: int = 95) -> None:
    """Write PNG, JPEG, WebP or TIFF according to the suffix, atomically.

    Grey stays grey (except in WebP, which has only colours); profile, EXIF and resolution are kept.
    `quality`, 1 to 100, is for JPEG and WebP; WebP at 100 is lossless.  Raises OutputError naming the file.
    """
    path = Path(path)
    check_output(picture, path)
    if not 1 <= quality <= 100:
        raise OutputError(f"{path}: quality {quality} is not from 1 to 100")
    try:
        data = encode(replace(picture, name=str(path)), WRITABLE[path.suffix.lower()], quality)
    except OutputError:
        raise
    except Exception as error:  # encoders, too, raise exceptions of almost any type
        raise OutputError(f"{path}: cannot be encoded: {one_line(error)}") from error
    with replacing(path, overwrite=True) as part:
        part.write_bytes(data)


def encode(picture: Picture, form: str, quality: int = 95) -> bytes:
    """The bytes of a file in a format ("PNG", "JPEG", "WEBP", "TIFF") that can hold the picture."""
    if form == "TIFF":
        return vips.encode_tiff(picture)
    if form == "PNG" and picture.pixels.dtype == np.uint16:
        return vips.encode_png(picture)
    return pillow.encode(picture, form, quality)


def lost_metadata(picture: Picture, path: str | os.PathLike[str]) -> str | None:
    """A message if a file at `path` cannot hold the picture's georeference or `nodata`, else None."""
    has_metadata = picture.georeference is not None or picture.nodata is not None
    if not has_metadata or WRITABLE.get(Path(path).suffix.lower()) == "TIFF":
        return None
    return "only results in TIFF say where they lie and what is missing"


def check_output(picture: Picture, path: str | os.PathLike[str], scale: int = 1) -> None:
    """Raises OutputError if a picture like this, enlarged by `scale`, cannot be written to `path`.

    Fast: meant to be called before hours of work.
    """
    path = Path(path)
    form = WRITABLE.get(path.suffix.lower())
    if form is None:
        raise OutputError(f"{path}: suffix {path.suffix!r} is not one of {', '.join(WRITABLE)}")
    if fault := _unsupported(picture, form, scale * max(picture.size)):
        raise OutputError(f"{path}: {NAMES[form]} cannot hold {fault}")
    if os.path.isdir(path):
        raise OutputError(f"{path}: is a folder")
    if not os.path.isdir(path.parent):
        raise OutputError(f"{path}: there is no folder {path.parent}")
    check_name(path)  # otherwise the error would be raised when the work is done


def list_pictures(
    folder: str | os.PathLike[str],
    *,
    recursive: bool = False,
    on_unreadable: Callable[[InputError], None] | None = None,
) -> list[Path]:
    """The image files by suffix (`SUFFIXES`), without hidden ones, in natural order (2.png before 10.png).

    Raises InputError if `folder` is not a folder or cannot be listed.  For a subfolder that cannot be listed
    `on_unreadable` is called with the error, and the search continues; without it the error is raised.
    """
    folder = Path(folder)
    if not folder.exists():
        raise InputError(f"{folder}: no such folder")
    if not folder.is_dir():
        raise InputError(f"{folder}: not a folder")
    try:
        found = sorted(_walk(folder, (), recursive, on_unreadable))
    except OSError as error:
        raise _listing_error(error) from error
    return [folder.joinpath(*key[1::2]) for key in found]


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder, not a picture") from None
    except PermissionError:
        raise InputError(f"{path}: no permission to read it") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _opened(data: bytes, name: str) -> Image.Image | None:
    """Pillow's image, not decoded yet, or None if libvips is needed: TIFF, and sizes above Pillow's limit."""
    if data.startswith(TIFF_MARKS):
        return None
    try:
        return Image.open(io.BytesIO(data), formats=pillow.FORMATS)
    except DecompressionBombError as error:
        if data.startswith(b"BM"):  # libvips reads no BMP
            raise InputError(f"{name}: too many pixels for a BMP; convert it to PNG or TIFF") from error
        return None
    except UnidentifiedImageError as error:
        if data.startswith(MARKS):
            raise InputError(f"{name}: cannot be read whole: it begins damaged or cut short") from error
        raise InputError(f"{name}: not a picture; PNG, JPEG, WebP, BMP, GIF and TIFF can be read") from error
    except Exception as error:
        raise InputError(f"{name}: cannot be read whole: {one_line(error)}") from error


def _seek_frame(image: Image.Image, frame: int | None, name: str) -> Image.Image:
    """The image at the selected frame; by default the first of a JPEG (MPO), where others are previews."""
    count = getattr(image, "n_frames", 1)
    if count > 1 and not (image.format == "MPO" and frame is None):
        image.seek(choose_frame(frame, count, name))
    elif frame is not None:
        choose_frame(frame, count, name)
    return image


def _orientation(image: Image.Image) -> int:
    """The orientation from EXIF or XMP, 1 to 8; 1 if there is none."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged EXIF data is no reason to refuse the picture
        return 1


def _unsupported(picture: Picture, form: str, longest: int) -> str | None:
    """What of the picture the format cannot hold, and what to use instead; None if it can hold all."""
    kind: Any = picture.pixels.dtype
    if form == "JPEG" and picture.alpha is not None:
        return "transparency; use PNG or WebP"
    if kind == np.float32 and form != "TIFF":
        return "float pixels; use .tiff"
    if kind == np.uint16 and form in ("JPEG", "WEBP"):
        return "16 bits; use .png or .tiff"
    if picture.channels not in (1, 3) and form != "TIFF":
        return f"{picture.channels} bands; use .tiff"
    if longest > LONGEST[form]:
        return f"a side of {longest} pixels, only {LONGEST[form]}; use .png or .tiff"
    return None


def _listing_error(error: OSError) -> InputError:
    return InputError(f"{error.filename}: cannot be listed: {error.strerror}")


def _walk(
    folder: Path, above: tuple[str, ...], recursive: bool, on_unreadable: Callable[[InputError], None] | None
) -> Iterator[tuple[str, ...]]:
    """The names on the path of each picture, each after its sort key; `above` are those of the folder."""
    for entry in _entries(folder):
        name = entry.name
        if os.path.splitext(name)[1].lower() in SUFFIXES and _is_file(entry):
            yield *above, _natural(name), name  # the name itself decides between equal keys
        elif recursive and entry.is_dir(follow_symlinks=False):  # links could form a cycle
            try:
                yield from _walk(folder / name, (*above, _natural(name), name), recursive, on_unreadable)
            except OSError as error:
                if on_unreadable is None:
                    raise
                on_unreadable(_listing_error(error))


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    """The entries that are not hidden, with the types that the folder stores: no file is accessed."""
    with os.scandir(folder) as inside:
        shown = [entry for entry in inside if not entry.name.startswith(".")]
    for entry in shown[:1]:  # raises if the folder may be listed but not entered (mode r--); one is enough
        with suppress(FileNotFoundError):
            os.lstat(entry)
    return shown


def _is_file(entry: "os.DirEntry[str]") -> bool:
    return entry.is_file(follow_symlinks=False) or (entry.is_symlink() and Path(entry).is_file())


def _natural(name: str) -> str:
    """Sort key by the value of numbers, ignoring case: each number is preceded by its count of digits.

    A single string, as many lists of strings and numbers would slow down Python's garbage collection.
    """
    return DIGITS.sub(_counted, name.casefold())


def _counted(digits: re.Match[str]) -> str:
    number = str(int(digits[0]))
    return f"\0{chr(len(number))}{number}"
