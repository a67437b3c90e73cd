"""Whether an ensemble, several results for one input, says the truth about its own uncertainty.

For pictures and for fields of measured values alike: any unit, any range.  Everything is in float64; NaN in a
sample or in the truth makes the image's numbers NaN.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from refinesr.metrics.pixel import to_float64
from refinesr.shapes import Images, PerImage

Ensemble = Float[Tensor, "S B C H W"]
"""S results for each of B inputs."""
Shares = Float[Tensor, "B ranks"]


def crps(samples: Ensemble, truth: Images, *, fair: bool = True) -> PerImage:
    """The continuous ranked probability score, averaged over pixels and channels, in the unit of the values.

    E|X - y| - E|X - X'| / 2 for samples X, X' and the truth y (Gneiting and Raftery 2007, equation 21): less
    is better; the absolute error if all samples are equal.  `fair` takes E|X - X'| over pairs of different
    samples (Ferro 2014): its mean does not depend on S and is least for samples drawn as the truth is; it
    may be below 0.  Otherwise over all S² pairs, which is the score of the S samples as a distribution of
    steps, larger by E|X - X'| / 2S and never below 0.  Raises ValueError for no samples, and for one if fair.
    """
    count = len(samples)
    if count < 1 + fair:
        raise ValueError(f"{count} samples are too few; {1 + fair} are needed")
    ordered, target = to_float64(samples).sort(0).values, to_float64(truth)
    # the i-th smallest, from 0, is the larger one of i pairs and the smaller one of count - 1 - i
    more = torch.arange(1 - count, count, 2, dtype=torch.float64, device=ordered.device)
    apart = (more[:, None, None, None, None] * ordered).sum(0) / (count * (count - fair))
    return ((ordered - target).abs().mean(0) - apart).mean((1, 2, 3))


def coverage(samples: Ensemble, truth: Images, level: float) -> PerImage:
    """The share of values within the central interval of the ensemble at `level`, in (0, 1).

    `level` itself, up to chance, if the truth is drawn as the samples are: exactly so for any S and any
    distribution.  Less for an ensemble too sure of itself.  For its rank among the samples then takes each of
    S + 1 places equally often (`rank_histogram`), so the interval from the k-th smallest to the k-th largest
    holds it with probability 1 - 2k / (S + 1); a level between two such counts both, in proportion.
    Quantiles of the samples, as `numpy.quantile` has them, would hold it less often: those of 90 % of 19
    samples in about 81 % of cases.  Raises ValueError if S is below (1 + level) / (1 - level), which is 19
    for 90 %: the samples then reach no such interval.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1")
    count = len(samples)
    outside = (count + 1) * (1 - level) / 2  # places left out on each side
    if outside < 1 - 1e-9:
        needed = math.ceil((1 + level) / (1 - level) - 1e-9)
        raise ValueError(f"{count} samples have no interval of {level:.4g}; at least {needed} are needed")
    rank = torch.arange(count + 1, dtype=torch.float64)
    counted = (torch.minimum(rank, count - rank) - outside + 1).clamp(0, 1)
    shares = rank_histogram(samples, truth)
    within: Tensor = shares @ counted.to(shares.device)
    return within


def rank_histogram(samples: Ensemble, truth: Images) -> Shares:
    """How often the truth is above 0, 1, ... S of the S samples: shares (B, S + 1) that sum to 1.

    Flat, 1 / (S + 1) each, if the truth is drawn as the samples are; high at both ends for an ensemble too
    sure of itself, high in the middle for one too unsure (Hamill 2001).  A truth that equals samples, as in
    8 bits, counts in equal parts for every place among them, which is the mean of breaking ties by lot.
    Raises ValueError for no samples.
    """
    if len(samples) < 1:
        raise ValueError("no samples, no ranks")
    values, target = to_float64(samples), to_float64(truth)
    below, equal = (values < target).sum(0), (values == target).sum(0)
    # NaN compares as false, so it is put back where it was
    part = (1.0 / (1 + equal.double())).where(~(values.isnan().any(0) | target.isnan()), math.nan)
    held = (((below <= rank) & (rank <= below + equal)) * part for rank in range(len(samples) + 1))
    return torch.stack([share.mean((1, 2, 3)) for share in held], 1)
