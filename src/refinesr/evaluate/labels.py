"""Class labels of images, from a file or from the folders that images lie in."""

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
    """Classes, counted from 0, by names of images without suffix, in Unicode form NFC.

    folders  number of folders, if each folder is a class; None for a file
    """

    source: Path
    classes: Mapping[str, int]
    folders: int | None = None

    @staticmethod
    def read(source: Path) -> "Labels":
        """Read a file of lines NAME,CLASS or NAME CLASS, or a folder with one folder for each class.

        Folders are numbered in the order of their names, as ImageNet's classes.  Raises InputError.
        """
        return labels_of_folders(source) if source.is_dir() else read_label_file(source)

    def classes_of(self, pairs: Iterable[Pair]) -> dict[str, int]:
        """Classes by name of pair.  Raises InputError for an image without a class."""
        found = {}
        for pair in pairs:
            label = self.classes.get(nfc(pair.name))  # file systems differ in the Unicode form of names
            if label is None:
                raise InputError(f"{self.source}: has no class of '{pair.name}', which is {pair.high.name}")
            found[pair.name] = label
        return found

    def check_class_count(self, count: int) -> None:
        """Raises InputError unless the labels fit a classifier with `count` classes."""
        name, largest = max(self.classes.items(), key=lambda item: item[1])
        if self.folders not in (None, count):
            lines = "a file of lines NAME,CLASS can name them"
            raise InputError(
                f"{self.source}: {self.folders} folders, of the classifier's {count} classes; {lines}"
            )
        if largest >= count:
            raise InputError(
                f"{self.source}: class {largest} of '{name}'; those of the classifier are 0 to {count - 1}"
            )


def read_label_file(path: Path) -> Labels:
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets put a byte-order mark first
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    return Labels(path, collect_classes(path, parse_lines(path, text.splitlines())))


def parse_lines(path: Path, lines: list[str]) -> Iterator[tuple[str, int]]:
    for number, line in enumerate(lines, start=1):
        row = next(csv.reader([line])) if "," in line else line.rsplit(maxsplit=1)
        cells = [cell.strip() for cell in row]
        if not cells:
            continue
        if len(cells) == 1 and cells[0].isdecimal():
            why = "a number alone names no image, and ILSVRC's own class numbers are not those of classifiers"
            raise InputError(f"{path}: line {number}: '{cells[0]}' is not NAME,CLASS; {why}")
        if len(cells) != 2 or not cells[1].isdecimal():
            raise InputError(f"{path}: line {number}: '{line.strip()[:60]}' is not NAME,CLASS")
        yield without_suffix(cells[0]), int(cells[1])


def without_suffix(name: str) -> str:
    """The name without folders and suffix if it has the suffix of an image, else unchanged."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in SUFFIXES else name


def labels_of_folders(path: Path) -> Labels:
    inside = sorted(each.name for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
    places = {name: place for place, name in enumerate(inside)}
    found = ((stem(entry), places[entry.group]) for entry in list_entries(path) if entry.group)
    return Labels(path, collect_classes(path, found), len(places))


def collect_classes(path: Path, found: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Classes by name.  Raises InputError for an image with two classes, and if there are no classes."""
    classes: dict[str, int] = {}
    for given, label in found:
        name = nfc(given)
        if classes.setdefault(name, label) != label:
            raise InputError(f"{path}: '{name}' is of two classes, {classes[name]} and {label}")
    if not classes:
        raise InputError(f"{path}: holds no class of any picture")
    return classes


def nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)
