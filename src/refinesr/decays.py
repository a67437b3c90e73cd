"""Schedules of the learning rate after the warm-up."""

import math
from dataclasses import dataclass

from refinesr.errors import ConfigError


@dataclass(frozen=True)
class Constant:
    """No decay (SR3, SRDiff)."""

    def at(self, progress: float) -> float:
        """Factor of the learning rate, where `progress` is the fraction of updates made."""
        return 1.0


@dataclass(frozen=True)
class CosineDecay:
    """The rate falls along half a cosine to `floor` times itself (Loshchilov and Hutter 2017, eq. 5)."""

    floor: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= 1:
            raise ConfigError(f"floor: {self.floor} is not between 0 and 1")

    def at(self, progress: float) -> float:
        """Factor of the learning rate, where `progress` is the fraction of updates made."""
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


@dataclass(frozen=True)
class Halving:
    """The rate is halved after each of `parts` equal parts of the updates (SRDiff's code)."""

    parts: int

    def __post_init__(self) -> None:
        if self.parts < 1:
            raise ConfigError(f"parts: {self.parts} is not a number of parts; at least 1")

    def at(self, progress: float) -> float:
        """Factor of the learning rate, where `progress` is the fraction of updates made."""
        return 0.5 ** min(int(progress * self.parts), self.parts - 1)
