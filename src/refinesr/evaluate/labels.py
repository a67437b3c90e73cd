"""The classes that pictures are of, as somebody has written them down."""

import csv
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from refinesr.errors import InputError
from refinesr.evaluate.pairs import Pair
from refinesr.images.entries import list_entries
from refinesr.images.io import SUFFIXES
from refinesr.images.naming import stem


@dataclass(frozen=True, eq=False)
class Labels:
    """Classes, from 0, by the names of pictures without suffix, é being one letter (NFC).

    folders  the number of folders, where each is a class; None of a file
    """

    source: Path
    classes: Mapping[str, int]
    folders: int | None = None

    @staticmethod
    def read(source: Path) -> "Labels":
        """A file of lines, or a folder of folders.  Raises InputError.

        Lines are NAME,CLASS or NAME CLASS.  Folders are classes in the order of their names, as ImageNet's.
        """
        return of_folders(source) if source.is_dir() else of_lines(source)

    def of(self, pairs: Iterable[Pair]) -> dict[str, int]:
        """Classes by the names of pairs.  Raises InputError for a picture without one."""
        found = {}
        for pair in pairs:
            label = self.classes.get(composed(pair.name))  # file systems differ in how é is encoded
            if label is None:
                raise InputError(f"{self.source}: has no class of '{pair.name}', which is {pair.high.name}")
            found[pair.name] = label
        return found

    def fit(self, count: int) -> None:
        """Raises InputError unless they can be those of a classifier that tells `count` classes apart."""
        name, largest = max(self.classes.items(), key=lambda item: item[1])
        if self.folders not in (None, count):
            lines = "a file of lines NAME,CLASS tells which ones they are"
            raise InputError(
                f"{self.source}: {self.folders} folders, of the classifier's {count} classes; {lines}"
            )
        if largest >= count:
            raise InputError(
                f"{self.source}: class {largest} of '{name}'; those of the classifier are 0 to {count - 1}"
            )


def of_lines(path: Path) -> Labels:
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets put a byte-order mark first
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    return Labels(path, gathered(path, read_lines(path, text.splitlines())))


def read_lines(path: Path, lines: list[str]) -> Iterator[tuple[str, int]]:
    for number, line in enumerate(lines, start=1):
        row = next(csv.reader([line])) if "," in line else line.rsplit(maxsplit=1)
        cells = [cell.strip() for cell in row]
        if not cells:
            continue
        if len(cells) == 1 and cells[0].isdecimal():
            why = "a number alone tells no picture, and ILSVRC's own numbers are no classifier's"
            raise InputError(f"{path}: line {number}: '{cells[0]}' is not NAME,CLASS; {why}")
        if len(cells) != 2 or not cells[1].isdecimal():
            raise InputError(f"{path}: line {number}: '{line.strip()[:60]}' is not NAME,CLASS")
        yield bare(cells[0]), int(cells[1])


def bare(name: str) -> str:
    """Without the suffix of a picture, and the folders that stand before one with a suffix."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in SUFFIXES else name


def of_folders(path: Path) -> Labels:
    inside = sorted(each.name for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
    places = {name: place for place, name in enumerate(inside)}
    found = ((stem(entry), places[entry.group]) for entry in list_entries(path) if entry.group)
    return Labels(path, gathered(path, found), len(places))


def gathered(path: Path, found: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Raises InputError for a picture of two classes, and if there is none."""
    classes: dict[str, int] = {}
    for given, label in found:
        name = composed(given)
        if classes.setdefault(name, label) != label:
            raise InputError(f"{path}: '{name}' is of two classes, {classes[name]} and {label}")
    if not classes:
        raise InputError(f"{path}: holds no class of any picture")
    return classes


def composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
