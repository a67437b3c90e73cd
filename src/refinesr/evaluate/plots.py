"""Plots as inline SVG, without libraries or scripts; the page's style sheet defines the colours."""

import html
import math
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from refinesr.evaluate.axes import Axis, axis_around, spaced, tick_text
from refinesr.evaluate.estimates import Estimate
from refinesr.evaluate.geometry import (
    Number,
    Position,
    Rectangle,
    Segment,
    length_inside,
    overlap,
    position_array,
    row_array,
    squares_around,
)
from refinesr.evaluate.label_layout import (
    LINE_HEIGHT,
    MARK_RADIUS,
    Anchor,
    Label,
    Obstacles,
    place_labels,
    shortened,
    text_width,
)

WIDTH, HEIGHT = 480, 350
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 46
"""The margins of the frame."""

FRAME = Rectangle(LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)

MAX_LABEL_WIDTH = 240
"""Largest width of a label; longer names are shortened."""

MAX_NAMED = 24
"""Up to this many points are labelled with names, more with numbers."""

COLOURS = 8
"""Number of colours in the style sheet: classes s0 to s7."""


def tag(name: str, content: str = "", **attributes: object) -> str:
    """An HTML element.  `content` is markup, attribute values are escaped; `class_` stands for class."""
    named = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    inside = "".join(f' {key}="{html.escape(attribute_text(value))}"' for key, value in named)
    return f"<{name}{inside}>{content}</{name}>"


def attribute_text(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def text_element(text: str, x: Number, y: Number, **attributes: object) -> str:
    return tag("text", html.escape(text), x=x, y=y, **attributes)


@dataclass(frozen=True)
class Point:
    """A method in a plot; `style` is the number of its colour and shape."""

    name: str
    x: Estimate
    y: Estimate
    style: int

    @property
    def finite(self) -> bool:
        parts = (self.x.mean, self.y.mean, *(self.x.interval or ()), *(self.y.interval or ()))
        return all(map(math.isfinite, parts))


@dataclass(frozen=True)
class AxisInfo:
    """Title of an axis and where better values lie."""

    title: str
    direction: int
    """1 if larger values are better, -1 if smaller ones are, 0 if neither."""


@dataclass(frozen=True)
class Plot:
    """A plot: points, lines through some of them, and the points that get labels (`named`)."""

    title: str
    x: Axis
    y: Axis
    across: AxisInfo
    up: AxisInfo
    points: Sequence[Point]
    named: Sequence[Point]
    lines: Sequence[Sequence[Point]] = ()

    def place(self, point: Point) -> Position:
        return self.x(point.x.mean), self.y(point.y.mean)

    def segments(self) -> Iterator[Segment]:
        """Segments of the interval bars and of the lines."""
        for point in self.points:
            yield from interval_bars(point, self.x, self.y)
        for line in self.lines:
            yield from pairwise(map(self.place, line))

    def obstacles(self) -> Obstacles:
        return Obstacles(FRAME, [*map(self.place, self.points)], lines=[*self.segments()])

    def svg(self) -> str:
        """The SVG and, if the points are numbered, the list of their names."""
        hint, kept = better_hint(self.across, self.up, self.obstacles())
        found, key = place_names(self.named, self.place, replace(self.obstacles(), reserved=kept))
        texts, leaders = "", ""
        for point, text, label in found:
            texts += label_text(text, label)
            leaders += leader(point.style, label) if label.has_leader else ""
        lines = "".join(curve_path(line, self.x, self.y) for line in self.lines)
        marks = "".join(mark(point, self.x, self.y) for point in self.points)
        content = frame(self.x, self.y) + lines + leaders + marks + hint + texts
        view = f"0 0 {WIDTH} {HEIGHT}"
        return tag("svg", content, viewBox=view, role="img", aria_label=self.description()) + key

    def description(self) -> str:
        points = "; ".join(map(point_text, self.points))
        return f"{self.title}; {self.x.title}, {self.y.title}. {points}"


def scatter(title: str, across: AxisInfo, up: AxisInfo, points: Sequence[Point]) -> str:
    """A scatter plot with a labelled point for each method and bars for both intervals."""
    x = axis_around(across.title, (point.x for point in points), LEFT, WIDTH - RIGHT)
    y = axis_around(up.title, (point.y for point in points), HEIGHT - BOTTOM, TOP)
    return Plot(title, x, y, across, up, points, points).svg()


def quality_curves(title: str, up: AxisInfo, lines: Sequence[tuple[str, Sequence[Point]]]) -> str:
    """Quality against network evaluations on a logarithmic axis, with a line for each model."""
    points = [point for _, line in lines for point in line]
    calls = sorted({point.x.mean for point in points})
    x = Axis("calls of the network", calls[0] / 1.3, calls[-1] * 1.3, LEFT, WIDTH - RIGHT, True)
    x = replace(x, tick_values=tuple(spaced(calls, x)))
    y = axis_around(up.title, (point.y for point in points), HEIGHT - BOTTOM, TOP)
    ends = [replace(line[-1], name=name) for name, line in lines]
    return Plot(title, x, y, AxisInfo(x.title, 0), up, points, ends, [line for _, line in lines]).svg()


def frame(x: Axis, y: Axis) -> str:
    parts = []
    for tick in x.ticks():
        at = x(tick)
        parts.append(tag("line", x1=at, x2=at, y1=TOP, y2=HEIGHT - BOTTOM, class_="grid"))
        parts.append(text_element(tick_text(tick, x.ticks()), at, HEIGHT - BOTTOM + 17, class_="tick mid"))
    for tick in y.ticks():
        at = y(tick)
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="grid"))
        parts.append(text_element(tick_text(tick, y.ticks()), LEFT - 7, at + 4, class_="tick end"))
    middle, height = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts.append(text_element(x.title, middle, HEIGHT - 8, class_="mid"))
    parts.append(text_element(y.title, 15, height, class_="mid", transform=f"rotate(-90 15 {height:g})"))
    return "".join(parts)


ARROWS = {(1, 1): "↗", (1, -1): "↘", (-1, 1): "↖", (-1, -1): "↙"} | {
    (1, 0): "→",
    (-1, 0): "←",
    (0, 1): "↑",
    (0, -1): "↓",
}
"""Arrows by the directions of both axes."""


def better_hint(across: AxisInfo, up: AxisInfo, room: Obstacles) -> tuple[str, list[Rectangle]]:
    """The word "better" with an arrow at the corner or side of better values, and the area it occupies.

    It is moved along the edge to avoid marks.  Empty if neither axis has a direction.
    """
    if (arrow := ARROWS.get((across.direction, up.direction))) is None:
        return "", []
    boxes = [*hint_boxes(text_width(text := f"better {arrow}"), across, up)]
    every = row_array(boxes)[:, None]
    marks = overlap(every, squares_around(position_array(room.points), MARK_RADIUS)).sum(1)
    box = boxes[int((100 * marks + length_inside(every, row_array(room.lines)).sum(1)).argmin())]
    at = {"x": box.left, "class_": "hint"} if across.direction < 0 else {"x": box.right, "class_": "hint end"}
    return tag("text", text, y=box.bottom - 4, **at), [box]


def hint_boxes(wide: float, across: AxisInfo, up: AxisInfo) -> Iterator[Rectangle]:
    """Candidate areas of the hint, starting at the corner."""
    top = TOP + 4 if up.direction > 0 else HEIGHT - BOTTOM - 4 - LINE_HEIGHT
    for moved in range(0, 210, 15):
        left = LEFT + 6 + moved if across.direction < 0 else WIDTH - RIGHT - 6 - wide - moved
        yield Rectangle(left, top, left + wide, top + LINE_HEIGHT)


def mark(point: Point, x: Axis, y: Axis) -> str:
    """The mark of a point with its interval bars; its name and values are the tooltip."""
    paths = [
        tag("path", d=f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}") for (a, b), (c, d) in interval_bars(point, x, y)
    ]
    shape = SHAPES[point.style % len(SHAPES)](x(point.x.mean), y(point.y.mean))
    title = tag("title", html.escape(point_text(point)))
    return tag("g", title + "".join(paths) + shape, class_=f"mark s{point.style % COLOURS}")


def point_text(point: Point) -> str:
    return f"{point.name}: {point.x.mean:.4g}, {point.y.mean:.4g}"


def interval_bars(point: Point, x: Axis, y: Axis) -> Iterator[Segment]:
    h, v = x(point.x.mean), y(point.y.mean)
    if point.x.interval:
        yield (x(point.x.interval[0]), v), (x(point.x.interval[1]), v)
    if point.y.interval:
        yield (h, y(point.y.interval[0])), (h, y(point.y.interval[1]))


def polygon(*corners: tuple[Number, Number]) -> Callable[[Number, Number], str]:
    def shape(x: Number, y: Number) -> str:
        return tag("polygon", points=" ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners))

    return shape


SHAPES: tuple[Callable[[Number, Number], str], ...] = (
    lambda x, y: tag("circle", cx=x, cy=y, r=5.5),
    polygon((-5, -5), (5, -5), (5, 5), (-5, 5)),
    polygon((0, -6.5), (6.5, 5), (-6.5, 5)),
    polygon((0, -7), (7, 0), (0, 7), (-7, 0)),
    polygon((-6.5, -5), (6.5, -5), (0, 6.5)),
)
"""Shapes of marks, so that methods differ not only in colour."""


def curve_path(points: Sequence[Point], x: Axis, y: Axis) -> str:
    path = "L".join(f"{x(point.x.mean):.1f} {y(point.y.mean):.1f}" for point in points)
    return tag("path", d="M" + path, class_=f"curve s{points[0].style % COLOURS}")


def place_names(
    points: Sequence[Point], place: Callable[[Point], Position], room: Obstacles
) -> tuple[list[tuple[Point, str, Label]], str]:
    """Texts and positions of labels: names or, if they have no room, numbers; and the list of numbers."""
    names = [shortened(point.name, MAX_LABEL_WIDTH) for point in points]
    found = place_labels(anchors(points, names, place), room) if len(points) <= MAX_NAMED else {}
    if len(found) == len(points):
        return [(points[k], names[k], label) for k, label in found.items()], ""
    numbers = [str(k) for k in range(1, len(points) + 1)]
    found = place_labels(anchors(points, numbers, place), room)
    return [(points[k], numbers[k], label) for k, label in found.items()], numbered_key(points, found)


def anchors(
    points: Sequence[Point], texts: Sequence[str], place: Callable[[Point], Position]
) -> list[Anchor]:
    return [Anchor(place(point), text_width(text)) for point, text in zip(points, texts, strict=True)]


def label_text(text: str, label: Label) -> str:
    """The text of a label, aligned towards its point, as it may be narrower than its box."""
    left, _, right, bottom = label.box
    x = left if label.side > 0 else right if label.side < 0 else (left + right) / 2
    anchor = "" if label.side > 0 else " end" if label.side < 0 else " mid"
    return text_element(text, x, bottom - 4, class_=f"label{anchor}")


def leader(style: int, label: Label) -> str:
    (x, y), (h, v) = label.leader
    return tag("path", d=f"M{x:.1f} {y:.1f}L{h:.1f} {v:.1f}", class_=f"leader s{style % COLOURS}")


def numbered_key(points: Sequence[Point], marked: Container[int]) -> str:
    """The list of points by number, with their marks and names."""
    items = []
    for k, point in enumerate(points):
        paths = tag("g", SHAPES[point.style % len(SHAPES)](8, 8), class_=f"mark s{point.style % COLOURS}")
        style = tag("svg", paths, viewBox="0 0 16 16", aria_hidden="true")
        rest = "" if k in marked else tag("small", " (no room for its number)")
        items.append(tag("li", style + html.escape(point.name) + rest))
    return tag("ol", "".join(items), class_="key")
