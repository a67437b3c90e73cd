"""The Frechet distance between sets of images: between normal distributions fitted to their features."""

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
"""Names of the arrays in a file of statistics."""


@dataclass(frozen=True, eq=False)
class Normal:
    """A normal distribution of features: mean (D,), and a root (r, D) with covariance = rootᵀ root.

    float64 on the CPU.  r may be less than D if there are fewer images than features.
    """

    mean: Tensor
    root: Tensor

    @staticmethod
    def fitted(features: FeatureRows) -> "Normal":
        """Fit to features (n, D), n at least 2, with divisor n - 1 as in `numpy.cov` and published FID."""
        if len(features) < 2:
            raise ValueError(f"{len(features)} image has no covariance; at least 2 are needed")
        features = features.detach().cpu().double()
        mean = features.mean(0)
        _, root = torch.linalg.qr((features - mean) / math.sqrt(len(features) - 1), mode="r")
        return Normal(mean, root)

    @staticmethod
    def of(mean: Mean, covariance: Covariance) -> "Normal":
        """From mean and symmetric covariance; eigenvalues below the rounding error count as 0."""
        mean, covariance = (given.detach().cpu().double() for given in (mean, covariance))
        values, vectors = torch.linalg.eigh((covariance + covariance.mT) / 2)
        # else a rounding error of 1e-16 has the root 1e-8, in each dimension that is not spanned
        rounding = len(values) * torch.finfo(values.dtype).eps * values.abs().max()
        return Normal(mean, (values * (values > rounding)).sqrt()[:, None] * vectors.mT)

    @staticmethod
    def read(path: Path) -> "Normal":
        """Read saved statistics: an .npz with the mean `mu` (D,) and the covariance `sigma` (D, D).

        pytorch-fid and EDM distribute such files, and `Statistics.save` writes them.  Raises CheckpointError
        if the file is missing or invalid.
        """
        stored = _read_statistics(path)
        return Normal.of(stored["mu"], stored["sigma"])

    def distance(self, other: "Normal") -> float:
        """Frechet distance |mean - mean'|² + tr(C + C' - 2 (C^½ C' C^½)^½) (Heusel et al. 2017, equation 6).

        The trace of the last term is the sum of the singular values of root root'ᵀ, for any roots: the
        eigenvalues of C^½ C' C^½ are their squares.
        """
        both = self.root.square().sum() + other.root.square().sum()
        shared = torch.linalg.svdvals(self.root @ other.root.mT).sum()
        return max(0.0, float((self.mean - other.mean).square().sum() + both - 2 * shared))


def frechet(mean1: Mean, cov1: Covariance, mean2: Mean, cov2: Covariance) -> float:
    """The squared Frechet distance, as in FID, of two normal distributions, in float64."""
    return Normal.of(mean1, cov1).distance(Normal.of(mean2, cov2))


@dataclass(frozen=True, eq=False)
class Statistics:
    """Count, mean (D,) and scatter matrix (D, D) about the mean of features; float64, CPU.

    `+` gives those of the union of two sets (Chan et al. 1979), so that the result does not depend on the
    batch size.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @staticmethod
    def of(features: FeatureRows) -> "Statistics":
        """From n rows of features, n at least 1."""
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
        """With divisor n - 1 as in `numpy.cov` and published FID.  ValueError for fewer than 2 images."""
        if self.count < 2:
            raise ValueError(f"{self.count} image has no covariance; at least 2 are needed")
        return self.scatter / (self.count - 1)

    @property
    def normal(self) -> Normal:
        """The normal distribution with this mean and covariance."""
        return Normal.of(self.mean, self.covariance)

    def frechet(self, other: "Statistics") -> float:
        """The Frechet distance; this is FID if the features are Inception's."""
        return self.normal.distance(other.normal)

    def save(self, path: Path, *, overwrite: bool = False) -> None:
        """Write an .npz of `mu`, `sigma` (divisor n - 1) and `count`, atomically.

        Raises ValueError for fewer than 2 images; OutputError if the file exists and `overwrite` is not set,
        or if it cannot be written.
        """
        mu, sigma, count = self.mean.numpy(), self.covariance.numpy(), np.int64(self.count)
        with replacing(path, overwrite=overwrite) as part, part.open("wb") as file:
            np.savez_compressed(file, mu=mu, sigma=sigma, count=count)

    @staticmethod
    def read(path: Path) -> "Statistics":
        """Read a file written by `save`.  Files from elsewhere have no count; `Normal.read` reads those.

        Raises CheckpointError if the file is missing or invalid.
        """
        stored = _read_statistics(path)
        if "count" not in stored:
            raise CheckpointError(
                f"{path}: holds no count of images, so no further images can be added to it"
            )
        count = int(stored["count"])
        return Statistics(count, stored["mu"], stored["sigma"] * (count - 1))


def _read_statistics(path: Path) -> dict[str, Tensor]:
    """`mu`, `sigma` and, if present, `count` of an .npz, float64."""
    stored = read_arrays(path, SAVED, "an .npz with mu and sigma of features")
    shapes = {name: tuple(values.shape) for name, values in stored.items()}
    size = shapes.get("mu", ())
    if len(size) != 1 or shapes.get("sigma") != size * 2 or shapes.get("count", ()) != ():
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "neither"
        raise CheckpointError(f"{path}: saved statistics are mu (D,) and sigma (D, D); this holds {found}")
    return stored


@final
class Features:
    """A network that maps images to features: a TorchScript file, such as StyleGAN's Inception.

    It is called with uint8 RGB (B, 3, H, W), and with `return_features=True` if it has such an argument; it
    returns (B, D), or (B, D, 1, 1).  It must resize and scale images itself, as those files do: FID depends
    on both.  Raises CheckpointError if the file is missing, is not TorchScript (see `ScriptNetwork` on what
    such files may do), or does not return features.
    """

    def __init__(self, path: Path, device: torch.device | None = None) -> None:
        self.network = ScriptNetwork(path, device, "features", {"return_features": True})

    def __call__(self, images: Float[Tensor, "B C H W"] | UInt8[Tensor, "B C H W"]) -> Float64[Tensor, "B D"]:
        """Features (B, D), float64 on the CPU.

        `images` are grey or RGB, uint8 or floats in [0, 1], which are rounded to 8 bits.
        """
        return self.network(uint8_rgb(images))
