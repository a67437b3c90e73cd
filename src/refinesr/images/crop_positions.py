"""Where crops of pictures hold no missing value.

A corner is that of a crop, above and left.  Corners of one row without a gap are a run: so those of a scene
of a hundred million pixels with empty margins take some hundred kilobytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

Mask = NDArray[np.bool_]
"""(H, W)."""

_BITS = 24
"""Of a random float from 0 to 1."""


@dataclass(frozen=True, eq=False)
class CropPositions:
    """All corners of one picture, run by run, from above to below and from left to right."""

    row: NDArray[np.int64]
    first: NDArray[np.int64]
    """Column of the leftmost corner of each run."""
    length: NDArray[np.int64]
    covered: int
    """Pixels that lie in at least one of the crops."""

    @property
    def count(self) -> int:
        return int(self.length.sum())

    def nearest(self, top: int, left: int) -> tuple[int, int]:
        """The corner nearest to a place, the uppermost and leftmost of several; there must be one."""
        column = np.clip(left, self.first, self.first + self.length - 1)
        best = int(((self.row - top) ** 2 + (column - left) ** 2).argmin())
        return int(self.row[best]), int(column[best])


def find_crop_positions(lost: Mask, height: int, width: int) -> CropPositions:
    """Of all crops of height x width pixels that lie in the picture, those where nothing is lost."""
    free = ~any_in_window(lost, height, width)
    edges = np.diff(np.pad(free, ((0, 0), (1, 1))).view(np.int8), axis=1)
    (row, first), (_, end) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    covered = any_in_window(np.pad(free, ((height - 1,) * 2, (width - 1,) * 2)), height, width)
    return CropPositions(row, first, end - first, int(covered.sum()))


def any_in_window(mask: Mask, height: int, width: int) -> Mask:
    """Whether any of each window of the mask is set: (H - height + 1, W - width + 1).

    Windows twice as long are two windows, so this takes the logarithm of their length in passes.
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
    """The `CropPositions` of many pictures on a device."""

    count: Int[Tensor, " N"]
    """Corners of each picture; 0 for one without missing values, which may be cut anywhere."""
    covered: Int[Tensor, " N"]
    """Pixels in its crops."""
    before: Int[Tensor, " N"]
    """Corners of all pictures before it."""
    row: Int[Tensor, " runs"]
    first: Int[Tensor, " runs"]
    end: Int[Tensor, " runs"]
    """Corners of all runs up to each, itself included."""

    @staticmethod
    def build(found: Sequence[CropPositions | None], device: torch.device) -> "PositionTable | None":
        """None if no picture has missing values."""
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
        self, picture: Int[Tensor, " n"], part: Tensor, place: Int[Tensor, "n 2"]
    ) -> Int[Tensor, "n 2"]:
        """(top, left) of a corner, each as likely; `place` for pictures without missing values.

        `part` are random numbers in [0, 1), (n, 2) float32.
        """
        count = self.count[picture]
        # the 48 bits of both, times count, without what is behind the point: exact in 64 bits
        high, low = (part * 2**_BITS).long().unbind(1)
        number = self.before[picture] + ((high * count + (low * count >> _BITS)) >> _BITS)
        run = torch.searchsorted(self.end, number, right=True).clamp(max=len(self.end) - 1)
        column = self.first[run] + number - self.end[run - 1].where(run > 0, 0)
        return torch.where(count[:, None] > 0, torch.stack((self.row[run], column), 1), place)
