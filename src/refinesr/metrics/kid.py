"""The kernel Inception distance (Bińkowski et al. 2018, arXiv 1801.01401), unbiased for small sets."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from refinesr.devices import fold_seed

FeatureRows = Float[Tensor, "n D"]
OtherRows = Float[Tensor, "m D"]


class MeanAndStd(NamedTuple):
    """Mean and standard deviation (as of `numpy.std`) of a value over parts of a set."""

    mean: float
    std: float

    @staticmethod
    def of(values: Float64[Tensor, " K"]) -> "MeanAndStd":
        return MeanAndStd(float(values.mean()), float(values.std(correction=0)))


@dataclass(frozen=True)
class KID:
    """KID as the mean over `subsets` subsets of up to `size` rows, drawn without replacement from `seed`.

    StyleGAN and torch-fidelity use 100 subsets of 1000; smaller sets are used whole, as in StyleGAN's code.
    The standard deviation is that of the subsets, not the error of the mean, as subsets overlap.
    """

    subsets: int = 100
    size: int = 1000
    seed: int = 0

    def __call__(self, real: FeatureRows, generated: OtherRows) -> MeanAndStd:
        """KID of features of real and generated images: about 0 if equally distributed; may be negative."""
        real, generated = (rows.detach().cpu().double() for rows in (real, generated))
        size, rng = (
            min(self.size, len(real), len(generated)),
            torch.Generator().manual_seed(fold_seed(self.seed)),
        )
        draws = (
            [rows[torch.randperm(len(rows), generator=rng)[:size]] for rows in (real, generated)]
            for _ in range(self.subsets)
        )
        return MeanAndStd.of(torch.stack([mmd(*draw) for draw in draws]))


def mmd(real: FeatureRows, generated: OtherRows) -> Float64[Tensor, ""]:
    """The unbiased estimate of the squared maximum mean discrepancy with the kernel (xᵀy / D + 1)³, float64.

    Pairs of a row with itself do not count.  Raises ValueError for fewer than 2 rows of either set.
    """
    if min(len(real), len(generated)) < 2:
        raise ValueError(f"{len(real)} and {len(generated)} images; at least 2 of each are needed")
    real, generated = (rows.detach().cpu().double() for rows in (real, generated))
    return mean_over_pairs(real) + mean_over_pairs(generated) - 2 * polynomial_kernel(real, generated).mean()


def mean_over_pairs(rows: FeatureRows) -> Float64[Tensor, ""]:
    values = polynomial_kernel(rows, rows)
    return (values.sum() - values.trace()) / (len(rows) * (len(rows) - 1))


def polynomial_kernel(one: FeatureRows, other: OtherRows) -> Float64[Tensor, "n m"]:
    return (one @ other.mT / one.shape[1] + 1) ** 3
