"""`python -m refinesr` is the same as `refinesr`."""

import os
import signal
import sys
from types import FrameType

from refinesr.torchrun import started_by_torchrun


def start() -> int:
    """Run the command line and return its exit code.

    Until `refinesr.cli` is imported there is nothing to clean up, so signals end the process at once, with
    the exit code that they have later, too.
    """
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) == usual:  # else the parent process set it to be ignored, as nohup does
            signal.signal(number, exit_at_once)
    from refinesr.cli import main

    code = main()
    if started_by_torchrun():
        # all is written; threads of torch.distributed may abort an interpreter that shuts down
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    return code


def exit_at_once(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(start())
