"""The U-Net of guided diffusion ("ADM", Dhariwal and Nichol 2021), as Palette's public code uses it.

Residual blocks with GroupNorm, whose second norm is scaled and shifted by the embedding of the noise level;
residual blocks that change the size in place of strided convolutions; multi-head attention at given
downsampling factors and in the middle; skip connections from every layer of the encoder half to the decoder
half.  Keys are those of Palette's public files without `denoise_fn.`; guided diffusion's own files have
`time_embed` for `cond_embed`.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from refinesr.errors import ConfigError
from refinesr.shapes import Features, Images, PerImage

Embedding = Float[Tensor, "B E"]


@final
@dataclass(frozen=True)
class ADMUNet:
    """The network F(x, label, image, vector): (B, channels, H, W) -> the same shape, for any H and W.

    width, multipliers  their products are the channels of the levels, each half the size of the one before
    blocks          residual blocks of a level on the way down; on the way up it has one more
    image_channels  channels of the conditioning image, 0 for none
    attention       downsampling factors at which there is attention, besides the middle; a factor that no
                    level has is ignored, as 16 in Palette's public configurations of four levels
    head_channels   channels of an attention head; 0 for a single head
    groups          of GroupNorm; like head_channels, the weights do not show it
    vector          length of a vector that a linear map adds to the label's embedding (a one-hot class; an
                    augmentation level), 0 for none; a vector of zeros has no effect

    The label is any number, gamma in Palette and t in ADM, and is embedded without scaling.

    62.6 M parameters by default.  Raises ConfigError for settings that cannot be built.
    """

    channels: int = 3
    image_channels: int = 3
    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 4, 8)
    blocks: int = 2
    attention: tuple[int, ...] = (16,)
    head_channels: int = 32
    dropout: float = 0.0
    groups: int = 32
    vector: int = 0

    def __post_init__(self) -> None:
        least = {"channels": 1, "image_channels": 0, "width": 2, "blocks": 1}
        least |= {"head_channels": 0, "groups": 1, "vector": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{name}: {getattr(self, name)} is less than {bound}")
        if min(self.multipliers, default=0) < 1:
            raise ConfigError(f"multipliers: {self.multipliers} must be positive numbers, one a level")
        if self.width % 2:
            raise ConfigError(f"width: {self.width} is odd; half the embedding is cosines, half sines")
        if self.width % self.groups:
            best = math.gcd(self.width, self.groups)
            raise ConfigError(f"groups: {self.groups} does not divide the width {self.width}; {best} would")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout: {self.dropout} is not in [0, 1)")
        self._check_heads()

    def _check_heads(self) -> None:
        attending = [width for level, width in enumerate(self.widths) if self.attends(level)]
        wrong = [width for width in (*attending, self.widths[-1]) if width % (self.head_channels or width)]
        if wrong:
            best = math.gcd(self.head_channels, *attending, self.widths[-1])
            raise ConfigError(
                f"head_channels: {self.head_channels} does not divide {wrong[0]}, "
                f"the channels of an attention; {best} would"
            )

    @property
    def widths(self) -> list[int]:
        """Channels of each level."""
        return [self.width * multiplier for multiplier in self.multipliers]

    @property
    def reach(self) -> None:
        """None: with GroupNorm and attention, each output pixel depends on the whole input."""
        return None

    @property
    def stride(self) -> int:
        """The network pads its input to a multiple of this, in pixels."""
        return 1 << (len(self.multipliers) - 1)

    def attends(self, level: int) -> bool:
        return 2**level in self.attention

    def heads(self, width: int) -> int:
        """Number of attention heads over `width` channels."""
        return width // self.head_channels if self.head_channels else 1

    def build(self) -> nn.Module:
        return ADMUNetModule(self)


@final
class ADMUNetModule(nn.Module):
    def __init__(self, config: ADMUNet) -> None:
        super().__init__()
        self.config = config
        widths, embedding = config.widths, 4 * config.width
        deepest = len(widths) - 1

        self.cond_embed = nn.Sequential(
            nn.Linear(config.width, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        if config.vector:
            self.label_emb = nn.Linear(config.vector, embedding, bias=False)
            # a one-hot class selects a column, as a row of guided diffusion's nn.Embedding
            nn.init.normal_(self.label_emb.weight)

        stem = nn.Conv2d(config.image_channels + config.channels, widths[0], 3, padding=1)
        self.input_blocks = nn.ModuleList([nn.ModuleList([stem])])
        skips = [widths[0]]
        for level, width in enumerate(widths):
            for _ in range(config.blocks):
                self.input_blocks.append(block_layers(skips[-1], width, config, attend=config.attends(level)))
                skips.append(width)
            if level < deepest:
                self.input_blocks.append(nn.ModuleList([ResidualBlock(width, width, config, Downsample())]))
                skips.append(width)

        middle = widths[-1]
        self.middle_block = block_layers(middle, middle, config, attend=True)
        self.middle_block.append(ResidualBlock(middle, middle, config))

        self.output_blocks = nn.ModuleList()
        below = middle
        for level, width in reversed(list(enumerate(widths))):
            for number in range(config.blocks + 1):
                layers = block_layers(below + skips.pop(), width, config, attend=config.attends(level))
                if level > 0 and number == config.blocks:
                    layers.append(ResidualBlock(width, width, config, Upsample()))
                self.output_blocks.append(layers)
                below = width

        last = zero_init(nn.Conv2d(below, config.channels, 3, padding=1))
        self.out = nn.Sequential(Float32GroupNorm(config.groups, below), nn.SiLU(), last)

    def forward(
        self,
        x: Images,
        label: PerImage,
        image: Float[Tensor, "B K H W"] | None = None,
        vector: Float[Tensor, "B V"] | None = None,
    ) -> Images:
        if (image is None, vector is None) != (self.config.image_channels == 0, self.config.vector == 0):
            raise ValueError(f"image {image is not None}, vector {vector is not None}, for {self.config}")
        h = x if image is None else torch.cat((image, x), 1)  # (B, K + C, H, W)
        y = self.forward_padded(padded(h, self.config.stride), self.embed(label, vector, x.dtype))
        return y[..., : x.shape[-2], : x.shape[-1]]  # (B, C, H, W)

    def embed(self, label: PerImage, vector: Tensor | None, dtype: torch.dtype) -> Embedding:
        e: Tensor = self.cond_embed(sinusoidal_embedding(label, self.config.width).to(dtype))
        return e if vector is None else e + self.label_emb(vector.to(dtype))

    def forward_padded(self, h: Tensor, e: Tensor) -> Tensor:
        """(B, K + C, H, W) and (B, E) -> (B, C, H, W); H and W are multiples of the stride."""
        skips: list[Tensor] = []
        for layers in self.input_blocks:
            h = apply_layers(layers, h, e)
            skips.append(h)
        h = apply_layers(self.middle_block, h, e)
        for layers in self.output_blocks:
            h = apply_layers(layers, torch.cat((h, skips.pop()), 1), e)
        y: Tensor = self.out(h)
        return y


def block_layers(width: int, to: int, config: ADMUNet, *, attend: bool) -> nn.ModuleList:
    """A residual block, and attention if `attend`."""
    layers = nn.ModuleList([ResidualBlock(width, to, config)])
    if attend:
        layers.append(Attention(to, config))
    return layers


def apply_layers(layers: nn.Module, h: Tensor, e: Tensor) -> Tensor:
    for layer in layers.children():
        h = layer(h, e) if isinstance(layer, ResidualBlock) else layer(h)
    return h


@final
class ResidualBlock(nn.Module):
    """A residual block of two halves; the embedding scales and shifts the second half's norm.

    `resized` changes the size of both branches: the skip connection, and the first half between its norm and
    its convolution (BigGAN's block, Brock et al. 2019, fig. 15).
    """

    def __init__(self, width: int, to: int, config: ADMUNet, resized: nn.Module | None = None) -> None:
        super().__init__()
        self.resized = resized or nn.Identity()  # without weights
        self.in_layers = nn.Sequential(
            Float32GroupNorm(config.groups, width), nn.SiLU(), nn.Conv2d(width, to, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(4 * config.width, 2 * to))
        self.out_layers = nn.Sequential(
            Float32GroupNorm(config.groups, to),
            nn.SiLU(),
            nn.Dropout(config.dropout),
            zero_init(nn.Conv2d(to, to, 3, padding=1)),
        )
        self.skip_connection = nn.Conv2d(width, to, 1) if width != to else nn.Identity()

    def forward(self, x: Features, e: Embedding) -> Float[Tensor, "B G hh ww"]:
        norm, activation, first = self.in_layers
        h: Tensor = first(self.resized(activation(norm(x))))
        scale, shift = self.emb_layers(e)[..., None, None].chunk(2, dim=1)  # each (B, G, 1, 1)
        norm, *rest = self.out_layers
        h = norm(h) * (1 + scale) + shift
        for layer in rest:
            h = layer(h)
        skip: Tensor = self.skip_connection(self.resized(x))
        return skip + h


@final
class Attention(nn.Module):
    """Multi-head self-attention over all positions: x + proj_out(softmax(q k / sqrt(head channels)) v)."""

    def __init__(self, width: int, config: ADMUNet) -> None:
        super().__init__()
        self.heads = config.heads(width)
        self.norm = Float32GroupNorm(config.groups, width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = zero_init(nn.Conv1d(width, width, 1))

    def forward(self, x: Features) -> Features:
        b, c, height, width = x.shape
        qkv = self.qkv(self.norm(x.reshape(b, c, -1)))  # (B, 3 F, h*w)
        # channels are ordered by head, then q, k and v
        q, k, v = qkv.view(b, self.heads, 3, c // self.heads, -1).mT.unbind(2)  # (B, heads, h*w, F / heads)
        y = F.scaled_dot_product_attention(q, k, v).mT.reshape(b, c, -1)
        out: Tensor = self.proj_out(y)
        return x + out.view(b, c, height, width)


@final
class Float32GroupNorm(nn.GroupNorm):
    """GroupNorm that computes in float32 for inputs of any dtype."""

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.float(), self.bias.float()
        y: Tensor = F.group_norm(x.float(), self.num_groups, weight, bias, self.eps)
        return y.type_as(x)


@final
class Downsample(nn.Module):
    """Half the size: means of 2 x 2 pixels."""

    def forward(self, x: Features) -> Float[Tensor, "B F hh ww"]:
        return F.avg_pool2d(x, 2)


@final
class Upsample(nn.Module):
    """Twice the size, by nearest neighbours."""

    def forward(self, x: Features) -> Float[Tensor, "B F hh ww"]:
        return F.interpolate(x, scale_factor=2)


def sinusoidal_embedding(label: PerImage, width: int) -> Embedding:
    """Cosines, then sines, of the label times frequencies from 1 down to almost 1e-4."""
    half = width // 2
    index = torch.arange(half, dtype=torch.float32, device=label.device)
    angle = label[:, None] * torch.exp(-math.log(1e4) / half * index)
    return torch.cat((angle.cos(), angle.sin()), 1)


def zero_init(layer: nn.Conv1d | nn.Conv2d) -> nn.Module:
    """Initialises a layer with zeros, so that its residual block is the identity at first."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def padded(x: Images, stride: int) -> Float[Tensor, "B C hh ww"]:
    """x padded at the bottom and right to multiples of the stride, by repeating the last row and column."""
    bottom, right = -x.shape[-2] % stride, -x.shape[-1] % stride
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x
