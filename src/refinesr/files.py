"""Results appear whole or not at all, and one process at a time is at work in a folder."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from refinesr.errors import OutputError

LOCK = ".lock"
"""Name of the file in a folder that tells that it is held.  It stays, empty: whoever removed it could remove
one that another process has just opened."""


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yields NAME.part to be written; renames it to `path` at the end, and removes it if anything goes wrong.

    Raises OutputError if `path` exists and `overwrite` is not given, or if it cannot be written.
    """
    refuse_existing(path, overwrite)
    part = part_of(path)
    try:
        with writing(path):
            yield part
            os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def part_of(path: Path) -> Path:
    """What is written before it becomes `path`."""
    return path.with_name(path.name + ".part")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises OutputError naming `path` in place of what the system says."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises OutputError if `path` exists and `overwrite` is not given."""
    if not overwrite and os.path.lexists(path):
        raise OutputError(f"{path} exists; --overwrite replaces it")


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
