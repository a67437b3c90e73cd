"""Palette's tasks as degradations (Saharia et al. 2022b): pictures that lack something, at their full size.

Where a part is missing low holds standard normal noise there, and one more channel, the mask: 1 where the
picture is to be made up, 0 where it is known.
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
    """Colourisation: low is the luma, rounded to 8 bits as a grey file is, in each of its channels.

    Luma is BT.601's; Palette does not say which it takes.  Draws no random numbers.
    """

    scale: ClassVar[int] = 1

    def check(self, channels: int) -> None:
        """Raises ConfigError for pictures that have no colour to take away."""
        if channels != 3:
            raise ConfigError(f"degradation: Grey of pictures of {channels} channels; colour has 3")

    @torch.no_grad()
    def __call__(self, high: Images, rng: torch.Generator) -> Images:
        """high (B, 3, H, W) -> low of the same shape.  Raises ConfigError for other numbers of channels."""
        self.check(high.shape[1])
        return round_to_eight_bits(luma(high)).repeat(1, 3, 1, 1)


@dataclass(frozen=True)
class JpegRestoration:
    """JPEG at full size, of the qualities Palette is trained with (section 5.4)."""

    quality: tuple[float, float] = (5.0, 30.0)
    """libjpeg's quality, 1 to 100; each image draws its own."""
    halved: float = 1.0
    """Probability of colour at half the size (4:2:0, libjpeg's habit) rather than the full size (4:4:4)."""

    scale: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_bounds("quality", self.quality, 1.0, 100.0)
        check_bounds("halved", (self.halved,), 0.0, 1.0)

    def check(self, channels: int) -> None:
        """Raises ConfigError for pictures that no JPEG holds."""
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
    """Holes anywhere: masks of training, or the one of evaluation (section 5.2)."""

    mask: MaskChoice = field(default_factory=FreeForm)

    scale: ClassVar[int] = 1

    @torch.no_grad()
    def __call__(self, high: Images, rng: torch.Generator) -> LowWithPlanes:
        """high (B, C, H, W) -> low (B, C + 1, H, W): the picture with noise in its holes, and the mask."""
        random = BatchRandom(rng, high)
        return noise_filled(high, self.mask(random), random)


@dataclass(frozen=True)
class Uncropping:
    """More picture past one side, or around the middle: always as much of it missing (section 5.3)."""

    area: float = 0.5
    """The share of the picture that is missing."""
    around: float = 0.5
    """Probability of all four sides rather than one, each of which is as likely as the others."""

    scale: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_bounds("area", (self.area,), 0.0, 1.0)
        check_bounds("around", (self.around,), 0.0, 1.0)

    @torch.no_grad()
    def __call__(self, high: Images, rng: torch.Generator) -> LowWithPlanes:
        """high (B, C, H, W) -> low (B, C + 1, H, W): the picture with noise past its sides, and the mask."""
        random = BatchRandom(rng, high)
        return noise_filled(high, 1 - self.known_mask(random), random)

    def known_mask(self, random: BatchRandom) -> Mask:
        """Rows and columns lost are whole; of each axis on which there is a loss at least one."""
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
        """Where along an axis what is kept begins and ends, in pixels, (B,) each."""
        lost = (share * length).round().clamp(min=1)
        before = torch.where(around, (lost / 2).floor(), lost * (along & first))
        after = torch.where(around, (lost / 2).ceil(), lost * (along & ~first))
        return before, length - after


def noise_filled(high: Images, mask: Mask, random: BatchRandom) -> LowWithPlanes:
    """high as it is where the mask is 0, standard normal noise where it is 1; then the mask."""
    return torch.cat((torch.where(mask > 0, random.normal(high), high), mask), 1)
