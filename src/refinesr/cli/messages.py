"""Terminal output: results on stdout, all other messages on stderr, one line at a time."""

import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TextIO

from ..torchrun import is_main_process

CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f]")
"""Characters that end a line or control a terminal; a file's name may contain them."""


def print_result(*lines: str) -> None:
    """Print on stdout, with control characters escaped."""
    for line in lines:
        print(escaped(line), flush=True)


def print_message(text: object) -> None:
    """Print one line on stderr.  Where that fails, the message is lost and the work goes on."""
    with suppress(OSError):
        print(one_line(text), file=sys.stderr, flush=True)


@contextmanager
def robust_streams() -> Iterator[None]:
    """Make stdout and stderr safe to write to.

    A stream that is closed from the start (`>&-`) is replaced by the null device.  On stdout, as Python does
    on stderr, characters that its encoding lacks and undecodable bytes of file names are escaped.  Text left
    in a buffer because the reader has gone or the disk is full is discarded: otherwise Python would try to
    write it again at exit, and exit with a code of its own.
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
    """Discard what the stream has buffered and all that is written to it later."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)


def one_line(text: object) -> str:
    return escaped(" ".join(str(text).split()))


def escaped(line: str) -> str:
    """`line` with control characters escaped as in JSON, so that a line of JSON keeps its meaning."""
    return CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


def counted(number: int, thing: str) -> str:
    """Such as "1 file" or "3 files"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Print each distinct warning once, as one line on stderr, without file name and source line."""
    printed: set[str] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = one_line(message)
        if text not in printed and is_main_process():
            printed.add(text)
            print_message(f"warning: {text}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
