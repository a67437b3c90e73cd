"""The smallest network: its reach, measured; its inputs of the condition."""

import dataclasses

import pytest
import torch
from torch import Tensor

from refinesr.errors import ConfigError
from refinesr.nets.tiny import Tiny


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seen_from_the_middle(value: Tiny, side: int) -> Tensor:
    """(side, side): where x and image have any part in the output pixel in the middle."""
    network = value.build().double()
    x = draws(1, 3, side, side).double().requires_grad_()
    image = draws(1, 3, side, side, seed=1).double().requires_grad_()
    network(x, torch.tensor([0.7]), image)[..., side // 2, side // 2].sum().backward()
    assert x.grad is not None
    assert image.grad is not None
    return ((x.grad != 0) | (image.grad != 0)).any(dim=1)[0]


@pytest.mark.parametrize("blocks", [0, 1, 2, 3])
def test_an_output_pixel_depends_on_all_pixels_within_reach_and_on_no_others(blocks: int) -> None:
    value = Tiny(blocks=blocks)
    side = 2 * value.reach + 5
    expected = torch.zeros(side, side, dtype=torch.bool)
    expected[2:-2, 2:-2] = True
    assert torch.equal(seen_from_the_middle(value, side), expected)


def test_the_default_reaches_four_pixels_and_needs_no_stride() -> None:
    assert (Tiny().reach, Tiny().stride) == (4, 1)


def test_each_door_that_exists_is_heard() -> None:
    network = Tiny(features=5).build()
    x, label, image, features = draws(1, 3, 6, 7), torch.tensor([0.5]), draws(1, 3, 6, 7), draws(1, 5, 6, 7)
    y = network(x, label, image, features)
    for other in (
        network(-x, label, image, features),
        network(x, -label, image, features),
        network(x, label, -image, features),
        network(x, label, image, -features),
    ):
        assert (y - other).abs().max() > 1e-3


def test_missing_and_needless_conditions_are_the_callers_mistake() -> None:
    x, label = draws(1, 3, 4, 4), torch.ones(1)
    for value, inputs in [
        (Tiny(), {}),
        (Tiny(), {"image": x, "features": x}),
        (Tiny(image_channels=0), {"image": x}),
        (Tiny(image_channels=0, features=3), {}),
    ]:
        with pytest.raises(ValueError, match="for Tiny"):
            value.build()(x, label, **inputs)
    assert Tiny(image_channels=0).build()(x, label).shape == x.shape


def test_small_features_are_enlarged_by_the_scale_from_the_top_left() -> None:
    """A picture cut at a multiple of the scale then has the same features as the whole."""
    small, large = Tiny(features=5, scale=4), Tiny(features=5)
    x, label, features = draws(1, 3, 6, 7), torch.ones(1), draws(1, 5, 2, 2)
    network, same = small.build(), large.build()
    same.load_state_dict(network.state_dict())
    enlarged = features.repeat_interleave(4, 2).repeat_interleave(4, 3)[..., :6, :7]
    torch.testing.assert_close(network(x, label, x, features), same(x, label, x, enlarged))
    assert small.stride == 4


def test_labels_of_any_range_keep_the_output_in_bounds() -> None:
    network, x = Tiny().build(), draws(3, 3, 4, 4)
    assert network(x, torch.tensor([-3.0, 0.0, 1999.0]), x).abs().max() < 10


@pytest.mark.parametrize("field", ["channels", "image_channels", "features", "width", "blocks", "scale"])
def test_a_value_that_cannot_be_built_names_its_field(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field}: -1"):
        dataclasses.replace(Tiny(), **{field: -1})
