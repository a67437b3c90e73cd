"""Metrics that need files of other people: networks, their linear layers, statistics."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from refinesr.errors import CheckpointError, InputError
from refinesr.evaluate.measuring import Alone, Case, Distance, Metric
from refinesr.evaluate.sets import Frechet, Inception, Kernel, SetMetric
from refinesr.metrics.classification import Classifier, Probabilities, missed
from refinesr.metrics.dists import DISTS
from refinesr.metrics.lpips import ALEX, LPIPS, SQUEEZE, VGG, Variant
from refinesr.metrics.niqe import NIQE
from refinesr.metrics.perceptual import Perceptual
from refinesr.metrics.sets import Features, Normal

VARIANTS: Mapping[str, Variant] = {variant.name: variant for variant in (ALEX, VGG, SQUEEZE)}


def perceptual(folder: Path, device: torch.device) -> tuple[Metric, ...]:
    """LPIPS-like, on the features of SqueezeNet as Caffe had it."""
    convention = "LPIPS 0.1's linear layers on Caffe's SqueezeNet 1.1: not the published LPIPS"
    distance = Distance(Perceptual(folder, device), 32)
    return (Metric("perceptual", "LPIPS-like", "lower", convention, "", distance),)


def lpips(linear: Path, features: Path | None, device: torch.device) -> tuple[Metric, ...]:
    """`linear` is called alex.pth, vgg.pth or squeeze.pth."""
    variant = VARIANTS.get(linear.stem)
    if variant is None:
        names = ", ".join(f"{name}.pth" for name in VARIANTS)
        raise CheckpointError(
            f"{linear}: which network LPIPS is on is told by the file's name, one of {names}"
        )
    network = LPIPS(variant, linear, features, device)
    sure = "the published weights" if network.published else "weights that are not the published ones"
    convention = f"version 0.1, {variant.name}, of RGB, {sure}"
    return (Metric("lpips", f"LPIPS ({variant.name})", "lower", convention, "", Distance(network)),)


def dists(weights: Path, features: Path | None, device: torch.device) -> tuple[Metric, ...]:
    convention = "VGG16, of RGB at full size"
    network = DISTS(weights, features, device)
    return (Metric("dists", "DISTS", "lower", convention, "", Distance(network)),)


def niqe(parameters: Path) -> tuple[Metric, ...]:
    convention = (
        "of grey by rgb2gray, no border cut, blocks of 96 pixels; less than two blocks are not judged"
    )
    return (Metric("niqe", "NIQE", "lower", convention, "", Alone(NIQE.read(parameters))),)


@dataclass(frozen=True, eq=False)
class Wrong:
    """1 if the class of a picture is not among the `top` likeliest of its result, else 0."""

    classifier: Classifier
    labels: Mapping[str, int]
    file: Path
    top: int

    def __call__(self, case: Case) -> float:
        if case.name not in self.labels:
            raise ValueError(f"{self.file} has no line for '{case.name}'")
        logits = self.classifier(case.colours[1])
        label = torch.tensor([self.labels[case.name]])
        return float(missed(logits, label, top=(self.top,)))


def accuracy(classifier: Path, labels: Path, device: torch.device) -> tuple[Metric, ...]:
    """`labels` has a line NAME,CLASS for each picture, the name without suffix, classes from 0."""
    network, known = Classifier.read(classifier, device), labelled(labels)
    words = "share of results whose class is not among the {} likeliest of the given classifier"
    return tuple(
        Metric(f"top{k}", f"top-{k} error", "lower", words.format(k), "", Wrong(network, known, labels, k))
        for k in (1, 5)
    )


def labelled(path: Path) -> dict[str, int]:
    """Raises InputError."""
    try:
        rows = [row for row in csv.reader(path.read_text(encoding="utf-8").splitlines()) if row]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    for number, row in enumerate(rows, start=1):
        if len(row) != 2 or not row[1].strip().isdecimal():
            raise InputError(f"{path}: line {number}: '{','.join(row)[:60]}' is not NAME,CLASS")
    return {row[0].strip(): int(row[1]) for row in rows}


def distances(features: Path, reference: Path | None, device: torch.device) -> tuple[SetMetric, ...]:
    """FID and KID; FID against saved statistics if there are some."""
    network = Features(features, device)
    return Frechet(network, None if reference is None else Normal.read(reference)), Kernel(network)


def inception(probabilities: Path, device: torch.device) -> tuple[SetMetric, ...]:
    return (Inception(Probabilities(probabilities, device)),)
