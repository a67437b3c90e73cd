"""Handling of Ctrl-C (SIGINT) and SIGTERM.  Exit codes are those of a shell: 128 + the signal's number."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from ..torchrun import started_by_torchrun

Handler = Callable[[int, FrameType | None], None]

DESCRIPTIONS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Terminated(BaseException):
    """Raised by SIGTERM, as KeyboardInterrupt is by SIGINT, so that `finally` blocks run."""


@dataclass
class ReceivedSignal:
    """The signal that was received, if any."""

    signal: int | None = None

    @property
    def word(self) -> str:
        return "" if self.signal is None else DESCRIPTIONS[signal.Signals(self.signal)]


@contextmanager
def signals_raised(received: ReceivedSignal) -> Iterator[None]:
    """SIGTERM raises Terminated and SIGINT raises KeyboardInterrupt, wherever the program is.

    A library that is being imported may turn these into another exception: `received` records the signal.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        received.signal = number
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    with _handlers_installed(leave, signal.SIGINT, signal.SIGTERM):
        yield


@contextmanager
def signals_recorded() -> Iterator[ReceivedSignal]:
    """Signals are only recorded: the caller checks for one where it can stop.

    A second Ctrl-C raises KeyboardInterrupt at once, but not under torchrun, which forwards a signal several
    times.
    """
    received = ReceivedSignal()

    def record(number: int, frame: FrameType | None) -> None:
        if number == received.signal == signal.SIGINT and not started_by_torchrun():
            raise KeyboardInterrupt
        received.signal = number

    with _handlers_installed(record, signal.SIGINT, signal.SIGTERM):
        yield received


@contextmanager
def _handlers_installed(handler: Handler, *numbers: int) -> Iterator[None]:
    """Install `handler`, except for signals that the parent process set to be ignored (`nohup`, `&`)."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may install handlers
        return
    before = {number: signal.getsignal(number) for number in numbers}
    replaced = {number: old for number, old in before.items() if old not in (signal.SIG_IGN, None)}
    for number in replaced:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in replaced.items():
            signal.signal(number, old)
