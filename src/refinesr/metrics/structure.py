"""Structural similarity (SSIM) and its multi-scale version.  Images are in [0, 1].

Windows are evaluated only where they fit into the image (MATLAB's "valid" region), without padding.  Channels
are compared one by one and averaged.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from refinesr.images.band_matrix import BandMatrix, Floats, along_both
from refinesr.metrics.pixel import to_float64, without_borders
from refinesr.shapes import Images, PerImage

C1, C2 = 0.01**2, 0.03**2
"""(K1 L)² and (K2 L)², L = 1 the range of values (Wang et al. 2004, section III-B)."""

SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""The weight of each scale, the finest first (Wang et al. 2003, section 3.2)."""

Maps = Float[Tensor, "B C h w"]


@dataclass(frozen=True)
class GaussianWindow:
    """The window of Wang et al. (2004), as in MATLAB's `ssim_index`; a square of `size` pixels."""

    size: int = 11
    std: float = 1.5

    @property
    def taps(self) -> Floats:
        """Weights along one axis, (size,)."""
        distance = np.arange(self.size) - (self.size - 1) / 2
        weights: Floats = np.exp(-(distance**2) / (2 * self.std**2))
        total: float = weights.sum()
        return weights / total

    @property
    def correction(self) -> float:
        return 1.0


@dataclass(frozen=True)
class UniformWindow:
    """Equal weights and sample covariances: scikit-image's default.

    The public code of SRDiff uses it, on 8-bit RGB.
    """

    size: int = 7

    @property
    def taps(self) -> Floats:
        """Weights along one axis, (size,)."""
        return np.full(self.size, 1 / self.size)

    @property
    def correction(self) -> float:
        """n / (n - 1) for the n pixels of the window."""
        return self.size**2 / (self.size**2 - 1)


Window = GaussianWindow | UniformWindow

GAUSSIAN = GaussianWindow()


def ssim(high: Images, other: Images, *, border: int = 0, window: Window = GAUSSIAN) -> PerImage:
    """Structural similarity (Wang et al. 2004, equation 13), averaged over the windows of each image.

    Images in [0, 1] are compared channel by channel, in float64.  `border` pixels are cut from every side
    first; papers on super-resolution cut `scale`.  Returns 1 for equal images, less for others, at least -1.
    The authors' later `ssim.m` first reduces images of 384 pixels and more; as in their `ssim_index.m` and in
    papers on super-resolution, that is not done here.  Raises ValueError if less than a window is left, for
    different shapes and for integers.
    """
    luminance, structure = _ssim_terms(*without_borders(high, other, border), window)
    return (luminance * structure).mean((1, 2, 3))


def ms_ssim(high: Images, other: Images, *, border: int = 0) -> PerImage:
    """Structural similarity over five scales (Wang, Simoncelli and Bovik 2003, equation 7).

    Images in [0, 1] are compared channel by channel; `border` as in `ssim`.  Each scale is the mean of 2 x 2
    pixels of the one before; the last pixel of an odd side is kept unchanged, which equals the mirroring in
    the authors' code.  A scale of negative structure (images that are nearly each other's negatives) counts
    as 0, as its power is undefined.  Returns 1 for equal images, less for others, at least 0.  Raises
    ValueError for sides below 176 pixels, 11 on the coarsest scale, as their code does.
    """
    smallest = GAUSSIAN.size * 2 ** (len(SCALES) - 1)
    high, other = without_borders(high, other, border)
    if min(high.shape[-2:]) < smallest:
        found = f"{high.shape[-2]} x {high.shape[-1]}"
        raise ValueError(f"{found} pixels are too few for five scales; each side needs {smallest}")
    total = to_float64(high).new_ones(high.shape[:2])
    for weight in SCALES[:-1]:
        total = total * _powered(_ssim_terms(high, other, GAUSSIAN)[1], weight)
        high, other = _halved(high), _halved(other)
    luminance, structure = _ssim_terms(high, other, GAUSSIAN)
    return (total * _powered(luminance * structure, SCALES[-1])).mean(1)


def _ssim_terms(high: Images, other: Images, window: Window) -> tuple[Maps, Maps]:
    """Luminance, and contrast times structure, in each window (Wang et al. 2004, equations 6, 9 and 10)."""
    if min(high.shape[-2:]) < window.size:
        found = f"{high.shape[-2]} x {high.shape[-1]}"
        raise ValueError(f"{found} pixels are fewer than a window of {window.size} x {window.size}")
    high, other = to_float64(high), to_float64(other)
    bands = _window_band(window, high.shape[-2]), _window_band(window, high.shape[-1])
    mean, mean2 = along_both(*bands, high), along_both(*bands, other)
    squares = mean.square() + mean2.square()
    variances = window.correction * (along_both(*bands, high.square() + other.square()) - squares)
    covariance = window.correction * (along_both(*bands, high * other) - mean * mean2)
    return (2 * mean * mean2 + C1) / (squares + C1), (2 * covariance + C2) / (variances + C2)


@lru_cache(maxsize=64)
def _window_band(window: Window, pixels: int) -> BandMatrix:
    """The matrix of the window at all its positions on an axis of `pixels`."""
    rows = pixels - window.size + 1
    return BandMatrix(np.arange(rows), np.tile(window.taps, (rows, 1)), pixels)


def _powered(similarity: Maps, weight: float) -> Float[Tensor, "B C"]:
    return similarity.mean((2, 3)).clamp(min=0) ** weight


def _halved(images: Images) -> Maps:
    return F.avg_pool2d(to_float64(images), 2, ceil_mode=True)
