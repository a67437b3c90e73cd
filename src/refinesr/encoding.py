"""Encoding a large picture once, part by part in bounded memory, with the result of one piece."""

from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor, nn

from refinesr.model import Model
from refinesr.nets.packed_unet import PackedEncoderModule
from refinesr.nets.strips import StripCache
from refinesr.shapes import Features, LowWithPlanes
from refinesr.sources import EncodedModule
from refinesr.tiles import Box, Tile, blended, cover

STRIP = 2**13
"""Approximate number of positions in a strip: small beside the picture, and enough to keep two cores busy.
Buffers of more than 32 MiB are requested from the system each time, which takes as long as a layer."""


def encoder_module(model: Model) -> nn.Module:
    """The module that is called once for each of the `encoding_boxes`."""
    if not isinstance(model.source, EncodedModule):
        return model.source
    encoder = model.source.encoder
    return encoder.norm if isinstance(encoder, PackedEncoderModule) else encoder


def encoding_boxes(model: Model, low: LowWithPlanes, core: int) -> list[Box]:
    """Boxes of low that are encoded one after the other; the whole where no network encodes it.

    A packed encoder works in strips, which are exact and compute nothing twice; any other in tiles of `core`
    low pixels, 0 for no tiles.
    """
    source, (height, width) = model.source, low.shape[-2:]
    if not isinstance(source, EncodedModule):
        return [Box(0, 0, height, width)]
    if isinstance(source.encoder, PackedEncoderModule):
        return strips(low, source.config.reach)
    return [tile.box for tile in encoding_tiles(low, source.config.reach, core)]


def encode(model: Model, low: LowWithPlanes, core: int) -> dict[str, Tensor]:
    """The network's inputs besides the state, by name (`Condition.inputs`), encoded box by box."""
    source = model.source
    if not isinstance(source, EncodedModule) or len(encoding_boxes(model, low, core)) == 1:
        return model.condition(low).inputs()
    encoder, reach, image = source.encoder, source.config.reach, source.image(low)
    canvas = image.new_zeros(len(image), source.config.encoder.features, *image.shape[-2:])
    if isinstance(encoder, PackedEncoderModule):
        # `strip` in place of a call: an encoder compiled for training would be compiled again for strips
        cache = StripCache(image.shape[-2])
        return {
            "features": fill_rows(canvas, (encoder.strip(box.of(image), cache) for box in strips(low, reach)))
        }
    made = ((tile.box, tile.window, encoder(tile.box.of(image))) for tile in encoding_tiles(low, reach, core))
    return {"features": blended(canvas, made)}


def strips(low: LowWithPlanes, reach: int) -> list[Box]:
    """Strips of the whole width, from top to bottom; the first is higher by the reach, as `Above` needs."""
    count, (height, width) = len(low), low.shape[-2:]
    rows = max(1, STRIP // (count * width))
    ends = [0, *range(rows + reach, height, rows), height]
    return [Box(top, 0, end - top, width) for top, end in pairwise(ends)]


def encoding_tiles(low: LowWithPlanes, reach: int, core: int) -> list[Tile]:
    """Tiles with a halo of the encoder's reach."""
    height, width = low.shape[-2:]
    return cover(height, width, core=core, reach=reach, stride=1)


def fill_rows(canvas: Features, rows: Iterator[Tensor]) -> Features:
    """The canvas, filled with the strips from top to bottom."""
    top = 0
    for found in rows:
        canvas[:, :, top : top + found.shape[2]] = found
        top += found.shape[2]
    return canvas
