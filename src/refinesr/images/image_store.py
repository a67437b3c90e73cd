"""Decoded pictures of any sizes on a device, and crops of them by one gather."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from refinesr import memory
from refinesr.images.span import Span
from refinesr.shapes import Images

Raster = npt.NDArray[Any]
"""uint8, uint16 or float32, (H, W, C)."""


@dataclass(frozen=True)
class CropBatch:
    """Which crops: of which picture, from where, and which of the eight ways up.  One value for each crop."""

    picture: Int[Tensor, " n"]
    top: Int[Tensor, " n"]
    left: Int[Tensor, " n"]
    transpose: Bool[Tensor, " n"]
    """Rows and columns change places; the flips follow."""
    flip_y: Bool[Tensor, " n"]
    flip_x: Bool[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.picture)

    def downscaled(self, scale: int) -> "CropBatch":
        """The same crops of pictures that are smaller by scale, of which all places are multiples."""
        return replace(self, top=self.top // scale, left=self.left // scale)


@dataclass(frozen=True, eq=False)
class ImageStore:
    """Pictures with C channels, each in the dtype of its file: one row of pixels for each dtype."""

    banks: tuple[Tensor, ...]
    """(pixels, C) each: uint8, float32, or uint16 in the bits of int16, which every device can gather."""
    bank: Int[Tensor, " N"]
    """In which bank each picture lies,"""
    start: Int[Tensor, " N"]
    """from which pixel on,"""
    width: Int[Tensor, " N"]
    """and how many pixels a row of it has."""
    span: Span | None = None
    """What of their values is -1 and 1; None: 0 and the largest of the type."""

    def crop(self, draw: CropBatch, size: int) -> Images:
        """Crops of size x size pixels, (n, C, size, size) float32 in [-1, 1], channels last in memory."""
        width = self.width[draw.picture]
        start = self.start[draw.picture] + draw.top * width + draw.left
        # to walk down or across a crop is to step by 1 or a row, forth or back: this turns and flips it
        down, across = torch.where(draw.transpose, 1, width), torch.where(draw.transpose, width, 1)
        start = start + (size - 1) * (draw.flip_y * down + draw.flip_x * across)
        down, across = (
            torch.where(draw.flip_y, -down, down),
            torch.where(draw.flip_x, -across, across),
        )
        along = torch.arange(size, device=width.device)
        index = (start[:, None] + down[:, None] * along)[:, :, None] + (across[:, None] * along)[:, None]
        return self._gathered(index, self.bank[draw.picture]).permute(0, 3, 1, 2)

    def _gathered(self, index: Tensor, bank: Tensor) -> Tensor:
        """Raster at index (n, size, size) of the bank (n,) of each crop, (n, size, size, C)."""
        if len(self.banks) == 1:
            return _taken(self.banks[0], index, self.span)
        out = torch.empty(*index.shape, self.banks[0].shape[1], device=index.device)
        for number, pixels in enumerate(self.banks):
            chosen = (bank == number).nonzero()[:, 0]
            out[chosen] = _taken(pixels, index[chosen], self.span)
        return out


def _taken(pixels: Tensor, index: Tensor, span: Span | None) -> Tensor:
    """Rows of `pixels` at `index`, in [-1, 1]."""
    values = pixels.index_select(0, index.flatten()).view(*index.shape, pixels.shape[1])
    if values.dtype == torch.int16:
        values = values.int() & 0xFFFF
    if span is not None:
        return span.normalise_(values.float()).clamp_(-1, 1)
    half = {torch.uint8: 127.5, torch.int16: 32767.5, torch.float32: 0.5}[pixels.dtype]
    return values.float().div_(half).sub_(1)


def store_images(pictures: list[Raster], device: torch.device, span: Span | None = None) -> ImageStore:
    """The pictures, at least one and all with as many channels, moved to the device.

    The list is emptied on the way, so that little is held twice.
    """
    kinds = sorted({picture.dtype.str for picture in pictures})
    bank = torch.tensor([kinds.index(picture.dtype.str) for picture in pictures])
    width = torch.tensor([picture.shape[1] for picture in pictures])
    area = torch.tensor([picture.shape[0] * picture.shape[1] for picture in pictures])
    start, channels = torch.zeros_like(area), pictures[0].shape[2]
    banks = []
    for number, kind in enumerate(kinds):
        mine = bank == number
        start[mine] = area[mine].cumsum(0) - area[mine]
        dtype = _bits(np.empty(0, kind)).dtype
        banks.append(torch.empty(int(area[mine].sum()), channels, dtype=dtype, device=device))
    places = list(zip(bank.tolist(), start.tolist(), area.tolist(), strict=True))
    while pictures:
        number, first, size = places.pop()
        banks[number][first : first + size] = _bits(pictures.pop()).view(-1, channels)
    return ImageStore(tuple(banks), bank.to(device), start.to(device), width.to(device), span)


def available_memory(device: torch.device) -> int:
    """Bytes that can be had.  Pictures pass through the computer's memory even if they stay on a GPU."""
    there = memory.free_memory()
    return min(there, torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else there


def _bits(picture: Raster) -> Tensor:
    """As a tensor; uint16 as int16, for torch computes little with the former."""
    picture = np.require(
        picture, requirements=["C", "W"]
    )  # from_numpy warns of arrays that cannot be written
    return torch.from_numpy(picture.view(np.int16) if picture.dtype == np.uint16 else picture)
