"""SRDiff's encoder: sizes, reach, its own picture.  Its numbers are in tests/agreement."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from refinesr.errors import ConfigError
from refinesr.nets.rrdb import RRDB, RRDBNetwork

SMALL = RRDB(width=4, growth=2, blocks=2, scale=4)


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def built(value: Any) -> nn.Module:
    torch.manual_seed(0)
    module: nn.Module = value.build().eval()
    return module


def awake(value: Any) -> nn.Module:
    """In double precision what passes through twenty small weights is not yet 0."""
    module = built(value).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def touched(low: Tensor, seen: Tensor) -> tuple[int, int]:
    """First and last column of low that `seen` depends on."""
    (gradient,) = torch.autograd.grad(seen.abs().sum(), low, retain_graph=True)
    columns = gradient.abs().sum((0, 1, 2)).nonzero()
    return int(columns[0]), int(columns[-1])


@pytest.mark.parametrize(
    ("value", "millions"), [(RRDB(), 12.38), (RRDB(width=32, growth=16, blocks=8, scale=8), 1.49)]
)
def test_published_configurations_have_the_published_numbers_of_parameters(
    value: RRDB, millions: float
) -> None:
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in value.build().parameters())
    assert round(parameters / 1e6, 2) == millions


@pytest.mark.parametrize("blocks", [2, 3, 4, 5])
def test_features_are_every_third_of_the_blocks_and_the_trunk(blocks: int) -> None:
    value = dataclasses.replace(SMALL, blocks=blocks)
    module = built(value)
    maps = module.block_outputs(draws(1, 3, 5, 6))
    features = module(draws(1, 3, 5, 6))
    assert len(maps) == blocks + 1
    assert features.shape == (1, value.features, 5, 6)
    assert torch.equal(features, torch.cat([maps[i] for i in range(2, blocks + 1, 3)], 1))


@pytest.mark.parametrize("blocks", [2, 3, 4])
def test_the_features_see_their_reach_and_no_more(blocks: int) -> None:
    value = dataclasses.replace(SMALL, width=3, blocks=blocks)
    middle = value.reach + 4
    low = draws(1, 3, 2, 2 * middle + 1).double().requires_grad_()
    features = awake(value)(low)
    assert touched(low, features[..., middle]) == (middle - value.reach, middle + value.reach)


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_the_whole_network_sees_its_reach_and_no_more(scale: int) -> None:
    value = RRDBNetwork(dataclasses.replace(SMALL, width=3, scale=scale))
    reach = value.reach // scale
    middle = reach + 3
    low = draws(1, 3, 2, 2 * middle + 1).double().requires_grad_()
    x = torch.zeros(1, 3, 2 * scale, low.shape[-1] * scale)
    y = awake(value)(x, torch.zeros(1), low)
    assert y.shape == x.shape
    distances = []
    for column in range(scale * middle, scale * middle + scale):
        first, last = touched(low, y[..., column])
        distances += [middle - first, last - middle]
    assert max(distances) == reach


def test_the_whole_network_looks_at_low_alone() -> None:
    network = built(RRDBNetwork(SMALL))
    low = draws(1, 3, 5, 6)
    one = network(draws(1, 3, 20, 24), torch.zeros(1), low)
    other = network(draws(1, 3, 20, 24, seed=1), torch.ones(1), low)
    assert torch.equal(one, other)
    assert torch.equal(one, network.rrdb.image(low))
    assert not torch.equal(one, network(torch.zeros_like(one), torch.zeros(1), draws(1, 3, 5, 6, seed=1)))


def test_a_picture_without_low_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="features missing"):
        built(RRDBNetwork(SMALL))(torch.zeros(1, 3, 4, 4), torch.zeros(1))


def test_the_picture_is_cut_to_its_range_and_still_learns_to_come_back() -> None:
    module = built(SMALL)
    nn.init.constant_(module.conv_last.bias, -5.0)  # every pixel is cut off
    image = module.image(draws(1, 3, 5, 6))
    assert torch.equal(image, torch.full_like(image, -1.0))
    (1 - image).sum().backward()
    assert (module.conv_last.bias.grad < 0).all()


def test_the_picture_reaches_both_ends_of_its_range_and_no_farther() -> None:
    image = awake(SMALL).image(3 * draws(2, 3, 8, 8).double()).detach()
    assert image.min() == -1
    assert image.max() == pytest.approx(1, abs=1e-6)
    assert (image.abs() < 0.99).any()


def test_training_reaches_every_weight() -> None:
    network = built(RRDBNetwork(SMALL))
    network(torch.zeros(1, 3, 20, 24), torch.zeros(1), draws(1, 3, 5, 6)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_the_size_doubles_as_often_as_the_scale_says(scale: int) -> None:
    module = built(dataclasses.replace(SMALL, scale=scale))
    assert module.image(draws(1, 3, 3, 5)).shape == (1, 3, 3 * scale, 5 * scale)
    doublings = sorted(name for name, _ in module.named_children() if name.startswith("upconv"))
    assert doublings == [f"upconv{i}" for i in range(1, len(f"{scale:b}"))]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("channels", 0), ("width", 0), ("growth", 0), ("blocks", 1), ("scale", 3), ("scale", 0), ("scale", -4)],
)
def test_a_value_that_cannot_be_built_names_its_field(field: str, wrong: int) -> None:
    with pytest.raises(ConfigError, match=f"{field}: {wrong} ") as error:
        dataclasses.replace(RRDB(), **{field: wrong})  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
