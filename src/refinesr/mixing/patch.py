"""Which part of one picture is pasted where in another, and with what feather."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from refinesr.errors import ConfigError
from refinesr.images.picture import Picture, format_size
from refinesr.tiles import Box
from refinesr.validation import as_int, convert_fields, convert_optional_fields, type_error_text

FEATHER = 8
"""Default feather in pixels, for regions that are large enough."""


@dataclass(frozen=True)
class Patch:
    """Which part of one picture goes where in another.

    region     in the picture that a part is taken from, in pixels
    top, left  where the region's corner goes in the other picture
    feather    width in pixels on both sides of the region's edges: inside, the pasted part fades in; outside,
               redrawing fades out.  None is 8, or a quarter of the region's shorter side if that is less
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
        """The region's shorter side."""
        return min(self.size)

    @property
    def place(self) -> Box:
        """The region's box in the other picture."""
        return replace(self.region, top=self.top, left=self.left)

    def weight(self, size: tuple[int, int]) -> Tensor:
        """Weight (h, w) of the pasted part over its region, in a picture of that size."""
        return self.place.of(self.eased(size, 0.0))

    def mask(self, size: tuple[int, int]) -> Tensor:
        """Mask (H, W) of what is redrawn: 1 in the region, falling to 0 over a feather outside it."""
        return self.eased(size, 1.0)

    def eased(self, size: tuple[int, int], offset: float) -> Tensor:
        """Ramp (H, W) from 0 to 1 over a feather that starts `offset` feathers outside the region's edges.

        Edges of the region on the picture's own border have no ramp.
        """
        feather = min(FEATHER, self.side // 4) if self.feather is None else self.feather
        soft = max(feather, 1e-3)  # a feather of 0 is a step between the centres of two pixels
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
    """Distance (size,) of pixel centres to the nearer end of an interval; negative outside.

    Ends on the border of the axis do not count: their distance is infinite.
    """
    centre = torch.arange(size) + 0.5
    far = torch.full_like(centre, torch.inf)
    before = centre - start if start > 0 else far
    after = start + length - centre if start + length < size else far
    return torch.minimum(before, after)


def smoothstep(x: Tensor) -> Tensor:
    """A smooth step: 0 for x <= 0, 1 for x >= 1."""
    return torch.sin(torch.pi / 2 * x.clamp(0, 1)) ** 2
