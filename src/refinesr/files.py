"""Results appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from refinesr.errors import OutputError


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yields NAME.part to be written; renames it to `path` at the end, and removes it if anything goes wrong.

    Raises OutputError if `path` exists and `overwrite` is not given, or if it cannot be written.
    """
    refuse_existing(path, overwrite)
    part = path.with_name(path.name + ".part")
    try:
        with writing(path):
            yield part
            os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


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
