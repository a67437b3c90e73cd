"""Classes of pictures: from lines and from folders, and what is refused."""

import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from photographs import cat, save

from refinesr.errors import InputError
from refinesr.evaluate.labels import Labels
from refinesr.evaluate.pairs import find_pairs

FIRST = "ILSVRC2012_val_00000001"


def of(text: str) -> Labels:
    Path("labels").write_text(text, encoding="utf-8")
    return Labels.read(Path("labels"))


@pytest.mark.parametrize(
    "text",
    [
        f"{FIRST},65\nb.c,970\n",
        f"{FIRST}.JPEG 65\n\nb.c.png\t970",
        f'"{FIRST}", 65\r\nb.c, 970\r\n',
        f"n01751748/{FIRST}.JPEG 65\nval/b.c.png 970\n",
    ],
)
def test_lines_are_names_with_or_without_suffix_and_a_number(text: str) -> None:
    assert of(text).classes == {FIRST: 65, "b.c": 970}


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    """Spreadsheets write one."""
    assert of("\ufeffa.png,1\nb.png,2\n").classes == {"a": 1, "b": 2}


def test_names_may_have_blanks() -> None:
    assert of('my cat.png 3\n"my, dog.png",4\n').classes == {"my cat": 3, "my, dog": 4}


def test_folders_are_classes_by_name_empty_ones_too() -> None:
    for path in ("n02/x.png", "n02/deep/y.png", "n01/z.png", "beside.png"):
        save(f"val/{path}", cat("ear", 8, 8))
    Path("val/n015").mkdir()
    found = Labels.read(Path("val"))
    assert (found.classes, found.folders) == ({"x": 2, "y": 2, "z": 0}, 3)
    found.check_class_count(3)
    with pytest.raises(
        InputError, match=r"^val: 3 folders, of the classifier's 1000 classes; a file of lines"
    ):
        found.check_class_count(1000)


def test_a_picture_without_a_class_is_named() -> None:
    save("data/a.png", cat("ear", 8, 8))
    assert of("a 1\nz 3\n").classes_of(find_pairs(Path("data"))) == {"a": 1}
    with pytest.raises(InputError, match=r"^labels: has no class of 'a', which is data/a.png$"):
        of("b 1\n").classes_of(find_pairs(Path("data")))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_one_name_in_two_encodings_is_one_picture(form: Literal["NFC", "NFD"]) -> None:
    """A Mac's old file system took é apart into e and an accent."""
    name = unicodedata.normalize(form, "été")
    save(f"data/{name}.png", cat("ear", 8, 8))
    for written in ("NFC", "NFD"):
        assert of(unicodedata.normalize(written, "été,7\n")).classes_of(find_pairs(Path("data"))) == {name: 7}


def test_a_class_that_the_classifier_does_not_know_is_named() -> None:
    """As of numbers that begin at 1."""
    of("a 1\nb 999\n").check_class_count(1000)
    with pytest.raises(
        InputError, match=r"^labels: class 1000 of 'b'; those of the classifier are 0 to 999$"
    ):
        of("a 1\nb 1000\n").check_class_count(1000)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a,1\n490\n", "labels: line 2: '490' is not NAME,CLASS; a number alone names no image"),
        ("image,label\na,1\n", "labels: line 1: 'image,label' is not NAME,CLASS"),
        ("a,-1\n", "labels: line 1: 'a,-1' is not NAME,CLASS"),
        ("a,1,2\n", "labels: line 1: 'a,1,2' is not NAME,CLASS"),
        ("a\n", "labels: line 1: 'a' is not NAME,CLASS"),
        ("a 1\nb 2\na.png 3\n", "labels: 'a' is of two classes, 1 and 3"),
        ("\n", "labels: holds no class of any picture"),
    ],
)
def test_what_is_no_line_is_told(text: str, line: str) -> None:
    with pytest.raises(InputError) as told:
        of(text)
    assert str(told.value).startswith(line)


def test_files_that_cannot_be_read_and_flat_folders_are_refused() -> None:
    with pytest.raises(InputError, match=r"^none\.csv: cannot be read: "):
        Labels.read(Path("none.csv"))
    save("flat/a.png", cat("ear", 8, 8))
    with pytest.raises(InputError, match=r"^flat: holds no class of any picture$"):
        Labels.read(Path("flat"))
    for folder in ("one", "two"):
        save(f"both/{folder}/a.png", cat("ear", 8, 8))
    with pytest.raises(InputError, match=r"^both: 'a' is of two classes, 0 and 1$"):
        Labels.read(Path("both"))
