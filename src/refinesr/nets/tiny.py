"""The smallest honest denoiser: what a network here must do, no more.  To be read first; for tests."""

from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from refinesr.errors import ConfigError
from refinesr.shapes import Features, Images, PerImage

Page = Float[Tensor, "B K H W"]


@final
@dataclass(frozen=True)
class Tiny:
    """F(x, label, image, features): (B, channels, H, W) -> the same shape, for any H and W.

    `image_channels` and `features` belong to the condition, 0 for none; features come at x's size / `scale`.
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
        """Corners of tiles lie on multiples of this, in pixels of x."""
        return self.scale

    @property
    def reach(self) -> int:
        """Farthest pixel of x that an output pixel depends on, along an axis: one a 3x3 convolution."""
        return self.blocks + 2

    def build(self) -> nn.Module:
        return TinyModule(self)


@final
class TinyModule(nn.Module):
    def __init__(self, value: Tiny) -> None:
        super().__init__()
        self.value = value
        self.stem = nn.Conv2d(value.image_channels + value.channels, value.width, 3, padding=1)
        self.enter = nn.Conv2d(value.features, value.width, 1) if value.features else None
        self.told = nn.ModuleList(nn.Linear(16, 2 * value.width) for _ in range(value.blocks))
        self.blocks = nn.ModuleList(nn.Conv2d(value.width, value.width, 3, padding=1) for _ in self.told)
        self.out = nn.Conv2d(value.width, value.channels, 3, padding=1)

    def forward(
        self, x: Images, label: PerImage, image: Page | None = None, features: Features | None = None
    ) -> Images:
        if (image is None, features is None) != (self.value.image_channels == 0, self.enter is None):
            raise ValueError(f"image {image is not None}, features {features is not None}, for {self.value}")
        h: Tensor = self.stem(x if image is None else torch.cat((image, x), 1))  # (B, width, H, W)
        if self.enter is not None and features is not None:
            large = F.interpolate(self.enter(features), scale_factor=self.value.scale)
            h = h + large[..., : x.shape[-2], : x.shape[-1]]
        waves = sines(label).to(x.dtype)
        for told, block in zip(self.told, self.blocks, strict=True):
            scale, shift = told(waves)[..., None, None].chunk(2, dim=1)  # each (B, width, 1, 1)
            h = h + block(F.silu(h * (1 + scale) + shift))
        y: Tensor = self.out(F.silu(h))
        return y  # (B, C, H, W)


def sines(label: PerImage) -> Float[Tensor, "B 16"]:
    """Sines and cosines of 0.001 to 10 radians a unit: bounded, for labels of any range."""
    angle = label[:, None] * torch.logspace(-3, 1, 8, dtype=label.dtype, device=label.device)
    return torch.cat((angle.sin(), angle.cos()), 1)
