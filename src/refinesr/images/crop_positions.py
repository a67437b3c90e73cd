"""Positions of crops without missing values.

A position is the upper left corner of a crop.  Adjacent positions in a row are stored as a run, so that those
of a scene of a hundred million pixels with empty margins take a few hundred kilobytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

Mask = NDArray[np.bool_]
"""(H, W), True where a value is missing."""

_BITS = 24
"""Random bits of a float32 in [0, 1)."""


@dataclass(frozen=True, eq=False)
class CropPositions:
    """All positions in one image as runs, ordered from top to bottom and from left to right."""

    row: NDArray[np.int64]
    first: NDArray[np.int64]
    """Column of the first position of each run."""
    length: NDArray[np.int64]
    covered: int
    """Number of pixels that lie in at least one crop."""

    @property
    def count(self) -> int:
        """Number of positions."""
        return int(self.length.sum())

    def nearest(self, top: int, left: int) -> tuple[int, int]:
        """The position (row, column) nearest to a point; there must be at least one."""
        column = np.clip(left, self.first, self.first + self.length - 1)
        best = int(((self.row - top) ** 2 + (column - left) ** 2).argmin())
        return int(self.row[best]), int(column[best])


def find_crop_positions(missing: Mask, height: int, width: int) -> CropPositions:
    """Positions of all crops of height x width pixels without missing values."""
    free = ~any_in_window(missing, height, width)
    edges = np.diff(np.pad(free, ((0, 0), (1, 1))).view(np.int8), axis=1)
    (row, first), (_, end) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    covered = any_in_window(np.pad(free, ((height - 1,) * 2, (width - 1,) * 2)), height, width)
    return CropPositions(row, first, end - first, int(covered.sum()))


def any_in_window(mask: Mask, height: int, width: int) -> Mask:
    """Whether any pixel of each height x width window is True: (H - height + 1, W - width + 1).

    A window of twice the length is the union of two, so the number of passes is logarithmic in the length.
    """
    for size in (height, width):
        reach = 1
        while reach < size:
            step = min(reach, size - reach)
            mask = mask[:-step] | mask[step:]
            reach += step
        mask = mask.T
    return mask


@dataclass(frozen=True, eq=False)
class PositionTable:
    """The `CropPositions` of many images as tensors on a device."""

    count: Int[Tensor, " N"]
    """Number of positions of each image; 0 for images without missing values, where any position is valid."""
    covered: Int[Tensor, " N"]
    """Number of pixels that lie in at least one crop of the image."""
    before: Int[Tensor, " N"]
    """Number of positions of all images before it."""
    row: Int[Tensor, " runs"]
    first: Int[Tensor, " runs"]
    end: Int[Tensor, " runs"]
    """Number of positions in all runs up to and including each."""

    @staticmethod
    def build(found: Sequence[CropPositions | None], device: torch.device) -> "PositionTable | None":
        """The table of these images, whose entry is None without missing values; None if all are None."""
        if not (some := [each for each in found if each is not None]):
            return None
        numbers = [(0, 0) if each is None else (each.count, each.covered) for each in found]
        count, covered = torch.tensor(numbers, device=device).unbind(1)
        row, first, length = (
            torch.from_numpy(np.concatenate([getattr(each, name) for each in some])).to(device)
            for name in ("row", "first", "length")
        )
        return PositionTable(count, covered, count.cumsum(0) - count, row, first, length.cumsum(0))

    def sample_corners(
        self, picture: Int[Tensor, " n"], uniform: Tensor, default: Int[Tensor, "n 2"]
    ) -> Int[Tensor, "n 2"]:
        """(top, left) of a random position for each image; `default` for those without missing values.

        `uniform` are random numbers in [0, 1), (n, 2) float32.
        """
        count = self.count[picture]
        # floor(count * u), where u has the 48 bits of both numbers: exact in 64-bit integers
        high, low = (uniform * 2**_BITS).long().unbind(1)
        number = self.before[picture] + ((high * count + (low * count >> _BITS)) >> _BITS)
        run = torch.searchsorted(self.end, number, right=True).clamp(max=len(self.end) - 1)
        column = self.first[run] + number - self.end[run - 1].where(run > 0, 0)
        return torch.where(count[:, None] > 0, torch.stack((self.row[run], column), 1), default)
