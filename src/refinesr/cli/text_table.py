"""Tables of plain text."""

from collections.abc import Iterator, Sequence


def aligned_lines(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """The rows with cells padded to the width of their column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()
