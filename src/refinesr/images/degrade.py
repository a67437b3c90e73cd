"""Degradations: they make the low-resolution image of a training pair from the high-resolution one.

A degradation, and so a task, is a value that is called with a batch and a generator of random numbers on the
batch's device:  `degrade(high, rng) -> low`, both in [-1, 1].  It has no other randomness, works on the
device, and draws separately for each image of the batch.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from refinesr.errors import ConfigError
from refinesr.images.augment import CascadeAugmented
from refinesr.images.batch_random import BatchRandom, check_bounds, per_image, round_to_eight_bits
from refinesr.images.blur import gaussian_blur
from refinesr.images.jpeg import jpeg_roundtrip
from refinesr.images.reduction import Bicubic, GaussianBlurred, downsampled
from refinesr.images.resize import Kernel, MatlabBicubic, PillowBicubic
from refinesr.images.tasks import Grey, Inpainting, JpegRestoration, Uncropping
from refinesr.shapes import Images, LowImages


@dataclass(frozen=True)
class Blur:
    """Blur of a lens: a Gaussian blur of `high` along its axes before downsampling."""

    share: float = 0.5
    """Probability of blur for a degraded image."""
    sigma: tuple[float, float] = (0.1, 0.4)
    """Standard deviation in pixels of `low`, to be independent of the scale (x4: 0.4 to 1.6 of `high`)."""
    stretch: float = 1.5
    """Largest ratio of the widths along the two axes; 1 is isotropic."""

    def __post_init__(self) -> None:
        check_bounds("share", (self.share,), 0.0, 1.0)
        check_bounds("sigma", self.sigma, 0.0, 8.0)
        check_bounds("stretch", (self.stretch,), 1.0, 4.0)

    def __call__(self, high: Images, scale: int, degraded: Tensor, random: BatchRandom) -> Images:
        """`high` with the images marked in `degraded` (B,) blurred with probability `share`."""
        sigma = scale * random.uniform(self.sigma) * (degraded & random.bernoulli(self.share))
        log_ratio = random.uniform((-0.5, 0.5)) * math.log(self.stretch)
        reach = math.ceil(3 * scale * self.sigma[1] * math.sqrt(self.stretch))
        return gaussian_blur(high, sigma * log_ratio.exp(), sigma / log_ratio.exp(), reach)


@dataclass(frozen=True)
class Grain:
    """Sensor noise: Gaussian, with a part of the variance proportional to brightness, as of photon noise."""

    share: float = 0.5
    """Probability of noise for a degraded image."""
    std: tuple[float, float] = (0.5, 6.0)
    """Standard deviation at white, in levels of 255; the fraction of the variance at black is random."""

    def __post_init__(self) -> None:
        check_bounds("share", (self.share,), 0.0, 1.0)
        check_bounds("std", self.std, 0.0, 255.0)

    def __call__(self, low: Images, degraded: Tensor, random: BatchRandom) -> Images:
        """`low` with noise, with probability `share`, on the images marked in `degraded` (B,)."""
        std = random.uniform(self.std) / 127.5 * (degraded & random.bernoulli(self.share))
        photons = per_image(random.uniform((0.0, 1.0)))
        brightness = (low.clamp(-1, 1) + 1) / 2
        variance = 1 - photons * (1 - brightness)
        return low + per_image(std) * variance.sqrt() * random.normal(low)


@dataclass(frozen=True)
class Jpeg:
    """JPEG compression of `low`, as of the input file.  For 1 or 3 channels only."""

    share: float = 0.7
    """Probability of compression for a degraded image; must be 0 unless images have 1 or 3 channels."""
    quality: tuple[float, float] = (60.0, 95.0)
    """Quality as in libjpeg, 1 to 100."""
    halved: float = 0.5
    """Probability of chroma subsampling 4:2:0 instead of 4:4:4."""

    def __post_init__(self) -> None:
        check_bounds("share", (self.share,), 0.0, 1.0)
        check_bounds("quality", self.quality, 1.0, 100.0)
        check_bounds("halved", (self.halved,), 0.0, 1.0)

    def __call__(self, low: Images, degraded: Tensor, random: BatchRandom) -> Images:
        """`low` with the images marked in `degraded` (B,) compressed with probability `share`."""
        if self.share == 0:
            return low
        chosen, quality = degraded & random.bernoulli(self.share), random.uniform(self.quality)
        after = jpeg_roundtrip((low.clamp(-1, 1) + 1) / 2, quality, random.bernoulli(self.halved)) * 2 - 1
        return torch.where(per_image(chosen), after, low)


@dataclass(frozen=True)
class Photo:
    """Realistic photos: most are only downsampled, some also slightly blurred, noisy or compressed.

    With probability `clean` an image is exactly the bicubic reduction, so that a model learns to trust its
    input; otherwise it is degraded: blur, downsampling, noise and JPEG, each with its own probability.
    """

    scale: int
    clean: float = 0.7
    """Probability of downsampling only."""
    kernels: tuple[Kernel, ...] = (MatlabBicubic(), PillowBicubic())
    """Each image is downsampled with one of these, chosen at random."""
    blur: Blur = field(default_factory=Blur)
    noise: Grain = field(default_factory=Grain)
    jpeg: Jpeg = field(default_factory=Jpeg)
    eight_bit: bool = True
    """Round to the 256 levels of an 8-bit file; otherwise, for deeper images, only clip to [-1, 1]."""

    def __post_init__(self) -> None:
        check_bounds("scale", (float(self.scale),), 1.0, math.inf)
        check_bounds("clean", (self.clean,), 0.0, 1.0)
        if not self.kernels:
            raise ConfigError("kernels: none are named; at least one is needed, e.g. MatlabBicubic")

    def check(self, channels: int) -> None:
        """Raises ConfigError for images that JPEG cannot hold, unless `jpeg.share` is 0."""
        if channels not in (1, 3) and self.jpeg.share > 0:
            raise ConfigError(
                f"degradation.jpeg.share is {self.jpeg.share} for pictures of {channels} channels; "
                "JPEG holds 1 or 3, so set it to 0"
            )

    @torch.no_grad()
    def __call__(self, high: Images, rng: torch.Generator) -> LowImages:
        """high (B, C, H, W) -> low (B, C, H / scale, W / scale), sizes rounded up.

        Raises ConfigError for images with neither 1 nor 3 channels unless `jpeg.share` is 0.
        """
        self.check(high.shape[1])
        random = BatchRandom(rng, high)
        degraded = ~random.bernoulli(self.clean)
        low = self._downsample(self.blur(high, self.scale, degraded, random), random)
        low = self.jpeg(self.noise(low, degraded, random), degraded, random)
        return round_to_eight_bits(low) if self.eight_bit else low.clamp(-1, 1)

    def _downsample(self, high: Images, random: BatchRandom) -> LowImages:
        """Each image by one kernel.  All are computed, as selecting images would synchronise with a GPU."""
        chosen = random.integers(len(self.kernels))
        low, *others = (downsampled(high, self.scale, kernel) for kernel in self.kernels)
        for number, other in enumerate(others, start=1):
            low = torch.where(per_image(chosen == number), other, low)
        return low


@dataclass(frozen=True)
class Given:
    """Low-resolution images are given as files, not made from the others: see `data.load_photos`."""

    scale: int
    """Ratio of the sides of `high` and `low`; 1 for images of equal size."""

    def __post_init__(self) -> None:
        check_bounds("scale", (float(self.scale),), 1.0, math.inf)

    def __call__(self, high: Images, rng: torch.Generator) -> LowImages:
        """Raises ConfigError, as there is nothing to compute."""
        raise ConfigError(NEEDS_GIVEN_LOW)


NEEDS_GIVEN_LOW = (
    "method.degradation: Given: makes no low-resolution pictures; name those that are given (--low)"
)

Degradation = (
    Bicubic
    | GaussianBlurred
    | CascadeAugmented
    | Photo
    | Grey
    | Inpainting
    | Uncropping
    | JpegRestoration
    | Given
)
"""Degradations that do not accept any number of channels have a method `check`."""


def makes_low_text(degradation: Degradation) -> str:
    """The reason why no low-resolution images can be given for any other degradation."""
    return f"method.degradation is {type(degradation).__name__}, which makes low-resolution pictures itself"


def check_accepts_low(degradation: Degradation) -> None:
    """Raises ConfigError for tasks whose low images cannot be given: inpainting, uncropping, colouring."""
    if isinstance(degradation, Grey | Inpainting | Uncropping):
        raise ConfigError(f"--low: {makes_low_text(degradation)}; leave --low out")
