"""One model for all methods.

x0 = skip * x + out * F(into * x, label, condition)

F is the network.  Its `Precond` says what it predicts (eps, velocity, x0): skip, out and into are functions
of sigma.  Its `Label` is the number by which it receives the noise level.  The `Condition` holds its inputs
from the low-resolution image.  The `Target` says what is diffused: the image or its residual.

Further data of an image (a class, a noise level, at scale 1 the mask of what is to be inpainted) are planes:
additional channels behind those of the low-resolution image, so that cropping, tiling and batching apply to
them without special cases.
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
    """What is computed once from each low-resolution image: `base` for the target, the rest for the network.

    base      (B, C, H, W): low upsampled by interpolation
    image     (B, K, H, W): concatenated to the network's input (SR3, Palette)
    features  (B, F, h, w): added after the first convolution (SRDiff)
    vector    (B, V): added to the label's embedding (class, augmentation level)
    """

    base: Tensor
    image: Tensor | None = None
    features: Tensor | None = None
    vector: Tensor | None = None

    def inputs(self) -> dict[str, Tensor]:
        """The network's keyword arguments: those of image, features and vector that are not None."""
        tensors = {"image": self.image, "features": self.features, "vector": self.vector}
        return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def with_plane(low: LowImages, values: PerImage) -> LowWithPlanes:
    """low with one more channel, which holds the image's value at every pixel."""
    plane = values.to(low).reshape(-1, 1, 1, 1).expand(-1, 1, *low.shape[2:])
    return torch.cat((low, plane), 1)  # (B, C + 1, h, w)


@dataclass(frozen=True)
class Pixels:
    """The target is the image itself (SR3, DDPM, Palette)."""

    def training_target(self, high: Images, base: Images) -> Images:
        """The x0 that training uses."""
        return high

    def encode(self, high: Images, base: Images) -> Images:
        """x0 of an image; the inverse of `decode`."""
        return high

    def decode(self, x0: Images, base: Images) -> Images:
        """The image of an x0."""
        return x0


@dataclass(frozen=True)
class Residual:
    """The target is the residual, gain * (high - base) (SRDiff, eq. 8; its code multiplies by 2).

    clip    clip the target to [-1, 1] in training, as SRDiff's code does
    """

    gain: float = 2.0
    clip: bool = False

    def __post_init__(self) -> None:
        if not self.gain > 0:
            raise ConfigError(f"gain: {self.gain} is not positive")

    def training_target(self, high: Images, base: Images) -> Images:
        """The x0 that training uses."""
        x0 = self.encode(high, base)
        return x0.clamp(-1, 1) if self.clip else x0

    def encode(self, high: Images, base: Images) -> Images:
        """x0 of an image; the inverse of `decode`."""
        return (high - base).mul_(self.gain)  # in place: saves an image-sized buffer

    def decode(self, x0: Images, base: Images) -> Images:
        """The image of an x0."""
        return (x0 / self.gain).add_(base)


Target = Pixels | Residual


class SourceModule(nn.Module, ABC):
    """The module that a source builds: low -> `Condition`, with its weights, if it has any."""

    @abstractmethod
    def base(self, low: LowWithPlanes) -> Images:
        """low upsampled to the size of the result: what a residual target is relative to."""

    @abstractmethod
    def forward(self, low: LowWithPlanes) -> Condition: ...

    def mask(self, low: LowWithPlanes) -> Mask | None:
        """The mask, the last plane, if there is one: 1 where to inpaint, 0 where the image is known."""
        return None

    def without_class(self, low: LowWithPlanes) -> LowWithPlanes:
        """low with its class removed, for the unconditional estimate of guidance.

        Raises ValueError if the source has no class.
        """
        raise ValueError("this condition has no class that could be withheld")


class Model(nn.Module):
    """A network and its source of conditions: all weights, and how they give an estimate of x0."""

    def __init__(self, network: nn.Module, source: SourceModule, precond: Precond, label: Label) -> None:
        super().__init__()
        self.network = network
        self.source = source
        self.precond = precond
        self.label = label

    def base(self, low: LowWithPlanes) -> Images:
        """low upsampled to the size of the result, by the source."""
        return self.source.base(low)

    def condition(self, low: LowWithPlanes) -> Condition:
        condition: Condition = self.source(self.in_weights_dtype(low))
        return condition

    def in_weights_dtype(self, images: Tensor) -> Tensor:
        """`images` in the dtype of the network's weights."""
        return images.to(next(self.network.parameters(), images).dtype)

    def with_label(self, label: Label | None) -> "Model":
        """A model with the same weights and another label; itself if `label` is None."""
        return self if label is None else Model(self.network, self.source, self.precond, label)

    def predict(self, x: Images, sigma: Sigma, inputs: Mapping[str, Tensor]) -> Images:
        """F(into * x, label, inputs): the network's output, in its own units.  `inputs` as of `Condition`."""
        sigma = sigma.expand(len(x))
        into = over_pixels(self.precond.coefficients(sigma).into, x)
        label = self.label.label(sigma).float().to(x.device, non_blocking=x.is_cuda)
        typed = {name: self.in_weights_dtype(tensor) for name, tensor in inputs.items()}
        y: Tensor = self.network(self.in_weights_dtype(into * x), label, **typed)
        return y.to(x.dtype)

    def estimate(self, x: Images, sigma: Sigma, inputs: Mapping[str, Tensor]) -> Images:
        """The estimate of x0, skip * x + out * F; the target's `decode` makes an image of it."""
        c, output = self.precond.coefficients(sigma), self.predict(x, sigma, inputs)
        return over_pixels(c.skip, x) * x + over_pixels(c.out, x) * output

    def forward(self, x: Images, sigma: Sigma, condition: Condition) -> Images:
        return self.estimate(x, sigma, condition.inputs())

    def denoiser(self, low: LowWithPlanes) -> Denoiser:
        """The denoiser (x, sigma) -> x0 for low (B, C, h, w) in [-1, 1].

        The condition is computed once, in this call.  It is the denoiser of the network alone: it neither
        clips nor projects, nor replaces the known pixels of an image with a mask.
        """
        return self.denoiser_for(self.condition(low).inputs())

    def denoiser_for(self, inputs: Mapping[str, Tensor]) -> Denoiser:
        """The denoiser (x, sigma) -> x0 for these inputs from a condition."""

        def denoise(x: Images, sigma: Sigma) -> Images:
            # sigma may come from anywhere; tables and coefficients are float64 on the CPU
            return self.estimate(x, torch.as_tensor(sigma, dtype=torch.float64, device="cpu"), inputs)

        return denoise
