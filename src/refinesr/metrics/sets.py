"""Distances between sets of images: Frechet's, between normal distributions fitted to their features."""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from refinesr.errors import CheckpointError

FeatureRows = Float[Tensor, "n D"]
Mean = Float[Tensor, " D"]
Covariance = Float[Tensor, "D D"]


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
        features = features.detach().to("cpu", torch.float64)
        mean = features.mean(0)
        _, root = torch.linalg.qr((features - mean) / math.sqrt(len(features) - 1), mode="r")
        return Normal(mean, root)

    @staticmethod
    def of(mean: Mean, covariance: Covariance) -> "Normal":
        """The covariance is symmetric; what of it is below rounding counts as 0."""
        mean, covariance = (given.detach().to("cpu", torch.float64) for given in (mean, covariance))
        values, vectors = torch.linalg.eigh((covariance + covariance.mT) / 2)
        # else the root of a rounding error of 1e-16 is 1e-8, once for each dimension that is not spanned
        rounding = len(values) * torch.finfo(values.dtype).eps * values.abs().max()
        return Normal(mean, (values * (values > rounding)).sqrt()[:, None] * vectors.mT)

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
        features = features.detach().to("cpu", torch.float64)
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

    def frechet(self, other: "Statistics") -> float:
        """FID, if the features are Inception's."""
        return frechet(self.mean, self.covariance, other.mean, other.covariance)


@final
class Features:
    """A network that makes a row of features of each image: a TorchScript file, such as StyleGAN's Inception.

    It is called with uint8 RGB (B, 3, H, W), and with `return_features=True` if it has an argument of that
    name; it returns (B, D), or (B, D, 1, 1).  Resizing and scaling are its own business, as in those files:
    FID depends on both.

    A TorchScript file is a program.  It does not run as Python, but in an interpreter of PyTorch's that knows
    only tensors and their operators; still, take it from somebody you trust.

    Raises CheckpointError if the file is missing, is no TorchScript, or does not make features so.
    """

    def __init__(self, path: Path, device: torch.device | None = None) -> None:
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file; a TorchScript file that makes features is needed")
        self.path, self.device = path, device or torch.device("cpu")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # the format lives on in published files
                module = torch.jit.load(str(path), map_location=self.device)  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, OSError) as error:
            raise CheckpointError(f"{path}: not a TorchScript file: {_line(error)}") from error
        self.module = module.eval()
        names = {argument.name for argument in module.forward.schema.arguments}
        self.options = {"return_features": True} if "return_features" in names else {}

    @torch.no_grad()
    def __call__(self, images: Float[Tensor, "B C H W"] | UInt8[Tensor, "B C H W"]) -> Float64[Tensor, "B D"]:
        """(B, D) float64 on the CPU of grey or RGB images, uint8 or floats in [0, 1] (rounded to 8 bits)."""
        if images.shape[1] not in (1, 3):
            raise ValueError(f"features are made of grey or RGB images, not of {images.shape[1]} channels")
        levels = images if images.dtype == torch.uint8 else (images.clamp(0, 1) * 255).round().byte()
        try:
            made = self.module(levels.to(self.device).expand(-1, 3, -1, -1).contiguous(), **self.options)
        except RuntimeError as error:
            wanted = f"a uint8 batch {(len(images), 3, *images.shape[2:])}"
            raise CheckpointError(f"{self.path}: cannot be called with {wanted}: {_line(error)}") from error
        shape = tuple(made.shape) if isinstance(made, Tensor) else ()
        if len(shape) < 2 or shape[0] != len(images) or any(side != 1 for side in shape[2:]):
            found = shape or type(made).__name__
            raise CheckpointError(f"{self.path}: makes {found} of {len(images)} images; features are (B, D)")
        rows: Tensor = made.flatten(1).to("cpu", torch.float64)
        return rows


def _line(error: BaseException) -> str:
    """The last line, which says what; TorchScript puts its own traceback before it."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else type(error).__name__
