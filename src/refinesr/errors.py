"""Errors caused by the user's files and values.

    RefineSRError
    ├── InputError        an image or a folder of images cannot be used
    ├── ConfigError       a field of a method or a run has an invalid value
    ├── CheckpointError   a model file is missing, damaged or of another kind
    └── OutputError       a result cannot be written

The message is one line in lower case that names the file or field, its value, and what would be valid.  The
command line prints it and exits with code 2.  Programming errors raise ValueError instead.
"""

from collections.abc import Sequence


class RefineSRError(Exception):
    """Base class of all errors that a user can fix."""


class InputError(RefineSRError):
    """An image or a folder of images cannot be used."""

    @classmethod
    def combine(cls, errors: Sequence[tuple[str, "InputError"]], limit: int = 5) -> "InputError":
        """One error of several (name, error): the first message and up to `limit` names of the others."""
        (_, first), *others = errors
        more = f" and {len(others) - limit} more" * (len(others) > limit)
        names = ", ".join(name for name, _ in others[:limit]) + more
        return cls(f"{first}; nor can {names} be used" if others else str(first))


class ConfigError(RefineSRError):
    """A field of a method or a run has an invalid value."""


class CheckpointError(RefineSRError):
    """A model file is missing, damaged or of another kind."""


class OutputError(RefineSRError):
    """A result cannot be written."""
