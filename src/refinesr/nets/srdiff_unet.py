"""SRDiff's U-Net (Li et al. 2021, section 3.4), in the layout of its public code, so that its weights load.

No normalisation and, as published, no attention: only convolutions with mirrored edges, so that an output
pixel depends on nothing beyond `reach`.  The label is t itself; the encoder's features are added after the
first level.  Keys are those of the public file without `denoise_fn.`.  Not implemented are that code's
options for attention in the middle (`use_attn`), the upsampled image as a second condition (`up_input`) and
weight normalisation (`use_wn`), which the published models do not use.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from refinesr.errors import ConfigError
from refinesr.shapes import Features, Images, PerImage

Embedding = Float[Tensor, "B E"]

CONVOLUTIONS = 4
"""Number of 3x3 convolutions in the two residual blocks of a level, down or up, or of the middle."""


@final
@dataclass(frozen=True)
class SRDiffUNet:
    """The network F(x, t, features): (B, channels, H, W) -> the same shape, for any H and W.

    `width` times `multipliers` are the channels of the levels, each half the size of the one before; the
    first multiplier is 1.  `features` are the encoder's channels; features have x's size / `scale`, rounded
    up.  t is the index of a row of the training table, from 0.

    12.93 M parameters by default (SRDiff, photos x4, with `RRDB()`), 10.55 M with (features, multipliers,
    scale) = (96, (1, 2, 2, 4), 8) (faces x8).  Raises ConfigError for settings that cannot be built.
    """

    channels: int = 3
    features: int = 384
    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 3, 4)
    scale: int = 4

    def __post_init__(self) -> None:
        for name, bound in {"channels": 1, "features": 1, "width": 4, "scale": 1}.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{name}: {getattr(self, name)} is less than {bound}")
        if self.width % 2:
            raise ConfigError(f"width: {self.width} is odd; half the embedding is sines, half cosines")
        if min(self.multipliers, default=0) < 1 or self.multipliers[0] != 1:
            raise ConfigError(f"multipliers: {self.multipliers} must be positive, one a level, the first 1")

    @property
    def stride(self) -> int:
        """The network pads its input to a multiple of this, in pixels; tiles must begin at such multiples."""
        return 1 << (len(self.multipliers) - 1)

    @property
    def reach(self) -> int:
        """Distance of the farthest pixel of x that an output pixel depends on, along an axis.

        A pixel of the features counts as the `scale` pixels of x that it covers.
        """
        pixels = range(math.lcm(self.stride, self.scale))  # dependence is periodic in the pixel
        return max(distance for pixel in pixels for distance in self.distances(pixel))

    def distances(self, pixel: int) -> tuple[int, int, int, int]:
        """How far an output pixel depends on x, left and right, then on the features, left and right."""
        first, last = receptive_interval(len(self.multipliers), pixel)
        scale, here = self.scale, pixel // self.scale
        # pixel i of the features spreads over scale * i - scale // 2 and the next 2 * scale - 1
        left = -((2 * scale - 1 - scale // 2 - first) // scale)
        right = (last + scale // 2) // scale
        inside = CONVOLUTIONS  # the first level's, before the features come in
        return pixel - first + inside, last - pixel + inside, scale * (here - left), scale * (right - here)

    def build(self) -> nn.Module:
        return SRDiffUNetModule(self)


def receptive_interval(levels: int, pixel: int) -> tuple[int, int]:
    """First and last pixel, along an axis, of the first level's output that an output pixel depends on."""
    first, last = pixel - 1, pixel + 1
    for _ in range(levels - 1):  # up, backwards: a transposed convolution of 4 and stride 2, then blocks
        first, last = (first - 1) // 2 - CONVOLUTIONS, (last + 1) // 2 + CONVOLUTIONS
    first, last = first - CONVOLUTIONS, last + CONVOLUTIONS
    for _ in range(levels - 1):  # down, backwards: blocks, then a convolution of 3 and stride 2
        first, last = 2 * (first - CONVOLUTIONS) - 1, 2 * (last + CONVOLUTIONS) + 1
    return first, last


@final
class SRDiffUNetModule(nn.Module):
    def __init__(self, config: SRDiffUNet) -> None:
        super().__init__()
        self.config = config
        base, scale = config.width, config.scale
        widths = [base * multiplier for multiplier in config.multipliers]

        self.cond_proj = nn.ConvTranspose2d(config.features, base, 2 * scale, scale, scale // 2)
        self.mlp = nn.Sequential(nn.Linear(base, 4 * base), nn.Mish(), nn.Linear(4 * base, base))

        self.downs = nn.ModuleList()
        above = config.channels
        for number, width in enumerate(widths, start=1):
            smaller = downsampling(width) if number < len(widths) else nn.Identity()
            self.downs.append(unet_level(above, width, smaller, base))
            above = width

        self.mid_block1 = ResidualBlock(above, above, base)
        self.mid_block2 = ResidualBlock(above, above, base)

        self.ups = nn.ModuleList()
        for width, to in zip(widths[:0:-1], widths[-2::-1], strict=True):
            self.ups.append(unet_level(2 * width, to, upsampling(to), base))

        self.final_conv = nn.Sequential(half_block(base, base), nn.Conv2d(base, config.channels, 1))

    def forward(self, x: Images, label: PerImage, features: Features | None = None) -> Images:
        height, width = x.shape[-2:]
        low = tuple(-(-side // self.config.scale) for side in (height, width))
        if features is None or features.shape[-2:] != low:
            given = "missing" if features is None else f"of {tuple(features.shape[-2:])}"
            raise ValueError(f"features {given}, where {low} are wanted, for {self.config}")
        h = padded(x, height + -height % self.config.stride, width + -width % self.config.stride)
        y = self.forward_padded(
            h, self.embed(label, x.dtype), self.upsampled_features(features, *h.shape[-2:])
        )
        return y[..., :height, :width]  # (B, C, H, W)

    def embed(self, label: PerImage, dtype: torch.dtype) -> Embedding:
        e: Tensor = self.mlp(sinusoidal_embedding(label, self.config.width).to(dtype))
        return e

    def upsampled_features(self, features: Features, height: int, width: int) -> Float[Tensor, "B W hh ww"]:
        """The features at x's size, which are added after the first level."""
        scale = self.config.scale
        y: Tensor = self.cond_proj(padded(features, -(-height // scale), -(-width // scale)))
        return y[..., :height, :width]

    def forward_padded(self, h: Tensor, e: Tensor, condition: Tensor) -> Tensor:
        """(B, C, H, W), (B, E) and (B, width, H, W) -> (B, C, H, W); H and W are multiples of the stride."""
        skips: list[Tensor] = []
        for part in self.downs:
            one, other, smaller = part.children()
            h = other(one(h, e), e)
            if not skips:
                h = h + condition
            skips.append(h)
            h = smaller(h)
        h = self.mid_block2(self.mid_block1(h, e), e)
        for part in self.ups:  # the first level's output goes down, and not across
            one, other, larger = part.children()
            h = larger(other(one(torch.cat((h, skips.pop()), 1), e), e))
        y: Tensor = self.final_conv(h)
        return y


@final
class ResidualBlock(nn.Module):
    """A residual block of two halves; a linear map of the embedding is added between them."""

    def __init__(self, width: int, to: int, embedding: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Mish(), nn.Linear(embedding, to))
        self.block1 = half_block(width, to)
        self.block2 = half_block(to, to)
        self.res_conv = nn.Conv2d(width, to, 1) if width != to else nn.Identity()

    def forward(self, x: Features, e: Embedding) -> Float[Tensor, "B G h w"]:
        shift: Tensor = self.mlp(e)  # (B, G)
        h: Tensor = self.block2(self.block1(x) + shift[..., None, None])
        skip: Tensor = self.res_conv(x)
        return h + skip


@final
class MirrorPad(nn.Module):
    """Reflection padding by one pixel; replication where the image is one pixel wide or high."""

    def forward(self, x: Features) -> Float[Tensor, "B F hh ww"]:
        return F.pad(x, (1, 1, 1, 1), mode="reflect" if min(x.shape[-2:]) > 1 else "replicate")


def unet_level(width: int, to: int, resize: nn.Module, embedding: int) -> nn.ModuleList:
    """Two residual blocks, then a change of size."""
    return nn.ModuleList((ResidualBlock(width, to, embedding), ResidualBlock(to, to, embedding), resize))


def half_block(width: int, to: int) -> nn.Sequential:
    """Half of a residual block: padding, a 3x3 convolution, Mish."""
    layers = nn.Sequential(MirrorPad(), nn.Conv2d(width, to, 3), nn.Mish())
    return nn.Sequential(OrderedDict(block=layers))


def downsampling(width: int) -> nn.Sequential:
    layers = nn.Sequential(MirrorPad(), nn.Conv2d(width, width, 3, 2))
    return nn.Sequential(OrderedDict(conv=layers))


def upsampling(width: int) -> nn.Sequential:
    layers = nn.Sequential(nn.ConvTranspose2d(width, width, 4, 2, 1))
    return nn.Sequential(OrderedDict(conv=layers))


def sinusoidal_embedding(label: PerImage, width: int) -> Embedding:
    """Sines, then cosines, of the label times frequencies from 1 down to 1e-4, both ends included."""
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=label.device)
    angle = label[:, None] * torch.exp(-math.log(1e4) / (half - 1) * steps)
    return torch.cat((angle.sin(), angle.cos()), 1)


def padded(x: Features, height: int, width: int) -> Float[Tensor, "B F hh ww"]:
    """x padded at the bottom and right to this size, by repeating the last row and column."""
    bottom, right = height - x.shape[-2], width - x.shape[-1]
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x
