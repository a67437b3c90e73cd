"""How well a result, downsampled, agrees with its input."""

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
"""Radius, in pixels of the small picture, of what bicubic reduction computes one pixel of."""


@dataclass(frozen=True)
class Fidelity:
    """PSNR in dB and share of equal values, over the colour channels of visible pixels.

    Both in levels of 8 bits, whatever the depth: values that differ by at most half a level are equal.
    """

    lr_psnr: float
    agreement: float


def measure_fidelity(source: Picture, result: Picture) -> Fidelity | None:
    """Compare `result`, downsampled by Pillow's bicubic, with `source`.

    None if there is nothing to compare: it is smaller, has other channels, or only values near missing ones.
    """
    smaller = result.size[0] < source.size[0] or result.size[1] < source.size[1]
    if smaller or result.channels != source.channels:
        return None
    off = level_errors(source, result)[0, comparable_values(source)]
    if not len(off):
        return None
    return Fidelity(float(decibels(off.square().mean())), float((off.abs() <= 0.5).double().mean()))


def level_errors(source: Picture, result: Picture) -> Tensor:
    """(1, C, h, w) float64: values of `result`, downsampled, minus those of `source`, in levels.

    A level is that of the file in 8 bits, else 1/255 of the type's range or of the pictures' span.

    Pictures of 8 bits are downsampled as by Pillow, to whole levels; deeper ones in float64, since rounding
    them to 8 bits, as Pillow would need it, would itself cause differences.
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
    """(C, H, W) bool: False for values that are missing or within reach of missing ones, or transparent.

    If all pixels are wholly transparent, transparency is ignored.
    """
    everywhere = torch.ones(picture.size, dtype=torch.bool)
    visible = everywhere if picture.alpha is None else torch.from_numpy(picture.alpha > 0)
    visible = (visible if bool(visible.any()) else everywhere).expand(picture.channels, -1, -1)
    if (lost := picture.missing_mask) is None:
        return visible
    away = torch.from_numpy(lost.astype(np.float32)).permute(2, 0, 1)[None]
    return visible & (F.max_pool2d(away, 2 * REACH + 1, 1, REACH)[0] == 0)
