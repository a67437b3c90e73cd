"""Which pictures a command is to work on: the files it names, and those in the folders it names."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import InputError
from .messages import counted


@dataclass(frozen=True)
class InputFile:
    """A file, and the sub-folder it was found in below the folder that the user named."""

    file: Path
    below: Path = Path()


@dataclass(frozen=True)
class Skipped:
    """What folders hold besides, hidden files not counted."""

    folders: int = 0
    others: int = 0
    results: int = 0

    def __add__(self, more: "Skipped") -> "Skipped":
        sums = self.folders + more.folders, self.others + more.others, self.results + more.results
        return Skipped(*sums)

    def line(self, recursive: bool) -> str | None:
        """For the user; None if there is nothing to say."""
        hint = "" if recursive else f" (--recursive takes {'it' if self.folders == 1 else 'them'})"
        kinds = counted(self.others, "file") + (" of another kind" if self.others == 1 else " of other kinds")
        told = [
            f"{counted(self.folders, 'folder')}{hint}" if self.folders else "",
            kinds if self.others else "",
            f"{counted(self.results, 'result')} of earlier runs" if self.results else "",
        ]
        return f"left out: {', '.join(filter(None, told))}" if any(told) else None


@dataclass(frozen=True)
class Listing:
    """The files, each once; whether OUT has to be a folder; and what is not among them."""

    found: tuple[InputFile, ...]
    several: bool
    left_out: Skipped
    closed: tuple[InputError, ...]
    """Sub-folders that cannot be listed."""


def list_inputs(
    inputs: Sequence[Path], suffix: str | None = None, output: Path | None = None, recursive: bool = False
) -> Listing:
    """Files as they are named, and the pictures of folders in their natural order.

    `suffix` is what results are named by, None for -x and a number; of a folder's files, those named like the
    result of another are left out, and so is the folder `output` inside it.  A file that is missing is found
    out when it is read, so that the others are done.  Raises InputError for a folder without pictures.
    """
    found: dict[str, InputFile] = {}
    left_out, closed = Skipped(), list[InputError]()
    for path in inputs:
        inside, more = [InputFile(path)], Skipped()
        if os.path.isdir(path):
            inside, more = list_folder(path, suffix, output, recursive, closed.append)
        if not inside:
            there = more.line(recursive)
            raise InputError(f"{path}: no pictures in this folder" + (f"; {there}" if there else ""))
        left_out += more
        for each in inside:
            found.setdefault(os.path.abspath(each.file), each)
    several = len(inputs) > 1 or any(map(os.path.isdir, inputs))
    return Listing(tuple(found.values()), several, left_out, tuple(closed))


def list_folder(
    folder: Path,
    suffix: str | None,
    output: Path | None,
    recursive: bool,
    closed: Callable[[InputError], None],
) -> tuple[list[InputFile], Skipped]:
    from ..images.io import pictures_in

    entered = is_within(output, folder) and not is_within(folder, output) if output is not None else False
    apart = output if entered else None
    pictures = pictures_in(folder, recursive=recursive, closed=closed)
    if apart is not None:
        inside = cache(lambda parent: is_within(parent, apart))
        pictures = [path for path in pictures if not inside(os.path.dirname(path))]
    results = set(earlier_results(map(str, pictures), suffix))  # texts: a Path takes long to be looked up
    folders, files = count_others(folder, apart, recursive)
    below = cache(lambda parent: Path(parent).relative_to(folder))
    kept = [InputFile(path, below(os.path.dirname(path))) for path in pictures if str(path) not in results]
    return kept, Skipped(folders, files - len(pictures), len(results))


def is_within(path: Path | str, folder: Path | None) -> bool:
    return folder is not None and Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))


def count_others(folder: Path, apart: Path | None, recursive: bool) -> tuple[int, int]:
    """How many folders are not entered, and how many files those have that are; none that is hidden."""
    skipped = files = 0
    for parent, folders, names in os.walk(folder):
        shown = [name for name in folders if not name.startswith(".")]
        folders[:] = [name for name in shown if not is_within(Path(parent, name), apart)]
        files += sum(not name.startswith(".") for name in names)
        if not recursive:
            return len(folders), files
        skipped += sum(Path(parent, name).is_symlink() for name in folders)  # may lead in a circle
    return skipped, files


def earlier_results(pictures: Iterable[str], suffix: str | None) -> Iterator[str]:
    """Those called NAME, suffix and perhaps the number of a sample, where NAME is there too."""
    if suffix == "":
        return  # then nothing tells results from inputs
    ending = re.compile(rf"(.+){r'-x[0-9.]+' if suffix is None else re.escape(suffix)}(-[0-9]+)?", re.DOTALL)
    parts = [(path, *os.path.split(path)) for path in pictures]
    names = {(folder, each) for _, folder, name in parts for each in (os.path.splitext(name)[0], name)}
    for path, folder, name in parts:
        made = ending.fullmatch(os.path.splitext(name)[0])
        if made is not None and (folder, made[1]) in names:
            yield path
