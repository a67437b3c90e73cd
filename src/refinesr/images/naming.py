"""Names of images in data sets, without the marks that distinguish their versions."""

import re
from pathlib import PurePosixPath

from refinesr.files import case_folded
from refinesr.images.entries import Entry

MARK = re.compile(r"(?<=.)[-_ .]?(x\d+|hr|lr\d*|sr|lrbi|gt|srf[-_]\d+)$")
"""Marks that data sets append to the names of high-resolution, low-resolution and restored images."""

IDENTIFIED_BY_NAME = "and images are identified by their names without suffix"


def entry_path(entry: Entry) -> PurePosixPath:
    """The path of an image, inside its tar file if it is in one."""
    return PurePosixPath(
        entry.path.name if entry.length is None else entry.name.removeprefix(f"{entry.path}:")
    )


def stem(entry: Entry) -> str:
    """The file name without folders and suffix."""
    return entry_path(entry).stem


def without_marks(name: str) -> str:
    """The name in lower case without marks: 0801x4 becomes 0801, img_001_SRF_4_LR img_001."""
    short = case_folded(name)
    while (shorter := MARK.sub("", short)) != short:
        short = shorter
    return short
