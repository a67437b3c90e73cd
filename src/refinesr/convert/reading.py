"""Reads the tensors of other projects' files, which may be in nested dictionaries.

Nothing in a file is executed: `torch.load` builds tensors and plain values and what `HARMLESS` names.
"""

import pickle
import re
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor

from refinesr.checkpoint import FORMAT, is_pickled, read_safetensors
from refinesr.errors import CheckpointError

WRAPPERS = ("module", "_orig_mod")
"""Parts that parallel and compiled modules add to the names of tensors."""


def plain_dict(*_: object) -> dict[object, object]:
    """In place of a defaultdict, whose factory would be a call."""
    return {}


def joined_path(*parts: str) -> str:
    """In place of a path."""
    return "/".join(map(str, parts))


NUMBERS = (bool, np.int8, np.int16, np.int32, np.int64, np.uint8, np.float16, np.float32, np.float64)
SCALAR = np.float64(0).__reduce__()[0]
PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path")

SAFE_GLOBALS: list[Any] = [
    (SCALAR, "numpy.core.multiarray.scalar"),
    (SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *{type(np.dtype(kind)) for kind in NUMBERS},
    *(bool, int, float, complex, str, list, tuple, dict, set),
    Namespace,
    SimpleNamespace,
    (plain_dict, "collections.defaultdict"),
    *((joined_path, f"{module}.{name}") for module in ("pathlib", "pathlib._local") for name in PATHS),
]
"""What training codes store in checkpoints besides tensors: numbers, settings and paths."""


@dataclass(frozen=True)
class Node:
    """A dictionary that directly holds tensors, and where in the file it is."""

    place: tuple[str, ...]
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Contents:
    """All tensors of a file; `updates` is how often they were updated, if it says so."""

    path: Path
    nodes: tuple[Node, ...]
    updates: int | None = None
    keys: tuple[str, ...] = ()
    """Of the outermost dictionary."""


def read_checkpoint(path: Path) -> Contents:
    """Raises CheckpointError if there is no such file, or one that cannot be read without running it."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        is_pickle = is_pickled(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not is_pickle:
        weights, metadata = read_safetensors(path)
        if metadata.get("format") == FORMAT:
            raise CheckpointError(f"{path}: is a model of ours already; there is nothing to convert")
        return Contents(path, (Node((), strip_wrappers(weights)),))
    data = unpickled(path)
    keys = tuple(map(str, data)) if isinstance(data, dict) else ()
    return Contents(path, tuple(nodes(data)), updates_of(data), keys)


def unpickled(path: Path) -> Any:
    """Zip archives are mapped into memory, not read; the older format cannot be."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
    try:
        with torch.serialization.safe_globals(SAFE_GLOBALS):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except MemoryError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: {refusal(str(error))}") from None
    except Exception as error:  # a damaged pickle may fail at anything
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise CheckpointError(f"{path}: damaged, or no checkpoint of torch ({reason})") from error


def refusal(message: str) -> str:
    """What torch says in many lines."""
    named = re.search(r"GLOBAL (\S+)", message)
    if named:
        return f"holds a {named[1]}, which is not opened: it might run code; save the state dict alone"
    _, _, reason = message.partition("WeightsUnpickler error:")
    first = " ".join((reason or message).split()).partition(" Check the documentation")[0]
    return f"damaged, or holds more than tensors and plain values ({first[:200]})"


def nodes(data: Any) -> Iterator[Node]:
    """Every dictionary with tensors, outermost first; those that contain themselves once."""
    seen: set[int] = set()
    waiting: list[tuple[tuple[str, ...], Any]] = [((), data)]
    while waiting:
        place, value = waiting.pop(0)
        if id(value) in seen or not isinstance(value, dict | list | tuple):
            continue
        seen.add(id(value))
        items = list(value.items() if isinstance(value, dict) else enumerate(value))
        tensors = {str(key): inner for key, inner in items if is_dense_tensor(inner)}
        if tensors and isinstance(value, dict):
            yield Node(place, strip_wrappers(tensors))
        waiting += [((*place, str(key)), inner) for key, inner in items]


def is_dense_tensor(value: Any) -> TypeGuard[Tensor]:
    """Whether it is a dense, real tensor on the CPU; sparse and quantised ones are no weights here."""
    dense = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
    return dense and not value.is_quantized and not value.is_complex()


def strip_wrappers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without what wrappers of modules add."""
    return {
        ".".join(part for part in name.split(".") if part not in WRAPPERS): tensor
        for name, tensor in tensors.items()
    }


def updates_of(data: Any) -> int | None:
    steps = data.get("global_step") if isinstance(data, dict) else None
    return int(steps) if isinstance(steps, int | np.integer) and steps > 0 else None
