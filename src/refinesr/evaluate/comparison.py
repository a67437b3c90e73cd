"""Paired comparison of two methods on the same images: mean differences and their significance."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from refinesr.errors import InputError
from refinesr.evaluate.aims import Interval, Near, is_significant
from refinesr.evaluate.bands import band_metrics
from refinesr.evaluate.comparable import check_comparable
from refinesr.evaluate.crops import Colours, load_picture, rgb_pixels
from refinesr.evaluate.depths import EIGHT_BITS, AsStored, Stored, as_picture
from refinesr.evaluate.estimates import Estimate
from refinesr.evaluate.image_metrics import Case, psnr_metric, ssim_metric
from refinesr.evaluate.image_metrics import Metric as Measured
from refinesr.evaluate.pairs import LoadedPair, find_pairs, read_entry
from refinesr.evaluate.report import excess_distance, paired_differences
from refinesr.evaluate.saved_report import MetricInfo, SavedReport
from refinesr.evaluate.sign_flip import EXACT_COUNT, FLIPS, sign_flip_p
from refinesr.evaluate.upscalers import ResultFolder
from refinesr.images.span import Span

SIGNIFICANCE = 0.05
"""Significance level: the largest p at which two methods are said to differ."""


@dataclass(frozen=True)
class MetricComparison:
    """One metric of methods A and B: means over the `count` images on which their difference is finite.

    difference  mean of B - A
    interval    its 95 % bootstrap interval over images; None for one image, too narrow below about 20
    p           p of the sign-flip permutation test
    left_out    number of images whose difference is infinite, because one method is perfect there
    distance    interval of |B - target| - |A - target|, for metrics with a target
    """

    key: str
    metric: MetricInfo
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
        return self.count <= EXACT_COUNT

    @property
    def smallest_p(self) -> float:
        """The smallest p that is possible with this number of images."""
        return 2.0 ** (1 - self.count) if self.exact else 1 / (FLIPS + 1)

    def verdict(self, a: str, b: str) -> str:
        """A sentence naming the better method, if both the interval and p are significant."""
        if self.smallest_p > SIGNIFICANCE and self.difference != 0:
            return "too few pictures to tell"
        if self.interval is None or not is_significant(self.interval) or self.p > SIGNIFICANCE:
            return "no significant difference"
        return self.metric.better.verdict(a, b, self.interval, self.distance)


@dataclass(frozen=True)
class InfiniteDifference:
    """A metric whose difference is infinite for every image: means over all `left_out` of them.

    `difference` is B - A: inf or -inf; NaN if each method is perfect on some images.
    """

    key: str
    metric: MetricInfo
    a: float
    b: float
    left_out: int

    @property
    def difference(self) -> float:
        return self.b - self.a


def compare_scores(
    key: str, metric: MetricInfo, a: Mapping[str, float], b: Mapping[str, float]
) -> MetricComparison | None:
    """The comparison of scores by image name.  None if no image has a finite difference."""
    every = paired_differences(b, a)
    finite = {name: difference for name, difference in every.items() if math.isfinite(difference)}
    if not finite:
        return None
    apart = np.array(list(finite.values()))
    one, other = ({name: scores[name] for name in finite} for scores in (a, b))
    estimate, p, aim = Estimate.of(apart), sign_flip_p(apart), metric.better
    return MetricComparison(
        key,
        metric,
        mean_score(one),
        mean_score(other),
        estimate.mean,
        estimate.interval,
        p,
        len(finite),
        len(every) - len(finite),
        excess_distance(aim.target, other, one).interval if isinstance(aim, Near) else None,
    )


def mean_score(scores: Mapping[str, float]) -> float:
    return float(np.mean(list(scores.values())))


@dataclass(frozen=True, eq=False)
class ComparedMethod:
    """A method: its scores by metric and image name, and a function that loads its result by image name."""

    name: str
    scores: Mapping[str, Mapping[str, float]]
    picture: Callable[[str], Colours | None]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two methods on the same images.

    names         names of the images
    context       protocol and data set, for messages
    incomparable  titles of metrics that the two reports measured differently
    bands         number of bands if the images are neither grey nor RGB, else 0
    """

    a: ComparedMethod
    b: ComparedMethod
    metrics: Mapping[str, MetricInfo]
    names: tuple[str, ...]
    truth: Callable[[str], Colours | None]
    context: str
    incomparable: tuple[str, ...] = ()
    bands: int = 0

    def metric_comparisons(self) -> Iterator[MetricComparison]:
        """The comparison in each metric of single images that both have, except `infinite_differences`.

        Raises InputError if there is none.
        """
        empty = True
        for key, metric in self.metrics.items():
            found = compare_scores(key, metric, *self.scores(key))
            if found is not None:
                empty = False
                yield found
        if empty:
            both = f"{self.context}: {self.a.name} and {self.b.name}"
            if any(self.infinite_differences()):
                raise InputError(f"{both}: every difference is infinite, for one of them is perfect")
            raise InputError(f"{both} share no metric of single pictures")

    def infinite_differences(self) -> Iterator[InfiniteDifference]:
        """The metrics whose difference is infinite for every image."""
        for key, metric in self.metrics.items():
            one, other = self.scores(key)
            every = paired_differences(other, one)
            if every and not any(map(math.isfinite, every.values())):
                a, b = (mean_score({name: scores[name] for name in every}) for scores in (one, other))
                yield InfiniteDifference(key, metric, a, b, len(every))

    def scores(self, key: str) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """Scores of A and of B by image name."""
        return self.a.scores.get(key, {}), self.b.scores.get(key, {})


@dataclass(frozen=True)
class MeasuringProgress:
    """Number of images measured so far, and the comparison once all are."""

    done: int
    total: int
    match: Comparison | None = None


def compare_reports(one: SavedReport, other: SavedReport, a: str, b: str) -> Comparison:
    """Compare method `a` of `one` with method `b` of `other`, which may be the same report.

    Raises InputError for unknown methods, and for reports by different protocols or of different images.
    """
    for report, name in ((one, a), (other, b)):
        if name not in (names := [row.name for row in report.methods]):
            raise InputError(f"{report.folder}: has no method '{name}', only {', '.join(names)}")
    check_comparable(one, other)
    same = {key: metric for key, metric in one.metrics.items() if other.metrics.get(key) == metric}
    incomparable = [
        metric.title for key, metric in one.metrics.items() if key in other.metrics and key not in same
    ]
    pictures = tuple(image.name for image in one.images)
    context = f"{one.protocol} on {one.data}"
    truth = partial(load_picture, one.folder / "pictures" / "high", span=one.span)
    methods = method_of_report(one, a, same), method_of_report(other, b, same)
    return Comparison(*methods, same, pictures, truth, context, tuple(incomparable), one.bands)


def method_of_report(report: SavedReport, method: str, keys: Iterable[str]) -> ComparedMethod:
    scores = {key: report.scores(method, key) for key in keys}
    filled = {key: found for key, found in scores.items() if found}
    return ComparedMethod(
        method, filled, partial(load_picture, report.folder / "pictures" / method, span=report.span)
    )


def compare_folders(a: Path, b: Path, data: Path, span: Span | None = None) -> Iterator[MeasuringProgress]:
    """Compare two folders of results for the images of `data`, by PSNR and SSIM of 8-bit RGB, no border cut.

    With a span, images may have any number of bands and are compared as stored, as by the protocol `bands`.
    Yields progress; the last item holds the comparison.  Names are matched as in `find_pairs`.  Raises
    InputError for an image without a partner or of another size.
    """
    depth = EIGHT_BITS if span is None else AsStored(span)
    folders, pairs = [ResultFolder.of(path, 1) for path in (a, b)], find_pairs(data, depth=depth)
    metrics = folder_metrics(span)
    scores: list[dict[str, dict[str, float]]] = [{metric.key: {} for metric in metrics} for _ in folders]
    by_name, bands = {pair.name: pair for pair in pairs}, 0

    def load(name: str) -> LoadedPair:
        high = read_entry(by_name[name].high, depth)
        return LoadedPair(name, high, high, by_name[name].high.name, depth)

    for done, name in enumerate(by_name):
        yield MeasuringProgress(done, len(by_name))
        truth = load(name)
        bands = max(bands, 0 if truth.high.shape[1] in (1, 3) else truth.high.shape[1])
        for folder, of_method in zip(folders, scores, strict=True):
            case = Case.of(truth, [folder.result(truth, 0)])
            for metric in metrics:
                if (score := metric.measure(case)) is not None:
                    of_method[metric.key][name] = score

    def displayed(image: Stored) -> Colours:
        return rgb_pixels(replace(as_picture(image), span=span))

    def pictures_of(folder: ResultFolder) -> Callable[[str], Colours]:
        return lambda name: displayed(folder.result(load(name), 0))

    titles = str(a), str(b)
    one, other = (
        ComparedMethod(title, found, pictures_of(folder))
        for title, found, folder in zip(titles, scores, folders, strict=True)
    )
    infos = {each.key: MetricInfo(each.title, each.better, each.convention, each.unit) for each in metrics}
    context = data.name if span is None else f"{data.name}, by the span {span}"
    names = tuple(by_name)
    match = Comparison(
        one, other, infos, names, lambda name: displayed(load(name).high), context, bands=bands
    )
    yield MeasuringProgress(len(by_name), len(by_name), match)


def folder_metrics(span: Span | None) -> tuple[Measured, ...]:
    """The metrics that need no low-resolution images."""
    if span is None:
        return psnr_metric(), ssim_metric()
    return tuple(metric for metric in band_metrics(1, span) if metric.key != "consistency")
