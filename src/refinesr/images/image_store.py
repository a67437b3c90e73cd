"""Decoded images of any sizes on a device; batches of crops are cut by a single gather."""

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
"""(H, W, C) of uint8, uint16 or float32."""


@dataclass(frozen=True)
class CropBatch:
    """A batch of n crops: from which image, at which corner, in which of the eight orientations."""

    picture: Int[Tensor, " n"]
    top: Int[Tensor, " n"]
    left: Int[Tensor, " n"]
    transpose: Bool[Tensor, " n"]
    """Whether to swap rows and columns; the flips follow."""
    flip_y: Bool[Tensor, " n"]
    flip_x: Bool[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.picture)

    def downscaled(self, scale: int) -> "CropBatch":
        """The same crops of images that are smaller by `scale`; all corners must be multiples of it."""
        return replace(self, top=self.top // scale, left=self.left // scale)


@dataclass(frozen=True, eq=False)
class ImageStore:
    """Images of C channels in the data types of their files: all pixels of a type form one tensor, a bank."""

    banks: tuple[Tensor, ...]
    """(pixels, C) each: uint8, float32, or uint16 stored as int16, which every device can gather."""
    bank: Int[Tensor, " N"]
    """The bank of each image."""
    start: Int[Tensor, " N"]
    """Index of its first pixel in the bank."""
    width: Int[Tensor, " N"]
    """Its width in pixels."""
    span: Span | None = None
    """The values that become -1 and 1; None: 0 and the largest of the type."""

    def crop(self, crops: CropBatch, size: int) -> Images:
        """Crops of size x size pixels, (n, C, size, size) float32 in [-1, 1], channels last in memory."""
        width = self.width[crops.picture]
        start = self.start[crops.picture] + crops.top * width + crops.left
        # one step down or right in the crop is a step by one pixel or one row, back or forth, in the bank
        down, across = torch.where(crops.transpose, 1, width), torch.where(crops.transpose, width, 1)
        start = start + (size - 1) * (crops.flip_y * down + crops.flip_x * across)
        down, across = torch.where(crops.flip_y, -down, down), torch.where(crops.flip_x, -across, across)
        along = torch.arange(size, device=width.device)
        index = (start[:, None] + down[:, None] * along)[:, :, None] + (across[:, None] * along)[:, None]
        return self._gathered(index, self.bank[crops.picture]).permute(0, 3, 1, 2)

    def _gathered(self, index: Tensor, bank: Tensor) -> Tensor:
        """Pixels (n, size, size, C) at index (n, size, size) of the bank (n,) of each crop."""
        if len(self.banks) == 1:
            return _normalised(self.banks[0], index, self.span)
        out = torch.empty(*index.shape, self.banks[0].shape[1], device=index.device)
        for number, pixels in enumerate(self.banks):
            chosen = (bank == number).nonzero()[:, 0]
            out[chosen] = _normalised(pixels, index[chosen], self.span)
        return out


def _normalised(pixels: Tensor, index: Tensor, span: Span | None) -> Tensor:
    """Rows of `pixels` at `index`, in [-1, 1]."""
    values = pixels.index_select(0, index.flatten()).view(*index.shape, pixels.shape[1])
    if values.dtype == torch.int16:
        values = values.int() & 0xFFFF
    if span is not None:
        return span.normalise_(values.float()).clamp_(-1, 1)
    half = {torch.uint8: 127.5, torch.int16: 32767.5, torch.float32: 0.5}[pixels.dtype]
    return values.float().div_(half).sub_(1)


def store_images(pictures: list[Raster], device: torch.device, span: Span | None = None) -> ImageStore:
    """A store of the images, at least one and all of the same number of channels, on the device.

    Empties the list while copying, so that few pixels are held twice.
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
        dtype = _as_tensor(np.empty(0, kind)).dtype
        banks.append(torch.empty(int(area[mine].sum()), channels, dtype=dtype, device=device))
    places = list(zip(bank.tolist(), start.tolist(), area.tolist(), strict=True))
    while pictures:
        number, first, size = places.pop()
        banks[number][first : first + size] = _as_tensor(pictures.pop()).view(-1, channels)
    return ImageStore(tuple(banks), bank.to(device), start.to(device), width.to(device), span)


def available_memory(device: torch.device) -> int:
    """Bytes of memory available for images: on a GPU at most the host's too, as they pass through it."""
    host = memory.free_memory()
    return min(host, torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else host


def _as_tensor(picture: Raster) -> Tensor:
    """The image as a tensor; uint16 as int16, as torch supports few operations on uint16."""
    picture = np.require(
        picture, requirements=["C", "W"]
    )  # from_numpy warns of arrays that cannot be written
    return torch.from_numpy(picture.view(np.int16) if picture.dtype == np.uint16 else picture)
