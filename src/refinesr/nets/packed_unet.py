"""The few-step network of this project: a U-Net that runs at the low-resolution image's size.

Each scale x scale block of pixels becomes one position with scale² times the channels (space-to-depth), so
that a call costs about 1 / scale² of a U-Net at full size.  The low-resolution image is encoded once, by
`PackedEncoder`.

All layers are convolutions, or norms over the channels of one position.  An output pixel therefore depends on
nothing beyond `reach`, and tiled results can be exact.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from refinesr.errors import ConfigError
from refinesr.nets.strips import Rows, StripCache, conv_rows
from refinesr.shapes import Features, Images

Label = Float[Tensor, " B"]
Embedding = Float[Tensor, "B E"]


@dataclass(frozen=True)
class PackedUNet:
    """The network F(x, label, features): (B, channels, H, W) -> the same shape.

    H and W must be multiples of `scale`.  `widths` are the channels at low's size, at a half and a quarter of
    it.  `blocks` are the residual blocks at these sizes: at the first two as many on the way down as on the
    way up, the last in the middle.  `features` is the width of the encoder's output, 0 for a network without
    a condition.
    """

    scale: int = 4
    channels: int = 3
    features: int = 96
    widths: tuple[int, int, int] = (96, 192, 384)
    blocks: tuple[int, int, int] = (1, 2, 6)
    embedding: int = 256

    def __post_init__(self) -> None:
        for name in ("scale", "channels", "embedding"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not positive")
        if min(self.widths) < 1 or min(self.blocks) < 0:
            raise ConfigError(f"widths, blocks: {self.widths}, {self.blocks} must not be negative")

    @property
    def stride(self) -> int:
        """Corners of tiles must lie on multiples of this, in pixels of x."""
        return 4 * self.scale

    @property
    def reach(self) -> int:
        """Distance of the farthest pixel of x that an output pixel depends on, along an axis."""
        outer, half, middle = self.blocks
        # position k at a quarter of the size covers four positions: 4 (k - r) .. 4 (k + r) + 3
        positions = 2 + 2 * outer + 2 * 2 * half + 4 * middle + 3
        return (positions + 1) * self.scale - 1

    def build(self) -> nn.Module:
        return PackedUNetModule(self)


@dataclass(frozen=True)
class PackedEncoder:
    """The encoder low (B, channels, h, w) -> features (B, width, h, w): residual blocks at low's size."""

    channels: int = 3
    width: int = 96
    blocks: int = 16

    def __post_init__(self) -> None:
        for name in ("channels", "width", "blocks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not positive")

    @property
    def features(self) -> int:
        return self.width

    @property
    def reach(self) -> int:
        """In pixels of low."""
        return self.blocks + 2

    @property
    def stride(self) -> int:
        return 1

    def build(self) -> nn.Module:
        return PackedEncoderModule(self)


class PackedUNetModule(nn.Module):
    def __init__(self, config: PackedUNet) -> None:
        super().__init__()
        self.config = config
        packed = config.channels * config.scale**2
        full, half, quarter = config.widths
        outer, inner, middle = config.blocks
        self.embed = LevelEmbedding(config.embedding)
        self.stem = nn.Conv2d(packed, full, 3, padding=1)
        self.condition = nn.Conv2d(config.features, full, 1) if config.features else None
        self.down_full = Blocks(full, outer, config.embedding)
        self.to_half = nn.Conv2d(full, half, 2, stride=2)
        self.down_half = Blocks(half, inner, config.embedding)
        self.to_quarter = nn.Conv2d(half, quarter, 2, stride=2)
        self.middle = Blocks(quarter, middle, config.embedding)
        self.from_quarter = Upsample(quarter, half)
        self.up_half = Blocks(half, inner, config.embedding)
        self.from_half = Upsample(half, full)
        self.up_full = Blocks(full, outer, config.embedding)
        self.norm = PixelNorm(full)
        self.out = zero_init(nn.Conv2d(full, packed, 3, padding=1))

    def forward(self, x: Images, label: Label, features: Features | None = None) -> Images:
        if (features is None) != (self.condition is None):
            raise ValueError(f"features {'missing' if features is None else 'given'}, config {self.config}")
        h = F.pixel_unshuffle(x, self.config.scale)  # (B, C scale², h, w)
        height, width = h.shape[-2:]
        h = self.stem(padded(h))
        if self.condition is not None and features is not None:
            h = h + self.condition(padded(features))
        level = self.embed(label)
        full = self.down_full(h, level)
        half = self.down_half(self.to_half(full), level)
        quarter = self.middle(self.to_quarter(half), level)
        half = self.up_half(half + self.from_quarter(quarter), level)
        full = self.up_full(full + self.from_half(half), level)
        y = self.out(F.silu(self.norm(full)))[..., :height, :width]
        return F.pixel_shuffle(y, self.config.scale)  # (B, C, H, W)


class PackedEncoderModule(nn.Module):
    def __init__(self, config: PackedEncoder) -> None:
        super().__init__()
        self.stem = nn.Conv2d(config.channels, config.width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(config.width) for _ in range(config.blocks))
        self.norm = PixelNorm(config.width)
        self.out = nn.Conv2d(config.width, config.width, 3, padding=1)

    def forward(self, low: Images) -> Features:
        h: Tensor = self.stem(low)
        first = h
        for block in self.blocks:
            h = block(h)
        y: Tensor = self.out(F.silu(self.norm(h)))
        return first + y

    def strip(self, low: Rows, cache: StripCache) -> Rows:
        """`forward` for an image in strips, from top to bottom: the output rows that are computed by now."""
        cache.count_rows(low)
        first = h = conv_rows(self.stem, cache.with_context(self.stem, low))
        for block in self.blocks:
            assert isinstance(block, Block)  # for the type checker
            h = block.strip(h, cache)
        y = conv_rows(self.out, F.silu(self.norm(cache.with_context(self.out, h))))
        return y.add_(cache.delay(self, first, y.shape[2]))


class Blocks(nn.Module):
    """A sequence of residual blocks, each modulated by the embedding of the noise level."""

    def __init__(self, width: int, number: int, embedding: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(number))
        self.modulations = nn.ModuleList(zero_init(nn.Linear(embedding, 2 * width)) for _ in range(number))

    def forward(self, x: Features, level: Embedding) -> Features:
        for block, modulation in zip(self.blocks, self.modulations, strict=True):
            x = block(x, modulation(level))
        return x


class Block(nn.Module):
    """x + W2 silu(W1 * modulated(norm(x))): a 3x3 convolution and a 1x1 that is initialised with zeros."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = PixelNorm(width)
        self.wide = nn.Conv2d(width, width, 3, padding=1)
        self.back = zero_init(nn.Conv2d(width, width, 1))

    def forward(self, x: Features, modulation: Float[Tensor, "B _"] | None = None) -> Features:
        h = self.norm(x)
        if modulation is not None:
            scale, shift = modulation[..., None, None].chunk(2, dim=1)  # each (B, F, 1, 1)
            h = torch.addcmul(shift, h, 1 + scale)
        return self.add_residual(self.wide(h), x)

    def strip(self, x: Rows, cache: StripCache) -> Rows:
        rows = cache.with_context(self, x)
        return self.add_residual(conv_rows(self.wide, self.norm(rows)), rows[:, :, 1:-1])

    def add_residual(self, wide: Features, x: Features) -> Features:
        y: Tensor = self.back(F.silu(wide, inplace=not wide.requires_grad))
        return y.add_(x)


class PixelNorm(nn.Module):
    """RMS norm over the channels of each position: without statistics of the image, tiles have no seams."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Features) -> Features:
        # twice as fast on a CPU as F.rms_norm, which allocates several intermediate tensors
        wide = torch.promote_types(x.dtype, torch.float32)
        length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=wide)
        mean_square = length.square() / x.shape[1]
        scaled, weight = (mean_square + 1e-6).rsqrt() * x, self.weight[:, None, None]
        # in place without gradients: saves a tensor
        weighed = scaled * weight if scaled.requires_grad else scaled.mul_(weight)
        return weighed.to(x.dtype)


class Upsample(nn.Module):
    """Twice the size: a 1x1 convolution to four times the channels, then depth-to-space."""

    def __init__(self, width: int, to: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, 4 * to, 1)

    def forward(self, x: Features) -> Float[Tensor, "B K HH WW"]:
        return F.pixel_shuffle(self.conv(x), 2)


class LevelEmbedding(nn.Module):
    """Sines and cosines of the label at 1/8 to 2 periods per unit, then two linear layers.

    Suits labels with a range of a few units, as `LogSigma`.
    """

    def __init__(self, width: int, waves: int = 32) -> None:
        super().__init__()
        self.waves = waves
        self.first = nn.Linear(2 * waves, width)
        self.second = nn.Linear(width, width)

    def forward(self, label: Label) -> Embedding:
        periods = torch.logspace(-3, 1, self.waves, base=2, dtype=label.dtype, device=label.device)
        angle = 2 * math.pi * label[:, None] * periods
        waves = torch.cat([angle.sin(), angle.cos()], 1)
        return F.silu(self.second(F.silu(self.first(waves))))


def padded(x: Features) -> Float[Tensor, "B F hh ww"]:
    """x padded at the bottom and right to multiples of four, by repeating the last row and column."""
    bottom, right = -x.shape[-2] % 4, -x.shape[-1] % 4
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


def zero_init(layer: nn.Module) -> nn.Module:
    """Initialises a layer with zeros: with branches of zero, a deep network starts as a shallow one."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
