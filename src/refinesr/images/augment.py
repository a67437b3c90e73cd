"""Conditioning augmentation: training inputs of a cascade's later stages are blurred and noisy.

Samples of a model differ a little from downsampled photos.  A stage trained only on downsampled photos
preserves and amplifies these artefacts (Ho et al. 2021b, "Cascaded Diffusion Models", section 4).
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from refinesr.images.batch_random import BatchRandom, check_bounds, per_image
from refinesr.images.reduction import GaussianBlurred
from refinesr.images.resize import Kernel, MatlabBicubic
from refinesr.shapes import Images, LowWithPlanes


@dataclass(frozen=True)
class CascadeAugmented:
    """Bicubic downsampling, Gaussian blur of random width as `GaussianBlurred`, and noise of random level.

    The network is given the noise level, as a plane for the source `Augmented`, but not the blur's width.
    Unlike in the paper noise is added to `low` without scaling it; level s corresponds to the row with sigma
    = s of a variance-preserving schedule.
    """

    scale: int
    kernel: Kernel = field(default_factory=MatlabBicubic)
    blur: float = 0.6
    """Largest standard deviation of the blur in pixels of `low`; drawn uniformly from 0 for each image."""
    noise: float = 0.5
    """Largest standard deviation of the noise, for images in [-1, 1]; drawn likewise."""
    eight_bit: bool = True
    """Round to the 256 levels of an 8-bit file before adding noise; otherwise only clip to [-1, 1]."""

    planes: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_bounds("scale", (float(self.scale),), 1.0, math.inf)
        check_bounds("blur", (self.blur,), 0.0, 64.0)
        check_bounds("noise", (self.noise,), 0.0, 100.0)

    @torch.no_grad()
    def __call__(self, high: Images, rng: torch.Generator) -> LowWithPlanes:
        """high (B, C, H, W) -> low (B, C + 1, H / scale, W / scale), rounded up; the plane is the level."""
        low = GaussianBlurred(self.scale, self.kernel, self.blur, self.eight_bit)(high, rng)
        random = BatchRandom(rng, low)
        level = per_image(random.uniform((0.0, self.noise)))
        return torch.cat((low + level * random.normal(low), level.expand_as(low[:, :1])), 1)
