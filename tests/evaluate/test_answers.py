"""What subjects answered, read strictly, and the shares of their choices."""

import itertools
import json
import math
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refinesr.config import to_data
from refinesr.errors import ConfigError, InputError
from refinesr.evaluate.answers import (
    FORMAT,
    Answer,
    Answers,
    Rate,
    StudyResults,
    answer_files,
    read_answers,
    read_study,
)

STUDY = "5" * 64


def subject(number: int, choices: Iterable[tuple[str, bool, bool]], **changes: Any) -> dict[str, Any]:
    """Of (method, whether it fooled, whether the left one was chosen)."""
    answers = [
        {
            "image": f"picture {place}",
            "method": method,
            "chose": "method" if fooled else "truth",
            "side": "left" if left else "right",
            "milliseconds": 3000 * place,
        }
        for place, (method, fooled, left) in enumerate(choices)
    ]
    facts = {"format": FORMAT, "study": STUDY, "task": "better", "subject": f"{number:032x}"}
    return facts | {"answers": answers} | changes


def written(folder: Path, *subjects: dict[str, Any]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{place}.json" for place in range(len(subjects))]
    for path, facts in zip(paths, subjects, strict=True):
        path.write_text(json.dumps(facts), encoding="utf-8")
    return paths


ONE = subject(1, [("x", True, True), ("x", False, True), ("y", False, True)])
TWO = subject(2, [("x", True, False), ("y", True, True), ("y", False, True)])


def test_rates_are_shares_of_choices(tmp_path: Path) -> None:
    written(tmp_path, ONE, TWO)
    asked = read_study([tmp_path])
    found = {name: (rate.counted, rate.choices, rate.share.count) for name, rate in asked.rates.items()}
    assert found == {"x": (2, 3, 2), "y": (1, 3, 2)}
    assert [rate.share.mean for rate in asked.rates.values()] == [2 / 3, 1 / 3]
    assert (asked.left_rate.counted, asked.left_rate.choices, asked.left_rate.share.mean) == (5, 6, 5 / 6)


def test_the_highest_rate_comes_first_and_equal_ones_by_name(tmp_path: Path) -> None:
    rows = [("b", False, True), ("c", False, True), ("a", False, True), ("z", True, True)]
    asked = read_study(written(tmp_path, subject(1, rows)))
    assert [*asked.rates] == ["z", "a", "b", "c"]


def test_only_subjects_who_saw_a_method_count_for_it(tmp_path: Path) -> None:
    never = subject(3, [("y", False, True)] * 3)
    asked = read_study(written(tmp_path, ONE, TWO, never))
    rate = asked.rates["x"]
    assert (rate.share.mean, rate.share.count) == (2 / 3, 2)
    assert rate.share.interval == (0.5, 1.0)


def test_there_is_no_interval_of_one_subject(tmp_path: Path) -> None:
    asked = read_study(written(tmp_path, ONE))
    assert [rate.share.interval for rate in (*asked.rates.values(), asked.left_rate)] == [None] * 3


def test_of_single_choices_the_interval_is_the_binomials() -> None:
    """100 subjects of one choice each, 40 fooled: a draw is Binomial(100, 0.4) / 100; 0.01 is one subject."""
    rate = Rate.of([(int(k < 40), 1) for k in range(100)])
    below = np.cumsum([math.comb(100, k) * 0.4**k * 0.6 ** (100 - k) for k in range(101)])
    ends = [int(np.searchsorted(below, level)) / 100 for level in (0.025, 0.975)]
    assert rate.share.mean == 0.4
    assert rate.share.interval == pytest.approx(ends, abs=0.0101)


def test_the_interval_is_that_of_all_ways_to_draw_the_subjects() -> None:
    """All 5**5 draws, counted; the shares of 2000 random ones below an end err by 0.0035, thrice allowed."""
    subjects = [(3, 10), (1, 8), (6, 11), (0, 9), (4, 7)]
    draws = sorted(
        sum(subjects[k][0] for k in ways) / sum(subjects[k][1] for k in ways)
        for ways in itertools.product(range(5), repeat=5)
    )
    low, high = Rate.of(subjects).share.interval or (math.nan, math.nan)
    for end, level in ((low, 0.025), (high, 0.975)):
        assert sum(draw < end - 1e-9 for draw in draws) / len(draws) < level + 0.0105
        assert sum(draw <= end + 1e-9 for draw in draws) / len(draws) > level - 0.0105


def test_guessing_is_half() -> None:
    """50 subjects of 50 guesses; the interval holds the rate 0.5 of this chance, and is 1.96 errors wide."""
    chance = random.Random(7)
    rate = Rate.of([(sum(chance.random() < 0.5 for _ in range(50)), 50) for _ in range(50)])
    low, high = rate.share.interval or (math.nan, math.nan)
    assert low < 0.5 < high
    assert (high - low) / 2 == pytest.approx(1.96 * 0.5 / math.sqrt(2500), rel=0.25)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    (path,) = written(tmp_path, ONE)
    answers = read_answers(path)
    assert to_data(answers) == ONE
    assert answers.answers[0] == Answer("picture 0", "x", "method", "left", 0)
    assert isinstance(answers, Answers)
    assert isinstance(read_study([path]), StudyResults)


# ------------------------------------------------------------------------------------------------ refusals


def changed(place: int, **fields: Any) -> dict[str, Any]:
    answers = [answer | fields if k == place else answer for k, answer in enumerate(ONE["answers"])]
    return ONE | {"answers": answers}


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ([], "[] is not an object with the fields of Answers"),
        (ONE | {"format": "answers"}, "format: 'answers' is not one of refinesr-answers-1"),
        (ONE | {"task": "best"}, "task: 'best' is not one of better, camera; did you mean 'better'?"),
        (ONE | {"study": "5" * 63}, f"study: '{'5' * 63}' is not 64 hexadecimal digits"),
        (ONE | {"subject": "me"}, "subject: 'me' is not 32 hexadecimal digits"),
        (
            ONE | {"name": "me"},
            "name: no such field of Answers; it has format, study, task, subject, answers",
        ),
        (ONE | {"answers": []}, "answers: there is none"),
        ({key: ONE[key] for key in ONE if key != "answers"}, "answers: missing, and has no default"),
        (changed(1, chose="left"), "answers.1.chose: 'left' is not one of truth, method"),
        (changed(1, side="top"), "answers.1.side: 'top' is not one of left, right"),
        (changed(2, milliseconds=3.5), "answers.2.milliseconds: 3.5 is not an integer"),
        (changed(2, milliseconds=-1), "answers.2.milliseconds: -1 is negative"),
        (changed(2, method=4), "answers.2.method: 4 is not text; did you mean '\"4\"'?"),
        (changed(2, image="picture 0"), "answers: 'picture 0' is answered twice"),
    ],
)
def test_damaged_files_are_refused_by_name_and_field(tmp_path: Path, facts: Any, message: str) -> None:
    (path,) = written(tmp_path, facts)
    with pytest.raises(ConfigError) as caught:
        read_answers(path)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (TWO | {"task": "camera"}, "task: is camera, and that of {0} is better"),
        (TWO | {"study": "6" * 64}, "study: is another than that of {0}; count the answers to one page"),
        (TWO | {"subject": ONE["subject"]}, f"subject: {ONE['subject']} is that of {{0}}, too"),
        (
            TWO | {"answers": TWO["answers"][:2]},
            "answers: there are 2, and in {0} 3; all subjects of a study have as many",
        ),
    ],
)
def test_answers_that_do_not_belong_together_are_refused_by_both_names(
    tmp_path: Path, other: dict[str, Any], message: str
) -> None:
    one, two = written(tmp_path, ONE, other)
    with pytest.raises(ConfigError) as caught:
        read_study([tmp_path])
    assert str(caught.value) == f"{two}: {message.format(one)}"


def test_a_subject_is_counted_once_wherever_it_stands(tmp_path: Path) -> None:
    *_, two, again = written(tmp_path, ONE, TWO, TWO)
    with pytest.raises(ConfigError) as caught:
        read_study([tmp_path])
    assert str(caught.value) == f"{again}: subject: {TWO['subject']} is that of {two}, too"


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    cut = tmp_path / "cut.json"
    cut.write_text(json.dumps(ONE)[:100], encoding="utf-8")
    with pytest.raises(ConfigError, match=r"cut\.json: not valid JSON: "):
        read_study([cut])
    cut.write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"cut\.json: cannot be read: "):
        read_study([cut])
    with pytest.raises(InputError, match=r"none\.json: cannot be read: No such file or directory$"):
        read_study([tmp_path / "none.json"])


def test_of_folders_only_json_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    written(tmp_path, ONE, TWO)
    (tmp_path / "notes.txt").write_text("by hand")
    assert answer_files([tmp_path]) == [tmp_path / "0.json", tmp_path / "1.json"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: there are no \.json files in this folder$"):
        answer_files([tmp_path / "empty"])
