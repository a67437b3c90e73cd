"""Distances between sets of pictures, fed one picture at a time.

Frechet's needs little memory however many pictures there are; the kernel distance and the Inception Score
keep a row of numbers for each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from refinesr.evaluate.aims import Aim, Higher, Lower
from refinesr.metrics.classification import inception_score
from refinesr.metrics.kid import KID
from refinesr.metrics.sets import Normal, Statistics

Network = Callable[[Tensor], Tensor]
"""uint8 RGB (B, 3, H, W) -> rows (B, D)."""

ROWS = 32
"""Rows of features that are added to statistics at once."""


@runtime_checkable
class SetMetric(Protocol):
    """A number of a set of results; `network` tells what is seen of a picture."""

    @property
    def network(self) -> Network: ...
    @property
    def key(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def better(self) -> Aim: ...
    @property
    def convention(self) -> str: ...

    def gathering(self) -> "Gathering": ...
    def score(self, real: "Gathering", made: "Gathering") -> float | None: ...


@runtime_checkable
class Gathering(Protocol):
    def add(self, rows: Tensor) -> None: ...


@dataclass
class Moments:
    """Count, mean and scatter."""

    whole: Statistics | None = None
    waiting: list[Tensor] = field(default_factory=list)

    def add(self, rows: Tensor) -> None:
        self.waiting.append(rows)
        if len(self.waiting) >= ROWS:
            self.taken()

    def taken(self) -> Statistics | None:
        if self.waiting:
            more = Statistics.of(torch.cat(self.waiting))
            self.whole = more if self.whole is None else self.whole + more
            self.waiting.clear()
        return self.whole


@dataclass
class Rows:
    """All of them, as float32."""

    rows: list[Tensor] = field(default_factory=list)

    def add(self, rows: Tensor) -> None:
        self.rows.append(rows.float())

    def whole(self) -> Tensor:
        return torch.cat(self.rows).double()


@dataclass(frozen=True, eq=False)
class Frechet:
    """Between the features of results and of pictures, or of `reference`, a distribution that was saved."""

    network: Network
    reference: Normal | None = None

    key: ClassVar[str] = "fid"
    title: ClassVar[str] = "FID"
    better: ClassVar[Aim] = Lower()

    @property
    def convention(self) -> str:
        against = "these pictures" if self.reference is None else "saved statistics"
        return (
            f"Frechet distance of the given network's features against {against}; few pictures make it large"
        )

    def gathering(self) -> Moments:
        return Moments()

    def score(self, real: Gathering, made: Gathering) -> float | None:
        assert isinstance(real, Moments)
        assert isinstance(made, Moments)
        ours, theirs = made.taken(), real.taken()
        if ours is None or theirs is None or min(ours.count, theirs.count) < 2:
            return None
        return ours.normal.distance(self.reference or theirs.normal)


@dataclass(frozen=True, eq=False)
class Kernel:
    """The kernel distance between the features of results and of pictures, times 1000."""

    network: Network

    key: ClassVar[str] = "kid"
    title: ClassVar[str] = "KID"
    better: ClassVar[Aim] = Lower()
    convention: ClassVar[str] = (
        "unbiased, mean of 100 subsets of up to 1000, times 1000, against these pictures"
    )

    def gathering(self) -> Rows:
        return Rows()

    def score(self, real: Gathering, made: Gathering) -> float | None:
        assert isinstance(real, Rows)
        assert isinstance(made, Rows)
        return None if len(made.rows) < 2 else 1000 * KID()(real.whole(), made.whole()).mean


@dataclass(frozen=True, eq=False)
class Inception:
    """The Inception Score; `network` makes probabilities."""

    network: Network

    key: ClassVar[str] = "is"
    title: ClassVar[str] = "IS"
    better: ClassVar[Aim] = Higher()
    convention: ClassVar[str] = "mean over 10 parts, in order; over one for less than 100 pictures"

    def gathering(self) -> Rows:
        return Rows()

    def score(self, real: Gathering, made: Gathering) -> float | None:
        assert isinstance(made, Rows)
        return (
            inception_score(made.whole(), splits=10 if len(made.rows) >= 100 else 1).mean
            if made.rows
            else None
        )


@dataclass(frozen=True, eq=False)
class Sets:
    """What has been gathered of the pictures and of each method's results."""

    metrics: Sequence[SetMetric]
    real: list[Gathering]
    made: dict[str, list[Gathering]]

    @staticmethod
    def of(metrics: Sequence[SetMetric], names: Sequence[str]) -> "Sets":
        def fresh() -> list[Gathering]:
            return [metric.gathering() for metric in metrics]

        return Sets(metrics, fresh(), {name: fresh() for name in names})

    def add_high(self, image: Tensor) -> None:
        self._into(self.real, image)

    def add(self, name: str, image: Tensor) -> None:
        self._into(self.made[name], image)

    def _into(self, gatherings: list[Gathering], image: Tensor) -> None:
        seen: dict[int, Tensor] = {}
        for metric, gathering in zip(self.metrics, gatherings, strict=True):
            if id(metric.network) not in seen:
                seen[id(metric.network)] = metric.network(image)
            gathering.add(seen[id(metric.network)])

    def scores(self, name: str) -> dict[str, float]:
        """Of a method; what too few pictures have is left out."""
        parts = zip(self.metrics, self.real, self.made[name], strict=True)
        found = {metric.key: metric.score(real, made) for metric, real, made in parts}
        return {key: score for key, score in found.items() if score is not None}
