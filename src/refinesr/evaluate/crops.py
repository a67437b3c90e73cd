"""The parts of pictures in which methods differ most, as data URIs."""

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
"""A picture or a part of one: in one call there are many sizes."""

Differences = Float[np.ndarray, "_ _"]

SIDE = 96
"""Pixels a side of a crop."""

THUMBNAIL = 180
"""Pixels on the longer side of the whole picture, shown small."""


def picture_in(folder: Path, name: str, *, span: Span | None = None) -> Colours | None:
    """NAME.png or NAME.tiff of a folder of results, meant by the span; None if it is not there."""
    paths = [path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()]
    return colours(read(paths[0], span=span)) if paths else None


def colours(picture: Picture) -> Colours:
    """RGB in 8 bits, as shown: the first three bands, of fewer the first three times, no transparency."""
    pixels = for_display(picture).pixels
    return pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)


def sized(pixels: Colours | None, size: tuple[int, int], what: str) -> Colours | None:
    """The same.  Raises InputError naming `what` if it is not of that (height, width)."""
    if pixels is not None and pixels.shape[:2] != size:
        actual = format_size(pixels.shape[:2])
        raise InputError(f"{what}: is {actual}, and the report is of {format_size(size)} pixels")
    return pixels


def rgb(levels: UInt8[Tensor, "1 C H W"]) -> Colours:
    """Of a tensor of one picture, grey or RGB."""
    return np.ascontiguousarray(levels[0].expand(3, -1, -1).permute(1, 2, 0).numpy())


@dataclass(frozen=True)
class Square:
    """A square part of a picture; pixels."""

    top: int
    left: int
    side: int

    def of(self, pixels: Colours) -> Colours:
        return pixels[self.top : self.top + self.side, self.left : self.left + self.side]

    def reduced(self, scale: int) -> "Square":
        """The same part of the picture whose pixels are `scale` times as large."""
        return Square(self.top // scale, self.left // scale, self.side // scale)


def differences(results: Sequence[Colours], truth: Colours | None = None) -> Differences:
    """How far the results are apart at each pixel, 0 to 255; a single one from the truth."""
    shown = [*results, truth] if len(results) == 1 and truth is not None else results
    stack = np.stack(list(shown)).astype(np.float32)
    apart: Differences = (stack.max(0) - stack.min(0)).mean(2)
    return apart


def largest(apart: Differences, side: int = SIDE, step: int = 4) -> tuple[Square, float]:
    """The square with the largest mean difference, and that; its corner lies on multiples of `step`.

    Smaller where the picture is, but a multiple of `step` unless that is larger still.
    """
    least = min(side, *apart.shape)
    side = least // step * step or least
    sums = np.pad(apart.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    tops, lefts = (np.arange(0, extent - side + 1, step) for extent in apart.shape)
    below, right = tops + side, lefts + side
    total = sums[np.ix_(below, right)] - sums[np.ix_(tops, right)]
    total += sums[np.ix_(tops, lefts)] - sums[np.ix_(below, lefts)]
    row, column = np.unravel_index(int(total.argmax()), total.shape)
    return Square(int(tops[row]), int(lefts[column]), int(side)), float(total[row, column]) / side**2


def scale_of(high: tuple[int, ...], low: Colours | None) -> int | None:
    """The whole number that `low` is smaller by, None if there is none."""
    if low is None:
        return None
    scale = round(high[0] / low.shape[0])
    return scale if scale >= 1 and tuple(scale * side for side in low.shape[:2]) == high[:2] else None


def lossless(pixels: Colours) -> str:
    """As a data URI: WebP that decodes to the same pixels."""
    return _uri(Pillow.fromarray(np.ascontiguousarray(pixels)), lossless=True)


def thumbnail(pixels: Colours) -> str:
    """The whole picture small, as a data URI."""
    picture = Pillow.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return _uri(picture, quality=80)


def _uri(picture: Pillow.Image, **options: int) -> str:
    file = io.BytesIO()
    picture.save(file, "WEBP", **options)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
