"""`refinesr VERB`: one file for each verb, and what they share.

Help and mistakes in the arguments do not wait for PyTorch: what needs it is imported when a verb runs.
"""

from .app import main

__all__ = ["main"]
