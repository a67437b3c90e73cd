"""Orthogonal projection onto the images that, downsampled, are the input: `x + A⁺(low - A x)` in closed form.

Downsampling A is separable, and so is its pseudo-inverse A⁺ = Aᵀ (A Aᵀ)⁻¹: a small problem for each axis.
The band matrix A Aᵀ is well conditioned (condition number about 2), so its inverse decays exponentially away
from the diagonal; truncated where it is below rounding, it is a band matrix, too.  All products are with band
matrices, linear in the number of pixels.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from refinesr.images.band_matrix import BandMatrix, Floats, along_both, band_matrix, transpose
from refinesr.images.resize import Kernel, resize_matrix
from refinesr.shapes import Images, LowImages

_CHUNK = 64  # rows of the inverse computed at once
_ROUNDING = 1e-17  # below float64's rounding error for values near 1

CONSISTENT = 0.5 / 127.5
"""Limit, half an 8-bit level, of the median difference of an undamaged low image to the reduced high image.

Rounding alone gives 0.25 levels, somewhat more at borders with another bicubic kernel; noise of one level
0.7.
"""


def _inverse_rows(
    down: BandMatrix, start: int, stop: int, smallest: float, margin: int = 32
) -> tuple[int, Floats]:
    """First column and rows [start, stop) of (A Aᵀ)⁻¹, with values below `smallest` of the largest set to 0.

    Computed from the inverse of a block of A Aᵀ that is `margin` larger on both sides.  The influence of the
    rest decays as the inverse does, so the margin is doubled until the inverse is 0 well before the block's
    edges.
    """
    left, right = max(0, start - margin), min(down.rows, stop + margin)
    _, part = down.part(left, right)
    rows = np.linalg.inv(part @ part.T)[start - left : stop - left]
    alive = np.abs(rows) > smallest * np.abs(rows).max()
    edge = margin // 4
    if (left > 0 and alive[:, :edge].any()) or (right < down.rows and alive[:, -edge:].any()):
        return _inverse_rows(down, start, stop, smallest, 2 * margin)
    return left, np.where(alive, rows, 0.0)


@lru_cache(maxsize=128)
def gram_inverse(down: BandMatrix, smallest: float = _ROUNDING) -> BandMatrix:
    """(A Aᵀ)⁻¹ of a downsampling A (h, H): a band matrix (h, h), exact to `smallest` of its largest value."""
    starts = range(0, down.rows, _CHUNK)
    parts = [_inverse_rows(down, start, min(start + _CHUNK, down.rows), smallest) for start in starts]
    width = max(taps.shape[1] for _, taps in parts)
    taps = np.concatenate([np.pad(taps, ((0, 0), (0, width - taps.shape[1]))) for _, taps in parts])
    left = np.repeat([left for left, _ in parts], [len(taps) for _, taps in parts])
    index = np.minimum(left[:, None] + np.arange(width), down.rows - 1)  # padding has weight 0
    return band_matrix(index, taps, down.rows)


@final
@dataclass(frozen=True)
class Projection:
    """Downsampling A from `high` to `low`, both (height, width), its adjoint, pseudo-inverse and projection.

    All methods are linear and differentiable, keep dtype and device (half precision is computed in float32)
    and do not clip.  Raises ValueError if `low` is not smaller than `high`.
    """

    high: tuple[int, int]
    low: tuple[int, int]
    kernel: Kernel

    def __post_init__(self) -> None:
        larger = any(low > high for low, high in zip(self.low, self.high, strict=True))
        if larger or self.low == self.high or min(self.low) < 1:
            raise ValueError(f"no projection from {self.high} to {self.low}: low must be smaller than high")

    @staticmethod
    def between(high: Images, low: LowImages, kernel: Kernel) -> "Projection":
        """The projection for images of these sizes."""
        return Projection((high.shape[-2], high.shape[-1]), (low.shape[-2], low.shape[-1]), kernel)

    @property
    def matrices(self) -> tuple[BandMatrix, BandMatrix]:
        """A for the vertical and for the horizontal axis."""
        vertical, horizontal = zip(self.high, self.low, strict=True)
        return resize_matrix(self.kernel, *vertical), resize_matrix(self.kernel, *horizontal)

    def down(self, x: Images) -> LowImages:
        """A x."""
        self._check(x, self.high)
        return along_both(*self.matrices, x)

    def adjoint(self, y: LowImages) -> Images:
        """Aᵀ y."""
        self._check(y, self.low)
        vertical, horizontal = self.matrices
        return along_both(transpose(vertical), transpose(horizontal), y)

    def pinv(self, y: LowImages) -> Images:
        """A⁺ y: the image of least norm that, downsampled, is y."""
        self._check(y, self.low)
        return self._pinv(_at_least_float32(y)).to(y.dtype)

    def project(self, x: Images, low: LowImages) -> Images:
        """The image nearest to x that, downsampled, is low; of x's dtype."""
        self._check(x, self.high)
        self._check(low, self.low)
        # channel by channel, as the intermediate results take more memory than x and the result
        channels = zip(x.chunk(x.shape[1], 1), low.chunk(low.shape[1], 1), strict=True)
        return torch.cat([self._project(plane, target) for plane, target in channels], 1).to(x.dtype)

    def _project(self, x: Tensor, low: Tensor) -> Tensor:
        wide = _at_least_float32(x)
        return self._pinv(low.to(wide.dtype) - self.down(wide)).add_(wide)

    def is_consistent(self, high: Images, low: LowImages) -> Bool[Tensor, "B 1 1 1"]:
        """Whether low is the reduced high image up to rounding, so not damaged.  Both are in [-1, 1]."""
        return ((self.down(high) - low).abs().flatten(1).median(1).values < CONSISTENT).view(-1, 1, 1, 1)

    def _pinv(self, y: Tensor) -> Tensor:
        vertical, horizontal = self.matrices
        solved = along_both(gram_inverse(vertical), gram_inverse(horizontal), y)
        return self.adjoint(solved)

    @staticmethod
    def _check(x: Tensor, size: tuple[int, int]) -> None:
        if tuple(x.shape[-2:]) != size:
            raise ValueError(f"the picture has {tuple(x.shape[-2:])} pixels; this projection needs {size}")


def _at_least_float32(x: Tensor) -> Tensor:
    """Half precision as float32; float32 and float64 as they are."""
    return x if x.element_size() > 4 else x.float()
