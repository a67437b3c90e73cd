"""Calibration of ensembles, several samples for one input: CRPS, coverage and rank histograms.

For images and fields of measured values in any unit and range.  Everything is computed in float64; NaN in a
sample or in the truth makes the image's values NaN.
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

    E|X - y| - E|X - X'| / 2 for samples X, X' and the truth y (Gneiting and Raftery 2007, equation 21); lower
    is better; the absolute error if all samples are equal.  `fair` averages E|X - X'| over pairs of different
    samples (Ferro 2014): its expectation does not depend on S and is lowest if samples and truth have the
    same distribution; it may be negative.  Otherwise over all S² pairs: the score of the empirical
    distribution of the samples, larger by E|X - X'| / 2S and never negative.  Raises ValueError for no
    samples, and for one sample if fair.
    """
    count = len(samples)
    if count < 1 + fair:
        raise ValueError(f"{count} samples are too few; {1 + fair} are needed")
    ordered, target = to_float64(samples).sort(0).values, to_float64(truth)
    # the i-th smallest sample, from 0, is the larger one in i pairs and the smaller one in count - 1 - i
    more = torch.arange(1 - count, count, 2, dtype=torch.float64, device=ordered.device)
    apart = (more[:, None, None, None, None] * ordered).sum(0) / (count * (count - fair))
    return ((ordered - target).abs().mean(0) - apart).mean((1, 2, 3))


def coverage(samples: Ensemble, truth: Images, level: float) -> PerImage:
    """The share of true values within the central interval of the ensemble at `level`, in (0, 1).

    Its expectation is exactly `level` if samples and truth have the same distribution, for any S; it is lower
    for an overconfident ensemble.  The rank of the truth among S calibrated samples is uniform over S + 1
    ranks (`rank_histogram`), so the interval from the k-th smallest to the k-th largest sample holds the
    truth with probability 1 - 2k / (S + 1); for a level between two such probabilities both intervals count
    in proportion.  Quantiles as of `numpy.quantile` would hold it less often: the 90 % interval of 19 samples
    in about 81 % of cases.  Raises ValueError if S is below (1 + level) / (1 - level), 19 for 90 %: no
    interval of the samples then has this level.
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
    """How often the truth exceeds 0, 1, ... S of the S samples: shares (B, S + 1) that sum to 1.

    Uniform, 1 / (S + 1) each, if samples and truth have the same distribution; U-shaped for an overconfident
    ensemble, highest in the middle for an underconfident one (Hamill 2001).  A truth that equals samples, as
    with 8-bit values, counts in equal parts for all ranks among them, the mean over random tie breaking.
    Raises ValueError for no samples.
    """
    if len(samples) < 1:
        raise ValueError("no samples, no ranks")
    values, target = to_float64(samples), to_float64(truth)
    below, equal = (values < target).sum(0), (values == target).sum(0)
    # comparisons with NaN are false, so NaN is restored here
    part = (1.0 / (1 + equal.double())).where(~(values.isnan().any(0) | target.isnan()), math.nan)
    held = (((below <= rank) & (rank <= below + equal)) * part for rank in range(len(samples) + 1))
    return torch.stack([share.mean((1, 2, 3)) for share in held], 1)
