"""The kernel distance against its double sums, closed forms, and what an unbiased estimate means."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from refinesr.metrics.kid import KID, mmd


def features(count: int, size: int = 6, seed: int = 0, shift: float = 0.0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((count, size)) + shift)


def by_pairs(real: Tensor, made: Tensor) -> float:
    def kernel(x: Tensor, y: Tensor) -> float:
        return (float(x @ y) / len(x) + 1) ** 3

    def among(rows: Tensor) -> float:
        pairs = [kernel(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j]
        return sum(pairs) / len(pairs)

    across = [kernel(x, y) for x in real for y in made]
    return among(real) + among(made) - 2 * sum(across) / len(across)


@pytest.mark.parametrize(("one", "other"), [(2, 2), (7, 7), (9, 4)])
def test_it_is_the_mean_over_pairs(one: int, other: int) -> None:
    real, made = features(one), features(other, seed=1, shift=0.5)
    assert float(mmd(real, made)) == pytest.approx(by_pairs(real, made), rel=1e-12)


def test_sets_of_one_point_each_come_to_the_closed_form() -> None:
    """All x and all y alike: k(x, x) + k(y, y) - 2 k(x, y)."""
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([3.0, -1.0])
    expected = (5 / 2 + 1) ** 3 + (10 / 2 + 1) ** 3 - 2 * (1 / 2 + 1) ** 3
    assert float(mmd(x.repeat(3, 1), y.repeat(5, 1))) == pytest.approx(expected)


def test_means_over_many_small_sets_of_one_kind_are_0() -> None:
    """That is what unbiased means; pairs of a row with itself would add 2 (E k(x, x) - E k(x, y)) / n."""
    found = torch.stack([mmd(features(8, seed=2 * k), features(8, seed=2 * k + 1)) for k in range(400)])
    error = float(found.std()) / 20
    assert abs(float(found.mean())) < 4 * error
    assert 4 * error < 0.5  # the biased one is off by about 2 ((1 + 1)³ - 1.5) / 8 = 1.6
    assert bool((found < 0).any())


def test_subsets_as_large_as_the_sets_are_the_whole() -> None:
    real, made = features(40), features(30, seed=1, shift=0.3)
    found = KID(subsets=3, size=1000)(made, made.clone())
    assert found.std == pytest.approx(0, abs=1e-12)
    assert found.mean == pytest.approx(by_pairs(made, made), rel=1e-9)
    assert KID(subsets=2, size=30)(real[:30], made).mean == pytest.approx(by_pairs(real[:30], made), rel=1e-9)


def test_subsets_are_about_the_whole_and_come_from_the_seed_alone() -> None:
    real, made = features(400), features(300, seed=1, shift=0.5)
    found = KID(subsets=60, size=80)(real, made)
    assert found.mean == pytest.approx(float(mmd(real, made)), abs=4 * found.std / np.sqrt(60))
    assert found.std > 0
    assert KID(subsets=60, size=80)(real, made) == found
    assert KID(subsets=60, size=80, seed=1)(real, made) != found


def test_a_subset_is_one_of_all_of_its_size() -> None:
    """Of each set, without repetition: six pairs of four rows, three of three."""
    real, made = features(4), features(3, seed=1)
    parts = [
        by_pairs(real[list(one)], made[list(other)])
        for one in combinations(range(4), 2)
        for other in combinations(range(3), 2)
    ]
    found = [KID(subsets=1, size=2, seed=seed)(real, made).mean for seed in range(200)]
    assert {round(value, 6) for value in found} == {round(value, 6) for value in parts}


def test_float32_features_are_compared_in_float64() -> None:
    real, made = features(50).float(), features(50, seed=1).float()
    assert mmd(real, made).dtype == torch.float64
    assert float(mmd(real, made)) == pytest.approx(float(mmd(real.double(), made.double())), rel=1e-14)


def test_one_image_is_no_set() -> None:
    with pytest.raises(ValueError, match="1 and 5 images; at least 2 of each"):
        mmd(features(1), features(5))
