"""One model for all methods.

x0 = skip * x + out * F(into * x, label, condition)

F is the network.  What it predicts (eps, velocity, x0) is three numbers, its `Precond`; what it is told of
the noise is its `Label`; what it sees of the poor image comes through three doors of `Condition`; what is
diffused, the image or its residual, is the `Target`.

What is given besides a poor image travels behind its channels as planes, so that crops, tiles and batches
need no second road: what its source takes (a class, a level), and at scale 1 a mask of what is to be made up.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from refinesr.diffusion.labels import Label
from refinesr.diffusion.precond import Precond, over_pixels
from refinesr.errors import ConfigError
from refinesr.shapes import Denoiser, Images, LowImages, LowWithPlanes, Mask, PerImage, Sigma


@dataclass(frozen=True)
class Condition:
    """What is known of each image, made once: `base` for the target, the rest for the network's doors.

    base      (B, C, H, W): low plainly enlarged
    image     (B, K, H, W): concatenated to the network's input (SR3, Palette)
    features  (B, F, h, w): added after the stem (SRDiff)
    vector    (B, V): added to the label's embedding (class, augmentation level)
    """

    base: Tensor
    image: Tensor | None = None
    features: Tensor | None = None
    vector: Tensor | None = None

    def doors(self) -> dict[str, Tensor]:
        """What the network is called with, by the names of its arguments."""
        found = {"image": self.image, "features": self.features, "vector": self.vector}
        return {name: value for name, value in found.items() if value is not None}


def with_plane(low: LowImages, values: PerImage) -> LowWithPlanes:
    """low with one more channel, everywhere the image's value."""
    plane = values.to(low).reshape(-1, 1, 1, 1).expand(-1, 1, *low.shape[2:])
    return torch.cat((low, plane), 1)  # (B, C + 1, h, w)


@dataclass(frozen=True)
class Pixels:
    """The image itself is diffused (SR3, DDPM, Palette)."""

    def learnt(self, high: Images, base: Images) -> Images:
        """What training aims at."""
        return high

    def encode(self, high: Images, base: Images) -> Images:
        """The inverse of `decode`."""
        return high

    def decode(self, x0: Images, base: Images) -> Images:
        return x0


@dataclass(frozen=True)
class Residual:
    """gain * (high - base) is diffused (SRDiff, eq. 8; its code multiplies by 2).

    clip    training aims at it clipped to [-1, 1], as SRDiff's code does
    """

    gain: float = 2.0
    clip: bool = False

    def __post_init__(self) -> None:
        if not self.gain > 0:
            raise ConfigError(f"gain: {self.gain} is not positive")

    def learnt(self, high: Images, base: Images) -> Images:
        """What training aims at."""
        aim = self.encode(high, base)
        return aim.clamp(-1, 1) if self.clip else aim

    def encode(self, high: Images, base: Images) -> Images:
        """The inverse of `decode`."""
        return (high - base).mul_(self.gain)  # of a large picture a canvas less

    def decode(self, x0: Images, base: Images) -> Images:
        return (x0 / self.gain).add_(base)


Target = Pixels | Residual


class SourceModule(nn.Module, ABC):
    """What a source builds: low -> `Condition`, with the weights that takes."""

    @abstractmethod
    def base(self, low: LowWithPlanes) -> Images:
        """low plainly enlarged: what the target is relative to, and the size of the result."""

    @abstractmethod
    def forward(self, low: LowWithPlanes) -> Condition: ...

    def mask(self, low: LowWithPlanes) -> Mask | None:
        """The plane behind what the source takes: 1 where a picture is to be made up, 0 where it is known."""
        return None

    def withheld(self, low: LowWithPlanes) -> LowWithPlanes:
        """low without what guidance is to stress.  ValueError if there is no such thing."""
        raise ValueError("nothing of this condition can be withheld")


class Model(nn.Module):
    """A network with its source of conditions: everything with weights, and how they make an x0."""

    def __init__(self, network: nn.Module, source: SourceModule, precond: Precond, label: Label) -> None:
        super().__init__()
        self.network = network
        self.source = source
        self.precond = precond
        self.label = label

    def base(self, low: LowWithPlanes) -> Images:
        """Of the source."""
        return self.source.base(low)

    def condition(self, low: LowWithPlanes) -> Condition:
        made: Condition = self.source(self.typed(low))
        return made

    def typed(self, images: Tensor) -> Tensor:
        """Of the float type of the network's weights, whatever that of the pictures."""
        return images.to(next(self.network.parameters(), images).dtype)

    def told(self, label: Label | None) -> "Model":
        """The same weights, told the noise by another label, if one is given."""
        return self if label is None else Model(self.network, self.source, self.precond, label)

    def predict(self, x: Images, sigma: Sigma, doors: Mapping[str, Tensor]) -> Images:
        """F, in the network's own units."""
        sigma = sigma.expand(len(x))
        into = over_pixels(self.precond.coefficients(sigma).into, x)
        label = self.label.label(sigma).float().to(x.device, non_blocking=x.is_cuda)
        through = {name: self.typed(door) for name, door in doors.items()}
        y: Tensor = self.network(self.typed(into * x), label, **through)
        return y.to(x.dtype)

    def estimate(self, x: Images, sigma: Sigma, doors: Mapping[str, Tensor]) -> Images:
        """x0, as diffused: the target's `decode` makes an image of it."""
        c, said = self.precond.coefficients(sigma), self.predict(x, sigma, doors)
        return over_pixels(c.skip, x) * x + over_pixels(c.out, x) * said

    def forward(self, x: Images, sigma: Sigma, condition: Condition) -> Images:
        return self.estimate(x, sigma, condition.doors())

    def denoiser(self, low: LowWithPlanes) -> Denoiser:
        """(x, sigma) -> x0 for this low (B, C, h, w) in [-1, 1], which is encoded now and never again.

        The network's own: what is known of a picture with a mask is not yet put back.
        """
        return self.conditioned(self.condition(low).doors())

    def conditioned(self, doors: Mapping[str, Tensor]) -> Denoiser:
        """(x, sigma) -> x0 for what has come through these doors."""

        def denoise(x: Images, sigma: Sigma) -> Images:
            # wherever it comes from, tables and coefficients are float64 on the CPU
            return self.estimate(x, torch.as_tensor(sigma, dtype=torch.float64, device="cpu"), doors)

        return denoise
