"""What an evaluation comes to: means, intervals, differences; as JSON, CSV and Markdown.

There are no infinite numbers in JSON: they are written as the texts "inf" and "-inf", which Python's `float`
reads, and inf - inf, which is no number, as null.  Equal pictures have a PSNR of inf.  A report holds no
times, hosts or paths of folders, so that the same evaluation gives the same bytes.
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
from refinesr.evaluate.estimates import Estimate, means, told
from refinesr.evaluate.measuring import Metric
from refinesr.evaluate.protocols import Published
from refinesr.evaluate.published import left_out, parted
from refinesr.evaluate.running import Evaluation, Measured, Scores
from refinesr.evaluate.sets import SetMetric
from refinesr.files import replacing, writing
from refinesr.images.span import Span

FORMAT = "refinesr-report-1"

FILES = ("report.json", "images.csv", "table.md", "page.html")
"""Of a report, besides its pictures; the last one is `evaluate.page`'s."""


def differences(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    """a - b of the pictures that both have a number of; two infinite ones do not differ."""
    both = [name for name in a if name in b and not math.isnan(a[name]) and not math.isnan(b[name])]
    return {name: 0.0 if a[name] == b[name] else a[name] - b[name] for name in both}


def farther(target: float, a: Mapping[str, float], b: Mapping[str, float]) -> Estimate:
    """By how much the mean of `a` is farther from `target` than that of `b`, over pictures that both have.

    Of means, for a picture alone says nothing: a method is right if its pictures lie on both sides of it.
    """
    both = [name for name in a if name in b]
    one, other = (np.array([scores[name] for name in both]) for scores in (a, b))
    draws = np.abs(means(one) - target) - np.abs(means(other) - target)
    return Estimate.around(float(abs(one.mean() - target) - abs(other.mean() - target)), draws, len(both))


def ends(estimate: Estimate) -> dict[str, float | None]:
    """Of a difference, for JSON."""
    return {"difference": estimate.mean, "low": estimate.low, "high": estimate.high}


@dataclass(frozen=True, eq=False)
class Report:
    """All numbers of an evaluation.  `data` is what the pictures are called."""

    evaluation: Evaluation
    data: str
    low_given: bool
    images: Sequence[Measured]
    sets: Mapping[str, Scores]

    @property
    def names(self) -> list[str]:
        return [entrant.name for entrant in self.evaluation.entrants]

    @cached_property
    def metrics(self) -> list[Metric | SetMetric]:
        """Those that anything was measured by."""
        every: list[Metric | SetMetric] = [*self.evaluation.metrics, *self.evaluation.set_metrics]
        return [metric for metric in every if any(self.estimate(name, metric.key) for name in self.names)]

    @property
    def overall(self) -> list[Metric | SetMetric]:
        """What the table has; numbers of single bands would make it too wide to be read."""
        return [metric for metric in self.metrics if band(metric) is None]

    def column(self, name: str, key: str) -> dict[str, float]:
        """A method's scores by picture."""
        found = ((image.name, image.scores[name].get(key)) for image in self.images)
        return {picture: score for picture, score in found if score is not None}

    def estimate(self, name: str, key: str) -> Estimate | None:
        if key in self.sets.get(name, {}):
            return Estimate(self.sets[name][key], count=len(self.images))
        scores = self.column(name, key)
        return Estimate.of(scores.values()) if scores else None

    def methods(self) -> Iterator[dict[str, Any]]:
        for entrant in self.evaluation.entrants:
            found = {metric.key: self.estimate(entrant.name, metric.key) for metric in self.metrics}
            yield {
                "name": entrant.name,
                "kind": entrant.maker.kind,
                "calls": entrant.maker.calls,
                "seed": self.evaluation.plan.seed if entrant.maker.random else None,
                "samples": self.evaluation.samples(entrant),
                "metrics": {key: vars(estimate) for key, estimate in found.items() if estimate},
            }

    def pairs(self) -> Iterator[dict[str, Any]]:
        """Differences a - b of methods on the same pictures, of each metric of pictures.

        Where a number should be near a target, `distance` is that of |a - target| - |b - target|.
        """
        for metric in self.metrics:
            for a, b in combinations(self.names, 2):
                one, other = self.column(a, metric.key), self.column(b, metric.key)
                if between := differences(one, other):
                    pair: dict[str, Any] = {
                        "a": a,
                        "b": b,
                        "metric": metric.key,
                        **ends(Estimate.of(between.values())),
                    }
                    if isinstance(metric.better, Near):
                        pair["distance"] = ends(farther(metric.better.target, one, other))
                    yield pair

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        protocol, scale = self.evaluation.protocol, self.evaluation.scale
        conventions = [*protocol.conventions(scale, self.low_given)]
        return {
            "format": FORMAT,
            "protocol": {"name": protocol.name, "conventions": conventions, **spanned(protocol.depth.span)},
            "data": self.data,
            "methods": list(self.methods()),
            "metrics": {metric.key: described(metric) for metric in self.metrics},
            "published": [vars(row) for row in protocol.published],
            "pairs": list(self.pairs()),
            "images": [
                {"name": image.name, "height": image.size[0], "width": image.size[1], "scores": image.scores}
                for image in self.images
            ],
        }

    def json(self) -> str:
        return json.dumps(finite(self.facts()), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def csv(self) -> str:
        """A line for each picture and method."""
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
        """Head, methods, and the paper's rows, which are marked."""
        yield ["method", *map(headed, self.overall)]
        for name in self.names:
            yield [name, *(told(self.estimate(name, metric.key)) for metric in self.overall)]
        for row in self.shown():
            found = [row.metrics.get(metric.key) for metric in self.overall]
            yield [f"{row.name} (published)", *("" if value is None else f"{value:g}" for value in found)]

    def shown(self) -> list[Published]:
        """The paper's rows of which anything was measured here."""
        return parted(self.evaluation.protocol.published, self.keys())[0]

    def keys(self) -> set[str]:
        return {metric.key for metric in self.metrics}

    def besides(self) -> Iterator[str]:
        """What papers report and was not measured here."""
        for row in self.shown():
            if rest := {key: value for key, value in row.metrics.items() if key not in self.keys()}:
                numbers = ", ".join(f"{key} {value:g}" for key, value in rest.items())
                yield f"published besides, not measured here: {row.name}, {numbers}"
        yield from left_out(parted(self.evaluation.protocol.published, self.keys())[1])

    def markdown(self) -> str:
        head, *body = self.rows()
        lines = [f"# {self.evaluation.protocol.name}: {self.data}, {len(self.images)} pictures", ""]
        lines += [row_of(head), row_of(["---", *["---:"] * (len(head) - 1)]), *map(row_of, body), ""]
        lines += [f"- {metric.title}: {metric.convention}" for metric in self.overall]
        lines += [
            f"- {text}"
            for text in self.evaluation.protocol.conventions(self.evaluation.scale, self.low_given)
        ]
        lines += [f"- {text}" for text in self.besides()]
        sources = dict.fromkeys(row.source for row in self.shown())
        lines += [f"- published: {source}; on its own pictures, not on these" for source in sources]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> None:
        """report.json, images.csv and table.md; what is there is replaced.  Raises OutputError."""
        texts = {"report.json": self.json(), "images.csv": self.csv(), "table.md": self.markdown()}
        for name, text in texts.items():
            with replacing(folder / name, overwrite=True) as part:
                part.write_text(text, encoding="utf-8")

    @staticmethod
    def remove(folder: Path) -> None:
        """A report that is there, with its page.  Raises OutputError."""
        if (folder / "report.json").exists():
            for name in FILES:
                with writing(folder / name):
                    (folder / name).unlink(missing_ok=True)


def unit(metric: Metric | SetMetric) -> str:
    return metric.unit if isinstance(metric, Metric) else ""


def band(metric: Metric | SetMetric) -> int | None:
    return metric.band if isinstance(metric, Metric) else None


def described(metric: Metric | SetMetric) -> dict[str, Any]:
    """For JSON; `band` only where it is of one."""
    facts = {"title": metric.title, "better": metric.better.data, "convention": metric.convention}
    return {**facts, "unit": unit(metric)} | ({} if band(metric) is None else {"band": band(metric)})


def spanned(span: Span | None) -> dict[str, Any]:
    """For JSON; only where there is one."""
    return {} if span is None else {"span": to_data(span)}


def headed(metric: Metric | SetMetric) -> str:
    """Name, unit, and which way is better."""
    words = f"{metric.title} ({unit(metric)})" if unit(metric) else metric.title
    return f"{words} {metric.better.mark}".rstrip()


def row_of(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def finite(data: Any) -> Any:
    """The same with "inf" and "-inf" in place of such numbers, and None in place of NaN."""
    if isinstance(data, Mapping):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    if not isinstance(data, float) or math.isfinite(data):
        return data
    return None if math.isnan(data) else str(data)
