"""`python -m refinesr` is the same as `refinesr`."""

import os
import signal
import sys

from refinesr.launched import by_torchrun


def start() -> int:
    """The exit code.  Until there is work that has to be left in order, Ctrl-C ends the process at once."""
    heard = signal.getsignal(signal.SIGINT)
    if heard is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from refinesr.cli import main

    signal.signal(signal.SIGINT, heard)
    code = main()
    if by_torchrun():
        # all is written; what torch has left at work for a team may abort an interpreter that shuts down
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(start())
