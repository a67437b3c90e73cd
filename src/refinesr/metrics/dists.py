"""DISTS (Ding et al. 2020, arXiv 2004.07728): SSIM-like comparison of structure and texture of VGG16 maps."""

from collections.abc import Iterator
from pathlib import Path
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from refinesr.errors import CheckpointError
from refinesr.metrics.backbones import MEAN, RGB, STD, VGG16, Backbone, read_tensors, tensor_of_shape
from refinesr.shapes import Features, PerImage

HOME = "https://github.com/dingkeyan93/DISTS"
SMALL = 1e-6  # c1 and c2 of the paper; makes channels that are 0 everywhere equal

Channels = Float[Tensor, "B F"]


@final
class DISTS:
    """The DISTS distance.

    `weights` is the authors' `weights.pt`: `alpha` for means and `beta` for covariances, (1, 1475, 1, 1),
    with one value for every channel of the image and of five maps.  `features` is a file of torchvision's
    VGG16 weights, by default the one in torch's cache.

    Images are compared at their own size.  The authors' script first reduces a shorter side of more than
    256 pixels to 256 (bilinear, antialiased); do so beforehand to reproduce their values.

    Raises CheckpointError if a file is missing, damaged or of another network.
    """

    def __init__(
        self,
        weights: Path,
        features: Path | None = None,
        device: torch.device | None = None,
        backbone: Backbone = VGG16,
    ) -> None:
        self.device, self.backbone = device or torch.device("cpu"), backbone
        held = read_tensors(weights, f"the weights of DISTS, weights.pt of {HOME}")
        widths = (3, *backbone.widths)
        both = (
            tensor_of_shape(weights, held, x, torch.empty(1, sum(widths), 1, 1)) for x in ("alpha", "beta")
        )
        alpha, beta = (values.flatten().to(self.device) for values in both)
        total = alpha.sum() + beta.sum()
        if not total > 0:
            raise CheckpointError(f"{weights}: alpha and beta add up to {total.item()}, not to more than 0")
        self.alpha, self.beta = (torch.split(values / total, list(widths)) for values in (alpha, beta))
        network = backbone.read(features, self.device)
        self.network = nn.Sequential(*(L2Pool() if isinstance(x, nn.MaxPool2d) else x for x in network))

    @torch.no_grad()
    def __call__(self, high: RGB, other: RGB) -> PerImage:
        """The distance of RGB images in [0, 1], at least 16 pixels a side: 0 if equal, up to about 1."""
        both = zip(self.maps(high), self.maps(other), self.alpha, self.beta, strict=True)
        parts = [texture(x, y) @ alpha + structure(x, y) @ beta for x, y, alpha, beta in both]
        return torch.stack(parts).sum(0)

    def maps(self, images: RGB) -> Iterator[Features]:
        """Yields the image itself, then the network's feature maps."""
        images = images.to(self.device, torch.float32)
        yield images
        mean, std = (torch.tensor(values, device=self.device)[:, None, None] for values in (MEAN, STD))
        yield from self.backbone.maps(self.network, (images - mean) / std)


class L2Pool(nn.Module):
    """L2 pooling with a Hann window and stride 2, instead of max-pooling (section 3.1)."""

    def forward(self, x: Features) -> Float[Tensor, "B F h2 w2"]:
        taps = x.new_tensor([0.25, 0.5, 0.25])
        window = torch.outer(taps, taps).expand(x.shape[1], 1, 3, 3)
        squares = F.conv2d(x.square(), window, stride=2, padding=1, groups=x.shape[1])
        return (squares + 1e-12).sqrt()


def texture(x: Features, y: Features) -> Channels:
    """1 - l, with l the similarity of the channels' means: 1 - (2ab + c)/(a² + b² + c) (section 3.2)."""
    a, b = x.mean((2, 3)), y.mean((2, 3))
    return (a - b).square() / (a.square() + b.square() + SMALL)


def structure(x: Features, y: Features) -> Channels:
    """1 - s, with s the similarity of the centred maps: 1 - (2 cov + c)/(var + var' + c).

    Computed from differences, without cancellation, it is exactly 0 for equal maps and never negative.
    """
    a, b = (x - x.mean((2, 3), keepdim=True), y - y.mean((2, 3), keepdim=True))
    both = a.square().mean((2, 3)) + b.square().mean((2, 3))
    return (a - b).square().mean((2, 3)) / (both + SMALL)
