"""Which rows of papers belong beside what was measured."""

from collections.abc import Container, Iterable, Iterator

from refinesr.evaluate.protocols import Published


def parted(rows: Iterable[Published], keys: Container[str]) -> tuple[list[Published], list[Published]]:
    """Rows with a number of one of these metrics, and the rest."""
    here: list[Published] = []
    elsewhere: list[Published] = []
    for row in rows:
        (here if any(key in keys for key in row.metrics) else elsewhere).append(row)
    return here, elsewhere


def left_out(rows: Iterable[Published]) -> Iterator[str]:
    """A sentence for each source of rows that have no metric in common with what was measured."""
    sources: dict[str, list[Published]] = {}
    for row in rows:
        sources.setdefault(row.source, []).append(row)
    for source, those in sources.items():
        keys = ", ".join(dict.fromkeys(key for row in those for key in row.metrics))
        are = "row is" if len(those) == 1 else "rows are"
        yield f"{len(those)} published {are} left out, of what was not measured here ({keys}): {source}"
