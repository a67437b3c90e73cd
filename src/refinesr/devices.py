"""Which device, and in what precision."""

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
    """'auto' is CUDA, then MPS, then the CPU.  Raises ConfigError for a device that is not there."""
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


def put_on(
    module: nn.Module, device: torch.device, layout: torch.memory_format = torch.channels_last
) -> None:
    """Move it, in place, with channels last in memory: what convolutions are fastest in."""
    module.to(device, memory_format=layout)  # type: ignore[call-overload]  # torch's stub lacks it


def able(values: Tensor) -> Tensor:
    """The same on a device that has float64; MPS has none, and cannot make it on the way out either."""
    return values.cpu() if values.device.type == "mps" else values


def check_seed(seed: int, name: str = "seed") -> None:
    """Raises ConfigError for what is none, by the name of the field or option."""
    if not 0 <= seed < 2**63:
        raise ConfigError(f"{name}: {seed} is not between 0 and 2**63 - 1")


def seed_out_of(mixed: np.random.SeedSequence) -> int:
    """One of all seeds, by 63 bits of what is mixed."""
    return int(mixed.generate_state(1, np.uint64)[0]) >> 1  # of numpy 1, an unsigned integer has no shift


def folded(seed: int) -> int:
    """A seed as the 32 bits of it that torch's generator on a CPU takes: it would forget all others.

    Seeds below 2**32 are left as they are; of larger ones NumPy's SeedSequence mixes all bits.
    """
    return seed if seed < 2**32 else int(np.random.SeedSequence(seed).generate_state(1)[0])


@contextmanager
def lent(device: torch.device, seed: int) -> Iterator[None]:
    """torch's own generators of the CPU and of the device, seeded for a while and put back as they were.

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
    """The dtype networks run in, None for float32.  'auto' is bf16 wherever the hardware multiplies in it.

    fp16 is not offered: it overflows to black pictures on GPUs and is a hundred times slower on CPUs.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision: {precision!r} is not one of {', '.join(PRECISIONS)}")
    if precision == "fp32" or (precision == "auto" and not multiplies_bf16(device)):
        return None
    return torch.bfloat16


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the hardware does, rather than only convert to and fro."""
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
