"""Selects the network's tensors in a file: the averaged (EMA) weights, where there are such."""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from refinesr.checkpoint import RUN_STATE, is_run_state
from refinesr.convert.reading import Contents, read_checkpoint
from refinesr.convert.tables import BUFFERS
from refinesr.errors import CheckpointError

AVERAGED = re.compile(r"(^|[._])(ema|average|averaged|shadow)([._]|$)", re.IGNORECASE)

SUFFIX = "_ema"
"""Palette's code saves its average beside EPOCH_Network.pth, as EPOCH_Network_ema.pth without noise table."""

RUN_KEYS = ("step", "model", "average", "optimizer")
"""Keys of the training state of a RefineSR run."""

OPTIMISERS = {"optimizer", "optimizers", "optimizer_states"}


@dataclass(frozen=True)
class Network:
    """The tensors of one network in a file; `label` is the prefix of their names."""

    file: str
    label: str
    tensors: dict[str, Tensor]

    @property
    def averaged(self) -> bool:
        return bool(AVERAGED.search(self.label)) or Path(self.file).stem.endswith(SUFFIX)

    @property
    def buffers(self) -> dict[str, Tensor]:
        """The buffers of the noise table, if in float32 or float64; 16 bits are too inexact."""
        exact = (torch.float32, torch.float64)
        return {name: held for name, held in self.tensors.items() if name in BUFFERS and held.dtype in exact}

    @property
    def weights(self) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in self.tensors.items() if name not in BUFFERS}


@dataclass(frozen=True)
class SourceWeights:
    """The tensors to convert.

    path      the file that was named; messages begin with it
    files     names of the files it was taken from
    weights   of the network, named as there
    buffers   the noise table in its many forms; empty if it is nowhere
    averaged  whether these are the averaged weights
    updates   how often they were updated, if the file says so
    """

    path: Path
    files: tuple[str, ...]
    weights: dict[str, Tensor]
    buffers: dict[str, Tensor]
    averaged: bool = False
    updates: int | None = None

    def shape(self, name: str, least: int = 2) -> tuple[int, ...]:
        """Of a tensor that must be there, of so many dimensions or more.  Raises CheckpointError."""
        if name not in self.weights:
            raise CheckpointError(f"{self.path}: {name} is missing")
        shape = tuple(self.weights[name].shape)
        if len(shape) < least or 0 in shape:
            raise CheckpointError(f"{self.path}: {name} has the shape {shape}, which no layer's weights have")
        return shape

    def has(self, start: str) -> bool:
        """Whether the name of a weight begins with `start`."""
        return any(name.startswith(start) for name in self.weights)


def select_network(path: Path, marks: dict[str, str]) -> tuple[str, SourceWeights]:
    """The layout of the network in a file, and the network.

    `marks` are regular expressions for names that only files of a layout have, in the order to be tried.
    Raises CheckpointError if the file cannot be read or holds no such network, or several.
    """
    own = read_checkpoint(path)
    if is_run_state(path) or set(RUN_KEYS) <= set(own.keys):
        folder = f", {path.parent}" if is_run_state(path) else ", as model.safetensors"
        raise CheckpointError(f"{path}: {RUN_STATE}{folder}, and needs no conversion")
    layout = next((layout for layout, mark in marks.items() if networks(own, mark)), None)
    if layout is None:
        raise CheckpointError(f"{path}: {unknown(own, marks)}")
    inside, outside = networks(own, marks[layout]), partner_networks(path, marks[layout])
    best = choose_network(path, inside, outside)
    if best.file != path.name:
        warnings.warn(f"{path}: {best.file} beside it has the averaged weights; they are taken", stacklevel=3)
    table = next((each for each in (best, *inside, *outside) if each.buffers), best)
    files = tuple(dict.fromkeys((best.file, table.file)))
    return layout, SourceWeights(path, files, best.weights, table.buffers, best.averaged, own.updates)


def networks(contents: Contents, mark: str) -> list[Network]:
    """All networks in the file with a tensor whose name matches `mark`."""
    found = []
    for node in contents.nodes:
        starts = [re.match(rf"(?P<start>(?:.*?\.)?){mark}", name) for name in node.tensors]
        for start in dict.fromkeys(match["start"] for match in starts if match):
            inside = {
                name[len(start) :]: node.tensors[name] for name in node.tensors if name.startswith(start)
            }
            label = ".".join((*node.place, start)).strip(".")
            found.append(Network(contents.path.name, label, inside))
    return found


def partner_networks(path: Path, mark: str) -> list[Network]:
    """The networks in the partner file: NAME_ema for NAME, and NAME for NAME_ema."""
    stem = path.stem.removesuffix(SUFFIX) if path.stem.endswith(SUFFIX) else path.stem + SUFFIX
    partner = path.with_name(stem + path.suffix)
    return networks(read_checkpoint(partner), mark) if partner.is_file() else []


def choose_network(path: Path, inside: list[Network], outside: list[Network]) -> Network:
    """Averaged weights of the file itself, else of its partner file, else the file's plain weights."""
    own, other = ([each for each in networks if each.averaged] for networks in (inside, outside))
    best = own or other or inside
    if len(best) > 1:
        labels = ", ".join(f"'{each.label}'" for each in best)
        raise CheckpointError(f"{path}: holds {len(best)} such networks, under {labels}; save one alone")
    return best[0]


def unknown(contents: Contents, marks: dict[str, str]) -> str:
    if OPTIMISERS & set(contents.keys):
        name = contents.path.name
        weights = name.replace("_opt.", "_gen.") if "_opt." in name else f"{contents.path.stem}_Network.pth"
        return f"holds the state of an optimiser and no network; give the {weights} beside it"
    names = [name for node in contents.nodes for name in node.tensors]
    held = ", ".join(names[:3] + ["..."] * (len(names) > 3)) or "no tensors"
    wanted = ", ".join(f"{readable(mark)} ({layout})" for layout, mark in marks.items())
    return f"no network that is known here; looked for {wanted}; it has {held}"


def readable(mark: str) -> str:
    return mark.replace(r"\d+", "N").replace("\\", "")
