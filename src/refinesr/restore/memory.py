"""What to do when memory lacks."""

from contextlib import AbstractContextManager

import torch

from refinesr.cascade import Cascade
from refinesr.images.picture import Picture, format_size
from refinesr.memory import memory_limit, out_of_memory_as
from refinesr.restore.options import Options
from refinesr.stage import Stage

SMALLEST_TILE = 32
CANVAS = 85 / 3
"""Bytes for each value of the result, whatever the tile (benchmarks/memory.py)."""


def out_of_memory_advice(
    model: Stage | Cascade, tile: int | None, picture: Picture, memory: int | None
) -> str:
    """Half the tile, or half of what the picture needs at most; or that no tile can help.

    `tile` is the one asked for; `memory` is what there is, in bytes, None if that is not known.
    """
    height, width = picture.size
    canvas = round(CANVAS * picture.channels * height * width * model.scale**2)
    said = f"not enough memory for a {format_size(picture.size)} picture"
    if memory is not None and canvas > memory:
        sizes = f"{gibibytes(canvas)} for any tile, of {gibibytes(memory)}"
        return f"{said}; its result needs about {sizes}: cut it into parts"
    chosen = model.tile if tile is None else tile
    side = min(chosen, max(picture.size)) if chosen else max(picture.size)
    smaller = side // 2 // SMALLEST_TILE * SMALLEST_TILE
    return f"{said}; " + (
        f"use --tile {smaller}" if smaller else "not even its result fits; cut it into parts"
    )


def advise_on_memory(
    model: Stage | Cascade, options: Options, picture: Picture
) -> AbstractContextManager[None]:
    """Where memory lacks while the picture is restored so, a RefineSRError says what to do."""
    device, _ = options.device_and_dtype(options.links(model)[-1].stage)  # that makes the largest picture
    advice = out_of_memory_advice(model, options.tile, picture, device_memory(device))
    return out_of_memory_as(f"{picture.name}: {advice}")


def gibibytes(number: int) -> str:
    return f"{number / 2**30:.3g} GiB"


def device_memory(device: torch.device) -> int | None:
    """Bytes that a process can have at most; None if nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return memory_limit()
