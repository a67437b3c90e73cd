"""Which numbers of a metric are better: higher ones, lower ones, those near a target, or none.

An aim knows what marks it in a table, which of several numbers are best, and what is to be said of two
methods whose numbers differ.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

Interval = tuple[float, float]
"""Low and high end."""


def told_apart(interval: Interval | None) -> bool:
    """Whether a difference that lies within this is none of chance: its interval is without 0."""
    return interval is not None and not interval[0] <= 0 <= interval[1]


@dataclass(frozen=True)
class Higher:
    way: ClassVar[int] = 1
    """Where better numbers lie on an axis: 1 further up, -1 further down, 0 neither."""
    mark: ClassVar[str] = "↑"
    words: ClassVar[str] = "higher is better"
    data: ClassVar[str] = "higher"
    """As JSON has it."""

    def loss(self, value: float) -> float | None:
        """Less is better; None where no number is better than another."""
        return -value

    def verdict(self, a: str, b: str, difference: Interval, distance: Interval | None = None) -> str:
        """Who is better, where the interval of B - A is `difference`, and without 0.

        `distance` is the interval of |B - target| - |A - target|, where there is a target.
        """
        return f"{b if difference[0] > 0 else a} is better"


@dataclass(frozen=True)
class Lower:
    way: ClassVar[int] = -1
    mark: ClassVar[str] = "↓"
    words: ClassVar[str] = "lower is better"
    data: ClassVar[str] = "lower"

    def loss(self, value: float) -> float | None:
        return value

    def verdict(self, a: str, b: str, difference: Interval, distance: Interval | None = None) -> str:
        return f"{a if difference[0] > 0 else b} is better"


@dataclass(frozen=True)
class Near:
    """As the share of values within an interval that is to hold 90 % of them: 0.97 is no better than 0.83."""

    target: float
    way: ClassVar[int] = 0

    @property
    def mark(self) -> str:
        return f"→ {self.target:g}"

    @property
    def words(self) -> str:
        return f"closer to {self.target:g} is better"

    @property
    def data(self) -> dict[str, float]:
        return {"near": self.target}

    def loss(self, value: float) -> float | None:
        return round(abs(value - self.target), 12)  # 0.85 and 0.95 are as far from 0.9, but not in floats

    def verdict(self, a: str, b: str, difference: Interval, distance: Interval | None = None) -> str:
        if distance is None or not told_apart(distance):
            return f"they differ; neither is closer to {self.target:g}"
        return f"{b if distance[0] < 0 else a} is closer to {self.target:g}"


@dataclass(frozen=True)
class Neither:
    """Of numbers that only describe: more diverse samples are no better ones."""

    way: ClassVar[int] = 0
    mark: ClassVar[str] = ""
    words: ClassVar[str] = "describes; no number is better"
    data: ClassVar[None] = None

    def loss(self, value: float) -> float | None:
        return None

    def verdict(self, a: str, b: str, difference: Interval, distance: Interval | None = None) -> str:
        return "they differ; neither is better"


Aim = Higher | Lower | Near | Neither


def best(aim: Aim, values: Iterable[float]) -> float | None:
    """The least loss; None where no number is better, and of less than two numbers."""
    losses = [loss for loss in map(aim.loss, values) if loss is not None]
    return min(losses) if len(losses) > 1 else None


def aim_of(data: Any) -> Aim:
    """What `data` of an aim was.  Raises ValueError."""
    for aim in (Higher(), Lower(), Neither()):
        if data == aim.data:
            return aim
    if isinstance(data, Mapping) and list(data) == ["near"] and type(data["near"]) in (int, float):
        return Near(float(data["near"]))
    raise ValueError(f'better: {data!r} is not "higher", "lower", {{"near": a number}} or null')
