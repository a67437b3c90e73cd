"""Metrics that need files from elsewhere: weights of networks, parameters, statistics."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from refinesr.errors import CheckpointError
from refinesr.evaluate.aims import Lower
from refinesr.evaluate.depths import to_unit_range
from refinesr.evaluate.image_metrics import Case, Metric, NetworkDistance, NoReference
from refinesr.evaluate.labels import Labels
from refinesr.evaluate.pairs import LoadedPair, Pair
from refinesr.evaluate.set_metrics import FrechetDistance, InceptionScore, KernelDistance, SetMetric
from refinesr.metrics.classification import Classifier, Probabilities, top_k_missed
from refinesr.metrics.dists import DISTS
from refinesr.metrics.lpips import LPIPS, variant_of
from refinesr.metrics.niqe import NIQE
from refinesr.metrics.perceptual import Perceptual
from refinesr.metrics.sets import Features, Normal


def perceptual(folder: Path, device: torch.device) -> Metric:
    """The LPIPS-like distance on features of Caffe's SqueezeNet."""
    convention = f"{Perceptual.title}: not the published LPIPS"
    distance = NetworkDistance(Perceptual(folder, device), 32)
    return Metric("perceptual", "LPIPS-like", Lower(), convention, "", distance)


def lpips(linear: Path, features: Path | None, device: torch.device) -> Metric:
    """LPIPS; `linear` is a file named alex.pth, vgg.pth or squeeze.pth."""
    network = LPIPS(variant_of(linear), linear, features, device)
    which = "the published weights" if network.published else "weights that are not the published ones"
    convention = f"version 0.1, {network.name}, of RGB, {which}"
    return Metric("lpips", f"LPIPS ({network.name})", Lower(), convention, "", NetworkDistance(network))


def dists(weights: Path, features: Path | None, device: torch.device) -> Metric:
    distance = NetworkDistance(DISTS(weights, features, device))
    return Metric("dists", "DISTS", Lower(), "VGG16, of RGB at full size", "", distance)


def niqe(parameters: Path) -> Metric:
    convention = (
        "of grey by rgb2gray, no border cut, blocks of 96 pixels; less than two blocks are not judged"
    )
    return Metric("niqe", "NIQE", Lower(), convention, "", NoReference(NIQE.read(parameters)))


@dataclass(frozen=True, eq=False)
class TopKError:
    """Top-k error of a result: 1 if the image's class is not among the `top` most likely ones, else 0."""

    logits: Callable[[Case], Tensor]
    classes: Mapping[str, int]
    top: int

    def __call__(self, case: Case) -> float:
        return float(
            top_k_missed(self.logits(case), torch.tensor([self.classes[case.name]]), top=(self.top,))
        )


def top_k_errors(
    classifier: str, labels: Path, pairs: Sequence[Pair], first: LoadedPair, device: torch.device
) -> tuple[Metric, ...]:
    """Top-1 and top-5 error; only top-1 for a classifier of fewer than five classes.

    `classifier` is a TorchScript file or timm:NAME; it is tried on `first`, the first of `pairs`.  Raises
    InputError for images without a class and classes that the classifier does not have.
    """
    known = Labels.read(labels)
    classes = known.classes_of(pairs)
    network = load_classifier(classifier, device)
    count = network(to_unit_range(first.high, first.depth.span).float().expand(-1, 3, -1, -1)).shape[1]
    known.check_class_count(count)

    @lru_cache(maxsize=1)  # top-1 and top-5 use the same logits
    def logits(case: Case) -> Tensor:
        return network(case.rgb_images[1])

    words = {1: "the likeliest", 5: "among the 5 likeliest"}
    return tuple(
        Metric(
            f"top{k}",
            f"top-{k} error",
            Lower(),
            f"share of results whose class is not {words[k]} of {count}; {network.convention}",
            "",
            TopKError(logits, classes, k),
        )
        for k in (1, 5)
        if k <= count
    )


def load_classifier(classifier: str, device: torch.device) -> Classifier:
    source, mark, name = classifier.partition(":")
    if mark and source == "timm":
        return Classifier.of_timm(name, device)
    if not Path(classifier).is_file():
        ways = "a TorchScript file, or a network of timm's as timm:resnet50.a1_in1k, is needed"
        raise CheckpointError(f"{classifier}: no such file; {ways}")
    return Classifier.read(Path(classifier), device)


def fid_and_kid(features: Path, reference: Path | None, device: torch.device) -> tuple[SetMetric, ...]:
    """FID and KID; FID against saved statistics if `reference` is given."""
    network = Features(features, device)
    return FrechetDistance(network, None if reference is None else Normal.read(reference)), KernelDistance(
        network
    )


def inception_score(probabilities: Path, device: torch.device) -> SetMetric:
    return InceptionScore(Probabilities(probabilities, device))
