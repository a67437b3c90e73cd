"""LPIPS (Zhang et al. 2018, arXiv 1801.03924), version 0.1, with the published weights from files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from refinesr.errors import CheckpointError
from refinesr.metrics.backbones import (
    ALEXNET,
    RGB,
    SQUEEZENET,
    VGG16,
    Backbone,
    read_tensors,
    sha256,
    tensor_of_shape,
)
from refinesr.metrics.perceptual import feature_distance
from refinesr.shapes import PerImage

# the "scaling layer": ImageNet's mean and standard deviation for images in [-1, 1], rounded by the authors
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)

HOME = "https://github.com/richzhang/PerceptualSimilarity/tree/master/lpips/weights/v0.1"


@dataclass(frozen=True)
class Variant:
    """One of the three networks of LPIPS, and the SHA-256 of its published linear layers."""

    name: str
    backbone: Backbone
    linear: str


ALEX = Variant("alex", ALEXNET, "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0")
VGG = Variant("vgg", VGG16, "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868")
SQUEEZE = Variant("squeeze", SQUEEZENET, "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76")


VARIANTS: Mapping[str, Variant] = {variant.name: variant for variant in (ALEX, VGG, SQUEEZE)}


def variant_of(linear: Path) -> Variant:
    """The network that a file of linear layers is for, by its name.  Raises CheckpointError."""
    variant = VARIANTS.get(linear.stem)
    if variant is None:
        names = ", ".join(f"{name}.pth" for name in VARIANTS)
        hint = f"the file's name determines the network of LPIPS; it is one of {names}"
        raise CheckpointError(f"{linear}: {hint if linear.exists() else f'no such file; {hint}'}")
    return variant


@final
class LPIPS:
    """The LPIPS distance.

    `linear` is the file of the linear layers (`lin0.model.1.weight` and so on: `alex.pth`, `vgg.pth` or
    `squeeze.pth` of the `lpips` package); `features` is the file of torchvision's weights of the network, by
    default the one in torch's cache.  `published` is whether both files are the published ones, byte for
    byte: only then are values comparable with papers.  Most papers report ALEX, often without saying so.

    Raises CheckpointError if a file is missing, damaged or of another network.
    """

    def __init__(
        self,
        variant: Variant,
        linear: Path,
        features: Path | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.device, self.backbone, self.name = device or torch.device("cpu"), variant.backbone, variant.name
        held = read_tensors(linear, f"the linear layers of LPIPS, {variant.name}.pth of {HOME}")
        self.weights = [
            tensor_of_shape(linear, held, f"lin{k}.model.1.weight", torch.empty(1, width, 1, 1)).to(
                self.device
            )
            for k, width in enumerate(self.backbone.widths)
        ]
        self.network = self.backbone.read(features, self.device)
        self.published = self.backbone.published(features) and sha256(linear) == variant.linear

    def __call__(self, high: RGB, other: RGB) -> PerImage:
        """The distance of RGB images in [0, 1] (the authors' `normalize=True`); 0 for equal images.

        Differentiable with respect to the images, not to the weights.  Raises ValueError for sides smaller
        than the network needs: AlexNet 31 pixels, SqueezeNet 17, VGG16 16.
        """
        one, two = (self.backbone.maps(self.network, self.scaled(images)) for images in (high, other))
        return feature_distance(one, two, self.weights)

    @property
    def title(self) -> str:
        return f"LPIPS 0.1 on {self.name}{'' if self.published else ', not of the published weights'}"

    def scaled(self, images: RGB) -> RGB:
        shift, scale = (torch.tensor(values, device=self.device)[:, None, None] for values in (SHIFT, SCALE))
        wide: Float[Tensor, "B 3 H W"] = images.to(self.device, torch.float32) * 2 - 1
        return (wide - shift) / scale
