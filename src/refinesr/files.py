"""Results appear whole or not at all, and one process at a time is at work in a folder."""

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
"""Name of the file in a folder that tells that it is held.  It stays, empty: whoever removed it could remove
one that another process has just opened."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yields a new file to be written; renames it to `path` at the end, or removes it if anything goes wrong.

    Raises OutputError if `path` exists and `overwrite` is not given, or if it cannot be written.
    """
    refuse_existing(path, overwrite)
    with writing(path):
        part = new_part(path.parent)
    try:
        with writing(path):
            yield part
            os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def new_part(folder: Path) -> Path:
    """A new, empty file in the folder, hidden, for one result of one writer alone.

    "x" opens neither what is there nor what a link leads to, and gives it the permissions of any new file.
    Its name is short whatever the result's, which may be as long as the file system allows.
    """
    part = folder / f".{secrets.token_hex(8)}.part"
    part.open("xb").close()
    return part


def remove_parts(folder: Path) -> None:
    """What writers that were killed have left: for who holds the folder, in which nobody else writes."""
    for part in folder.glob(f".{'[0-9a-f]' * 16}.part"):
        with writing(part):
            part.unlink()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises OutputError naming `path` in place of what the system says."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def is_full(error: Exception) -> bool:
    """Whether nothing more can be written to the file system that `writing` stumbled over."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in FULL


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises OutputError if `path` exists and `overwrite` is not given."""
    if not overwrite and os.path.lexists(path):
        raise OutputError(f"{path} exists; --overwrite replaces it")


def check_name(path: Path) -> None:
    """Raises OutputError if the name is too long for the place, whose folders may not be there yet."""
    nearest = next(folder for folder in path.absolute().parents if os.path.exists(folder))
    with writing(path), suppress(FileNotFoundError):
        os.lstat(nearest / path.name)


def caseless(name: str) -> str:
    """One text for names that are one on some file systems: they differ in case or in how é is encoded."""
    return unicodedata.normalize("NFC", name).casefold()


def tells_cases_apart(folder: Path) -> bool:
    """Whether `a` and `A` are two files in a folder that may not be there yet: Linux says so, others do not.

    Asked of the nearest folder that is there and has letters in its name.
    """
    for place in (folder.absolute(), *folder.absolute().parents):
        other = place.with_name(place.name.swapcase()) if place.name else place
        if other != place and os.path.exists(place):
            return not (os.path.exists(other) and os.path.samefile(place, other))
    return True


def is_text(name: str) -> bool:
    """Whether it can be written in UTF-8; names of files, which are bytes, need not be text."""
    return name.encode("utf-8", "replace").decode("utf-8") == name


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep a folder, which is made if it is missing, from all others that would hold it.

    The lock is the operating system's: it ends with the process, whatever ends that.  Where the file system
    has none, a warning says so and nobody is kept away.
    Raises OutputError if the folder is held already, by this process or another, or cannot be written.
    """
    from filelock import unlock_descriptor  # filelock takes as long as all the rest of the command line

    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with writing(folder / LOCK):
        file = (folder / LOCK).open("ab")
    with file:
        if not locked(file.fileno(), folder):
            wait = "wait until it is done, or choose another folder"
            raise OutputError(f"{folder}: another process is at work in this folder; {wait}")
        try:
            yield
        finally:  # not left to closing: children that were forked meanwhile have it open as well
            with suppress(OSError):  # where there are no locks
                unlock_descriptor(file.fileno())


def refuse_held(folder: Path) -> None:
    """Raises OutputError if the folder is held now; nothing is changed, nor is it held afterwards."""
    if (folder / LOCK).exists():
        with held(folder):
            pass


def locked(file: int, folder: Path) -> bool:
    """Whether the open file could be locked, or need not be."""
    from filelock import lock_descriptor

    try:
        return lock_descriptor(file, blocking=False)
    except OSError as error:
        risk = "nothing keeps a second process from writing here at the same time"
        warnings.warn(f"{folder}: the file system has no locks ({error.strerror}): {risk}", stacklevel=4)
        return True
