"""Frozen dataclasses <-> plain JSON data, strictly and with errors that say what would be right.

The annotations are the schema.  A field is a bool, int, float, str, Path or Literal, a tuple of these, a
frozen dataclass, or a union.  A member of a union of dataclasses carries its class name,
`{"kind": "EDM", "sigma_data": 0.5}`; its bare name, `"EDM"`, means the member with its defaults.  A dataclass
that is not one of several has no tag, and `X | None` is `null` or an X.  Fields with a default may be left
out when reading; all are written.  Nothing is converted, except that an integer may stand for a float and
that lists become tuples.  NaN and infinities are refused: JSON has none.  cattrs follows the annotations.
"""

import dataclasses
import difflib
import itertools
import json
import math
import reprlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, overload

from cattrs import BaseValidationError, Converter, ForbiddenExtraKeysError, IterableValidationNote
from cattrs.gen import make_dict_structure_fn

from refinesr.errors import ConfigError

TAG = "kind"
T = TypeVar("T")
Hook = Callable[[Any, Any], Any]
_origin: Callable[[Any], object] = get_origin  # looser than typeshed's, whose overloads do not expect tuple


@overload
def from_data(kind: type[T], data: object, where: str, *, path: str = "") -> T: ...
@overload
def from_data(kind: Any, data: object, where: str, *, path: str = "") -> Any: ...
def from_data(kind: Any, data: object, where: str, *, path: str = "") -> Any:
    """The value of type `kind` (a dataclass or a union of them) that plain JSON data describes.

    `where` names the file or option and `path` the place of `data` in it, for messages only.  Raises
    ConfigError for the first thing wrong, also where a `__post_init__` raises ConfigError or ValueError.
    """
    try:
        return _CONVERTER.structure(data, kind)
    except (BaseValidationError, ConfigError, ValueError, RecursionError) as error:
        inner, message = _first(error)
        raise ConfigError(_line(where, [path, *inner] if path else inner, message)) from None


def to_data(value: object, kind: Any = None) -> Any:
    """Plain JSON data with every field of a dataclass value; `kind` is its declared type, if that is a union.

    Raises ConfigError if `from_data` would refuse the data (a float that is not finite, a field of a wrong
    type), and ValueError if it would make a different value of it.
    """
    kind = type(value) if kind is None else kind
    data = _CONVERTER.unstructure(value, unstructure_as=kind)
    if from_data(kind, data, type(value).__name__) != value:
        raise ValueError(f"{reprlib.repr(value)} is not what its data would be read as")
    return data


def parse(text: str, where: str) -> Any:
    """JSON text as plain data.  Raises ConfigError, also for a name given twice or nesting without end."""
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not to be read as JSON: {error}") from None


def override(value: T, assignment: str, where: str = "--set") -> T:
    """A copy of a dataclass value with one field set, `"plan.steps=1000"`, anywhere inside it.

    Places in tuples are counted from 0.  The right-hand side is JSON (`1e-4`, `true`, `null`, `[1, 2]`) or
    else plain text: `method.precond=Clean` is that member of a union with its defaults.  Raises ConfigError.
    """
    place, equals, text = assignment.partition("=")
    if not equals or not place.strip():
        raise ConfigError(f"{where}: {_shown(assignment)} is not of the form field=value")
    names = [name.strip() for name in place.split(".")]
    root = data = to_data(value)
    node: Any = value
    for depth, name in enumerate(names, start=1):
        key = _key(node, name, where, names[:depth])
        if depth == len(names):
            data[key] = _right_hand_side(text.strip(), f"{where}: {place.strip()}")
        else:
            node, data = node[key] if isinstance(key, int) else getattr(node, key), data[key]
    return from_data(type(value), root, where)


def _key(node: object, name: str, where: str, path: list[str]) -> str | int:
    """The key in the data for one name of a dotted path, or ConfigError."""
    if isinstance(node, tuple):
        if name.isdecimal() and int(name) < len(node):
            return int(name)
        raise ConfigError(_line(where, path, f"no such place; there are {len(node)}, counted from 0"))
    if not dataclasses.is_dataclass(node):
        raise ConfigError(_line(where, path[:-1], f"{_shown(node)} has no fields"))
    if name not in _fields(type(node)):
        raise ConfigError(_line(where, path, _no_field(type(node), name)))
    return name


def _right_hand_side(text: str, where: str) -> Any:
    if text[:1] in ("[", "{", '"'):
        return parse(text, where)
    try:
        return json.loads(text)
    except ValueError:
        return text


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(data := dict(pairs)) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{_shown(name)} is given twice")
    return data


# What is wrong, in words


def _first(error: BaseException) -> tuple[list[str], str]:
    """The place and the message of the first mistake; a misspelt field before the one then missing."""
    path = _steps(error)
    while isinstance(error, BaseValidationError):
        error = min(error.exceptions, key=lambda each: not isinstance(each, ForbiddenExtraKeysError))
        path += _steps(error)
    match error:
        case ForbiddenExtraKeysError():
            name = min(error.extra_fields, key=str)
            return [*path, name], _no_field(error.cl, name)
        case KeyError() if _steps(error):
            return path, "missing, and has no default"
        case RecursionError():
            return path[:3], "nested too deeply"
        case ConfigError() | ValueError():
            name, colon, rest = str(error).partition(": ")  # a value that names its own field
            return ([*path, name], rest) if colon and name.isidentifier() else (path, str(error))
    raise error  # a mistake of the program, not of the data


def _steps(error: BaseException) -> list[str]:
    """The names or places that cattrs noted on the exception, outermost first."""
    notes = reversed(getattr(error, "__notes__", []))
    named = (getattr(note, "name", getattr(note, "index", None)) for note in notes)
    return [str(name) for name in named if name is not None]


def _line(where: str, path: Iterable[str], message: str) -> str:
    steps = [step if step.isprintable() and 0 < len(step) < 60 else _shown(step) for step in path]
    return ": ".join(part for part in (where, ".".join(steps), message) if part)


def _no_field(kind: type, name: object) -> str:
    fields = _fields(kind)
    right = _nearest(str(name), fields) or (f"it has {', '.join(fields)}" if fields else "it has none")
    return f"no such field of {kind.__name__}; {right}"


def _not_one_of(data: object, names: Iterable[str]) -> NoReturn:
    names = list(names)
    near = _nearest(data, names) if isinstance(data, str) else ""
    raise ConfigError(f"{_shown(data)} is not one of {', '.join(names)}" + (near and f"; {near}"))


def _nearest(name: str, names: Iterable[str]) -> str:
    lowered = {each.lower(): each for each in names}
    near = difflib.get_close_matches(name[:60].lower(), lowered, n=1)
    return f"did you mean {lowered[near[0]]!r}?" if near else ""


def _shown(data: object) -> str:
    """A value in few characters and one line, whatever it is."""
    if data is None or isinstance(data, bool):
        return json.dumps(data)
    short = reprlib.Repr()
    short.maxstring, short.maxlong, short.maxlevel = 60, 60, 2
    return text if len(text := short.repr(data)) < 100 else f"{text[:95]} ..."


# The rules, as cattrs' hooks: (data, type) -> value

_SCALARS = {bool: "true or false", int: "an integer", float: "a finite number", str: "text"}


def _fields(kind: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(kind) if field.init]


def _scalar(data: Any, kind: Any) -> Any:
    if type(data) is kind and (kind is not float or math.isfinite(data)):
        return data
    if kind is float and type(data) is int and abs(data) <= sys.float_info.max:
        return float(data)
    near = ""
    if kind is int and isinstance(data, float) and data.is_integer():
        near = f"; did you mean {_shown(int(data))}?"
    if kind is str and isinstance(data, int | float):
        near = f"; did you mean '\"{_shown(data)}\"'?"
    raise ConfigError(f"{_shown(data)} is not {_SCALARS[kind]}{near}")


def _literal(kind: Any) -> Hook:
    def read(data: object, _: Any) -> object:
        same = [choice for choice in get_args(kind) if type(choice) is type(data) and choice == data]
        return same[0] if same else _not_one_of(data, map(str, get_args(kind)))

    return read


def _tuple(kind: Any) -> Hook:
    *kinds, last = get_args(kind)

    def read(data: object, _: Any) -> tuple[Any, ...]:
        if not isinstance(data, list | tuple):
            raise ConfigError(f"{_shown(data)} is not a list")
        wanted = kinds * len(data) if last is ... else [*kinds, last]
        if len(data) != len(wanted):
            raise ConfigError(f"{_shown(data)} is not a list of {len(wanted)}")
        return tuple(map(_element, itertools.count(), data, wanted))

    return read


def _element(place: int, data: object, kind: Any) -> Any:
    try:
        return _CONVERTER.structure(data, kind)
    except Exception as error:
        error.add_note(IterableValidationNote("", place, kind))
        raise


def _dataclass(kind: Any) -> Hook:
    structure = make_dict_structure_fn(kind, _CONVERTER, _cattrs_forbid_extra_keys=True)

    def read(data: object, _: Any) -> Any:
        if not isinstance(data, dict):
            raise ConfigError(f"{_shown(data)} is not an object with the fields of {kind.__name__}")
        return structure(data, kind)

    return read


def _union(kind: Any) -> Hook:
    members, optional = _members(kind), NoneType in get_args(kind)
    if any(TAG in _fields(member) for member in members.values()):
        raise TypeError(f"{kind}: {TAG!r} is the tag and cannot be a field")

    def read(data: object, _: Any) -> Any:
        if data is None and optional:
            return None
        if isinstance(data, dict) and len(members) == 1:
            return _CONVERTER.structure(data, *members.values())
        if isinstance(data, dict) and TAG not in data:
            raise ConfigError(f"{TAG!r} is missing; one of {', '.join(members)}")
        name, rest = (data[TAG], data) if isinstance(data, dict) else (data, {})
        if not isinstance(name, str) or name not in members:
            _not_one_of(name, [*members, *["null"] * optional])
        return _CONVERTER.structure({k: v for k, v in rest.items() if k != TAG}, members[name])

    return read


def _written_union(kind: Any) -> Callable[[Any], Any]:
    def write(value: Any) -> Any:
        return None if value is None else {TAG: type(value).__name__, **_CONVERTER.unstructure(value)}

    return write if len(_members(kind)) > 1 else _CONVERTER.unstructure


def _members(union: Any) -> dict[str, Any]:
    return {part.__name__: part for part in get_args(union) if part is not NoneType}


def _is_union(kind: Any) -> bool:
    # cattrs itself does `X | None` for other X, and refuses the rest
    union = _origin(kind) in (Union, UnionType)
    return union and all(part is NoneType or dataclasses.is_dataclass(part) for part in get_args(kind))


def _converter() -> Converter:
    converter = Converter(unstruct_collection_overrides={tuple: list})
    for scalar in _SCALARS:
        converter.register_structure_hook(scalar, _scalar)
    converter.register_structure_hook(Path, lambda data, _: Path(_scalar(data, str)))
    converter.register_structure_hook_factory(dataclasses.is_dataclass, _dataclass)
    converter.register_structure_hook_factory(lambda kind: _origin(kind) is tuple, _tuple)
    converter.register_structure_hook_factory(lambda kind: _origin(kind) is Literal, _literal)
    converter.register_structure_hook_factory(_is_union, _union)
    converter.register_unstructure_hook_factory(_is_union, _written_union)
    converter.register_unstructure_hook(Path, Path.as_posix)
    return converter


_CONVERTER = _converter()
