"""Devices, precision of networks, and random number generators."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from textwrap import shorten

import numpy as np
import torch
from torch import Tensor, nn

from refinesr.errors import ConfigError

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")


def device_named(name: str) -> torch.device:
    """The device of this name; 'auto' is CUDA if available, then MPS, then the CPU.

    Raises ConfigError for a device that this computer lacks.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        why = shorten(str(error).splitlines()[0].split(". ")[0], 120, placeholder=" ...")
        raise ConfigError(f"device: {unusable(name)}: {why}") from error
    if device.type not in DEVICES:
        raise ConfigError(f"device: {unusable(name)}")
    return device


def unusable(name: object) -> str:
    return f"{name!r} cannot be used here; one of {', '.join(DEVICES)}"


def move_to(
    module: nn.Module, device: torch.device, layout: torch.memory_format = torch.channels_last
) -> None:
    """Move a module in place, by default to the channels-last layout, which is fastest for convolutions."""
    module.to(device, memory_format=layout)  # type: ignore[call-overload]  # torch's stub lacks it


def on_float64_device(values: Tensor) -> Tensor:
    """The values on a device that has float64: MPS has none, so its tensors are moved to the CPU."""
    return values.cpu() if values.device.type == "mps" else values


def check_seed(seed: int, name: str = "seed") -> None:
    """Raises ConfigError, with the name of the field or option, unless 0 <= seed < 2**63."""
    if not 0 <= seed < 2**63:
        raise ConfigError(f"{name}: {seed} is not between 0 and 2**63 - 1")


def seed_from(mixed: np.random.SeedSequence) -> int:
    """A seed of 63 bits from the state of a SeedSequence."""
    return int(mixed.generate_state(1, np.uint64)[0]) >> 1  # of numpy 1, an unsigned integer has no shift


def fold_seed(seed: int) -> int:
    """A seed of 32 bits: torch's CPU generator ignores all others.

    Seeds below 2**32 are unchanged; the bits of larger ones are mixed by NumPy's SeedSequence.
    """
    return seed if seed < 2**32 else int(np.random.SeedSequence(seed).generate_state(1)[0])


@contextmanager
def seeded_generators(device: torch.device, seed: int) -> Iterator[None]:
    """Within the context torch's generators of the CPU and of the device are seeded; then they are restored.

    `torch.manual_seed` would seed those of all other devices too.
    """
    others = [device] if device.type in ("cuda", "mps") else []
    with torch.random.fork_rng(others, device_type=device.type if others else "cpu"):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        yield


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """The dtype that networks run in, None for float32; 'auto' is bf16 where the hardware multiplies in it.

    fp16 is not offered: it overflows to black pictures on GPUs and is a hundred times slower on CPUs.
    Raises ConfigError for an unknown precision.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision: {precision!r} is not one of {', '.join(PRECISIONS)}")
    if precision == "fp32" or (precision == "auto" and not multiplies_bf16(device)):
        return None
    return torch.bfloat16


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies in bf16, rather than only converting from and to it."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        # older releases cannot tell; float32 is right everywhere
        known: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    return False


def autocasting(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[None]:
    """Run a network in `dtype`; None is float32, whatever precision the caller's own code runs in."""
    return torch.autocast(device.type, dtype, enabled=dtype is not None)
