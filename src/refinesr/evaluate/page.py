"""The HTML page of a report: table, plots, and crops side by side, in one self-contained file.

It fetches nothing, and uses scripts only to enlarge crops.  Numbers are those of report.json.
"""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from html import escape
from pathlib import Path

from refinesr.evaluate.aims import is_significant, least_loss
from refinesr.evaluate.document import document
from refinesr.evaluate.estimates import Estimate
from refinesr.evaluate.gallery import gallery
from refinesr.evaluate.plots import tag
from refinesr.evaluate.protocols import Published
from refinesr.evaluate.published import omission_notes, split_by_metrics
from refinesr.evaluate.report_plots import plots_section
from refinesr.evaluate.saved_report import MetricInfo, PairedDifference, SavedReport, read_report
from refinesr.files import replacing

MAX_PAIRS = 300
"""Largest number of rows of paired differences; report.json has all."""


def write_page(folder: Path) -> Path:
    """Write page.html into the folder of a report, replacing an older one, and return its path.

    Without pictures/high, crops show the methods only.  Raises InputError for unreadable files and images of
    other sizes than the report's, ConfigError for an invalid report.json, OutputError if writing fails.
    """
    report, path = read_report(folder), folder / "page.html"
    text = page_html(report)
    with replacing(path, overwrite=True) as part:
        part.write_text(text, encoding="utf-8")
    return path


def page_html(report: SavedReport) -> str:
    """The page's HTML."""
    title = f"{report.protocol} on {report.data}"
    parts = [
        header(report, title),
        results_section(report),
        plots_section(report),
        gallery(report),
        differences_section(report),
    ]
    body = "\n".join(parts)
    size = f"{-(-len(body.encode()) // 2**17) / 8:.1f} MiB"
    foot = tag("footer", f"Made by refinesr evaluate. This file holds all it shows, {size}.")
    return document(title, f"{body}\n{foot}", "page.css", ("page.js",))


def header(report: SavedReport, title: str) -> str:
    count = len(report.images) or max(
        (estimate.count or 0 for row in report.methods for estimate in row.metrics.values()), default=0
    )
    numbers = (
        f"{count} picture{'s' * (count != 1)}, {len(report.methods)} method{'s' * (len(report.methods) != 1)}"
    )
    conventions = "".join(tag("li", escape(text)) for text in report.conventions)
    name = f"The protocol {tag('code', escape(report.protocol))}"
    return tag("header", tag("h1", escape(title)) + tag("p", numbers, class_="lede")) + tag(
        "section", tag("h2", name) + tag("ul", conventions, class_="conventions")
    )


# -------------------------------------------------------------------------------------------------- the table


def results_section(report: SavedReport) -> str:
    """The table of methods and metrics, with published rows in a body of their own."""
    columns = [Column(key, metric, report) for key, metric in report.metrics.items()]
    has_calls = any(row.calls for row in report.methods)
    head = [tag("th", "method", scope="col"), *([tag("th", "calls", scope="col")] if has_calls else [])]
    head += [column.head() for column in columns]
    rows = []
    for row in report.methods:
        cells = [tag("th", escape(row.name), scope="row")]
        cells += [tag("td", str(row.calls or "–"))] if has_calls else []
        rows.append(
            tag("tr", "".join(cells + [column.cell(row.metrics.get(column.key)) for column in columns]))
        )
    wide = len(head)
    body = tag("thead", tag("tr", "".join(head))) + tag("tbody", "".join(rows))
    here, elsewhere = split_by_metrics(report.published, report.metrics)
    if here:
        body += tag("tbody", "".join(published_rows(here, columns, has_calls, wide)), class_="published")
    scrolled = tag("div", tag("table", body), class_="wide", tabindex=0, role="region", aria_label="results")
    others = "".join(tag("p", escape(text) + ".") for text in omission_notes(elsewhere))
    return tag("section", tag("h2", "Results") + scrolled + metric_notes(report) + others, class_="results")


class Column:
    """A column of the table: one metric."""

    def __init__(self, key: str, metric: MetricInfo, report: SavedReport) -> None:
        self.key, self.metric, self.report = key, metric, report

    @cached_property
    def values(self) -> list[float]:
        rows = [row for row in self.report.methods if row.kind != "truth"]  # the originals are no method
        found = [row.metrics[self.key].mean for row in rows if self.key in row.metrics]
        return [value for value in found if not math.isnan(value)]

    @cached_property
    def least(self) -> float | None:
        """The smallest loss of the methods; None for a single one."""
        return least_loss(self.metric.better, self.values)

    def text(self, value: float) -> str:
        return number_text(value, self.metric, max(map(abs, self.values), default=value))

    def head(self) -> str:
        aim, unit = self.metric.better, tag("small", escape(self.metric.unit)) if self.metric.unit else ""
        mark = tag(
            "abbr", aim.symbol.replace(" ", "&nbsp;"), title=aim.description, aria_label=aim.description
        )
        title = escape(self.metric.title) + ("&nbsp;" + mark if aim.symbol else "")
        return tag("th", f"{title} {unit}", scope="col")

    def cell(self, estimate: Estimate | None) -> str:
        if estimate is None or math.isnan(estimate.mean):
            return tag("td", "–")
        number, look = self.text(estimate.mean), {}
        if self.least is not None and self.metric.better.loss(estimate.mean) == self.least:
            number, look = tag("strong", number + tag("span", " best", class_="unseen")), {"class_": "best"}
        if estimate.interval:
            low, high = map(self.text, estimate.interval)
            number += tag("small", f"{low} – {high}")
        return tag("td", number, **look)


def published_rows(
    rows: Sequence[Published], columns: Sequence[Column], has_calls: bool, wide: int
) -> Iterator[str]:
    title = "Published, not measured here"
    yield tag("tr", tag("th", title, colspan=wide, scope="rowgroup"))
    for row in rows:
        source = tag("small", f"published: {escape(row.source)}")
        cells = [tag("th", escape(row.name) + source, scope="row"), *([tag("td", "")] if has_calls else [])]
        values = (row.metrics.get(column.key, math.nan) for column in columns)
        cells += [tag("td", "–" if math.isnan(value) else f"{value:g}") for value in values]  # as printed
        yield tag("tr", "".join(cells))


def metric_notes(report: SavedReport) -> str:
    """Explanations of the table, with the convention of each metric."""
    marked = "Means over the pictures; small: 95 % intervals by bootstrap over the pictures. " + tag(
        "strong", "Bold", class_="best"
    )
    items = [
        tag("dt", escape(metric.title)) + tag("dd", escape(metric.convention))
        for metric in report.metrics.values()
        if metric.convention
    ]
    return tag("p", f"{marked} is the best of the measured means.") + tag("dl", "".join(items))


def number_text(value: float, metric: MetricInfo, largest: float) -> str:
    """The number with decimals that suit `largest`, the largest absolute value of its kind; two for dB."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    decimals = 2 if metric.unit == "dB" or largest >= 10 else 3 if largest >= 1 else 4
    small = 0 < abs(value) < 0.5 * 10**-decimals
    return (f"{value:.2g}" if small else f"{value:.{decimals}f}").replace("-", "−")


# ----------------------------------------------------------------------------------------- paired differences


def differences_section(report: SavedReport) -> str:
    """The collapsed section of paired differences of every two methods in every metric."""
    known = [pair for pair in report.pairs if pair.metric in report.metrics][:MAX_PAIRS]
    if not known:
        return ""
    head = "".join(tag("th", name, scope="col") for name in ("difference", "metric", "mean", "95 %", ""))
    rows = []
    for pair in known:
        metric, estimate = report.metrics[pair.metric], pair.difference
        largest = abs(estimate.mean)
        ends = " to ".join(number_text(end, metric, largest) for end in estimate.interval or ())
        name = tag("th", f"{escape(pair.a)} − {escape(pair.b)}", scope="row")
        mean = number_text(estimate.mean, metric, largest) if not math.isnan(estimate.mean) else "–"
        cells = (escape(metric.title), mean, ends, escape(verdict(pair, metric)))
        rows.append(tag("tr", name + "".join(tag("td", cell) for cell in cells)))
    body = tag("table", tag("thead", tag("tr", head)) + tag("tbody", "".join(rows)))
    scrolled = tag("div", body, class_="wide", tabindex=0, role="region", aria_label="paired differences")
    why = tag("p", "Both methods on the same pictures; an interval without 0 is a significant difference.")
    return tag("section", tag("details", tag("summary", "Paired differences") + why + scrolled))


def verdict(pair: PairedDifference, metric: MetricInfo) -> str:
    if (interval := pair.difference.interval) is None:
        return ""
    if not is_significant(interval):
        return "no significant difference"
    distance = None if pair.distance is None else pair.distance.interval
    return metric.better.verdict(pair.b, pair.a, interval, distance)
