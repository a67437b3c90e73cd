"""What the few-step network promises: its reach, its cost, its indifference to sizes."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from refinesr.errors import ConfigError
from refinesr.nets.packed_unet import PackedEncoder, PackedUNet, PixelNorm

SMALL = PackedUNet(scale=2, features=4, widths=(4, 6, 8), blocks=(1, 1, 1), embedding=8)


def awake(module: nn.Module) -> nn.Module:
    """Branches begin at zero; random weights everywhere show what the network can depend on."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.eval()


def touched(x: torch.Tensor, pixel: torch.Tensor) -> tuple[int, int]:
    """First and last column of x that `pixel` depends on."""
    (gradient,) = torch.autograd.grad(pixel, x, retain_graph=True)
    columns = gradient.abs().sum((0, 1, 2)).nonzero()
    return int(columns[0]), int(columns[-1])


def test_no_pixel_depends_on_anything_beyond_reach_and_some_pixel_on_just_that() -> None:
    net = awake(SMALL.build())
    width = 8 * (SMALL.reach // 8 + 2) * 2
    x = torch.randn(1, 3, 8, width, requires_grad=True)
    y = net(x, torch.zeros(1), torch.randn(1, 4, 4, width // 2)).abs().sum((0, 1, 2))
    middle = width // 2
    distances = []
    for column in range(middle, middle + SMALL.stride):
        first, last = touched(x, y[column])
        distances += [column - first, last - column]
    assert max(distances) == SMALL.reach


def test_the_encoder_sees_its_reach_and_no_more() -> None:
    value = PackedEncoder(width=4, blocks=3)
    net = awake(value.build())
    low = torch.randn(1, 3, 5, 41, requires_grad=True)
    features = net(low)
    assert touched(low, features[..., 20].abs().sum()) == (20 - value.reach, 20 + value.reach)


def test_the_default_size_costs_what_the_design_allows() -> None:
    """At most 60 GFLOP a call and 120 once for 128 -> 512 px; most parameters at a quarter of the size."""
    with torch.device("meta"):
        net, encoder = PackedUNet().build(), PackedEncoder().build()
        with FlopCounterMode(display=False) as once:
            features = encoder(torch.empty(1, 3, 128, 128))
        with FlopCounterMode(display=False) as call:
            net(torch.empty(1, 3, 512, 512), torch.empty(1), features)
    assert once.get_total_flops() <= 120e9
    assert call.get_total_flops() <= 60e9
    total = sum(p.numel() for part in (net, encoder) for p in part.parameters())
    assert 4e6 <= total <= 20e6
    assert sum(p.numel() for p in net.get_submodule("middle").parameters()) > total / 2
    assert -(-PackedUNet().reach // 4) + PackedEncoder().reach <= 64


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 13), width=st.integers(1, 13), scale=st.sampled_from([1, 2, 3, 4, 8]))
def test_any_size_of_any_scale_comes_back(height: int, width: int, scale: int) -> None:
    value = PackedUNet(scale=scale, features=4, widths=(4, 4, 4), blocks=(1, 1, 1), embedding=4)
    x = torch.randn(1, 3, scale * height, scale * width)
    assert value.build()(x, torch.zeros(1), torch.randn(1, 4, height, width)).shape == x.shape


def test_padding_changes_nothing_where_none_is_needed() -> None:
    """Right of the picture its last column is repeated: far from there nothing changes."""
    net = awake(SMALL.build())
    x, features = torch.randn(1, 3, 8, 96), torch.randn(1, 4, 4, 48)
    whole, part = net(x, torch.zeros(1), features), net(x[..., :90], torch.zeros(1), features[..., :45])
    inner = 90 - SMALL.reach - 8
    assert inner > 0
    torch.testing.assert_close(part[..., :inner], whole[..., :inner])


def test_the_condition_must_fit_the_value() -> None:
    with pytest.raises(ValueError, match="features missing"):
        SMALL.build()(torch.zeros(1, 3, 8, 8), torch.zeros(1))
    with pytest.raises(ValueError, match="features given"):
        PackedUNet(features=0, widths=(4, 4, 4), blocks=(0, 0, 0)).build()(
            torch.zeros(1, 3, 8, 8), torch.zeros(1), torch.zeros(1, 4, 2, 2)
        )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale": 0}, "scale: 0 is not positive"),
        ({"widths": (0, 1, 1)}, r"widths, blocks: \(0, 1, 1\)"),
        ({"blocks": (1, -1, 1)}, r"widths, blocks: "),
    ],
)
def test_a_value_that_cannot_be_built_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PackedUNet(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-14), (torch.bfloat16, 2**-8)])
def test_a_norm_is_torchs_to_rounding(dtype: torch.dtype, rounding: float) -> None:
    torch.manual_seed(0)
    norm = PixelNorm(24)
    norm.weight.data.uniform_(0.5, 2)
    x = (3 * torch.randn(2, 24, 5, 7)).to(dtype)
    x[0, :, 0, 0] = 0
    places = x.double().permute(0, 2, 3, 1)
    expected = F.rms_norm(places, norm.weight.shape, norm.weight.double(), eps=1e-6).permute(0, 3, 1, 2)
    made = norm(x)
    assert made.dtype == dtype
    torch.testing.assert_close(made.double(), expected, rtol=rounding, atol=0)
