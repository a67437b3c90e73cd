"""`python -m refinesr` is the same as `refinesr`."""

import os
import signal
import sys
from types import FrameType

from refinesr.launched import by_torchrun


def start() -> int:
    """The exit code.  While there is no work that has to be left in order, signals end the process at once,
    with the exit code that they have later, too."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) == usual:  # else it is to be ignored, as by nohup
            signal.signal(number, leave)
    from refinesr.cli import main

    code = main()
    if by_torchrun():
        # all is written; what torch has left at work for a team may abort an interpreter that shuts down
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    return code


def leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(start())
