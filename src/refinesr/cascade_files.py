"""Cascades as files: a JSON file beside the models it names, or a folder that holds it as cascade.json.

{"format": "refinesr-cascade-1",
 "size": [64, 64],
 "stages": [{"model": "base.safetensors", "steps": 250, "guidance": 1.5},
            {"model": "faces.safetensors", "steps": 100, "tile": 48, "level": 0.1}]}
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, overload

from refinesr.cascade import Cascade, Link
from refinesr.checkpoint import PICKLES
from refinesr.config import from_data, override, parse
from refinesr.errors import CheckpointError, ConfigError
from refinesr.method import Method, Sampling
from refinesr.shipped import CASCADE, check_source, load
from refinesr.shipped import FILE as MODEL
from refinesr.stage import Stage


@dataclass(frozen=True)
class Entry:
    """A stage in a cascade's file; for fields left out the model decides.

    model     a file or folder beside the JSON, or whatever else `load` takes
    steps     sampling steps
    guidance  of a model of classes
    tile      core of a tile in pixels of the stage's input, 0 for none
    level     standard deviation of the noise that its input is given (`Link`)
    """

    model: str
    steps: int | None = None
    guidance: float | None = None
    tile: int | None = None
    level: float = 0.0

    def link(self, stage: Stage) -> Link:
        """Raises ConfigError for what the model cannot do."""
        sampling = with_steps_and_guidance(stage.method.sampling, self.steps, self.guidance)
        return Link(stage, sampling, stage.default_tile if self.tile is None else self.tile, self.level)


@dataclass(frozen=True)
class CascadeFile:
    """The contents of a cascade's file.

    size    (height, width) of the first stage's output divided by its scale; if left out, as in its training
    """

    format: Literal["refinesr-cascade-1"]
    stages: tuple[Entry, ...]
    size: tuple[int, int] | None = None


def load_cascade(source: str | Path, *, device: str = "cpu") -> Cascade:
    """Load the cascade in a JSON file or in a folder's cascade.json; any other model is a cascade of one.

    `device` is that of all stages, as for `load`.
    Raises ConfigError for what makes no sense in the JSON or does not fit, CheckpointError for models that
    cannot be loaded.
    """
    path = cascade_file(source)
    if os.path.isdir(path) and not os.path.isfile(path / MODEL):
        raise CheckpointError(f"{path}: this folder holds neither {CASCADE} nor {MODEL}")
    if path.suffix != ".json":
        stage = load(source, device=device)
        return Cascade((Link(stage, tile=stage.default_tile),))
    held = read_file(path)
    links = [
        load_link(entry, path, f"{path}: stages.{number}", device) for number, entry in enumerate(held.stages)
    ]
    try:
        return Cascade(tuple(links), held.size)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def cascade_file(source: str | Path) -> Path:
    """The path of cascade.json if `source` is a folder that has one, else `source`."""
    check_source(source)
    inside = Path(source) / CASCADE
    return inside if os.path.isfile(inside) else Path(source)


def read_file(path: Path) -> CascadeFile:
    """The file's contents.  Raises ConfigError for invalid ones, CheckpointError if it cannot be read."""
    return from_data(CascadeFile, parse(read_text(path), str(path)), str(path))


def load_link(entry: Entry, path: Path, where: str, device: str) -> Link:
    """The entry with its model, which is searched beside the JSON file first; `where` is for messages."""
    beside = path.parent / entry.model
    here = os.path.exists(beside) or beside.suffix in (".safetensors", *PICKLES)
    try:
        stage = load(beside if here else entry.model, device=device)
    except (CheckpointError, ConfigError) as error:
        missing = "" if here else f"; there is no {beside} either"
        raise type(error)(f"{where}: {error}{missing}") from error
    try:
        return entry.link(stage)
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from error


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: cannot be read as text: {error}") from error


def with_steps_and_guidance(sampling: Sampling, steps: int | None, guidance: float | None) -> Sampling:
    """`sampling` with what is not None changed.  Raises ConfigError for steps that its grid cannot have."""
    if steps is not None:
        sampling = replace(sampling, steps=steps)
    if guidance is not None:
        sampling = replace(sampling, guidance=guidance)
    sampling.levels()
    return sampling


SAMPLING = "sampling"


def override_sampling(method: Method, settings: Sequence[str], where: str = "--set") -> Method:
    """The method with fields of its sampling set, as "sampling.sampler=DPM2M" (`override`).

    Raises ConfigError for other fields: what was trained cannot be changed.
    """
    for setting in settings:
        place, equals, _ = setting.partition("=")
        if equals and place.split(".")[0].strip() != SAMPLING:
            right = f"only these can be set here, such as {SAMPLING}.sampler"
            raise ConfigError(f"{where}: '{place.strip()}' is no field of {SAMPLING}; {right}")
    return override(method, *settings, where=where)


@overload
def with_sampling_settings(model: Stage, settings: Sequence[str]) -> Stage: ...
@overload
def with_sampling_settings(model: Cascade, settings: Sequence[str]) -> Cascade: ...
@overload
def with_sampling_settings(model: Stage | Cascade, settings: Sequence[str]) -> Stage | Cascade: ...
def with_sampling_settings(model: Stage | Cascade, settings: Sequence[str]) -> Stage | Cascade:
    """The model with `override_sampling` applied, for a cascade to every stage.  Raises ConfigError."""
    if not settings:
        return model
    if isinstance(model, Stage):
        return replace(model, method=override_sampling(model.method, settings))
    links = []
    for number, link in enumerate(model.links):
        where = f"--set: stages.{number}"
        chosen = override_sampling(link.stage_with_sampling.method, settings, where).sampling
        try:
            links.append(replace(link, sampling=chosen))
        except ConfigError as error:  # consistency with an input that noise is added to
            raise ConfigError(f"{where}: {error}") from error
    return replace(model, links=tuple(links))


def is_cascade_source(source: str | Path) -> bool:
    """Whether `source` is a cascade's JSON file, or a folder that holds one."""
    return cascade_file(source).suffix == ".json"


def load_model(source: str | Path) -> Stage | Cascade:
    """Load a cascade if `source` is one, else a stage."""
    return load_cascade(source) if is_cascade_source(source) else load(source)
