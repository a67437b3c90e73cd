"""Answers of the subjects of a user study, and the fool rates of methods."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from refinesr.config import from_data, parse
from refinesr.errors import ConfigError, InputError
from refinesr.evaluate.estimates import Estimate, bootstrap_means
from refinesr.evaluate.questions import TaskName

FORMAT = "refinesr-answers-1"

FEW_SUBJECTS = 20
"""Below this number of subjects, bootstrap intervals are too narrow."""


@dataclass(frozen=True)
class Answer:
    """One choice: the image and method of the pair, which of the two was chosen, and on which side it was."""

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
    """All answers of one subject, as stored in a file."""

    format: Literal["refinesr-answers-1"]
    study: str
    task: TaskName
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
    """Read the file of one subject.  Raises InputError if unreadable, ConfigError if invalid."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return from_data(Answers, parse(text, str(path)), str(path))


def answer_files(paths: Iterable[Path]) -> list[Path]:
    """The given files, and the .json files of given folders.  Raises InputError for a folder without any."""
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
    """`counted` of `choices` choices as a share, with its bootstrap interval over subjects."""

    share: Estimate
    counted: int
    choices: int

    @staticmethod
    def of(subjects: Sequence[tuple[int, int]]) -> "Rate":
        """From (counted, choices) of each subject; every subject has at least one choice."""
        counted, choices = np.array(subjects, np.float64).T
        share = float(counted.sum() / choices.sum())
        draws = bootstrap_means(counted) / bootstrap_means(choices)  # both resample the same subjects
        estimate = Estimate.from_resamples(share, draws, len(subjects))
        return Rate(estimate, int(counted.sum()), int(choices.sum()))


@dataclass(frozen=True)
class StudyResults:
    """The answers of all subjects of one study."""

    study: str
    task: TaskName
    subjects: tuple[Answers, ...]

    @cached_property
    def rates(self) -> dict[str, Rate]:
        """Fool rate by method, highest first: the share of choices of its result by subjects who saw it."""
        names = sorted({answer.method for subject in self.subjects for answer in subject.answers})
        rates = {name: self.share(chose_method, name) for name in names}
        return dict(sorted(rates.items(), key=lambda item: -item[1].share.mean))

    @cached_property
    def left_rate(self) -> Rate:
        """The share of choices of the left image."""
        return self.share(lambda answer: answer.side == "left")

    def share(self, counts: Callable[[Answer], bool], method: str | None = None) -> Rate:
        """The share of answers for which `counts` is true, over all answers or those about one method."""
        found = [
            [counts(answer) for answer in subject.answers if method in (None, answer.method)]
            for subject in self.subjects
        ]
        return Rate.of([(sum(choices), len(choices)) for choices in found if choices])


def chose_method(answer: Answer) -> bool:
    return answer.chose == "method"


def read_study(paths: Iterable[Path]) -> StudyResults:
    """Read the answers of all subjects.

    Raises InputError or ConfigError for invalid files, files of several studies, and repeated subjects.
    """
    files = [(path, read_answers(path)) for path in answer_files(paths)]
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
    return StudyResults(one.study, one.task, tuple(answers for _, answers in files))
