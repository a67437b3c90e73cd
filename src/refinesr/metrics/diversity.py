"""Diversity of several samples for one input."""

from jaxtyping import Float
from torch import Tensor

Samples = Float[Tensor, "S C H W"]


def pixel_deviation(samples: Samples, *, unbiased: bool = False) -> float:
    """SRDiff's sigma: the standard deviation over samples, averaged over pixels and channels.

    `samples` are S results for one input, in [0, 1]; the value is in levels of 255, 0 for equal samples (Li
    et al. 2021: 6.13 for faces x8, 6.09 for DF2K x4).  The paper does not state the divisor: it is S here, as
    in `numpy.std`; with `unbiased` it is S - 1, which increases the value by sqrt(S / (S - 1)).  Raises
    ValueError for fewer than 2 samples.
    """
    if len(samples) < 2:
        raise ValueError(f"{len(samples)} sample does not differ; at least 2 are needed")
    return 255 * float(samples.cpu().double().std(0, correction=int(unbiased)).mean())
