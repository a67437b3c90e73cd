"""Networks compiled before they are trained."""

import os
from importlib.util import find_spec
from shutil import which

import torch

from refinesr.errors import ConfigError
from refinesr.model import Model
from refinesr.objective import Distance

COMPILERS = ("g++", "clang++", "cl")


def check_compiler(device: torch.device, wanted: bool | None) -> None:
    """Raises ConfigError where a CPU's code is `wanted` and nothing can make it."""
    known = (os.environ.get("CXX"), *COMPILERS)
    if device.type == "cpu" and wanted and not any(name and which(name) for name in known):
        raise ConfigError(f"compile: needs a C++ compiler, such as {COMPILERS[0]}, and none is here")


def compiled(model: Model, device: torch.device, wanted: bool | None = None) -> None:
    """Compile its parts if it is `wanted`, or pays for certain: on CUDA.  On a CPU it takes a minute first.

    Networks and encoders only: a source makes tables with NumPy, which would be traced number by number.
    """
    sure = device.type == "cuda" and find_spec("triton") is not None  # there is none for Windows
    if sure if wanted is None else wanted:
        for part in (model.network, *model.source.children()):
            part.compile(dynamic=False)  # batches are alike; kernels for any size are slower


def seen_compiled(distance: Distance | None, wanted: bool | None) -> Distance | None:
    """It is compiled if that is asked for; on CUDA that was never measured."""
    if distance is None or not wanted:
        return distance
    plain = distance  # a function is what torch compiles, whatever kind of callable this is
    return torch.compile(lambda high, other: plain(high, other), dynamic=False)
