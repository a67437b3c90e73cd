"""Runs every method on every image: results are made, written, read back and measured.

Only scores are folder in memory.
"""

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
from refinesr.evaluate.depths import check_same_mode, mode_name, to_type, to_unit_range
from refinesr.evaluate.evaluation_folder import FORMAT, RESERVED, EvaluationFolder
from refinesr.evaluate.image_metrics import Case, Metric
from refinesr.evaluate.pairs import LoadedPair, Pair
from refinesr.evaluate.protocols import Protocol
from refinesr.evaluate.set_metrics import SetAccumulators, SetMetric
from refinesr.evaluate.store import Store, derived_seed
from refinesr.evaluate.upscalers import Upscaler
from refinesr.files import case_folded, is_utf8
from refinesr.images.span import Span

Scores = dict[str, float]


@dataclass(frozen=True, eq=False)
class EvaluatedMethod:
    """A method of the table: its name, which is also its folder's, and the source of its results."""

    name: str
    upscaler: Upscaler

    def __post_init__(self) -> None:
        name = self.name
        unfit = case_folded(name) in RESERVED or not is_utf8(name)
        if unfit or name.startswith(".") or set(name) & set("/\\:\0") or not name.strip():
            raise ConfigError(f"'{name}' cannot be a method's name, which is a folder's; give NAME=...")


@dataclass(frozen=True)
class EvaluationPlan:
    """Settings of an evaluation.

    seed     seed of the noise; the seed of each sample of each image is derived from it
    samples  number of results for each image, for methods that give samples
    batch    number of images restored at once, if they are of one size
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
class ImageScores:
    """An image's name, size (height, width), and scores by method."""

    name: str
    size: tuple[int, int]
    scores: Mapping[str, Scores]


@dataclass(frozen=True)
class EvaluationProgress:
    """Progress of an evaluation.

    `done` of `total` images are `task` ("read" or "evaluated"); `method` is at `step` of `steps`.
    `image` holds the scores of an image that has just been evaluated.
    """

    task: str
    done: int
    total: int
    method: str = ""
    step: int = 0
    steps: int = 0
    image: ImageScores | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """An evaluation: methods, images, metrics and the protocol."""

    protocol: Protocol
    scale: int
    pairs: Sequence[Pair]
    methods: Sequence[EvaluatedMethod]
    metrics: Sequence[Metric]
    set_metrics: Sequence[SetMetric] = ()
    plan: EvaluationPlan = field(default_factory=EvaluationPlan)

    def __post_init__(self) -> None:
        self.protocol.check(self.scale)
        names = [case_folded(method.name) for method in self.methods]  # folders' names may ignore case
        for method, name in zip(self.methods, names, strict=True):
            if names.count(name) > 1:
                raise ConfigError(f"{method.name}: two methods of one name; give NAME=... to one of them")
            if method.upscaler.scale not in (None, self.scale):
                raise ConfigError(f"{method.name}: has scale {method.upscaler.scale}, not {self.scale}")

    def load(self, pair: Pair) -> LoadedPair:
        return pair.load(self.protocol.crop, self.scale, self.protocol.kernel)

    def folder_in(self, report: Path) -> EvaluationFolder:
        settings: dict[str, Any] = {"format": FORMAT, "protocol": self.protocol.name, "scale": self.scale}
        if (span := self.protocol.depth.span) is not None:
            settings["span"] = to_data(span)
        return EvaluationFolder(report / "pictures", self.protocol.depth, settings)

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of the images."""
        return frozenset(pair.name for pair in self.pairs)

    def samples(self, method: EvaluatedMethod) -> int:
        return self.plan.samples if method.upscaler.sampled else 1

    def settings(self, method: EvaluatedMethod) -> dict[str, Any]:
        """Everything that a method's results depend on besides the images."""
        drawn = {"seed": self.plan.seed, "batch": self.plan.batch} if method.upscaler.sampled else {}
        return {"format": FORMAT, "scale": self.scale, **drawn, **method.upscaler.settings()}

    def check(self, report: Path | None = None) -> Iterator[EvaluationProgress]:
        """Read and check all inputs before the evaluation.  Yields progress.

        Raises InputError naming all invalid files.  Raises OutputError if the folder `report` holds results
        of other images, of another protocol, or made with other settings.
        """
        folder = self.folder_in(report) if report is not None else None
        if folder is not None:
            folder.check(self.names)
            for method in self.methods:
                folder.store(method.name).check(self.settings(method))
        first: tuple[str, str] | None = None
        bad: list[tuple[str, InputError]] = []
        for done, pair in enumerate(self.pairs, start=1):
            try:
                loaded = self.load(pair)
                first = first or (loaded.source, mode_name(loaded.high))
                if not self.protocol.depth.allows_mixed_modes:
                    check_same_mode(loaded.source, loaded.high, *first)
                if folder is not None:
                    folder.check_picture(loaded)
                for method in self.methods:
                    method.upscaler.check(loaded, self.samples(method))
            except InputError as error:
                bad.append((pair.high.name, error))
            yield EvaluationProgress("read", done, len(self.pairs))
        if bad:
            raise InputError.combine(bad) from bad[0][1]

    def run(
        self, report: Path, sets: SetAccumulators, *, overwrite: bool = False
    ) -> Iterator[EvaluationProgress]:
        """Evaluate.  Yields progress, with an `image` once for each image, in order; adds results to `sets`.

        Results that the report's folder already holds are not made again.  Raises OutputError if they were
        made with other settings, from other images or by another protocol.  With `overwrite`, results made
        with other settings are removed; if the images or the protocol differ, so are all results.
        """
        folder = self.folder_in(report)
        stores = {method.name: folder.store(method.name) for method in self.methods}
        folder.open(self.names, map(self.load, self.pairs), overwrite=overwrite)
        for method in self.methods:
            stores[method.name].open(self.settings(method), overwrite=overwrite)
        for first in range(0, len(self.pairs), self.plan.batch):
            batch = [self.load(pair) for pair in self.pairs[first : first + self.plan.batch]]
            for loaded in batch:
                folder.save_inputs(loaded)
            for method in self.methods:
                for steps in self.make_missing(method, stores[method.name], batch):
                    yield EvaluationProgress("evaluated", first, len(self.pairs), method.name, *steps)
            for done, loaded in enumerate(batch, start=first + 1):
                scores = self.score(loaded, stores, sets)
                yield EvaluationProgress("evaluated", done, len(self.pairs), image=scores)

    def make_missing(
        self, method: EvaluatedMethod, store: Store, batch: list[LoadedPair]
    ) -> Iterator[tuple[int, int]]:
        """Make and store the missing results of a batch.  Yields (step, steps)."""
        upscaler = method.upscaler
        for sample in range(self.samples(method)):
            checksums = [upscaler.checksum(loaded, sample) for loaded in batch]
            missing = [
                not store.holds(x.name, sample, each) for x, each in zip(batch, checksums, strict=True)
            ]
            if not any(missing):
                continue
            if sample and upscaler.deterministic:
                images = [store.read(loaded.name, 0) for loaded in batch]
            else:  # the whole batch: its composition may change results in the last bit
                seeds = [derived_seed(self.plan.seed, loaded.name, sample) for loaded in batch]
                for progress in upscaler.upscale(batch, self.scale, seeds, sample):
                    yield progress.done, progress.total
                images = list(progress.image)
            for k, image in enumerate(images):
                if missing[k]:
                    check_result(method.name, batch[k], image)
                    store.write(batch[k].name, sample, image, checksums[k])

    def score(self, loaded: LoadedPair, stores: dict[str, Store], sets: SetAccumulators) -> ImageScores:
        scores: dict[str, Scores] = {}
        sets.add_high(eight_bit_rgb(loaded.high, loaded.depth.span))
        for method in self.methods:
            store = stores[method.name]
            results = [store.read(loaded.name, sample) for sample in range(self.samples(method))]
            for result in results:
                check_result(method.name, loaded, result)
            scores[method.name] = score_image(self.metrics, loaded, results)
            sets.add(method.name, eight_bit_rgb(results[0], loaded.depth.span))
        return ImageScores(loaded.name, (loaded.high.shape[-2], loaded.high.shape[-1]), scores)


def score_image(metrics: Sequence[Metric], loaded: LoadedPair, results: list[Tensor]) -> Scores:
    """Scores by metric.  Raises InputError naming the file if it cannot be measured, as if too small."""
    case = Case.of(loaded, results)
    found = {metric.key: measure(metric, case, loaded) for metric in metrics}
    return {key: score for key, score in found.items() if score is not None}


def measure(metric: Metric, case: Case, loaded: LoadedPair) -> float | None:
    try:
        return metric.measure(case)
    except ValueError as error:
        raise InputError(f"{loaded.source}: {metric.title} cannot be measured: {error}") from error


def check_result(name: str, loaded: LoadedPair, image: Tensor) -> None:
    if image.shape != loaded.high.shape:
        sizes = " and ".join(f"{x.shape[-1]} x {x.shape[-2]} x {x.shape[1]}" for x in (image, loaded.high))
        raise InputError(f"{name}: its result and {loaded.source} differ: {sizes}")


def eight_bit_rgb(image: Tensor, span: Span | None = None) -> Tensor:
    """The image as 8-bit RGB, the input of set metrics; other numbers of bands than 1 are folder."""
    whole = image.dtype == torch.uint8 and span is None
    levels = image if whole else to_type(255 * to_unit_range(image, span), torch.uint8)
    return levels.expand(-1, 3, -1, -1) if levels.shape[1] == 1 else levels
