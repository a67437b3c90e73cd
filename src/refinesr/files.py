"""Results appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from refinesr.errors import OutputError


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yields NAME.part to be written; renames it to `path` at the end, and removes it if anything goes wrong.

    Raises OutputError if `path` exists and `overwrite` is not given, or if the folder cannot be written.
    """
    refuse_existing(path, overwrite)
    part = path.with_name(path.name + ".part")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        remove(part)
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    except BaseException:
        remove(part)
        raise


def remove(part: Path) -> None:
    with suppress(OSError):  # what could not be made, for too long a name say, cannot be removed either
        part.unlink()


def refuse_existing(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; --overwrite replaces it")
