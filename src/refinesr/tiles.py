"""Tiles of a picture, and windows that blend them without a seam.

If a network's estimate of a pixel depends on nothing farther away than `reach`, tiles blended with these
windows equal the whole picture to rounding: every window is 0 where the inner edge of its tile can have had
an influence.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from refinesr.validation import as_int, convert_fields

BLEND = 4
"""Low pixels over which tiles of a network without a known reach are blended, at least."""


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels: its corner, height and width."""

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        convert_fields(self, as_int, "top", "left", "height", "width")

    def of(self, tensor: Tensor) -> Tensor:
        """The box's part of the last two axes of `tensor`, a view."""
        return tensor[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def scaled(self, scale: int) -> "Box":
        """The same rectangle in a picture `scale` times as large."""
        return Box(self.top * scale, self.left * scale, self.height * scale, self.width * scale)


@dataclass(frozen=True, eq=False)
class Window:
    """Blending weights of a tile's pixels, in [0, 1]: the outer product of `down` and `across`.

    It is computed when needed: the windows of all tiles together are larger than the picture.
    """

    down: Float[Tensor, " h"]
    across: Float[Tensor, " w"]

    def to(self, like: Tensor) -> "Window":
        """The window on like's device, of its dtype."""
        return Window(self.down.to(like), self.across.to(like))

    def whole(self) -> Float[Tensor, "h w"]:
        """The weight of each pixel of the tile."""
        return self.down[:, None] * self.across


@dataclass(frozen=True, eq=False)
class Tile:
    """A box in low pixels and its blending window (scale * height, scale * width), float32, on the CPU."""

    box: Box
    window: Window


def cover(
    height: int, width: int, *, core: int, reach: int, stride: int, scale: int = 1, blend: int = 1
) -> list[Tile]:
    """Tiles, row by row, of a picture of height x width low pixels; windows are `scale` times that size.

    A tile has a core of `core` pixels a side (0: no tiles) and a halo of reach + blend pixels around it;
    cores are of equal size, so they may be smaller.  Corners lie on multiples of `stride`; neighbours
    share at least 2 * (reach + blend) pixels.  A window is 0 within `reach` of every inner edge and rises
    smoothly over the rest of the shared part, at least 2 * blend pixels.  For a network of unlimited reach
    use reach 0 and a larger `blend`, which hides the seams.  A picture that fits is one tile with a window of
    ones.  Windows sum to more than 0 everywhere, to 1 where no three tiles overlap.

    Raises ValueError for a size, scale, stride or blend below 1, or a core or reach below 0.
    """
    if min(height, width, stride, scale, blend) < 1 or min(core, reach) < 0:
        raise ValueError(f"cover({height=}, {width=}, {core=}, {reach=}, {stride=}, {scale=}, {blend=})")
    share = 2 * (reach + blend)
    rows, columns = (_spans(size, core or size, share, stride) for size in (height, width))
    return [
        Tile(Box(top, left, bottom - top, right - left), Window(down, across))
        for (top, bottom), down in zip(rows, _windows(rows, reach, scale), strict=True)
        for (left, right), across in zip(columns, _windows(columns, reach, scale), strict=True)
    ]


def blended(canvas: Tensor, parts: Iterable[tuple[Box, Window, Tensor]]) -> Tensor:
    """The mean of the tiles' values at each pixel, weighted by their windows, in `canvas`.

    `canvas` holds zeros and is changed in place.  Each tile's box is in pixels of the canvas, and its values
    are (B, C, h, w).
    """
    weight = torch.zeros_like(canvas[:1, :1])
    for box, window, values in parts:
        counted = window.to(canvas).whole()
        box.of(canvas).add_(counted * values)
        box.of(weight).add_(counted)
    return canvas.div_(weight)


def largest_side(core: int, *, stride: int, reach: int = 0, blend: int = 1) -> int:
    """The most low pixels a side that a tile of `cover` can have."""
    return stride * (math.ceil(core / stride) + math.ceil(2 * (reach + blend) / stride))


def blend_width(core: int) -> int:
    """Low pixels over which tiles of this core are blended if the network's reach is unknown."""
    return max(BLEND, core // 8)


def largest_core(side: int, stride: int) -> int:
    """The largest core whose tiles, blended without a known reach, have at most `side` low pixels.

    `side` itself if there is none.
    """
    cores = (n for n in range(side, 0, -1) if largest_side(n, stride=stride, blend=blend_width(n)) <= side)
    return next(cores, side)


def _spans(size: int, core: int, share: int, stride: int) -> list[tuple[int, int]]:
    """(start, end) of equal, evenly spread intervals that cover [0, size), in whole strides but the end."""
    whole, core, share = (math.ceil(n / stride) for n in (size, core, share))
    count = max(1, math.ceil((whole - share) / core))
    side = share + math.ceil((whole - share) / count)  # the least that `count` sides can be
    starts = [k * (whole - side) // max(1, count - 1) for k in range(count)]
    return [(stride * start, min(size, stride * (start + side))) for start in starts]


def _windows(spans: list[tuple[int, int]], reach: int, scale: int) -> list[Tensor]:
    """A window along one axis for each interval."""
    windows = [torch.ones(scale * (end - start)) for start, end in spans]
    for (before, after), ((_, end), (start, _)) in zip(pairwise(windows), pairwise(spans), strict=True):
        rise = torch.zeros(scale * (end - start))
        inner = rise[scale * reach : len(rise) - scale * reach]
        inner += torch.sin(torch.pi / 2 * (torch.arange(len(inner)) + 0.5) / len(inner)) ** 2
        rise[len(rise) - scale * reach :] = 1
        after[: len(rise)] *= rise
        before[len(before) - len(rise) :] *= rise.flip(0)  # sin² + cos² = 1
    return windows
