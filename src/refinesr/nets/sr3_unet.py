"""SR3's U-Net in two layouts: the paper's, and that of the public code (Janspiry's), whose weights load.

A DDPM U-Net (Ho et al. 2020) that is conditioned on the noise level (Saharia et al. 2021): residual blocks
with GroupNorm, skip connections from every layer of the encoder half to the decoder half, self-attention at
the sizes in `attention` and in the middle.  The layouts differ in how they down- and upsample, how a block
adds its branches and how weights are initialised.  Keys are those of the public file without `denoise_fn.`.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from refinesr.errors import ConfigError
from refinesr.shapes import Features, Images, PerImage

Embedding = Float[Tensor, "B E"]

BRANCH_ENDS = ("block2.block.3", "attn.out", "final_conv.block.3")
"""Endings of the names of the last convolutions of residual branches, attention and the network."""


@final
@dataclass(frozen=True)
class NoiseLevel:
    """The label is sqrt(gamma), not scaled (SR3); a block adds a linear map of its embedding."""

    keys: ClassVar[tuple[str, str]] = ("noise_level_mlp", "noise_func")

    def stem(self, width: int) -> nn.Module:
        return nn.Identity()

    def shift_layer(self, width: int, to: int) -> nn.Module:
        return nn.Sequential(OrderedDict(noise_func=nn.Sequential(nn.Linear(width, to))))


@final
@dataclass(frozen=True)
class TimeStep:
    """The label is t, the index of a row from 0 (the DDPM variant); SiLU comes before the linear map."""

    keys: ClassVar[tuple[str, str]] = ("time_mlp", "mlp")

    def stem(self, width: int) -> nn.Module:
        return StoredFrequencies(width)

    def shift_layer(self, width: int, to: int) -> nn.Module:
        return nn.Sequential(nn.SiLU(), nn.Linear(width, to))


@final
@dataclass(frozen=True)
class Strided:
    """The layout of the public code.

    Downsampling by a strided convolution, upsampling by nearest neighbours and a convolution, unscaled sums,
    and torch's default initialisation.
    """

    eps: ClassVar[float] = 1e-5

    def down(self, width: int, config: "SR3UNet") -> nn.Module:
        return downsampling(width)

    def up(self, width: int, config: "SR3UNet") -> nn.Module:
        return upsampling(width)

    def add_branch(self, x: Tensor, branch: Tensor) -> Tensor:
        return x + branch

    def initialise(self, network: nn.Module) -> None:
        """Keeps torch's default initialisation."""


@final
@dataclass(frozen=True)
class BigGAN:
    """The layout of the paper (Saharia et al. 2021, section 2.4): BigGAN's blocks, rescaled skip connections.

    Between two levels, a residual block changes the size in both branches, in the residual branch after its
    first SiLU: by means of 2 x 2 pixels downwards, by nearest neighbours upwards (Brock et al. 2019, figure
    15, in the order of Song et al. 2021, appendix H).  Skip connections around residual branches and
    attention are rescaled as there: (x + branch) / sqrt(2), which keeps the variance if that of the branch
    equals that of x.  Skip connections from the way down to the way up are concatenated without rescaling.

    The paper gives no further details.  Norms and initialisation are DDPM's: uniform weights (Glorot and
    Bengio 2010), but zero at the end of each branch and of the network.
    """

    eps: ClassVar[float] = 1e-6

    def down(self, width: int, config: "SR3UNet") -> nn.Module:
        return ResidualBlock(width, width, config, nn.AvgPool2d(2))

    def up(self, width: int, config: "SR3UNet") -> nn.Module:
        return ResidualBlock(width, width, config, nn.Upsample(scale_factor=2))

    def add_branch(self, x: Tensor, branch: Tensor) -> Tensor:
        return (x + branch) * math.sqrt(0.5)

    def initialise(self, network: nn.Module) -> None:
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                (nn.init.zeros_ if name.endswith(BRANCH_ENDS) else nn.init.xavier_uniform_)(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


@final
@dataclass(frozen=True)
class SR3UNet:
    """The network F(x, label, image, vector): (B, channels, H, W) -> the same shape, for any H and W.

    width, multipliers  their products are the channels of the levels, each half the size of the one before
    blocks          residual blocks of a level on the way down; on the way up it has one more
    image_channels  channels of the conditioning image, 0 for none
    vector          length of a vector that a linear map adds to the label's embedding, 0 for none; a vector
                    of zeros has no effect
    size            side of the training images, in pixels
    attention       levels whose side, size / 2^level, is listed have attention, for images of any size; other
                    numbers are ignored, as in published configurations
    groups          of GroupNorm, the same in all norms, so that it must divide `width`; the weights do not
                    show it

    97.8 M parameters by default (16 -> 128); 155 M with multipliers (1, 2, 4, 8, 16), one block and attention
    in the middle alone (64 -> 512).  In the layout `BigGAN` the four networks of the paper's table A.1 have
    550.0, 604.6, 603.5 and 148.0 M, where the paper says 550, 625, 625 and 150.  Raises ConfigError for
    settings that cannot be built.
    """

    channels: int = 3
    image_channels: int = 3
    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 4, 8, 8)
    blocks: int = 2
    attention: tuple[int, ...] = (16,)
    size: int = 128
    groups: int = 32
    dropout: float = 0.0
    embedding: NoiseLevel | TimeStep = NoiseLevel()
    layout: Strided | BigGAN = Strided()
    vector: int = 0

    def __post_init__(self) -> None:
        least = {"channels": 1, "image_channels": 0, "width": 2, "blocks": 1, "size": 1, "groups": 1}
        for name, bound in {**least, "vector": 0}.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{name}: {getattr(self, name)} is less than {bound}")
        if min(self.multipliers, default=0) < 1:
            raise ConfigError(f"multipliers: {self.multipliers} must be positive numbers, one a level")
        if self.width % 2:
            raise ConfigError(f"width: {self.width} is odd; half the embedding is sines, half cosines")
        if self.width % self.groups:
            best = math.gcd(self.width, self.groups)
            raise ConfigError(f"groups: {self.groups} does not divide the width {self.width}; {best} would")
        if self.groups == self.width and self.layout == BigGAN():
            few = f"groups: {self.groups} of one channel each, whose norm takes away what the embedding adds"
            raise ConfigError(f"{few}; {self.width // 2} or fewer")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout: {self.dropout} is not in [0, 1)")

    @property
    def reach(self) -> None:
        """None: with GroupNorm and attention, each output pixel depends on the whole input."""
        return None

    @property
    def stride(self) -> int:
        """The network pads its input to a multiple of this, in pixels."""
        return 1 << (len(self.multipliers) - 1)

    def attends(self, level: int) -> bool:
        return self.size // 2**level in self.attention

    def build(self) -> nn.Module:
        return SR3UNetModule(self)


@final
class SR3UNetModule(nn.Module):
    def __init__(self, config: SR3UNet) -> None:
        super().__init__()
        self.config = config
        widths = [config.width * multiplier for multiplier in config.multipliers]
        deepest = len(widths) - 1

        mlp = (
            nn.Linear(config.width, 4 * config.width),
            nn.SiLU(),
            nn.Linear(4 * config.width, config.width),
        )
        self.add_module(config.embedding.keys[0], nn.Sequential(config.embedding.stem(config.width), *mlp))
        self.vector = nn.Linear(config.vector, config.width, bias=False) if config.vector else None

        self.downs = nn.ModuleList([conv(config.image_channels + config.channels, config.width)])
        skips = [config.width]
        for level, width in enumerate(widths):
            for _ in range(config.blocks):
                self.downs.append(Block(skips[-1], width, config, attend=config.attends(level)))
                skips.append(width)
            if level < deepest:
                self.downs.append(config.layout.down(width, config))
                skips.append(width)

        middle = widths[-1]
        self.mid = nn.ModuleList(Block(middle, middle, config, attend=attend) for attend in (True, False))

        self.ups = nn.ModuleList()
        below = middle
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(config.blocks + 1):
                self.ups.append(Block(below + skips.pop(), width, config, attend=config.attends(level)))
                below = width
            if level > 0:
                self.ups.append(config.layout.up(width, config))

        self.final_conv = half_block(below, config.channels, config, nn.Identity())
        config.layout.initialise(self)

    def forward(
        self,
        x: Images,
        label: PerImage,
        image: Float[Tensor, "B K H W"] | None = None,
        vector: Float[Tensor, "B V"] | None = None,
    ) -> Images:
        inputs = (("image", image, self.config.image_channels), ("vector", vector, self.config.vector))
        for name, given, channels in inputs:
            if (given is None) != (channels == 0):
                raise ValueError(f"{name} {'missing' if given is None else 'given'}, network {self.config}")
        h = x if image is None else torch.cat((image, x), 1)  # (B, K + C, H, W)
        y = self.forward_padded(padded(h, self.config.stride), self.embed(label, vector, x.dtype))
        return y[..., : x.shape[-2], : x.shape[-1]]  # (B, C, H, W)

    def embed(self, label: PerImage, vector: Tensor | None, dtype: torch.dtype) -> Embedding:
        mlp = self.get_submodule(self.config.embedding.keys[0])
        e: Tensor = mlp(sinusoidal_embedding(label, self.config.width).to(dtype))
        return e if self.vector is None or vector is None else e + self.vector(vector.to(dtype))

    def forward_padded(self, h: Tensor, e: Tensor) -> Tensor:
        """(B, K + C, H, W) and (B, E) -> (B, C, H, W); H and W are multiples of the stride."""
        skips: list[Tensor] = []
        for layer in self.downs:
            h = layer(h, e) if isinstance(layer, Block | ResidualBlock) else layer(h)
            skips.append(h)
        for layer in self.mid:
            h = layer(h, e)
        for layer in self.ups:
            if isinstance(layer, Block):
                h = torch.cat((h, skips.pop()), 1)
            h = layer(h, e) if isinstance(layer, Block | ResidualBlock) else layer(h)
        y: Tensor = self.final_conv(h)
        return y


@final
class Block(nn.Module):
    """A residual block, and attention if `attend`."""

    def __init__(self, width: int, to: int, config: SR3UNet, *, attend: bool) -> None:
        super().__init__()
        self.res_block = ResidualBlock(width, to, config)
        self.attn = Attention(to, config) if attend else nn.Identity()

    def forward(self, x: Features, e: Embedding) -> Float[Tensor, "B G h w"]:
        y: Tensor = self.attn(self.res_block(x, e))
        return y


@final
class ResidualBlock(nn.Module):
    """A residual block of two halves; the embedding is added between them, dropout is in the second.

    `resample` changes the size of both branches, in the residual branch before its first convolution.
    """

    def __init__(self, width: int, to: int, config: SR3UNet, resample: nn.Module | None = None) -> None:
        super().__init__()
        self.layout, self.key = config.layout, config.embedding.keys[1]
        self.resample = resample or nn.Identity()
        self.add_module(self.key, config.embedding.shift_layer(config.width, to))
        self.block1 = half_block(width, to, config, self.resample)
        self.block2 = half_block(to, to, config, nn.Dropout(config.dropout))
        self.res_conv = nn.Conv2d(width, to, 1) if width != to else nn.Identity()

    def forward(self, x: Features, e: Embedding) -> Float[Tensor, "B G hh ww"]:
        shift: Tensor = self.get_submodule(self.key)(e)  # (B, G)
        h: Tensor = self.block2(self.block1(x) + shift[..., None, None])
        return self.layout.add_branch(self.res_conv(self.resample(x)), h)


@final
class Attention(nn.Module):
    """Self-attention over all positions with one head: x plus out(softmax(q k / sqrt(F)) v)."""

    def __init__(self, width: int, config: SR3UNet) -> None:
        super().__init__()
        self.layout = config.layout
        self.norm = nn.GroupNorm(config.groups, width, config.layout.eps)
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x: Features) -> Features:
        qkv: Tensor = self.qkv(self.norm(x)).flatten(2).mT  # (B, h*w, 3 F)
        q, k, v = qkv[:, None].chunk(3, dim=-1)  # each (B, 1, h*w, F)
        y: Tensor = self.out(F.scaled_dot_product_attention(q, k, v)[:, 0].mT.reshape(x.shape))
        return self.layout.add_branch(x, y)


@final
class StoredFrequencies(nn.Module):
    """The identity; it holds the buffer of frequencies that files of the DDPM variant contain."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("inv_freq", frequencies(width))

    def forward(self, x: Embedding) -> Embedding:
        return x


def frequencies(width: int, device: torch.device | None = None) -> Float[Tensor, " half"]:
    """Frequencies from 1 down to almost 1e-4, evenly spaced in log (Vaswani et al. 2017, section 3.5)."""
    half = width // 2
    return torch.exp(-math.log(1e4) / half * torch.arange(half, dtype=torch.float32, device=device))


def sinusoidal_embedding(label: PerImage, width: int) -> Embedding:
    """Sines, then cosines, of the label times `frequencies`."""
    angle = label[:, None] * frequencies(width, label.device)
    return torch.cat((angle.sin(), angle.cos()), 1)


def conv(width: int, to: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(width, to, 3, stride, padding=1)


def half_block(width: int, to: int, config: SR3UNet, between: nn.Module) -> nn.Sequential:
    """Half of a residual block: norm, SiLU, `between`, a 3x3 convolution."""
    norm = nn.GroupNorm(config.groups, width, config.layout.eps)
    return nn.Sequential(OrderedDict(block=nn.Sequential(norm, nn.SiLU(), between, conv(width, to))))


def downsampling(width: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(conv=conv(width, width, stride=2)))


def upsampling(width: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(up=nn.Upsample(scale_factor=2), conv=conv(width, width)))


def padded(x: Images, stride: int) -> Float[Tensor, "B C hh ww"]:
    """x padded at the bottom and right to multiples of the stride, by repeating the last row and column."""
    bottom, right = -x.shape[-2] % stride, -x.shape[-1] % stride
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x
