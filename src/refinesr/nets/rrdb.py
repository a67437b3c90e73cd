"""SRDiff's encoder of the low image: the RRDB network of ESRGAN (Wang et al. 2018, section 3.1).

In the layout of the public SRDiff code, so that its weights load key by key (there under `rrdb.`).  The
encoder is first trained alone, as a regression (Li et al. 2021, section 3.3); then SRDiff's U-Net gets the
outputs of every third block as features.  All layers are convolutions at low's size with zero padding.
"""

from dataclasses import dataclass, field
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refinesr.errors import ConfigError
from refinesr.shapes import Features, Images, LowImages, PerImage

LEAKY_SLOPE = 0.2
"""Negative slope of the leaky ReLU."""

RESIDUAL_SCALE = 0.2
"""Factor on each residual branch."""

BLOCK_REACH = 3 * 5
"""Reach of a block: three dense blocks of five 3x3 convolutions each."""


@final
@dataclass(frozen=True)
class RRDB:
    """The encoder low (B, channels, h, w) in [-1, 1] -> features (B, features, h, w).

    `blocks` is the number of residual-in-residual dense blocks (RRDB); a dense block adds `growth` channels
    to `width` four times.  The module's method `image` computes the image at `scale` times the size.

    12.38 M parameters by default (SRDiff, photos x4), 1.49 M with (width, growth, blocks, scale) =
    (32, 16, 8, 8) (faces x8).  Raises ConfigError for settings that cannot be built.
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
        """Channels of the features: every third output of the blocks and the trunk, concatenated."""
        return self.width * ((self.blocks + 1) // 3)

    @property
    def reach(self) -> int:
        """Distance of the farthest pixel of low that a feature depends on, along an axis."""
        if (self.blocks + 1) % 3 == 0:
            return self.trunk_reach
        return 1 + BLOCK_REACH * (self.blocks // 3 * 3)  # the features do not include the trunk's output

    @property
    def trunk_reach(self) -> int:
        """`reach` of the trunk's output."""
        return 1 + BLOCK_REACH * self.blocks + 1

    @property
    def stride(self) -> int:
        return 1

    def build(self) -> nn.Module:
        return RRDBModule(self)


@final
@dataclass(frozen=True)
class RRDBNetwork:
    """The network F(x, label, features) for training the encoder as a regression: `features` is low itself.

    x and the label are ignored.  The result is (B, channels, H, W) in [-1, 1]; H and W are at most `scale`
    times low's.
    """

    rrdb: RRDB = field(default_factory=RRDB)

    @property
    def channels(self) -> int:
        return self.rrdb.channels

    @property
    def features(self) -> int:
        """Channels of low, the only input."""
        return self.rrdb.channels

    @property
    def scale(self) -> int:
        return self.rrdb.scale

    @property
    def stride(self) -> int:
        """Corners of tiles must lie on multiples of this, in pixels of x."""
        return self.scale

    @property
    def reach(self) -> int:
        """In pixels of x: `scale` for each pixel of low that the trunk reaches, and for two more.

        Those two bound what the convolutions behind the trunk reach: at scale 1 exactly two pixels; at larger
        scales three pixels at full size, then one and a half at each smaller size, together at most two of
        low.
        """
        return self.scale * (self.rrdb.trunk_reach + 2)

    def build(self) -> nn.Module:
        return RRDBNetworkModule(self)


@final
class RRDBModule(nn.Module):
    def __init__(self, config: RRDB) -> None:
        super().__init__()
        self.conv_first = conv(config.channels, config.width)
        self.RRDB_trunk = nn.ModuleList(Block(config.width, config.growth) for _ in range(config.blocks))
        self.trunk_conv = conv(config.width, config.width)
        self.upconv_names = [f"upconv{number}" for number in range(1, config.scale.bit_length())]
        for name in self.upconv_names:
            self.add_module(name, conv(config.width, config.width))
        self.HRconv = conv(config.width, config.width)
        self.conv_last = conv(config.width, config.channels)

    def forward(self, low: LowImages) -> Features:
        return torch.cat(self.block_outputs(low)[2::3], 1)

    def image(self, low: LowImages) -> Images:
        """The image at `scale` times low's size, clipped to [-1, 1].

        Gradients pass through the clipping unchanged (a straight-through estimator).  The published code has
        no gradient at clipped pixels, so that a channel that starts below 0 everywhere never recovers.
        """
        h = self.block_outputs(low)[-1]
        for name in self.upconv_names:
            h = leaky(self.get_submodule(name)(F.interpolate(h, scale_factor=2.0)))
        y: Tensor = self.conv_last(leaky(self.HRconv(h)))
        return 2 * (y + (y.clamp(0, 1) - y).detach()) - 1

    def block_outputs(self, low: LowImages) -> list[Tensor]:
        """The output of each block, then of the trunk: first convolution + convolution of the last block."""
        first: Tensor = self.conv_first((low + 1) / 2)
        outputs = [first]
        for block in self.RRDB_trunk:
            outputs.append(block(outputs[-1]))
        return [*outputs[1:], first + self.trunk_conv(outputs[-1])]


@final
class RRDBNetworkModule(nn.Module):
    def __init__(self, config: RRDBNetwork) -> None:
        super().__init__()
        self.rrdb = RRDBModule(config.rrdb)

    def forward(self, x: Images, label: PerImage, features: Features | None = None) -> Images:
        if features is None:
            raise ValueError("features missing: they are the low image")
        return self.rrdb.image(features)[..., : x.shape[-2], : x.shape[-1]]


@final
class Block(nn.Module):
    """Residual-in-residual dense block: x + RESIDUAL_SCALE * three dense blocks in sequence."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.RDB1 = DenseBlock(width, growth)
        self.RDB2 = DenseBlock(width, growth)
        self.RDB3 = DenseBlock(width, growth)

    def forward(self, x: Features) -> Features:
        y: Tensor = self.RDB3(self.RDB2(self.RDB1(x)))
        return x + RESIDUAL_SCALE * y


@final
class DenseBlock(nn.Module):
    """x + RESIDUAL_SCALE * the last of five convolutions, each of which gets x and all earlier outputs."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.conv1 = small_init(conv(width, growth))
        self.conv2 = small_init(conv(width + growth, growth))
        self.conv3 = small_init(conv(width + 2 * growth, growth))
        self.conv4 = small_init(conv(width + 3 * growth, growth))
        self.conv5 = small_init(conv(width + 4 * growth, width))

    def forward(self, x: Features) -> Features:
        maps = x
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            maps = torch.cat((maps, leaky(layer(maps))), 1)
        y: Tensor = self.conv5(maps)
        return x + RESIDUAL_SCALE * y


def conv(width: int, to: int) -> nn.Conv2d:
    return nn.Conv2d(width, to, 3, padding=1)


def small_init(layer: nn.Conv2d) -> nn.Conv2d:
    """Initialises a layer with a tenth of He's weights, which eases training without norms (ESRGAN)."""
    nn.init.kaiming_normal_(layer.weight)
    with torch.no_grad():
        layer.weight *= 0.1
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAKY_SLOPE)
