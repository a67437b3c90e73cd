"""`python -m refinesr` is the same as `refinesr`."""

import os
import sys

from refinesr.cli import main
from refinesr.launched import by_torchrun

if __name__ == "__main__":
    code = main()
    if by_torchrun():
        # all is written; what torch has left at work for a team may abort an interpreter that shuts down
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    sys.exit(code)
