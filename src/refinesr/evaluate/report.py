"""Reports of evaluations: means, intervals and differences as JSON, CSV and Markdown.

JSON has no infinite numbers: they are written as the texts "inf" and "-inf", which Python's `float` reads;
NaN, as of inf - inf, is written as null.  Equal images have a PSNR of inf.  A report holds no times, hosts or
paths of folders, so that the same evaluation gives the same bytes.
"""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from refinesr.config import to_data
from refinesr.evaluate.aims import Near
from refinesr.evaluate.estimates import Estimate, bootstrap_means, estimate_text
from refinesr.evaluate.evaluation import Evaluation, ImageScores, Scores
from refinesr.evaluate.image_metrics import Metric
from refinesr.evaluate.protocols import Published
from refinesr.evaluate.published import omission_notes, split_by_metrics
from refinesr.evaluate.set_metrics import SetMetric
from refinesr.files import replacing, writing
from refinesr.images.span import Span

FORMAT = "refinesr-report-1"

REPORT_FILES = ("report.json", "images.csv", "table.md", "page.html")
"""Files of a report, besides its images; the last one is written by `evaluate.page`."""


def paired_differences(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    """a - b for images with a value in both; 0 for two equal infinite values."""
    both = [name for name in a if name in b and not math.isnan(a[name]) and not math.isnan(b[name])]
    return {name: 0.0 if a[name] == b[name] else a[name] - b[name] for name in both}


def excess_distance(target: float, a: Mapping[str, float], b: Mapping[str, float]) -> Estimate:
    """|mean a - target| - |mean b - target| over images with a value in both.

    Means are compared, not images: values of a good method lie on both sides of the target.
    """
    both = [name for name in a if name in b]
    one, other = (np.array([scores[name] for name in both]) for scores in (a, b))
    draws = np.abs(bootstrap_means(one) - target) - np.abs(bootstrap_means(other) - target)
    return Estimate.from_resamples(
        float(abs(one.mean() - target) - abs(other.mean() - target)), draws, len(both)
    )


def difference_entry(estimate: Estimate) -> dict[str, float | None]:
    """A difference with its interval, for JSON."""
    return {"difference": estimate.mean, "low": estimate.low, "high": estimate.high}


@dataclass(frozen=True, eq=False)
class Report:
    """All numbers of an evaluation.  `data` is the name of the data set."""

    evaluation: Evaluation
    data: str
    low_given: bool
    images: Sequence[ImageScores]
    sets: Mapping[str, Scores]

    @property
    def names(self) -> list[str]:
        return [entrant.name for entrant in self.evaluation.methods]

    @cached_property
    def metrics(self) -> list[Metric | SetMetric]:
        """Metrics with a value of at least one method."""
        every: list[Metric | SetMetric] = [*self.evaluation.metrics, *self.evaluation.set_metrics]
        return [metric for metric in every if any(self.estimate(name, metric.key) for name in self.names)]

    @property
    def table_metrics(self) -> list[Metric | SetMetric]:
        """Metrics in the table: those of single bands would make it too wide."""
        return [metric for metric in self.metrics if band(metric) is None]

    def column(self, name: str, key: str) -> dict[str, float]:
        """Scores of a method in one metric, by image name."""
        found = ((image.name, image.scores[name].get(key)) for image in self.images)
        return {picture: score for picture, score in found if score is not None}

    def estimate(self, name: str, key: str) -> Estimate | None:
        if key in self.sets.get(name, {}):
            return Estimate(self.sets[name][key], count=len(self.images))
        scores = self.column(name, key)
        return Estimate.of(scores.values()) if scores else None

    def methods(self) -> Iterator[dict[str, Any]]:
        for entrant in self.evaluation.methods:
            found = {metric.key: self.estimate(entrant.name, metric.key) for metric in self.metrics}
            yield {
                "name": entrant.name,
                "kind": entrant.upscaler.kind,
                "calls": entrant.upscaler.calls,
                "seed": self.evaluation.plan.seed if entrant.upscaler.sampled else None,
                "samples": self.evaluation.samples(entrant),
                "metrics": {key: vars(estimate) for key, estimate in found.items() if estimate},
            }

    def pairs(self) -> Iterator[dict[str, Any]]:
        """Paired differences a - b of every two methods in every metric of single images.

        For metrics with a target, `distance` is |a - target| - |b - target|.
        """
        for metric in self.metrics:
            for a, b in combinations(self.names, 2):
                one, other = self.column(a, metric.key), self.column(b, metric.key)
                if differences := paired_differences(one, other):
                    pair: dict[str, Any] = {
                        "a": a,
                        "b": b,
                        "metric": metric.key,
                        **difference_entry(Estimate.of(differences.values())),
                    }
                    if isinstance(metric.better, Near):
                        pair["distance"] = difference_entry(excess_distance(metric.better.target, one, other))
                    yield pair

    def facts(self) -> dict[str, Any]:
        """The report as data for JSON."""
        protocol, scale = self.evaluation.protocol, self.evaluation.scale
        conventions = [*protocol.conventions(scale, self.low_given)]
        return {
            "format": FORMAT,
            "protocol": {
                "name": protocol.name,
                "conventions": conventions,
                **span_entry(protocol.depth.span),
            },
            "data": self.data,
            "methods": list(self.methods()),
            "metrics": {metric.key: metric_entry(metric) for metric in self.metrics},
            "published": [vars(row) for row in protocol.published],
            "pairs": list(self.pairs()),
            "images": [
                {"name": image.name, "height": image.size[0], "width": image.size[1], "scores": image.scores}
                for image in self.images
            ],
        }

    def json(self) -> str:
        return json.dumps(json_numbers(self.facts()), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def csv(self) -> str:
        """Scores as CSV, with a line for each image and method."""
        text = io.StringIO()
        keys = [metric.key for metric in self.metrics if metric.key not in self.set_keys()]
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["image", "height", "width", "method", *keys])
        for image in self.images:
            for name in self.names:
                scores = [image.scores[name].get(key, "") for key in keys]
                table.writerow([image.name, *image.size, name, *scores])
        return text.getvalue()

    def set_keys(self) -> set[str]:
        return {metric.key for metric in self.evaluation.set_metrics}

    # ------------------------------------------------------------------------------------ for people

    def rows(self) -> Iterator[list[str]]:
        """Cells of the Markdown table: head, methods, and the paper's rows, marked as published."""
        yield ["method", *map(column_title, self.table_metrics)]
        for name in self.names:
            yield [name, *(estimate_text(self.estimate(name, metric.key)) for metric in self.table_metrics)]
        for row in self.published_rows():
            found = [row.metrics.get(metric.key) for metric in self.table_metrics]
            yield [f"{row.name} (published)", *("" if value is None else f"{value:g}" for value in found)]

    def published_rows(self) -> list[Published]:
        """The paper's rows that share a metric with the report."""
        return split_by_metrics(self.evaluation.protocol.published, self.keys())[0]

    def keys(self) -> set[str]:
        return {metric.key for metric in self.metrics}

    def published_notes(self) -> Iterator[str]:
        """Notes on published values of metrics that were not measured."""
        for row in self.published_rows():
            if rest := {key: value for key, value in row.metrics.items() if key not in self.keys()}:
                numbers = ", ".join(f"{key} {value:g}" for key, value in rest.items())
                yield f"published besides, not measured here: {row.name}, {numbers}"
        yield from omission_notes(split_by_metrics(self.evaluation.protocol.published, self.keys())[1])

    def markdown(self) -> str:
        head, *body = self.rows()
        lines = [f"# {self.evaluation.protocol.name}: {self.data}, {len(self.images)} pictures", ""]
        lines += [
            markdown_row(head),
            markdown_row(["---", *["---:"] * (len(head) - 1)]),
            *map(markdown_row, body),
            "",
        ]
        lines += [f"- {metric.title}: {metric.convention}" for metric in self.table_metrics]
        lines += [
            f"- {text}"
            for text in self.evaluation.protocol.conventions(self.evaluation.scale, self.low_given)
        ]
        lines += [f"- {text}" for text in self.published_notes()]
        sources = dict.fromkeys(row.source for row in self.published_rows())
        lines += [f"- published: {source}; on its own pictures, not on these" for source in sources]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> None:
        """Write report.json, images.csv and table.md; existing ones are replaced.  Raises OutputError."""
        texts = {"report.json": self.json(), "images.csv": self.csv(), "table.md": self.markdown()}
        for name, text in texts.items():
            with replacing(folder / name, overwrite=True) as part:
                part.write_text(text, encoding="utf-8")

    @staticmethod
    def remove(folder: Path) -> None:
        """Remove the files of an existing report, but not its images.  Raises OutputError."""
        if (folder / "report.json").exists():
            for name in REPORT_FILES:
                with writing(folder / name):
                    (folder / name).unlink(missing_ok=True)


def unit(metric: Metric | SetMetric) -> str:
    return metric.unit if isinstance(metric, Metric) else ""


def band(metric: Metric | SetMetric) -> int | None:
    return metric.band if isinstance(metric, Metric) else None


def metric_entry(metric: Metric | SetMetric) -> dict[str, Any]:
    """A metric for JSON; with `band` if it measures a single band."""
    facts = {"title": metric.title, "better": metric.better.data, "convention": metric.convention}
    return {**facts, "unit": unit(metric)} | ({} if band(metric) is None else {"band": band(metric)})


def span_entry(span: Span | None) -> dict[str, Any]:
    """The span for JSON; empty without one."""
    return {} if span is None else {"span": to_data(span)}


def column_title(metric: Metric | SetMetric) -> str:
    """Title with unit and the symbol of the aim."""
    words = f"{metric.title} ({unit(metric)})" if unit(metric) else metric.title
    return f"{words} {metric.better.symbol}".rstrip()


def markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def json_numbers(data: Any) -> Any:
    """The data with infinite numbers replaced by "inf" and "-inf", and NaN by None."""
    if isinstance(data, Mapping):
        return {key: json_numbers(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [json_numbers(value) for value in data]
    if not isinstance(data, float) or math.isfinite(data):
        return data
    return None if math.isnan(data) else str(data)
