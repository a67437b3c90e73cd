"""The page of a report: what it says, shows, and asks for."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from reports import METRICS, noisy, report_of, scene

from refinesr.errors import ConfigError, InputError
from refinesr.evaluate import gallery
from refinesr.evaluate.aims import Higher, Lower, Near, Neither
from refinesr.evaluate.axes import Axis, round_numbers, tick_text
from refinesr.evaluate.crops import SIDE, CropBox, check_size, difference_map, most_different_square
from refinesr.evaluate.estimates import Estimate
from refinesr.evaluate.page import write_page
from refinesr.evaluate.plots import AxisInfo, Point, quality_curves, scatter, tag
from refinesr.evaluate.report_plots import rows_by_model
from refinesr.evaluate.saved_report import MethodRow, MetricInfo, read_report

EVIL = '<b onclick="x">&\''
VOID = {"meta", "img", "input", "br"}


class Read(HTMLParser):
    """All elements of a page; fails for tags that do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.said: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.said.append(data)

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]

    @property
    def text(self) -> str:
        return " ".join(self.said)


def made(folder: Path, names: tuple[str, ...] = ("a", "b"), **changes: Any) -> Path:
    truths = {name: scene(seed=k) for k, name in enumerate(names)}
    few = {name: noisy(truth, 5) for name, truth in truths.items()}
    many = {name: noisy(truth, 30) for name, truth in truths.items()}
    return report_of(folder, truths, {"net@1": few, "net@4": many}, **changes)


def read(folder: Path) -> Read:
    return Read(write_page(folder).read_text(encoding="utf-8"))


def pixels_of(uri: str | None) -> Any:
    assert uri is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_nothing_is_asked_for_from_anywhere(tmp_path: Path) -> None:
    there = read(made(tmp_path))
    named = [value for _, found in there.elements for key, value in found.items() if key in ("src", "href")]
    assert named
    assert all((value or "").startswith("data:image/webp;base64,") for value in named)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert re.findall(r"https?:|url\(|@import|<link|fetch\(|XMLHttp", text) == []
    policy = [found for found in there.all("meta") if found.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in (policy[0]["content"] or "")


def test_names_of_files_and_methods_are_text(tmp_path: Path) -> None:
    truth = {EVIL.replace("/", ""): scene()}
    methods = {EVIL: {name: noisy(pixels, 9) for name, pixels in truth.items()}}
    report_of(tmp_path, truth, methods, data=EVIL, protocol={"name": EVIL, "conventions": [EVIL]})
    there = read(tmp_path)
    assert there.all("b") == [{}] * 3  # our own: truth, input and the method
    assert not any("onclick" in found for _, found in there.elements)
    assert there.text.count(EVIL) >= 5
    assert any((found["alt"] or "") == f"{EVIL}, {EVIL}" for found in there.all("img"))


def test_the_crops_are_the_pictures_own_pixels(tmp_path: Path) -> None:
    made(tmp_path, ("a",))
    shown = {found["alt"]: found["src"] for found in read(tmp_path).all("img") if found["alt"]}
    for alt, folder in (("a, truth", "high"), ("a, net@1", "net@1"), ("a, net@4", "net@4")):
        whole = np.asarray(Image.open(tmp_path / "pictures" / folder / "a.png"))
        crop = pixels_of(shown[alt])
        assert crop.shape == (48, 48, 3)
        lefts = [left for left in range(17) if (whole[:, left : left + 48] == crop).all()]
        assert len(lefts) == 1
        assert lefts[0] % 4 == 0
        low = pixels_of(shown["a, input"])
        whole_low = np.asarray(Image.open(tmp_path / "pictures" / "low" / "a.png"))
        assert (low == whole_low[:, lefts[0] // 4 : lefts[0] // 4 + 12]).all()


def test_every_picture_has_words_and_every_control_a_name(tmp_path: Path) -> None:
    there = read(made(tmp_path))
    in_dialog = [found for found in there.all("img") if not found["alt"]]
    assert [found["class"] for found in in_dialog] == ["right", "left"]  # the script gives them theirs
    assert all(found.get("aria-label") for found in there.all("svg"))
    assert all(found.get("type") == "button" for found in there.all("button") if "data-what" in found)
    assert there.all("html") == [{"lang": "en"}]


def test_numbers_and_intervals_are_those_of_the_report(tmp_path: Path) -> None:
    metrics = {"psnr": {"mean": 28.4321, "low": 27.1, "high": 29.9, "count": 2}}
    rows = [
        {"name": "one", "kind": "model", "calls": 1, "seed": 0, "metrics": metrics},
        {"name": "other", "kind": "x", "calls": None, "metrics": {"psnr": {"mean": "inf", "count": 2}}},
    ]
    there = read(made(tmp_path, methods=rows, images=[]))
    assert "28.43" in there.said
    assert "27.10 – 29.90" in there.said
    assert there.said[there.said.index("∞") + 1] == " best"


@pytest.mark.parametrize(
    ("better", "best", "mark"),
    [
        ("higher", ["30.00"], "↑"),
        ("lower", ["20.00"], "↓"),
        ({"near": 29}, ["30.00"], "→\xa029"),
        ({"near": 21.5}, ["20.00"], "→\xa021.5"),
        ({"near": 25}, ["20.00", "30.00"], "→\xa025"),
        (None, [], None),
    ],
)
def test_the_best_is_marked_as_the_metric_means_it(
    tmp_path: Path, better: object, best: list[str], mark: str | None
) -> None:
    rows = [
        {
            "name": name,
            "kind": "x",
            "calls": None,
            "metrics": {"m": {"mean": mean, "low": None, "high": None}},
        }
        for name, mean in (("a", 20.0), ("b", 30.0), ("c", None), ("d", 45.0), ("e", 5.0))
    ]
    rows = rows[:3] if isinstance(better, str) else rows
    metrics = {"m": {"title": "M", "better": better, "convention": "", "unit": ""}}
    there = read(made(tmp_path, methods=rows, metrics=metrics, images=[]))
    assert [there.said[k - 1] for k, said in enumerate(there.said) if said == " best"] == best
    assert [said for said in there.said if said[0] in "↑↓→"] == ([] if mark is None else [mark])


def test_published_rows_are_marked_and_never_the_best(tmp_path: Path) -> None:
    published = [{"name": "theirs", "source": "somebody 2021", "metrics": {"psnr": 99.5, "unknown": 1}}]
    there = read(made(tmp_path, published=published))
    at = there.said.index("theirs")
    assert there.said.index("Published, not measured here") < at
    assert there.said[at + 1 : at + 4] == ["published: somebody 2021", "99.5", "–"]
    assert there.said[at + 4] != " best"


def test_published_rows_of_which_nothing_was_measured_are_left_out_and_counted(tmp_path: Path) -> None:
    elsewhere = [{"name": name, "source": "<somebody>", "metrics": {"fid": 1.5, "is": 2}} for name in "pq"]
    one = {"name": "theirs", "source": "somebody", "metrics": {"psnr": 99.5}}
    said = read(made(tmp_path / "both", published=[*elsewhere, one])).said
    told = "2 published rows are left out, of what was not measured here (fid, is): <somebody>."
    assert told in said
    assert "theirs" in said
    assert not {"p", "q"} & {*said}
    said = read(made(tmp_path / "none", published=elsewhere)).said
    assert told in said
    assert "Published, not measured here" not in said


def test_paired_differences_say_who_is_better(tmp_path: Path) -> None:
    pair = {"a": "net@1", "b": "net@4", "metric": "lpips", "difference": -0.05, "low": -0.06, "high": -0.04}
    open_pair = pair | {"metric": "psnr", "difference": 1.0, "low": -1.0, "high": 3.0}
    alone = pair | {"low": None, "high": None}
    said = read(made(tmp_path, pairs=[pair, open_pair, alone])).said
    assert said.count("net@1 is better") == 1
    assert said.count("no significant difference") == 1


@pytest.mark.parametrize(
    ("key", "better", "distance", "words"),
    [
        ("coverage_90", {"near": 0.9}, (-0.2, -0.1), "net@1 is closer to 0.9"),
        ("coverage_90", {"near": 0.9}, (0.1, 0.2), "net@4 is closer to 0.9"),
        ("coverage_90", {"near": 0.9}, (-0.1, 0.2), "they differ; neither is closer to 0.9"),
        ("coverage_90", "higher", None, "they differ; neither is closer to 0.9"),  # of an older report
        ("sigma", None, None, "they differ; neither is better"),
        ("sigma", "higher", None, "they differ; neither is better"),  # of an older report
    ],
)
def test_paired_differences_of_what_more_is_not_better_of(
    tmp_path: Path, key: str, better: object, distance: tuple[float, float] | None, words: str
) -> None:
    pair: dict[str, Any] = {"a": "net@1", "b": "net@4", "metric": key, "difference": 0.2}
    pair |= {"low": 0.1, "high": 0.3}
    if distance is not None:
        pair["distance"] = {"difference": sum(distance) / 2, "low": distance[0], "high": distance[1]}
    metrics = METRICS | {key: {"title": "M", "better": better, "convention": "", "unit": ""}}
    assert words in read(made(tmp_path, pairs=[pair], metrics=metrics)).said


def test_older_reports_mean_what_newer_ones_say(tmp_path: Path) -> None:
    """They called spread and coverage better where higher; of what else they say that it is so."""
    said = {"title": "M", "better": "higher", "convention": "", "unit": ""}
    keys = ("psnr", "sigma", "coverage_50", "coverage_90")
    report = read_report(made(tmp_path, metrics=dict.fromkeys(keys, said)))
    assert [report.metrics[key].better for key in keys] == [Higher(), Neither(), Near(0.5), Near(0.9)]


def test_the_largest_differences_come_first_and_their_number_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truths = {name: scene(seed=k) for k, name in enumerate("abcd")}
    levels = dict(zip("abcd", (5, 40, 10, 20), strict=True))
    worse = {name: noisy(truth, levels[name]) for name, truth in truths.items()}
    report_of(tmp_path, truths, {"same": truths, "worse": worse})
    monkeypatch.setattr(gallery, "MAX_PICTURES", 3)
    there = read(tmp_path)
    wholes = [(found["alt"] or "")[0] for found in there.all("img") if "whole" in (found["alt"] or "")]
    assert wholes == ["b", "d", "c"]
    assert "3 of 4 pictures" in there.text


def test_crops_stop_where_the_page_would_grow_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path, tuple("abcdef"))
    one = len(gallery.article(read_report(tmp_path), read_report(tmp_path).images[0]) or "")
    monkeypatch.setattr(gallery, "MAX_BYTES", int(2.5 * one))
    assert "2 of 6 pictures" in read(tmp_path).text


@pytest.mark.slow
def test_the_worst_case_is_below_eight_mebibytes(tmp_path: Path) -> None:
    """Noise does not compress; 16 methods of it in crops of full size."""
    rng = np.random.default_rng(0)
    noise = {str(k): rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for k in range(24)}
    report_of(tmp_path, noise, {f"method {k}": noise for k in range(16)})
    assert 2**22 < write_page(tmp_path).stat().st_size < 2**23


def test_a_report_without_pictures_has_no_crops(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "pictures").rename(tmp_path / "gone")
    there = read(tmp_path)
    assert "Crops" not in there.said
    assert there.all("img") == []
    assert there.all("dialog") == []


def test_without_truths_crops_are_of_the_methods_alone(tmp_path: Path) -> None:
    made(tmp_path, ("a",))
    assert "a, truth" in [found["alt"] for found in read(tmp_path).all("img")]
    (tmp_path / "pictures" / "high").rename(tmp_path / "photos")
    alts = [found["alt"] for found in read(tmp_path).all("img")]
    assert "a, net@4" in alts
    assert "a, truth" not in alts


def test_the_same_report_makes_the_same_page(tmp_path: Path) -> None:
    made(tmp_path)
    assert write_page(tmp_path).read_bytes() == write_page(tmp_path).read_bytes()


def test_what_is_no_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"report\.json: cannot be read: No such file"):
        write_page(tmp_path)
    path = made(tmp_path) / "report.json"
    facts = json.loads(path.read_text())
    wrong: tuple[tuple[str, object], ...] = (
        (r"is not a report of refinesr evaluate", facts | {"format": "x"}),
        (r"'methods' is missing", {key: value for key, value in facts.items() if key != "methods"}),
        (r"report\.json: is no report", facts | {"images": [dict(facts["images"][0], height="x")]}),
        (r"leads out of the folder", facts | {"images": [dict(facts["images"][0], name="../../a")]}),
        (
            r"better: 'more' is not \"higher\", \"lower\", \{\"near\": a number\} or null",
            facts | {"metrics": {"m": {"title": "", "better": "more"}}},
        ),
    )
    for message, data in wrong:
        path.write_text(json.dumps(data))
        with pytest.raises(ConfigError, match=message):
            write_page(tmp_path)


def test_a_picture_of_another_size_is_named(tmp_path: Path) -> None:
    made(tmp_path)
    Image.fromarray(scene(32, 32)).save(tmp_path / "pictures" / "net@4" / "b.png")
    with pytest.raises(InputError, match=r"b by net@4: is 32 x 32, and the report is of 64 x 48 pixels"):
        write_page(tmp_path)


# ------------------------------------------------------------------------------------------------- crops


def test_the_crop_lies_where_the_difference_is() -> None:
    one = np.zeros((200, 300, 3), np.uint8)
    other = one.copy()
    other[120:140, 200:230] = 255
    box, _ = most_different_square(difference_map([one, other]))
    assert box.side == SIDE
    assert box.top <= 120
    assert box.top + SIDE >= 140
    assert box.left <= 200
    assert box.left + SIDE >= 230
    assert (box.top % 4, box.left % 4) == (0, 0)


@pytest.mark.parametrize("step", [1, 3, 8])
def test_no_other_square_differs_more(step: int) -> None:
    apart = np.random.default_rng(step).random((40, 53)).astype(np.float32)
    box, most = most_different_square(apart, side=16, step=step)
    side = box.side
    means = [
        apart[y : y + side, x : x + side].mean()
        for y in range(0, 41 - side, step)
        for x in range(0, 54 - side, step)
    ]
    assert side == 16 // step * step
    assert most == pytest.approx(max(means), rel=1e-6)
    assert apart[box.top : box.top + side, box.left : box.left + side].mean() == pytest.approx(most, rel=1e-6)


def test_a_picture_smaller_than_a_crop_is_shown_as_far_as_it_goes() -> None:
    assert most_different_square(np.zeros((20, 50), np.float32), step=8)[0] == CropBox(0, 0, 16)
    assert most_different_square(np.zeros((3, 5), np.float32), step=4)[0] == CropBox(0, 0, 3)


def test_pictures_of_another_size_than_the_reports_are_refused() -> None:
    truth = scene(50, 67)
    assert check_size(truth, (50, 67), "x") is truth
    with pytest.raises(InputError, match="x: is 67 x 50, and the report is of 64 x 48 pixels"):
        check_size(truth, (48, 64), "x")


# ------------------------------------------------------------------------------------------------- plots


@pytest.mark.parametrize("log", [False, True])
def test_coordinates_grow_with_the_numbers(log: bool) -> None:
    axis = Axis("x", 0.5, 40, 60, 460, log)
    places = [axis(value) for value in (0.5, 1, 2, 4, 8, 40)]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (60, 460)
    steps = np.diff(places[1:5])
    assert np.allclose(steps, steps[0]) == log  # doublings are equally far apart on logarithms only


@pytest.mark.parametrize(("low", "high"), [(0, 1), (27.1, 27.9), (-3, 120), (0.1359, 0.1361), (1e5, 1.01e5)])
def test_ticks_are_a_few_round_numbers_within_the_axis(low: float, high: float) -> None:
    ticks = round_numbers(low, high)
    assert 3 <= len(ticks) <= 6
    assert low <= ticks[0] + 1e-12
    assert ticks[-1] <= high + 1e-9
    texts = [tick_text(tick, ticks) for tick in ticks]
    assert len(set(texts)) == len(ticks)
    assert [float(text) for text in texts] == pytest.approx(ticks)


def test_attributes_and_labels_are_escaped() -> None:
    assert tag("a", "", x='"><script>') == '<a x="&quot;&gt;&lt;script&gt;"></a>'
    drawing = scatter("t", AxisInfo("<x>", 1), AxisInfo("<y>", -1), points((EVIL, 1, 2), ("<i>", 2, 3)))
    there = Read(drawing)
    assert {name for name, _ in there.elements} <= {
        "svg",
        "g",
        "title",
        "line",
        "text",
        "path",
        "circle",
        "polygon",
    }
    assert EVIL in there.said


def points(*rows: tuple[str, float, float]) -> list[Point]:
    return [Point(name, around(x), around(y), look) for look, (name, x, y) in enumerate(rows)]


def around(value: float) -> Estimate:
    return Estimate(float(value), value - 0.4, value + 0.4)


def test_better_numbers_lie_further_right_and_further_up() -> None:
    there = Read(scatter("t", AxisInfo("x", 1), AxisInfo("y", 1), points(("a", 1, 1), ("b", 2, 5))))
    (circle,), (square,) = there.all("circle"), there.all("polygon")
    x, y = zip(*[map(float, at.split(",")) for at in (square["points"] or "").split()], strict=True)
    assert float(circle["cx"] or 0) < np.mean(x)
    assert float(circle["cy"] or 0) > np.mean(y)
    assert "better ↗" in there.said


@pytest.mark.parametrize(
    ("across", "up", "words"),
    [
        (1, -1, "better ↘"),
        (-1, 1, "better ↖"),
        (-1, -1, "better ↙"),
        (0, 1, "better ↑"),
        (0, -1, "better ↓"),
        (1, 0, "better →"),
        (-1, 0, "better ←"),
        (0, 0, None),
    ],
)
def test_the_word_is_where_the_best_would_be(across: int, up: int, words: str | None) -> None:
    there = Read(scatter("t", AxisInfo("x", across), AxisInfo("y", up), points(("a", 1, 1), ("b", 2, 5))))
    assert [said for said in there.said if said.startswith("better")] == ([words] if words else [])
    (hint,) = [found for found in there.all("text") if "hint" in (found["class"] or "")] or [None]
    if hint is not None:
        assert (float(hint["x"] or 0) < 240) == (across < 0)
        assert (float(hint["y"] or 0) < 175) == (up > 0)


def test_calls_are_drawn_from_few_to_many() -> None:
    line = [Point("net", Estimate(float(calls)), Estimate(float(calls)), 0) for calls in (1, 2, 8)]
    there = Read(quality_curves("t", AxisInfo("PSNR", 1), [("net", line)]))
    path = next(found["d"] or "" for found in there.all("path") if "curve" in (found["class"] or ""))
    across = [float(place.split()[0]) for place in path[1:].split("L")]
    assert across == sorted(across)
    assert (across[2] - across[1]) == pytest.approx(2 * (across[1] - across[0]), abs=0.2)
    assert {"1", "2", "8"} <= set(there.said)


def test_a_point_at_infinity_is_not_plotted(tmp_path: Path) -> None:
    truths = {"a": scene()}
    methods = {"perfect": truths, "one": {"a": noisy(truths["a"], 5)}, "two": {"a": noisy(truths["a"], 9)}}
    there = read(report_of(tmp_path, truths, methods))
    (drawing,) = there.all("svg")
    assert "one" in (drawing["aria-label"] or "")
    assert "perfect" not in (drawing["aria-label"] or "")


def test_rows_of_one_model_differ_in_calls_only() -> None:
    names = {"net@1": 1, "net (4 calls)": 4, "net-8-steps": 8, "photo-x4": 4, "bicubic": 0, "folder": None}
    rows = [MethodRow(name, "", calls, {}) for name, calls in names.items()]
    ((name, group),) = rows_by_model(rows)
    assert name == "net"
    assert [row.calls for row in group] == [1, 4, 8]


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    report = read_report(made(tmp_path, ("a",)))
    assert report.metrics["lpips"] == MetricInfo("LPIPS", Lower(), "a stand-in: mean difference", "")
    assert [row.name for row in report.methods] == ["net@1", "net@4"]
    assert report.methods[0].metrics["psnr"].interval is not None
    assert report.scores("net@1", "psnr")["a"] == report.methods[0].metrics["psnr"].mean
