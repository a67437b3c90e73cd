"""Pictures as screens show them: in 8 bits, grey or RGB."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray

from refinesr.images.picture import Picture


def for_display(picture: Picture) -> Picture:
    """Of three bands and more the first three, of two the first.  NaN is black.

    Of a picture with a span its ends are black and white.
    """
    values, peak = picture.pixels, picture.peak
    if picture.span is not None:
        inward = picture.span.normalise_(torch.from_numpy(values.astype(np.float32)))
        values, peak = inward.numpy(), 2.0
        values += 1
    alpha = None if picture.alpha is None else scale_to_uint8(picture.alpha, picture.peak)
    pixels = scale_to_uint8(values[..., : 3 if picture.channels >= 3 else 1], peak)
    return replace(picture, pixels=pixels, alpha=alpha, span=None)


def scale_to_uint8(values: NDArray[Any], peak: float) -> UInt8[np.ndarray, "..."]:
    """Values from 0 to `peak` as levels of 255."""
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    levels = np.nan_to_num(values.astype(np.float32)) * np.float32(255 / peak)
    return np.ascontiguousarray(levels.round().clip(0, 255).astype(np.uint8))
