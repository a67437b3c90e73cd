"""Atomic writing of files, and locks so that one process at a time works in a folder."""

import errno
import os
import secrets
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from refinesr.errors import OutputError

LOCK = ".lock"
"""Name of a folder's lock file.  It is empty and never removed: another process may just have opened it."""

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a new temporary file; rename it to `path` at the end, or remove it after an exception.

    Raises OutputError if `path` exists and `overwrite` is not given, or if it cannot be written.
    """
    refuse_existing(path, overwrite)
    with writing(path):
        part = new_partial_file(path.parent)
    try:
        with writing(path):
            yield part
            os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def new_partial_file(folder: Path) -> Path:
    """A new, empty, hidden temporary file in the folder.

    Mode "x" opens no existing file and follows no link, and gives the permissions of any new file.  The name
    is short, as that of the result may be as long as the file system allows.
    """
    part = folder / f".{secrets.token_hex(8)}.part"
    part.open("xb").close()
    return part


def remove_partial_files(folder: Path) -> None:
    """Remove temporary files of killed processes; the folder must be locked, so that nobody else writes."""
    for part in folder.glob(f".{'[0-9a-f]' * 16}.part"):
        with writing(part):
            part.unlink()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise OutputError naming `path` in place of an OSError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def is_disk_full(error: Exception) -> bool:
    """Whether an error of `writing` means that the file system is full or read-only."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in DISK_FULL


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise OutputError if `path` exists and `overwrite` is not given."""
    if not overwrite and os.path.lexists(path):
        raise OutputError(f"{path} exists; --overwrite replaces it")


def check_name(path: Path) -> None:
    """Raise OutputError if the name is too long for the file system; its folders need not exist."""
    nearest = next(folder for folder in path.absolute().parents if os.path.exists(folder))
    with writing(path), suppress(FileNotFoundError):
        os.lstat(nearest / path.name)


def case_folded(name: str) -> str:
    """A key that is equal for names that some file systems do not distinguish: by case or Unicode form."""
    return unicodedata.normalize("NFC", name).casefold()


def is_case_sensitive(folder: Path) -> bool:
    """Whether `a` and `A` are different files in a folder, which need not exist.

    Determined from the nearest existing folder with letters in its name.
    """
    for place in (folder.absolute(), *folder.absolute().parents):
        other = place.with_name(place.name.swapcase()) if place.name else place
        if other != place and os.path.exists(place):
            return not (os.path.exists(other) and os.path.samefile(place, other))
    return True


def is_utf8(name: str) -> bool:
    """Whether a name can be encoded in UTF-8; names of files are bytes and need not be text."""
    return name.encode("utf-8", "replace").decode("utf-8") == name


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder, which is created if it is missing.

    The operating system releases the lock when the process ends, however that happens.  On file systems
    without locks a warning is issued and nothing is locked.
    Raises OutputError if the folder is locked already, by this process or another, or cannot be written.
    """
    from filelock import unlock_descriptor  # importing filelock takes as long as the rest of the command line

    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with writing(folder / LOCK):
        file = (folder / LOCK).open("ab")
    with file:
        if not try_lock(file.fileno(), folder):
            wait = "wait until it is done, or choose another folder"
            raise OutputError(f"{folder}: another process is at work in this folder; {wait}")
        try:
            yield
        finally:  # closing is not enough, as forked child processes have the file open as well
            with suppress(OSError):  # on file systems without locks
                unlock_descriptor(file.fileno())


def check_unlocked(folder: Path) -> None:
    """Raise OutputError if the folder is locked.  Changes nothing and does not lock it."""
    if (folder / LOCK).exists():
        with locked(folder):
            pass


def try_lock(file: int, folder: Path) -> bool:
    """Whether the open file is locked now; also True, with a warning, on file systems without locks."""
    from filelock import lock_descriptor

    try:
        return lock_descriptor(file, blocking=False)
    except OSError as error:
        risk = "nothing keeps a second process from writing here at the same time"
        warnings.warn(f"{folder}: the file system has no locks ({error.strerror}): {risk}", stacklevel=4)
        return True
