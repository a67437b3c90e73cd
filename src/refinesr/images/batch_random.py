"""What degradations share: chance for each image of a batch, levels of a file, spans of numbers."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from refinesr.errors import ConfigError
from refinesr.shapes import Images


@dataclass(frozen=True)
class BatchRandom:
    """Random numbers for the images of a batch, of their type and on their device."""

    rng: torch.Generator
    like: Tensor

    def uniform(self, span: tuple[float, float], *more: int) -> Float[Tensor, "B ..."]:
        """Even in [span[0], span[1]): one number an image, or more for each, (B, *more)."""
        first, last = span
        shape = (len(self.like), *more)
        drawn = torch.rand(shape, generator=self.rng, device=self.like.device, dtype=self.like.dtype)
        return first + (last - first) * drawn

    def bernoulli(self, share: float) -> Tensor:
        """True with probability `share`, (B,)."""
        return self.uniform((0.0, 1.0)) < share

    def integers(self, count: int, *more: int) -> Tensor:
        """Whole numbers in [0, count): one an image, or more for each, (B, *more)."""
        shape = (len(self.like), *more)
        return torch.randint(count, shape, generator=self.rng, device=self.like.device)

    def integers_between(self, span: tuple[int, int], *more: int) -> Tensor:
        """Whole numbers in [span[0], span[1]]: one an image, or more for each, (B, *more)."""
        return span[0] + self.integers(span[1] - span[0] + 1, *more)

    def normal(self, x: Tensor) -> Tensor:
        """Standard normal values of x's shape."""
        return torch.randn(x.shape, generator=self.rng, device=x.device, dtype=x.dtype)


def per_image(values: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1), to be combined with a batch of images."""
    return values[:, None, None, None]


def check_bounds(name: str, values: tuple[float | int, ...], least: float, most: float) -> None:
    """Raises ConfigError naming the field unless the values ascend within [least, most]."""
    if list(values) != sorted(values) or not all(least <= value <= most for value in values):
        shown = f"{values[0]:g}" if len(values) == 1 else f"({', '.join(f'{value:g}' for value in values)})"
        order = " in ascending order" if len(values) > 1 else ""
        raise ConfigError(f"{name}: {shown} must lie in [{least:g}, {most:g}]{order}")


def round_to_eight_bits(x: Images) -> Images:
    """Clipped to [-1, 1] and rounded to the 256 levels of an 8-bit file."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
