"""Placement of the labels of points in a plot, so that each is readable and clearly belongs to its point.

A label covers no mark and no other label and stays within the frame.  It lies beside its point if possible,
else farther away with a thin line, its leader, to the point.  The result is deterministic.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from jaxtyping import Bool, Float64, Int64

from refinesr.evaluate.geometry import (
    Number,
    Position,
    Rectangle,
    Segment,
    length_inside,
    lengths,
    nearest_positions,
    overlap,
    position_array,
    row_array,
    segments_cross,
    squares_around,
)

FONT_SIZE, LINE_HEIGHT = 14.5, 17.0
"""Font size (the larger of the style sheet's two) and height of a label."""

MARK_RADIUS = 7.0
"""Half the size of a mark; a label keeps one unit more distance."""

GAPS = (0.0, 10.0, 22.0, 36.0, 52.0, 70.0, 90.0)
"""Candidate distances between a label and its mark."""

DIRECTIONS = (
    *((1, 0), (-1, 0), (0, -1), (0, 1)),
    *((a, b) for a in (1, -1) for b in (-1, 1)),
    *((a, b) for a in (1, -1) for b in (-0.5, 0.5)),
    *((a, b) for b in (-1, 1) for a in (0.6, -0.6, 0.3, -0.3)),
)
"""Candidate directions from a point to its label's centre, 1 being just beside the mark; best first."""

COVERED_COST, AMBIGUOUS_COST, CROSSING_COST, STRAIGHT_COST = 1, 30, 40, 20
"""Costs in units of distance: of each unit of a bar or curve behind a label; of another point nearer than the
label's own; of a leader over another mark or leader; of a leader that could be mistaken for a bar."""

FORBIDDEN_COST = 100
"""Candidates of at least this cost are discarded."""

ITERATIONS = 250
"""Number of attempts to improve the arrangement."""

NARROW, WIDE = frozenset(" !'(),-./:;I[\\]`fijlrt{|}"), frozenset("%@MWmw")


def text_width(text: str) -> float:
    """An upper bound of the text's width in common sans-serif fonts (DejaVu Sans, Verdana)."""
    return FONT_SIZE * sum(map(advance, text))


def advance(letter: str) -> float:
    """Width of a letter relative to the font size."""
    if not letter.isascii() or letter in WIDE:
        return 1.08
    if letter in NARROW:
        return 0.46
    return 0.64 if letter.islower() or letter.isdigit() or letter == "_" else 0.84


def shortened(text: str, widest: Number) -> str:
    """The text with its middle replaced by "…" if wider than `widest`: names often differ at their ends."""
    short, kept = text, len(text)
    while text_width(short) > widest and kept:
        kept -= 1
        short = text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :]
    return short


@dataclass(frozen=True)
class Anchor:
    """A point to be labelled, and the width of its label."""

    place: Position
    width: Number


@dataclass(frozen=True)
class Label:
    """A placed label; `side` is from -1 (left of its point) to 1 (right of it)."""

    box: Rectangle
    side: Number
    leader: Segment
    has_leader: bool
    """Whether the leader is drawn."""


@dataclass(frozen=True)
class Obstacles:
    """The frame and its content: points with marks, reserved areas, and lines that should not be covered."""

    frame: Rectangle
    points: Sequence[Position]
    reserved: Sequence[Rectangle] = ()
    lines: Sequence[Segment] = ()


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidate positions of labels, as arrays; `anchors` are the numbers of the anchors they belong to."""

    anchors: Int64[np.ndarray, " N"]
    boxes: Float64[np.ndarray, "N 4"]
    sides: Float64[np.ndarray, " N"]
    leaders: Float64[np.ndarray, "N 4"]
    has_leader: Bool[np.ndarray, " N"]
    costs: Float64[np.ndarray, " N"]

    def label(self, choice: int) -> Label:
        x, y, h, v = self.leaders[choice].tolist()
        box = Rectangle(*self.boxes[choice].tolist())
        return Label(box, float(self.sides[choice]), ((x, y), (h, v)), bool(self.has_leader[choice]))

    def conflicting(self, choice: int) -> Bool[np.ndarray, " N"]:
        """Candidates that exclude this one: labels that overlap, or a leader through a label."""
        box, leader = self.boxes[choice], self.leaders[choice]
        conflicting = overlap(self.boxes, box) | (self.has_leader & (length_inside(box, self.leaders) > 0))
        return (
            conflicting | (length_inside(self.boxes, leader) > 0) if self.has_leader[choice] else conflicting
        )

    def crossing(self, choice: int) -> Bool[np.ndarray, " N"]:
        """Candidates whose leaders cross the leader of this one."""
        return np.asarray(
            self.has_leader & self.has_leader[choice] & segments_cross(self.leaders, self.leaders[choice])
        )


def candidates_of(number: int, anchor: Anchor, obstacles: Obstacles) -> Candidates:
    """All candidates for one anchor."""
    place, half = position_array([anchor.place]), np.array((anchor.width / 2, LINE_HEIGHT / 2))
    directions = np.tile(np.array(DIRECTIONS, np.float64), (len(GAPS), 1))
    gaps = np.repeat(np.array(GAPS), len(DIRECTIONS))
    middles = place + directions * (half + MARK_RADIUS + 1 + gaps[:, None])
    boxes, frame = np.concatenate((middles - half, middles + half), -1), np.array(obstacles.frame)
    blocked = np.concatenate(
        (squares_around(position_array(obstacles.points), MARK_RADIUS), row_array(obstacles.reserved))
    )
    free = (boxes[:, :2] >= frame[:2]).all(1) & (boxes[:, 2:] <= frame[2:]).all(1)
    free &= ~overlap(boxes[:, None], blocked).any(1)
    return with_costs(number, place, boxes[free], directions[free, 0], gaps[free] > 0, obstacles)


def with_costs(
    number: int,
    place: Float64[np.ndarray, "1 2"],
    boxes: Float64[np.ndarray, "N 4"],
    sides: Float64[np.ndarray, " N"],
    far: Bool[np.ndarray, " N"],
    obstacles: Obstacles,
) -> Candidates:
    """The candidates with their costs, without those that cost too much."""
    points, ends = position_array(obstacles.points), nearest_positions(boxes, place)
    leaders, directions = np.concatenate((ends, np.broadcast_to(place, ends.shape)), 1), ends - place
    distances = lengths(nearest_positions(boxes[:, None], points) - points)
    # nearer by at least two units, so that coinciding points are not ambiguous
    ambiguous = (distances < lengths(directions)[:, None] - 2).any(1)
    has_leader = far | ambiguous
    marks = squares_around(points[lengths(points - place) > MARK_RADIUS + 1], MARK_RADIUS)
    over = (length_inside(marks, leaders[:, None]) > 0).sum(1)
    straight = np.abs(directions).min(1) < 3
    costs = (
        lengths(directions)
        + AMBIGUOUS_COST * ambiguous
        + COVERED_COST * length_inside(boxes[:, None], row_array(obstacles.lines)).sum(1)
    )
    costs += has_leader * (CROSSING_COST * over + STRAIGHT_COST * straight)
    affordable = costs < FORBIDDEN_COST
    anchors = np.full(len(boxes), number)
    return Candidates(
        anchors[affordable],
        boxes[affordable],
        sides[affordable],
        leaders[affordable],
        has_leader[affordable],
        costs[affordable],
    )


def concatenated(parts: Sequence[Candidates]) -> Candidates:
    return Candidates(
        *(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Candidates))
    )


def place_labels(anchors: Sequence[Anchor], obstacles: Obstacles) -> dict[int, Label]:
    """The labels that could be placed, by the numbers of their anchors.

    Labels are placed greedily, those with the fewest candidates first.  Then, repeatedly, a label that is not
    at its cheapest candidate is moved to a random one and the labels in its way are placed again; the change
    is kept if it improves the arrangement.  The seed is fixed.
    """
    if not anchors:
        return {}
    search = LayoutSearch.of(
        concatenated([candidates_of(k, anchor, obstacles) for k, anchor in enumerate(anchors)]), len(anchors)
    )
    rng, numbers = random.Random(0), range(len(anchors))
    found = search.placed_greedily(sorted(numbers, key=lambda k: len(search.by_anchor[k])), {})
    for _ in range(ITERATIONS):
        improvable = [k for k in numbers if len(search.by_anchor[k]) and found.get(k) != search.cheapest(k)]
        if not improvable:
            break
        found = min(found, search.perturbed(found, rng.choice(improvable), rng), key=search.rating)
    return {k: search.choices.label(choice) for k, choice in found.items()}


Arrangement = dict[int, int]
"""Numbers of candidates without conflicts, by the numbers of their anchors."""


@dataclass(frozen=True, eq=False)
class LayoutSearch:
    """Search for the best arrangement; `by_anchor` are the candidates of each anchor.

    `conflicting` and `crossing` are those of `Candidates`, cached.
    """

    choices: Candidates
    by_anchor: Sequence[Int64[np.ndarray, " _"]]
    conflicting: Callable[[int], Bool[np.ndarray, " N"]]
    crossing: Callable[[int], Bool[np.ndarray, " N"]]

    @staticmethod
    def of(every: Candidates, count: int) -> "LayoutSearch":
        own = [np.flatnonzero(every.anchors == k) for k in range(count)]
        return LayoutSearch(every, own, cache(every.conflicting), cache(every.crossing))

    def cheapest(self, anchor: int) -> int:
        own = self.by_anchor[anchor]
        return int(own[self.choices.costs[own].argmin()])

    def placed_greedily(self, order: Iterable[int], before: Arrangement) -> Arrangement:
        """Place the anchors in this order, each at its cheapest free candidate; `before` stays unchanged."""
        found, costs = dict(before), self.choices.costs.copy()
        for choice in before.values():
            self.forbid(costs, choice)
        for k in order:
            own = self.by_anchor[k]
            if len(own) and np.isfinite(costs[own]).any():
                found[k] = int(own[costs[own].argmin()])
                self.forbid(costs, found[k])
        return found

    def forbid(self, costs: Float64[np.ndarray, " N"], choice: int) -> None:
        """Raise the costs of candidates that cross a choice, to infinity for those that conflict with it."""
        costs += CROSSING_COST * self.crossing(choice)
        costs[self.conflicting(choice)] = np.inf

    def perturbed(self, found: Arrangement, anchor: int, rng: random.Random) -> Arrangement:
        """A label at a random candidate; conflicting labels and two missing ones are placed again."""
        choice = int(rng.choice(self.by_anchor[anchor]))
        conflicting = self.conflicting(choice)
        fixed = {k: other for k, other in found.items() if k != anchor and not conflicting[other]}
        missing = [k for k in range(len(self.by_anchor)) if k not in found and k != anchor]
        rest = [k for k in found if k != anchor and k not in fixed] + rng.sample(
            missing, min(len(missing), 2)
        )
        rng.shuffle(rest)
        return self.placed_greedily(rest, {**fixed, anchor: choice})

    def rating(self, found: Arrangement) -> tuple[int, float]:
        """A key to minimise: more labels first, then lower costs."""
        chosen = np.array([*found.values()], np.int64)
        crossings = sum(int(self.crossing(choice)[chosen].sum()) for choice in found.values()) / 2
        return -len(found), float(self.choices.costs[chosen].sum()) + CROSSING_COST * crossings
