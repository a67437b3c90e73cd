"""Palette's tasks as degradations at full resolution (Saharia et al. 2022b).

If a part of the image is missing `low` has standard normal noise there, and the mask as one more channel: 1
where pixels are to be generated, 0 where they are known.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from refinesr.errors import ConfigError
from refinesr.images.batch_random import BatchRandom, check_bounds, round_to_eight_bits
from refinesr.images.constants import luma
from refinesr.images.jpeg import jpeg_roundtrip
from refinesr.images.masks import FreeForm, MaskChoice, rectangle_mask
from refinesr.shapes import Images, LowWithPlanes, Mask


@dataclass(frozen=True)
class Grey:
    """Colourisation: each channel of low is the luma, rounded to 8 bits as in a grey file.

    The luma is BT.601's; Palette does not specify it.  Draws no random numbers.
    """

    scale: ClassVar[int] = 1

    def check(self, channels: int) -> None:
        """Raises ConfigError unless images have three channels."""
        if channels != 3:
            raise ConfigError(f"degradation: Grey of pictures of {channels} channels; colour has 3")

    @torch.no_grad()
    def __call__(self, high: Images, rng: torch.Generator) -> Images:
        """high (B, 3, H, W) -> low of the same shape.  Raises ConfigError for other numbers of channels."""
        self.check(high.shape[1])
        return round_to_eight_bits(luma(high)).repeat(1, 3, 1, 1)


@dataclass(frozen=True)
class JpegRestoration:
    """JPEG restoration at full size, with the qualities that Palette is trained with (section 5.4)."""

    quality: tuple[float, float] = (5.0, 30.0)
    """Quality as in libjpeg, 1 to 100; drawn for each image."""
    halved: float = 1.0
    """Probability of chroma subsampling 4:2:0, libjpeg's default, instead of 4:4:4."""

    scale: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_bounds("quality", self.quality, 1.0, 100.0)
        check_bounds("halved", (self.halved,), 0.0, 1.0)

    def check(self, channels: int) -> None:
        """Raises ConfigError unless images have 1 or 3 channels."""
        if channels not in (1, 3):
            raise ConfigError(f"degradation: JPEG holds pictures of 1 or 3 channels, not {channels}")

    @torch.no_grad()
    def __call__(self, high: Images, rng: torch.Generator) -> Images:
        """high (B, C, H, W) -> low of the same shape.  Raises ConfigError unless C is 1 or 3."""
        self.check(high.shape[1])
        random = BatchRandom(rng, high)
        quality, halved = random.uniform(self.quality), random.bernoulli(self.halved)
        return jpeg_roundtrip((high.clamp(-1, 1) + 1) / 2, quality, halved) * 2 - 1


@dataclass(frozen=True)
class Inpainting:
    """Inpainting with random masks for training, or with the mask of the evaluation (section 5.2)."""

    mask: MaskChoice = field(default_factory=FreeForm)

    scale: ClassVar[int] = 1

    @torch.no_grad()
    def __call__(self, high: Images, rng: torch.Generator) -> LowWithPlanes:
        """high (B, C, H, W) -> low (B, C + 1, H, W): the image with noise in its holes, and the mask."""
        random = BatchRandom(rng, high)
        return noise_filled(high, self.mask(random), random)


@dataclass(frozen=True)
class Uncropping:
    """Uncropping: a fixed area of the image is missing, at one side or on all four (section 5.3)."""

    area: float = 0.5
    """The fraction of the image that is missing."""
    around: float = 0.5
    """Probability that all four sides are missing, instead of one that is chosen at random."""

    scale: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_bounds("area", (self.area,), 0.0, 1.0)
        check_bounds("around", (self.around,), 0.0, 1.0)

    @torch.no_grad()
    def __call__(self, high: Images, rng: torch.Generator) -> LowWithPlanes:
        """high (B, C, H, W) -> low (B, C + 1, H, W): the image with noise beyond its sides, and the mask."""
        random = BatchRandom(rng, high)
        return noise_filled(high, 1 - self.known_mask(random), random)

    def known_mask(self, random: BatchRandom) -> Mask:
        """1 where pixels are known.  Missing are whole rows and columns, at least one on an affected axis."""
        around, side = random.bernoulli(self.around), random.integers(4)
        share = torch.where(around, 1 - (1 - self.area) ** 0.5, self.area)
        vertical, first = side < 2, side % 2 == 0
        edges = [
            self._edges(length, share, around, along, first)
            for length, along in zip(random.like.shape[-2:], (vertical, ~vertical), strict=True)
        ]
        (top, bottom), (left, right) = edges
        return rectangle_mask(random, top, left, bottom, right)

    def _edges(
        self, length: int, share: Tensor, around: Tensor, along: Tensor, first: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Start and end of the known part along an axis, in pixels, (B,) each."""
        missing = (share * length).round().clamp(min=1)
        before = torch.where(around, (missing / 2).floor(), missing * (along & first))
        after = torch.where(around, (missing / 2).ceil(), missing * (along & ~first))
        return before, length - after


def noise_filled(high: Images, mask: Mask, random: BatchRandom) -> LowWithPlanes:
    """high where the mask is 0 and standard normal noise where it is 1, joined with the mask."""
    return torch.cat((torch.where(mask > 0, random.normal(high), high), mask), 1)
