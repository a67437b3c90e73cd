"""Banded matrices, applied along one axis of a picture in linear time and memory.

Resizing, its adjoint and its pseudo-inverse are all such matrices.  A band is kept as the index of the
first column and the taps of each row; it is applied as many small dense blocks, so that matrix products
do the work.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BandMatrix:
    """A matrix (rows, columns): row i is 0 but for `taps[i]` from column `first[i]` on.

    first: (rows,), taps: (rows, width), first + width <= columns.  Two bands are equal only if they are one
    object, so that what is derived from one may be cached; bands themselves come from cached functions.
    """

    first: Ints
    taps: Floats
    columns: int

    @property
    def rows(self) -> int:
        return len(self.first)

    @property
    def width(self) -> int:
        return int(self.taps.shape[1])

    @property
    def index(self) -> Ints:
        """Column of each tap, (rows, width)."""
        return self.first[:, None] + np.arange(self.width)

    def dense(self) -> Floats:
        """The whole matrix, (rows, columns): for small sizes."""
        whole = np.zeros((self.rows, self.columns))
        np.put_along_axis(whole, self.index, self.taps, axis=1)
        return whole

    def part(self, start: int, stop: int) -> tuple[int, Floats]:
        """Rows [start, stop): the first column they need, and a dense matrix (rows, columns needed)."""
        left = int(self.first[start:stop].min())
        right = int(self.first[start:stop].max()) + self.width
        return left, BandMatrix(self.first[start:stop] - left, self.taps[start:stop], right - left).dense()


def band_matrix(index: Ints, taps: Floats, columns: int) -> BandMatrix:
    """The band with `taps` at the columns `index`, both (rows, any).

    Columns lie in [0, columns); within a row they come in any order and may repeat, and their taps add up.
    """
    used = taps != 0
    last = np.where(used, index, 0).max(axis=1)
    first = np.minimum(np.where(used, index, columns - 1).min(axis=1), last)
    width = int((last - first).max()) + 1
    first = np.clip(first, 0, columns - width)
    folded = np.zeros((len(index), width))
    rows = np.broadcast_to(np.arange(len(index))[:, None], index.shape)
    np.add.at(folded, (rows[used], (index - first[:, None])[used]), taps[used])
    return BandMatrix(first.astype(np.int64), folded, columns)


@lru_cache(maxsize=256)
def transpose(band: BandMatrix) -> BandMatrix:
    """The transpose of a band whose rows move steadily to the right."""
    row = np.broadcast_to(np.arange(band.rows)[:, None], band.index.shape)[band.taps != 0]
    column, tap = band.index[band.taps != 0], band.taps[band.taps != 0]
    first = np.full(band.columns, band.rows)
    last = np.zeros(band.columns, dtype=np.int64)
    np.minimum.at(first, column, row)
    np.maximum.at(last, column, row)
    width = int((last - first).max(initial=0)) + 1
    first = np.clip(first, 0, band.rows - width)
    taps = np.zeros((band.columns, width))
    taps[column, row - first[column]] = tap
    return BandMatrix(first.astype(np.int64), taps, band.rows)


@lru_cache(maxsize=256)
def _blocks(band: BandMatrix, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Equal groups of rows: the columns (blocks, seen) that each needs, its weights (blocks, group, seen).

    A group moves on by about `width` columns: little is multiplied by zero, and little is read twice.
    """
    group = max(16, round(band.width * band.rows / band.columns))
    blocks = -(-band.rows // group)
    rows = np.minimum(np.arange(blocks * group), band.rows - 1).reshape(blocks, group)
    first = band.first[rows].min(axis=1)
    seen = int((band.first[rows].max(axis=1) - first).max()) + band.width
    first = np.clip(first, 0, max(0, band.columns - seen))
    seen = min(seen, band.columns)
    weights = np.zeros((blocks, group, seen))
    np.put_along_axis(weights, band.index[rows] - first[:, None, None], band.taps[rows], axis=2)
    # a cached tensor born in inference mode could not take part in a gradient later
    with torch.inference_mode(False):
        columns = torch.from_numpy(first[:, None] + np.arange(seen)).to(device)
        return columns, torch.from_numpy(weights).to(dtype).to(device)


def along_rows(band: BandMatrix, x: Tensor) -> Tensor:
    """The band times the last axis: (..., n, columns) -> (..., n, rows), in x's dtype, float32 or float64."""
    columns, weights = _blocks(band, x.dtype, x.device)
    windows = x[..., columns].flatten(0, -3).transpose(0, 1)  # (blocks, everything before, seen)
    with torch.autocast(x.device.type, enabled=False):
        out = windows @ weights.mT
    return out.transpose(0, 1).reshape(*x.shape[:-1], -1)[..., : band.rows]


def along_columns(band: BandMatrix, x: Tensor) -> Tensor:
    """The band times the last axis but one: (..., columns, w) -> (..., rows, w); else as `along_rows`."""
    columns, weights = _blocks(band, x.dtype, x.device)
    windows = x[..., columns, :]  # (..., blocks, seen, w)
    with torch.autocast(x.device.type, enabled=False):
        out = weights @ windows
    return out.flatten(-3, -2)[..., : band.rows, :]


def along_both(vertical: BandMatrix, horizontal: BandMatrix, x: Tensor) -> Tensor:
    """Both bands in the cheaper order: (..., H, W) -> (..., h, w), in x's dtype, in at least float32."""
    wide = x if x.dtype == torch.float64 else x.float()
    rows_first = vertical.rows * horizontal.columns <= vertical.columns * horizontal.rows
    if rows_first:
        return along_rows(horizontal, along_columns(vertical, wide)).to(x.dtype)
    return along_columns(vertical, along_rows(horizontal, wide)).to(x.dtype)
