"""Where the labels of points go in a plot, so that each can be read and is seen to be whose.

A label covers no mark and no other label and stays within the frame.  It lies beside its point if it can, or
else farther off, and a thin line leads to the point, its leader.  Nothing of it is by chance.
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
"""Of letters, the larger of the style sheet's two, and the height of a label."""

MARK_RADIUS = 7.0
"""From the middle of a mark to its end; a label keeps 1 more off."""

GAPS = (0.0, 10.0, 22.0, 36.0, 52.0, 70.0, 90.0)
"""How much farther from its mark a label may be."""

DIRECTIONS = (
    *((1, 0), (-1, 0), (0, -1), (0, 1)),
    *((a, b) for a in (1, -1) for b in (-1, 1)),
    *((a, b) for a in (1, -1) for b in (-0.5, 0.5)),
    *((a, b) for b in (-1, 1) for a in (0.6, -0.6, 0.3, -0.3)),
)
"""Where the middle of a label lies from its point, in halves of what is between; the most usual first."""

COVERED_COST, AMBIGUOUS_COST, CROSSING_COST, STRAIGHT_COST = 1, 30, 40, 20
"""What counts as much as so much distance: each unit of a bar or curve behind a label; another point that is
nearer than its own; a leader over another's mark or leader; a leader that might be taken for a bar."""

FORBIDDEN_COST = 100
"""What speaks against a place so much rules it out."""

ITERATIONS = 250
"""How often a better arrangement is sought."""

NARROW, WIDE = frozenset(" !'(),-./:;I[\\]`fijlrt{|}"), frozenset("%@MWmw")


def text_width(text: str) -> float:
    """No less than in any usual font without serifs; DejaVu Sans and Verdana are the widest."""
    return FONT_SIZE * sum(map(advance, text))


def advance(letter: str) -> float:
    """Of one letter, for letters of size 1."""
    if not letter.isascii() or letter in WIDE:
        return 1.08
    if letter in NARROW:
        return 0.46
    return 0.64 if letter.islower() or letter.isdigit() or letter == "_" else 0.84


def shortened(text: str, widest: Number) -> str:
    """Cut in the middle, for names of methods often differ in their ends."""
    short, kept = text, len(text)
    while text_width(short) > widest and kept:
        kept -= 1
        short = text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :]
    return short


@dataclass(frozen=True)
class Anchor:
    """A point that is to have a label so wide."""

    place: Position
    width: Number


@dataclass(frozen=True)
class Label:
    """Where one lies; `side` is from -1 on the left of its point to 1 on the right."""

    box: Rectangle
    side: Number
    leader: Segment
    has_leader: bool
    """Whether the leader is to be drawn."""


@dataclass(frozen=True)
class Obstacles:
    """What else there is: points with marks, places to keep free, lines that are best not covered."""

    frame: Rectangle
    points: Sequence[Position]
    reserved: Sequence[Rectangle] = ()
    lines: Sequence[Segment] = ()


@dataclass(frozen=True, eq=False)
class Candidates:
    """Places for labels that cover no mark, of spots by their numbers; `costs` speak against them."""

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
        """Those that cannot be with this one: labels that meet, or a leader through a label."""
        box, leader = self.boxes[choice], self.leaders[choice]
        barred = overlap(self.boxes, box) | (self.has_leader & (length_inside(box, self.leaders) > 0))
        return barred | (length_inside(self.boxes, leader) > 0) if self.has_leader[choice] else barred

    def crossing(self, choice: int) -> Bool[np.ndarray, " N"]:
        """Those whose leaders cross that of this one."""
        return np.asarray(
            self.has_leader & self.has_leader[choice] & segments_cross(self.leaders, self.leaders[choice])
        )


def candidates_of(number: int, spot: Anchor, room: Obstacles) -> Candidates:
    """All that are possible, for one spot."""
    place, half = position_array([spot.place]), np.array((spot.width / 2, LINE_HEIGHT / 2))
    ways = np.tile(np.array(DIRECTIONS, np.float64), (len(GAPS), 1))
    reaches = np.repeat(np.array(GAPS), len(DIRECTIONS))
    middles = place + ways * (half + MARK_RADIUS + 1 + reaches[:, None])
    boxes, frame = np.concatenate((middles - half, middles + half), -1), np.array(room.frame)
    taken = np.concatenate(
        (squares_around(position_array(room.points), MARK_RADIUS), row_array(room.reserved))
    )
    free = (boxes[:, :2] >= frame[:2]).all(1) & (boxes[:, 2:] <= frame[2:]).all(1)
    free &= ~overlap(boxes[:, None], taken).any(1)
    return with_costs(number, place, boxes[free], ways[free, 0], reaches[free] > 0, room)


def with_costs(
    number: int,
    place: Float64[np.ndarray, "1 2"],
    boxes: Float64[np.ndarray, "N 4"],
    sides: Float64[np.ndarray, " N"],
    far: Bool[np.ndarray, " N"],
    room: Obstacles,
) -> Candidates:
    """What speaks against each; without those that it rules out."""
    points, ends = position_array(room.points), nearest_positions(boxes, place)
    leaders, ways = np.concatenate((ends, np.broadcast_to(place, ends.shape)), 1), ends - place
    distances = lengths(nearest_positions(boxes[:, None], points) - points)
    # nearer by two, for of points on one another none is nearer
    unsure = (distances < lengths(ways)[:, None] - 2).any(1)
    led = far | unsure
    marks = squares_around(points[lengths(points - place) > MARK_RADIUS + 1], MARK_RADIUS)
    over = (length_inside(marks, leaders[:, None]) > 0).sum(1)
    straight = np.abs(ways).min(1) < 3
    costs = (
        lengths(ways)
        + AMBIGUOUS_COST * unsure
        + COVERED_COST * length_inside(boxes[:, None], row_array(room.lines)).sum(1)
    )
    costs += led * (CROSSING_COST * over + STRAIGHT_COST * straight)
    left = costs < FORBIDDEN_COST
    spots = np.full(len(boxes), number)
    return Candidates(spots[left], boxes[left], sides[left], leaders[left], led[left], costs[left])


def concatenated(parts: Sequence[Candidates]) -> Candidates:
    return Candidates(
        *(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Candidates))
    )


def place_labels(spots: Sequence[Anchor], room: Obstacles) -> dict[int, Label]:
    """The labels that have found room, by the numbers of their spots.

    One after the other is put where it is best, those with the fewest choices first.  Then some label that
    could lie better is tried at a random place, and those in its way go elsewhere, if that is better on the
    whole.
    """
    if not spots:
        return {}
    search = LayoutSearch.of(
        concatenated([candidates_of(k, spot, room) for k, spot in enumerate(spots)]), len(spots)
    )
    rng, numbers = random.Random(0), range(len(spots))
    found = search.placed_greedily(sorted(numbers, key=lambda k: len(search.by_anchor[k])), {})
    for _ in range(ITERATIONS):
        unhappy = [k for k in numbers if len(search.by_anchor[k]) and found.get(k) != search.cheapest(k)]
        if not unhappy:
            break
        found = min(found, search.perturbed(found, rng.choice(unhappy), rng), key=search.rating)
    return {k: search.choices.label(choice) for k, choice in found.items()}


Arrangement = dict[int, int]
"""Choices that can all be, by their spots."""


@dataclass(frozen=True, eq=False)
class LayoutSearch:
    """For the best arrangement; `own` are the choices of each spot, and the rest is as `Choices` has it."""

    choices: Candidates
    by_anchor: Sequence[Int64[np.ndarray, " _"]]
    conflicting: Callable[[int], Bool[np.ndarray, " N"]]
    crossing: Callable[[int], Bool[np.ndarray, " N"]]

    @staticmethod
    def of(every: Candidates, count: int) -> "LayoutSearch":
        own = [np.flatnonzero(every.anchors == k) for k in range(count)]
        return LayoutSearch(every, own, cache(every.conflicting), cache(every.crossing))

    def cheapest(self, spot: int) -> int:
        own = self.by_anchor[spot]
        return int(own[self.choices.costs[own].argmin()])

    def placed_greedily(self, order: Iterable[int], before: Arrangement) -> Arrangement:
        """One spot after the other, each where it is best then; `before` stay where they are."""
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
        """What cannot be with a choice costs more than all."""
        costs += CROSSING_COST * self.crossing(choice)
        costs[self.conflicting(choice)] = np.inf

    def perturbed(self, found: Arrangement, spot: int, rng: random.Random) -> Arrangement:
        """With a spot at a random place, what it bars elsewhere, and two more that had none."""
        choice = int(rng.choice(self.by_anchor[spot]))
        barred = self.conflicting(choice)
        kept = {k: other for k, other in found.items() if k != spot and not barred[other]}
        lacking = [k for k in range(len(self.by_anchor)) if k not in found and k != spot]
        rest = [k for k in found if k != spot and k not in kept] + rng.sample(lacking, min(len(lacking), 2))
        rng.shuffle(rest)
        return self.placed_greedily(rest, {**kept, spot: choice})

    def rating(self, found: Arrangement) -> tuple[int, float]:
        """Less for more labels, and among as many for what there is less to be said against."""
        chosen = np.array([*found.values()], np.int64)
        met = sum(int(self.crossing(choice)[chosen].sum()) for choice in found.values()) / 2
        return -len(found), float(self.choices.costs[chosen].sum()) + CROSSING_COST * met
