"""How the learning rate falls while learning."""

import math
from dataclasses import dataclass

from refinesr.errors import ConfigError


@dataclass(frozen=True)
class Constant:
    """The rate stays after the warm-up (SR3, SRDiff)."""

    def at(self, share: float) -> float:
        """The rate, of 1, when a `share` of the updates is made."""
        return 1.0


@dataclass(frozen=True)
class CosineDecay:
    """The rate falls along half a cosine to `floor` times itself (Loshchilov and Hutter 2017, eq. 5)."""

    floor: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= 1:
            raise ConfigError(f"floor: {self.floor} is not between 0 and 1")

    def at(self, share: float) -> float:
        """The rate, of 1, when a `share` of the updates is made."""
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


@dataclass(frozen=True)
class Halving:
    """The rate is halved after each of `parts` equal parts of the updates (SRDiff's code)."""

    parts: int

    def __post_init__(self) -> None:
        if self.parts < 1:
            raise ConfigError(f"parts: {self.parts} is not a number of parts; at least 1")

    def at(self, share: float) -> float:
        """The rate, of 1, when a `share` of the updates is made."""
        return 0.5 ** min(int(share * self.parts), self.parts - 1)
