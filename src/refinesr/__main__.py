"""`python -m refinesr` is the same as `refinesr`."""

import sys

from refinesr.cli import main

if __name__ == "__main__":
    sys.exit(main())
