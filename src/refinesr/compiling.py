"""Compiling networks by torch.compile before they are trained."""

import os
import sys
from importlib.util import find_spec
from shutil import which

import torch

from refinesr.devices import move_to
from refinesr.errors import ConfigError
from refinesr.model import Model
from refinesr.objective import Distance

COMPILERS = {"darwin": "clang++", "win32": "cl"}
"""torch's compilers for CPU code, by `sys.platform`; elsewhere it is g++."""


def check_compiler(device: torch.device, wanted: bool | None) -> None:
    """Raises ConfigError if compiling is `wanted` and no compiler is installed."""
    needed = os.environ.get("CXX") or COMPILERS.get(sys.platform, "g++")
    if wanted and device.type == "cpu" and which(needed) is None:
        raise ConfigError(f"--compile: needs a C++ compiler, and there is no {needed}")
    if wanted and device.type == "cuda" and not find_spec("triton"):
        raise ConfigError("--compile: needs triton, and it is not installed")


def compile_networks(model: Model, device: torch.device, wanted: bool | None = None) -> None:
    """Compile the model's network and encoder in place if that is `wanted`; None compiles on CUDA alone.

    On a CPU compiling takes a minute, which only long runs win back.  The source itself is not compiled: it
    makes tables with NumPy, which would be traced number by number.  Raises ConfigError without a compiler.
    """
    check_compiler(device, wanted)
    by_default = device.type == "cuda" and find_spec("triton") is not None  # Windows has no triton
    if by_default if wanted is None else wanted:
        for part in (model.network, *model.source.children()):
            if device.type == "cpu":
                # with channels last, torch 2.13 and g++ 12 made kernels of AVX-512 whose bf16 sums were NaN
                move_to(part, device, torch.contiguous_format)
            part.compile(dynamic=False)  # batches are alike; kernels for any size are slower


def compile_distance(distance: Distance | None, wanted: bool | None) -> Distance | None:
    """The perceptual distance, compiled only if that is `wanted`: on CUDA the gain was never measured."""
    if distance is None or not wanted:
        return distance
    plain = distance  # torch compiles functions, and this may be any callable
    return torch.compile(lambda high, other: plain(high, other), dynamic=False)
