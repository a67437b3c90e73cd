"""A report that was written, read back: the numbers of report.json as values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from refinesr.config import from_data, parse
from refinesr.errors import ConfigError, InputError
from refinesr.evaluate.aims import Aim, Higher, Near, Neither, aim_of
from refinesr.evaluate.estimates import Estimate
from refinesr.evaluate.protocols import Published
from refinesr.evaluate.report import FORMAT
from refinesr.evaluate.running import Measured
from refinesr.images.span import Span

DISTORTION = ("psnr", "psnr_y", "psnr_rgb")
PERCEPTION = ("lpips", "perceptual", "dists", "fid", "frechet", "kid", "niqe")
"""Beginnings of metrics' names, the most usual first."""

MENDED: Mapping[str, Aim] = MappingProxyType(
    {"sigma": Neither(), "coverage_50": Near(0.5), "coverage_90": Near(0.9)}
)
"""What the first reports called better where higher."""


@dataclass(frozen=True)
class Metric:
    """What a metric is called and which way it is better."""

    title: str
    better: Aim
    convention: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Row:
    """A method that was measured."""

    name: str
    kind: str
    calls: int | None
    metrics: Mapping[str, Estimate]


@dataclass(frozen=True)
class Pair:
    """The paired difference a - b of two methods in one metric."""

    a: str
    b: str
    metric: str
    difference: Estimate
    distance: Estimate | None = None
    """Of |a - target| - |b - target|, where numbers should be near a target."""


@dataclass(frozen=True)
class Report:
    """What was measured on what; of metrics those of all bands, for others are for whoever reads the JSON."""

    folder: Path
    protocol: str
    conventions: tuple[str, ...]
    data: str
    methods: tuple[Row, ...]
    metrics: Mapping[str, Metric]
    published: tuple[Published, ...] = ()
    pairs: tuple[Pair, ...] = ()
    images: tuple[Measured, ...] = field(default=(), repr=False)
    bands: int = 0
    """How many have numbers of their own; 0 of grey and RGB."""
    span: Span | None = None
    """Which values are 0 and 1 to what measures; None: 0 and the largest of the type."""

    def scores(self, method: str, metric: str) -> dict[str, float]:
        """By picture, where the metric is one of single pictures."""
        found = ((image.name, image.scores.get(method, {}).get(metric)) for image in self.images)
        return {name: score for name, score in found if score is not None}

    def like(self, beginnings: tuple[str, ...]) -> list[str]:
        """The metrics named like that, in that order."""
        found = [[key for key in self.metrics if key.lower().startswith(start)] for start in beginnings]
        return list(dict.fromkeys(key for keys in found for key in keys))


def read_report(folder: Path) -> Report:
    """The report in a folder.  Raises InputError without one, ConfigError for what is not understood."""
    path = folder / "report.json"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    data = parse(text, str(path))
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ConfigError(f"{path}: is not a report of refinesr evaluate, whose format is {FORMAT!r}")
    try:
        return understood(folder, data)
    except KeyError as error:
        raise ConfigError(f"{path}: {error} is missing") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: is no report: {error}") from error


def understood(folder: Path, data: Mapping[str, Any]) -> Report:
    report = Report(
        folder,
        str(data["protocol"]["name"]),
        tuple(map(str, data["protocol"]["conventions"])),
        str(data["data"]),
        tuple(map(row, data["methods"])),
        {str(key): metric(str(key), entry) for key, entry in data["metrics"].items() if "band" not in entry},
        tuple(map(published, data.get("published", ()))),
        tuple(map(pair, data.get("pairs", ()))),
        tuple(map(image, data.get("images", ()))),
        max((int(entry.get("band", 0)) for entry in data["metrics"].values()), default=0),
        span_of(folder, data["protocol"].get("span")),
    )
    for name in (*(row.name for row in report.methods), *(image.name for image in report.images)):
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise ValueError(f"'{name}' is no name of a picture or method: it leads out of the folder")
    return report


def span_of(folder: Path, data: object) -> Span | None:
    found: Span | None = from_data(Span | None, data, str(folder / "report.json"), path="protocol.span")
    return found


def metric(key: str, data: Mapping[str, Any]) -> Metric:
    aim = aim_of(data["better"])
    convention, unit = (str(data.get(name) or "") for name in ("convention", "unit"))
    return Metric(str(data["title"]), MENDED.get(key, aim) if aim == Higher() else aim, convention, unit)


def row(data: Mapping[str, Any]) -> Row:
    calls = data.get("calls")
    metrics = {str(key): estimate(entry) for key, entry in data["metrics"].items()}
    return Row(str(data["name"]), str(data.get("kind") or ""), None if calls is None else int(calls), metrics)


def estimate(data: Mapping[str, Any], mean: str = "mean") -> Estimate:
    low, high = (number(data.get(key)) for key in ("low", "high"))
    if math.isnan(low) or math.isnan(high):
        return Estimate(number(data[mean]), count=data.get("count"))
    return Estimate(number(data[mean]), low, high, data.get("count"))


def published(data: Mapping[str, Any]) -> Published:
    metrics = {str(key): number(value) for key, value in data["metrics"].items()}
    return Published(str(data["name"]), str(data.get("source") or ""), metrics)


def pair(data: Mapping[str, Any]) -> Pair:
    names = str(data["a"]), str(data["b"]), str(data["metric"])
    distance = estimate(data["distance"], "difference") if "distance" in data else None
    return Pair(*names, estimate(data, "difference"), distance)


def image(data: Mapping[str, Any]) -> Measured:
    scores = {
        str(method): {str(key): number(value) for key, value in of.items()}
        for method, of in data["scores"].items()
    }
    return Measured(str(data["name"]), (int(data["height"]), int(data["width"])), scores)


def number(value: object) -> float:
    """NaN for null.  An infinite PSNR, of equal pictures, may be written as text: JSON has none."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(f"{value!r} is no number")
    return float(value)
