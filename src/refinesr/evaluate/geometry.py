"""Rectangles and straight lines in a plot, many at once.

Rows of rectangles are left, top, right and bottom; rows of lines are both places.  Functions of two kinds of
rows broadcast.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

Number = int | float

Position = tuple[Number, Number]
"""Across and down."""

Segment = tuple[Position, Position]
"""From one place to another, straight."""

Positions = Float64[np.ndarray, "... 2"]
Rows = Float64[np.ndarray, "... 4"]


class Rectangle(NamedTuple):
    left: Number
    top: Number
    right: Number
    bottom: Number


def position_array(values: Iterable[Position]) -> Float64[np.ndarray, "N 2"]:
    return np.array(list(values), np.float64).reshape(-1, 2)


def row_array(values: Iterable[Rectangle | Segment]) -> Float64[np.ndarray, "N 4"]:
    return np.array(list(values), np.float64).reshape(-1, 4)


def squares_around(places: Positions, half: Number) -> Rows:
    """Squares with these middles."""
    return np.concatenate((places - half, places + half), -1)


def nearest_positions(boxes: Rows, places: Positions) -> Positions:
    """The places of rectangles that are nearest to others."""
    return np.asarray(np.clip(places, boxes[..., :2], boxes[..., 2:]))


def lengths(ways: Positions) -> Float64[np.ndarray, "..."]:
    return np.asarray(np.hypot(ways[..., 0], ways[..., 1]))


def overlap(boxes: Rows, others: Rows) -> Bool[np.ndarray, "..."]:
    """Whether two rectangles have an area in common."""
    return np.asarray(((boxes[..., :2] < others[..., 2:]) & (others[..., :2] < boxes[..., 2:])).all(-1))


def length_inside(boxes: Rows, lines: Rows) -> Float64[np.ndarray, "..."]:
    """How much of a line lies in a rectangle (clipped as Liang and Barsky 1984 do it)."""
    start, way = lines[..., :2], lines[..., 2:] - lines[..., :2]
    steps = np.where(way == 0, 1e-12, way)
    one, other = (boxes[..., :2] - start) / steps, (boxes[..., 2:] - start) / steps
    first = np.minimum(one, other).max(-1).clip(min=0)
    last = np.maximum(one, other).min(-1).clip(max=1)
    return np.asarray((last - first).clip(min=0) * lengths(way))


def segments_cross(lines: Rows, others: Rows) -> Bool[np.ndarray, "..."]:
    """Whether two lines have a place in common that is no end of either."""
    a, b, c, d = lines[..., :2], lines[..., 2:], others[..., :2], others[..., 2:]
    return np.asarray(
        (orientation(a, b, c) * orientation(a, b, d) < 0) & (orientation(c, d, a) * orientation(c, d, b) < 0)
    )


def orientation(a: Positions, b: Positions, c: Positions) -> Float64[np.ndarray, "..."]:
    """Above 0 if the way from a by b to c turns one way, below 0 if the other."""
    one, other = b - a, c - a
    return np.asarray(one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0])
