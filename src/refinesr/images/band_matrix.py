"""Band matrices, applied along one axis of an image in linear time and memory.

Resizing, its adjoint and its pseudo-inverse are all band matrices.  A band matrix is stored as the first
column and the taps of each row, and applied as many small dense blocks by matrix products.
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
    """A matrix (rows, columns): row i is 0 except for `taps[i]` from column `first[i]` on.

    first: (rows,), taps: (rows, width), first + width <= columns.  Compared by identity, so that functions of
    band matrices can be cached; the matrices themselves come from cached functions.
    """

    first: Ints
    taps: Floats
    columns: int

    @property
    def rows(self) -> int:
        """Number of rows: outputs."""
        return len(self.first)

    @property
    def width(self) -> int:
        """Number of taps of each row."""
        return int(self.taps.shape[1])

    @property
    def index(self) -> Ints:
        """Column of each tap, (rows, width)."""
        return self.first[:, None] + np.arange(self.width)

    def dense(self) -> Floats:
        """The dense matrix (rows, columns); for small sizes."""
        whole = np.zeros((self.rows, self.columns))
        np.put_along_axis(whole, self.index, self.taps, axis=1)
        return whole

    def part(self, start: int, stop: int) -> tuple[int, Floats]:
        """Rows [start, stop): the first column with taps, and the dense matrix of the columns with taps."""
        left = int(self.first[start:stop].min())
        right = int(self.first[start:stop].max()) + self.width
        return left, BandMatrix(self.first[start:stop] - left, self.taps[start:stop], right - left).dense()


def band_matrix(index: Ints, taps: Floats, columns: int) -> BandMatrix:
    """The band matrix with `taps` at the columns `index`, both (rows, any).

    Columns lie in [0, columns); within a row they may be in any order, and taps at the same column are added.
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
def transpose(matrix: BandMatrix) -> BandMatrix:
    """The transpose of a band matrix whose first columns ascend from row to row."""
    row = np.broadcast_to(np.arange(matrix.rows)[:, None], matrix.index.shape)[matrix.taps != 0]
    column, tap = matrix.index[matrix.taps != 0], matrix.taps[matrix.taps != 0]
    first = np.full(matrix.columns, matrix.rows)
    last = np.zeros(matrix.columns, dtype=np.int64)
    np.minimum.at(first, column, row)
    np.maximum.at(last, column, row)
    width = int((last - first).max(initial=0)) + 1
    first = np.clip(first, 0, matrix.rows - width)
    taps = np.zeros((matrix.columns, width))
    taps[column, row - first[column]] = tap
    return BandMatrix(first.astype(np.int64), taps, matrix.rows)


@lru_cache(maxsize=256)
def _blocks(matrix: BandMatrix, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """The matrix in groups of rows: columns (blocks, needed) of each, weights (blocks, group, needed).

    A group advances by about `width` columns, so that few products are with zero and few columns read twice.
    """
    group = max(16, round(matrix.width * matrix.rows / matrix.columns))
    blocks = -(-matrix.rows // group)
    rows = np.minimum(np.arange(blocks * group), matrix.rows - 1).reshape(blocks, group)
    first = matrix.first[rows].min(axis=1)
    needed = int((matrix.first[rows].max(axis=1) - first).max()) + matrix.width
    first = np.clip(first, 0, max(0, matrix.columns - needed))
    needed = min(needed, matrix.columns)
    weights = np.zeros((blocks, group, needed))
    np.put_along_axis(weights, matrix.index[rows] - first[:, None, None], matrix.taps[rows], axis=2)
    # a cached tensor created in inference mode could not be used in autograd later
    with torch.inference_mode(False):
        columns = torch.from_numpy(first[:, None] + np.arange(needed)).to(device)
        return columns, torch.from_numpy(weights).to(dtype).to(device)


def along_rows(matrix: BandMatrix, x: Tensor) -> Tensor:
    """Apply to the last axis: (..., n, columns) -> (..., n, rows), in x's dtype, float32 or float64."""
    columns, weights = _blocks(matrix, x.dtype, x.device)
    windows = x[..., columns].flatten(0, -3).transpose(0, 1)  # (blocks, all other axes, needed)
    with torch.autocast(x.device.type, enabled=False):
        out = windows @ weights.mT
    return out.transpose(0, 1).reshape(*x.shape[:-1], -1)[..., : matrix.rows]


def along_columns(matrix: BandMatrix, x: Tensor) -> Tensor:
    """Apply to the last but one axis: (..., columns, w) -> (..., rows, w); otherwise as `along_rows`."""
    columns, weights = _blocks(matrix, x.dtype, x.device)
    windows = x[..., columns, :]  # (..., blocks, needed, w)
    with torch.autocast(x.device.type, enabled=False):
        out = weights @ windows
    return out.flatten(-3, -2)[..., : matrix.rows, :]


def along_both(vertical: BandMatrix, horizontal: BandMatrix, x: Tensor) -> Tensor:
    """Apply both in the cheaper order: (..., H, W) -> (..., h, w) of x's dtype, in at least float32."""
    wide = x if x.dtype == torch.float64 else x.float()
    rows_first = vertical.rows * horizontal.columns <= vertical.columns * horizontal.rows
    if rows_first:
        return along_rows(horizontal, along_columns(vertical, wide)).to(x.dtype)
    return along_columns(vertical, along_rows(horizontal, wide)).to(x.dtype)
