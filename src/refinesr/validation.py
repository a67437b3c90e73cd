"""Run-time checks of arguments of untyped callers: converted, or refused with an error that names them.

NumPy's numbers become Python's: sums of NumPy integers can overflow, and our files hold Python numbers only.
"""

import reprlib
from collections.abc import Callable
from numbers import Integral, Real

import numpy as np

from refinesr.errors import ConfigError


def as_int(name: str, value: object) -> int:
    """`value` as an int.  Raises ConfigError for anything but a whole number, also for True and False."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ConfigError(f"{name}: {short_repr(value)} is no whole number")
    return int(value)


def as_float(name: str, value: object) -> float:
    """`value` as a float.  Raises ConfigError for anything but a number, also for True and False."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ConfigError(f"{name}: {short_repr(value)} is no number")
    return float(value)


def as_bool(name: str, value: object) -> bool:
    """`value` as a bool.  Raises ConfigError for anything else, also for values that are only truthy."""
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"{name}: {short_repr(value)} is neither True nor False")
    return bool(value)


def convert_fields(holder: object, convert: Callable[[str, object], object], *names: str) -> None:
    """Convert fields of an object, frozen or not, in place by `as_int`, `as_float` or `as_bool`."""
    for name in names:
        object.__setattr__(holder, name, convert(name, getattr(holder, name)))


def convert_optional_fields(holder: object, convert: Callable[[str, object], object], *names: str) -> None:
    """`convert_fields` for fields that may be None: those are left None."""
    convert_fields(holder, convert, *(name for name in names if getattr(holder, name) is not None))


def type_error_text(value: object, expected: str) -> str:
    """The message for a value of the wrong type; `expected` says what is accepted."""
    return f"{short_repr(value)} is a {type(value).__name__}; {expected} is expected"


def short_repr(value: object) -> str:
    """The repr in one line of at most 60 characters."""
    return " ".join(reprlib.repr(value).split())[:60]
