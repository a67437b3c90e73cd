"""The sign-flip permutation test of paired differences."""

import numpy as np
from jaxtyping import Float, Float64

Values = Float[np.ndarray, " N"]

EXACT_COUNT = 20
"""Up to this many images the test enumerates all sign patterns: 2**19, as the first sign is fixed."""

FLIPS = 100_000
"""Number of random sign patterns for more images."""

ROUNDING = 1e-10
"""Relative tolerance: sums that differ by less, relative to the sum of absolute values, are equal."""


def sign_flip_p(apart: Values) -> float:
    """Two-sided p of the sign-flip permutation test (Fisher 1935).

    It is the share of sign patterns whose mean is at least as far from 0 as the observed one: under the null
    hypothesis each difference is as likely to have the opposite sign.  Exact for up to `EXACT_COUNT` images;
    for more, estimated from `FLIPS` random patterns and the observed one.
    """
    values = np.asarray(apart, np.float64)
    least = abs(values.sum()) - ROUNDING * np.abs(values).sum()
    if len(values) <= EXACT_COUNT:
        return float((np.abs(signed_sums(values)) >= least).mean())
    rng, reached = np.random.default_rng(0), 0
    for _ in range(FLIPS // 100):
        signs = rng.integers(0, 2, (100, len(values))) * 2.0 - 1
        reached += int((np.abs(signs @ values) >= least).sum())
    return (reached + 1) / (FLIPS + 1)


def signed_sums(values: Float64[np.ndarray, " N"]) -> Float64[np.ndarray, " M"]:
    """Sums under all sign patterns that keep the first sign; its flip only negates the sum."""
    sums = values[:1]
    for value in values[1:]:
        sums = np.concatenate((sums + value, sums - value))
    return sums
