"""Ctrl-C and SIGTERM.  Exit codes are the shell's: 128 + the number of the signal."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from ..launched import by_torchrun

Handler = Callable[[int, FrameType | None], None]

DESCRIPTIONS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Terminated(BaseException):
    """SIGTERM, as KeyboardInterrupt is SIGINT: everything is left by way of `finally`."""


@dataclass
class ReceivedSignal:
    """The signal that has come, if any."""

    signal: int | None = None

    @property
    def word(self) -> str:
        return "" if self.signal is None else DESCRIPTIONS[signal.Signals(self.signal)]


@contextmanager
def signals_raised(notice: ReceivedSignal) -> Iterator[None]:
    """SIGTERM raises Terminated and SIGINT KeyboardInterrupt, wherever the work is.

    A library in the middle of its import may make something else of them: `notice` tells what has come.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        notice.signal = number
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    with _handlers_installed(leave, signal.SIGINT, signal.SIGTERM):
        yield


@contextmanager
def signals_recorded() -> Iterator[ReceivedSignal]:
    """Both signals are only noted: who is in the middle of something finishes it and looks.

    Who presses Ctrl-C twice does not want to wait; but torchrun sends what it gets more than once.
    """
    notice = ReceivedSignal()

    def note(number: int, frame: FrameType | None) -> None:
        if number == notice.signal == signal.SIGINT and not by_torchrun():
            raise KeyboardInterrupt
        notice.signal = number

    with _handlers_installed(note, signal.SIGINT, signal.SIGTERM):
        yield notice


@contextmanager
def _handlers_installed(handler: Handler, *numbers: int) -> Iterator[None]:
    """A signal that the parent process made us ignore (`nohup`, `&`) stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets no other thread have handlers
        return
    before = {number: signal.getsignal(number) for number in numbers}
    heard = {number: old for number, old in before.items() if old not in (signal.SIG_IGN, None)}
    for number in heard:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in heard.items():
            signal.signal(number, old)
