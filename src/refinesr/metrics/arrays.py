"""Reads arrays from .npz files."""

import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from refinesr.errors import CheckpointError


def read_arrays(path: Path, names: Collection[str], what: str) -> dict[str, Tensor]:
    """The arrays of these names in the file, as float64 tensors; nothing in the file is executed.

    Raises CheckpointError, which describes the file as `what`, if it is missing or holds no numbers.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; it is {what}")
    try:
        with zipfile.ZipFile(path), np.load(path) as file:  # of a .npy numpy makes no archive
            held = {name: file[name].astype(np.float64) for name in file.files if name in names}
    except (ValueError, OSError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: not an .npz of numbers: {str(error)[:200]}") from error
    return {name: torch.from_numpy(values) for name, values in held.items()}
