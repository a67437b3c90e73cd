"""A perceptual distance: LPIPS (Zhang et al. 2018) on SqueezeNet 1.1, with weights from files.

Feature vectors of unit length are compared layer by layer and weighted by the linear layers of LPIPS v0.1.
The features are those of the Caffe release of SqueezeNet, not torchvision's, so values are comparable among
themselves but not with published LPIPS: call them "LPIPS-like (SqueezeNet)".
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from refinesr.errors import CheckpointError
from refinesr.metrics.arrays import read_arrays
from refinesr.metrics.backbones import read_tensors, tensor_of_shape
from refinesr.shapes import Features, PerImage

FEATURES = "squeezenet11.npz"
LINEAR = "lpips-v0.1-squeeze-linear.pth"

MEAN_BGR = (103.939, 116.779, 123.68)  # of ImageNet, in levels of 255
STAGES = (("fire2", "fire3"), ("fire4", "fire5"))
LAST = ("fire6", "fire7", "fire8", "fire9")
WIDTHS = (64, 128, 256, 384, 384, 512, 512)
"""Channels of the maps."""

LAYERS = (
    "conv1",
    *(
        f"fire{number}.{layer}"
        for number in range(2, 10)
        for layer in ("squeeze1x1", "expand1x1", "expand3x3")
    ),
)
NAMES = tuple(f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias"))

RGB = Float[Tensor, "B 3 H W"]


@final
class Perceptual:
    """The LPIPS-like distance.

    `folder` holds `squeezenet11.npz` and `lpips-v0.1-squeeze-linear.pth`.
    Raises CheckpointError if one of them is missing, damaged or of another network.
    """

    title: ClassVar[str] = "LPIPS 0.1's linear layers on Caffe's SqueezeNet 1.1"

    def __init__(self, folder: Path, device: torch.device | None = None) -> None:
        for name in (FEATURES, LINEAR):
            if not (folder / name).is_file():
                raise CheckpointError(f"{folder / name}: no such file; the perceptual distance needs it")
        self.device = device or torch.device("cpu")
        stored = read_arrays(folder / FEATURES, NAMES, "the weights of SqueezeNet 1.1")
        for name in NAMES:
            if name not in stored:
                raise CheckpointError(f"{folder / FEATURES}: holds no {name!r}; is it of another network?")
        self.weights = {name: values.float().to(self.device) for name, values in stored.items()}
        held = read_tensors(folder / LINEAR, "the linear layers of LPIPS")
        self.linear = [
            tensor_of_shape(folder / LINEAR, held, f"lin{k}.model.1.weight", torch.empty(1, width, 1, 1)).to(
                self.device
            )
            for k, width in enumerate(WIDTHS)
        ]

    def __call__(self, high: RGB, other: RGB) -> PerImage:
        """The distance of RGB images in [0, 1], at least 32 pixels a side; 0 for equal images.

        Differentiable with respect to the images, not to the weights.
        """
        return feature_distance(self.features(high), self.features(other), self.linear)

    def features(self, images: RGB) -> Iterator[Tensor]:
        """Yields seven feature maps, from the first convolution to the last fire module."""
        mean = torch.tensor(MEAN_BGR, device=self.device)[:, None, None]
        x = self.convolved(images.to(self.device).flip(1) * 255 - mean, "conv1", stride=2)
        yield x
        for first, second in STAGES:
            x = self.fire(self.fire(pooled(x), first), second)
            yield x
        x = pooled(x)
        for name in LAST:
            x = self.fire(x, name)
            yield x

    def fire(self, x: Features, name: str) -> Tensor:
        """Fire module: 1x1 squeeze, then parallel 1x1 and 3x3 expansion (Iandola et al. 2016, figure 1)."""
        few = self.convolved(x, f"{name}.squeeze1x1")
        wide = self.convolved(few, f"{name}.expand1x1"), self.convolved(few, f"{name}.expand3x3", padding=1)
        return torch.cat(wide, 1)

    def convolved(self, x: Tensor, name: str, stride: int = 1, padding: int = 0) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.relu(F.conv2d(x, weight, bias, stride, padding))


def pooled(x: Features) -> Float[Tensor, "B F h2 w2"]:
    return F.max_pool2d(x, 3, 2, ceil_mode=True)


def feature_distance(
    maps: Iterable[Features], others: Iterable[Features], weights: Iterable[Tensor]
) -> PerImage:
    """Distance of feature maps (Zhang et al. 2018, equation 1).

    Feature vectors are scaled to unit length; squared differences are weighted by (1, F, 1, 1), averaged over
    pixels and summed over maps.
    """
    layers = zip(maps, others, weights, strict=True)
    return torch.stack(
        [
            (weight * (unit_length(one) - unit_length(other)).square()).sum(1).mean((1, 2))
            for one, other, weight in layers
        ]
    ).sum(0)


def unit_length(x: Features) -> Features:
    """Feature vectors scaled to unit length at each pixel; 16-bit floats are converted to float32."""
    x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x / (length + 1e-10)
