"""The search: many grids on few images, the better ones on more, then a local search around the best."""

import math
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from refinesr.devices import check_seed
from refinesr.diffusion.levels import Continuous, Discrete
from refinesr.diffusion.noise import NoiseField
from refinesr.diffusion.schedule import Even
from refinesr.errors import CheckpointError, ConfigError
from refinesr.held_out import HeldOutSet
from refinesr.method import Method, Sampling
from refinesr.search.metrics import Metric, check_metric
from refinesr.search.space import Point, Power, Spacing, lattice, trained_range, usable_spacings
from refinesr.stage import Progress, Stage
from refinesr.validation import as_int, convert_fields

REDUCTION = 3
"""Successive halving keeps one candidate in so many for the next, larger number of images."""

FINEST = 1 / 30
"""Smallest step in the coordinates of a `Point`: smaller ones change less than can be measured."""


@dataclass(frozen=True)
class SearchPlan:
    """How much is searched.

    steps       sampling steps of every grid
    candidates  grids to evaluate besides the model's own and its training table respaced
    seed        of the noise, which is the same for every grid
    batch       images at a time
    """

    steps: int
    candidates: int = 48
    seed: int = 0
    batch: int = 8

    def __post_init__(self) -> None:
        convert_fields(self, as_int, "steps", "candidates", "seed", "batch")
        for name in ("steps", "candidates", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not positive")
        check_seed(self.seed)


@dataclass(frozen=True)
class Trial:
    """A sampling and its score on the first `images` held-out images; for `parts` see `search.metrics`."""

    sampling: Sampling
    images: int
    score: float
    parts: tuple[float, ...] = field(repr=False)

    @property
    def error(self) -> float:
        """Standard error of the score over images."""
        return standard_error(self.parts)

    def difference(self, other: "Trial") -> tuple[float, float]:
        """This score minus the other's, and the standard error of the paired difference.

        Raises ValueError for trials on different numbers of images.
        """
        if self.images != other.images:
            raise ValueError(f"{self.images} and {other.images} images cannot be paired")
        differences = [mine - theirs for mine, theirs in zip(self.parts, other.parts, strict=True)]
        return self.score - other.score, standard_error(differences)


def standard_error(values: Sequence[float]) -> float:
    """Of the values' mean."""
    return float(torch.tensor(values, dtype=torch.float64).std()) / math.sqrt(len(values))


@dataclass(frozen=True)
class SearchProgress:
    """`done` of at most `total` sampling steps of single images; a `trial` when one is complete."""

    done: int
    total: int
    trial: Trial | None = None


def ranked(trials: Iterable[Trial], metric: Metric) -> list[Trial]:
    """The best first, each sampling once; those given up after fewer images come last."""
    latest: dict[Sampling, Trial] = {}
    for trial in trials:
        if trial.sampling not in latest or latest[trial.sampling].images <= trial.images:
            latest[trial.sampling] = trial

    def order(trial: Trial) -> tuple[int, bool, float]:
        score = -trial.score if metric.higher_is_better else trial.score
        return -trial.images, math.isnan(trial.score), score

    return sorted(latest.values(), key=order)


def search(
    stage: Stage, held_out: HeldOutSet, metric: Metric, plan: SearchPlan, autocast: torch.dtype | None = None
) -> Iterator[SearchProgress]:
    """Evaluate grids, the model's own first; the same plan gives the same trials.

    Computes on the model's device.  Raises ConfigError, before the first step, if there is nothing to search
    or the metric does not suit the model; CheckpointError if the model returns NaN or infinity for an image.
    """
    spacings = usable_spacings(stage.method, plan.steps)
    check_metric(metric, stage.method, held_out)
    if plan.candidates < len(spacings):
        few = f"candidates: {plan.candidates} is too few"
        raise ConfigError(f"{few}; there are {len(spacings)} spacings to try")
    evaluator = Evaluator(stage, held_out, metric, plan, autocast)
    points = initial_points(spacings, plan.candidates * 3 // 4)
    side = len({point.high for point in points})
    baselines = list(dict.fromkeys(map(evaluator.canonical, baseline_samplings(stage.method, plan.steps))))
    evaluator.total = max_cost(plan, [each.steps for each in baselines], len(points), evaluator.rungs)
    for sampling in baselines:
        trial = yield from evaluator.evaluate(sampling, len(held_out))
        if math.isnan(trial.score):
            raise CheckpointError("the model makes NaN or infinity of pictures; try --precision fp32")
    best = yield from coarse_search(evaluator, points)
    yield from local_search(evaluator, best, 1 / (2 * side), plan.candidates - len(points))


def initial_points(spacings: Sequence[Spacing], candidates: int) -> list[Point]:
    """At most so many points, but at least one for each spacing.

    Without spacings a grid is a single level: points on a line, as dense as the local search would get.
    """
    if not spacings:
        count = max(1, min(candidates, round(1 / (2 * FINEST))))
        return [Point(Power(), 0.0, 1 - k / count) for k in range(count)]
    return lattice(spacings, max(1, math.isqrt(candidates // len(spacings))))


def with_sampling(stage: Stage, trial: Trial) -> Stage:
    """The same model with the trial's sampling as its default."""
    return replace(stage, method=replace(stage.method, sampling=trial.sampling))


def baseline_samplings(method: Method, steps: int) -> list[Sampling]:
    """The model's own sampling and, if it was trained with a table, that table respaced."""
    baselines = [own_sampling(method, steps)]
    if isinstance(method.levels, Discrete | Continuous) and steps <= method.levels.table.rows:
        respaced = replace(method.sampling, grid=Even(method.levels.table), steps=steps, label=None)
        baselines.append(respaced)
    return list(dict.fromkeys(baselines))


def own_sampling(method: Method, steps: int) -> Sampling:
    """The method's sampling with so many steps, or unchanged if its grid has a fixed number of them."""
    sampling = replace(method.sampling, steps=steps)
    try:
        sampling.levels()
    except ConfigError:
        return method.sampling
    return sampling


def max_cost(plan: SearchPlan, baselines: Sequence[int], coarse: int, rungs: Sequence[int]) -> int:
    """Upper bound of the sampling steps of single images.

    baselines  steps of each baseline
    coarse     number of points of the coarse search; the other candidates are left for the local search
    rungs      as in `Evaluator.rungs`
    """
    left, before, images = coarse, 0, 0
    for rung in rungs:
        images += left * (rung - before)
        left, before = math.ceil(left / REDUCTION), rung
    return sum(baselines) * before + plan.steps * (images + before * (plan.candidates - coarse))


class Evaluator:
    """Evaluates samplings; no image is restored twice with one sampling."""

    def __init__(
        self,
        stage: Stage,
        held_out: HeldOutSet,
        metric: Metric,
        plan: SearchPlan,
        autocast: torch.dtype | None,
    ) -> None:
        self.stage, self.held_out, self.metric, self.plan = stage, held_out, metric, plan
        self.autocast, self.levels = autocast, trained_range(stage.method)
        self.rows: dict[Sampling, list[Tensor]] = {}
        self.latest: dict[Sampling, Trial] = {}
        self.by_levels: dict[tuple[str, ...], Sampling] = {}
        self.done = self.total = 0

    @property
    def rungs(self) -> list[int]:
        """Numbers of images of successive halving: a quarter, half, all; too small ones are left out."""
        images = len(self.held_out)
        return [*(part for part in (images // 4, images // 2) if part >= self.metric.min_images), images]

    def sampling(self, point: Point) -> Sampling | None:
        """The sampling of a point; None if there is none."""
        grid = point.grid(self.levels, self.plan.steps)
        if grid is None:
            return None
        sampling = replace(self.stage.method.sampling, grid=grid, steps=self.plan.steps, label=None)
        try:
            replace(self.stage.method, sampling=sampling)
        except ConfigError:  # the first level gives no posterior mean, which `fidelity` needs
            return None
        return self.canonical(sampling)

    def canonical(self, sampling: Sampling) -> Sampling:
        """The first sampling with the same levels: with one or two steps all spacings have the same."""
        key = tuple(f"{level:.10g}" for level in sampling.levels().tolist())
        return self.by_levels.setdefault(key, sampling)

    def distinct(self, points: Iterable[Point]) -> dict[Sampling, Point]:
        """The distinct samplings, each with the first of its points."""
        found: dict[Sampling, Point] = {}
        for point in points:
            if sampling := self.sampling(point):
                found.setdefault(sampling, point)
        return found

    def evaluate(self, sampling: Sampling, images: int) -> Generator[SearchProgress, None, Trial]:
        """The trial on the first `images`; only images not measured yet are restored."""
        rows = self.rows.setdefault(sampling, [])
        while len(rows) < images:
            rows += yield from self.measure(sampling, len(rows), min(len(rows) + self.plan.batch, images))
        score, parts = self.metric.score(torch.stack(rows[:images]))
        trial = self.latest[sampling] = Trial(sampling, images, score, tuple(parts.tolist()))
        yield SearchProgress(self.done, self.total, trial)
        return trial

    def measure(
        self, sampling: Sampling, first: int, last: int
    ) -> Generator[SearchProgress, None, list[Tensor]]:
        """A row for each of images[first:last]; NaN where the model returned NaN or infinity."""
        device = next(self.stage.model.parameters()).device
        high, low = (images[first:last].to(device) for images in (self.held_out.high, self.held_out.low))
        noise = NoiseField(tuple((self.plan.seed + index) % 2**63 for index in range(first, last)))
        tile, image = self.stage.default_tile, high
        steps = self.stage(low, noise, sampling=sampling, tile=tile, autocast=self.autocast)
        for progress in without_warnings(steps):
            self.done, image = self.done + len(low), progress.image.float()
            yield SearchProgress(self.done, self.total)
        result = ((image.clamp(-1, 1) + 1) * 127.5).round() / 255
        finite = image.isfinite().flatten(1).all(1).cpu()
        rows = self.metric.measure((high + 1) / 2, result.nan_to_num())
        return list(torch.where(finite[:, None], rows, torch.nan))


def without_warnings(steps: Iterator[Progress[Tensor]]) -> Iterator[Progress[Tensor]]:
    """The same items; warnings about unusual grids are suppressed, as these are tried on purpose."""
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            progress = next(steps, None)
        if progress is None:
            return
        yield progress


def coarse_search(evaluator: Evaluator, points: Iterable[Point]) -> Generator[SearchProgress, None, Point]:
    """The best point by successive halving.

    All are evaluated on a few images, the best third on more, until all images are used.
    """
    found = evaluator.distinct(points)
    if not found:
        raise ConfigError("sampling.fidelity: no level tried gives an estimate of the posterior mean; use 0")
    left = list(found)
    for images in evaluator.rungs:
        for sampling in left:
            yield from evaluator.evaluate(sampling, images)
        order = ranked((evaluator.latest[sampling] for sampling in left), evaluator.metric)
        left = [trial.sampling for trial in order[: math.ceil(len(left) / REDUCTION)]]
    return found[left[0]]


def local_search(evaluator: Evaluator, best: Point, step: float, candidates: int) -> Iterator[SearchProgress]:
    """Move to the best neighbour, or halve the step if none is better, until the candidates are used up."""
    while candidates > 0 and step >= FINEST:
        nearby = evaluator.distinct((best, *best.neighbours(step)))
        new = [sampling for sampling in nearby if sampling not in evaluator.rows][:candidates]
        for sampling in new:
            yield from evaluator.evaluate(sampling, len(evaluator.held_out))
        candidates -= len(new)
        trials = (evaluator.latest[sampling] for sampling in nearby if sampling in evaluator.latest)
        winner = nearby[ranked(trials, evaluator.metric)[0].sampling]
        best, step = (best, step / 2) if winner == best else (winner, step)
