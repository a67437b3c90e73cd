"""SR3's U-Net in two layouts: the paper's, and that of the public code (Janspiry's), whose weights load.

A DDPM U-Net (Ho et al. 2020) told the noise level (Saharia et al. 2021): residual blocks with GroupNorm,
every output of the way down joined on the way up, self-attention at the sizes in `attention` and in the
middle.  The layouts differ in how they halve and double, how a block joins its branches and how weights
begin.  Keys are those of the public file without `denoise_fn.`.
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

LAST = ("block2.block.3", "attn.out", "final_conv.block.3")
"""How the names of the convolutions end that a branch of a block, or the network, ends in."""


@final
@dataclass(frozen=True)
class NoiseLevel:
    """The label is sqrt(gamma), not scaled (SR3): a block adds a linear map of the embedding."""

    keys: ClassVar[tuple[str, str]] = ("noise_level_mlp", "noise_func")

    def stem(self, width: int) -> nn.Module:
        return nn.Identity()

    def shift(self, width: int, to: int) -> nn.Module:
        return nn.Sequential(OrderedDict(noise_func=nn.Sequential(nn.Linear(width, to))))


@final
@dataclass(frozen=True)
class TimeStep:
    """The label is t, a row of the table counted from 0 (the DDPM variant): SiLU before that linear map."""

    keys: ClassVar[tuple[str, str]] = ("time_mlp", "mlp")

    def stem(self, width: int) -> nn.Module:
        return StoredFrequencies(width)

    def shift(self, width: int, to: int) -> nn.Module:
        return nn.Sequential(nn.SiLU(), nn.Linear(width, to))


@final
@dataclass(frozen=True)
class Strided:
    """The public code's: a strided convolution down, nearest neighbours and a convolution up, plain sums.

    Weights begin as torch has them.
    """

    eps: ClassVar[float] = 1e-5

    def down(self, width: int, value: "SR3UNet") -> nn.Module:
        return halved(width)

    def up(self, width: int, value: "SR3UNet") -> nn.Module:
        return doubled(width)

    def joined(self, x: Tensor, branch: Tensor) -> Tensor:
        return x + branch

    def begin(self, network: nn.Module) -> None:
        """Leaves the weights as they are."""


@final
@dataclass(frozen=True)
class BigGAN:
    """The paper's (Saharia et al. 2021, section 2.4): BigGAN's residual blocks, rescaled skip connections.

    Between two levels stands a residual block that resamples in both branches, the inner one after its first
    SiLU: by the mean of 2 x 2 pixels going down, by nearest neighbours going up (Brock et al. 2019, figure
    15, in the order of Song et al. 2021, appendix H).  Skip connections around residual branches and
    attention are rescaled as there: (x + branch) / sqrt(2), so that the variance stays where a branch has
    that of x.  What joins the way up from the way down is not.

    The paper says no more; the norms and the first weights are DDPM's: uniform (Glorot and Bengio 2010), but
    zero where a branch or the network ends.
    """

    eps: ClassVar[float] = 1e-6

    def down(self, width: int, value: "SR3UNet") -> nn.Module:
        return Residual(width, width, value, nn.AvgPool2d(2))

    def up(self, width: int, value: "SR3UNet") -> nn.Module:
        return Residual(width, width, value, nn.Upsample(scale_factor=2))

    def joined(self, x: Tensor, branch: Tensor) -> Tensor:
        return (x + branch) * math.sqrt(0.5)

    def begin(self, network: nn.Module) -> None:
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                (nn.init.zeros_ if name.endswith(LAST) else nn.init.xavier_uniform_)(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


@final
@dataclass(frozen=True)
class SR3UNet:
    """F(x, label, image, vector): (B, channels, H, W) -> the same shape, for any H and W.

    `width` times `multipliers` are the channels of the levels, each half the size of the one before; `blocks`
    the residual blocks of a level going down, and going up it has one more.  `image_channels` and `vector`
    (numbers added to the label's embedding by a linear map, so that zeros say nothing) belong to the
    condition, 0 for none.  Attention is where size, size / 2, ... is in `attention`: sides of the maps in
    training, not of the picture at hand.  A number that is no such side names nothing, as in published
    configurations.  `groups`, GroupNorm's, are the same in all norms, so they divide `width`; they leave no
    trace in the weights: 32 where one is silent.

    97.8 M parameters as it stands (16 -> 128); 155 M with multipliers (1, 2, 4, 8, 16), one block and
    attention in the middle alone (64 -> 512).  In the layout `BigGAN` the four networks of the paper's table
    A.1 have 550.0, 604.6, 603.5 and 148.0 M, where it says 550, 625, 625 and 150.  Raises ConfigError for a
    value that cannot be built.
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
        """GroupNorm and attention see everything in their window."""
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
    def __init__(self, value: SR3UNet) -> None:
        super().__init__()
        self.value = value
        widths = [value.width * multiplier for multiplier in value.multipliers]
        deepest = len(widths) - 1

        mlp = (nn.Linear(value.width, 4 * value.width), nn.SiLU(), nn.Linear(4 * value.width, value.width))
        self.add_module(value.embedding.keys[0], nn.Sequential(value.embedding.stem(value.width), *mlp))
        self.vector = nn.Linear(value.vector, value.width, bias=False) if value.vector else None

        self.downs = nn.ModuleList([conv(value.image_channels + value.channels, value.width)])
        skips = [value.width]
        for level, width in enumerate(widths):
            for _ in range(value.blocks):
                self.downs.append(Block(skips[-1], width, value, attend=value.attends(level)))
                skips.append(width)
            if level < deepest:
                self.downs.append(value.layout.down(width, value))
                skips.append(width)

        middle = widths[-1]
        self.mid = nn.ModuleList(Block(middle, middle, value, attend=attend) for attend in (True, False))

        self.ups = nn.ModuleList()
        below = middle
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(value.blocks + 1):
                self.ups.append(Block(below + skips.pop(), width, value, attend=value.attends(level)))
                below = width
            if level > 0:
                self.ups.append(value.layout.up(width, value))

        self.final_conv = half(below, value.channels, value, nn.Identity())
        value.layout.begin(self)

    def forward(
        self,
        x: Images,
        label: PerImage,
        image: Float[Tensor, "B K H W"] | None = None,
        vector: Float[Tensor, "B V"] | None = None,
    ) -> Images:
        doors = (("image", image, self.value.image_channels), ("vector", vector, self.value.vector))
        for name, given, due in doors:
            if (given is None) != (due == 0):
                raise ValueError(f"{name} {'missing' if given is None else 'given'}, network {self.value}")
        h = x if image is None else torch.cat((image, x), 1)  # (B, K + C, H, W)
        y = self.walk(padded(h, self.value.stride), self.embed(label, vector, x.dtype))
        return y[..., : x.shape[-2], : x.shape[-1]]  # (B, C, H, W)

    def embed(self, label: PerImage, vector: Tensor | None, dtype: torch.dtype) -> Embedding:
        mlp = self.get_submodule(self.value.embedding.keys[0])
        e: Tensor = mlp(waves(label, self.value.width).to(dtype))
        return e if self.vector is None or vector is None else e + self.vector(vector.to(dtype))

    def walk(self, h: Tensor, e: Tensor) -> Tensor:
        """(B, K + C, H, W) and (B, E) -> (B, C, H, W); H and W are multiples of the stride."""
        skips: list[Tensor] = []
        for layer in self.downs:
            h = layer(h, e) if isinstance(layer, Block | Residual) else layer(h)
            skips.append(h)
        for layer in self.mid:
            h = layer(h, e)
        for layer in self.ups:
            if isinstance(layer, Block):
                h = torch.cat((h, skips.pop()), 1)
            h = layer(h, e) if isinstance(layer, Block | Residual) else layer(h)
        y: Tensor = self.final_conv(h)
        return y


@final
class Block(nn.Module):
    """A residual block, then attention or nothing."""

    def __init__(self, width: int, to: int, value: SR3UNet, *, attend: bool) -> None:
        super().__init__()
        self.res_block = Residual(width, to, value)
        self.attn = Attention(to, value) if attend else nn.Identity()

    def forward(self, x: Features, e: Embedding) -> Float[Tensor, "B G h w"]:
        y: Tensor = self.attn(self.res_block(x, e))
        return y


@final
class Residual(nn.Module):
    """Two halves, the embedding added between them, dropout in the second alone.

    `resample` changes the size in both branches, in the inner one before its first convolution.
    """

    def __init__(self, width: int, to: int, value: SR3UNet, resample: nn.Module | None = None) -> None:
        super().__init__()
        self.layout, self.key = value.layout, value.embedding.keys[1]
        self.resample = resample or nn.Identity()
        self.add_module(self.key, value.embedding.shift(value.width, to))
        self.block1 = half(width, to, value, self.resample)
        self.block2 = half(to, to, value, nn.Dropout(value.dropout))
        self.res_conv = nn.Conv2d(width, to, 1) if width != to else nn.Identity()

    def forward(self, x: Features, e: Embedding) -> Float[Tensor, "B G hh ww"]:
        shift: Tensor = self.get_submodule(self.key)(e)  # (B, G)
        h: Tensor = self.block2(self.block1(x) + shift[..., None, None])
        return self.layout.joined(self.res_conv(self.resample(x)), h)


@final
class Attention(nn.Module):
    """x joined with out(softmax(q k / sqrt(F)) v), one head over all positions."""

    def __init__(self, width: int, value: SR3UNet) -> None:
        super().__init__()
        self.layout = value.layout
        self.norm = nn.GroupNorm(value.groups, width, value.layout.eps)
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x: Features) -> Features:
        qkv: Tensor = self.qkv(self.norm(x)).flatten(2).mT  # (B, h*w, 3 F)
        q, k, v = qkv[:, None].chunk(3, dim=-1)  # each (B, 1, h*w, F)
        y: Tensor = self.out(F.scaled_dot_product_attention(q, k, v)[:, 0].mT.reshape(x.shape))
        return self.layout.joined(x, y)


@final
class StoredFrequencies(nn.Module):
    """Passes its input on: the place that the frequencies stored in the DDPM variant's files load into."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("inv_freq", frequencies(width))

    def forward(self, x: Embedding) -> Embedding:
        return x


def frequencies(width: int, device: torch.device | None = None) -> Float[Tensor, " half"]:
    """From 1 down to almost 1e-4, evenly in the logarithm (Vaswani et al. 2017, section 3.5)."""
    half = width // 2
    return torch.exp(-math.log(1e4) / half * torch.arange(half, dtype=torch.float32, device=device))


def waves(label: PerImage, width: int) -> Embedding:
    """Sines, then cosines, of the label as it is."""
    angle = label[:, None] * frequencies(width, label.device)
    return torch.cat((angle.sin(), angle.cos()), 1)


def conv(width: int, to: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(width, to, 3, stride, padding=1)


def half(width: int, to: int, value: SR3UNet, between: nn.Module) -> nn.Sequential:
    """Half of a residual block."""
    norm = nn.GroupNorm(value.groups, width, value.layout.eps)
    return nn.Sequential(OrderedDict(block=nn.Sequential(norm, nn.SiLU(), between, conv(width, to))))


def halved(width: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(conv=conv(width, width, stride=2)))


def doubled(width: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(up=nn.Upsample(scale_factor=2), conv=conv(width, width)))


def padded(x: Images, stride: int) -> Float[Tensor, "B C hh ww"]:
    """Down and right to multiples of the stride, by repeating the last row and column."""
    bottom, right = -x.shape[-2] % stride, -x.shape[-1] % stride
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x
