"""Numbers known beforehand, as tensors that are sent to a GPU once: each time it would be waited for."""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

Numbers = tuple[float | int, ...] | tuple[tuple[float, ...], ...]

BT601 = (0.299, 0.587, 0.114)
"""Luma of (R, G, B) by ITU-R BT.601, in full range, as in JPEG and in Pillow's mode L."""


def cached_tensor(numbers: Numbers, like: Tensor) -> Tensor:
    """Of like's dtype and on its device, from a cache: not to be changed."""
    return _cached_tensor(numbers, like.dtype, like.device)


@lru_cache(maxsize=256)
def _cached_tensor(numbers: Numbers, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # gradients may be wanted later
        return torch.tensor(numbers, dtype=dtype, device=device)


def luma(images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1 H W"]:
    """BT.601 luma of RGB, of the same range and not rounded."""
    return (images * cached_tensor(BT601, images)[:, None, None]).sum(1, keepdim=True)
