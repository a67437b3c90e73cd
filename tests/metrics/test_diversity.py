"""SRDiff's sigma against closed forms."""

import math

import numpy as np
import pytest
import torch

from refinesr.metrics.diversity import pixel_deviation


def test_two_samples_deviate_by_half_their_difference() -> None:
    one = torch.rand(1, 3, 5, 4, dtype=torch.float64)
    both = torch.cat([one, one + 20 / 255])
    assert pixel_deviation(both) == pytest.approx(10)
    assert pixel_deviation(both, unbiased=True) == pytest.approx(20 / math.sqrt(2))


def test_it_is_the_mean_over_pixels_of_numpys_deviation() -> None:
    samples = torch.rand(7, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    expected = 255 * samples.double().numpy().std(0).mean()
    assert pixel_deviation(samples) == pytest.approx(expected, rel=1e-12)


def test_pixels_that_differ_more_do_not_outweigh_the_others() -> None:
    """The mean of deviations, not the root of the mean variance: half the pixels deviate by 30, half by 0."""
    samples = torch.zeros(2, 1, 1, 2, dtype=torch.float64)
    samples[1, 0, 0, 0] = 60 / 255
    assert pixel_deviation(samples) == pytest.approx(15)


def test_normal_samples_deviate_as_much_as_their_distribution() -> None:
    """The mean of S - 1's root is c4(S) sigma, c4(8) = sqrt(2/7) Gamma(4) / Gamma(3.5) = 0.9650."""
    samples = 0.5 + 10 / 255 * torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = 10 * math.sqrt(2 / 7) * math.gamma(4) / math.gamma(3.5)
    error = 10 * 0.26 / math.sqrt(3 * 64 * 64)  # 0.26 = sqrt(1 - c4²), the spread of one pixel's
    assert pixel_deviation(samples, unbiased=True) == pytest.approx(expected, abs=5 * error)


def test_equal_samples_have_none_and_one_is_refused() -> None:
    image = torch.rand(1, 3, 4, 4)
    assert pixel_deviation(image.expand(5, -1, -1, -1)) == 0
    with pytest.raises(ValueError, match="1 sample does not differ"):
        pixel_deviation(image)


def test_numpys_biased_divisor_is_the_default() -> None:
    values = np.array([0.1, 0.2, 0.4, 0.7])
    samples = torch.from_numpy(values).reshape(4, 1, 1, 1)
    assert pixel_deviation(samples) == pytest.approx(255 * values.std(ddof=0))
