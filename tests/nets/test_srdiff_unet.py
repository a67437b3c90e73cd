"""SRDiff's U-Net: sizes, reach, inputs of the condition.  Its numbers are in tests/agreement."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from refinesr.errors import ConfigError
from refinesr.nets.rrdb import RRDB
from refinesr.nets.srdiff_unet import SRDiffUNet, padded, sinusoidal_embedding

SMALL = SRDiffUNet(features=5, width=4, multipliers=(1, 2, 2), scale=4)
FACES = SRDiffUNet(features=96, multipliers=(1, 2, 2, 4), scale=8)


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def built(value: SRDiffUNet) -> nn.Module:
    torch.manual_seed(0)
    module: nn.Module = value.build().eval()
    return module


def awake(value: SRDiffUNet) -> nn.Module:
    """Positive weights, for nothing to cancel or be cut off by Mish; in double precision nothing vanishes."""
    module = built(value).double()
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.uniform_(parameter, 0.01, 0.1)
    return module


@pytest.mark.parametrize(("value", "millions"), [(SRDiffUNet(), 12.93), (FACES, 10.55)])
def test_published_configurations_have_the_published_numbers_of_parameters(
    value: SRDiffUNet, millions: float
) -> None:
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in value.build().parameters())
    assert round(parameters / 1e6, 2) == millions


def test_the_default_takes_what_the_default_encoder_makes() -> None:
    assert (SRDiffUNet().features, SRDiffUNet().scale) == (RRDB().features, RRDB().scale)
    assert FACES.features == RRDB(width=32, growth=16, blocks=8, scale=8).features


def touched(given: Tensor, pixel: Tensor) -> tuple[int, int]:
    """First and last column that `pixel` depends on."""
    (gradient,) = torch.autograd.grad(pixel, given, retain_graph=True)
    columns = gradient.abs().sum((0, 1, 2)).nonzero()
    return int(columns[0]), int(columns[-1])


@pytest.mark.parametrize("multipliers", [(1,), (1, 2), (1, 1, 2)])
@pytest.mark.parametrize("scale", [1, 3, 4, 8])
def test_no_pixel_depends_on_anything_beyond_reach_and_some_pixel_on_just_that(
    multipliers: tuple[int, ...], scale: int
) -> None:
    """A pixel of the features is as far as its number times `scale`."""
    value = SRDiffUNet(features=2, width=4, multipliers=multipliers, scale=scale)
    period = math.lcm(value.stride, scale)
    middle = period * (value.reach // period + 2)
    x = draws(1, 3, 2, 2 * middle).double().requires_grad_()
    features = draws(1, 2, -(-2 // scale), 2 * middle // scale).double().requires_grad_()
    y = awake(value)(x, torch.zeros(1), features).sum((0, 1, 2))
    distances = []
    for column in range(middle, middle + period):
        first, last = touched(x, y[column])
        left, right = touched(features, y[column])
        distances += [column - first, last - column]
        distances += [scale * (column // scale - left), scale * (right - column // scale)]
    assert max(distances) == value.reach


def test_a_window_with_its_halo_says_what_the_whole_says() -> None:
    """Corners of windows lie on multiples of the stride."""
    network, reach = built(SMALL).double(), -(-SMALL.reach // 4) * 4
    x, features = draws(1, 3, 8, 2 * reach + 40).double(), draws(1, 5, 2, reach // 2 + 10).double()
    t = torch.full((1,), 7.0)
    whole = network(x, t, features)
    part = network(x[..., 12 : 2 * reach + 28], t, features[..., 3 : reach // 2 + 7])
    torch.testing.assert_close(part[..., reach : reach + 16], whole[..., 12 + reach : 28 + reach])


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 13), width=st.integers(1, 13), scale=st.sampled_from([1, 2, 3, 4, 8]))
def test_any_size_of_any_scale_comes_back(height: int, width: int, scale: int) -> None:
    value = dataclasses.replace(SMALL, scale=scale)
    low = -(-height // scale), -(-width // scale)
    assert built(value)(draws(1, 3, height, width), torch.zeros(1), draws(1, 5, *low)).shape[2:] == (
        height,
        width,
    )


def test_padding_is_as_if_the_caller_had_done_it() -> None:
    network = built(SMALL)
    x, features, t = draws(2, 3, 7, 17), draws(2, 5, 2, 5, seed=1), torch.tensor([0.0, 19.0])
    whole = network(padded(x, 8, 20), t, features)
    torch.testing.assert_close(network(x, t, features), whole[..., :7, :17])


def test_features_change_the_result_and_learn() -> None:
    network = built(SMALL)
    x, features, t = draws(1, 3, 8, 12), draws(1, 5, 2, 3).requires_grad_(), torch.full((1,), 3.0)
    y = network(x, t, features)
    assert (y - network(x, t, torch.zeros_like(features))).abs().max() > 1e-3
    y.square().sum().backward()
    assert features.grad is not None
    assert features.grad.abs().min() > 0
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_features_come_in_after_the_first_level() -> None:
    """With nothing left of what the first level makes of x, they are all that the levels below see."""
    network = built(SMALL)
    features, t = draws(1, 5, 2, 3), torch.zeros(1)
    seen: list[Tensor] = []
    network.get_submodule("downs.0.2").register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    for parameter in network.get_submodule("downs.0").parameters():
        nn.init.zeros_(parameter)
    network(draws(1, 3, 8, 12), t, features)
    assert torch.equal(seen[0], network.cond_proj(features))


def test_the_label_reaches_the_output() -> None:
    network = built(SMALL)
    x = draws(1, 3, 8, 8).expand(2, -1, -1, -1)
    one, other = network(x, torch.tensor([0.0, 99.0]), draws(1, 5, 2, 2).expand(2, -1, -1, -1))
    assert (one - other).abs().max() > 1e-4  # and not a rounding


def test_waves_are_sines_then_cosines_from_one_to_a_ten_thousandth_radian_a_unit() -> None:
    expected = torch.tensor([[2.0, 0.02, 0.0002]])
    torch.testing.assert_close(
        sinusoidal_embedding(torch.tensor([2.0]), 6), torch.cat((expected.sin(), expected.cos()), 1)
    )


@pytest.mark.parametrize(
    ("shape", "message"),
    [(None, "features missing"), ((2, 2), r"features of \(2, 2\), where \(2, 3\) are wanted")],
)
def test_features_must_fit_x(shape: tuple[int, int] | None, message: str) -> None:
    features = None if shape is None else draws(1, 5, *shape)
    with pytest.raises(ValueError, match=message):
        built(SMALL)(draws(1, 3, 8, 12), torch.zeros(1), features)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("channels", 0),
        ("features", 0),
        ("width", 2),
        ("width", 33),
        ("scale", 0),
        ("multipliers", ()),
        ("multipliers", (1, 0)),
        ("multipliers", (2, 4)),
    ],
)
def test_a_value_that_cannot_be_built_names_its_field(field: str, wrong: Any) -> None:
    with pytest.raises(ConfigError, match=field) as error:
        dataclasses.replace(SRDiffUNet(), **{field: wrong})
    assert str(wrong) in str(error.value)
    assert "\n" not in str(error.value)


def test_bfloat16_autocast_with_channels_last_stays_close() -> None:
    network = built(SMALL)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = draws(2, 3, 9, 11).to(memory_format=torch.channels_last)
    features, t = draws(2, 5, 3, 3), torch.tensor([1.0, 90.0])
    with torch.inference_mode():
        exact = network(x, t, features)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(x, t, features)
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).abs().max() < 0.05 * exact.abs().max()
