"""How far a result, downsampled, is its input."""

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from refinesr.images.missing import fill_missing
from refinesr.images.picture import Picture, to_tensor
from refinesr.images.resize import PillowBicubic, resize
from refinesr.metrics.fidelity import decibels, level_differences
from refinesr.metrics.pixel import eight_bit_levels, to_float64

REACH = 2
"""Pixels of the small picture from the middle of one to all that bicubic makes it of."""


@dataclass(frozen=True)
class Fidelity:
    """lr_psnr in dB and the share of equal values, over the colours of pixels that can be seen.

    Both in levels of 8 bits, whatever the depth: what is off by half a level at most is equal.
    """

    lr_psnr: float
    agreement: float


def measure_fidelity(source: Picture, result: Picture) -> Fidelity | None:
    """`result` made the size of `source` by Pillow's bicubic, against `source`.

    None if it is smaller, colour of grey, or all of it near missing values: there is nothing to compare.
    """
    smaller = result.size[0] < source.size[0] or result.size[1] < source.size[1]
    if smaller or result.channels != source.channels:
        return None
    off = level_errors(source, result)[0, comparable_values(source)]
    if not len(off):
        return None
    return Fidelity(float(decibels(off.square().mean())), float((off.abs() <= 0.5).double().mean()))


def level_errors(source: Picture, result: Picture) -> Tensor:
    """(1, C, h, w) float64: levels of 255 by which each value of `result`, made small, is above `source`'s.

    A level is that of the file in 8 bits, else a 255th of the type's range or of the pictures' span.

    Of 8 bits it is reduced as Pillow does it, to whole levels; of any more in float64.  Rounded to 8 bits
    before that, as Pillow would need it, a deep picture would be off by those roundings alone.
    """
    eight_bits = source.pixels.dtype == result.pixels.dtype == np.uint8
    if eight_bits:
        source, result = (replace(picture, span=None) for picture in (source, result))
    low, high = ((to_tensor(fill_missing(picture)) + 1) / 2 for picture in (source, result))
    if eight_bits:
        return level_differences(eight_bit_levels(low), eight_bit_levels(high), PillowBicubic())
    small = resize(to_float64(high), source.size, PillowBicubic())
    return 255 * (small.clamp(0, 1) - to_float64(low).clamp(0, 1))


def comparable_values(picture: Picture) -> Tensor:
    """(C, H, W) bool: what is wholly transparent does not count, unless nothing else is there.

    Nor does what is missing, and what a reduction by bicubic makes out of that, too.
    """
    seen = torch.ones(picture.size) if picture.alpha is None else torch.from_numpy(picture.alpha > 0)
    seen = (seen if bool(seen.any()) else torch.ones(picture.size)).bool().expand(picture.channels, -1, -1)
    if (lost := picture.missing_mask) is None:
        return seen
    away = torch.from_numpy(lost.astype(np.float32)).permute(2, 0, 1)[None]
    return seen & (F.max_pool2d(away, 2 * REACH + 1, 1, REACH)[0] == 0)
