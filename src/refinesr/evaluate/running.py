"""Every method on every picture: made, written, read back and measured.  Only numbers are kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from refinesr.devices import check_seed
from refinesr.errors import ConfigError, InputError, OutputError
from refinesr.evaluate.depths import EIGHT_BITS, Depth, check_modes, fitted, mode, unit
from refinesr.evaluate.makers import Maker
from refinesr.evaluate.measuring import Case, Metric
from refinesr.evaluate.pairs import Pair, Shown, checksum
from refinesr.evaluate.protocols import Protocol
from refinesr.evaluate.sets import SetMetric, Sets
from refinesr.evaluate.store import Store, seed_of

FORMAT = "refinesr-evaluate-1"

TAKEN = ("high", "low")
"""Folders for the pictures as they were measured, beside those of the methods."""

ELSEWHERE = "choose another folder, or --overwrite begins anew"

Scores = dict[str, float]


@dataclass(frozen=True, eq=False)
class Entrant:
    """A method in the table."""

    name: str
    maker: Maker

    def __post_init__(self) -> None:
        name = self.name
        if name in TAKEN or name.startswith(".") or set(name) & set("/\\:\0") or not name.strip():
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
    """A picture's size, and each method's scores."""

    name: str
    size: tuple[int, int]
    scores: dict[str, Scores]


@dataclass(frozen=True)
class Kept:
    """The folder of an evaluation's pictures: as they were measured, for pages, and what methods made.

    All of it belongs to the same pictures, by one protocol.
    """

    path: Path
    depth: Depth = EIGHT_BITS

    def store(self, name: str) -> Store:
        return Store(self.path / name, self.depth)

    @cached_property
    def taken(self) -> dict[str, Store]:
        return {name: self.store(name) for name in TAKEN}

    def stores(self) -> list[Store]:
        """Those that evaluations have made, of methods that are not asked for now, too."""
        found = [Store(settings.parent) for settings in sorted(self.path.glob("*/evaluate.json"))]
        return [store for store in found if store.format == FORMAT]

    def check(self, asked: "Evaluation") -> None:
        """Raises OutputError if it is of another protocol, or of pictures that are not asked for."""
        for store in self.taken.values():
            store.check(asked.kept)
        names = {pair.name for pair in asked.pairs}
        for store in self.stores():
            for name in store.made:
                if "/" not in name and Path(name).stem not in names:
                    found = f"{store.path / name}: is none of the pictures that are evaluated now"
                    raise OutputError(f"{found}; {ELSEWHERE}")

    def check_picture(self, shown: Shown) -> None:
        """Raises OutputError if it is of another picture of that name."""
        for store, image in self.images(shown):
            store.holds(shown.name, 0, checksum(image))

    def open(self, asked: "Evaluation", *, overwrite: bool) -> None:
        if not overwrite:
            self.check(asked)
        elif not self.fits(asked):
            self.remove()
        for store in self.taken.values():
            store.open(asked.kept, overwrite=overwrite)

    def fits(self, asked: "Evaluation") -> bool:
        try:
            self.check(asked)
            for pair in asked.pairs:
                self.check_picture(asked.shown(pair))
        except (ConfigError, OutputError):
            return False
        return True

    def remove(self) -> None:
        """What evaluations have made, and nothing else."""
        for store in self.stores():
            store.remove()
        self.__dict__.pop("taken", None)  # it remembers what was there

    def keep(self, shown: Shown) -> None:
        for store, image in self.images(shown):
            if not store.holds(shown.name, 0, found := checksum(image)):
                store.write(shown.name, 0, image, found)

    def images(self, shown: Shown) -> tuple[tuple[Store, Tensor], ...]:
        return (self.taken["high"], shown.high), (self.taken["low"], shown.low)


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
        names = [entrant.name for entrant in self.entrants]
        for entrant in self.entrants:
            if names.count(entrant.name) > 1:
                raise ConfigError(f"{entrant.name}: two methods of one name; give NAME=... to one of them")
            if entrant.maker.scale not in (None, self.scale):
                raise ConfigError(f"{entrant.name}: has scale {entrant.maker.scale}, not {self.scale}")

    def shown(self, pair: Pair) -> Shown:
        return pair.shown(self.protocol.crop, self.scale, self.protocol.kernel)

    def kept_in(self, report: Path) -> Kept:
        return Kept(report / "pictures", self.protocol.depth)

    def samples(self, entrant: Entrant) -> int:
        return self.plan.samples if entrant.maker.random else 1

    @property
    def kept(self) -> dict[str, Any]:
        """What the pictures depend on, as they are measured."""
        return {"format": FORMAT, "protocol": self.protocol.name, "scale": self.scale}

    def settings(self, entrant: Entrant) -> dict[str, Any]:
        """All that its results depend on besides the pictures."""
        drawn = {"seed": self.plan.seed, "batch": self.plan.batch} if entrant.maker.random else {}
        return {"format": FORMAT, "scale": self.scale, **drawn, **entrant.maker.facts()}

    def check(self, report: Path | None = None) -> Iterator[At]:
        """Read everything there is, before hours of work.  Raises InputError naming the file.

        Raises OutputError if the folder `report` holds results of other pictures, by another protocol, or
        that were made with other settings.
        """
        kept = self.kept_in(report) if report is not None else None
        if kept is not None:
            kept.check(self)
            for entrant in self.entrants:
                kept.store(entrant.name).check(self.settings(entrant))
        first: tuple[str, str] | None = None
        for done, pair in enumerate(self.pairs, start=1):
            shown = self.shown(pair)
            first = first or (shown.source, mode(shown.high))
            if not self.protocol.depth.mixed:
                check_modes(shown.source, shown.high, *first)
            if kept is not None:
                kept.check_picture(shown)
            for entrant in self.entrants:
                entrant.maker.check(shown, self.samples(entrant))
            yield At("read", done, len(self.pairs))

    def run(self, report: Path, sets: Sets, *, overwrite: bool = False) -> Iterator[At]:
        """One `At` with an `image` for each picture, in order; the distances of sets are gathered in `sets`.

        What the report's folder holds already is not made again.  Raises OutputError if it was made with
        other settings, of other pictures or by another protocol.  With `overwrite` what was made with other
        settings is removed, and of other pictures or by another protocol all that evaluations have made.
        """
        kept = self.kept_in(report)
        stores = {entrant.name: kept.store(entrant.name) for entrant in self.entrants}
        kept.open(self, overwrite=overwrite)
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
            # all of them, for what is made together may decide a last bit
            seeds = [seed_of(self.plan.seed, shown.name, sample) for shown in chunk]
            for progress in maker.make(chunk, self.scale, seeds, sample):
                yield progress.done, progress.total
            for k, image in enumerate(progress.image):
                if missing[k]:
                    check_result(entrant.name, chunk[k], image)
                    store.write(chunk[k].name, sample, image, sums[k])

    def measured(self, shown: Shown, stores: dict[str, Store], sets: Sets) -> Measured:
        scores: dict[str, Scores] = {}
        sets.add_high(colours(shown.high))
        for entrant in self.entrants:
            store = stores[entrant.name]
            results = [store.read(shown.name, sample) for sample in range(self.samples(entrant))]
            for result in results:
                check_result(entrant.name, shown, result)
            scores[entrant.name] = scored(self.metrics, shown, results)
            sets.add(entrant.name, colours(results[0]))
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


def colours(image: Tensor) -> Tensor:
    """As networks of sets are shown it: RGB in 8 bits; what has other bands is shown to none."""
    levels = image if image.dtype == torch.uint8 else fitted(255 * unit(image), torch.uint8)
    return levels.expand(-1, 3, -1, -1) if levels.shape[1] == 1 else levels
