"""Error messages about data: one line each."""

import dataclasses
import difflib
import json
import reprlib
from collections.abc import Iterable
from typing import Any, NoReturn

from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError

from refinesr.errors import ConfigError


def first_error(error: BaseException) -> tuple[list[str], str]:
    """(path, message) of the first error; a misspelt field comes before the field that is then missing."""
    path = _steps(error)
    while isinstance(error, BaseValidationError):
        error = min(error.exceptions, key=lambda each: not isinstance(each, ForbiddenExtraKeysError))
        path += _steps(error)
    match error:
        case ForbiddenExtraKeysError():
            name = min(error.extra_fields, key=str)
            return [*path, name], unknown_field_text(error.cl, name)
        case KeyError() if _steps(error):
            return path, "missing, and has no default"
        case RecursionError():
            return path[:3], "nested too deeply"
        case ArithmeticError():
            return path, f"holds numbers too large or too small to work with ({error})"
        case ConfigError() | ValueError():
            name, colon, rest = str(error).partition(": ")  # messages that begin with a field's name
            return ([*path, name], rest) if colon and name.isidentifier() else (path, str(error))
    raise error  # an error of the program, not of the data


def _steps(error: BaseException) -> list[str]:
    """The field names and indices that cattrs noted on the exception, outermost first."""
    notes = reversed(getattr(error, "__notes__", []))
    named = (getattr(note, "name", getattr(note, "index", None)) for note in notes)
    return [str(name) for name in named if name is not None]


def with_location(where: str, path: Iterable[str], message: str) -> str:
    """The message after the file or option and the dotted path in it; empty parts are left out."""
    return ": ".join(part for part in (where, ".".join(map(printable_name, path)), message) if part)


def printable_name(name: str) -> str:
    """A name from a file unchanged, or its repr if it is long or not printable."""
    return name if name.isprintable() and 0 < len(name) < 60 else short_json(name)


def unknown_field_text(kind: type, name: object) -> str:
    """The message for a field that the dataclass does not have."""
    fields = init_fields(kind)
    right = _nearest(str(name), fields) or (f"it has {', '.join(fields)}" if fields else "it has none")
    return f"no such field of {kind.__name__}; {right}"


def raise_not_one_of(data: object, names: Iterable[str]) -> NoReturn:
    """Raises ConfigError for data that is none of the names."""
    names = list(names)
    near = _nearest(data, names) if isinstance(data, str) else ""
    raise ConfigError(f"{short_json(data)} is not one of {', '.join(names)}" + (near and f"; {near}"))


def _nearest(name: str, names: Iterable[str]) -> str:
    lowered = {each.lower(): each for each in names}
    near = difflib.get_close_matches(name[:60].lower(), lowered, n=1)
    return f"did you mean {lowered[near[0]]!r}?" if near else ""


def short_json(data: object) -> str:
    """The value in one line of at most 100 characters: null, true and false as in JSON, else its repr."""
    if data is None or isinstance(data, bool):
        return json.dumps(data)
    short = reprlib.Repr()
    short.maxstring, short.maxlong, short.maxlevel = 60, 60, 2
    return text if len(text := short.repr(data)) < 100 else f"{text[:95]} ..."


def init_fields(kind: Any) -> list[str]:
    """Names of the fields that the dataclass takes as arguments."""
    return [field.name for field in dataclasses.fields(kind) if field.init]
