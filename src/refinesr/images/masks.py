"""Masks: 1 where pixels are to be generated, 0 where they are known.

Each mask is a value that is called with a `BatchRandom` whose `like` is the batch (B, C, H, W) and returns
(B, 1, H, W), drawn for each image separately.  No mask is empty.  Lengths are fractions of the image's side,
or of the side of a square of the same area, so that they mean the same at every size; published code gives
them in pixels of a 256 x 256 image.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from refinesr.errors import InputError
from refinesr.images.batch_random import BatchRandom, check_bounds, per_image
from refinesr.images.constants import cached_tensor
from refinesr.images.picture import Picture, tensor_to_array, to_tensor
from refinesr.images.pillow import from_pil
from refinesr.shapes import Mask, PerImage

AnyMask = Image.Image | NDArray[np.generic] | Tensor

BinaryMask = Float[Tensor, "H W"]
"""A mask (H, W): 1 where pixels are to be generated, 0 where they are known."""


def _size(random: BatchRandom) -> tuple[int, int]:
    return random.like.shape[-2], random.like.shape[-1]


def _axes(random: BatchRandom) -> tuple[Tensor, Tensor]:
    """Coordinates of pixel centres in pixels: y (1, 1, H, 1) and x (1, 1, 1, W)."""
    height, width = (torch.arange(n, device=random.like.device) + 0.5 for n in _size(random))
    return height[None, None, :, None], width[None, None, None, :]


def rectangle_mask(
    random: BatchRandom, top: PerImage, left: PerImage, bottom: PerImage, right: PerImage
) -> Mask:
    """1 in rows [top, bottom) and columns [left, right) of each image; (B,) each, in pixels."""
    y, x = _axes(random)
    rows, columns = (
        (y > per_image(top)) & (y < per_image(bottom)),
        (x > per_image(left)) & (x < per_image(right)),
    )
    return (rows & columns).to(random.like.dtype)


def box_mask(random: BatchRandom, side: Tensor, position: Tensor) -> Mask:
    """1 in a box of `side` (B, 2), fractions of height and width, rounded to pixels, at least one.

    `position` (B, 2) in [0, 1] is its place between the two ends of each axis.
    """
    whole = cached_tensor(_size(random), side)
    size = (side * whole).round().clamp(min=1)
    start = (position * (whole - size)).round()
    return rectangle_mask(random, *start.unbind(1), *(start + size).unbind(1))


@dataclass(frozen=True)
class Centre:
    """A centred box: the mask of Palette's evaluation, 128 of 256 pixels (section 5.2)."""

    side: float = 0.5
    """Its sides as a fraction of the image's."""

    def __post_init__(self) -> None:
        check_bounds("side", (self.side,), 0.0, 1.0)

    def __call__(self, random: BatchRandom) -> Mask:
        """Draws no random numbers."""
        side = random.like.new_full((len(random.like), 2), self.side)
        return box_mask(random, side, torch.full_like(side, 0.5))


@dataclass(frozen=True)
class Box:
    """A box of random size and position.

    The defaults are those of DeepFill's code (Yu et al. 2018): 88 to 128 of 256 pixels, 20 from the border.
    """

    side: tuple[float, float] = (88 / 256, 0.5)
    """Its sides as fractions of the image's, drawn independently."""
    margin: float = 20 / 256
    """Least distance to the border, as a fraction of the image's side; smaller if the box does not fit."""

    def __post_init__(self) -> None:
        check_bounds("side", self.side, 0.0, 1.0)
        check_bounds("margin", (self.margin,), 0.0, 0.5)

    def __call__(self, random: BatchRandom) -> Mask:
        side, at = random.uniform(self.side, 2), random.uniform((0.0, 1.0), 2)
        spare = ((1 - 2 * self.margin - side) / (1 - side).clamp(min=1e-6)).clamp(min=0)
        return box_mask(random, side, 0.5 + (at - 0.5) * spare)


@dataclass(frozen=True)
class FreeForm:
    """Brush strokes and a box: the masks with which Palette's inpainting is trained (section 5.2).

    The strokes are those of DeepFill v2's code (Yu et al. 2019, appendix): zigzags with round ends.  Every
    corner turns back by an angle near 72 degrees; all strokes together are mirrored at random.
    """

    strokes: tuple[int, int] = (1, 3)
    """Number of strokes."""
    corners: tuple[int, int] = (4, 11)
    """Number of straight segments of a stroke."""
    width: tuple[float, float] = (12 / 256, 40 / 256)
    """Width of the brush."""
    length: float = math.sqrt(2) / 8
    """Mean length of a segment; the standard deviation is half of it, the maximum twice."""
    turn: tuple[float, float] = (48.0, 96.0)
    """Angle of a segment to the horizontal in degrees, alternately upwards and downwards."""
    box: Box | None = field(default_factory=Box)

    def __post_init__(self) -> None:
        check_bounds("strokes", self.strokes, 1.0, 64.0)
        check_bounds("corners", self.corners, 1.0, 64.0)
        check_bounds("width", self.width, 0.0, 2.0)
        check_bounds("length", (self.length,), 0.0, 2.0)
        check_bounds("turn", self.turn, 0.0, 180.0)

    def __call__(self, random: BatchRandom) -> Mask:
        drawn = self.drawn_mask(random, *self.paths(random))
        return drawn if self.box is None else torch.maximum(drawn, self.box(random))

    def paths(self, random: BatchRandom) -> tuple[Tensor, Tensor]:
        """Corners (B, strokes, segments + 1, 2) as (y, x) in pixels, and radii (B, strokes, segments).

        Segments with a negative radius are not drawn.
        """
        strokes, segments = self.strokes[1], self.corners[1]
        side, whole = math.sqrt(math.prod(_size(random))), cached_tensor(_size(random), random.like)
        # from the centre of a pixel, so that even the thinnest brush marks one
        at = (random.uniform((0.0, 1.0), strokes, 2) * whole).floor() + 0.5
        path = [torch.minimum(at, whole - 0.5)]
        for step in (side * self.steps(random)).unbind(2):
            path.append((path[-1] + step).clamp(min=0).minimum(whole))
        radius = side / 2 * random.uniform(self.width, strokes, 1)
        number = torch.arange(segments, device=random.like.device)
        stroke = torch.arange(strokes, device=random.like.device)[:, None]
        drawn = number < random.integers_between(self.corners, strokes, 1)
        drawn &= stroke < random.integers_between(self.strokes, 1, 1)
        return torch.stack(path, 2), torch.where(drawn, radius, -1)

    def steps(self, random: BatchRandom) -> Tensor:
        """Vectors from corner to corner, (B, strokes, segments, 2) as (y, x), in units of the side."""
        strokes, segments = self.strokes[1], self.corners[1]
        angle = random.uniform(self.turn, strokes, segments).deg2rad()
        angle[:, :, ::2] *= -1
        length = self.length * (1 + random.normal(angle) / 2).clamp(0, 2)
        mirrored = 1.0 - 2.0 * random.integers(2, 1, 1, 2)
        return length[..., None] * torch.stack((angle.sin(), angle.cos()), -1) * mirrored

    def drawn_mask(self, random: BatchRandom, path: Tensor, radius: Tensor) -> Mask:
        """1 where a pixel's centre is within the radius of a segment."""
        y, x = _axes(random)
        mask = torch.zeros((len(path), 1, *_size(random)), dtype=torch.bool, device=path.device)
        segments = path[:, :, :-1].flatten(1, 2), path[:, :, 1:].flatten(1, 2), radius.flatten(1)
        for start, end, r in zip(*(part.unbind(1) for part in segments), strict=True):
            mask |= _squared_distance(y, x, start, end) <= per_image(torch.where(r < 0, -1, r**2))
        return mask.to(random.like.dtype)


def _squared_distance(y: Tensor, x: Tensor, start: Tensor, end: Tensor) -> Mask:
    """Squared distance of each pixel from the segment between two points (B, 2)."""
    down, across = (end - start).unbind(1)
    dy, dx = y - per_image(start[:, 0]), x - per_image(start[:, 1])  # (B, 1, H, 1), (B, 1, 1, W)
    square = per_image((down**2 + across**2).clamp(min=1e-9))
    part = ((dy * per_image(down) + dx * per_image(across)) / square).clamp(0, 1)  # (B, 1, H, W)
    return (dy - part * per_image(down)) ** 2 + (dx - part * per_image(across)) ** 2


MaskChoice = FreeForm | Centre | Box


def to_mask(mask: AnyMask) -> BinaryMask:
    """The mask (H, W): 1 where a pixel is True or brighter than half of white, else 0.

    White is 1 in floats, 255 or 65535 in integers; Pillow's mode I is treated as 16 bits.  For colours the
    mean is used, and transparent pixels are black, whatever their colour.  Raises InputError for arrays of
    another shape or type, and for NaN and infinity.
    """
    array = _array(mask)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "buf":
        right = "(H, W) of bool, uint8, uint16 or floats in [0, 1] is"
        found = f"an array of shape {array.shape} and type {array.dtype}"
        raise InputError(f"mask: {found} is no mask; {right}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError("mask: holds NaN or infinite values; those of a mask are finite, from 0 to 1")
    peak = np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1
    return torch.from_numpy((array > peak / 2).astype(np.float32))


def brightness(picture: Picture) -> NDArray[np.float32]:
    """(H, W) from 0, black or transparent, to 1, white and opaque.  Raises InputError for NaN, infinity."""
    mean = (
        to_tensor(replace(picture, nodata=None))[0].mean(0).numpy() + 1
    ) / 2  # in a mask 0 is black even if it is `nodata`
    alpha = 1 if picture.alpha is None else picture.alpha / picture.peak
    return np.asarray(mean * alpha, np.float32)


def _array(mask: AnyMask) -> NDArray[Any]:
    if isinstance(mask, Tensor):
        return tensor_to_array(mask, "mask")
    return brightness(from_pil(mask, "mask")) if isinstance(mask, Image.Image) else mask
