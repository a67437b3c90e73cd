"""Which numbers are better, and what is said of it."""

import json
import math

import pytest

from refinesr.evaluate.aims import Aim, Higher, Lower, Near, Neither, is_significant, least_loss, parse_aim
from refinesr.evaluate.image_metrics import sample_metrics

AIMS: tuple[Aim, ...] = (Higher(), Lower(), Near(0.9), Neither())


def marked(aim: Aim, *values: float) -> list[float]:
    """Those that a table marks as best."""
    least = least_loss(aim, values)
    return [value for value in values if least is not None and aim.loss(value) == least]


@pytest.mark.parametrize(
    ("aim", "marks"),
    [(Higher(), [0.97]), (Lower(), [0.5]), (Near(0.9), [0.88]), (Near(0.5), [0.5]), (Neither(), [])],
)
def test_the_best_of_four_numbers(aim: Aim, marks: list[float]) -> None:
    assert marked(aim, 0.5, 0.88, 0.97, 0.7) == marks


def test_numbers_as_far_from_a_target_on_both_sides_are_equally_good() -> None:
    assert marked(Near(0.9), 0.85, 0.95, 0.8) == [0.85, 0.95]


@pytest.mark.parametrize("aim", AIMS)
def test_there_is_no_best_of_one(aim: Aim) -> None:
    assert marked(aim, 0.9) == []


def test_infinite_numbers_are_best_or_worst() -> None:
    assert marked(Higher(), math.inf, 30.0) == [math.inf]
    assert marked(Lower(), math.inf, 30.0) == [30.0]


@pytest.mark.parametrize("aim", AIMS)
def test_what_is_written_is_read_back(aim: Aim) -> None:
    assert parse_aim(json.loads(json.dumps(aim.data))) == aim


@pytest.mark.parametrize(
    "data", ["more", True, 0.9, [], {}, {"near": "0.9"}, {"near": True}, {"far": 1}, {"near": 1, "far": 2}]
)
def test_other_data_are_refused(data: object) -> None:
    with pytest.raises(
        ValueError, match=r'^better: .* is not "higher", "lower", \{"near": a number\} or null$'
    ):
        parse_aim(data)


def test_a_difference_is_told_if_its_interval_is_without_zero() -> None:
    assert [is_significant(ends) for ends in ((0.1, 0.2), (-2.0, -1.0))] == [True, True]
    assert [is_significant(ends) for ends in ((-0.1, 0.2), (0.0, 0.2), (-1.0, 0.0), None)] == [False] * 4


@pytest.mark.parametrize(
    ("aim", "difference", "distance", "words"),
    [
        (Higher(), (1.0, 2.0), None, "B is better"),
        (Higher(), (-2.0, -1.0), None, "A is better"),
        (Lower(), (1.0, 2.0), None, "A is better"),
        (Lower(), (-2.0, -1.0), None, "B is better"),
        (Near(0.9), (0.1, 0.2), (-0.2, -0.1), "B is closer to 0.9"),
        (Near(0.9), (0.1, 0.2), (0.1, 0.2), "A is closer to 0.9"),
        (Near(0.9), (-0.2, -0.1), (-0.2, -0.1), "B is closer to 0.9"),
        (Near(0.9), (0.1, 0.2), (-0.1, 0.1), "they differ; neither is closer to 0.9"),
        (Near(0.5), (0.1, 0.2), None, "they differ; neither is closer to 0.5"),
        (Neither(), (1.0, 2.0), None, "they differ; neither is better"),
        (Neither(), (-2.0, -1.0), None, "they differ; neither is better"),
    ],
)
def test_who_is_better_of_two_that_differ(
    aim: Aim, difference: tuple[float, float], distance: tuple[float, float] | None, words: str
) -> None:
    assert aim.verdict("A", "B", difference, distance) == words


def test_of_samples_no_spread_is_better_and_intervals_should_hold_what_they_say() -> None:
    aims = {metric.key: metric.better for metric in sample_metrics(19)}
    assert aims == {"sigma": Neither(), "crps": Lower(), "coverage_50": Near(0.5), "coverage_90": Near(0.9)}
