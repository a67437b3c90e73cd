"""Where a condition comes from: values that build modules low -> Condition.

`reach` is the farthest low pixel that a condition's pixel depends on; `doors` are the channels of what comes
through each door, named as the networks' fields are; `planes` is what low must hold behind its image.
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
"""Stands in the plane of classes where the class is withheld."""


@dataclass(frozen=True)
class Upsampled:
    """The enlarged low image, concatenated to the network's input (SR3, section 2.4).

    eight_bit  it is enlarged as files are, rounded to the levels of 8 bits and clipped: so code that enlarges
               pictures, not tensors, shows it
    """

    kernel: Kernel = field(default_factory=MatlabBicubic)
    eight_bit: bool = False

    planes: ClassVar[int] = 0
    reach: ClassVar[int] = 2  # half the width of the cubic

    def doors(self, channels: int) -> dict[str, int]:
        return {"image_channels": channels}

    def build(self, scale: int, channels: int) -> SourceModule:
        return UpsampledModule(scale, channels, self.kernel, self.eight_bit)


@dataclass(frozen=True)
class Augmented:
    """`Upsampled`, and the network is told how much noise low was given (Ho et al. 2021b, section 4.2).

    One plane: the noise's standard deviation, 0 for a picture as it is; told in `width` sines and cosines.
    """

    kernel: Kernel = field(default_factory=MatlabBicubic)
    width: int = 64

    planes: ClassVar[int] = 1
    reach: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.width < 2 or self.width % 2:
            raise ConfigError(f"width: {self.width} is not an even number; half are sines, half cosines")

    def doors(self, channels: int) -> dict[str, int]:
        return {"image_channels": channels, "vector": self.width}

    def build(self, scale: int, channels: int) -> SourceModule:
        return AugmentedModule(scale, channels, self.kernel, self.width)


@dataclass(frozen=True)
class Encoded:
    """Features of the low image by a network (SRDiff, section 3.3).

    frozen  the encoder was trained before and stays as it is
    """

    encoder: Encoder = field(default_factory=PackedEncoder)
    kernel: Kernel = field(default_factory=MatlabBicubic)
    frozen: bool = False

    planes: ClassVar[int] = 0

    @property
    def reach(self) -> int:
        return self.encoder.reach

    def doors(self, channels: int) -> dict[str, int]:
        return {"features": self.encoder.features}

    def build(self, scale: int, channels: int) -> SourceModule:
        return EncodedModule(scale, channels, self)


@dataclass(frozen=True)
class Low:
    """The low image as it is, through the door of features: for networks that do all the enlarging."""

    kernel: Kernel = field(default_factory=MatlabBicubic)

    planes: ClassVar[int] = 0
    reach: ClassVar[int] = 0

    def doors(self, channels: int) -> dict[str, int]:
        return {"features": channels}

    def build(self, scale: int, channels: int) -> SourceModule:
        return LowModule(scale, channels, self.kernel)


@dataclass(frozen=True)
class Blank:
    """Nothing is known: only the shape of low counts."""

    planes: ClassVar[int] = 0
    reach: ClassVar[int] = 0

    def doors(self, channels: int) -> dict[str, int]:
        return {}

    def build(self, scale: int, channels: int) -> SourceModule:
        return BlankModule(scale, channels)


@dataclass(frozen=True)
class Labelled:
    """Only the class is known, as a vector of `count` numbers with a 1 at the class's place.

    One plane, low's last: the class, from 0, or -1 for none.  In training `withheld` of the images go without
    theirs, so that guidance can be had (Ho and Salimans 2022, algorithm 1).
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

    def doors(self, channels: int) -> dict[str, int]:
        return {"vector": self.count}

    def build(self, scale: int, channels: int) -> SourceModule:
        return LabelledModule(scale, channels, self)


Source = Upsampled | Augmented | Encoded | Low | Blank | Labelled


def check_guidance(name: str, guidance: float, source: Source) -> None:
    """Raises ConfigError, by the field's name, for any but 1 if no estimate without the class was learnt."""
    if guidance == 1:
        return
    if not isinstance(source, Labelled):
        raise ConfigError(f"{name}: the source has no class that could be withheld; use 1")
    if source.withheld == 0:
        raise ConfigError(f"{name}: the class was never withheld in training, source.withheld is 0; use 1")


class Enlarging(SourceModule):
    """The base is low's image, enlarged by a kernel; at scale 1 there may be a mask behind all else."""

    planes = 0

    def __init__(self, scale: int, channels: int, kernel: Kernel) -> None:
        super().__init__()
        self.scale, self.channels, self.kernel = scale, channels, kernel

    def image(self, low: LowWithPlanes) -> LowImages:
        """low without its planes.  ValueError if it has others than it should."""
        taken = self.channels + self.planes
        if low.shape[1] != taken and (low.shape[1], self.scale) != (taken + 1, 1):
            raise ValueError(f"low has {low.shape[1]} channels; {taken} are taken at scale {self.scale}")
        return low[:, : self.channels]

    def base(self, low: LowWithPlanes) -> Images:
        return enlarged(self.image(low), self.scale, self.kernel)

    def mask(self, low: LowWithPlanes) -> Mask | None:
        return low[:, -1:] if low.shape[1] == self.channels + self.planes + 1 else None


@final
class UpsampledModule(Enlarging):
    def __init__(self, scale: int, channels: int, kernel: Kernel, eight_bit: bool) -> None:
        super().__init__(scale, channels, kernel)
        self.eight_bit = eight_bit

    def base(self, low: LowWithPlanes) -> Images:
        way = enlarged_as_files if self.eight_bit else enlarged
        return way(self.image(low), self.scale, self.kernel)

    def forward(self, low: LowWithPlanes) -> Condition:
        base = self.base(low)
        return Condition(base, image=base)


@final
class AugmentedModule(Enlarging):
    planes = 1

    def __init__(self, scale: int, channels: int, kernel: Kernel, width: int) -> None:
        super().__init__(scale, channels, kernel)
        self.width = width

    def forward(self, low: LowWithPlanes) -> Condition:
        base = self.base(low)
        return Condition(base, image=base, vector=waves(low[:, self.channels, 0, 0], self.width))


@final
class EncodedModule(Enlarging):
    def __init__(self, scale: int, channels: int, value: Encoded) -> None:
        super().__init__(scale, channels, value.kernel)
        self.value = value
        self.encoder = value.encoder.build().requires_grad_(not value.frozen)

    def forward(self, low: LowWithPlanes) -> Condition:
        return Condition(self.base(low), features=self.encoder(self.image(low)))


@final
class LowModule(Enlarging):
    def forward(self, low: LowWithPlanes) -> Condition:
        return Condition(self.base(low), features=self.image(low))


@final
class BlankModule(SourceModule):
    def __init__(self, scale: int, channels: int) -> None:
        super().__init__()
        self.scale, self.channels = scale, channels

    def base(self, low: Tensor) -> Images:
        return blank(low, self.scale, self.channels)

    def forward(self, low: Tensor) -> Condition:
        return Condition(self.base(low))


@final
class LabelledModule(SourceModule):
    def __init__(self, scale: int, channels: int, value: Labelled) -> None:
        super().__init__()
        self.scale, self.channels, self.value = scale, channels, value

    def base(self, low: Tensor) -> Images:
        return blank(low, self.scale, self.channels)

    def forward(self, low: LowWithPlanes) -> Condition:
        return Condition(self.base(low), vector=self.places(low[:, -1, 0, 0]))

    def places(self, label: PerImage) -> Tensor:
        """(B, count).  What is random in training is drawn as dropout is."""
        if self.training:
            label = torch.where(torch.rand_like(label) < self.value.withheld, NO_CLASS, label)
        one_more = F.one_hot((label.round().long() - NO_CLASS), self.value.count + 1)
        return one_more[:, 1:].to(label.dtype)

    def withheld(self, low: LowWithPlanes) -> LowWithPlanes:
        return torch.full_like(low, NO_CLASS)


def enlarged(low: LowImages, scale: int, kernel: Kernel) -> Images:
    """`base`: low at scale times its size.  Bicubic overshoots and is not clipped, as in SRDiff's code."""
    height, width = low.shape[-2:]
    return low if scale == 1 else resize(low, (scale * height, scale * width), kernel)


def enlarged_as_files(low: LowImages, scale: int, kernel: Kernel) -> Images:
    """`enlarged`, as an 8-bit picture is: every value rounded to its levels, and clipped."""
    height, width = low.shape[-2:]
    if scale == 1:
        return low
    large = resize_eight_bits(to_uint8(on_float64_device(low)), (scale * height, scale * width), kernel)
    return large.to(low) / 127.5 - 1


def blank(low: Tensor, scale: int, channels: int) -> Images:
    """Zeros of the result's size."""
    b, _, h, w = low.shape
    return torch.zeros(b, channels, h * scale, w * scale).to(low)


def waves(level: PerImage, width: int) -> Tensor:
    """Sines and cosines of 1 to 1000 radians a unit: (B, width)."""
    angle = level[:, None] * torch.logspace(0, 3, width // 2, device=level.device)
    return torch.cat((angle.sin(), angle.cos()), 1)
