"""Random numbers for each image of a batch, and other helpers that degradations share."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from refinesr.errors import ConfigError
from refinesr.shapes import Images


@dataclass(frozen=True)
class BatchRandom:
    """Random numbers for the images of the batch `like`, of its dtype and on its device."""

    rng: torch.Generator
    like: Tensor

    def uniform(self, bounds: tuple[float, float], *shape: int) -> Float[Tensor, "B ..."]:
        """Uniform numbers in [bounds[0], bounds[1]), (B, *shape)."""
        first, last = bounds
        shape = (len(self.like), *shape)
        drawn = torch.rand(shape, generator=self.rng, device=self.like.device, dtype=self.like.dtype)
        return first + (last - first) * drawn

    def bernoulli(self, probability: float) -> Tensor:
        """True with the probability, (B,)."""
        return self.uniform((0.0, 1.0)) < probability

    def integers(self, count: int, *shape: int) -> Tensor:
        """Uniform integers in [0, count), (B, *shape)."""
        shape = (len(self.like), *shape)
        return torch.randint(count, shape, generator=self.rng, device=self.like.device)

    def integers_between(self, bounds: tuple[int, int], *shape: int) -> Tensor:
        """Uniform integers in [bounds[0], bounds[1]], (B, *shape)."""
        return bounds[0] + self.integers(bounds[1] - bounds[0] + 1, *shape)

    def normal(self, x: Tensor) -> Tensor:
        """Standard normal values of x's shape."""
        return torch.randn(x.shape, generator=self.rng, device=x.device, dtype=x.dtype)


def per_image(values: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1), to broadcast over a batch of images."""
    return values[:, None, None, None]


def check_bounds(name: str, values: tuple[float | int, ...], least: float, most: float) -> None:
    """Raises ConfigError naming the field unless the values are ascending and within [least, most]."""
    if list(values) != sorted(values) or not all(least <= value <= most for value in values):
        shown = f"{values[0]:g}" if len(values) == 1 else f"({', '.join(f'{value:g}' for value in values)})"
        order = " in ascending order" if len(values) > 1 else ""
        raise ConfigError(f"{name}: {shown} must lie in [{least:g}, {most:g}]{order}")


def round_to_eight_bits(x: Images) -> Images:
    """Clipped to [-1, 1] and rounded to the 256 levels of an 8-bit file."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
