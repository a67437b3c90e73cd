"""The pictures that a command works on: files named by the user, and those in folders named by the user."""

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
    """A file, and the sub-folder it is in, relative to the folder that the user named."""

    path: Path
    subfolder: Path = Path()


@dataclass(frozen=True)
class Skipped:
    """Counts of what else the folders hold, without hidden files and folders."""

    folders: int = 0
    others: int = 0
    results: int = 0

    def __add__(self, more: "Skipped") -> "Skipped":
        sums = self.folders + more.folders, self.others + more.others, self.results + more.results
        return Skipped(*sums)

    def message(self, recursive: bool) -> str | None:
        """What was left out, for the user; None if nothing was."""
        hint = "" if recursive else f" (--recursive includes {'it' if self.folders == 1 else 'them'})"
        kinds = counted(self.others, "file") + (" of another type" if self.others == 1 else " of other types")
        parts = [
            f"{counted(self.folders, 'folder')}{hint}" if self.folders else "",
            kinds if self.others else "",
            f"{counted(self.results, 'result')} of earlier runs" if self.results else "",
        ]
        return f"skipped: {', '.join(filter(None, parts))}" if any(parts) else None


@dataclass(frozen=True)
class Listing:
    """The input files, without duplicates.

    several     there may be more than one result, so that OUT has to be a folder
    skipped     what the folders hold besides
    unreadable  errors of sub-folders that cannot be listed
    """

    files: tuple[InputFile, ...]
    several: bool
    skipped: Skipped
    unreadable: tuple[InputError, ...]


def list_inputs(
    inputs: Sequence[Path], suffix: str | None = None, output: Path | None = None, recursive: bool = False
) -> Listing:
    """The named files, and the pictures in the named folders in natural order.

    In a folder, results of earlier runs are left out, which are named like another picture there with
    `suffix` added (None: -x and a number), and so is the folder `output`.  A file that does not exist is
    reported only when it is read, so that the other files are processed.  Raises InputError for a folder
    without pictures.
    """
    found: dict[str, InputFile] = {}
    skipped, unreadable = Skipped(), list[InputError]()
    for path in inputs:
        files, others = [InputFile(path)], Skipped()
        if os.path.isdir(path):
            files, others = list_folder(path, suffix, output, recursive, unreadable.append)
        if not files:
            message = others.message(recursive)
            raise InputError(f"{path}: no pictures in this folder" + (f"; {message}" if message else ""))
        skipped += others
        for file in files:
            found.setdefault(os.path.abspath(file.path), file)
    several = len(inputs) > 1 or any(map(os.path.isdir, inputs))
    return Listing(tuple(found.values()), several, skipped, tuple(unreadable))


def list_folder(
    folder: Path,
    suffix: str | None,
    output: Path | None,
    recursive: bool,
    report: Callable[[InputError], None],
) -> tuple[list[InputFile], Skipped]:
    """The input pictures in `folder`, and what else it holds; `report` gets errors of sub-folders."""
    from ..images.io import list_pictures

    inside = output is not None and is_within(output, folder) and not is_within(folder, output)
    excluded = output if inside else None
    pictures = list_pictures(folder, recursive=recursive, on_unreadable=report)
    if excluded is not None:
        is_excluded = cache(lambda parent: is_within(parent, excluded))
        pictures = [path for path in pictures if not is_excluded(os.path.dirname(path))]
    results = set(earlier_results(map(str, pictures), suffix))  # str: hashing a Path is slow
    folders, files = count_others(folder, excluded, recursive)
    subfolder = cache(lambda parent: Path(parent).relative_to(folder))
    kept = [
        InputFile(path, subfolder(os.path.dirname(path))) for path in pictures if str(path) not in results
    ]
    return kept, Skipped(folders, files - len(pictures), len(results))


def is_within(path: Path | str, folder: Path | None) -> bool:
    return folder is not None and Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))


def count_others(folder: Path, excluded: Path | None, recursive: bool) -> tuple[int, int]:
    """(sub-folders that are not searched, files in all folders that are), hidden ones not counted."""
    skipped = files = 0
    for parent, folders, names in os.walk(folder):
        visible = [name for name in folders if not name.startswith(".")]
        folders[:] = [name for name in visible if not is_within(Path(parent, name), excluded)]
        files += sum(not name.startswith(".") for name in names)
        if not recursive:
            return len(folders), files
        skipped += sum(Path(parent, name).is_symlink() for name in folders)  # not followed: may be a cycle
    return skipped, files


def earlier_results(pictures: Iterable[str], suffix: str | None) -> Iterator[str]:
    """Those named as another picture of the folder, with the suffix and perhaps a sample's number added."""
    if suffix == "":
        return  # results are named as their inputs and cannot be recognised
    ending = re.compile(rf"(.+){r'-x[0-9.]+' if suffix is None else re.escape(suffix)}(-[0-9]+)?", re.DOTALL)
    parts = [(path, *os.path.split(path)) for path in pictures]
    names = {(folder, each) for _, folder, name in parts for each in (os.path.splitext(name)[0], name)}
    for path, folder, name in parts:
        match = ending.fullmatch(os.path.splitext(name)[0])
        if match is not None and (folder, match[1]) in names:
            yield path
