"""Sources: how the condition is computed from the low image.  Each builds a module low -> Condition.

reach           how far, in pixels of low, the farthest pixel is that a pixel of the condition depends on
input_channels  channels of each input that the network gets, by the names of the networks' fields
planes          number of planes that low must have behind its image
"""

from dataclasses import dataclass, field
from typing import ClassVar, final

import torch
import torch.nn.functional as F
from torch import Tensor

from refinesr.devices import on_float64_device
from refinesr.errors import ConfigError
from refinesr.images.eight_bits import resize_eight_bits, to_uint8
from refinesr.images.resize import Kernel, MatlabBicubic, resize
from refinesr.model import Condition, SourceModule
from refinesr.nets.packed_unet import PackedEncoder
from refinesr.nets.rrdb import RRDB
from refinesr.shapes import Images, LowImages, LowWithPlanes, Mask, PerImage

Encoder = PackedEncoder | RRDB

NO_CLASS = -1
"""The value of the class plane where the class is withheld."""


@dataclass(frozen=True)
class Upsampled:
    """The upsampled low image, concatenated to the network's input (SR3, section 2.4).

    eight_bit  upsample in 8 bits, with rounding and clipping, as published code does that resizes image
               files instead of tensors
    """

    kernel: Kernel = field(default_factory=MatlabBicubic)
    eight_bit: bool = False

    planes: ClassVar[int] = 0
    reach: ClassVar[int] = 2  # half the width of the cubic

    def input_channels(self, channels: int) -> dict[str, int]:
        return {"image_channels": channels}

    def build(self, scale: int, channels: int) -> SourceModule:
        return UpsampledModule(scale, channels, self.kernel, self.eight_bit)


@dataclass(frozen=True)
class Augmented:
    """`Upsampled`, and the level of conditioning augmentation as `vector` (Ho et al. 2021b, section 4.2).

    One plane: the standard deviation of the noise added to low, 0 for none; embedded in `width` numbers.
    """

    kernel: Kernel = field(default_factory=MatlabBicubic)
    width: int = 64

    planes: ClassVar[int] = 1
    reach: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.width < 2 or self.width % 2:
            raise ConfigError(f"width: {self.width} is not an even number; half are sines, half cosines")

    def input_channels(self, channels: int) -> dict[str, int]:
        return {"image_channels": channels, "vector": self.width}

    def build(self, scale: int, channels: int) -> SourceModule:
        return AugmentedModule(scale, channels, self.kernel, self.width)


@dataclass(frozen=True)
class Encoded:
    """Features of the low image, computed by an encoder network (SRDiff, section 3.3).

    frozen  the encoder has been trained before, and its weights do not change
    """

    encoder: Encoder = field(default_factory=PackedEncoder)
    kernel: Kernel = field(default_factory=MatlabBicubic)
    frozen: bool = False

    planes: ClassVar[int] = 0

    @property
    def reach(self) -> int:
        return self.encoder.reach

    def input_channels(self, channels: int) -> dict[str, int]:
        return {"features": self.encoder.features}

    def build(self, scale: int, channels: int) -> SourceModule:
        return EncodedModule(scale, channels, self)


@dataclass(frozen=True)
class Low:
    """The low image itself as `features`, for networks that upsample it themselves."""

    kernel: Kernel = field(default_factory=MatlabBicubic)

    planes: ClassVar[int] = 0
    reach: ClassVar[int] = 0

    def input_channels(self, channels: int) -> dict[str, int]:
        return {"features": channels}

    def build(self, scale: int, channels: int) -> SourceModule:
        return LowModule(scale, channels, self.kernel)


@dataclass(frozen=True)
class Blank:
    """No condition: unconditional generation.  Only the shape of low matters."""

    planes: ClassVar[int] = 0
    reach: ClassVar[int] = 0

    def input_channels(self, channels: int) -> dict[str, int]:
        return {}

    def build(self, scale: int, channels: int) -> SourceModule:
        return BlankModule(scale, channels)


@dataclass(frozen=True)
class Labelled:
    """The class as `vector`, one-hot over `count` classes: class-conditional generation.

    One plane, the last channel of low: the class, from 0, or -1 for none.  In training, the class of a share
    `withheld` of the images is dropped, for classifier-free guidance (Ho and Salimans 2022, algorithm 1).
    """

    count: int
    withheld: float = 0.1

    planes: ClassVar[int] = 1
    reach: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"count: {self.count} is not a number of classes; at least 1")
        if not 0 <= self.withheld < 1:
            raise ConfigError(f"withheld: {self.withheld} is not in [0, 1)")

    def input_channels(self, channels: int) -> dict[str, int]:
        return {"vector": self.count}

    def build(self, scale: int, channels: int) -> SourceModule:
        return LabelledModule(scale, channels, self)


Source = Upsampled | Augmented | Encoded | Low | Blank | Labelled


def check_guidance(name: str, guidance: float, source: Source) -> None:
    """Raises ConfigError if guidance needs an unconditional estimate and none was trained."""
    if guidance == 1:
        return
    if not isinstance(source, Labelled):
        raise ConfigError(f"{name}: the source has no class that could be withheld; use 1")
    if source.withheld == 0:
        raise ConfigError(f"{name}: the class was never withheld in training, source.withheld is 0; use 1")


class ImageSourceModule(SourceModule):
    """A source whose base is the upsampled image of low; at scale 1 low may have a mask as its last plane."""

    planes = 0

    def __init__(self, scale: int, channels: int, kernel: Kernel) -> None:
        super().__init__()
        self.scale, self.channels, self.kernel = scale, channels, kernel

    def image(self, low: LowWithPlanes) -> LowImages:
        """low without its planes.  Raises ValueError if the number of planes is wrong."""
        expected = self.channels + self.planes
        if low.shape[1] != expected and (low.shape[1], self.scale) != (expected + 1, 1):
            raise ValueError(
                f"low has {low.shape[1]} channels; {expected} are expected at scale {self.scale}"
            )
        return low[:, : self.channels]

    def base(self, low: LowWithPlanes) -> Images:
        return upsampled(self.image(low), self.scale, self.kernel)

    def mask(self, low: LowWithPlanes) -> Mask | None:
        return low[:, -1:] if low.shape[1] == self.channels + self.planes + 1 else None


@final
class UpsampledModule(ImageSourceModule):
    def __init__(self, scale: int, channels: int, kernel: Kernel, eight_bit: bool) -> None:
        super().__init__(scale, channels, kernel)
        self.eight_bit = eight_bit

    def base(self, low: LowWithPlanes) -> Images:
        upsample = upsampled_in_eight_bits if self.eight_bit else upsampled
        return upsample(self.image(low), self.scale, self.kernel)

    def forward(self, low: LowWithPlanes) -> Condition:
        base = self.base(low)
        return Condition(base, image=base)


@final
class AugmentedModule(ImageSourceModule):
    planes = 1

    def __init__(self, scale: int, channels: int, kernel: Kernel, width: int) -> None:
        super().__init__(scale, channels, kernel)
        self.width = width

    def forward(self, low: LowWithPlanes) -> Condition:
        base = self.base(low)
        vector = sinusoidal_embedding(low[:, self.channels, 0, 0], self.width)
        return Condition(base, image=base, vector=vector)


@final
class EncodedModule(ImageSourceModule):
    def __init__(self, scale: int, channels: int, config: Encoded) -> None:
        super().__init__(scale, channels, config.kernel)
        self.config = config
        self.encoder = config.encoder.build().requires_grad_(not config.frozen)

    def forward(self, low: LowWithPlanes) -> Condition:
        return Condition(self.base(low), features=self.encoder(self.image(low)))


@final
class LowModule(ImageSourceModule):
    def forward(self, low: LowWithPlanes) -> Condition:
        return Condition(self.base(low), features=self.image(low))


@final
class BlankModule(SourceModule):
    def __init__(self, scale: int, channels: int) -> None:
        super().__init__()
        self.scale, self.channels = scale, channels

    def base(self, low: Tensor) -> Images:
        return blank_base(low, self.scale, self.channels)

    def forward(self, low: Tensor) -> Condition:
        return Condition(self.base(low))


@final
class LabelledModule(SourceModule):
    def __init__(self, scale: int, channels: int, config: Labelled) -> None:
        super().__init__()
        self.scale, self.channels, self.config = scale, channels, config

    def base(self, low: Tensor) -> Images:
        return blank_base(low, self.scale, self.channels)

    def forward(self, low: LowWithPlanes) -> Condition:
        return Condition(self.base(low), vector=self.one_hot(low[:, -1, 0, 0]))

    def one_hot(self, label: PerImage) -> Tensor:
        """(B, count), all 0 for no class.  In training some are dropped at random, as by dropout."""
        if self.training:
            label = torch.where(torch.rand_like(label) < self.config.withheld, NO_CLASS, label)
        with_no_class = F.one_hot((label.round().long() - NO_CLASS), self.config.count + 1)
        return with_no_class[:, 1:].to(label.dtype)

    def without_class(self, low: LowWithPlanes) -> LowWithPlanes:
        return torch.full_like(low, NO_CLASS)


def upsampled(low: LowImages, scale: int, kernel: Kernel) -> Images:
    """low at `scale` times its size.  The overshoot of bicubic is not clipped, as in SRDiff's code."""
    height, width = low.shape[-2:]
    return low if scale == 1 else resize(low, (scale * height, scale * width), kernel)


def upsampled_in_eight_bits(low: LowImages, scale: int, kernel: Kernel) -> Images:
    """`upsampled`, computed in 8 bits: every value is rounded to one of 256 levels, and clipped."""
    height, width = low.shape[-2:]
    if scale == 1:
        return low
    large = resize_eight_bits(to_uint8(on_float64_device(low)), (scale * height, scale * width), kernel)
    return large.to(low) / 127.5 - 1


def blank_base(low: Tensor, scale: int, channels: int) -> Images:
    """Zeros (B, channels, H, W) of the result's size."""
    b, _, h, w = low.shape
    return torch.zeros(b, channels, h * scale, w * scale).to(low)


def sinusoidal_embedding(level: PerImage, width: int) -> Tensor:
    """Sines and cosines of 1 to 1000 radians per unit of the level: (B, width)."""
    angle = level[:, None] * torch.logspace(0, 3, width // 2, device=level.device)
    return torch.cat((angle.sin(), angle.cos()), 1)
