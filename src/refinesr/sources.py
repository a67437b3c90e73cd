"""Where a condition comes from: values that build modules low -> Condition.

`reach` is the farthest low pixel that a condition's pixel depends on; `doors` are the channels of what comes
through each door, named as the networks' fields are.
"""

from dataclasses import dataclass, field
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from refinesr.images.resize import Kernel, MatlabBicubic, resize
from refinesr.model import Condition, SourceModule
from refinesr.nets.packed_unet import PackedEncoder
from refinesr.shapes import Images, LowImages

Encoder = PackedEncoder


@dataclass(frozen=True)
class Upsampled:
    """The enlarged low image, concatenated to the network's input (SR3, section 2.4)."""

    kernel: Kernel = field(default_factory=MatlabBicubic)

    reach: ClassVar[int] = 2  # half the width of the cubic

    def doors(self, channels: int) -> dict[str, int]:
        return {"image_channels": channels}

    def build(self, scale: int, channels: int) -> SourceModule:
        return UpsampledModule(scale, self.kernel)


@dataclass(frozen=True)
class Encoded:
    """Features of the low image by a network (SRDiff, section 3.3)."""

    encoder: Encoder = field(default_factory=PackedEncoder)
    kernel: Kernel = field(default_factory=MatlabBicubic)

    @property
    def reach(self) -> int:
        return self.encoder.reach

    def doors(self, channels: int) -> dict[str, int]:
        return {"features": self.encoder.features}

    def build(self, scale: int, channels: int) -> SourceModule:
        return EncodedModule(scale, self.kernel, self.encoder.build())


@dataclass(frozen=True)
class Blank:
    """Nothing is known: only the shape of low counts."""

    reach: ClassVar[int] = 0

    def doors(self, channels: int) -> dict[str, int]:
        return {}

    def build(self, scale: int, channels: int) -> SourceModule:
        return BlankModule(scale, channels)


Source = Upsampled | Encoded | Blank


class Enlarging(SourceModule):
    """The base is low enlarged by a kernel."""

    def __init__(self, scale: int, kernel: Kernel) -> None:
        super().__init__()
        self.scale, self.kernel = scale, kernel

    def base(self, low: LowImages) -> Images:
        return enlarged(low, self.scale, self.kernel)


@final
class UpsampledModule(Enlarging):
    def forward(self, low: LowImages) -> Condition:
        base = self.base(low)
        return Condition(base, image=base)


@final
class EncodedModule(Enlarging):
    def __init__(self, scale: int, kernel: Kernel, encoder: nn.Module) -> None:
        super().__init__(scale, kernel)
        self.encoder = encoder

    def forward(self, low: LowImages) -> Condition:
        return Condition(self.base(low), features=self.encoder(low))


@final
class BlankModule(SourceModule):
    def __init__(self, scale: int, channels: int) -> None:
        super().__init__()
        self.scale, self.channels = scale, channels

    def base(self, low: Tensor) -> Images:
        b, _, h, w = low.shape
        return torch.zeros(b, self.channels, h * self.scale, w * self.scale).to(low)

    def forward(self, low: Tensor) -> Condition:
        return Condition(self.base(low))


def enlarged(low: LowImages, scale: int, kernel: Kernel) -> Images:
    """`base`: low at scale times its size.  Bicubic overshoots and is not clipped, as in SRDiff's code."""
    height, width = low.shape[-2:]
    return low if scale == 1 else resize(low, (scale * height, scale * width), kernel)
