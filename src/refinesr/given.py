"""What untyped callers may give, checked at run time: taken as what is meant, or refused by its name.

NumPy's numbers become Python's: sums of its integers wrap around, and no file of ours holds them.
"""

import reprlib
from collections.abc import Callable
from numbers import Integral, Real

import numpy as np

from refinesr.errors import ConfigError


def whole(name: str, value: object) -> int:
    """Raises ConfigError, for True and False too."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ConfigError(f"{name}: {plainly(value)} is no whole number")
    return int(value)


def number(name: str, value: object) -> float:
    """Raises ConfigError, for True and False too."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ConfigError(f"{name}: {plainly(value)} is no number")
    return float(value)


def truth(name: str, value: object) -> bool:
    """Raises ConfigError for what is merely true in conditions, as 'false' is."""
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"{name}: {plainly(value)} is neither True nor False")
    return bool(value)


def settle(holder: object, kind: Callable[[str, object], object], *names: str) -> None:
    """Fields of a value, frozen or not, become `whole`, a `number`, a `truth`.  Raises ConfigError."""
    for name in names:
        object.__setattr__(holder, name, kind(name, getattr(holder, name)))


def settle_given(holder: object, kind: Callable[[str, object], object], *names: str) -> None:
    """`settle` for fields that may be None, and then stay it."""
    settle(holder, kind, *(name for name in names if getattr(holder, name) is not None))


def of_kind(value: object, right: str) -> str:
    """Says of what kind a value is, and what would be right."""
    return f"{plainly(value)} is a {type(value).__name__}; {right} is taken"


def plainly(value: object) -> str:
    """In few characters and one line, whatever it is."""
    return " ".join(reprlib.repr(value).split())[:60]
