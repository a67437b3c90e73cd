"""Which plots a report is shown by."""

import re
from collections.abc import Iterator, Sequence
from html import escape

from refinesr.evaluate.estimates import Estimate
from refinesr.evaluate.plots import Point, Side, curves, scatter, tag
from refinesr.evaluate.reading import DISTORTION, PERCEPTION, Report, Row

PLANES = 2
"""Perceptual metrics that are plotted against distortion, at most."""


def sketches(report: Report) -> str:
    """A section of figures, or nothing if there is nothing to plot."""
    figures = [tag("figure", tag("figcaption", escape(title)) + drawn) for title, drawn in plots(report)]
    if not figures:
        return ""
    note = tag("p", "Bars are 95 % intervals.")
    return tag("section", tag("h2", "Plots") + note + tag("div", "".join(figures), class_="plots"))


def plots(report: Report) -> Iterator[tuple[str, str]]:
    """Title and drawing of each."""
    distortion, perception = report.like(DISTORTION)[:1], report.like(PERCEPTION)[:PLANES]
    for across in distortion:
        for up in perception:
            points = [point for point in plane(report, across, up) if point.finite]
            if len(points) > 1:
                title = "Perception against distortion"
                yield title, scatter(title, side(report, across), side(report, up), points)
    for key in [*distortion, *perception[:1]]:
        lines = [(name, walk(report, key, rows)) for name, rows in families(report.methods)]
        lines = [(name, line) for name, line in lines if len(line) > 1]
        if lines:
            title = f"Calls against quality: {report.metrics[key].title}"
            yield title, curves(title, side(report, key), lines)


def plane(report: Report, across: str, up: str) -> Iterator[Point]:
    for look, row in enumerate(report.methods):
        if across in row.metrics and up in row.metrics:
            yield Point(row.name, row.metrics[across], row.metrics[up], look)


def walk(report: Report, key: str, rows: Sequence[Row]) -> list[Point]:
    """A model's quality, from few calls to many; in the colour of its first row."""
    look = report.methods.index(rows[0])
    made = [
        Point(row.name, Estimate(float(row.calls)), row.metrics[key], look)
        for row in sorted(rows, key=lambda row: row.calls or 0)
        if row.calls and key in row.metrics
    ]
    return [point for point in made if point.finite]


def families(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Rows of one model in different numbers of calls, by the model's name."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.calls:
            groups.setdefault(model_name(row), []).append(row)
    return [(name, group) for name, group in groups.items() if len({row.calls for row in group}) > 1]


def model_name(row: Row) -> str:
    """Without the number of calls, as in "photo-x4 (4 calls)", "photo-x4@4" or "photo-x4-4-steps"."""
    pattern = rf"[\s@:,;_\-+(\[]+{row.calls}[\s_\-]*(calls?|steps?)?[)\]]?$"
    return re.sub(pattern, "", row.name, flags=re.IGNORECASE) or row.name


def side(report: Report, key: str) -> Side:
    metric = report.metrics[key]
    return Side(f"{metric.title}, {metric.unit}" if metric.unit else metric.title, metric.better.way)
