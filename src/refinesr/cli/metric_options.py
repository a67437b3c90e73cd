"""Which metrics that need files `refinesr evaluate` is to measure, and what it says of those it cannot."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Parameter

from ..errors import ConfigError
from .messages import print_message
from .options import LpipsWeights, PerceptualFolder

if TYPE_CHECKING:
    import torch

    from ..evaluate.image_metrics import Metric
    from ..evaluate.pairs import LoadedPair, Pair
    from ..evaluate.protocols import Protocol
    from ..evaluate.set_metrics import SetMetric

INCEPTION = "takes StyleGAN's inception-2015-12-05.pt"

HINTS = {
    "lpips": "LPIPS is not measured, which the paper reports; --lpips takes alex.pth of the lpips package",
    "fid": f"FID is not measured, which the paper reports; --features {INCEPTION}",
    "is": f"IS is not measured, which the paper reports; --probabilities {INCEPTION}",
    "top1": "top-1 and top-5 error are not measured, which the paper reports; --classifier takes a "
    "TorchScript file or a network of timm's as timm:resnet50.a1_in1k, --labels the pictures' classes",
}


@Parameter(name="*", group="Metrics")
@dataclass(frozen=True)
class Metrics:
    """Metrics that need files; the others of the protocol are measured anyway."""

    perceptual: PerceptualFolder = None
    lpips: LpipsWeights = None

    dists: Path | None = None
    """DISTS: its weights.pt.  The weights of VGG16 are taken from torch's cache, or from --backbone."""

    backbone: Path | None = None
    """Weights of the network that LPIPS and DISTS use, if torch's cache does not have them."""

    niqe: Path | None = None
    """NIQE: its parameters, an .npz file with mu_pris_param and cov_pris_param."""

    features: Path | None = None
    """FID and KID: a TorchScript network that computes features of uint8 RGB pictures."""

    reference: Path | None = None
    """FID against stored statistics, an .npz file with mu and sigma; default: against the originals."""

    probabilities: Path | None = None
    """Inception Score: a TorchScript network that computes class probabilities of uint8 RGB pictures."""

    classifier: str | None = None
    """Top-1 and top-5 error: a TorchScript network that computes logits of RGB normalised as for ImageNet, or
    a network of timm, such as timm:resnet50.a1_in1k, if timm is installed (it downloads the weights)."""

    labels: Path | None = None
    """Classes of the pictures, from 0, for --classifier: a file with a line NAME,CLASS for each picture, or a
    folder with a sub-folder for each class, numbered in the order of their names."""

    def check(self) -> None:
        """Raises ConfigError."""
        if (self.classifier is None) != (self.labels is None):
            raise ConfigError("--classifier and --labels: one needs the other")
        if self.reference is not None and self.features is None:
            raise ConfigError(f"--reference: {self.reference} has no use without --features")
        if self.backbone is not None and self.lpips is None and self.dists is None:
            raise ConfigError(f"--backbone: {self.backbone} has no use without --lpips or --dists")

    def check_bands(self, bands: int, protocol: "Protocol") -> None:
        """Raises ConfigError for a network of RGB if images of other bands are compared as stored."""
        if bands in protocol.depth.accepted_bands(3):
            return
        for name in ("perceptual", "lpips", "dists", "niqe", "features", "probabilities", "classifier"):
            if getattr(self, name) is not None:
                seen = f"judges pictures of 3 bands, and protocol {protocol.name} has {bands} of them here"
                raise ConfigError(f"--{name}: {seen}; leave it out")

    def of_pictures(
        self, pairs: "Sequence[Pair]", first: "Callable[[], LoadedPair]", device: "torch.device"
    ) -> "Iterator[Metric]":
        """The requested metrics of single images.  `first` reads the first of `pairs`.

        Raises CheckpointError for a named file that cannot be used.  If default weights are missing from
        torch's cache, a message says so and the metric is omitted.
        """
        from ..evaluate import pretrained_metrics

        if self.perceptual is not None:
            yield pretrained_metrics.perceptual(self.perceptual, device)
        for path, build in ((self.lpips, pretrained_metrics.lpips), (self.dists, pretrained_metrics.dists)):
            if path is not None:
                yield from build_if_cached(build, path, self.backbone, device)
        if self.niqe is not None:
            yield pretrained_metrics.niqe(self.niqe)
        if self.classifier is not None and self.labels is not None:
            yield from pretrained_metrics.top_k_errors(self.classifier, self.labels, pairs, first(), device)

    def of_sets(self, device: "torch.device") -> "Iterator[SetMetric]":
        from ..evaluate import pretrained_metrics

        if self.features is not None:
            yield from pretrained_metrics.fid_and_kid(self.features, self.reference, device)
        if self.probabilities is not None:
            yield pretrained_metrics.inception_score(self.probabilities, device)


def build_if_cached(
    build: "Callable[[Path, Path | None, torch.device], Metric]",
    path: Path,
    backbone: Path | None,
    device: "torch.device",
) -> "Iterator[Metric]":
    """The metric, or a message if the network's weights are missing from torch's cache."""
    from ..metrics.backbones import CacheError

    try:
        yield build(path, backbone, device)
    except CacheError as error:
        print_message(f"{error}; not measured")
