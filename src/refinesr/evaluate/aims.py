"""Aims of metrics: which values are better (higher, lower, near a target, or none).

An aim has a symbol for tables, a loss that ranks values, and the verdict on two methods that differ.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

Interval = tuple[float, float]
"""Lower and upper end."""


def is_significant(interval: Interval | None) -> bool:
    """Whether the confidence interval of a difference excludes 0.  False without an interval."""
    return interval is not None and not interval[0] <= 0 <= interval[1]


@dataclass(frozen=True)
class Higher:
    direction: ClassVar[int] = 1
    """Where better values lie on an axis: 1 at larger values, -1 at smaller ones, 0 neither."""
    symbol: ClassVar[str] = "↑"
    description: ClassVar[str] = "higher is better"
    data: ClassVar[str] = "higher"
    """Value of "better" in JSON reports."""

    def loss(self, value: float) -> float | None:
        """The number to minimise when values are ranked; None if the metric does not rank values."""
        return -value

    def verdict(self, a: str, b: str, difference: Interval, distance: Interval | None = None) -> str:
        """A sentence naming the better of methods `a` and `b`.

        `difference` is the interval of B - A, which must exclude 0.  `distance` is the interval of
        |B - target| - |A - target|, for aims with a target.
        """
        return f"{b if difference[0] > 0 else a} is better"


@dataclass(frozen=True)
class Lower:
    direction: ClassVar[int] = -1
    symbol: ClassVar[str] = "↓"
    description: ClassVar[str] = "lower is better"
    data: ClassVar[str] = "lower"

    def loss(self, value: float) -> float | None:
        return value

    def verdict(self, a: str, b: str, difference: Interval, distance: Interval | None = None) -> str:
        return f"{a if difference[0] > 0 else b} is better"


@dataclass(frozen=True)
class Near:
    """Values near `target` are better.  Example: the coverage of a 90 % interval, target 0.9."""

    target: float
    direction: ClassVar[int] = 0

    @property
    def symbol(self) -> str:
        return f"→ {self.target:g}"

    @property
    def description(self) -> str:
        return f"closer to {self.target:g} is better"

    @property
    def data(self) -> dict[str, float]:
        return {"near": self.target}

    def loss(self, value: float) -> float | None:
        return round(abs(value - self.target), 12)  # rounded, so that 0.85 and 0.95 are equally far from 0.9

    def verdict(self, a: str, b: str, difference: Interval, distance: Interval | None = None) -> str:
        if distance is None or not is_significant(distance):
            return f"they differ; neither is closer to {self.target:g}"
        return f"{b if distance[0] < 0 else a} is closer to {self.target:g}"


@dataclass(frozen=True)
class Neither:
    """No value is better than another, as for the diversity of samples."""

    direction: ClassVar[int] = 0
    symbol: ClassVar[str] = ""
    description: ClassVar[str] = "describes; no number is better"
    data: ClassVar[None] = None

    def loss(self, value: float) -> float | None:
        return None

    def verdict(self, a: str, b: str, difference: Interval, distance: Interval | None = None) -> str:
        return "they differ; neither is better"


Aim = Higher | Lower | Near | Neither


def least_loss(aim: Aim, values: Iterable[float]) -> float | None:
    """The smallest loss of the values.  None for aims without a loss and for fewer than two values."""
    losses = [loss for loss in map(aim.loss, values) if loss is not None]
    return min(losses) if len(losses) > 1 else None


def parse_aim(data: Any) -> Aim:
    """The aim with this `data`.  Raises ValueError."""
    for aim in (Higher(), Lower(), Neither()):
        if data == aim.data:
            return aim
    if isinstance(data, Mapping) and list(data) == ["near"] and type(data["near"]) in (int, float):
        return Near(float(data["near"]))
    raise ValueError(f'better: {data!r} is not "higher", "lower", {{"near": a number}} or null')
