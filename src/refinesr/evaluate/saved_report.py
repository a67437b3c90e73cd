"""Reads report.json: the numbers of a report as values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from refinesr.config import from_data, parse
from refinesr.errors import ConfigError, InputError
from refinesr.evaluate.aims import Aim, Higher, Near, Neither, parse_aim
from refinesr.evaluate.estimates import Estimate
from refinesr.evaluate.evaluation import ImageScores
from refinesr.evaluate.protocols import Published
from refinesr.evaluate.report import FORMAT
from refinesr.images.span import Span

DISTORTION = ("psnr", "psnr_y", "psnr_rgb")
PERCEPTION = ("lpips", "perceptual", "dists", "fid", "frechet", "kid", "niqe")
"""Beginnings of the keys of distortion and perceptual metrics, the most common first."""

CORRECTED_AIMS: Mapping[str, Aim] = MappingProxyType(
    {"sigma": Neither(), "coverage_50": Near(0.5), "coverage_90": Near(0.9)}
)
"""Aims of metrics that reports of early versions wrote as "higher"."""


@dataclass(frozen=True)
class MetricInfo:
    """A metric's title, aim, convention and unit."""

    title: str
    better: Aim
    convention: str = ""
    unit: str = ""


@dataclass(frozen=True)
class MethodRow:
    """A method of the report and its mean scores."""

    name: str
    kind: str
    calls: int | None
    metrics: Mapping[str, Estimate]


@dataclass(frozen=True)
class PairedDifference:
    """The paired difference a - b of two methods in one metric."""

    a: str
    b: str
    metric: str
    difference: Estimate
    distance: Estimate | None = None
    """The difference |a - target| - |b - target|, for metrics with a target."""


@dataclass(frozen=True)
class SavedReport:
    """The content of report.json, without metrics of single bands."""

    folder: Path
    protocol: str
    conventions: tuple[str, ...]
    data: str
    methods: tuple[MethodRow, ...]
    metrics: Mapping[str, MetricInfo]
    published: tuple[Published, ...] = ()
    pairs: tuple[PairedDifference, ...] = ()
    images: tuple[ImageScores, ...] = field(default=(), repr=False)
    bands: int = 0
    """Number of bands that have metrics of their own; 0 for grey and RGB."""
    span: Span | None = None
    """Values that metrics see as 0 and 1; None: 0 and the type's largest value."""

    def scores(self, method: str, metric: str) -> dict[str, float]:
        """Scores of a method by image name; empty for metrics of sets."""
        found = ((image.name, image.scores.get(method, {}).get(metric)) for image in self.images)
        return {name: score for name, score in found if score is not None}

    def metrics_starting_with(self, beginnings: tuple[str, ...]) -> list[str]:
        """Keys of metrics that start with one of these, in the order given."""
        found = [[key for key in self.metrics if key.lower().startswith(start)] for start in beginnings]
        return list(dict.fromkeys(key for keys in found for key in keys))


def read_report(folder: Path) -> SavedReport:
    """Read the report in a folder.  Raises InputError if there is none, ConfigError if it is invalid."""
    path = folder / "report.json"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    data = parse(text, str(path))
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ConfigError(f"{path}: is not a report of refinesr evaluate, whose format is {FORMAT!r}")
    try:
        return parse_report(folder, data)
    except KeyError as error:
        raise ConfigError(f"{path}: {error} is missing") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: is no report: {error}") from error


def parse_report(folder: Path, data: Mapping[str, Any]) -> SavedReport:
    report = SavedReport(
        folder,
        str(data["protocol"]["name"]),
        tuple(map(str, data["protocol"]["conventions"])),
        str(data["data"]),
        tuple(map(parse_row, data["methods"])),
        {
            str(key): parse_metric(str(key), entry)
            for key, entry in data["metrics"].items()
            if "band" not in entry
        },
        tuple(map(parse_published, data.get("published", ()))),
        tuple(map(parse_pair, data.get("pairs", ()))),
        tuple(map(parse_image, data.get("images", ()))),
        max((int(entry.get("band", 0)) for entry in data["metrics"].values()), default=0),
        parse_span(folder, data["protocol"].get("span")),
    )
    for name in (*(row.name for row in report.methods), *(image.name for image in report.images)):
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise ValueError(f"'{name}' is no name of a picture or method: it leads out of the folder")
    return report


def parse_span(folder: Path, data: object) -> Span | None:
    found: Span | None = from_data(Span | None, data, str(folder / "report.json"), path="protocol.span")
    return found


def parse_metric(key: str, data: Mapping[str, Any]) -> MetricInfo:
    aim = parse_aim(data["better"])
    convention, unit = (str(data.get(name) or "") for name in ("convention", "unit"))
    return MetricInfo(
        str(data["title"]), CORRECTED_AIMS.get(key, aim) if aim == Higher() else aim, convention, unit
    )


def parse_row(data: Mapping[str, Any]) -> MethodRow:
    calls = data.get("calls")
    metrics = {str(key): parse_estimate(entry) for key, entry in data["metrics"].items()}
    return MethodRow(
        str(data["name"]), str(data.get("kind") or ""), None if calls is None else int(calls), metrics
    )


def parse_estimate(data: Mapping[str, Any], mean: str = "mean") -> Estimate:
    low, high = (parse_number(data.get(key)) for key in ("low", "high"))
    if math.isnan(low) or math.isnan(high):
        return Estimate(parse_number(data[mean]), count=data.get("count"))
    return Estimate(parse_number(data[mean]), low, high, data.get("count"))


def parse_published(data: Mapping[str, Any]) -> Published:
    metrics = {str(key): parse_number(value) for key, value in data["metrics"].items()}
    return Published(str(data["name"]), str(data.get("source") or ""), metrics)


def parse_pair(data: Mapping[str, Any]) -> PairedDifference:
    names = str(data["a"]), str(data["b"]), str(data["metric"])
    distance = parse_estimate(data["distance"], "difference") if "distance" in data else None
    return PairedDifference(*names, parse_estimate(data, "difference"), distance)


def parse_image(data: Mapping[str, Any]) -> ImageScores:
    scores = {
        str(method): {str(key): parse_number(value) for key, value in of.items()}
        for method, of in data["scores"].items()
    }
    return ImageScores(str(data["name"]), (int(data["height"]), int(data["width"])), scores)


def parse_number(value: object) -> float:
    """A float; NaN for null.  Infinite values are texts, as JSON has none."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(f"{value!r} is no number")
    return float(value)
