"""`refinesr COMMAND`: one module per command, and the modules that they share.

PyTorch takes seconds to import, so modules that need it are imported only when a command runs: `--help` and
errors in the arguments appear at once.
"""

from .app import main

__all__ = ["main"]
