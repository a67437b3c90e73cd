"""Reads configuration files of the public codes: JSON with comments, and YAML with base files."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from refinesr.config.messages import short_json
from refinesr.diffusion.schedule import JSD, Constant, Cosine, Linear, Quadratic, Schedule, WarmUp
from refinesr.errors import ConfigError

TOKENS = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*')
"""JSON strings, and comments outside of strings."""

SCHEDULES = ("linear", "quad", "warmup10", "warmup50", "const", "jsd", "cosine")
BASE = "base_config"


@dataclass(frozen=True)
class Config:
    """The settings of a configuration file, looked up by dotted names; empty if no file is given.

    path    the file
    data    nested mappings and lists; in a dotted name a number is an index of a list
    absent  base files that it refers to and that do not exist

    Every error is a ConfigError that names the file and the setting.
    """

    path: Path | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    absent: tuple[str, ...] = ()

    @property
    def given(self) -> bool:
        return self.path is not None

    def get(self, name: str) -> Any:
        """The value of a setting; None if it is missing."""
        value: Any = self.data
        for step in name.split("."):
            if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            elif isinstance(value, Mapping):
                value = value.get(step)
            else:
                return None
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A finite number, also as text (YAML reads `1e-6` so); an error if missing and without default."""
        value = self.get(name)
        value = default if value is None else value
        if value is None:
            raise self.error(name, f"missing{self.absent_hint()}")
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise self.error(name, f"{short_json(value)} is not a number")
        return number

    def integer(self, name: str, default: int | None = None, least: int = 1) -> int:
        """An integer that is at least `least`."""
        number = self.number(name, None if default is None else float(default))
        if number != int(number) or number < least:
            raise self.error(name, f"{short_json(self.get(name))} is not a whole number from {least}")
        return int(number)

    def flag(self, name: str) -> bool:
        """A boolean; True if it is missing."""
        value = self.get(name)
        if not isinstance(value, bool | None):
            raise self.error(name, f"{short_json(value)} is not true or false")
        return value is not False

    def check_equal(self, name: str, wanted: object) -> None:
        """Raises ConfigError if the setting is present and differs from what the weights show."""
        value = self.get(name)
        wanted = list(wanted) if isinstance(wanted, tuple) else wanted
        if value is not None and value != wanted:
            raise self.error(
                name, f"{short_json(value)} contradicts the weights, which say {short_json(wanted)}"
            )

    def require(self, name: str, code: str) -> None:
        """Raises ConfigError if a given file lacks this setting, so that it cannot be one of `code`."""
        if self.given and self.get(name) is None:
            raise self.error(name, f"missing, so this is no configuration of {code}")

    def allow_only(self, name: str, supported: object) -> None:
        """Raises ConfigError if the setting is present with any other value than the supported one."""
        value = self.get(name)
        if value is not None and value != supported:
            raise self.error(name, f"{short_json(value)} is not supported, only {short_json(supported)}")

    def noise_table(self, name: str) -> Schedule | None:
        """A noise table in the notation of the public SR3 and Palette codes; None if it is missing."""
        if self.get(name) is None:
            return None
        rows, last = self.integer(f"{name}.n_timestep"), f"{name}.linear_end"
        match self.get(f"{name}.schedule"):
            case "jsd":
                return JSD(rows)
            case "cosine":
                return Cosine(rows, self.number(f"{name}.cosine_s", 0.008))
            case "const":
                return Constant(self.number(last), rows)
        first = self.number(f"{name}.linear_start")
        match self.get(f"{name}.schedule"):
            case "linear":
                return Linear(first, self.number(last), rows)
            case "quad":
                return Quadratic(first, self.number(last), rows)
            case "warmup10":
                return WarmUp(first, self.number(last), rows, 0.1)
            case "warmup50":
                return WarmUp(first, self.number(last), rows, 0.5)
            case other:
                raise self.error(
                    f"{name}.schedule", f"{short_json(other)} is not one of {', '.join(SCHEDULES)}"
                )

    def absent_hint(self) -> str:
        return f"; {' and '.join(self.absent)}, on which it is based, does not exist" if self.absent else ""

    def error(self, name: str, message: str) -> ConfigError:
        return ConfigError(f"{self.path}: {name}: {message}")


def load_config(path: Path | None) -> Config:
    """Reads a configuration file: YAML if its suffix says so, else JSON.  Raises ConfigError."""
    if path is None:
        return Config()
    if path.suffix.lower() in (".yaml", ".yml"):
        absent: list[str] = []
        return Config(path, load_yaml_chain(path, absent, ()), tuple(absent))
    return Config(path, check_mapping(path, parse_commented_json(path)))


def parse_commented_json(path: Path) -> Any:
    """Reads JSON with comments from `//` to the end of the line; `//` in strings, as in URLs, is kept."""
    text = TOKENS.sub(lambda match: match[0] if match[0].startswith('"') else "", read_text(path))
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid JSON with // comments: {error}") from None


def load_yaml_chain(path: Path, absent: list[str], before: tuple[Path, ...]) -> dict[str, Any]:
    """Reads YAML merged over its base files (`base_config` of SRDiff), of which later ones take precedence.

    Appends base files that do not exist to `absent`.  `before` are the files that lead here, to find cycles.
    """
    if path.resolve() in before:
        raise ConfigError(f"{path}: {BASE}: refers to itself")
    try:
        own = check_mapping(path, yaml.safe_load(read_text(path)) or {})
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    merged: dict[str, Any] = {}
    for name in base_names(path, own):
        base = next((place for place in base_candidates(path, name) if place.is_file()), None)
        if base is None:
            absent.append(name)
        else:
            merge(merged, load_yaml_chain(base, absent, (*before, path.resolve())))
    merge(merged, own)
    return merged


def base_names(path: Path, own: dict[str, Any]) -> list[str]:
    """The base files that the settings of a file name."""
    named = own.get(BASE) or []
    named = [named] if isinstance(named, str) else named
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise ConfigError(f"{path}: {BASE}: {short_json(named)} is not a file or a list of files")
    return named


def base_candidates(path: Path, name: str) -> Iterator[Path]:
    """Paths at which a base file may be.

    A name that begins with a dot is relative to the file.  Others are relative to the folder from which the
    code is run, which is one of the folders above the file.
    """
    folders = path.absolute().parents
    return (folder / name for folder in (folders[:1] if name.startswith(".") else folders))


def merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    """Updates `into` with `new`, recursively for nested mappings."""
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read: {reason}") from error


def check_mapping(path: Path, data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: holds {short_json(data)}, not settings with names")
    return data
