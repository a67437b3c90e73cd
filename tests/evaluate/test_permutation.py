"""Two sets of results against one of pictures, by exchanges of what two methods made of a picture."""

import pytest
import torch

from refinesr.evaluate.permutation import PERMUTATIONS, PairedFeatures, SetComparison, set_comparisons
from refinesr.metrics.kid import KID
from refinesr.metrics.sets import Statistics

PICTURES, FEATURES = 60, 6


def rows(spoilt_a: float, spoilt_b: float, seed: int = 0) -> PairedFeatures:
    """Features of pictures, and of results that differ from them by so much noise."""
    rng = torch.Generator().manual_seed(seed)
    truth, one, other = torch.randn(3, PICTURES, FEATURES, generator=rng, dtype=torch.float64)
    return PairedFeatures(truth, truth + spoilt_a * one, truth + spoilt_b * other)


def found(given: PairedFeatures) -> dict[str, SetComparison]:
    return {each.title: each for each in set_comparisons(list(given.distances()), PICTURES)}


def test_distances_are_those_evaluate_tells() -> None:
    given = rows(0.5, 1.0)
    results = found(given)
    truth = Statistics.of(given.truth)
    for made, side in ((given.a, "a"), (given.b, "b")):
        assert getattr(results["FID"], side) == pytest.approx(Statistics.of(made).frechet(truth), rel=1e-9)
        assert getattr(results["KID"], side) == pytest.approx(1000 * KID()(given.truth, made).mean, rel=1e-9)


def test_clearly_worse_method_is_told_apart() -> None:
    for result in found(rows(0.3, 1.5)).values():
        assert result.p == 1 / (PERMUTATIONS + 1) == result.smallest_p
        assert result.verdict("one", "other") == "one is better"
        assert result.difference > 0


def test_sides_are_alike_to_the_test() -> None:
    given = rows(0.8, 1.0, seed=3)
    there, back = found(given), found(PairedFeatures(given.truth, given.b, given.a))
    for title, result in there.items():
        assert back[title].difference == pytest.approx(-result.difference)
        assert back[title].p == result.p


def test_method_does_not_differ_from_itself() -> None:
    given = rows(0.5, 0.5)
    for result in found(PairedFeatures(given.truth, given.a, given.a)).values():
        assert (result.difference, result.p) == (0, 1)
        assert result.verdict("one", "other") == "no significant difference"


@pytest.mark.slow
def test_p_of_methods_that_are_alike_is_even() -> None:
    """If nothing but chance parts them, p is below 0.05 in one case of twenty, and below 0.5 in half."""
    p = torch.tensor([[each.p for each in found(rows(0.7, 0.7, seed)).values()] for seed in range(60)])
    assert p.le(0.05).double().mean(0).max() <= 0.15  # of 60, more than 9 in one case of 400
    assert p.double().mean(0).sub(0.5).abs().max() < 0.15  # 4 standard errors


def test_exchange_keeps_what_two_methods_made_of_a_picture() -> None:
    given = rows(0.5, 1.0)
    both = torch.stack([given.a, given.b]).sort(0).values
    exchanges = list(given.permuted())
    assert len(exchanges) == 1 + PERMUTATIONS
    for a, b in exchanges:
        torch.testing.assert_close(torch.stack([a, b]).sort(0).values, both, rtol=0, atol=0)
    kept = torch.stack([(a == given.a).all(1) for a, _ in exchanges[1:]]).double().mean()
    assert abs(kept - 0.5) < 0.05  # 10 standard errors: sides are exchanged half the time
