"""The plots of a report's page."""

import re
from collections.abc import Iterator, Sequence
from html import escape

from refinesr.evaluate.estimates import Estimate
from refinesr.evaluate.plots import AxisInfo, Point, quality_curves, scatter, tag
from refinesr.evaluate.saved_report import DISTORTION, PERCEPTION, MethodRow, SavedReport

MAX_PERCEPTUAL = 2
"""Largest number of perceptual metrics that are plotted against distortion."""


def plots_section(report: SavedReport) -> str:
    """The section of plots; empty if there is nothing to plot."""
    figures = [tag("figure", tag("figcaption", escape(title)) + drawn) for title, drawn in plots(report)]
    if not figures:
        return ""
    note = tag("p", "Bars are 95 % intervals.")
    return tag("section", tag("h2", "Plots") + note + tag("div", "".join(figures), class_="plots"))


def plots(report: SavedReport) -> Iterator[tuple[str, str]]:
    """Title and SVG of each plot."""
    distortion, perception = (
        report.metrics_starting_with(DISTORTION)[:1],
        report.metrics_starting_with(PERCEPTION)[:MAX_PERCEPTUAL],
    )
    for across in distortion:
        for up in perception:
            points = [point for point in perception_distortion(report, across, up) if point.finite]
            if len(points) > 1:
                title = "Perception against distortion"
                yield title, scatter(title, axis_info(report, across), axis_info(report, up), points)
    for key in [*distortion, *perception[:1]]:
        lines = [(name, quality_by_calls(report, key, rows)) for name, rows in rows_by_model(report.methods)]
        lines = [(name, line) for name, line in lines if len(line) > 1]
        if lines:
            title = f"Calls against quality: {report.metrics[key].title}"
            yield title, quality_curves(title, axis_info(report, key), lines)


def perception_distortion(report: SavedReport, across: str, up: str) -> Iterator[Point]:
    for style, row in enumerate(report.methods):
        if across in row.metrics and up in row.metrics:
            yield Point(row.name, row.metrics[across], row.metrics[up], style)


def quality_by_calls(report: SavedReport, key: str, rows: Sequence[MethodRow]) -> list[Point]:
    """A model's scores by ascending number of calls, in the style of its first row."""
    style = report.methods.index(rows[0])
    points = [
        Point(row.name, Estimate(float(row.calls)), row.metrics[key], style)
        for row in sorted(rows, key=lambda row: row.calls or 0)
        if row.calls and key in row.metrics
    ]
    return [point for point in points if point.finite]


def rows_by_model(rows: Sequence[MethodRow]) -> list[tuple[str, list[MethodRow]]]:
    """Rows of the same model with different numbers of calls, by the model's name."""
    groups: dict[str, list[MethodRow]] = {}
    for row in rows:
        if row.calls:
            groups.setdefault(model_name(row), []).append(row)
    return [(name, group) for name, group in groups.items() if len({row.calls for row in group}) > 1]


def model_name(row: MethodRow) -> str:
    """The name without the number of calls, as in "photo-x4 (4 calls)", "photo-x4@4", "photo-x4-4-steps"."""
    pattern = rf"[\s@:,;_\-+(\[]+{row.calls}[\s_\-]*(calls?|steps?)?[)\]]?$"
    return re.sub(pattern, "", row.name, flags=re.IGNORECASE) or row.name


def axis_info(report: SavedReport, key: str) -> AxisInfo:
    metric = report.metrics[key]
    return AxisInfo(
        f"{metric.title}, {metric.unit}" if metric.unit else metric.title, metric.better.direction
    )
