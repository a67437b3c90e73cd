"""Conversion between dataclasses and data: the rules; cattrs applies them along the annotations."""

import dataclasses
import itertools
import json
import math
import reprlib
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, overload

from cattrs import Converter
from cattrs.errors import BaseValidationError, IterableValidationNote
from cattrs.gen import make_dict_structure_fn

from refinesr.config.messages import first_error, init_fields, raise_not_one_of, short_json, with_location
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

    `where` is the file or option and `path` the location of `data` in it, for messages only.  Raises
    ConfigError for the first error, also if a `__post_init__` raises ConfigError or ValueError.
    """
    try:
        return _CONVERTER.structure(data, kind)
    except (BaseValidationError, ConfigError, ValueError, RecursionError) as error:
        inner, message = first_error(error)
        raise ConfigError(with_location(where, [path, *inner] if path else inner, message)) from None


def to_data(value: object, kind: Any = None) -> Any:
    """Plain JSON data with every field of a dataclass value; `kind` is its declared type, if that is a union.

    Raises ConfigError if `from_data` would refuse the data (a float that is not finite, a field of the wrong
    type), and ValueError if it would return a different value.
    """
    kind = type(value) if kind is None else kind
    data = _CONVERTER.unstructure(value, unstructure_as=kind)
    if from_data(kind, data, type(value).__name__) != value:
        raise ValueError(f"{reprlib.repr(value)} is not what its data would be read as")
    return data


def parse(text: str | bytes, where: str) -> Any:
    """Plain data from JSON.  Raises ConfigError for invalid JSON, repeated names and excessive nesting."""
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid JSON: {error}") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(data := dict(pairs)) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{short_json(name)} is given twice")
    return data


# The rules, as cattrs' hooks: (data, type) -> value

_SCALARS = {bool: "true or false", int: "an integer", float: "a finite number", str: "text"}


def _scalar(data: Any, kind: Any) -> Any:
    if kind is int and type(data) is int and abs(data) >= 2**63:
        raise ConfigError(f"{short_json(data)} is beyond 64 bits")
    if type(data) is kind and (kind is not float or math.isfinite(data)):
        return data
    if kind is float and type(data) is int and abs(data) <= sys.float_info.max:
        return float(data)
    hint = ""
    if kind is str and isinstance(data, int | float):
        hint = f"; did you mean '\"{short_json(data)}\"'?"
    if kind is int and isinstance(data, float) and data.is_integer():
        hint = f"; did you mean {short_json(int(data))}?"
    raise ConfigError(f"{short_json(data)} is not {_SCALARS[kind]}{hint}")


def _literal(kind: Any) -> Hook:
    def read(data: object, _: Any) -> object:
        same = [choice for choice in get_args(kind) if type(choice) is type(data) and choice == data]
        return same[0] if same else raise_not_one_of(data, map(str, get_args(kind)))

    return read


def _tuple(kind: Any) -> Hook:
    *kinds, last = get_args(kind)
    length = 1 if last is ... else len(kinds) + 1

    def read(data: object, _: Any) -> tuple[Any, ...]:
        if not isinstance(data, list | tuple):
            hint = f"; did you mean {short_json([data] * length)}?" if type(data) in (int, float) else ""
            raise ConfigError(f"{short_json(data)} is not a list{hint}")
        expected = kinds * len(data) if last is ... else [*kinds, last]
        if len(data) != len(expected):
            raise ConfigError(f"{short_json(data)} is not a list of {len(expected)}")
        return tuple(map(_element, itertools.count(), data, expected))

    return read


def _element(index: int, data: object, kind: Any) -> Any:
    try:
        return _CONVERTER.structure(data, kind)
    except Exception as error:
        error.add_note(IterableValidationNote("", index, kind))
        raise


def _dataclass(kind: Any) -> Hook:
    structure = make_dict_structure_fn(kind, _CONVERTER, _cattrs_forbid_extra_keys=True)

    def read(data: object, _: Any) -> Any:
        if not isinstance(data, dict):
            raise ConfigError(f"{short_json(data)} is not an object with the fields of {kind.__name__}")
        return structure(data, kind)

    return read


def _union(kind: Any) -> Hook:
    members, optional = _members(kind), NoneType in get_args(kind)
    if any(TAG in init_fields(member) for member in members.values()):
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
            raise_not_one_of(name, [*members, *["null"] * optional])
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
