"""Results at another scale than the model's: resampled, and made consistent again."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from refinesr.cascade import Link
from refinesr.errors import ConfigError
from refinesr.images.missing import fill_missing, restore_missing
from refinesr.images.picture import Picture, from_tensor, to_tensor
from refinesr.images.resize import Kernel, PillowBicubic, resize
from refinesr.restore.pictures import enlarged_alpha, final_values, opaque
from refinesr.validation import as_float


def scaled_size(scale: float, size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) times the scale, at least 1.  Raises ConfigError for a scale that is not positive."""
    if not 0 < (scale := as_float("scale", scale)) < math.inf:
        raise ConfigError(f"scale: {scale:g} is not a positive number")
    return max(1, round(scale * size[0])), max(1, round(scale * size[1]))


def cascade_kernel(links: Sequence[Link]) -> Kernel | None:
    """The kernel by which the last result is consistent with the first input; None if a link is not."""
    kernels = [link.effective_sampling.consistent for link in links]
    return None if None in kernels else kernels[0]


def resampled(
    large: Picture,
    size: tuple[int, int],
    picture: Picture,
    kernel: Kernel | None = None,
    device: torch.device | None = None,
) -> Picture:
    """`large`, a result for `picture`, resampled to `size` = (height, width) by bicubic, on `device`.

    With a kernel, and if it is larger than the picture, it is made consistent: downsampled with the kernel it
    is the picture.  Values are clipped to the range of the type, or the span: bicubic overshoots at edges.
    """
    low = to_tensor(opaque(replace(picture, span=large.span))).to(device)
    bands = torch.split(
        to_tensor(fill_missing(large)).to(device), 1, 1
    )  # one after the other takes less room
    values = torch.cat([resize(band, size, PillowBicubic()) for band in bands], 1)
    larger = size != picture.size and size[0] >= picture.size[0] and size[1] >= picture.size[1]
    values = final_values(values, low, kernel if larger else None, large).cpu()
    alpha = None if picture.alpha is None else enlarged_alpha(picture, size)
    return restore_missing(from_tensor(values, like=large, alpha=alpha), large)
