"""Two methods on the same pictures: the test, its words' numbers, and the picture of their differences."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reports import noisy, report_of, scene
from scipy.stats import permutation_test

from refinesr.errors import InputError
from refinesr.evaluate.aims import Aim, Higher, Lower, Near, Neither
from refinesr.evaluate.comparable import SAMPLING_REMARK
from refinesr.evaluate.comparison import (
    MetricComparison,
    compare_folders,
    compare_reports,
    compare_scores,
)
from refinesr.evaluate.difference_sheet import GAP, TEXT, ZOOM, differing_crops, draw_sheet, most_different
from refinesr.evaluate.saved_report import MetricInfo, read_report
from refinesr.evaluate.sign_flip import EXACT_COUNT, sign_flip_p
from refinesr.images.io import write
from refinesr.images.picture import Picture
from refinesr.images.span import Span

PSNR = MetricInfo("PSNR", Higher(), "", "dB")


def column(*values: float) -> dict[str, float]:
    return {str(k): float(value) for k, value in enumerate(values)}


def brute_force(differences: np.ndarray) -> float:
    means = [abs(np.dot(signs, differences)) for signs in itertools.product((-1, 1), repeat=len(differences))]
    return float(np.mean(np.array(means) >= abs(differences.sum()) - 1e-12))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12])
def test_p_is_the_share_of_all_patterns_of_signs(count: int) -> None:
    differences = np.random.default_rng(count).normal(0.4, 1, count)
    assert sign_flip_p(differences) == pytest.approx(brute_force(differences), abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_p_agrees_with_scipy(shift: float) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 10), rng.normal(shift, 1, 10)
    theirs = permutation_test(
        (b, a), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip_p(b - a) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_ties_of_rounding_count_as_ties() -> None:
    """0.1 + 0.2 - 0.3 is not 0 in floating point: half of the patterns are as extreme as the observed one."""
    differences = np.array([0.3, 0.1, -0.2, 0.6, -0.7])
    whole = np.round(10 * differences)
    assert sign_flip_p(differences) == brute_force(whole) == sign_flip_p(whole)


def test_random_patterns_agree_with_all_of_them() -> None:
    """Two more pictures that do not differ leave p as it is; found by chance it is within 4 of its errors."""
    differences = np.random.default_rng(3).normal(0.4, 1, EXACT_COUNT - 1)
    exact = sign_flip_p(differences)
    sampled = sign_flip_p(np.concatenate((differences, [0.0, 0.0])))
    assert 0.05 < exact < 0.6
    assert sampled == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 100_000))


def test_of_many_pictures_that_all_say_the_same_p_is_the_least_there_is() -> None:
    """Of 100000 random patterns of 40 signs none has all alike; the one observed counts."""
    found = compare_scores("psnr", PSNR, column(*range(40)), column(*range(1, 41)))
    assert found is not None
    assert (found.p, found.exact) == (found.smallest_p, False)
    assert found.smallest_p == pytest.approx(1 / 100_001)


def test_p_of_alike_methods_is_uniform() -> None:
    rng = np.random.default_rng(4)
    found = [sign_flip_p(rng.normal(0, 1, 9)) for _ in range(600)]
    for level in (0.05, 0.25, 0.5):
        share = float(np.mean(np.array(found) <= level))
        assert share == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / 600))


@pytest.mark.parametrize("count", [1, 5, EXACT_COUNT, EXACT_COUNT + 30])
def test_equal_methods_have_p_one(count: int) -> None:
    same = column(*np.random.default_rng(0).normal(30, 2, count))
    found = compare_scores("psnr", PSNR, same, same)
    assert found is not None
    assert (found.difference, found.p) == (0.0, 1.0)
    assert found.interval in (None, (0.0, 0.0))
    assert found.verdict("A", "B") == "no significant difference"


def test_identical_pictures_of_both_are_equal_and_of_one_are_left_out() -> None:
    """PSNR is infinite there."""
    a, b = column(math.inf, 30, 31, math.inf), column(math.inf, 32, 33, 40)
    found = compare_scores("psnr", PSNR, a, b)
    assert found is not None
    assert (found.count, found.left_out) == (3, 1)
    assert found.difference == pytest.approx(4 / 3)
    assert compare_scores("psnr", PSNR, column(math.inf), column(3.0)) is None


@pytest.mark.slow
def test_the_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    """Of 40 pictures with skewed differences; percentiles are known to fall a little short of 95 %."""
    rng, covered, rounds = np.random.default_rng(5), 0, 120
    for _ in range(rounds):
        a = rng.normal(30, 3, 40)
        found = compare_scores("psnr", PSNR, column(*a), column(*(a + rng.gamma(2, 0.5, 40))))
        assert found is not None
        assert found.interval is not None
        covered += found.interval[0] <= 1.0 <= found.interval[1]
    assert 0.87 <= covered / rounds <= 0.99  # 93 % less 3 errors of 120 rounds; not always


def test_pairing_removes_what_pictures_have_in_common() -> None:
    rng = np.random.default_rng(6)
    a = rng.normal(30, 5, 12)
    found = compare_scores("psnr", PSNR, column(*a), column(*(a + 0.5 + rng.normal(0, 0.1, 12))))
    assert found is not None
    assert found.interval is not None
    assert found.interval[1] - found.interval[0] < 0.3  # unpaired means are uncertain by about 5
    assert found.p == found.smallest_p == 2 / 2**12
    assert found.verdict("A", "B") == "B is better"


@pytest.mark.parametrize(
    ("aim", "words"),
    [(Higher(), "A is better"), (Lower(), "B is better"), (Neither(), "they differ; neither is better")],
)
def test_who_is_better_depends_on_the_metric(aim: Aim, words: str) -> None:
    metric = MetricInfo("M", aim)
    assert MetricComparison("m", metric, 3.0, 2.0, -1.0, (-1.5, -0.5), 0.01, 30).verdict("A", "B") == words
    assert (
        MetricComparison("m", metric, 3.0, 2.0, -1.0, (-1.5, 0.1), 0.01, 30).verdict("A", "B")
        == "no significant difference"
    )
    assert MetricComparison("m", metric, 3.0, 2.0, -1.0, (-1.5, -0.5), 0.05, 30).verdict("A", "B") == words
    for p in (0.051, 0.2):
        found = MetricComparison("m", metric, 3.0, 2.0, -1.0, (-1.5, -0.5), p, 30)
        assert found.verdict("A", "B") == "no significant difference"


COVERAGE = MetricInfo("in 90%", Near(0.9))


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (0.70, 0.88, "B is closer to 0.9"),
        (0.88, 0.70, "A is closer to 0.9"),
        (0.92, 0.99, "A is closer to 0.9"),  # more is not better
        (0.60, 0.99, "B is closer to 0.9"),
        (0.85, 0.95, "they differ; neither is closer to 0.9"),
        (0.85, 0.85, "no significant difference"),
    ],
)
def test_of_shares_that_should_be_a_number_the_closer_mean_is_better(a: float, b: float, words: str) -> None:
    rng = np.random.default_rng(0)
    one, other = (column(*(mean + rng.normal(0, 0.01, 30))) for mean in (a, b))
    found = compare_scores("coverage_90", COVERAGE, one, other)
    assert found is not None
    assert found.verdict("A", "B") == words


def test_pictures_on_both_sides_of_the_target_are_right_on_average() -> None:
    """Half of A's are 0.15 below 0.9 and half above, B's are all 0.05 below it."""
    a, b = column(*[0.75, 1.05] * 15), column(*[0.85] * 30)
    found = compare_scores("coverage_90", COVERAGE, a, b)
    assert found is not None
    # 0.05 apart, and the mean of A is uncertain by 0.055
    assert found.verdict("A", "B") == "no significant difference"
    a, b = column(*[0.75, 1.05] * 15), column(*[0.70] * 30)
    found = compare_scores("coverage_90", COVERAGE, a, b)
    assert found is not None
    assert found.verdict("A", "B") == "A is closer to 0.9"


def test_five_pictures_are_too_few_whatever_they_show() -> None:
    found = compare_scores("psnr", PSNR, column(*range(5)), column(*range(10, 15)))
    assert found is not None
    assert (found.p, found.smallest_p) == (0.0625, 0.0625)
    assert found.verdict("A", "B") == "too few pictures to tell"


# ------------------------------------------------------------------------------------------- what is compared

TRUTHS = {name: scene(seed=k) for k, name in enumerate("abc")}
FEW = {name: noisy(truth, 4) for name, truth in TRUTHS.items()}
MANY = {name: noisy(truth, 20) for name, truth in TRUTHS.items()}


def test_methods_of_two_reports_are_compared_like_those_of_one(tmp_path: Path) -> None:
    together = read_report(report_of(tmp_path / "ab", TRUTHS, {"few": FEW, "many": MANY}))
    one = read_report(report_of(tmp_path / "a", TRUTHS, {"few": FEW}))
    other = read_report(report_of(tmp_path / "b", TRUTHS, {"many": MANY}))
    found = list(compare_reports(together, together, "few", "many").metric_comparisons())
    assert found == list(compare_reports(one, other, "few", "many").metric_comparisons())
    assert [each.key for each in found] == ["psnr", "lpips"]
    psnr = together.scores("many", "psnr"), together.scores("few", "psnr")
    assert found[0].difference == pytest.approx(np.mean([psnr[0][name] - psnr[1][name] for name in TRUTHS]))


def test_reports_of_other_pictures_of_the_same_names_are_refused(tmp_path: Path) -> None:
    """Each difference would be between two pictures."""
    one, other = (read_report(report_of(tmp_path / name, TRUTHS, {"few": FEW})) for name in "ab")
    for report, checksum in ((one, "00000001"), (other, "00000002")):
        folder = report.folder / "pictures" / "high"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "inputs.csv").write_text(f"a.png,{checksum}\nb.png,3\n")
    with pytest.raises(InputError, match="'a' is another picture in each"):
        compare_reports(one, other, "few", "few")
    with pytest.raises(InputError, match="pictures of 3 and of 7 bands"):
        compare_reports(one, replace(one, bands=7), "few", "few")


def test_reports_measured_in_other_ways_are_refused(tmp_path: Path) -> None:
    one = read_report(report_of(tmp_path / "a", TRUTHS, {"few": FEW}))
    other_names = {"x": TRUTHS["a"]}
    smaller = {name: truth[:40] for name, truth in TRUTHS.items()}
    cut = {"name": "classic-y", "conventions": ["scale 4", "borders cut"]}
    for message, report in (
        (
            "protocols classic-y and sr3-faces; both must be one",
            {"protocol": {"name": "sr3-faces", "conventions": []}},
        ),
        ("only one says 'borders cut'; both must be measured in one way", {"protocol": cut}),
        ("has no picture 'a', which the other report has", (other_names, other_names)),
        (r"'a' is of two sizes, \(48, 64\) and \(40, 64\)", (smaller, smaller)),
    ):
        truths, made = report if isinstance(report, tuple) else (TRUTHS, FEW)
        changes = report if isinstance(report, dict) else {}
        other = read_report(report_of(tmp_path / "b", truths, {"few": made}, **changes))
        with pytest.raises(InputError, match=message):
            compare_reports(one, other, "few", "few")
    with pytest.raises(InputError, match="has no method 'none', only few"):
        compare_reports(one, one, "few", "none")


def test_reports_of_models_run_with_other_fidelity_are_compared(tmp_path: Path) -> None:
    """They are measured in one way; what the models do is what is compared."""
    for name, told in (("a", []), ("b", [f"{SAMPLING_REMARK} fidelity 1 (--fidelity)"])):
        way = {"name": "classic-y", "conventions": ["scale 4", *told]}
        report_of(tmp_path / name, TRUTHS, {"few": FEW}, protocol=way)
    one, other = (read_report(tmp_path / name) for name in "ab")
    assert [each.difference for each in compare_reports(one, other, "few", "few").metric_comparisons()] == [
        0.0,
        0.0,
    ]


def test_metrics_with_no_finite_difference_are_told(tmp_path: Path) -> None:
    report = read_report(report_of(tmp_path, TRUTHS, {"best": TRUTHS, "many": MANY}))
    match = compare_reports(report, report, "best", "many")
    (psnr,) = match.infinite_differences()
    assert (psnr.key, psnr.left_out, psnr.a, psnr.difference) == ("psnr", 3, math.inf, -math.inf)
    assert psnr.b == report.methods[1].metrics["psnr"].mean
    assert [each.key for each in match.metric_comparisons()] == ["lpips"]
    assert list(compare_reports(report, report, "best", "best").infinite_differences()) == []
    alone = replace(match, metrics={"psnr": match.metrics["psnr"]})
    with pytest.raises(InputError, match="best and many: every difference is infinite, for one of them is"):
        list(alone.metric_comparisons())


def test_a_metric_measured_otherwise_is_left_out_and_named(tmp_path: Path) -> None:
    one = read_report(report_of(tmp_path / "a", TRUTHS, {"few": FEW}))
    metrics = {
        key: {
            "title": title,
            "better": better,
            "convention": convention,
            "unit": "dB" if key == "psnr" else "",
        }
        for key, title, better, convention in (
            ("psnr", "PSNR", "higher", "of all channels"),
            ("lpips", "LPIPS", "lower", "other weights"),
        )
    }
    other = read_report(report_of(tmp_path / "b", TRUTHS, {"many": MANY}, metrics=metrics))
    match = compare_reports(one, other, "few", "many")
    assert match.incomparable == ("LPIPS",)
    assert [each.key for each in match.metric_comparisons()] == ["psnr"]
    few = read_report(report_of(tmp_path / "c", TRUTHS, {"many": MANY}, metrics={"psnr": metrics["psnr"]}))
    assert compare_reports(one, few, "few", "many").incomparable == ()  # only one has LPIPS


def saved(folder: Path, pictures: dict[str, np.ndarray]) -> Path:
    folder.mkdir()
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def test_folders_are_measured_against_the_originals(tmp_path: Path) -> None:
    a, b, data = (saved(tmp_path / n, of) for n, of in (("a", FEW), ("b", MANY), ("data", TRUTHS)))
    *before, last = compare_folders(a, b, data)
    assert [(at.done, at.total, at.match) for at in before] == [(k, 3, None) for k in range(3)]
    assert last.match is not None
    psnr, ssim = last.match.metric_comparisons()
    expected = [10 * math.log10(255**2 / np.mean((TRUTHS[n] - FEW[n].astype(float)) ** 2)) for n in TRUTHS]
    assert psnr.a == pytest.approx(np.mean(expected))
    assert (psnr.metric.title, ssim.metric.title, psnr.count) == ("PSNR", "SSIM", 3)
    assert psnr.difference < -10
    *_, perfect = compare_folders(data, data, data)
    assert perfect.match is not None
    assert [(each.difference, each.p) for each in perfect.match.metric_comparisons()] == [(0.0, 1.0)] * 2


@pytest.mark.parametrize(("kind", "bands"), [(np.float32, 1), (np.uint16, 2)])
def test_folders_in_units_are_measured_by_a_span(tmp_path: Path, kind: type, bands: int) -> None:
    """By numpy on the files' own numbers; the span's ends are black and white to the eye."""
    rng, span = np.random.default_rng(0), Span((200.0,), (400.0,))
    for folder in ("a", "b", "data"):
        (tmp_path / folder).mkdir()
    truth = {name: rng.uniform(250, 350, (24, 20, bands)).astype(kind) for name in "xy"}
    made = {
        name: {k: (x + rng.normal(1, 5, x.shape)).astype(kind) for k, x in truth.items()} for name in "ab"
    }
    for folder, pictures in {**made, "data": truth}.items():
        for name, values in pictures.items():
            write(Picture(values, span=span), tmp_path / f"{folder}/{name}.tiff")
    *_, last = compare_folders(tmp_path / "a", tmp_path / "b", tmp_path / "data", span)
    assert last.match is not None
    assert last.match.metrics.keys() == {"psnr", "ssim", "rmse", "bias"}
    for side, name in ((last.match.a, "a"), (last.match.b, "b")):
        for key, values in truth.items():
            error = made[name][key].astype(float) - values
            root = math.sqrt(np.mean(error**2))
            assert side.scores["rmse"][key] == pytest.approx(root, rel=1e-9)
            assert side.scores["bias"][key] == pytest.approx(error.mean(), rel=1e-9)
            assert side.scores["psnr"][key] == pytest.approx(20 * math.log10(200 / root), rel=1e-9)
    grey = (255 * (made["a"]["x"][..., :1].astype(float) - 200) / 200).round()
    shown = last.match.a.picture("x")
    assert shown is not None
    np.testing.assert_array_equal(shown, grey.repeat(3, 2))
    assert last.match.bands == (bands if bands == 2 else 0)
    assert last.match.context == "data, by the span 200 to 400"


# --------------------------------------------------------------------------------- the picture of differences


def test_the_sheet_shows_truth_a_b_and_their_difference(tmp_path: Path) -> None:
    one = {name: truth.copy() for name, truth in TRUTHS.items()}
    one["b"][10:20, 30:40] ^= 255
    report = read_report(report_of(tmp_path, TRUTHS, {"same": TRUTHS, "changed": one}))
    match = compare_reports(report, report, "same", "changed")
    shown = most_different(differing_crops(match), 2)
    assert [place.name for place in shown] == ["b", "a"]
    assert [place.difference > 0 for place in shown] == [True, False]
    picture = draw_sheet(match, shown)
    side = 48 * ZOOM
    assert picture.pixels.shape == (TEXT + 2 * GAP + 2 * (side + TEXT + GAP), GAP + 4 * (side + GAP), 3)
    top = TEXT + GAP
    box = shown[0].box
    drawn = [picture.pixels[top : top + side, GAP + k * (side + GAP) :][:side, :side:ZOOM] for k in range(4)]
    for tile, crop in zip(drawn, [TRUTHS["b"], TRUTHS["b"], one["b"]], strict=False):
        assert (tile[::ZOOM] == box.of(crop)).all()
    there = drawn[3][::ZOOM].any(2)
    assert (there == (box.of(TRUTHS["b"]) != box.of(one["b"])).any(2)).all()


def test_pictures_that_are_alike_make_a_black_difference(tmp_path: Path) -> None:
    report = read_report(report_of(tmp_path, TRUTHS, {"same": TRUTHS, "again": TRUTHS}))
    match = compare_reports(report, report, "same", "again")
    side = 48 * ZOOM
    pixels = draw_sheet(match, most_different(differing_crops(match))).pixels
    assert not pixels[TEXT + GAP :][:side, GAP + 3 * (side + GAP) :][:, :side].any()


def test_a_result_that_is_not_there_is_named(tmp_path: Path) -> None:
    report = read_report(report_of(tmp_path, TRUTHS, {"few": FEW, "many": MANY}))
    (tmp_path / "pictures" / "many" / "c.png").unlink()
    with pytest.raises(InputError, match="there is no result of 'many' for 'c'"):
        most_different(differing_crops(compare_reports(report, report, "few", "many")))
