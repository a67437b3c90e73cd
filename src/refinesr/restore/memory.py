"""Advice for users when memory runs out."""

from contextlib import AbstractContextManager

import torch

from refinesr.cascade import Cascade
from refinesr.images.picture import Picture, format_size
from refinesr.memory import memory_limit, out_of_memory_as
from refinesr.restore.options import Options
from refinesr.stage import Stage

SMALLEST_TILE = 32
CANVAS = 85 / 3
"""Bytes of memory for each value of the result, whatever the tile (benchmarks/memory.py)."""


def out_of_memory_advice(
    model: Stage | Cascade, tile: int | None, picture: Picture, memory: int | None
) -> str:
    """The error message: use half the tile, or half the picture's side; or that no tile can help.

    `tile` is the one asked for, None for the model's; `memory` is the limit in bytes, None if unknown.
    """
    height, width = picture.size
    canvas = round(CANVAS * picture.channels * height * width * model.scale**2)
    reason = f"not enough memory for a {format_size(picture.size)} picture"
    if memory is not None and canvas > memory:
        sizes = f"{gibibytes(canvas)} for any tile, of {gibibytes(memory)}"
        return f"{reason}; its result needs about {sizes}: cut it into parts"
    chosen = model.tile if tile is None else tile
    side = min(chosen, max(picture.size)) if chosen else max(picture.size)
    smaller = side // 2 // SMALLEST_TILE * SMALLEST_TILE
    return f"{reason}; " + (
        f"use --tile {smaller}" if smaller else "not even its result fits; cut it into parts"
    )


def advise_on_memory(
    model: Stage | Cascade, options: Options, picture: Picture
) -> AbstractContextManager[None]:
    """Within the context, errors of lack of memory become a RefineSRError with `out_of_memory_advice`."""
    last = options.links(model)[-1].stage  # it makes the largest picture
    device, _ = options.device_and_dtype(last)
    advice = out_of_memory_advice(model, options.tile, picture, device_memory(device))
    return out_of_memory_as(f"{picture.name}: {advice}")


def gibibytes(number: int) -> str:
    return f"{number / 2**30:.3g} GiB"


def device_memory(device: torch.device) -> int | None:
    """Bytes that this process can have on the device at most; None if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return memory_limit()
