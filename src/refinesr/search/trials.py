"""The search: many grids on few images, the better ones on more, then closer around the best of them."""

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
from refinesr.held_out import HeldOut
from refinesr.method import Method, Sampling
from refinesr.search.judges import Judge, check
from refinesr.search.space import Place, Power, Spacing, lattice, spacings, trained
from refinesr.stage import Progress, Stage
from refinesr.validation import as_int, convert_fields

KEPT = 3
"""One in so many goes on to twice the images."""

FINEST = 1 / 30
"""Of the plane's side: steps below it change less than can be measured."""


@dataclass(frozen=True)
class Search:
    """How much is tried.

    candidates  grids, besides those there are already: the model's own, and its training table respaced
    seed        of the noise: every grid starts each image from the same
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
    """A way of sampling, judged on the first `images` of the held-out ones."""

    sampling: Sampling
    images: int
    score: float
    parts: tuple[float, ...] = field(repr=False)

    @property
    def error(self) -> float:
        """Standard error of the score over images."""
        return standard_error(self.parts)

    def beyond(self, other: "Trial") -> tuple[float, float]:
        """How much more its score is than that of another on as many images, and the standard error of that.

        Paired: what makes an image hard for both is no uncertainty.
        """
        if self.images != other.images:
            raise ValueError(f"{self.images} and {other.images} images cannot be paired")
        apart = [mine - its for mine, its in zip(self.parts, other.parts, strict=True)]
        return self.score - other.score, standard_error(apart)


def standard_error(values: Sequence[float]) -> float:
    """Of their mean."""
    return float(torch.tensor(values, dtype=torch.float64).std()) / math.sqrt(len(values))


@dataclass(frozen=True)
class Searching:
    """How far the search is: `done` of at most `total` steps of single images; a `trial` when it is over."""

    done: int
    total: int
    trial: Trial | None = None


def ranked(trials: Iterable[Trial], judge: Judge) -> list[Trial]:
    """The best first, each way of sampling once; what was given up after fewer images is behind the rest."""
    last: dict[Sampling, Trial] = {}
    for trial in trials:
        if trial.sampling not in last or last[trial.sampling].images <= trial.images:
            last[trial.sampling] = trial

    def order(trial: Trial) -> tuple[int, bool, float]:
        return -trial.images, math.isnan(trial.score), -trial.score if judge.higher else trial.score

    return sorted(last.values(), key=order)


def present(method: Method, steps: int) -> Sampling:
    """The method's own sampling with so many steps, or with its own number if its grid has no other."""
    asked = replace(method.sampling, steps=steps)
    try:
        asked.levels()
    except ConfigError:
        return method.sampling
    return asked


def search(
    stage: Stage, held: HeldOut, judge: Judge, plan: Search, autocast: torch.dtype | None = None
) -> Iterator[Searching]:
    """Try grids; the first trial is of the model's own.  The same plan gives the same trials.

    Computes where the model is.  Raises ConfigError, before the first step, if there is nothing to search or
    the judge does not fit the model, and CheckpointError if the model makes no numbers of any image.
    """
    kinds = spacings(stage.method, plan.steps)
    check(judge, stage.method, held)
    if plan.candidates < len(kinds):
        raise ConfigError(f"candidates: {plan.candidates} is too few; there are {len(kinds)} spacings to try")
    bench, places = Bench(stage, held, judge, plan, autocast), spread(kinds, plan.candidates * 3 // 4)
    side = len({place.high for place in places})
    own = list(dict.fromkeys(map(bench.known, established(stage.method, plan.steps))))
    bench.total = cost(plan, [sampling.steps for sampling in own], len(places), bench.rungs)
    for sampling in own:
        trial = yield from bench.tried(sampling, len(held))
        if math.isnan(trial.score):
            raise CheckpointError("the model makes NaN or infinity of pictures; try --precision fp32")
    best = yield from coarse(bench, places)
    yield from fine(bench, best, 1 / (2 * side), plan.candidates - len(places))


def spread(kinds: Sequence[Spacing], candidates: int) -> list[Place]:
    """So many places at most, but at least one for each spacing.

    Without spacings there is one level: a line of places, as close as the search goes without steps between.
    """
    if not kinds:
        many = max(1, min(candidates, round(1 / (2 * FINEST))))
        return [Place(Power(), 0.0, 1 - k / many) for k in range(many)]
    return lattice(kinds, max(1, math.isqrt(candidates // len(kinds))))


def adopted(stage: Stage, trial: Trial) -> Stage:
    """The same model, sampling so unless asked otherwise."""
    return replace(stage, method=replace(stage.method, sampling=trial.sampling))


def established(method: Method, steps: int) -> list[Sampling]:
    """What there is without a search: the model's own grid, and its training table respaced."""
    own, found = present(method, steps), []
    if isinstance(method.levels, Discrete | Continuous) and steps <= method.levels.table.rows:
        found = [replace(method.sampling, grid=Even(method.levels.table), steps=steps, label=None)]
    return list(dict.fromkeys([own, *found]))


def cost(plan: Search, own: Sequence[int], coarse: int, rungs: Sequence[int]) -> int:
    """Steps of single images, at most: of the established grids, of the lattice rung by rung, of the rest."""
    left, before, images = coarse, 0, 0
    for rung in rungs:
        images += left * (rung - before)
        left, before = math.ceil(left / KEPT), rung
    return sum(own) * before + plan.steps * (images + before * (plan.candidates - coarse))


class Bench:
    """What has been measured, so that no image is restored twice by one grid."""

    def __init__(
        self, stage: Stage, held: HeldOut, judge: Judge, plan: Search, autocast: torch.dtype | None
    ) -> None:
        self.stage, self.held, self.judge, self.plan = stage, held, judge, plan
        self.autocast, self.span = autocast, trained(stage.method)
        self.rows: dict[Sampling, list[Tensor]] = {}
        self.last: dict[Sampling, Trial] = {}
        self.grids: dict[tuple[str, ...], Sampling] = {}
        self.done = self.total = 0

    @property
    def rungs(self) -> list[int]:
        """A quarter of the images, half, all: as far as these are enough to tell anything."""
        images = len(self.held)
        return [*(part for part in (images // 4, images // 2) if part >= self.judge.least), images]

    def sampling(self, place: Place) -> Sampling | None:
        grid = place.grid(self.span, self.plan.steps)
        if grid is None:
            return None
        asked = replace(self.stage.method.sampling, grid=grid, steps=self.plan.steps, label=None)
        try:
            replace(self.stage.method, sampling=asked)
        except ConfigError:  # from this level on there is no mean for its fidelity
            return None
        return self.known(asked)

    def known(self, sampling: Sampling) -> Sampling:
        """The first that was asked for with its levels: of one or two steps, all spacings have the same."""
        return self.grids.setdefault(tuple(f"{level:.10g}" for level in sampling.levels().tolist()), sampling)

    def found(self, places: Iterable[Place]) -> dict[Sampling, Place]:
        """Each way of sampling once, at the first of its places."""
        found: dict[Sampling, Place] = {}
        for place in places:
            if sampling := self.sampling(place):
                found.setdefault(sampling, place)
        return found

    def tried(self, sampling: Sampling, images: int) -> Generator[Searching, None, Trial]:
        """Judged on the first `images`, of which only those not seen yet are restored."""
        rows = self.rows.setdefault(sampling, [])
        while len(rows) < images:
            rows += yield from self.measured(sampling, len(rows), min(len(rows) + self.plan.batch, images))
        score, parts = self.judge.verdict(torch.stack(rows[:images]))
        self.last[sampling] = Trial(sampling, images, score, tuple(parts.tolist()))
        yield Searching(self.done, self.total, self.last[sampling])
        return self.last[sampling]

    def measured(self, sampling: Sampling, first: int, last: int) -> Generator[Searching, None, list[Tensor]]:
        """A row for each image from `first` to `last`; NaN where the model made no numbers of it."""
        device = next(self.stage.model.parameters()).device
        high, low = (images[first:last].to(device) for images in (self.held.high, self.held.low))
        noise = NoiseField(tuple((self.plan.seed + place) % 2**63 for place in range(first, last)))
        tile, made = self.stage.default_tile, high
        for progress in quiet(self.stage(low, noise, sampling=sampling, tile=tile, autocast=self.autocast)):
            self.done, made = self.done + len(low), progress.image.float()
            yield Searching(self.done, self.total)
        result = ((made.clamp(-1, 1) + 1) * 127.5).round() / 255
        finite = made.isfinite().flatten(1).all(1).cpu()
        rows = self.judge.measure((high + 1) / 2, result.nan_to_num())
        return list(torch.where(finite[:, None], rows, torch.nan))


def quiet(walk: Iterator[Progress[Tensor]]) -> Iterator[Progress[Tensor]]:
    """Without warnings of odd grids: trying them is the point."""
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            progress = next(walk, None)
        if progress is None:
            return
        yield progress


def coarse(bench: Bench, places: Iterable[Place]) -> Generator[Searching, None, Place]:
    """The best of them.  All are judged on a few images, the best third on more, until all images are used.

    Successive halving: on the same images and noise, what is far off is soon found out.
    """
    found = bench.found(places)
    if not found:
        raise ConfigError(
            "sampling.fidelity: from none of the levels tried is there a mean of all answers; use 0"
        )
    left = list(found)
    for images in bench.rungs:
        for sampling in left:
            yield from bench.tried(sampling, images)
        order = ranked((bench.last[sampling] for sampling in left), bench.judge)
        left = [trial.sampling for trial in order[: math.ceil(len(left) / KEPT)]]
    return found[left[0]]


def fine(bench: Bench, best: Place, step: float, candidates: int) -> Iterator[Searching]:
    """Walks to the best neighbour, or looks closer where none is better, until the candidates are used up."""
    while candidates > 0 and step >= FINEST:
        near = bench.found((best, *best.around(step)))
        fresh = [sampling for sampling in near if sampling not in bench.rows][:candidates]
        for sampling in fresh:
            yield from bench.tried(sampling, len(bench.held))
        candidates -= len(fresh)
        tried = (bench.last[sampling] for sampling in near if sampling in bench.last)
        winner = near[ranked(tried, bench.judge)[0].sampling]
        best, step = (best, step / 2) if winner == best else (winner, step)
