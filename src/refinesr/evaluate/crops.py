"""Crops in which methods differ most, and their encoding as data URIs."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image as Pillow
from torch import Tensor

from refinesr.errors import InputError
from refinesr.evaluate.depths import SUFFIXES
from refinesr.images.display import for_display
from refinesr.images.io import read
from refinesr.images.picture import Picture, format_size
from refinesr.images.span import Span

Colours = UInt8[np.ndarray, "_ _ 3"]
"""8-bit RGB pixels (H, W, 3) of an image or a crop."""

DifferenceMap = Float[np.ndarray, "_ _"]

SIDE = 96
"""Pixels a side of a crop."""

THUMBNAIL = 180
"""Pixels on the longer side of a thumbnail."""


def load_picture(folder: Path, name: str, *, span: Span | None = None) -> Colours | None:
    """8-bit RGB pixels of NAME.png or NAME.tiff in a folder; None if there is no such file."""
    paths = [path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()]
    return rgb_pixels(read(paths[0], span=span)) if paths else None


def rgb_pixels(picture: Picture) -> Colours:
    """The image as displayed, in 8-bit RGB: its first three bands, or its first band as grey; no alpha."""
    pixels = for_display(picture).pixels
    return pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)


def check_size(pixels: Colours | None, size: tuple[int, int], what: str) -> Colours | None:
    """Return `pixels`.  Raises InputError naming `what` if their (height, width) is not `size`."""
    if pixels is not None and pixels.shape[:2] != size:
        actual = format_size(pixels.shape[:2])
        raise InputError(f"{what}: is {actual}, and the report is of {format_size(size)} pixels")
    return pixels


def rgb_array(levels: UInt8[Tensor, "1 C H W"]) -> Colours:
    """8-bit RGB pixels of a grey or RGB tensor."""
    return np.ascontiguousarray(levels[0].expand(3, -1, -1).permute(1, 2, 0).numpy())


@dataclass(frozen=True)
class CropBox:
    """A square part of an image, in pixels."""

    top: int
    left: int
    side: int

    def of(self, pixels: Colours) -> Colours:
        return pixels[self.top : self.top + self.side, self.left : self.left + self.side]

    def downscaled(self, scale: int) -> "CropBox":
        """The same part of the image in the low-resolution image."""
        return CropBox(self.top // scale, self.left // scale, self.side // scale)


def difference_map(results: Sequence[Colours], truth: Colours | None = None) -> DifferenceMap:
    """Range of the results at each pixel, mean over channels, 0 to 255; of one result and the truth."""
    shown = [*results, truth] if len(results) == 1 and truth is not None else results
    stack = np.stack(list(shown)).astype(np.float32)
    spread: DifferenceMap = (stack.max(0) - stack.min(0)).mean(2)
    return spread


def most_different_square(
    difference: DifferenceMap, side: int = SIDE, step: int = 4
) -> tuple[CropBox, float]:
    """The square with the largest mean difference, and this mean; its corner lies on multiples of `step`.

    Its side is `side`, or the largest multiple of `step` that fits into the image, or the image's shorter
    side if that is below `step`.
    """
    least = min(side, *difference.shape)
    side = least // step * step or least
    sums = np.pad(difference.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    tops, lefts = (np.arange(0, extent - side + 1, step) for extent in difference.shape)
    below, right = tops + side, lefts + side
    total = sums[np.ix_(below, right)] - sums[np.ix_(tops, right)]
    total += sums[np.ix_(tops, lefts)] - sums[np.ix_(below, lefts)]
    row, column = np.unravel_index(int(total.argmax()), total.shape)
    return CropBox(int(tops[row]), int(lefts[column]), int(side)), float(total[row, column]) / side**2


def integer_scale(high: tuple[int, ...], low: Colours | None) -> int | None:
    """The integer scale factor between `low` and an image of shape `high`; None if there is none."""
    if low is None:
        return None
    scale = round(high[0] / low.shape[0])
    return scale if scale >= 1 and tuple(scale * side for side in low.shape[:2]) == high[:2] else None


def lossless_uri(pixels: Colours) -> str:
    """A data URI of lossless WebP."""
    return _uri(Pillow.fromarray(np.ascontiguousarray(pixels)), lossless=True)


def thumbnail_uri(pixels: Colours) -> str:
    """A data URI of the image, reduced to `THUMBNAIL` pixels."""
    picture = Pillow.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return _uri(picture, quality=80)


def _uri(picture: Pillow.Image, **options: int) -> str:
    file = io.BytesIO()
    picture.save(file, "WEBP", **options)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
