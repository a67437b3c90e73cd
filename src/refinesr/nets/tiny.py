"""A minimal network, for tests and as an introduction: what every network here must do, and no more."""

from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from refinesr.errors import ConfigError
from refinesr.shapes import Features, Images, PerImage

ConditionImage = Float[Tensor, "B K H W"]


@final
@dataclass(frozen=True)
class Tiny:
    """The network F(x, label, image, features): (B, channels, H, W) -> the same shape, for any H and W.

    `image_channels` and `features` are the channels of the condition's inputs, 0 for none.  Features have
    x's size / `scale`.
    """

    channels: int = 3
    image_channels: int = 3
    features: int = 0
    width: int = 16
    blocks: int = 2
    scale: int = 1

    def __post_init__(self) -> None:
        least = {"channels": 1, "image_channels": 0, "features": 0, "width": 1, "blocks": 0, "scale": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{name}: {getattr(self, name)} is less than {bound}")

    @property
    def stride(self) -> int:
        """Corners of tiles must lie on multiples of this, in pixels of x."""
        return self.scale

    @property
    def reach(self) -> int:
        """Distance of the farthest pixel of x that an output pixel depends on, along an axis.

        Each 3x3 convolution adds 1.
        """
        return self.blocks + 2

    def build(self) -> nn.Module:
        return TinyModule(self)


@final
class TinyModule(nn.Module):
    def __init__(self, config: Tiny) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Conv2d(config.image_channels + config.channels, config.width, 3, padding=1)
        self.enter = nn.Conv2d(config.features, config.width, 1) if config.features else None
        self.told = nn.ModuleList(nn.Linear(16, 2 * config.width) for _ in range(config.blocks))
        self.blocks = nn.ModuleList(nn.Conv2d(config.width, config.width, 3, padding=1) for _ in self.told)
        self.out = nn.Conv2d(config.width, config.channels, 3, padding=1)

    def forward(
        self,
        x: Images,
        label: PerImage,
        image: ConditionImage | None = None,
        features: Features | None = None,
    ) -> Images:
        if (image is None, features is None) != (self.config.image_channels == 0, self.enter is None):
            raise ValueError(f"image {image is not None}, features {features is not None}, for {self.config}")
        h: Tensor = self.stem(x if image is None else torch.cat((image, x), 1))  # (B, width, H, W)
        if self.enter is not None and features is not None:
            large = F.interpolate(self.enter(features), scale_factor=self.config.scale)
            h = h + large[..., : x.shape[-2], : x.shape[-1]]
        embedding = sinusoidal_embedding(label).to(x.dtype)
        for modulation, block in zip(self.told, self.blocks, strict=True):
            scale, shift = modulation(embedding)[..., None, None].chunk(2, dim=1)  # each (B, width, 1, 1)
            h = h + block(F.silu(h * (1 + scale) + shift))
        y: Tensor = self.out(F.silu(h))
        return y  # (B, C, H, W)


def sinusoidal_embedding(label: PerImage) -> Float[Tensor, "B 16"]:
    """Sines and cosines of the label at 0.001 to 10 radians per unit: bounded, for labels of any range."""
    angle = label[:, None] * torch.logspace(-3, 1, 8, dtype=label.dtype, device=label.device)
    return torch.cat((angle.sin(), angle.cos()), 1)
