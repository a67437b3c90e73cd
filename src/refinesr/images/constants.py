"""Constants as tensors, cached on each device: copying them to a GPU every time would synchronise with it."""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

Numbers = tuple[float | int, ...] | tuple[tuple[float, ...], ...]

BT601 = (0.299, 0.587, 0.114)
"""Weights of (R, G, B) in luma by ITU-R BT.601, in full range, as in JPEG and in Pillow's mode L."""


def cached_tensor(numbers: Numbers, like: Tensor) -> Tensor:
    """A tensor of like's dtype on its device, from a cache: must not be modified."""
    return _cached_tensor(numbers, like.dtype, like.device)


@lru_cache(maxsize=256)
def _cached_tensor(numbers: Numbers, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # so that it can be used in autograd later
        return torch.tensor(numbers, dtype=dtype, device=device)


def luma(images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1 H W"]:
    """BT.601 luma of RGB images, in the same range and not rounded."""
    return (images * cached_tensor(BT601, images)[:, None, None]).sum(1, keepdim=True)
