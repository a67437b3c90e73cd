"""How far a result, downsampled, is its input."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..images.eight_bits import resize_eight_bits
from ..images.io import Picture, from_tensor, to_tensor
from ..images.resize import PillowBicubic, resize

EQUAL = 200.0
"""dB that stand for infinity, so that there always is a number; no picture with a difference gets there."""


@dataclass(frozen=True)
class Fidelity:
    """lr_psnr in dB and the share of equal values, over the colours of pixels that can be seen, as 8 bits."""

    lr_psnr: float
    agreement: float


def fidelity(source: Picture, result: Picture) -> Fidelity | None:
    """`result` made the size of `source` by Pillow's bicubic, against `source`.

    None if it is smaller, or colour of grey: there is nothing to compare.
    """
    smaller = result.size[0] < source.size[0] or result.size[1] < source.size[1]
    if smaller or result.channels != source.channels:
        return None
    low, again = eight_bits(source), resize_eight_bits(eight_bits(result), source.size, PillowBicubic())
    difference = (again.double() - low.double())[..., visible(source)]
    return Fidelity(decibels(float(difference.square().mean())), float((difference == 0).double().mean()))


def eight_bits(picture: Picture) -> Tensor:
    """(1, C, H, W) uint8."""
    return ((to_tensor(picture) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def visible(picture: Picture) -> Tensor:
    """(H, W) bool: what is wholly transparent does not count, unless nothing else is there."""
    seen = torch.ones(picture.size) if picture.alpha is None else torch.from_numpy(picture.alpha > 0)
    return seen.bool() if bool(seen.any()) else torch.ones(picture.size).bool()


def decibels(error: float) -> float:
    return EQUAL if error == 0 else 10 * math.log10(255**2 / error)


def resampled(picture: Picture, size: tuple[int, int]) -> Picture:
    """The same picture at another size (height, width), by Pillow's bicubic, and its alpha with it."""
    large = from_tensor(resize(to_tensor(picture), size, PillowBicubic()), like=picture)
    if picture.alpha is None:
        return large
    mask = resampled(replace(picture, pixels=picture.alpha[..., None], alpha=None), size)
    return replace(large, alpha=mask.pixels[..., 0])
