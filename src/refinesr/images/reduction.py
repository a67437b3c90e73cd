"""Degradations that downsample: bicubic, without or with a little blur."""

import math
from dataclasses import dataclass, field

import torch

from refinesr.images.batch_random import BatchRandom, check_bounds, round_to_eight_bits
from refinesr.images.blur import gaussian_blur
from refinesr.images.resize import Kernel, MatlabBicubic, low_size, resize
from refinesr.shapes import Images, LowImages


def downsampled(high: Images, scale: int, kernel: Kernel) -> LowImages:
    """high (B, C, H, W) downsampled by `scale`, sizes rounded up; not clipped."""
    # crops are channels last in memory, with which `resize` takes three times as long
    return resize(high.contiguous(), low_size((high.shape[2], high.shape[3]), scale), kernel)


@dataclass(frozen=True)
class Bicubic:
    """Bicubic downsampling only, the degradation of most papers.  Draws no random numbers."""

    scale: int
    """Pixels of `high` per pixel of `low`, a side."""
    kernel: Kernel = field(default_factory=MatlabBicubic)
    eight_bit: bool = True
    """Round to the 256 levels of an 8-bit file, as real inputs are; otherwise only clip to [-1, 1]."""

    def __post_init__(self) -> None:
        check_bounds("scale", (float(self.scale),), 1.0, math.inf)

    @torch.no_grad()
    def __call__(self, high: Images, rng: torch.Generator) -> LowImages:
        """high (B, C, H, W) -> low (B, C, H / scale, W / scale), sizes rounded up; any number of channels."""
        low = downsampled(high, self.scale, self.kernel)
        return round_to_eight_bits(low) if self.eight_bit else low.clamp(-1, 1)


@dataclass(frozen=True)
class GaussianBlurred:
    """Bicubic downsampling, then Gaussian blur of random width: conditioning augmentation (Ho et al. 2021,
    section 4).  It improved SR3's FID from 13.1 to 11.3.  The paper blurs half of the images, by 0.4 to 0.6
    pixels."""

    scale: int
    kernel: Kernel = field(default_factory=MatlabBicubic)
    most: float = 0.6
    """Largest standard deviation in pixels of `low`; drawn uniformly from 0 for each image."""
    eight_bit: bool = True

    def __post_init__(self) -> None:
        check_bounds("scale", (float(self.scale),), 1.0, math.inf)
        check_bounds("most", (self.most,), 0.0, 64.0)

    @torch.no_grad()
    def __call__(self, high: Images, rng: torch.Generator) -> LowImages:
        """high (B, C, H, W) -> low (B, C, H / scale, W / scale), sizes rounded up; any number of channels."""
        low = downsampled(high, self.scale, self.kernel)
        sigma = BatchRandom(rng, low).uniform((0.0, self.most))
        low = gaussian_blur(low, sigma, sigma, math.ceil(3 * self.most))
        return round_to_eight_bits(low) if self.eight_bit else low.clamp(-1, 1)
