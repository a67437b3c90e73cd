"""Pictures as 8-bit grey or RGB, to be displayed."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray

from refinesr.images.picture import Picture


def for_display(picture: Picture) -> Picture:
    """An 8-bit copy of the first three bands, or of the first if there are fewer.  NaN becomes black.

    The ends of the picture's span, if it has one, become black and white.
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
    """Values from 0 to `peak` as uint8 from 0 to 255, clipped."""
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    levels = np.nan_to_num(values.astype(np.float32)) * np.float32(255 / peak)
    return np.ascontiguousarray(levels.round().clip(0, 255).astype(np.uint8))
