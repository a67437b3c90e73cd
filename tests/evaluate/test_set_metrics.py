"""Sets of pictures, fed one by one, against all of them at once."""

import pytest
import torch
from torch import Tensor

from refinesr.evaluate.set_metrics import FrechetDistance, InceptionScore, KernelDistance, SetAccumulators
from refinesr.metrics.kid import KID
from refinesr.metrics.sets import Normal


class Projected:
    """Features by a fixed matrix; remembers how many pictures it saw."""

    def __init__(self) -> None:
        self.matrix = torch.randn(3 * 16, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.seen = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return images.double().flatten(1) / 255 @ self.matrix


def pictures(count: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 200 + 50 * seed, (count, 3, 4, 4), generator=rng, dtype=torch.uint8)


REAL, MADE = pictures(75, 0), pictures(75, 1)


def gathered(
    *metrics: FrechetDistance | KernelDistance | InceptionScore, count: int = 75
) -> dict[str, float]:
    sets = SetAccumulators.of(metrics, ["a"])
    for one, other in zip(REAL[:count], MADE[:count], strict=True):
        sets.add_high(one[None])
        sets.add("a", other[None])
    return sets.scores("a")


def test_frechets_distance_is_that_of_all_at_once() -> None:
    network = Projected()
    expected = Normal.fitted(network(MADE)).distance(Normal.fitted(network(REAL)))
    assert gathered(FrechetDistance(network)) == {"fid": pytest.approx(expected, rel=1e-9)}


def test_saved_statistics_take_the_place_of_the_pictures() -> None:
    network = Projected()
    reference = Normal.fitted(network(pictures(40, 0)))
    expected = Normal.fitted(network(MADE)).distance(reference)
    assert gathered(FrechetDistance(network, reference)) == {"fid": pytest.approx(expected, rel=1e-9)}
    assert "saved statistics" in FrechetDistance(network, reference).convention


def test_the_kernel_distance_is_a_thousand_times_that_of_all_at_once() -> None:
    """Rows are kept in float32."""
    network = Projected()
    expected = 1000 * KID()(network(REAL), network(MADE)).mean
    assert gathered(KernelDistance(network)) == {"kid": pytest.approx(expected, rel=1e-5)}


def test_one_look_at_a_picture_is_enough_for_both() -> None:
    network = Projected()
    gathered(FrechetDistance(network), KernelDistance(network))
    assert network.seen == 150


def test_a_classifier_that_cannot_tell_scores_1_and_one_that_can_their_number() -> None:
    uniform = InceptionScore(lambda images: torch.full((len(images), 4), 0.25, dtype=torch.float64))
    assert gathered(uniform) == {"is": pytest.approx(1)}
    order = iter(range(1000))
    sure = InceptionScore(
        lambda images: torch.eye(4, dtype=torch.float64)[[next(order) // 2 % 4]]
    )  # truth, result
    assert gathered(sure, count=40) == {"is": pytest.approx(4)}


def test_one_picture_has_no_distance() -> None:
    assert gathered(FrechetDistance(Projected()), KernelDistance(Projected()), count=1) == {}
    assert gathered(count=0) == {}
