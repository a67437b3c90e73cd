"""Labels of points: that they can be read wherever the points lie."""

import math
import random
import re
import string
import xml.etree.ElementTree as Tree
from collections.abc import Sequence
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from PIL import ImageFont

from refinesr.evaluate import label_layout
from refinesr.evaluate.axes import Axis, spaced
from refinesr.evaluate.document import ASSETS
from refinesr.evaluate.estimates import Estimate
from refinesr.evaluate.geometry import Position, Rectangle, length_inside, overlap, row_array, segments_cross
from refinesr.evaluate.label_layout import (
    DIRECTIONS,
    FONT_SIZE,
    LINE_HEIGHT,
    Anchor,
    Label,
    Obstacles,
    place_labels,
    shortened,
    text_width,
)
from refinesr.evaluate.plots import FRAME, MAX_NAMED, AxisInfo, Point, quality_curves, scatter

HALF = 6.5
"""Of the widest mark."""

STEPS = 200
"""Places of a line that are looked at one by one."""


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is true of labels is so however long a better arrangement is sought."""
    monkeypatch.setattr(label_layout, "ITERATIONS", 40)


def shared(one: Sequence[float], other: Sequence[float]) -> float:
    """The area of two rectangles' common part."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0) * max(high, 0)


def along(start: Position, end: Position) -> list[Position]:
    shares = [(k + 0.5) / STEPS for k in range(STEPS)]
    return [(start[0] + s * (end[0] - start[0]), start[1] + s * (end[1] - start[1])) for s in shares]


def inside(place: Position, box: Sequence[float]) -> bool:
    return box[0] < place[0] < box[2] and box[1] < place[1] < box[3]


def distance(place: Position, box: Sequence[float]) -> float:
    (x, y), (left, top, right, bottom) = place, box
    return math.hypot(max(left - x, 0, x - right), max(top - y, 0, y - bottom))


def crowd(seed: int) -> list[Position]:
    """Up to 14 points in up to four heaps, some of them on one another, within the frame's middle part."""
    rng = random.Random(seed)
    heaps = [(rng.uniform(110, 410), rng.uniform(50, 260)) for _ in range(rng.randint(1, 4))]
    far = rng.choice((0.0, 4.0, 25.0))
    found = []
    for _ in range(rng.randint(1, 14)):
        x, y = rng.choice(heaps)
        found.append((x + rng.uniform(-far, far), y + rng.uniform(-far, far)))
    return found


HINT = Rectangle(380, 280, 460, 300)


@cache
def arranged(seed: int) -> tuple[list[Position], list[Anchor], dict[int, Label]]:
    rng, points = random.Random(seed), crowd(seed)
    spots = [Anchor(point, rng.uniform(10, 90)) for point in points]
    bars = [((x - 30, y), (x + 30, y)) for x, y in points]
    return points, spots, place_labels(spots, Obstacles(FRAME, points, [HINT], bars))


@pytest.mark.parametrize("seed", range(12))
def test_labels_cover_no_label_no_mark_and_no_leader_and_stay_within_the_frame(seed: int) -> None:
    points, _, found = arranged(seed)
    assert len(found) == len(points)
    for label in found.values():
        assert shared(label.box, FRAME) == pytest.approx((label.box[2] - label.box[0]) * LINE_HEIGHT)
        assert not any(shared(label.box, (x - HALF, y - HALF, x + HALF, y + HALF)) for x, y in points)
        assert not shared(label.box, HINT)
    for one, other in combinations(found.values(), 2):
        assert not shared(one.box, other.box)
        for label, box in ((one, other.box), (other, one.box)):
            assert not (label.has_leader and any(inside(place, box) for place in along(*label.leader)))


@pytest.mark.parametrize("seed", range(12))
def test_boxes_are_as_wide_as_their_labels_and_leaders_lead_to_their_points(seed: int) -> None:
    points, spots, found = arranged(seed)
    for k, label in found.items():
        left, top, right, bottom = label.box
        assert (right - left, bottom - top) == pytest.approx((spots[k].width, LINE_HEIGHT))
        (x, y), end = label.leader
        assert end == points[k]
        assert x in (left, right) or y in (top, bottom)
        if not label.has_leader:  # it lies beside its point, and no other is nearer
            reach = math.dist((x, y), end)
            assert reach < 1.5 * LINE_HEIGHT
            assert all(distance(other, label.box) >= reach - 2 for other in points)


def test_labels_of_points_far_apart_lie_beside_them() -> None:
    points = [(x, y) for x in (120.0, 260.0, 400.0) for y in (60.0, 120.0, 180.0, 240.0)]
    found = place_labels([Anchor(point, 70.0) for point in points], Obstacles(FRAME, points))
    assert len(found) == 12
    assert not any(label.has_leader for label in found.values())
    assert max(math.dist(*label.leader) for label in found.values()) < 12


def test_a_label_keeps_off_a_line_where_it_can() -> None:
    place = (260.0, 150.0)
    for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1)):
        line = (place, (place[0] + 90 * a, place[1] + 90 * b))
        label = place_labels([Anchor(place, 60.0)], Obstacles(FRAME, [place], lines=[line]))[0]
        assert not any(inside(at, label.box) for at in along(*line))


def test_a_label_that_is_nearer_to_another_point_has_a_leader() -> None:
    """All else is taken but the place above and right of one point, which is right above the other."""
    point, width = (200.0, 150.0), 60.0
    kept = [Rectangle(62, 14, 207, 304), Rectangle(207, 143, 466, 304), Rectangle(207, 14, 466, 124)]
    for other, led in (((230.0, 150.0), True), ((300.0, 150.0), False)):
        label = place_labels([Anchor(point, width)], Obstacles(FRAME, [point, other], kept))[0]
        assert (label.box.left, label.box.bottom) == (208, 142)
        assert label.has_leader == led


def test_the_same_points_give_the_same_places() -> None:
    points = crowd(3)
    spots, room = [Anchor(point, 50.0) for point in points], Obstacles(FRAME, points)
    assert place_labels(spots, room) == place_labels(spots, room)


def test_without_room_there_are_no_labels() -> None:
    place = (260.0, 150.0)
    assert place_labels([Anchor(place, 500.0)], Obstacles(FRAME, [place])) == {}
    assert place_labels([], Obstacles(FRAME, [])) == {}
    lone = place_labels([Anchor(place, 50.0), Anchor(place, 500.0)], Obstacles(FRAME, [place, place]))
    assert list(lone) == [0]


def test_all_sides_of_a_point_are_tried_once() -> None:
    assert len(set(DIRECTIONS)) == len(DIRECTIONS)
    assert all(max(abs(a), abs(b)) == 1 for a, b in DIRECTIONS)


# ------------------------------------------------------------------------------- lines and boxes


def test_the_part_of_a_line_within_a_box_is_as_long_as_its_places_say() -> None:
    """Off by no more than a place at each end; some lines are level, some upright, some no line."""
    rng, box = random.Random(0), Rectangle(10, 20, 50, 40)
    lines = [tuple(rng.choice((rng.uniform(0, 60), 30.0)) for _ in range(4)) for _ in range(400)]
    found = length_inside(row_array([box]), np.array(lines))
    assert sum(found > 0) > 100
    for (x, y, u, v), long in zip(lines, found, strict=True):
        step = math.dist((x, y), (u, v)) / STEPS
        counted = step * sum(inside(place, box) for place in along((x, y), (u, v)))
        assert long == pytest.approx(counted, abs=2 * step + 1e-9)


def test_boxes_meet_if_they_have_an_area_in_common() -> None:
    rng = random.Random(0)
    ends = [sorted(rng.sample(range(12), 2)) for _ in range(800)]
    boxes = [Rectangle(a, b, c, d) for (a, c), (b, d) in zip(ends[::2], ends[1::2], strict=True)]
    found = overlap(row_array(boxes[:200]), row_array(boxes[200:]))
    assert found.tolist() == [shared(*both) > 0 for both in zip(boxes[:200], boxes[200:], strict=True)]
    assert 20 < found.sum() < 180


def test_lines_cross_if_they_do_so_between_their_ends() -> None:
    one = ((0, 0), (4, 4))
    through, from_its_end, short_of_it, beside = (
        ((0, 4), (4, 0)),
        ((0, 0), (4, 0)),
        ((0, 4), (1, 3)),
        ((1, 0), (5, 4)),
    )
    found = segments_cross(row_array([one]), row_array([through, from_its_end, short_of_it, beside]))
    assert found.tolist() == [True, False, False, False]


# ------------------------------------------------------------------------------- the letters


FONT = ImageFont.load_default(FONT_SIZE)


def test_texts_are_no_wider_than_they_are_thought_to_be() -> None:
    """In the one font that is at hand everywhere, and letter by letter, so that all texts of them are."""
    every = string.ascii_letters + string.digits + string.punctuation + " "
    assert [letter for letter in every if FONT.getlength(letter) > text_width(letter)] == []
    assert text_width("photo-x4@1") == pytest.approx(sum(map(text_width, "photo-x4@1")))


def test_letters_of_the_page_are_no_larger_than_they_are_thought_to_be() -> None:
    style = (ASSETS / "page.css").read_text(encoding="utf-8")
    sizes = [float(size) for size in re.findall(r"svg[^{}]*\{[^}]*font-size: ([\d.]+)px", style)]
    assert len(sizes) == 4
    assert max(sizes) == FONT_SIZE


@pytest.mark.parametrize("widest", [0.0, 20.0, 100.0, 200.0])
def test_long_names_keep_their_beginning_and_their_end(widest: float) -> None:
    name = "runs-of-all-kinds/the-second@16"
    short = shortened(name, widest)
    begin, _, end = short.partition("…")
    assert text_width(short) <= max(widest, text_width("…"))
    assert name.startswith(begin)
    assert name.endswith(end)
    assert 0 <= len(begin) - len(end) <= 1
    assert text_width(short) > widest - 2.2 * FONT_SIZE or not widest  # no more is cut than must be
    assert shortened(name, 1000.0) == name


# ------------------------------------------------------------------------------- the plots


def drawn(markup: str) -> Tree.Element:
    return Tree.fromstring(f"<figure>{markup}</figure>")


def looks(there: Tree.Element, name: str) -> list[Tree.Element]:
    return [each for each in there.iter("text") if name in each.attrib["class"].split()]


def box_of(text: Tree.Element) -> tuple[float, float, float, float]:
    """From the highest capital to the lowest descender, as a font has it."""
    x, y = float(text.attrib["x"]), float(text.attrib["y"])
    wide, kinds = FONT.getlength(text.text or ""), text.attrib["class"].split()
    left = x - wide if "end" in kinds else x - wide / 2 if "mid" in kinds else x
    return left, y - 0.76 * FONT_SIZE, left + wide, y + 0.24 * FONT_SIZE


def methods(places: Sequence[Position], apart: float = 0.4) -> list[Point]:
    names = ("bicubic", "photo-x4@1", "SR3-projected", "a-long-name-of-some-run-in-a-folder@16", "ours@8")
    return [
        Point(f"{names[k % len(names)]}-{k}", *(Estimate(v, v - apart, v + apart) for v in place), k)
        for k, place in enumerate(places)
    ]


@pytest.mark.parametrize("ways", [(1, -1), (-1, 1), (1, 0)])
@pytest.mark.parametrize("seed", range(4))
def test_texts_of_a_plot_cover_no_others_and_all_points_have_one(seed: int, ways: tuple[int, int]) -> None:
    """Their names, or numbers that stand for them."""
    points = methods(crowd(seed))
    there = drawn(scatter("t", AxisInfo("x", ways[0]), AxisInfo("y", ways[1]), points))
    boxes = [box_of(text) for name in ("label", "hint") for text in looks(there, name)]
    assert len(boxes) == len(points) + 1
    assert not any(shared(one, other) for one, other in combinations(boxes, 2))
    said = [text.text or "" for text in looks(there, "label")]
    if names := ["".join(item.itertext()) for item in there.iter("li")]:
        assert names == [point.name for point in points]
        assert sorted(map(int, said)) == list(range(1, len(points) + 1))
    else:
        assert sorted(said) == sorted(shortened(point.name, 240) for point in points)


def test_a_crowd_is_numbered_and_what_has_no_number_is_told() -> None:
    few, many = (methods([(1.0, 1.0)] * count, 0.0) for count in (2, MAX_NAMED + 6))
    assert list(drawn(scatter("t", AxisInfo("x", 1), AxisInfo("y", 1), few)).iter("li")) == []
    there = drawn(scatter("t", AxisInfo("x", 1), AxisInfo("y", 1), many))
    numbered = {int(text.text or "") for text in looks(there, "label")}
    told = [k for k, item in enumerate(there.iter("li"), 1) if item.find("small") is None]
    assert {*told} == numbered < {*range(1, len(many) + 1)}


def test_curves_are_named_where_they_end_and_no_mark_is_covered() -> None:
    rng = random.Random(0)
    lines = [
        (f"model-{k}", [Point("", Estimate(float(n)), Estimate(rng.gauss(0, 1)), k) for n in (1, 2, 4, 8)])
        for k in range(5)
    ]
    there = drawn(quality_curves("t", AxisInfo("PSNR", 1), lines))
    boxes = [box_of(text) for text in looks(there, "label") + looks(there, "hint")]
    assert len(boxes) == 6
    marks = [
        [tuple(map(float, corner.split(","))) for corner in shape.attrib["points"].split()]
        for shape in there.iter("polygon")
    ]
    assert len(marks) == 16  # the first model's are circles
    hulls = [
        (*map(min, zip(*corners, strict=True)), *map(max, zip(*corners, strict=True))) for corners in marks
    ]
    assert not any(shared(box, hull) for box in boxes for hull in hulls)
    assert not any(shared(one, other) for one, other in combinations(boxes, 2))


def test_ticks_too_near_to_be_read_are_left_out() -> None:
    x = Axis("x", 1, 128, 62, 466, log=True)
    assert list(spaced([1, 2, 4, 8, 16, 32, 64, 100, 101, 128], x)) == [1, 2, 4, 8, 16, 32, 64, 100]
