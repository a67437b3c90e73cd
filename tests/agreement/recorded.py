"""What published code was recorded doing: files kept here or in the folder that REFINESR_REFERENCE names.

Here there is room for some of them, and for some of their arrays.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

HERE = Path(__file__).parent
FOLDERS = [HERE, Path(os.environ.get("REFINESR_REFERENCE", HERE))]


def found(file: str) -> Path:
    """The test is skipped where there is no such file."""
    for folder in FOLDERS:
        if (folder / file).exists():
            return folder / file
    pytest.skip(f"{file} is not among the numbers at hand; set REFINESR_REFERENCE")


def arrays(name: str, *needed: str) -> dict[str, Tensor]:
    """Those of the first NAME.npz that holds all that is needed; the test is skipped where none does."""
    for folder in FOLDERS:
        if (folder / f"{name}.npz").exists():
            with np.load(folder / f"{name}.npz") as file:
                held = {key: torch.from_numpy(file[key]) for key in file}
            if set(needed) <= set(held):
                return held
    pytest.skip(f"{name}.npz with {', '.join(needed)} is not at hand; set REFINESR_REFERENCE")


def relative(output: Tensor, wanted: Tensor) -> float:
    """The largest error, of the largest value."""
    return float((output - wanted).abs().max() / wanted.abs().max())
