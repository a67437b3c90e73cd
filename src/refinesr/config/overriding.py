"""Overriding fields of a dataclass by `path=value` texts, as the command line's --set does."""

import dataclasses
import json
from contextlib import suppress
from typing import Any, TypeVar

from refinesr.config.messages import init_fields, short_json, unknown_field_text, with_location
from refinesr.config.structure import from_data, parse, to_data
from refinesr.errors import ConfigError

T = TypeVar("T")


def override(value: T, *assignments: str, where: str = "--set") -> T:
    """A copy of a dataclass value with fields at any depth set by assignments such as `"plan.steps=1000"`.

    Elements of tuples are numbered from 0.  The right-hand side is JSON (`1e-4`, `null`, `[1, 2, 4]`) or else
    plain text: `method.precond=Clean` is that member of the union with its defaults.  Only the result of all
    assignments has to be valid.  Raises ConfigError, with `where` at the beginning of the message.
    """
    data = to_data(value)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path.strip():
            raise ConfigError(f"{where}: {short_json(assignment)} is not of the form field=value")
        names = [name.strip() for name in path.split(".")]
        _assign(value, data, names, _right_hand_side(text.strip(), f"{where}: {path.strip()}"), where)
        with suppress(ConfigError):  # later assignments may set fields of a value that this one creates
            value = from_data(type(value), data, where)
            data = to_data(value)
    return from_data(type(value), data, where)


def _assign(node: Any, data: Any, names: list[str], new: Any, where: str) -> None:
    """Set the entry of `data` at the path `names` to `new`; `node` is the value that `data` was made from."""
    for depth, name in enumerate(names[:-1], start=1):
        key = _key(node, name, where, names[:depth])
        node, data = node[key] if isinstance(key, int) else getattr(node, key), data[key]
        if dataclasses.is_dataclass(node) and not isinstance(data, dict):
            raise ConfigError(
                with_location(where, names[:depth], f"{short_json(data)} does not fit yet; set it whole")
            )
    data[_key(node, names[-1], where, names)] = new


def _key(node: object, name: str, where: str, path: list[str]) -> str | int:
    """The key in the data for one name of a dotted path.  Raises ConfigError if there is none."""
    if isinstance(node, tuple):
        if name.isdecimal() and int(name) < len(node):
            return int(name)
        raise ConfigError(with_location(where, path, f"no such place; there are {len(node)}, counted from 0"))
    if not dataclasses.is_dataclass(node):
        raise ConfigError(with_location(where, path[:-1], f"{short_json(node)} has no fields"))
    if name not in init_fields(type(node)):
        raise ConfigError(with_location(where, path, unknown_field_text(type(node), name)))
    return name


def _right_hand_side(text: str, where: str) -> Any:
    if text[:1] in ("[", "{", '"'):
        return parse(text, where)
    with suppress(ValueError):
        return json.loads(text)
    return text
