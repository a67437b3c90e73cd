"""Text and JSON of `refinesr compare`."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .messages import counted
from .text_table import aligned_lines

if TYPE_CHECKING:
    from ..evaluate.comparison import Comparison, InfiniteDifference, MetricComparison
    from ..evaluate.permutation import SetComparison


def text_lines(
    match: "Comparison", results: Sequence["MetricComparison"], sets: Sequence["SetComparison"]
) -> Iterator[str]:
    """A line on what is compared, the table, and notes on how to read it."""
    a, b = match.a.name, match.b.name
    yield f"{match.context}: A is {a}, B is {b}, {counted(len(match.names), 'picture')}"
    head = ("metric", "A", "B", "B - A", "95 % interval", "p", "")
    rows = [*(cells(x, a, b) for x in results), *(cells_of_sets(x, a, b) for x in sets)]
    yield from aligned_lines([head, *rows])
    yield from footnotes(results)
    if sets:
        titles = " and ".join(found.title for found in sets)
        yield f"p of {titles}: share of random exchanges of the two results of pictures that differ as much"
    for found in match.infinite_differences():
        number = counted(found.left_out, "picture")
        yield omission_line(found.metric.title, number if found.left_out == 1 else f"all {number}")


def cells(found: "MetricComparison", a: str, b: str) -> tuple[str, ...]:
    unit = f" ({found.metric.unit})" if found.metric.unit else ""
    ends = "" if found.interval is None else " to ".join(f"{end:+.4g}" for end in found.interval)
    means = (f"{value:.4g}" for value in (found.a, found.b))
    return (
        found.metric.title + unit,
        *means,
        f"{found.difference:+.4g}",
        ends,
        p_text(found),
        found.verdict(a, b),
    )


def cells_of_sets(found: "SetComparison", a: str, b: str) -> tuple[str, ...]:
    numbers = (f"{found.a:.4g}", f"{found.b:.4g}", f"{found.difference:+.4g}")
    p = f"{found.p:.2g}" if found.p > found.smallest_p else f"<{2 * found.smallest_p:.2g}"
    return (found.title, *numbers, "", p, found.verdict(a, b))


def p_text(found: "MetricComparison") -> str:
    return f"{found.p:.2g}" if found.p > found.smallest_p or found.exact else f"<{2 * found.smallest_p:.0e}"


def footnotes(results: Sequence["MetricComparison"]) -> Iterator[str]:
    yield "interval: of the mean difference, by bootstrap over pictures; significant if it excludes 0"
    few = min(results, key=lambda found: found.count)
    patterns = "all patterns of signs" if few.exact else "random patterns of signs"
    yield f"p: share of {patterns} of the differences whose mean is as large; significant up to 0.05"
    if few.smallest_p > 0.01:
        number = counted(few.count, "picture")
        yield f"{number} cannot give a p below {few.smallest_p:.2g}, nor a reliable interval; use more"
    for found in results:
        if found.left_out:
            yield omission_line(found.metric.title, counted(found.left_out, "picture"))


def omission_line(title: str, number: str) -> str:
    return f"{title}: {number} left out, as the difference is infinite"


def json_data(
    match: "Comparison", results: Sequence["MetricComparison"], sets: Sequence["SetComparison"]
) -> dict[str, Any]:
    entries = {found.key: entry(found) for found in results}
    entries |= {found.key: entry_of_infinite(found) for found in match.infinite_differences()}
    return {
        "place": match.context,
        "a": match.a.name,
        "b": match.b.name,
        "metrics": [entries[key] for key in match.metrics if key in entries],
        "sets": [entry_of_sets(found) for found in sets],
    }


def entry(found: "MetricComparison") -> dict[str, Any]:
    names = ("key", "a", "b", "difference", "interval", "p", "count", "left_out", "distance")
    return {name: getattr(found, name) for name in names} | {"better": found.metric.better.data}


def entry_of_sets(found: "SetComparison") -> dict[str, Any]:
    return {name: getattr(found, name) for name in ("key", "a", "b", "difference", "p", "count")}


def entry_of_infinite(found: "InfiniteDifference") -> dict[str, Any]:
    """The fields of a metric without any finite difference."""
    names = ("key", "a", "b", "difference", "left_out")
    none = {"interval": None, "p": None, "count": 0, "distance": None}
    return {name: getattr(found, name) for name in names} | none | {"better": found.metric.better.data}
