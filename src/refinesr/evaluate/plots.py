"""Plots as inline SVG: no library, no script, and colours that the page's style sheet decides."""

import html
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from refinesr.evaluate.reading import Estimate

WIDTH, HEIGHT = 480, 350
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 46
"""The margins of the frame."""

LETTER, LINE = 7.4, 17.0
"""Width of a letter and height of a line, to place labels by."""

LONGEST = 30
"""Letters of a label."""

COLOURS = 8
"""Looks that the style sheet knows: classes s0 to s7."""

Number = int | float

Rectangle = tuple[Number, Number, Number, Number]
"""Left, top, right, bottom."""


def tag(name: str, content: str = "", **attributes: object) -> str:
    """An element; `content` is markup already, values of attributes are escaped; class_ means class."""
    named = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    inside = "".join(f' {key}="{html.escape(shortest(value))}"' for key, value in named)
    return f"<{name}{inside}>{content}</{name}>"


def shortest(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def words(text: str, x: Number, y: Number, **attributes: object) -> str:
    return tag("text", html.escape(text), x=x, y=y, **attributes)


@dataclass(frozen=True)
class Axis:
    """Numbers from `low` to `high` on a line from `start` to `end`, by their logarithms if `log`."""

    title: str
    low: Number
    high: Number
    start: Number
    end: Number
    log: bool = False
    at: tuple[Number, ...] = ()
    """Where to put ticks; at round numbers if empty."""

    def __call__(self, value: Number) -> Number:
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> tuple[Number, ...]:
        return self.at or round_numbers(self.low, self.high)


def round_numbers(low: Number, high: Number, most: int = 6) -> tuple[Number, ...]:
    """Multiples of 1, 2 or 5 times a power of ten within [low, high], at most so many."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(s * power for s in (1, 2, 5, 10, 20) if (high - low) / (s * power) <= most - 1)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(step * k for k in range(first, last + 1))


def tick_text(value: Number, ticks: Sequence[Number]) -> str:
    """With as many decimals as tell the ticks apart."""
    step = min((b - a for a, b in pairwise(ticks)), default=1.0)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value + 0.0:.{decimals}f}"


def axis(title: str, values: Iterable[Estimate], start: Number, end: Number) -> Axis:
    """One on which all means and intervals have room, with a tenth to spare."""
    ends = [end for value in values for end in (value.mean, *(value.interval or ()))]
    low, high = min(ends), max(ends)
    spare = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(title, low - spare, high + spare, start, end)


@dataclass(frozen=True)
class Point:
    """A method in a plot; `look` is the number of its colour and shape."""

    name: str
    x: Estimate
    y: Estimate
    look: int

    @property
    def finite(self) -> bool:
        parts = (self.x.mean, self.y.mean, *(self.x.interval or ()), *(self.y.interval or ()))
        return all(map(math.isfinite, parts))


@dataclass(frozen=True)
class Side:
    """What an axis is about."""

    title: str
    way: int
    """Where better numbers lie: 1 further along, -1 further back, 0 neither."""


def scatter(title: str, across: Side, up: Side, points: Sequence[Point]) -> str:
    """One labelled point a method, with bars for the intervals of both numbers."""
    x = axis(across.title, (point.x for point in points), LEFT, WIDTH - RIGHT)
    y = axis(up.title, (point.y for point in points), HEIGHT - BOTTOM, TOP)
    marks = [mark(point, x, y) for point in points]
    return figure(title, x, y, [better(across, up), *marks, *labels(points, x, y, across, up)], points)


def curves(title: str, up: Side, lines: Sequence[tuple[str, Sequence[Point]]]) -> str:
    """Quality against the number of calls, which doubles from tick to tick; one line a model."""
    points = [point for _, line in lines for point in line]
    calls = sorted({point.x.mean for point in points})
    x = Axis("calls of the network", calls[0] / 1.3, calls[-1] * 1.3, LEFT, WIDTH - RIGHT, True, tuple(calls))
    y = axis(up.title, (point.y for point in points), HEIGHT - BOTTOM, TOP)
    drawn = [line_of(line, x, y) for _, line in lines] + [mark(point, x, y) for point in points]
    ends = [Point(name, line[-1].x, line[-1].y, line[-1].look) for name, line in lines]
    side = Side("", 0)
    covered = [box for _, line in lines for box in along(line, x, y)]
    return figure(title, x, y, [better(side, up), *drawn, *labels(ends, x, y, side, up, covered)], points)


def figure(title: str, x: Axis, y: Axis, drawn: Iterable[str], points: Sequence[Point]) -> str:
    told = "; ".join(f"{p.name}: {p.x.mean:.4g}, {p.y.mean:.4g}" for p in points)
    content, view = frame(x, y) + "".join(drawn), f"0 0 {WIDTH} {HEIGHT}"
    label = f"{title}; {x.title}, {y.title}. {told}"
    return tag("svg", content, viewBox=view, role="img", aria_label=label)


def frame(x: Axis, y: Axis) -> str:
    parts = []
    for tick in x.ticks():
        at = x(tick)
        parts.append(tag("line", x1=at, x2=at, y1=TOP, y2=HEIGHT - BOTTOM, class_="grid"))
        parts.append(words(tick_text(tick, x.ticks()), at, HEIGHT - BOTTOM + 17, class_="tick mid"))
    for tick in y.ticks():
        at = y(tick)
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="grid"))
        parts.append(words(tick_text(tick, y.ticks()), LEFT - 7, at + 4, class_="tick end"))
    middle, height = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts.append(words(x.title, middle, HEIGHT - 8, class_="mid"))
    parts.append(words(y.title, 15, height, class_="mid", transform=f"rotate(-90 15 {height:g})"))
    return "".join(parts)


ARROWS = {(1, 1): "↗", (1, -1): "↘", (-1, 1): "↖", (-1, -1): "↙"} | {
    (1, 0): "→",
    (-1, 0): "←",
    (0, 1): "↑",
    (0, -1): "↓",
}
"""By the ways of both axes."""


def better(across: Side, up: Side) -> str:
    """The word in the corner, or at the side, where the best would be; nothing if that is nowhere."""
    if (arrow := ARROWS.get((across.way, up.way))) is None:
        return ""
    left, _, right, bottom = corner(across, up)
    at = {"x": left, "class_": "hint"} if across.way < 0 else {"x": right, "class_": "hint end"}
    return tag("text", f"better {arrow}", y=bottom - 4, **at)


def corner(across: Side, up: Side) -> Rectangle:
    """Where that word is."""
    width = 9 * LETTER
    left = LEFT + 6 if across.way < 0 else WIDTH - RIGHT - 6 - width
    top = TOP + 4 if up.way > 0 else HEIGHT - BOTTOM - 4 - LINE
    return left, top, left + width, top + LINE


def mark(point: Point, x: Axis, y: Axis) -> str:
    """Its shape, over the bars of its intervals."""
    h, v = x(point.x.mean), y(point.y.mean)
    bars = ""
    if point.x.interval:
        bars += tag("path", d=f"M{x(point.x.interval[0]):.1f} {v:.1f}H{x(point.x.interval[1]):.1f}")
    if point.y.interval:
        bars += tag("path", d=f"M{h:.1f} {y(point.y.interval[0]):.1f}V{y(point.y.interval[1]):.1f}")
    return tag("g", bars + SHAPES[point.look % len(SHAPES)](h, v), class_=f"mark s{point.look % COLOURS}")


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
"""Not colour alone tells methods apart."""


def line_of(points: Sequence[Point], x: Axis, y: Axis) -> str:
    path = "L".join(f"{x(point.x.mean):.1f} {y(point.y.mean):.1f}" for point in points)
    return tag("path", d="M" + path, class_=f"curve s{points[0].look % COLOURS}")


def along(points: Sequence[Point], x: Axis, y: Axis, parts: int = 24) -> Iterator[Rectangle]:
    """What a curve covers, piece by piece."""
    places = [(x(point.x.mean), y(point.y.mean)) for point in points]
    for (h, v), (right, below) in pairwise(places):
        for share in range(parts + 1):
            across, down = h + (right - h) * share / parts, v + (below - v) * share / parts
            yield across - 3, down - 3, across + 3, down + 3


def covering(point: Point, x: Axis, y: Axis) -> Iterator[Rectangle]:
    """What a mark and its bars cover."""
    h, v = x(point.x.mean), y(point.y.mean)
    yield h - 7, v - 7, h + 7, v + 7
    if point.x.interval:
        yield x(point.x.interval[0]), v - 2, x(point.x.interval[1]), v + 2
    if point.y.interval:
        yield h - 2, y(point.y.interval[1]), h + 2, y(point.y.interval[0])


def labels(
    points: Sequence[Point], x: Axis, y: Axis, across: Side, up: Side, covered: Sequence[Rectangle] = ()
) -> Iterator[str]:
    """Names beside their points, where they cover no other name and no mark if there is such a place."""
    taken = [corner(across, up), *covered, *(box for point in points for box in covering(point, x, y))]
    for point in points:
        name = point.name if len(point.name) <= LONGEST else point.name[: LONGEST - 1] + "…"
        box = place(x(point.x.mean), y(point.y.mean), LETTER * len(name), taken)
        taken.append(box)
        yield words(name, box[0], box[3] - 4, class_="label")


def place(x: Number, y: Number, width: Number, taken: Sequence[Rectangle]) -> Rectangle:
    """The first of the places round a point that is free, or else the one that covers least."""
    across = (x + 10, x - 10 - width, x - width / 2)
    down = (y - LINE - 3, y + 3, y - LINE / 2, y - 2 * LINE, y + LINE)
    boxes = [(left, top, left + width, top + LINE) for left in across for top in down]
    return min(boxes, key=lambda box: sum(overlap(box, other) for other in taken) + 100 * outside(box))


def overlap(one: Rectangle, other: Rectangle) -> Number:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)


def outside(box: Rectangle) -> Number:
    """By how much it leaves the frame."""
    beyond = (LEFT - box[0], box[2] - (WIDTH - RIGHT), TOP - box[1], box[3] - (HEIGHT - BOTTOM))
    return sum(max(part, 0) for part in beyond)
