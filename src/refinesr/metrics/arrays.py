"""Arrays of numbers in .npz files of other people."""

import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from refinesr.errors import CheckpointError


def read_arrays(path: Path, names: Collection[str], what: str) -> dict[str, Tensor]:
    """Those of the names that the file holds, float64; nothing in it is executed.

    Raises CheckpointError if it is missing, saying that it is `what`, or holds no numbers.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; it is {what}")
    try:
        with zipfile.ZipFile(path), np.load(path) as file:  # of a .npy numpy makes no archive
            held = {name: file[name].astype(np.float64) for name in file.files if name in names}
    except (ValueError, OSError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: not an .npz of numbers: {str(error)[:200]}") from error
    return {name: torch.from_numpy(values) for name, values in held.items()}
