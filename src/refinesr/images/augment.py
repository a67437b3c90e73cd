"""What makes a stage of a cascade forgive the one before it: its training inputs are spoilt a little.

Samples of a model are not quite photos.  A stage that has only seen photos made small takes what is wrong
with them for something to keep (Ho et al. 2021b, "Cascaded Diffusion Models", section 4).
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
    """Bicubic reduction, a Gaussian blur of random width as `GaussianBlurred`, and noise of a random level.

    The network is told the level, not the width: one plane, for the source `Augmented`.  The noise is theirs,
    but added to low as it is; in their variance-preserving terms level s is the row with sigma = s.
    """

    scale: int
    kernel: Kernel = field(default_factory=MatlabBicubic)
    blur: float = 0.6
    """Largest standard deviation of the blur in pixels of `low`; each image draws evenly from 0 up to it."""
    noise: float = 0.5
    """Largest standard deviation of the noise, where images span -1 to 1; drawn likewise."""
    eight_bit: bool = True
    """Round to the levels of an 8-bit file before the noise; else only clip to [-1, 1]."""

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
