"""A part of one picture in another: where, and how softly."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from refinesr.errors import ConfigError
from refinesr.images.picture import Picture, format_size
from refinesr.tiles import Box
from refinesr.validation import as_int, convert_fields, convert_optional_fields, type_error_text

FEATHER = 8
"""Pixels, of regions that are not too small for it."""


@dataclass(frozen=True)
class Patch:
    """Which part of one picture goes where in another.

    region     of the one, in pixels
    top, left  where in the other its corner comes to lie
    feather    pixels on both sides of its edges: inside it fades in, outside what is redrawn of the other
               fades out; None is 8, or a quarter of the region's shorter side if that is less
    """

    region: Box
    top: int
    left: int
    feather: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.region, Box):
            raise ConfigError(f"region: {type_error_text(self.region, 'a Box')}")
        convert_fields(self, as_int, "top", "left")
        convert_optional_fields(self, as_int, "feather")
        if self.side < 1:
            raise ConfigError(f"from: {format_size(self.size)} pixels are no region")
        if self.feather is not None and not 0 <= self.feather <= self.side // 2:
            most = f"{self.side // 2}, half of the region's shorter side"
            raise ConfigError(f"feather: {self.feather} is not between 0 and {most}")

    @property
    def size(self) -> tuple[int, int]:
        return self.region.height, self.region.width

    @property
    def side(self) -> int:
        """The shorter one."""
        return min(self.size)

    @property
    def place(self) -> Box:
        """In the other picture."""
        return replace(self.region, top=self.top, left=self.left)

    def weight(self, size: tuple[int, int]) -> Tensor:
        """How much of it is seen (h, w), in a picture of that size."""
        return self.place.of(self.eased(size, 0.0))

    def mask(self, size: tuple[int, int]) -> Tensor:
        """What is redrawn of a picture of that size (H, W): 1 in the whole region, 0 a feather around it."""
        return self.eased(size, 1.0)

    def eased(self, size: tuple[int, int], offset: float) -> Tensor:
        """From 0 to 1 over a feather, from `offset` feathers before the region's edges.

        There is no edge where the picture itself has one.
        """
        feather = min(FEATHER, self.side // 4) if self.feather is None else self.feather
        soft = max(feather, 1e-3)  # without a feather it is a step, between two pixels' centres
        down = edge_distance(self.place.top, self.place.height, size[0]) / soft + offset
        across = edge_distance(self.place.left, self.place.width, size[1]) / soft + offset
        return smoothstep(down)[:, None] * smoothstep(across)

    def check(self, picture: Picture, other: Picture) -> None:
        """Raises ConfigError unless the region is in the other and its place in the picture."""
        for field, box, of in (("from", self.region, other), ("to", self.place, picture)):
            height, width = of.size
            if min(box.top, box.left) < 0 or box.top + box.height > height or box.left + box.width > width:
                region = f"{format_size(self.size)} pixels from row {box.top}, column {box.left}"
                raise ConfigError(
                    f"{field}: {region} are not all in {of.name}, which has {format_size(of.size)}"
                )


def edge_distance(start: int, length: int, size: int) -> Tensor:
    """From the centres of pixels to the nearer end of an interval of an axis; outside it is negative."""
    centre = torch.arange(size) + 0.5
    far = torch.full_like(centre, torch.inf)
    before = centre - start if start > 0 else far
    after = start + length - centre if start + length < size else far
    return torch.minimum(before, after)


def smoothstep(x: Tensor) -> Tensor:
    """0 up to 0, 1 from 1."""
    return torch.sin(torch.pi / 2 * x.clamp(0, 1)) ** 2
