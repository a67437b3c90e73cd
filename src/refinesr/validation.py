"""What untyped callers may give, checked at run time: taken as what is meant, or refused by its name.

NumPy's numbers become Python's: sums of its integers wrap around, and no file of ours holds them.
"""

import reprlib
from collections.abc import Callable
from numbers import Integral, Real

import numpy as np

from refinesr.errors import ConfigError


def as_int(name: str, value: object) -> int:
    """Raises ConfigError, for True and False too."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ConfigError(f"{name}: {short_repr(value)} is no whole number")
    return int(value)


def as_float(name: str, value: object) -> float:
    """Raises ConfigError, for True and False too."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ConfigError(f"{name}: {short_repr(value)} is no number")
    return float(value)


def as_bool(name: str, value: object) -> bool:
    """Raises ConfigError for what is merely true in conditions, as 'false' is."""
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"{name}: {short_repr(value)} is neither True nor False")
    return bool(value)


def convert_fields(holder: object, kind: Callable[[str, object], object], *names: str) -> None:
    """Fields of a value, frozen or not, become `as_int`, a `as_float`, a `as_bool`.  Raises ConfigError."""
    for name in names:
        object.__setattr__(holder, name, kind(name, getattr(holder, name)))


def convert_optional_fields(holder: object, kind: Callable[[str, object], object], *names: str) -> None:
    """`convert_fields` for fields that may be None, and then stay it."""
    convert_fields(holder, kind, *(name for name in names if getattr(holder, name) is not None))


def type_error_text(value: object, right: str) -> str:
    """Says of what kind a value is, and what would be right."""
    return f"{short_repr(value)} is a {type(value).__name__}; {right} is taken"


def short_repr(value: object) -> str:
    """In few characters and one line, whatever it is."""
    return " ".join(reprlib.repr(value).split())[:60]
