"""Bicubic resizing with antialiasing, as MATLAB and as Pillow do it: linear, separable, differentiable.

Both use the cubic kernel of Keys (1981) with a = -1/2, stretched by the reduction factor; they differ at the
borders.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from refinesr.images.band_matrix import BandMatrix, Floats, Ints, along_both, band_matrix
from refinesr.shapes import Images, LowImages


def _cubic(x: Floats) -> Floats:
    """Keys' cubic convolution kernel for a = -1/2 (Keys 1981, equation 15), 0 outside (-2, 2)."""
    x = np.abs(x)
    inner = (1.5 * x - 2.5) * x**2 + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))


def _normal(weights: Floats) -> Floats:
    """Rows scaled to sum to 1, so that constant images are preserved."""
    total: Floats = weights.sum(axis=1, keepdims=True)
    return weights / total


def _support(size_out: int, ratio: float) -> tuple[Floats, float, Ints]:
    """The support of each output pixel, which is `ratio` input pixels wide; input pixel i covers [i, i + 1].

    Returns its centre (out, 1) in input pixels, the stretch of the kernel, and the indices (out, taps) of all
    input pixels within reach, some of them outside the image.
    """
    centre = (np.arange(size_out, dtype=np.float64)[:, None] + 0.5) * ratio
    stretch = max(1.0, ratio)
    index = np.floor(centre - 2 * stretch).astype(np.int64) + np.arange(int(np.ceil(4 * stretch)) + 2)
    return centre, stretch, index


@dataclass(frozen=True)
class MatlabBicubic:
    """MATLAB's `imresize`: the image is mirrored at its borders."""

    def matrix(self, size_in: int, size_out: int, ratio: float) -> BandMatrix:
        """The matrix (size_out, size_in) that resizes an axis; an output pixel is `ratio` input pixels."""
        centre, stretch, index = _support(size_out, ratio)
        weights = _normal(_cubic((index - centre + 0.5) / stretch))
        around = index % (2 * size_in)
        return band_matrix(np.minimum(around, 2 * size_in - 1 - around), weights, size_in)


@dataclass(frozen=True)
class PillowBicubic:
    """Pillow's `Image.resize(size, BICUBIC)`: pixels outside the image have no weight."""

    def matrix(self, size_in: int, size_out: int, ratio: float) -> BandMatrix:
        """The matrix (size_out, size_in) that resizes an axis; an output pixel is `ratio` input pixels."""
        centre, stretch, index = _support(size_out, ratio)
        # Pillow uses the pixels whose centres lie within the reach, rounded to whole pixels
        low, high = np.floor(centre - 2 * stretch + 0.5), np.floor(centre + 2 * stretch + 0.5)
        inside = (index >= np.maximum(low, 0)) & (index < np.minimum(high, size_in))
        weights = np.where(inside, _cubic((index - centre + 0.5) / stretch), 0.0)
        return band_matrix(np.clip(index, 0, size_in - 1), _normal(weights), size_in)


Kernel = MatlabBicubic | PillowBicubic


@lru_cache(maxsize=256)
def resize_matrix(kernel: Kernel, size_in: int, size_out: int, scale: float | None = None) -> BandMatrix:
    """The matrix that resizes an axis, cached.  `scale` is the factor, size_out / size_in by default.

    Raises ValueError for sizes below 1 and scales that are not positive.
    """
    if size_in < 1 or size_out < 1:
        raise ValueError(f"cannot resize {size_in} pixels to {size_out}; both must be at least 1")
    if scale is not None and not scale > 0:
        raise ValueError(f"scale is {scale}; it must be positive")
    return kernel.matrix(size_in, size_out, size_in / size_out if scale is None else 1 / scale)


def dense_resize_matrix(
    kernel: Kernel, size_in: int, size_out: int, scale: float | None = None
) -> Float[Tensor, "rows columns"]:
    """The dense float64 matrix (size_out, size_in) that resizes one axis; for small sizes."""
    return torch.from_numpy(resize_matrix(kernel, size_in, size_out, scale).dense())


def resize(x: Images, size: tuple[int, int], kernel: Kernel, *, scale: float | None = None) -> LowImages:
    """`x` resized to `size` = (height, width): linear, differentiable, on x's device, not clipped.

    The result has x's dtype; half precision is computed in float32.  `scale` is the factor of both axes if it
    differs from the ratio of the sizes, as in MATLAB's `imresize(x, 1/4)` of sizes that are no multiple of 4.
    Raises ValueError for sizes below 1 and scales that are not positive.
    """
    vertical = resize_matrix(kernel, x.shape[-2], size[0], scale)
    horizontal = resize_matrix(kernel, x.shape[-1], size[1], scale)
    return along_both(vertical, horizontal, x)


def low_size(size: tuple[int, int], scale: int) -> tuple[int, int]:
    """(height, width) of the low-resolution image of one of `size`: divided by `scale`, rounded up."""
    return -(-size[0] // scale), -(-size[1] // scale)
