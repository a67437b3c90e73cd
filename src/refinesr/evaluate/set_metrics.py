"""Metrics of sets of images (FID, KID, Inception Score), accumulated image by image.

The Frechet distance needs constant memory; the kernel distance and the Inception Score store one row of
numbers per image.
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

BATCH_ROWS = 32
"""Number of feature rows that are merged into the statistics at once."""


@runtime_checkable
class SetMetric(Protocol):
    """A metric of a set of results; `network` maps an image to a row of features or probabilities."""

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

    def accumulator(self) -> "Accumulator": ...
    def score(self, originals: "Accumulator", results: "Accumulator") -> float | None: ...


@runtime_checkable
class Accumulator(Protocol):
    def add(self, rows: Tensor) -> None: ...


@dataclass
class Moments:
    """Accumulates count, mean and scatter matrix of features."""

    whole: Statistics | None = None
    pending: list[Tensor] = field(default_factory=list)

    def add(self, rows: Tensor) -> None:
        self.pending.append(rows)
        if len(self.pending) >= BATCH_ROWS:
            self.merged()

    def merged(self) -> Statistics | None:
        if self.pending:
            more = Statistics.of(torch.cat(self.pending))
            self.whole = more if self.whole is None else self.whole + more
            self.pending.clear()
        return self.whole


@dataclass
class AllRows:
    """Stores all rows, as float32."""

    rows: list[Tensor] = field(default_factory=list)

    def add(self, rows: Tensor) -> None:
        self.rows.append(rows.float())

    def whole(self) -> Tensor:
        return torch.cat(self.rows).double()


@dataclass(frozen=True, eq=False)
class FrechetDistance:
    """Frechet distance between features of results and of the originals, or of the saved `reference`."""

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

    def accumulator(self) -> Moments:
        return Moments()

    def score(self, originals: Accumulator, results: Accumulator) -> float | None:
        assert isinstance(originals, Moments)
        assert isinstance(results, Moments)
        one, other = results.merged(), originals.merged()
        if one is None or other is None or min(one.count, other.count) < 2:
            return None
        return one.normal.distance(self.reference or other.normal)


@dataclass(frozen=True, eq=False)
class KernelDistance:
    """Kernel distance between features of results and of the originals, times 1000."""

    network: Network

    key: ClassVar[str] = "kid"
    title: ClassVar[str] = "KID"
    better: ClassVar[Aim] = Lower()
    convention: ClassVar[str] = (
        "unbiased, mean of 100 subsets of up to 1000, times 1000, against these pictures"
    )

    def accumulator(self) -> AllRows:
        return AllRows()

    def score(self, originals: Accumulator, results: Accumulator) -> float | None:
        assert isinstance(originals, AllRows)
        assert isinstance(results, AllRows)
        return None if len(results.rows) < 2 else 1000 * KID()(originals.whole(), results.whole()).mean


@dataclass(frozen=True, eq=False)
class InceptionScore:
    """Inception Score; `network` returns class probabilities."""

    network: Network

    key: ClassVar[str] = "is"
    title: ClassVar[str] = "IS"
    better: ClassVar[Aim] = Higher()
    convention: ClassVar[str] = "mean over 10 parts, in order; over one for less than 100 pictures"

    def accumulator(self) -> AllRows:
        return AllRows()

    def score(self, originals: Accumulator, results: Accumulator) -> float | None:
        assert isinstance(results, AllRows)
        return (
            inception_score(results.whole(), splits=10 if len(results.rows) >= 100 else 1).mean
            if results.rows
            else None
        )


@dataclass(frozen=True, eq=False)
class SetAccumulators:
    """Accumulators of each set metric for the originals and for each method's results."""

    metrics: Sequence[SetMetric]
    originals: list[Accumulator]
    results: dict[str, list[Accumulator]]

    @staticmethod
    def of(metrics: Sequence[SetMetric], names: Sequence[str]) -> "SetAccumulators":
        def new() -> list[Accumulator]:
            return [metric.accumulator() for metric in metrics]

        return SetAccumulators(metrics, new(), {name: new() for name in names})

    def add_high(self, image: Tensor) -> None:
        self._add_rows(self.originals, image)

    def add(self, name: str, image: Tensor) -> None:
        self._add_rows(self.results[name], image)

    def _add_rows(self, accumulators: list[Accumulator], image: Tensor) -> None:
        rows: dict[int, Tensor] = {}
        for metric, accumulator in zip(self.metrics, accumulators, strict=True):
            if id(metric.network) not in rows:
                rows[id(metric.network)] = metric.network(image)
            accumulator.add(rows[id(metric.network)])

    def scores(self, name: str) -> dict[str, float]:
        """Scores of a method by metric, without those that need more images."""
        parts = zip(self.metrics, self.originals, self.results[name], strict=True)
        found = {metric.key: metric.score(originals, results) for metric, originals, results in parts}
        return {key: score for key, score in found.items() if score is not None}
