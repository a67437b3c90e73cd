"""Two methods on the same pictures: how far they are apart, and whether that may be chance."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64

from refinesr.errors import InputError
from refinesr.evaluate.aims import Interval, Near, told_apart
from refinesr.evaluate.alike import check_alike
from refinesr.evaluate.bands import of_bands
from refinesr.evaluate.crops import Colours, colours, picture_in
from refinesr.evaluate.depths import EIGHT_BITS, AsStored, Stored, as_picture
from refinesr.evaluate.estimates import Estimate
from refinesr.evaluate.makers import Folder
from refinesr.evaluate.measuring import Case, psnr_of, ssim_of
from refinesr.evaluate.measuring import Metric as Measured
from refinesr.evaluate.pairs import Shown, opened, pairs
from refinesr.evaluate.reading import Metric, Report
from refinesr.evaluate.report import differences, farther
from refinesr.images.span import Span

Values = Float[np.ndarray, " N"]

EXACT = 20
"""Pictures up to which all signs are gone through, 2**19 of them up to one for all."""

FLIPS = 100_000
"""Random signs for more pictures."""

CHANCE = 0.05
"""The largest p that tells two methods apart."""

ROUNDING = 1e-10
"""Sums that differ by less, relative to the sum of all sizes, are equal."""


def sign_flip(apart: Values) -> float:
    """The share of sign patterns whose mean is at least as far from 0: the two-sided p of Fisher (1935).

    If the two methods were alike, each difference might as well have the other sign.  Exact for up to
    `EXACT` pictures, beyond that by `FLIPS` random patterns and the observed one.
    """
    values = np.asarray(apart, np.float64)
    least = abs(values.sum()) - ROUNDING * np.abs(values).sum()
    if len(values) <= EXACT:
        return float((np.abs(all_sums(values)) >= least).mean())
    rng, reached = np.random.default_rng(0), 0
    for _ in range(FLIPS // 100):
        signs = rng.integers(0, 2, (100, len(values))) * 2.0 - 1
        reached += int((np.abs(signs @ values) >= least).sum())
    return (reached + 1) / (FLIPS + 1)


def all_sums(values: Float64[np.ndarray, " N"]) -> Float64[np.ndarray, " M"]:
    """With all patterns of signs but that of the first, which the absolute value does not see."""
    sums = values[:1]
    for value in values[1:]:
        sums = np.concatenate((sums + value, sums - value))
    return sums


@dataclass(frozen=True)
class Compared:
    """One metric of A and B, means over the `count` pictures that both have a finite number of.

    difference  mean of B - A
    interval    its 95 %, by bootstrap over pictures; None of one, too narrow of fewer than about 20
    p           of the sign-flip permutation test
    left_out    pictures that one is perfect on: their difference is infinite
    distance    the interval of |B - target| - |A - target|, where there is a target
    """

    key: str
    metric: Metric
    a: float
    b: float
    difference: float
    interval: Interval | None
    p: float
    count: int
    left_out: int = 0
    distance: Interval | None = None

    @property
    def exact(self) -> bool:
        return self.count <= EXACT

    @property
    def least(self) -> float:
        """The smallest p that so many pictures can have."""
        return 2.0 ** (1 - self.count) if self.exact else 1 / (FLIPS + 1)

    def verdict(self, a: str, b: str) -> str:
        """In words: who is better, if neither the interval nor p leaves it open; each alone may err."""
        if self.least > CHANCE and self.difference != 0:
            return "too few pictures to tell"
        if self.interval is None or not told_apart(self.interval) or self.p > CHANCE:
            return "not told apart"
        return self.metric.better.verdict(a, b, self.interval, self.distance)


@dataclass(frozen=True)
class Infinite:
    """One metric in which the difference is infinite for every picture: means over all `left_out` of them.

    difference  B - A: inf or -inf; NaN if each is perfect on some
    """

    key: str
    metric: Metric
    a: float
    b: float
    left_out: int

    @property
    def difference(self) -> float:
        return self.b - self.a


def compared(key: str, metric: Metric, a: Mapping[str, float], b: Mapping[str, float]) -> Compared | None:
    """Of scores by picture.  None if there is no picture whose difference is a finite number."""
    every = differences(b, a)
    kept = {name: difference for name, difference in every.items() if math.isfinite(difference)}
    if not kept:
        return None
    apart = np.array(list(kept.values()))
    one, other = ({name: scores[name] for name in kept} for scores in (a, b))
    estimate, p, aim = Estimate.of(apart), sign_flip(apart), metric.better
    return Compared(
        key,
        metric,
        mean(one),
        mean(other),
        estimate.mean,
        estimate.interval,
        p,
        len(kept),
        len(every) - len(kept),
        farther(aim.target, other, one).interval if isinstance(aim, Near) else None,
    )


def mean(scores: Mapping[str, float]) -> float:
    return float(np.mean(list(scores.values())))


@dataclass(frozen=True, eq=False)
class Side:
    """A method: its scores by metric and picture, and where its pictures are."""

    name: str
    scores: Mapping[str, Mapping[str, float]]
    picture: Callable[[str], Colours | None]


@dataclass(frozen=True, eq=False)
class Match:
    """Two methods on the same pictures; `place` says where, `left_out` which metrics cannot be compared,
    `bands` how many pictures have if they are neither grey nor RGB."""

    a: Side
    b: Side
    metrics: Mapping[str, Metric]
    names: tuple[str, ...]
    truth: Callable[[str], Colours | None]
    place: str
    left_out: tuple[str, ...] = ()
    bands: int = 0

    def compared(self) -> Iterator[Compared]:
        """One for each metric of single pictures that both have, less those of `infinite`.

        Raises InputError if there is none.
        """
        none = True
        for key, metric in self.metrics.items():
            found = compared(key, metric, *self.scores(key))
            if found is not None:
                none = False
                yield found
        if none:
            both = f"{self.place}: {self.a.name} and {self.b.name}"
            if any(self.infinite()):
                raise InputError(f"{both}: every difference is infinite, for one of them is perfect")
            raise InputError(f"{both} share no metric of single pictures")

    def infinite(self) -> Iterator[Infinite]:
        """One for each metric in which every difference is infinite."""
        for key, metric in self.metrics.items():
            one, other = self.scores(key)
            every = differences(other, one)
            if every and not any(map(math.isfinite, every.values())):
                a, b = (mean({name: scores[name] for name in every}) for scores in (one, other))
                yield Infinite(key, metric, a, b, len(every))

    def scores(self, key: str) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """Of A and of B, by picture."""
        return self.a.scores.get(key, {}), self.b.scores.get(key, {})


@dataclass(frozen=True)
class Measuring:
    """Pictures that have been measured, and what they come to when all are."""

    done: int
    total: int
    match: Match | None = None


def of_reports(one: Report, other: Report, a: str, b: str) -> Match:
    """Method `a` of one report against `b` of another or the same.

    Raises InputError for methods that are not there, and for reports that were measured in another way or
    on other pictures.
    """
    for report, name in ((one, a), (other, b)):
        if name not in (names := [row.name for row in report.methods]):
            raise InputError(f"{report.folder}: has no method '{name}', only {', '.join(names)}")
    check_alike(one, other)
    same = {key: metric for key, metric in one.metrics.items() if other.metrics.get(key) == metric}
    apart = [metric.title for key, metric in one.metrics.items() if key in other.metrics and key not in same]
    pictures = tuple(image.name for image in one.images)
    place = f"{one.protocol} on {one.data}"
    truth = partial(picture_in, one.folder / "pictures" / "high", span=one.span)
    sides = side(one, a, same), side(other, b, same)
    return Match(*sides, same, pictures, truth, place, tuple(apart), one.bands)


def side(report: Report, method: str, keys: Iterable[str]) -> Side:
    scores = {key: report.scores(method, key) for key in keys}
    filled = {key: found for key, found in scores.items() if found}
    return Side(method, filled, partial(picture_in, report.folder / "pictures" / method, span=report.span))


def of_folders(a: Path, b: Path, data: Path, span: Span | None = None) -> Iterator[Measuring]:
    """Two folders of results for the pictures of `data`, by PSNR and SSIM of RGB in 8 bits, no border cut.

    With a span pictures have any number of bands, and are compared as they are stored, as the protocol
    `bands` does it.  The last of what is yielded has the match.  Names are matched as `evaluate` does it;
    what has no partner or another size is refused by InputError.
    """
    depth = EIGHT_BITS if span is None else AsStored(span)
    sides, truths = [Folder.of(path, 1) for path in (a, b)], pairs(data, depth=depth)
    metrics = measured(span)
    scores: list[dict[str, dict[str, float]]] = [{metric.key: {} for metric in metrics} for _ in sides]
    shown, bands = {pair.name: pair for pair in truths}, 0

    def taken(name: str) -> Shown:
        high = opened(shown[name].high, depth)
        return Shown(name, high, high, shown[name].high.name, depth)

    for done, name in enumerate(shown):
        yield Measuring(done, len(shown))
        truth = taken(name)
        bands = max(bands, 0 if truth.high.shape[1] in (1, 3) else truth.high.shape[1])
        for folder, found in zip(sides, scores, strict=True):
            case = Case.of(truth, [folder.result(truth, 0)])
            for metric in metrics:
                if (score := metric.measure(case)) is not None:
                    found[metric.key][name] = score

    def seen(image: Stored) -> Colours:
        return colours(replace(as_picture(image), span=span))

    def pictures_of(folder: Folder) -> Callable[[str], Colours]:
        return lambda name: seen(folder.result(taken(name), 0))

    titles = str(a), str(b)
    one, other = (
        Side(title, found, pictures_of(folder))
        for title, found, folder in zip(titles, scores, sides, strict=True)
    )
    told = {each.key: Metric(each.title, each.better, each.convention, each.unit) for each in metrics}
    place = data.name if span is None else f"{data.name}, by the span {span}"
    names = tuple(shown)
    match = Match(one, other, told, names, lambda name: seen(taken(name).high), place, bands=bands)
    yield Measuring(len(shown), len(shown), match)


def measured(span: Span | None) -> tuple[Measured, ...]:
    """What needs no poor pictures: there are none."""
    if span is None:
        return psnr_of(), ssim_of()
    return tuple(metric for metric in of_bands(1, span) if metric.key != "consistency")
