"""What people are told: results on stdout, all else on stderr, one line at a time."""

import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TextIO

from ..launched import leads

CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f]")
"""Characters that end lines, or command a terminal, which a file's name is not to do."""


def print_result(*lines: str) -> None:
    """On stdout, with control characters shown as escapes."""
    for line in lines:
        print(escaped(line), flush=True)


def print_message(text: object) -> None:
    """On stderr.  If that is full, or nobody reads it any more, the work goes on untold."""
    with suppress(OSError):
        print(one_line(text), file=sys.stderr, flush=True)


@contextmanager
def robust_streams() -> Iterator[None]:
    """stdout and stderr, whatever becomes of them.

    Who was started without one (`>&-`) writes into nothing.  What the encoding of stdout lacks, and bytes of
    names that are no text, are shown as escapes, as Python does on stderr.  What could not be written to one,
    as its reader has gone or the disk is full, is dropped: Python would try again at exit, with an exit code
    of its own.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nothing = os.open(os.devnull, os.O_WRONLY)
            setattr(sys, name, os.fdopen(nothing, "w", encoding="utf-8", errors="backslashreplace"))
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                discard_output(stream)


def discard_output(stream: TextIO) -> None:
    """What is in it, and all that follows, goes nowhere."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)


def one_line(text: object) -> str:
    return escaped(" ".join(str(text).split()))


def escaped(line: str) -> str:
    """Control characters as in JSON, whose texts stay the same."""
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Warnings come without place and source, and each text once: batches repeat themselves."""
    said: set[str] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = one_line(message)
        if text not in said and leads():
            said.add(text)
            print_message(f"warning: {text}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
