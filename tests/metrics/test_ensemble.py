"""Against definitions, closed forms for normal distributions, and ensembles whose truth is known."""

import math

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from scipy.stats import norm
from torch import Tensor

from refinesr.metrics.ensemble import coverage, crps, rank_histogram


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("fair", [True, False])
def test_crps_is_its_definition_over_all_pairs(fair: bool) -> None:
    samples, truth = normal(6, 2, 3, 4, 5), normal(2, 3, 4, 5, seed=1)
    pairs = (samples[:, None] - samples[None]).abs().sum((0, 1)) / (6 * (6 - fair))
    expected = ((samples - truth).abs().mean(0) - pairs / 2).mean((1, 2, 3))
    torch.testing.assert_close(crps(samples, truth, fair=fair), expected, rtol=1e-12, atol=0)


def test_unfair_crps_is_the_integral_of_the_squared_error_of_the_steps() -> None:
    """Of (F(z) - 1{y <= z})², which is how the score is defined; summed piece by piece, each constant."""
    samples, truth = normal(7, 1, 1, 1, 1), normal(1, 1, 1, 1, seed=1)
    ends = np.sort([*samples.flatten().tolist(), truth.item()])
    middles = (ends[1:] + ends[:-1]) / 2
    steps = (samples.flatten().numpy() <= middles[:, None]).mean(1)
    expected = ((steps - (truth.item() <= middles)) ** 2 * np.diff(ends)).sum()
    assert crps(samples, truth, fair=False).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("members", [2, 5, 20])
def test_the_mean_of_fair_crps_is_that_of_the_distribution_however_few_samples(members: int) -> None:
    """N(m, s): s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), z = (y - m) / s (Gneiting et al. 2005)."""
    mean, deviation, draws = 0.3, 2.0, 20_000
    truth = torch.full((draws, 1, 1, 1), 1.5, dtype=torch.float64)
    scores = crps(mean + deviation * normal(members, draws, 1, 1, 1), truth)
    z = (1.5 - mean) / deviation
    expected = deviation * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / math.sqrt(math.pi))
    error = scores.std().item() / math.sqrt(draws)
    assert abs(scores.mean().item() - expected) < 4 * error
    assert error < 0.03 * expected


def test_unfair_crps_is_larger_by_the_spread_over_twice_the_samples() -> None:
    samples, truth = normal(5, 3, 1, 8, 8), normal(3, 1, 8, 8, seed=1)
    spread = (samples[:, None] - samples[None]).abs().sum((0, 1)).mean((1, 2, 3)) / (5 * 4)
    torch.testing.assert_close(crps(samples, truth, fair=False) - crps(samples, truth), spread / 10)


def test_crps_of_equal_samples_is_the_absolute_error() -> None:
    truth, guess = normal(2, 1, 4, 4), normal(2, 1, 4, 4, seed=1)
    for samples, fair in ((guess.expand(4, 2, 1, 4, 4), True), (guess[None], False)):
        expected = (guess - truth).abs().mean((1, 2, 3))
        torch.testing.assert_close(crps(samples, truth, fair=fair), expected)
    assert crps(truth.expand(3, 2, 1, 4, 4), truth).tolist() == [0, 0]


def test_crps_has_the_unit_of_the_values_and_no_origin() -> None:
    samples, truth = normal(4, 1, 1, 8, 8), normal(1, 1, 8, 8, seed=1)
    moved = crps(300 + 7 * samples, 300 + 7 * truth)
    torch.testing.assert_close(moved, 7 * crps(samples, truth), rtol=1e-9, atol=0)


@pytest.mark.parametrize(("members", "level"), [(19, 0.9), (40, 0.9), (8, 0.5), (3, 0.5), (10, 1 / 3)])
def test_a_truth_drawn_as_the_samples_are_is_covered_at_the_level(members: int, level: float) -> None:
    """Whatever the distribution, and where no order statistic lies at the level."""
    draws = 120_000
    together = normal(members + 1, 1, 3, 200, 200).exp()
    expected = coverage(together[1:], together[0], level).item()
    assert abs(expected - level) < 4 * math.sqrt(level * (1 - level) / draws)


def test_it_is_so_in_eight_bits_where_most_are_ties() -> None:
    together = (normal(20, 1, 3, 200, 200) * 1.2).round()
    assert abs(coverage(together[1:], together[0], 0.9).item() - 0.9) < 4 * math.sqrt(0.09 / 120_000)


def test_an_ensemble_too_sure_of_itself_covers_less_and_has_high_ends() -> None:
    """Half the deviation: N(0, 1) lies within 1.645 / 2 in 58.9 % of cases, S to infinity."""
    samples, truth = 0.5 * normal(199, 1, 1, 100, 100), normal(1, 1, 100, 100, seed=1)
    expected = 2 * norm.cdf(norm.ppf(0.95) / 2) - 1
    assert coverage(samples, truth, 0.9).item() == pytest.approx(expected, abs=0.02)
    shares = rank_histogram(samples, truth)[0]
    assert (shares[[0, -1]] > 10 / 200).all()


def test_the_level_of_two_order_statistics_counts_what_lies_between_them() -> None:
    """Of 9 samples 80 % is from the 1st to the 9th, 60 % from the 2nd to the 8th, 70 % half of each."""
    samples = torch.arange(1.0, 10)[:, None, None, None, None]
    for truth, shares in ((0.5, [0, 0, 0]), (1.5, [1, 0.5, 0]), (4.5, [1, 1, 1]), (9.5, [0, 0, 0])):
        value = torch.full((1, 1, 1, 1), truth)
        found = [coverage(samples, value, level).item() for level in (0.8, 0.7, 0.6)]
        assert found == pytest.approx(shares)


def test_ranks_count_the_samples_below_and_share_ties() -> None:
    samples = torch.tensor([1.0, 2, 2, 5])[:, None, None, None, None].expand(4, 1, 1, 1, 4)
    truth = torch.tensor([0.0, 2, 3, 9])[None, None, None]
    third = 1 / 3
    expected = torch.tensor([[1, third, third, third + 1, 1]]) / 4
    torch.testing.assert_close(rank_histogram(samples, truth), expected.double())


def test_ranks_of_a_truth_drawn_as_the_samples_are_flat() -> None:
    together = normal(6, 2, 1, 150, 150)
    shares = rank_histogram(together[1:], together[0])
    torch.testing.assert_close(shares.sum(1), torch.ones(2, dtype=torch.float64))
    assert (shares - 1 / 6).abs().max() < 4.5 * math.sqrt(5 / 36 / 22_500)


def test_ensembles_too_small_are_refused() -> None:
    samples, truth = torch.zeros(18, 1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    with pytest.raises(ValueError, match=r"18 samples have no interval of 0\.9; at least 19 are needed"):
        coverage(samples, truth, 0.9)
    with pytest.raises(ValueError, match="2 are needed"):
        crps(samples[:1], truth)
    with pytest.raises(ValueError, match="1 are needed"):
        crps(samples[:0], truth, fair=False)
    with pytest.raises(ValueError, match="no samples"):
        rank_histogram(samples[:0], truth)


@pytest.mark.parametrize("level", [0.0, 1.0, 90.0, math.nan])
def test_levels_are_between_0_and_1(level: float) -> None:
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        coverage(torch.zeros(99, 1, 1, 2, 2), torch.zeros(1, 1, 2, 2), level)


@pytest.mark.parametrize("where", ["samples", "truth"])
def test_nan_makes_the_numbers_of_its_image_nan(where: str) -> None:
    given = {"samples": normal(9, 2, 1, 4, 4), "truth": normal(2, 1, 4, 4, seed=1)}
    given[where][..., 1, 0, 2, 2] = math.nan
    assert crps(**given).isnan().tolist() == [False, True]
    assert coverage(**given, level=0.5).isnan().tolist() == [False, True]
    assert rank_histogram(**given).isnan().any(1).tolist() == [False, True]


def test_samples_of_another_size_than_the_truth_are_refused_by_their_types() -> None:
    for measured in (crps, rank_histogram):
        with pytest.raises(TypeCheckError):
            measured(torch.zeros(3, 1, 1, 4, 4), torch.zeros(1, 1, 4, 5))
