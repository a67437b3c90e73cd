"""JPEG compression and decompression of batches as in libjpeg, with a quality for each image, on any device.

ITU-T T.81 with the example tables of its Annex K, scaled by quality as in libjpeg, and JFIF's colour space.
Entropy coding is lossless and therefore omitted.
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Bool
from torch import Tensor

from refinesr.images.constants import BT601, cached_tensor
from refinesr.shapes import Images, PerImage

# T.81 tables K.1 and K.2, row by row
_LUMA = (
    *(16, 11, 10, 16, 24, 40, 51, 61),
    *(12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77),
    *(24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101),
    *(72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    *(17, 18, 24, 47, 99, 99, 99, 99),
    *(18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99),
    *(47, 66, 99, 99, 99, 99, 99, 99),
    *(99,) * 32,
)

# JFIF 1.02: (Y, Cb - 128, Cr - 128) of (R, G, B), and back
_TO_YCC = (
    BT601,
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


@lru_cache
def _transform(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The orthonormal DCT of flattened 8 x 8 blocks, (64, 64), computed in float64 (T.81, A.3.3)."""
    with torch.inference_mode(False):  # it is cached, and must be usable in autograd later
        index = torch.arange(8, dtype=torch.float64)
        axis = torch.cos((2 * index + 1) * index[:, None] * math.pi / 16) / 2
        axis[0] /= math.sqrt(2)
        return torch.kron(axis, axis).to(device, dtype)


def _scaled(table: tuple[int, ...], quality: Tensor) -> Tensor:
    """The quantisation table for each quality, (B, 64), as in libjpeg's jpeg_set_quality."""
    quality = quality.float().round().clamp(1, 100)[:, None]
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    return ((cached_tensor(table, quality) * percent + 50) / 100).floor().clamp(1, 255)


def _coded(planes: Images, table: Tensor) -> Images:
    """Planes of levels in [-128, 127] after DCT, quantisation with `table` (B, 64) and inverse DCT."""
    b, c, height, width = planes.shape
    padded = F.pad(planes, (0, -width % 8, 0, -height % 8), mode="replicate")
    rows, columns = padded.shape[2] // 8, padded.shape[3] // 8
    blocks = padded.view(b, c, rows, 8, columns, 8).transpose(3, 4).reshape(b, -1, 64)
    transform, step = _transform(planes.dtype, planes.device), table[:, None].to(planes)
    # libjpeg's DCT gives multiples of 1/8; quotients of one half, which are common, are rounded away from 0
    eighths = (blocks @ transform.mT * 8).round()
    stored = eighths.sign() * ((eighths.abs() + 4 * step) / (8 * step)).floor() * step
    blocks = (stored @ transform).view(b, c, rows, columns, 8, 8).transpose(3, 4)
    return (blocks.reshape(padded.shape)[:, :, :height, :width] + 0.5).floor().clamp(-128, 127)


def _coded_at_half_size(planes: Images, table: Tensor) -> Images:
    """`_coded` with 4:2:0 subsampling: means of 2 x 2 pixels, upsampled linearly ("fancy" in libjpeg)."""
    height, width = planes.shape[2:]
    # libjpeg pads rows before subsampling and columns after
    filled = F.pad(planes, (0, -width % 16, 0, height % 2), mode="replicate")
    coded = _coded(_floored(F.avg_pool2d(filled, 2), 1 / 4, 1 / 2), table)[..., : (width + 1) // 2]
    doubled = F.interpolate(coded, scale_factor=2, mode="bilinear", align_corners=False)
    return _floored(doubled[:, :, :height, :width], 8 / 16, 7 / 16)


def _floored(planes: Images, even: float, odd: float) -> Images:
    """Rounded down after adding `even` or `odd` by column, as libjpeg does to avoid a bias."""
    added = torch.full_like(planes[0, 0, 0], even)
    added[1::2] = odd
    return (planes + added).floor()


def _times(matrix: tuple[tuple[float, ...], ...], x: Images) -> Images:
    """Colours of `x` multiplied by a 3 x 3 matrix."""
    return torch.einsum("oc,bchw->bohw", cached_tensor(matrix, x), x)


def jpeg_roundtrip(x: Images, quality: PerImage, halved: Bool[Tensor, " B"]) -> Images:
    """`x` in [0, 1] after JPEG compression and decompression; input and output are 8-bit levels / 255.

    `quality` in [1, 100] for each image is rounded to integers.  Chroma is subsampled 4:2:0 where `halved` is
    True, else 4:4:4.  Any size; gradients are 0.  Raises ValueError unless `x` has 1 channel (grey) or 3
    (RGB).
    """
    if x.shape[1] not in (1, 3):
        raise ValueError(f"JPEG holds 1 or 3 channels, not {x.shape[1]}")
    with torch.autocast(x.device.type, enabled=False):
        levels = (x * 255).round()
        luma, chroma = _scaled(_LUMA, quality), _scaled(_CHROMA, quality)
        if x.shape[1] == 1:
            return (_coded(levels - 128, luma) + 128) / 255
        y, colour = _times(_TO_YCC, levels).tensor_split((1,), dim=1)
        y = _coded(y.round() - 128, luma) + 128
        colour = (
            colour - 0.5
        ).ceil()  # libjpeg rounds halves down here; otherwise pure blue would be level 256
        small, full = _coded_at_half_size(colour, chroma), _coded(colour, chroma)
        colour = torch.where(halved[:, None, None, None], small, full)
        return _times(_TO_RGB, torch.cat([y, colour], dim=1)).round().clamp(0, 255) / 255
