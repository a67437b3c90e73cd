"""Degradations: how the poor image of a training pair is made of the good one.  A task is a degradation.

Each is a value that is called with a batch and a generator of random numbers on the batch's device:
`degrade(high, rng) -> low`, both in [-1, 1].  Nothing else is random, all happens on the device, and
every image of a batch has its own draw.
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
    """An unsharp lens: a Gaussian blur of `high` along its axes before it is reduced."""

    share: float = 0.5
    """Probability that a rough image is blurred."""
    sigma: tuple[float, float] = (0.1, 0.4)
    """Standard deviation in pixels of `low`, to mean the same at every scale (x4: 0.4 to 1.6 of `high`)."""
    stretch: float = 1.5
    """Largest ratio of the widths along the two axes; 1 blurs equally in all directions."""

    def __post_init__(self) -> None:
        check_bounds("share", (self.share,), 0.0, 1.0)
        check_bounds("sigma", self.sigma, 0.0, 8.0)
        check_bounds("stretch", (self.stretch,), 1.0, 4.0)

    def __call__(self, high: Images, scale: int, rough: Tensor, random: BatchRandom) -> Images:
        sigma = scale * random.uniform(self.sigma) * (rough & random.bernoulli(self.share))
        lean = random.uniform((-0.5, 0.5)) * math.log(self.stretch)
        reach = math.ceil(3 * scale * self.sigma[1] * math.sqrt(self.stretch))
        return gaussian_blur(high, sigma * lean.exp(), sigma / lean.exp(), reach)


@dataclass(frozen=True)
class Grain:
    """Sensor noise: normal, part of its variance growing with brightness as that of counted photons does."""

    share: float = 0.5
    """Probability that a rough image is noisy."""
    std: tuple[float, float] = (0.5, 6.0)
    """Standard deviation at white, in levels of 255; the share of its square left at black is drawn."""

    def __post_init__(self) -> None:
        check_bounds("share", (self.share,), 0.0, 1.0)
        check_bounds("std", self.std, 0.0, 255.0)

    def __call__(self, low: Images, rough: Tensor, random: BatchRandom) -> Images:
        std = random.uniform(self.std) / 127.5 * (rough & random.bernoulli(self.share))
        photons = per_image(random.uniform((0.0, 1.0)))
        brightness = (low.clamp(-1, 1) + 1) / 2
        variance = 1 - photons * (1 - brightness)
        return low + per_image(std) * variance.sqrt() * random.normal(low)


@dataclass(frozen=True)
class Jpeg:
    """The file the picture came in: JPEG at low resolution.  For 1 or 3 channels only."""

    share: float = 0.7
    """Probability that a rough image is compressed; 0 for pictures that have neither 1 nor 3 channels."""
    quality: tuple[float, float] = (60.0, 95.0)
    """libjpeg's quality, 1 to 100."""
    halved: float = 0.5
    """Probability of colour at half the size (4:2:0) rather than the full size (4:4:4)."""

    def __post_init__(self) -> None:
        check_bounds("share", (self.share,), 0.0, 1.0)
        check_bounds("quality", self.quality, 1.0, 100.0)
        check_bounds("halved", (self.halved,), 0.0, 1.0)

    def __call__(self, low: Images, rough: Tensor, random: BatchRandom) -> Images:
        if self.share == 0:
            return low
        chosen, quality = rough & random.bernoulli(self.share), random.uniform(self.quality)
        after = jpeg_roundtrip((low.clamp(-1, 1) + 1) / 2, quality, random.bernoulli(self.halved)) * 2 - 1
        return torch.where(per_image(chosen), after, low)


@dataclass(frozen=True)
class Photo:
    """Photos as people have them: most exactly reduced, some a little unsharp, noisy or compressed as well.

    A share of `clean` images is bicubic to the bit, so that a model learns to trust its input; the others,
    called rough, go through blur, reduction, grain and JPEG, each with its own probability.
    """

    scale: int
    clean: float = 0.7
    """Probability of nothing but the reduction."""
    kernels: tuple[Kernel, ...] = (MatlabBicubic(), PillowBicubic())
    """One of these reduces each image."""
    blur: Blur = field(default_factory=Blur)
    noise: Grain = field(default_factory=Grain)
    jpeg: Jpeg = field(default_factory=Jpeg)
    eight_bit: bool = True
    """Round to the levels of an 8-bit file, as photos are; else, of deeper pictures, only clip to [-1, 1]."""

    def __post_init__(self) -> None:
        check_bounds("scale", (float(self.scale),), 1.0, math.inf)
        check_bounds("clean", (self.clean,), 0.0, 1.0)
        if not self.kernels:
            raise ConfigError("kernels: none are named; at least one is needed, e.g. MatlabBicubic")

    def check(self, channels: int) -> None:
        """Raises ConfigError for pictures that no JPEG holds, unless there is none."""
        if channels not in (1, 3) and self.jpeg.share > 0:
            raise ConfigError(
                f"degradation.jpeg.share is {self.jpeg.share} for pictures of {channels} channels; "
                "JPEG holds 1 or 3, so set it to 0"
            )

    @torch.no_grad()
    def __call__(self, high: Images, rng: torch.Generator) -> LowImages:
        """high (B, C, H, W) -> low (B, C, H / scale, W / scale), rounded up.

        Raises ConfigError for pictures of neither 1 nor 3 channels unless `jpeg.share` is 0.
        """
        self.check(high.shape[1])
        random = BatchRandom(rng, high)
        rough = ~random.bernoulli(self.clean)
        low = self._reduced(self.blur(high, self.scale, rough, random), random)
        low = self.jpeg(self.noise(low, rough, random), rough, random)
        return round_to_eight_bits(low) if self.eight_bit else low.clamp(-1, 1)

    def _reduced(self, high: Images, random: BatchRandom) -> LowImages:
        """Reduced by one kernel each.  All are computed: choosing first would make a GPU wait for the CPU."""
        chosen = random.integers(len(self.kernels))
        low, *others = (downsampled(high, self.scale, kernel) for kernel in self.kernels)
        for number, other in enumerate(others, start=1):
            low = torch.where(per_image(chosen == number), other, low)
        return low


@dataclass(frozen=True)
class Given:
    """Poor pictures are given beside the good ones, and nothing makes them: see `data.load_photos`."""

    scale: int
    """Pixels of `high` per pixel of `low`, a side; 1 for pictures of one size."""

    def __post_init__(self) -> None:
        check_bounds("scale", (float(self.scale),), 1.0, math.inf)

    def __call__(self, high: Images, rng: torch.Generator) -> LowImages:
        """Raises ConfigError."""
        raise ConfigError(NEEDS_GIVEN_LOW)


NEEDS_GIVEN_LOW = (
    "method.degradation: Given: nothing makes poor pictures of good ones; name those that are given (--low)"
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
"""Those that do not take any number of channels have a `check` of it."""


def makes_low_text(degradation: Degradation) -> str:
    """Says of any other why no poor pictures are to be given."""
    return f"method.degradation is {type(degradation).__name__}, which makes poor pictures of the good ones"


def check_accepts_low(degradation: Degradation) -> None:
    """Raises ConfigError if a model of that task restores nothing that could be given: it has learnt to fill
    holes that it is told, or to colour what has lost its colour."""
    if isinstance(degradation, Grey | Inpainting | Uncropping):
        raise ConfigError(f"--low: {makes_low_text(degradation)}; leave --low out")
