"""Docstrings here are plain text, laid out to be read in an editor.  This makes them what autodoc reads.

Paragraphs stay paragraphs, `code` becomes code, and what is laid out in columns or indented stays as it is.
"""

import re
from itertools import groupby

from sphinx.application import Sphinx

COLUMNS = re.compile(r"^\w+(, \w+)* {2,}\S")
"""A name, two blanks or more, and what it means."""

CODE = re.compile(r"(`[^`]+`)")


def plain(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Replaces `lines` by the same in reStructuredText."""
    paragraphs = [list(group) for blank, group in groupby(lines, lambda line: not line.strip()) if not blank]
    lines[:] = [line for paragraph in paragraphs for line in [*written(paragraph), ""]]


def written(paragraph: list[str]) -> list[str]:
    laid_out = any(line.startswith(" ") or COLUMNS.match(line) for line in paragraph)
    if laid_out or paragraph[0].startswith(">>>"):
        return [".. code-block:: text", "", *(f"   {line}" for line in paragraph)]
    return "".join(map(escaped, CODE.split("\n".join(paragraph)))).split("\n")


def escaped(part: str) -> str:
    if part.startswith("`"):
        return f"``{part.strip('`')}``"
    return re.sub(r"([*|_\\])", r"\\\1", part)


def setup(app: Sphinx) -> dict[str, object]:
    app.connect("autodoc-process-docstring", plain)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
