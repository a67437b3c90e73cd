"""What the subjects of a study answered, and how often methods fooled them."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from refinesr.config import from_data, parse
from refinesr.errors import ConfigError, InputError
from refinesr.evaluate.estimates import Estimate, means
from refinesr.evaluate.questions import Name

FORMAT = "refinesr-answers-1"

FEW = 20
"""Subjects; bootstrap intervals of fewer are too narrow."""


@dataclass(frozen=True)
class Answer:
    """One choice: of which picture's pair, and where the chosen one was."""

    image: str
    method: str
    chose: Literal["truth", "method"]
    side: Literal["left", "right"]
    milliseconds: int

    def __post_init__(self) -> None:
        if self.milliseconds < 0:
            raise ValueError(f"milliseconds: {self.milliseconds} is negative")


@dataclass(frozen=True)
class Answers:
    """The file of one subject."""

    format: Literal["refinesr-answers-1"]
    study: str
    task: Name
    subject: str
    answers: tuple[Answer, ...]

    def __post_init__(self) -> None:
        for field, digits in (("study", 64), ("subject", 32)):
            if not re.fullmatch(f"[0-9a-f]{{{digits}}}", getattr(self, field)):
                raise ValueError(f"{field}: '{getattr(self, field)}' is not {digits} hexadecimal digits")
        if not self.answers:
            raise ValueError("answers: there is none")
        seen = set[str]()
        for answer in self.answers:
            if answer.image in seen:
                raise ValueError(f"answers: '{answer.image}' is answered twice")
            seen.add(answer.image)


def read_answers(path: Path) -> Answers:
    """Raises InputError for what cannot be read, ConfigError for what is not understood."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return from_data(Answers, parse(text, str(path)), str(path))


def files_of(paths: Iterable[Path]) -> list[Path]:
    """The files, and those of the folders that are JSON by name.  Raises InputError for a folder without."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
        elif inside := sorted(path.glob("*.json")):
            found += inside
        else:
            raise InputError(f"{path}: there are no .json files in this folder")
    return found


@dataclass(frozen=True)
class Rate:
    """A share of choices, with its interval over subjects."""

    share: Estimate
    counted: int
    choices: int

    @staticmethod
    def of(subjects: Sequence[tuple[int, int]]) -> "Rate":
        """Of each subject's number of them, and of its choices: at least one."""
        counted, choices = np.array(subjects, np.float64).T
        share = float(counted.sum() / choices.sum())
        draws = means(counted) / means(choices)  # the same subjects in both
        estimate = Estimate.around(share, draws, len(subjects))
        return Rate(estimate, int(counted.sum()), int(choices.sum()))


@dataclass(frozen=True)
class Asked:
    """All subjects of one study."""

    study: str
    task: Name
    subjects: tuple[Answers, ...]

    @cached_property
    def rates(self) -> dict[str, Rate]:
        """By method, of the subjects who saw it: the share of choices for its picture; highest first."""
        names = sorted({answer.method for subject in self.subjects for answer in subject.answers})
        rates = {name: self.share(fooled, name) for name in names}
        return dict(sorted(rates.items(), key=lambda item: -item[1].share.mean))

    @cached_property
    def left(self) -> Rate:
        """The share of choices of the left picture."""
        return self.share(lambda answer: answer.side == "left")

    def share(self, counts: Callable[[Answer], bool], method: str | None = None) -> Rate:
        """Of the choices that `counts` counts; of those about one method if it is given."""
        found = [
            [counts(answer) for answer in subject.answers if method in (None, answer.method)]
            for subject in self.subjects
        ]
        return Rate.of([(sum(choices), len(choices)) for choices in found if choices])


def fooled(answer: Answer) -> bool:
    return answer.chose == "method"


def of_files(paths: Iterable[Path]) -> Asked:
    """Raises InputError or ConfigError, also for files of several studies and for a subject given twice."""
    files = [(path, read_answers(path)) for path in files_of(paths)]
    (first, one), *rest = files
    seen = {one.subject: first}
    for path, other in rest:
        if other.task != one.task:
            raise ConfigError(f"{path}: task: is {other.task}, and that of {first} is {one.task}")
        if other.study != one.study:
            raise ConfigError(
                f"{path}: study: is another than that of {first}; count the answers to one page"
            )
        if len(other.answers) != len(one.answers):
            counts = f"there are {len(other.answers)}, and in {first} {len(one.answers)}"
            raise ConfigError(f"{path}: answers: {counts}; all subjects of a study have as many")
        if other.subject in seen:
            raise ConfigError(f"{path}: subject: {other.subject} is that of {seen[other.subject]}, too")
        seen[other.subject] = path
    return Asked(one.study, one.task, tuple(answers for _, answers in files))
