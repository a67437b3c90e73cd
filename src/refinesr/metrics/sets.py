"""Distances between sets of images: Frechet's, between normal distributions fitted to their features."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from refinesr.errors import CheckpointError
from refinesr.files import replacing
from refinesr.metrics.arrays import read_arrays
from refinesr.metrics.torchscript import ScriptNetwork, uint8_rgb

FeatureRows = Float[Tensor, "n D"]
Mean = Float[Tensor, " D"]
Covariance = Float[Tensor, "D D"]


SAVED = ("mu", "sigma", "count")
"""Names in a file of statistics."""


@dataclass(frozen=True, eq=False)
class Normal:
    """A normal distribution over features: its mean (D,), and any root (r, D) with covariance = rootᵀ root.

    float64 on the CPU.  r may be less than D: fewer images than features span no more.
    """

    mean: Tensor
    root: Tensor

    @staticmethod
    def fitted(features: FeatureRows) -> "Normal":
        """To features (n, D), n at least 2; n - 1 divides, as in `numpy.cov` and the published FID."""
        if len(features) < 2:
            raise ValueError(f"{len(features)} image has no covariance; at least 2 are needed")
        features = features.detach().cpu().double()
        mean = features.mean(0)
        _, root = torch.linalg.qr((features - mean) / math.sqrt(len(features) - 1), mode="r")
        return Normal(mean, root)

    @staticmethod
    def of(mean: Mean, covariance: Covariance) -> "Normal":
        """The covariance is symmetric; what of it is below rounding counts as 0."""
        mean, covariance = (given.detach().cpu().double() for given in (mean, covariance))
        values, vectors = torch.linalg.eigh((covariance + covariance.mT) / 2)
        # else the root of a rounding error of 1e-16 is 1e-8, once for each dimension that is not spanned
        rounding = len(values) * torch.finfo(values.dtype).eps * values.abs().max()
        return Normal(mean, (values * (values > rounding)).sqrt()[:, None] * vectors.mT)

    @staticmethod
    def read(path: Path) -> "Normal":
        """Of saved statistics: an .npz with the mean `mu` (D,) and the covariance `sigma` (D, D).

        pytorch-fid and the codes of EDM distribute such files, `Statistics.save` writes them.  Raises
        CheckpointError if it is missing or of another kind.
        """
        stored = _read_statistics(path)
        return Normal.of(stored["mu"], stored["sigma"])

    def distance(self, other: "Normal") -> float:
        """Frechet's: |mean - mean'|² + tr(C + C' - 2 (C^½ C' C^½)^½) (Heusel et al. 2017, equation 6).

        The trace of that square root is the sum of the singular values of root root'ᵀ, whichever roots: the
        eigenvalues of C^½ C' C^½ are their squares.
        """
        both = self.root.square().sum() + other.root.square().sum()
        shared = torch.linalg.svdvals(self.root @ other.root.mT).sum()
        return max(0.0, float((self.mean - other.mean).square().sum() + both - 2 * shared))


def frechet(mean1: Mean, cov1: Covariance, mean2: Mean, cov2: Covariance) -> float:
    """Frechet's distance (squared, as FID has it) of two normal distributions, in float64."""
    return Normal.of(mean1, cov1).distance(Normal.of(mean2, cov2))


@dataclass(frozen=True, eq=False)
class Statistics:
    """Count, mean (D,) and scatter (D, D), the sum of squares about the mean, of features; float64, CPU.

    Two of them `+` are those of both sets together (Chan et al. 1979), so batches of any size give the same.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @staticmethod
    def of(features: FeatureRows) -> "Statistics":
        """Of n features, n at least 1."""
        if len(features) < 1:
            raise ValueError("no features, no statistics")
        features = features.detach().cpu().double()
        mean = features.mean(0)
        apart = features - mean
        return Statistics(len(features), mean, apart.mT @ apart)

    def __add__(self, other: "Statistics") -> "Statistics":
        count = self.count + other.count
        apart = other.mean - self.mean
        mean = self.mean + apart * (other.count / count)
        between = torch.outer(apart, apart) * (self.count * other.count / count)
        return Statistics(count, mean, self.scatter + other.scatter + between)

    @property
    def covariance(self) -> Float64[Tensor, "D D"]:
        """n - 1 divides, as in `numpy.cov` and the published FID.  ValueError for less than 2 images."""
        if self.count < 2:
            raise ValueError(f"{self.count} image has no covariance; at least 2 are needed")
        return self.scatter / (self.count - 1)

    @property
    def normal(self) -> Normal:
        """The normal distribution with this mean and covariance."""
        return Normal.of(self.mean, self.covariance)

    def frechet(self, other: "Statistics") -> float:
        """FID, if the features are Inception's."""
        return self.normal.distance(other.normal)

    def save(self, path: Path, *, overwrite: bool = False) -> None:
        """As an .npz of `mu`, `sigma` (n - 1 divides) and `count`, whole or not at all.

        ValueError for less than 2 images.  Raises OutputError if the file exists and `overwrite` is not
        given, or if it cannot be written.
        """
        mu, sigma, count = self.mean.numpy(), self.covariance.numpy(), np.int64(self.count)
        with replacing(path, overwrite=overwrite) as part, part.open("wb") as file:
            np.savez_compressed(file, mu=mu, sigma=sigma, count=count)

    @staticmethod
    def read(path: Path) -> "Statistics":
        """What `save` has written; other people's files have no count: `Normal.read` reads those too.

        Raises CheckpointError if it is missing or of another kind.
        """
        stored = _read_statistics(path)
        if "count" not in stored:
            raise CheckpointError(
                f"{path}: holds no count of images, so no further images can be added to it"
            )
        count = int(stored["count"])
        return Statistics(count, stored["mu"], stored["sigma"] * (count - 1))


def _read_statistics(path: Path) -> dict[str, Tensor]:
    """What of `mu`, `sigma` and `count` an .npz holds: the first two at least, float64."""
    stored = read_arrays(path, SAVED, "an .npz with mu and sigma of features")
    shapes = {name: tuple(values.shape) for name, values in stored.items()}
    size = shapes.get("mu", ())
    if len(size) != 1 or shapes.get("sigma") != size * 2 or shapes.get("count", ()) != ():
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "neither"
        raise CheckpointError(f"{path}: saved statistics are mu (D,) and sigma (D, D); this holds {found}")
    return stored


@final
class Features:
    """A network that makes a row of features of each image: a TorchScript file, such as StyleGAN's Inception.

    It is called with uint8 RGB (B, 3, H, W), and with `return_features=True` if it has an argument of that
    name; it returns (B, D), or (B, D, 1, 1).  Resizing and scaling are its own business, as in those files:
    FID depends on both.  Raises CheckpointError if the file is missing, is no TorchScript (`Script` says what
    such files may do), or does not make features so.
    """

    def __init__(self, path: Path, device: torch.device | None = None) -> None:
        self.network = ScriptNetwork(path, device, "features", {"return_features": True})

    def __call__(self, images: Float[Tensor, "B C H W"] | UInt8[Tensor, "B C H W"]) -> Float64[Tensor, "B D"]:
        """(B, D) float64 on the CPU of grey or RGB images, uint8 or floats in [0, 1] (rounded to 8 bits)."""
        return self.network(uint8_rgb(images))
