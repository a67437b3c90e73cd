"""SRDiff's encoder of the low image: the RRDB network of ESRGAN (Wang et al. 2018, section 3.1).

Laid out so that the weights of the public SRDiff code load key by key (there under `rrdb.`).  Alone it is a
regression, and so it is trained first (Li et al. 2021, section 3.3); then SRDiff's U-Net is shown what its
blocks say, every third of them.  Everything is convolutional at low's size, with zeros around the picture.
"""

from dataclasses import dataclass, field
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refinesr.errors import ConfigError
from refinesr.shapes import Features, Images, LowImages, PerImage

SLOPE = 0.2
"""Of the leaky ReLU."""

SHARE = 0.2
"""What a residual branch is scaled by."""

BLOCK_REACH = 3 * 5
"""A block is three dense blocks of five 3x3 convolutions."""


@final
@dataclass(frozen=True)
class RRDB:
    """low (B, channels, h, w) in [-1, 1] -> features (B, features, h, w).

    `blocks` are residual in residual; each dense block in them widens `width` by `growth` four times.  The
    module has one more road, `image`, to the picture at `scale` times the size.

    12.38 M parameters as it stands (SRDiff, photos x4), 1.49 M with (width, growth, blocks, scale) =
    (32, 16, 8, 8) (faces x8).  Raises ConfigError for a value that cannot be built.
    """

    channels: int = 3
    width: int = 64
    growth: int = 32
    blocks: int = 17
    scale: int = 4

    def __post_init__(self) -> None:
        for name, bound in {"channels": 1, "width": 1, "growth": 1, "blocks": 2}.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{name}: {getattr(self, name)} is less than {bound}")
        if self.scale < 1 or self.scale & (self.scale - 1):
            raise ConfigError(f"scale: {self.scale} is not a power of two; the picture doubles step by step")

    @property
    def features(self) -> int:
        """Channels: every third of the blocks' outputs and the trunk's, side by side."""
        return self.width * ((self.blocks + 1) // 3)

    @property
    def reach(self) -> int:
        """Farthest pixel of low that a feature depends on, along an axis."""
        if (self.blocks + 1) % 3 == 0:
            return self.trunk_reach
        return 1 + BLOCK_REACH * (self.blocks // 3 * 3)  # the trunk's output is not among the third ones

    @property
    def trunk_reach(self) -> int:
        return 1 + BLOCK_REACH * self.blocks + 1

    @property
    def stride(self) -> int:
        return 1

    def build(self) -> nn.Module:
        return RRDBModule(self)


@final
@dataclass(frozen=True)
class RRDBNetwork:
    """F(x, label, features): the encoder as a whole regression, seeing low (as features) and nothing else.

    The image is (B, channels, H, W) in [-1, 1]; H and W are at most `scale` times low's.
    """

    rrdb: RRDB = field(default_factory=RRDB)

    @property
    def channels(self) -> int:
        return self.rrdb.channels

    @property
    def features(self) -> int:
        """Those of low itself."""
        return self.rrdb.channels

    @property
    def scale(self) -> int:
        return self.rrdb.scale

    @property
    def stride(self) -> int:
        """Corners of tiles lie on multiples of this, in pixels of x."""
        return self.scale

    @property
    def reach(self) -> int:
        """In pixels of x: `scale` for each pixel of low, two of them by the convolutions behind the trunk.

        At scale 1 those two are all; larger, it is three pixels at full size, then one (and half a pixel) at
        each smaller size: never more than two of low.
        """
        return self.scale * (self.rrdb.trunk_reach + 2)

    def build(self) -> nn.Module:
        return RRDBNetworkModule(self)


@final
class RRDBModule(nn.Module):
    def __init__(self, value: RRDB) -> None:
        super().__init__()
        self.conv_first = conv(value.channels, value.width)
        self.RRDB_trunk = nn.ModuleList(Block(value.width, value.growth) for _ in range(value.blocks))
        self.trunk_conv = conv(value.width, value.width)
        self.doublings = [f"upconv{number}" for number in range(1, value.scale.bit_length())]
        for name in self.doublings:
            self.add_module(name, conv(value.width, value.width))
        self.HRconv = conv(value.width, value.width)
        self.conv_last = conv(value.width, value.channels)

    def forward(self, low: LowImages) -> Features:
        return torch.cat(self.maps(low)[2::3], 1)

    def image(self, low: LowImages) -> Images:
        """In [-1, 1], clipped.

        The published code learns nothing from a pixel that is cut off, and a channel all of whose pixels
        start below 0 stays there for good; here gradients pass as if nothing were cut.
        """
        h = self.maps(low)[-1]
        for name in self.doublings:
            h = leaky(self.get_submodule(name)(F.interpolate(h, scale_factor=2.0)))
        y: Tensor = self.conv_last(leaky(self.HRconv(h)))
        return 2 * (y + (y.clamp(0, 1) - y).detach()) - 1

    def maps(self, low: LowImages) -> list[Tensor]:
        """What each block says, then the trunk: what came in plus a convolution of the last."""
        first: Tensor = self.conv_first((low + 1) / 2)
        maps = [first]
        for block in self.RRDB_trunk:
            maps.append(block(maps[-1]))
        return [*maps[1:], first + self.trunk_conv(maps[-1])]


@final
class RRDBNetworkModule(nn.Module):
    def __init__(self, value: RRDBNetwork) -> None:
        super().__init__()
        self.rrdb = RRDBModule(value.rrdb)

    def forward(self, x: Images, label: PerImage, features: Features | None = None) -> Images:
        if features is None:
            raise ValueError("features missing: they are the low image")
        return self.rrdb.image(features)[..., : x.shape[-2], : x.shape[-1]]


@final
class Block(nn.Module):
    """Residual in residual: x + a share of three dense blocks in a row."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.RDB1 = Dense(width, growth)
        self.RDB2 = Dense(width, growth)
        self.RDB3 = Dense(width, growth)

    def forward(self, x: Features) -> Features:
        y: Tensor = self.RDB3(self.RDB2(self.RDB1(x)))
        return x + SHARE * y


@final
class Dense(nn.Module):
    """x + a share of the last of five convolutions, each of which sees x and all before it."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.conv1 = narrow(conv(width, growth))
        self.conv2 = narrow(conv(width + growth, growth))
        self.conv3 = narrow(conv(width + 2 * growth, growth))
        self.conv4 = narrow(conv(width + 3 * growth, growth))
        self.conv5 = narrow(conv(width + 4 * growth, width))

    def forward(self, x: Features) -> Features:
        maps = x
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            maps = torch.cat((maps, leaky(layer(maps))), 1)
        y: Tensor = self.conv5(maps)
        return x + SHARE * y


def conv(width: int, to: int) -> nn.Conv2d:
    return nn.Conv2d(width, to, 3, padding=1)


def narrow(layer: nn.Conv2d) -> nn.Conv2d:
    """Begins at a tenth of He's weights: deep stacks without norms are easier to train so (ESRGAN)."""
    nn.init.kaiming_normal_(layer.weight)
    with torch.no_grad():
        layer.weight *= 0.1
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)
