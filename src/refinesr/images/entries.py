"""Sources of training images: folders, files, and tar files of images (the WebDataset layout)."""

import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

import numpy as np

from refinesr.errors import ConfigError, InputError
from refinesr.images.constants import BT601
from refinesr.images.image_store import Raster
from refinesr.images.io import SUFFIXES, read, read_bytes
from refinesr.images.picture import Picture, check_finite, with_span
from refinesr.images.span import Span


@dataclass(frozen=True)
class Entry:
    """One image: a file, or a member of a tar file."""

    name: str
    """Used in messages."""
    path: Path
    relative_path: PurePath
    """Path inside the source that was given; the same in a folder and in a tar file of it."""
    start: int = 0
    """Offset of the first byte in a tar file."""
    length: int | None = None
    """Number of bytes in a tar file; None for a whole file."""

    @property
    def group(self) -> str:
        """The outermost folder inside the source; empty if there is none."""
        return self.relative_path.parts[0] if len(self.relative_path.parts) > 1 else ""

    def read_pixels(self, channels: int, span: Span | None = None) -> Raster:
        """The decoded pixels (H, W, channels) in the file's data type.  May be called from several threads.

        Alpha is dropped.  Grey is repeated for three channels; colour becomes BT.601 luma for one.  Floats
        are clipped to [0, 1] without a span, and left as they are in the file with one.  Where
        `Picture.any_band_missing` is True the values are undefined.  Raises InputError for a file that cannot
        be read, infinite values, values far outside the range, and other numbers of channels.
        """
        return self.to_raster(self.read_picture(span), channels)

    def to_raster(self, picture: Picture, channels: int) -> Raster:
        """The pixels that `read_pixels` returns, out of a picture that has been read."""
        check_finite(picture)
        pixels = _convert_channels(with_span(picture, picture.span).pixels, channels, self.name)
        return pixels.clip(0, 1) if pixels.dtype.kind == "f" and picture.span is None else pixels

    def read_picture(self, span: Span | None = None) -> Picture:
        """The picture as it is stored, with the span.  Raises InputError if it cannot be read."""
        if self.length is None:
            return read(self.path, span=span)
        try:
            with self.path.open("rb") as file:
                file.seek(self.start)
                data = file.read(self.length)
        except OSError as error:
            raise InputError(f"{self.name}: cannot be read: {error.strerror or error}") from error
        return read_bytes(data, self.name, span=span)


def list_entries(source: Path | Sequence[Path]) -> list[Entry]:
    """All images of a folder (with subfolders), an image file, a tar file of images, or several of these.

    Hidden files and files without an image's suffix are ignored.  The order is that of paths inside the
    folder or the tar file, so that a folder and a tar file of it give the same data.  Raises InputError if a
    source is missing or a compressed or damaged tar file, or if there are no images.
    """
    sources = [source] if isinstance(source, Path) else source
    found = [entry for each in sources for entry in _entries_in(each)]
    if not found:
        raise InputError(f"no pictures in {', '.join(map(str, sources)) or 'an empty list of folders'}")
    return found


def class_names(found: Iterable[Entry]) -> tuple[str, ...]:
    """The names of all groups, sorted; a class is an index into them."""
    return tuple(sorted({entry.group for entry in found}))


def check_classes(count: int, names: Sequence[str]) -> None:
    """Raises ConfigError unless a model has as many classes (`count`) as there are names."""
    if count != len(names):
        raise ConfigError(
            f"method.source.count: {count} classes, but the photos lie in {len(names)} folders "
            f"({', '.join(names)[:60]}), each a class; use "
            f"--set method.source.count={len(names)} --set method.network.vector={len(names)}"
        )


def _files(folder: Path) -> Iterator[Path]:
    """All files that are not in hidden folders."""
    for parent, folders, names in os.walk(folder, onerror=_raise_not_listed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from filter(Path.is_file, (Path(parent, name) for name in names))


def _raise_not_listed(error: OSError) -> None:
    """Raises InputError for a folder that cannot be listed, whose files would be ignored otherwise."""
    raise InputError(f"{error.filename}: cannot be listed: {error.strerror}") from error


def _entries_in(source: Path) -> Iterator[Entry]:
    if source.is_dir():
        for path in sorted(_files(source), key=lambda path: path.relative_to(source).as_posix()):
            if _is_accepted(path.relative_to(source)):
                yield from _entries_in_file(path, path.relative_to(source).parent)
    elif source.is_file():
        yield from _entries_in_file(source, PurePath())
    else:
        raise InputError(f"{source}: no such file or folder")


def _entries_in_file(path: Path, folder: PurePath) -> Iterator[Entry]:
    """`folder` is the path of its folder inside the source."""
    if path.suffix.lower() == ".tar":
        yield from _entries_in_tar(path, folder)
    else:
        yield Entry(str(path), path, folder / path.name)


def _entries_in_tar(path: Path, folder: PurePath) -> Iterator[Entry]:
    try:
        with tarfile.open(path, "r:") as archive:
            members = [member for member in archive if member.isfile()]
    except (tarfile.TarError, OSError) as error:
        raise InputError(
            f"{path}: not a plain tar file: {error}; compressed ones must be unpacked"
        ) from error
    for member in sorted(members, key=lambda member: PurePosixPath(member.name).as_posix()):
        inside = PurePosixPath(member.name)
        if _is_accepted(inside) and inside.suffix.lower() != ".tar":
            yield Entry(f"{path}:{inside}", path, folder / inside, member.offset_data, member.size)


def _is_accepted(path: Path | PurePosixPath) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.suffix.lower() in {*SUFFIXES, ".tar"}


def _convert_channels(pixels: Raster, channels: int, name: str) -> Raster:
    have = pixels.shape[2]
    if have == channels:
        return pixels
    if (have, channels) == (1, 3):
        return np.repeat(pixels, 3, axis=2)
    if (have, channels) == (3, 1):
        with np.errstate(over="ignore", invalid="ignore"):  # values that stand for missing ones
            luma = pixels.astype(np.float32) @ np.array(BT601, np.float32)
        return (luma if pixels.dtype.kind == "f" else luma.round()).astype(pixels.dtype)[:, :, None]
    raise InputError(f"{name}: has {have} channels and cannot be made into {channels}")
