"""What can go wrong through the user's files and values.

    RefineSRError
    ├── InputError        a picture or a folder of pictures cannot be used
    ├── ConfigError       a field of a method or a run has a value that makes no sense
    ├── CheckpointError   a model file is missing, damaged or of another kind
    └── OutputError       a result cannot be written

The message is one line in lower case that names the file or field, the value, and what would be right.
The command line prints it and exits with code 2.  Mistakes of a programmer are ValueErrors instead.
"""

from collections.abc import Sequence


class RefineSRError(Exception):
    """Anything a user can mend."""


class InputError(RefineSRError):
    """A picture or a folder of pictures cannot be used."""

    @classmethod
    def combine(cls, bad: Sequence[tuple[str, "InputError"]], shown: int = 5) -> "InputError":
        """What is wrong with the first of at least one, and the names of the others."""
        (_, first), *others = bad
        more = f" and {len(others) - shown} more" * (len(others) > shown)
        names = ", ".join(name for name, _ in others[:shown]) + more
        return cls(f"{first}; nor can {names} be used" if others else str(first))


class ConfigError(RefineSRError):
    """A field of a method or a run has a value that makes no sense."""


class CheckpointError(RefineSRError):
    """A model file is missing, damaged or of another kind."""


class OutputError(RefineSRError):
    """A result cannot be written."""
