"""Vectorised geometry of rectangles and line segments in a plot.

Rows of rectangles are (left, top, right, bottom); rows of segments are (x1, y1, x2, y2).  Functions of two
arrays of rows broadcast.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

Number = int | float

Position = tuple[Number, Number]
"""x to the right and y downwards."""

Segment = tuple[Position, Position]
"""A straight line between two positions."""

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
    """Squares around these centres."""
    return np.concatenate((places - half, places + half), -1)


def nearest_positions(boxes: Rows, places: Positions) -> Positions:
    """The position in each rectangle that is nearest to the given position."""
    return np.asarray(np.clip(places, boxes[..., :2], boxes[..., 2:]))


def lengths(ways: Positions) -> Float64[np.ndarray, "..."]:
    return np.asarray(np.hypot(ways[..., 0], ways[..., 1]))


def overlap(boxes: Rows, others: Rows) -> Bool[np.ndarray, "..."]:
    """Whether two rectangles share an area."""
    return np.asarray(((boxes[..., :2] < others[..., 2:]) & (others[..., :2] < boxes[..., 2:])).all(-1))


def length_inside(boxes: Rows, lines: Rows) -> Float64[np.ndarray, "..."]:
    """The length of the part of a segment inside a rectangle (clipping by Liang and Barsky 1984)."""
    start, way = lines[..., :2], lines[..., 2:] - lines[..., :2]
    steps = np.where(way == 0, 1e-12, way)
    one, other = (boxes[..., :2] - start) / steps, (boxes[..., 2:] - start) / steps
    first = np.minimum(one, other).max(-1).clip(min=0)
    last = np.maximum(one, other).min(-1).clip(max=1)
    return np.asarray((last - first).clip(min=0) * lengths(way))


def segments_cross(lines: Rows, others: Rows) -> Bool[np.ndarray, "..."]:
    """Whether two segments intersect, other than at an end of either."""
    a, b, c, d = lines[..., :2], lines[..., 2:], others[..., :2], others[..., 2:]
    return np.asarray(
        (orientation(a, b, c) * orientation(a, b, d) < 0) & (orientation(c, d, a) * orientation(c, d, b) < 0)
    )


def orientation(a: Positions, b: Positions, c: Positions) -> Float64[np.ndarray, "..."]:
    """Twice the signed area of the triangle a, b, c; its sign is the orientation."""
    one, other = b - a, c - a
    return np.asarray(one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0])
