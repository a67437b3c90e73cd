"""The few-step network of this project: a U-Net that runs at the poor image's size.

Each scale x scale block of pixels becomes one position with scale² times the channels (space-to-depth), so a
call costs about 1 / scale² of a U-Net at full size.  What the poor image says comes from `PackedEncoder`, run
once.

Everything is convolutional and normalised over the channels of each position alone: what the network says of
a pixel depends on nothing beyond `reach`, whence tiles can be exact.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from refinesr.errors import ConfigError
from refinesr.nets.strips import Above, Rows, across
from refinesr.shapes import Features, Images

Label = Float[Tensor, " B"]
Embedding = Float[Tensor, "B E"]


@dataclass(frozen=True)
class PackedUNet:
    """F(x, label, features): (B, channels, H, W) -> the same shape; H and W are multiples of `scale`.

    `widths` are the channels at low's size, at half and at a quarter of it; `blocks` the residual blocks on
    each way (down and up) at the first two sizes and, last, those in the middle.  `features` is the width of
    the encoder's output, 0 for a network without a condition.
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
        """Corners of tiles lie on multiples of this, in pixels of x."""
        return 4 * self.scale

    @property
    def reach(self) -> int:
        """Farthest pixel of x that an output pixel depends on, along an axis, in pixels."""
        outer, half, middle = self.blocks
        # a position at a quarter of the size stands for four: 4 (k - r) .. 4 (k + r) + 3
        positions = 2 + 2 * outer + 2 * 2 * half + 4 * middle + 3
        return (positions + 1) * self.scale - 1

    def build(self) -> nn.Module:
        return PackedUNetModule(self)


@dataclass(frozen=True)
class PackedEncoder:
    """low (B, channels, h, w) -> features (B, width, h, w): residual convolutions at low's size, run once."""

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
    def __init__(self, value: PackedUNet) -> None:
        super().__init__()
        self.value = value
        packed = value.channels * value.scale**2
        full, half, quarter = value.widths
        outer, inner, middle = value.blocks
        self.embed = LevelEmbedding(value.embedding)
        self.stem = nn.Conv2d(packed, full, 3, padding=1)
        self.condition = nn.Conv2d(value.features, full, 1) if value.features else None
        self.down_full = Blocks(full, outer, value.embedding)
        self.to_half = nn.Conv2d(full, half, 2, stride=2)
        self.down_half = Blocks(half, inner, value.embedding)
        self.to_quarter = nn.Conv2d(half, quarter, 2, stride=2)
        self.middle = Blocks(quarter, middle, value.embedding)
        self.from_quarter = Enlarge(quarter, half)
        self.up_half = Blocks(half, inner, value.embedding)
        self.from_half = Enlarge(half, full)
        self.up_full = Blocks(full, outer, value.embedding)
        self.norm = PixelNorm(full)
        self.out = zero(nn.Conv2d(full, packed, 3, padding=1))

    def forward(self, x: Images, label: Label, features: Features | None = None) -> Images:
        if (features is None) != (self.condition is None):
            raise ValueError(f"features {'missing' if features is None else 'given'}, value {self.value}")
        h = F.pixel_unshuffle(x, self.value.scale)  # (B, C scale², h, w)
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
        return F.pixel_shuffle(y, self.value.scale)  # (B, C, H, W)


class PackedEncoderModule(nn.Module):
    def __init__(self, value: PackedEncoder) -> None:
        super().__init__()
        self.stem = nn.Conv2d(value.channels, value.width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(value.width) for _ in range(value.blocks))
        self.norm = PixelNorm(value.width)
        self.out = nn.Conv2d(value.width, value.width, 3, padding=1)

    def forward(self, low: Images) -> Features:
        h: Tensor = self.stem(low)
        first = h
        for block in self.blocks:
            h = block(h)
        y: Tensor = self.out(F.silu(self.norm(h)))
        return first + y

    def strip(self, low: Rows, above: Above) -> Rows:
        """`forward` of a picture that comes strip by strip: the rows that are known by now."""
        above.take(low)
        first = h = across(self.stem, above.around(self.stem, low))
        for block in self.blocks:
            assert isinstance(block, Block)  # ModuleList forgets it
            h = block.strip(h, above)
        y = across(self.out, F.silu(self.norm(above.around(self.out, h))))
        return y.add_(above.delayed(self, first, y.shape[2]))


class Blocks(nn.Module):
    """Residual blocks in a row, each told the noise level."""

    def __init__(self, width: int, number: int, embedding: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(number))
        self.modulations = nn.ModuleList(zero(nn.Linear(embedding, 2 * width)) for _ in range(number))

    def forward(self, x: Features, level: Embedding) -> Features:
        for block, modulation in zip(self.blocks, self.modulations, strict=True):
            x = block(x, modulation(level))
        return x


class Block(nn.Module):
    """x + W2 silu(W1 * modulated(norm(x))): one 3x3 convolution, one 1x1; the last begins at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = PixelNorm(width)
        self.wide = nn.Conv2d(width, width, 3, padding=1)
        self.back = zero(nn.Conv2d(width, width, 1))

    def forward(self, x: Features, modulation: Float[Tensor, "B _"] | None = None) -> Features:
        h = self.norm(x)
        if modulation is not None:
            scale, shift = modulation[..., None, None].chunk(2, dim=1)  # each (B, F, 1, 1)
            h = torch.addcmul(shift, h, 1 + scale)
        return self.added(self.wide(h), x)

    def strip(self, x: Rows, above: Above) -> Rows:
        given = above.around(self, x)
        return self.added(across(self.wide, self.norm(given)), given[:, :, 1:-1])

    def added(self, wide: Features, x: Features) -> Features:
        y: Tensor = self.back(F.silu(wide, inplace=not wide.requires_grad))
        return y.add_(x)


class PixelNorm(nn.Module):
    """Root mean square over the channels of each position: no statistics of the image, no seams."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Features) -> Features:
        # on a CPU twice as fast as F.rms_norm, which fills several maps on the way
        wide = torch.promote_types(x.dtype, torch.float32)
        length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=wide)
        mean_square = length.square() / x.shape[1]
        scaled, weight = (mean_square + 1e-6).rsqrt() * x, self.weight[:, None, None]
        # a map less where nothing is learnt
        weighed = scaled * weight if scaled.requires_grad else scaled.mul_(weight)
        return weighed.to(x.dtype)


class Enlarge(nn.Module):
    """Twice the size: a 1x1 convolution to four times the channels, then depth-to-space."""

    def __init__(self, width: int, to: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, 4 * to, 1)

    def forward(self, x: Features) -> Float[Tensor, "B K HH WW"]:
        return F.pixel_shuffle(self.conv(x), 2)


class LevelEmbedding(nn.Module):
    """The label (a few units wide) as sines and cosines of 1/8 to 2 periods a unit, then two layers."""

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
    """Down and right to multiples of four, by repeating the last row and column: reflection needs two."""
    bottom, right = -x.shape[-2] % 4, -x.shape[-1] % 4
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


def zero(layer: nn.Module) -> nn.Module:
    """A branch that begins at nothing makes a deep network begin as a shallow one."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
