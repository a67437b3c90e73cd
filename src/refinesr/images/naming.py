"""What of a picture's name tells it from others, whatever data sets hang on it."""

import re
from pathlib import PurePosixPath

from refinesr.files import caseless
from refinesr.images.entries import Entry

MARK = re.compile(r"(?<=.)[-_ .]?(x\d+|hr|lr\d*|sr|lrbi|gt|srf[-_]\d+)$")
"""What sets of pictures hang on names of the good, the poor and the restored."""

TOLD_APART = "and pictures are told apart by their names without suffix"


def entry_path(entry: Entry) -> PurePosixPath:
    """The name without the tar file it is in."""
    return PurePosixPath(
        entry.path.name if entry.length is None else entry.name.removeprefix(f"{entry.path}:")
    )


def stem(entry: Entry) -> str:
    """The name without folders, suffix, and the tar file it is in."""
    return entry_path(entry).stem


def without_marks(name: str) -> str:
    """The name without marks, in lower case: 0801x4 and 0801, img_001_SRF_4_LR and img_001."""
    short = caseless(name)
    while (less := MARK.sub("", short)) != short:
        short = less
    return short
