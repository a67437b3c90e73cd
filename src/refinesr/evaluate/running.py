"""Every method on every picture: made, written, read back and measured.  Only numbers are kept."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from refinesr.config import to_data
from refinesr.devices import check_seed
from refinesr.errors import ConfigError, InputError
from refinesr.evaluate.depths import check_modes, fitted, mode, unit
from refinesr.evaluate.kept import FORMAT, TAKEN, Kept
from refinesr.evaluate.makers import Maker
from refinesr.evaluate.measuring import Case, Metric
from refinesr.evaluate.pairs import Pair, Shown
from refinesr.evaluate.protocols import Protocol
from refinesr.evaluate.sets import SetMetric, Sets
from refinesr.evaluate.store import Store, seed_of
from refinesr.files import caseless, is_text
from refinesr.images.span import Span

Scores = dict[str, float]


@dataclass(frozen=True, eq=False)
class Entrant:
    """A method in the table."""

    name: str
    maker: Maker

    def __post_init__(self) -> None:
        name = self.name
        unfit = caseless(name) in TAKEN or not is_text(name)
        if unfit or name.startswith(".") or set(name) & set("/\\:\0") or not name.strip():
            raise ConfigError(f"'{name}' cannot be a method's name, which is a folder's; give NAME=...")


@dataclass(frozen=True)
class Plan:
    """How an evaluation is run.

    seed     of noise; each sample of each picture has one of its own, which follows from it
    samples  results of each picture by a method that draws them
    batch    pictures that are restored at once, where they are of one size
    """

    seed: int = 0
    samples: int = 1
    batch: int = 1

    def __post_init__(self) -> None:
        check_seed(self.seed)
        for name in ("samples", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not positive")


@dataclass(frozen=True)
class Measured:
    """A picture's size (height, width), and each method's scores."""

    name: str
    size: tuple[int, int]
    scores: Mapping[str, Scores]


@dataclass(frozen=True)
class At:
    """Where an evaluation is: so many pictures of all are `task`, and the method at work is at a step."""

    task: str
    done: int
    total: int
    method: str = ""
    step: int = 0
    steps: int = 0
    image: Measured | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What is measured, on what."""

    protocol: Protocol
    scale: int
    pairs: Sequence[Pair]
    entrants: Sequence[Entrant]
    metrics: Sequence[Metric]
    set_metrics: Sequence[SetMetric] = ()
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        self.protocol.check(self.scale)
        names = [caseless(entrant.name) for entrant in self.entrants]  # of folders
        for entrant, name in zip(self.entrants, names, strict=True):
            if names.count(name) > 1:
                raise ConfigError(f"{entrant.name}: two methods of one name; give NAME=... to one of them")
            if entrant.maker.scale not in (None, self.scale):
                raise ConfigError(f"{entrant.name}: has scale {entrant.maker.scale}, not {self.scale}")

    def shown(self, pair: Pair) -> Shown:
        return pair.shown(self.protocol.crop, self.scale, self.protocol.kernel)

    def kept_in(self, report: Path) -> Kept:
        settings: dict[str, Any] = {"format": FORMAT, "protocol": self.protocol.name, "scale": self.scale}
        if (span := self.protocol.depth.span) is not None:
            settings["span"] = to_data(span)
        return Kept(report / "pictures", self.protocol.depth, settings)

    @cached_property
    def names(self) -> frozenset[str]:
        """Of the pictures."""
        return frozenset(pair.name for pair in self.pairs)

    def samples(self, entrant: Entrant) -> int:
        return self.plan.samples if entrant.maker.random else 1

    def settings(self, entrant: Entrant) -> dict[str, Any]:
        """All that its results depend on besides the pictures."""
        drawn = {"seed": self.plan.seed, "batch": self.plan.batch} if entrant.maker.random else {}
        return {"format": FORMAT, "scale": self.scale, **drawn, **entrant.maker.facts()}

    def check(self, report: Path | None = None) -> Iterator[At]:
        """Read everything there is, before hours of work.  Raises InputError naming all files to be mended.

        Raises OutputError if the folder `report` holds results of other pictures, by another protocol, or
        that were made with other settings.
        """
        kept = self.kept_in(report) if report is not None else None
        if kept is not None:
            kept.check(self.names)
            for entrant in self.entrants:
                kept.store(entrant.name).check(self.settings(entrant))
        first: tuple[str, str] | None = None
        bad: list[tuple[str, InputError]] = []
        for done, pair in enumerate(self.pairs, start=1):
            try:
                shown = self.shown(pair)
                first = first or (shown.source, mode(shown.high))
                if not self.protocol.depth.mixed:
                    check_modes(shown.source, shown.high, *first)
                if kept is not None:
                    kept.check_picture(shown)
                for entrant in self.entrants:
                    entrant.maker.check(shown, self.samples(entrant))
            except InputError as error:
                bad.append((pair.high.name, error))
            yield At("read", done, len(self.pairs))
        if bad:
            raise InputError.combine(bad) from bad[0][1]

    def run(self, report: Path, sets: Sets, *, overwrite: bool = False) -> Iterator[At]:
        """One `At` with an `image` for each picture, in order; the distances of sets are gathered in `sets`.

        What the report's folder holds already is not made again.  Raises OutputError if it was made with
        other settings, of other pictures or by another protocol.  With `overwrite` what was made with other
        settings is removed, and of other pictures or by another protocol all that evaluations have made.
        """
        kept = self.kept_in(report)
        stores = {entrant.name: kept.store(entrant.name) for entrant in self.entrants}
        kept.open(self.names, map(self.shown, self.pairs), overwrite=overwrite)
        for entrant in self.entrants:
            stores[entrant.name].open(self.settings(entrant), overwrite=overwrite)
        for first in range(0, len(self.pairs), self.plan.batch):
            chunk = [self.shown(pair) for pair in self.pairs[first : first + self.plan.batch]]
            for shown in chunk:
                kept.keep(shown)
            for entrant in self.entrants:
                for at in self.made(entrant, stores[entrant.name], chunk):
                    yield At("evaluated", first, len(self.pairs), entrant.name, *at)
            for done, shown in enumerate(chunk, start=first + 1):
                measured = self.measured(shown, stores, sets)
                yield At("evaluated", done, len(self.pairs), image=measured)

    def made(self, entrant: Entrant, store: Store, chunk: list[Shown]) -> Iterator[tuple[int, int]]:
        """Make what is missing; yields steps."""
        maker = entrant.maker
        for sample in range(self.samples(entrant)):
            sums = [maker.checksum(shown, sample) for shown in chunk]
            missing = [not store.holds(x.name, sample, each) for x, each in zip(chunk, sums, strict=True)]
            if not any(missing):
                continue
            if sample and maker.equal:
                images = [store.read(shown.name, 0) for shown in chunk]
            else:  # all of them, for what is made together may decide a last bit
                seeds = [seed_of(self.plan.seed, shown.name, sample) for shown in chunk]
                for progress in maker.make(chunk, self.scale, seeds, sample):
                    yield progress.done, progress.total
                images = list(progress.image)
            for k, image in enumerate(images):
                if missing[k]:
                    check_result(entrant.name, chunk[k], image)
                    store.write(chunk[k].name, sample, image, sums[k])

    def measured(self, shown: Shown, stores: dict[str, Store], sets: Sets) -> Measured:
        scores: dict[str, Scores] = {}
        sets.add_high(colours(shown.high, shown.depth.span))
        for entrant in self.entrants:
            store = stores[entrant.name]
            results = [store.read(shown.name, sample) for sample in range(self.samples(entrant))]
            for result in results:
                check_result(entrant.name, shown, result)
            scores[entrant.name] = scored(self.metrics, shown, results)
            sets.add(entrant.name, colours(results[0], shown.depth.span))
        return Measured(shown.name, (shown.high.shape[-2], shown.high.shape[-1]), scores)


def scored(metrics: Sequence[Metric], shown: Shown, results: list[Tensor]) -> Scores:
    """Raises InputError naming the file for a picture that cannot be measured so, as too small a one."""
    case = Case.of(shown, results)
    found = {metric.key: attempted(metric, case, shown) for metric in metrics}
    return {key: score for key, score in found.items() if score is not None}


def attempted(metric: Metric, case: Case, shown: Shown) -> float | None:
    try:
        return metric.measure(case)
    except ValueError as error:
        raise InputError(f"{shown.source}: {metric.title} cannot be measured: {error}") from error


def check_result(name: str, shown: Shown, image: Tensor) -> None:
    if image.shape != shown.high.shape:
        sizes = " and ".join(f"{x.shape[-1]} x {x.shape[-2]} x {x.shape[1]}" for x in (image, shown.high))
        raise InputError(f"{name}: its result and {shown.source} differ: {sizes}")


def colours(image: Tensor, span: Span | None = None) -> Tensor:
    """As networks of sets are shown it: RGB in 8 bits; what has other bands is shown to none."""
    whole = image.dtype == torch.uint8 and span is None
    levels = image if whole else fitted(255 * unit(image, span), torch.uint8)
    return levels.expand(-1, 3, -1, -1) if levels.shape[1] == 1 else levels
