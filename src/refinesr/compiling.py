"""Networks compiled before they are trained."""

import os
import sys
from importlib.util import find_spec
from shutil import which

import torch

from refinesr.devices import put_on
from refinesr.errors import ConfigError
from refinesr.model import Model
from refinesr.objective import Distance

COMPILERS = {"darwin": "clang++", "win32": "cl"}
"""What torch makes code for CPUs with, by `sys.platform`; elsewhere it is g++."""


def check_compiler(device: torch.device, wanted: bool | None) -> None:
    """Raises ConfigError where compiling is `wanted` and nothing can do it."""
    needed = os.environ.get("CXX") or COMPILERS.get(sys.platform, "g++")
    if wanted and device.type == "cpu" and which(needed) is None:
        raise ConfigError(f"--compile: needs a C++ compiler, and there is no {needed}")
    if wanted and device.type == "cuda" and not find_spec("triton"):
        raise ConfigError("--compile: needs triton, and it is not installed")


def compiled(model: Model, device: torch.device, wanted: bool | None = None) -> None:
    """Compile its parts if it is `wanted`, or pays for certain: on CUDA.  On a CPU it takes a minute first.

    Networks and encoders only: a source makes tables with NumPy, which would be traced number by number.
    Raises ConfigError where it cannot be done.
    """
    check_compiler(device, wanted)
    sure = device.type == "cuda" and find_spec("triton") is not None  # there is none for Windows
    if sure if wanted is None else wanted:
        for part in (model.network, *model.source.children()):
            if device.type == "cpu":
                # with channels last, torch 2.13 and g++ 12 made kernels of AVX-512 whose bf16 sums were NaN
                put_on(part, device, torch.contiguous_format)
            part.compile(dynamic=False)  # batches are alike; kernels for any size are slower


def seen_compiled(distance: Distance | None, wanted: bool | None) -> Distance | None:
    """It is compiled if that is asked for; on CUDA that was never measured."""
    if distance is None or not wanted:
        return distance
    plain = distance  # a function is what torch compiles, whatever kind of callable this is
    return torch.compile(lambda high, other: plain(high, other), dynamic=False)
