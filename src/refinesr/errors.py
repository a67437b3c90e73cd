"""What can go wrong through the user's files and values.

    RefineSRError
    ├── InputError        a picture or a folder of pictures cannot be used
    ├── ConfigError       a field of a method or a run has a value that makes no sense
    ├── CheckpointError   a model file is missing, damaged or of another kind
    └── OutputError       a result cannot be written

The message is one line in lower case that names the file or field, the value, and what would be right.
The command line prints it and exits with code 2.  Mistakes of a programmer are ValueErrors instead.
"""


class RefineSRError(Exception):
    """Anything a user can mend."""


class InputError(RefineSRError):
    """A picture or a folder of pictures cannot be used."""


class ConfigError(RefineSRError):
    """A field of a method or a run has a value that makes no sense."""


class CheckpointError(RefineSRError):
    """A model file is missing, damaged or of another kind."""


class OutputError(RefineSRError):
    """A result cannot be written."""
