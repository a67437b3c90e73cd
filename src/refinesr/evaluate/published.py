"""Selects the published rows that share metrics with a report."""

from collections.abc import Container, Iterable, Iterator

from refinesr.evaluate.protocols import Published


def split_by_metrics(
    rows: Iterable[Published], keys: Container[str]
) -> tuple[list[Published], list[Published]]:
    """Rows that have a value of one of these metrics, and the other rows."""
    here: list[Published] = []
    elsewhere: list[Published] = []
    for row in rows:
        (here if any(key in keys for key in row.metrics) else elsewhere).append(row)
    return here, elsewhere


def omission_notes(rows: Iterable[Published]) -> Iterator[str]:
    """For each source, a sentence on its rows that share no metric with the report."""
    sources: dict[str, list[Published]] = {}
    for row in rows:
        sources.setdefault(row.source, []).append(row)
    for source, those in sources.items():
        keys = ", ".join(dict.fromkeys(key for row in those for key in row.metrics))
        are = "row is" if len(those) == 1 else "rows are"
        yield f"{len(those)} published {are} left out, of what was not measured here ({keys}): {source}"
