"""Means, intervals and differences; what the files say."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from photographs import saved

from refinesr.evaluate.estimates import Estimate, estimate_text
from refinesr.evaluate.evaluation import EvaluatedMethod, Evaluation, ImageScores
from refinesr.evaluate.image_metrics import sample_metrics
from refinesr.evaluate.pairs import find_pairs
from refinesr.evaluate.protocols import (
    CLASSIC_Y,
    SR3_CLASSIFICATION,
    SR3_FACES,
    SR3_NATURAL,
    SRDIFF_GENERAL,
    Protocol,
)
from refinesr.evaluate.report import Report, excess_distance, json_numbers, paired_differences
from refinesr.evaluate.set_metrics import FrechetDistance
from refinesr.evaluate.upscalers import interpolations

MAKERS = interpolations(CLASSIC_Y.kernel)
RNG = np.random.default_rng(0)
ONE = {"psnr": 30.0, "ssim": 0.9, "consistency": 2.0}


def report(scores: Mapping[str, Mapping[str, Mapping[str, float]]], protocol: Protocol = SR3_FACES) -> Report:
    """Of scores by picture, method and metric."""
    names = list(next(iter(scores.values())))
    methods = [EvaluatedMethod(name, MAKERS["bicubic"]) for name in names]
    scale = protocol.scale or 4
    metrics = (*protocol.metrics(scale), *sample_metrics(19))
    asked = Evaluation(protocol, scale, (), methods, metrics, [FrechetDistance(lambda x: x)])
    images = [ImageScores(name, (64, 48), dict(of)) for name, of in scores.items()]
    return Report(asked, "faces", False, images, {names[0]: {"fid": 12.5}})


TWO = report(
    {
        name: {"a": ONE | {"psnr": 30.0 + k}, "b": ONE | {"psnr": 29.0 + k - (k == 2)}}
        for k, name in enumerate(("x", "y", "z"))
    }
)


def test_a_mean_of_many_has_the_interval_of_the_normal_distribution() -> None:
    """2000 draws know an end to about 3 % of the deviation of means; 5 % is allowed."""
    values = RNG.normal(20, 3, 400).tolist()
    found = Estimate.of(values)
    deviation = np.std(values) / math.sqrt(400)
    assert found.mean == pytest.approx(np.mean(values))
    for end, sign in ((found.low, -1), (found.high, 1)):
        assert end == pytest.approx(found.mean + sign * 1.96 * deviation, abs=0.2 * deviation)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """95 % of 300 is 285, with a deviation of 4; percentiles of 30 values are known to be a little narrow."""
    found = [Estimate.of(RNG.normal(5, 1, 30).tolist()) for _ in range(300)]
    assert 268 <= sum(each.low <= 5 <= each.high for each in found) <= 297


def test_equal_numbers_have_equal_intervals() -> None:
    assert Estimate.of([1.0, 2.0, 4.0]) == Estimate.of([1.0, 2.0, 4.0])
    assert Estimate.of([3.0] * 5) == Estimate(3.0, 3.0, 3.0, 5)


def test_one_picture_has_no_interval() -> None:
    assert Estimate.of([7.0]) == Estimate(7.0, None, None, 1)


def test_two_pictures_have_an_interval_from_one_to_the_other() -> None:
    """Of the means of two draws a quarter each are 1 and 2, a half 1.5."""
    assert Estimate.of([1.0, 2.0]) == Estimate(1.5, 1.0, 2.0, 2)


def test_an_infinite_number_makes_an_infinite_mean_and_no_nan() -> None:
    found = Estimate.of([30.0, 31.0, 32.0, math.inf])
    assert found.mean == math.inf
    assert found.low is not None
    assert 30 <= found.low <= 32 or found.low == math.inf
    assert found.high == math.inf


def test_differences_are_of_pictures_that_both_have() -> None:
    a, b = {"x": 3.0, "y": math.inf, "z": math.inf, "w": 1.0}, {"x": 1.0, "y": math.inf, "z": 4.0}
    assert paired_differences(a, b) == {"x": 2.0, "y": 0.0, "z": math.inf}


def by_picture(values: Iterable[float]) -> dict[str, float]:
    return {str(k): float(value) for k, value in enumerate(values)}


def test_below_a_target_it_is_farther_by_the_difference() -> None:
    """With all of both below 1, |mean - 1| is 1 - mean, and 1 goes out."""
    a, b = by_picture(RNG.uniform(0, 1, 12)), by_picture(RNG.uniform(0, 1, 12))
    far, between = excess_distance(1.0, a, b), Estimate.of(paired_differences(b, a).values())
    assert far.mean == pytest.approx(between.mean, abs=1e-12)
    assert far.interval == pytest.approx(between.interval, abs=1e-12)
    above = excess_distance(0.0, a, b)  # and above 0 it is the mean
    assert above.interval == pytest.approx(Estimate.of(paired_differences(a, b).values()).interval, abs=1e-12)


def test_who_is_farther_is_asked_of_means_and_of_pictures_that_both_have() -> None:
    a, b = {"x": 0.7, "y": 1.1, "lone": 5.0}, {"y": 0.85, "x": 0.85}
    assert excess_distance(0.9, a, b).mean == pytest.approx(-0.05)
    assert excess_distance(0.9, b, a).mean == pytest.approx(0.05)
    lone = excess_distance(0.9, {"x": 0.6}, {"x": 0.95})
    assert (lone.mean, lone.interval, lone.count) == (pytest.approx(0.25), None, 1)


def test_json_is_as_it_is_described() -> None:
    told = json.loads(TWO.json())
    assert told["format"] == "refinesr-report-1"
    assert (told["data"], told["protocol"]["name"]) == ("faces", "sr3-faces")
    assert [row["name"] for row in told["methods"]] == ["a", "b"]
    assert told["methods"][0]["metrics"]["psnr"]["mean"] == 31
    assert told["methods"][0]["metrics"]["fid"] == {"mean": 12.5, "low": None, "high": None, "count": 3}
    assert "fid" not in told["methods"][1]["metrics"]
    assert told["metrics"]["psnr"]["better"] == "higher"
    assert told["metrics"]["consistency"]["better"] == "lower"
    assert told["metrics"]["consistency"]["unit"] == "1e-5"
    assert told["images"][1] == {
        "name": "y",
        "height": 64,
        "width": 48,
        "scores": {"a": ONE | {"psnr": 31.0}, "b": ONE | {"psnr": 30.0}},
    }
    assert [row["name"] for row in told["published"]] == ["PULSE", "FSRGAN", "Regression", "SR3"]


def test_pairs_are_differences_on_the_same_pictures() -> None:
    (pair,) = [pair for pair in json.loads(TWO.json())["pairs"] if pair["metric"] == "psnr"]
    assert (pair["a"], pair["b"]) == ("a", "b")
    assert pair["difference"] == pytest.approx(4 / 3)
    assert (pair["low"], pair["high"]) == (1, 2)


SPREAD = report(
    {
        name: {"a": {"sigma": 3.0, "coverage_90": 0.97 + k}, "b": {"sigma": 5.0, "coverage_90": 0.88 + k}}
        for name, k in (("x", 0.0), ("y", 0.01), ("z", -0.01))
    }
)


def test_what_should_be_near_a_number_and_what_only_describes_is_told() -> None:
    told = json.loads(SPREAD.json())
    assert told["metrics"]["sigma"]["better"] is None
    assert told["metrics"]["coverage_90"]["better"] == {"near": 0.9}
    assert SPREAD.markdown().splitlines()[2] == "| method | σ | in 90% → 0.9 | FID ↓ |"


def test_pairs_tell_who_is_closer() -> None:
    pairs = {pair["metric"]: pair for pair in json.loads(SPREAD.json())["pairs"]}
    assert "distance" not in pairs["sigma"]
    assert pairs["coverage_90"]["difference"] == pytest.approx(0.09)
    found = pairs["coverage_90"]["distance"]
    assert found["difference"] == pytest.approx(0.07 - 0.02)
    assert found["low"] == pytest.approx(0.06 - 0.03)  # the three of y, or of z
    assert found["high"] == pytest.approx(0.08 - 0.01)


def test_infinite_numbers_are_texts_that_float_reads() -> None:
    told = json.loads(report({"x": {"a": ONE | {"psnr": math.inf}}}).json())
    assert float(told["images"][0]["scores"]["a"]["psnr"]) == math.inf
    assert told["methods"][0]["metrics"]["psnr"]["mean"] == "inf"
    assert json_numbers([{"a": -math.inf}, (1.5, "x", None)]) == [{"a": "-inf"}, [1.5, "x", None]]


def test_methods_that_are_perfect_on_different_pictures_have_no_mean_difference() -> None:
    """inf - inf is no number, in JSON null."""
    perfect = ONE | {"psnr": math.inf}
    pairs = json.loads(report({"x": {"a": perfect, "b": ONE}, "y": {"a": ONE, "b": perfect}}).json())["pairs"]
    found = {pair["metric"]: pair for pair in pairs}
    assert found["psnr"]["difference"] is None
    assert found["ssim"]["difference"] == 0


def test_csv_has_a_line_for_each_picture_and_method() -> None:
    head, *rows = csv.reader(io.StringIO(TWO.csv()))
    assert head == ["image", "height", "width", "method", "psnr", "ssim", "consistency"]
    assert len(rows) == 6
    assert rows[3] == ["y", "64", "48", "b", "30.0", "0.9", "2.0"]


def test_markdown_marks_what_others_have_published() -> None:
    lines = TWO.markdown().splitlines()
    assert lines[0] == "# sr3-faces: faces, 3 pictures"
    assert lines[2] == "| method | PSNR (dB) ↑ | SSIM ↑ | Consistency (1e-5) ↓ | FID ↓ |"
    assert lines[4] == "| a | 31.00 ± 1.00 | 0.9000 ± 0.0000 | 2.00 ± 0.00 | 12.50 |"
    assert "| SR3 (published) | 23.04 | 0.65 | 2.68 |  |" in lines
    assert any(line.startswith("- PSNR: of all channels of RGB, no border cut") for line in lines)
    assert any("arXiv 2104.07636" in line and "not on these" in line for line in lines)


def test_what_was_not_measured_has_no_column() -> None:
    told = json.loads(report({"x": {"a": {"psnr": 3.0}}}, SRDIFF_GENERAL).json())
    assert list(told["metrics"]) == ["psnr", "fid"]


def test_what_papers_report_besides_is_told() -> None:
    lines = report({"x": {"a": {"psnr": 3.0}}}, SRDIFF_GENERAL).markdown().splitlines()
    assert "| SRDiff (published) | 27.41 |  |" in lines
    assert (
        "- published besides, not measured here: SRDiff, ssim 0.79, lpips 0.136, lr_psnr 55.21, sigma 6.09"
        in lines
    )


def test_rows_of_which_nothing_was_measured_are_left_out_and_counted() -> None:
    """The report has an FID of its first method, the paper one of the pictures themselves."""
    asked = report({"x": {"a": {"ssim": 0.5}}}, SR3_NATURAL)
    published = ["Reference (published)", "Regression (published)", "SR3 (published)"]
    assert [row[0] for row in asked.rows()] == ["method", "a", *published]
    without = replace(asked, sets={})
    assert [row[0] for row in without.rows()] == ["method", "a", *published[1:]]
    last = without.markdown().splitlines()[-4:]
    assert last[0].startswith("- published besides, not measured here: Regression, fid 15.2")
    assert last[2].startswith(
        "- 1 published row is left out, of what was not measured here (fid, is): Saharia"
    )
    assert last[3].startswith("- published: Saharia")
    errors = replace(report({"x": {"a": {"ssim": 0.5}}}, SR3_CLASSIFICATION), sets={}).markdown()
    assert "- 8 published rows are left out, of what was not measured here (top1, top5): Saharia" in errors
    assert errors.count("ResNet-50") == 1


def test_files_are_written_and_replaced() -> None:
    Path("out").mkdir()
    for one in (TWO, report({"x": {"a": ONE}})):
        one.write(Path("out"))
        assert Path("out/report.json").read_text(encoding="utf-8") == one.json()
    assert sorted(path.name for path in Path("out").iterdir()) == ["images.csv", "report.json", "table.md"]


def test_conventions_tell_where_poor_pictures_come_from() -> None:
    made, given = (" ".join(CLASSIC_Y.conventions(3, low)) for low in (False, True))
    assert "MATLAB's bicubic" in made
    assert "those given" in given
    assert "scale 3" in made


def test_a_report_says_no_paths() -> None:
    saved("somewhere/high", "nose")
    asked = Evaluation(CLASSIC_Y, 4, find_pairs(Path("somewhere/high").resolve()), [], ())
    assert str(Path.cwd()) not in Report(asked, "high", False, [], {}).json()


@pytest.mark.parametrize(
    ("mean", "low", "high", "text"),
    [
        (31.0, 30.0, 32.0, "31.00 ± 1.00"),
        (0.3270, 0.0260, 0.7862, "0.3270 +0.4592 -0.3010"),  # ± 0.3801 would have 0 in it
        (-1.2e-5, -9e-5, 4e-5, "-1.20e-05 +5.20e-05 -7.80e-05"),
        (0.0, 0.0, 0.0, "0.0000 ± 0.0000"),
        (5.0, None, None, "5.00"),
    ],
)
def test_an_interval_is_told_as_far_as_it_goes(
    mean: float, low: float | None, high: float | None, text: str
) -> None:
    assert estimate_text(Estimate(mean, low, high, 5)) == text
