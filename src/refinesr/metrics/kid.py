"""The kernel Inception distance (Bińkowski et al. 2018, arXiv 1801.01401), unbiased in small sets."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from refinesr.devices import fold_seed

FeatureRows = Float[Tensor, "n D"]
OtherRows = Float[Tensor, "m D"]


class MeanAndStd(NamedTuple):
    """Of a number over parts of a set: its mean, and its standard deviation as of `numpy.std`."""

    mean: float
    std: float

    @staticmethod
    def of(values: Float64[Tensor, " K"]) -> "MeanAndStd":
        return MeanAndStd(float(values.mean()), float(values.std(correction=0)))


@dataclass(frozen=True)
class KID:
    """The mean over `subsets` of up to `size` rows of each set, drawn without repetition from `seed`.

    100 of 1000 is what StyleGAN and torch-fidelity take; like StyleGAN's code, smaller sets are taken whole.
    The deviation says how the subsets differ, not how sure the mean is: they overlap.
    """

    subsets: int = 100
    size: int = 1000
    seed: int = 0

    def __call__(self, real: FeatureRows, made: OtherRows) -> MeanAndStd:
        """Of features of real and of made images; about 0 for sets of one kind, and may be below."""
        real, made = (rows.detach().cpu().double() for rows in (real, made))
        size, rng = min(self.size, len(real), len(made)), torch.Generator().manual_seed(fold_seed(self.seed))
        draws = (
            [rows[torch.randperm(len(rows), generator=rng)[:size]] for rows in (real, made)]
            for _ in range(self.subsets)
        )
        return MeanAndStd.of(torch.stack([mmd(*draw) for draw in draws]))


def mmd(real: FeatureRows, made: OtherRows) -> Float64[Tensor, ""]:
    """The unbiased estimate of the squared maximum mean discrepancy by the kernel (xᵀy / D + 1)³, float64.

    Pairs of a row with itself do not count.  ValueError for less than 2 rows of either.
    """
    if min(len(real), len(made)) < 2:
        raise ValueError(f"{len(real)} and {len(made)} images; at least 2 of each are needed")
    real, made = (rows.detach().cpu().double() for rows in (real, made))
    return mean_over_pairs(real) + mean_over_pairs(made) - 2 * polynomial_kernel(real, made).mean()


def mean_over_pairs(rows: FeatureRows) -> Float64[Tensor, ""]:
    values = polynomial_kernel(rows, rows)
    return (values.sum() - values.trace()) / (len(rows) * (len(rows) - 1))


def polynomial_kernel(one: FeatureRows, other: OtherRows) -> Float64[Tensor, "n m"]:
    return (one @ other.mT / one.shape[1] + 1) ** 3
