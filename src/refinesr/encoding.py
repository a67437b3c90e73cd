"""How a large picture is encoded: once, part by part in bounded memory, and as exactly as in one piece."""

from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor, nn

from refinesr.model import Model
from refinesr.nets.packed_unet import PackedEncoderModule
from refinesr.nets.strips import Above
from refinesr.shapes import Features, LowWithPlanes
from refinesr.sources import EncodedModule
from refinesr.tiles import Box, Tile, blended, cover

STRIP = 2**13
"""Positions of a strip, about: little beside the picture, and enough to keep two cores busy.  Maps of more
than 32 MiB the C library gets anew from the system each time, which takes as long as a layer."""


def encoding(model: Model) -> nn.Module:
    """A module that is called once for each of the `parts`."""
    if not isinstance(model.source, EncodedModule):
        return model.source
    encoder = model.source.encoder
    return encoder.norm if isinstance(encoder, PackedEncoderModule) else encoder


def parts(model: Model, low: LowWithPlanes, core: int) -> list[Box]:
    """What is encoded one after the other, in low pixels: all at once where that takes no network.

    `core` is that of tiles, 0 for none; strips are as exact, and cost nothing twice.
    """
    source, (height, width) = model.source, low.shape[-2:]
    if not isinstance(source, EncodedModule):
        return [Box(0, 0, height, width)]
    if isinstance(source.encoder, PackedEncoderModule):
        return strips(low, source.value.reach)
    return [tile.box for tile in tiles(low, source.value.reach, core)]


def doors(model: Model, low: LowWithPlanes, core: int) -> dict[str, Tensor]:
    """What comes through the network's doors, in the same parts."""
    source = model.source
    if not isinstance(source, EncodedModule) or len(parts(model, low, core)) == 1:
        return model.condition(low).doors()
    encoder, reach, image = source.encoder, source.value.reach, source.image(low)
    canvas = image.new_zeros(len(image), source.value.encoder.features, *image.shape[-2:])
    if isinstance(encoder, PackedEncoderModule):
        # not by a call: compiled for training, it would be compiled anew for strips, for minutes
        above = Above(image.shape[-2])
        return {
            "features": filled(canvas, (encoder.strip(box.of(image), above) for box in strips(low, reach)))
        }
    made = ((tile.box, tile.window, encoder(tile.box.of(image))) for tile in tiles(low, reach, core))
    return {"features": blended(canvas, made)}


def strips(low: LowWithPlanes, reach: int) -> list[Box]:
    """Of the whole width, from above to below; the first is higher, as `Above` asks for."""
    count, (height, width) = len(low), low.shape[-2:]
    rows = max(1, STRIP // (count * width))
    ends = [0, *range(rows + reach, height, rows), height]
    return [Box(top, 0, end - top, width) for top, end in pairwise(ends)]


def tiles(low: LowWithPlanes, reach: int, core: int) -> list[Tile]:
    """With a halo."""
    height, width = low.shape[-2:]
    return cover(height, width, core=core, reach=reach, stride=1)


def filled(canvas: Features, rows: Iterator[Tensor]) -> Features:
    """The canvas, from above to below."""
    top = 0
    for found in rows:
        canvas[:, :, top : top + found.shape[2]] = found
        top += found.shape[2]
    return canvas
