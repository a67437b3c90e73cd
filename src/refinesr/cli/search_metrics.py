"""The metrics of `refinesr search`, by name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..errors import ConfigError

if TYPE_CHECKING:
    import torch

    from ..search import HeldOutSet, Metric

MetricFactory = Callable[["HeldOutSet"], "Metric"]


def psnr(features: Path | None, device: "torch.device") -> MetricFactory:
    from ..search import Psnr

    if features is not None:
        raise ConfigError(f"--features: {features} has no use for --metric psnr; name another metric")
    return lambda held: Psnr()


def perceptual(features: Path | None, device: "torch.device") -> MetricFactory:
    from ..metrics.perceptual import FEATURES, LINEAR, Perceptual
    from ..search import Distance

    if features is None:
        raise ConfigError(f"--features: --metric perceptual needs a folder with {FEATURES} and {LINEAR}")
    distance = Distance(Perceptual(features, device))
    return lambda held: distance


def fid(features: Path | None, device: "torch.device") -> MetricFactory:
    from ..metrics.sets import Features
    from ..search import FrechetDistance

    if features is None:
        raise ConfigError("--features: --metric fid needs a TorchScript file like inception-2015-12-05.pt")
    network = Features(features, device)
    return lambda held: FrechetDistance.of(network, held)


METRICS: Mapping[str, Callable[[Path | None, "torch.device"], MetricFactory]] = MappingProxyType(
    {"psnr": psnr, "perceptual": perceptual, "fid": fid}
)
