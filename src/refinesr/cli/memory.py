"""What to do when memory lacks."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..images.picture import extent

if TYPE_CHECKING:
    from ..cascade import Cascade
    from ..images.picture import Picture
    from ..stage import Stage

SMALLEST_TILE = 32
CANVAS = 110 / 3
"""Bytes for each value of the result, whatever the tile (benchmarks/memory.py)."""

GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""What a container may use; a number, or "max"."""


def too_large(model: "Stage | Cascade", tile: int | None, picture: "Picture", memory: int | None) -> str:
    """Half the tile, or half of what the picture needs at most; or that no tile can help.

    `tile` is the one asked for; `memory` is what there is, in bytes, None if that is not known.
    """
    height, width = picture.size
    canvas = round(CANVAS * picture.channels * height * width * model.scale**2)
    said = f"not enough memory for a {extent(picture.size)} picture"
    if memory is not None and canvas > memory:
        sizes = f"{gibibytes(canvas)} for any tile, of {gibibytes(memory)}"
        return f"{said}; its result needs about {sizes}: cut it into parts"
    chosen = model.tile if tile is None else tile
    side = min(chosen, max(picture.size)) if chosen else max(picture.size)
    smaller = side // 2 // SMALLEST_TILE * SMALLEST_TILE
    return f"{said}; " + (
        f"use --tile {smaller}" if smaller else "not even its result fits; cut it into parts"
    )


def gibibytes(number: int) -> str:
    return f"{number / 2**30:.3g} GiB"


def memory_of(device: str) -> int | None:
    """Bytes that a process can have at most; None if nobody says."""
    import torch

    from ..devices import device_named

    chosen = device_named(device)
    if chosen.type == "cuda":
        return int(torch.cuda.get_device_properties(chosen).total_memory)
    return min((limit for limit in (installed(), allowed(), contained()) if limit is not None), default=None)


def installed() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return None


def allowed() -> int | None:
    """By `ulimit`."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return min((limit for limit in limits if limit != resource.RLIM_INFINITY), default=None)


def contained() -> int | None:
    for name in GROUPS:
        try:
            return int(Path(name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
    return None
