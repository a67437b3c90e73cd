"""The public SR3 code's U-Net: sizes, doors, attention, dropout.  Its numbers are in tests/agreement."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from refinesr.errors import ConfigError
from refinesr.nets.sr3_unet import Attention, SR3UNet, TimeStep, padded, waves

SMALL = SR3UNet(width=8, multipliers=(1, 2), blocks=1, attention=(8,), size=16, groups=4)
LARGE = SR3UNet(multipliers=(1, 2, 4, 8, 16), blocks=1, attention=(), size=512, groups=16)


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def on_meta(value: SR3UNet) -> torch.nn.Module:
    with torch.device("meta"):
        return value.build()


@pytest.mark.parametrize(("value", "millions"), [(SR3UNet(), 97.8), (LARGE, 155.3)])
def test_published_configurations_have_the_published_numbers_of_parameters(
    value: SR3UNet, millions: float
) -> None:
    parameters = sum(parameter.numel() for parameter in on_meta(value).parameters())
    assert round(parameters / 1e6, 1) == millions


def attended(value: SR3UNet) -> set[str]:
    return {name for name, module in on_meta(value).named_modules() if isinstance(module, Attention)}


def test_attention_is_at_the_named_sizes_of_training_and_in_the_middle() -> None:
    # 128, 64, 32 and 16 have three layers each going down, after the stem: the blocks at 16 are 10 and 11
    ups = {f"ups.{index}.attn" for index in (4, 5, 6)}
    assert attended(SR3UNet()) == {"downs.10.attn", "downs.11.attn", "mid.0.attn"} | ups
    assert attended(LARGE) == attended(dataclasses.replace(LARGE, attention=(17,))) == {"mid.0.attn"}


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("width", 48),
        ("width", 0),
        ("width", 33),
        ("groups", 0),
        ("groups", 5),
        ("multipliers", ()),
        ("multipliers", (1, 0)),
        ("blocks", 0),
        ("channels", 0),
        ("image_channels", -1),
        ("size", 0),
        ("dropout", 1.0),
        ("dropout", -0.1),
    ],
)
def test_a_value_that_cannot_be_built_names_its_field(field: str, wrong: Any) -> None:
    with pytest.raises(ConfigError, match=field) as error:
        dataclasses.replace(SR3UNet(), **{field: wrong})
    assert str(wrong) in str(error.value)
    assert "\n" not in str(error.value)


def test_stride_halves_once_a_level_but_the_first() -> None:
    assert [SR3UNet().stride, SMALL.stride, SR3UNet(multipliers=(1,)).stride] == [16, 2, 1]
    assert SR3UNet().reach is None


def test_a_padded_picture_repeats_its_last_row_and_column() -> None:
    x = draws(1, 1, 3, 5)
    y = padded(x, 4)
    assert torch.equal(y[..., :3, :5], x)
    assert torch.equal(y[..., 3, :], y[..., 2, :])
    assert torch.equal(y[..., 5:], y[..., 4:5].expand(-1, -1, -1, 3))
    assert padded(y, 4) is y


def test_padding_is_as_if_the_caller_had_done_it() -> None:
    network = SMALL.build().eval()
    x, image, label = draws(2, 3, 7, 9), draws(2, 3, 7, 9, seed=1), torch.tensor([0.3, 0.9])
    whole = network(padded(x, 2), label, padded(image, 2))
    torch.testing.assert_close(network(x, label, image), whole[..., :7, :9])


def test_the_image_goes_in_front_of_x() -> None:
    network = SMALL.build().eval()
    x, image, label = draws(1, 3, 8, 8), draws(1, 3, 8, 8, seed=1), torch.tensor([0.5])
    seen: list[Tensor] = []
    network.get_submodule("downs.0").register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    network(x, label, image)
    assert torch.equal(seen[0], torch.cat((image, x), 1))


def test_a_missing_or_needless_image_is_the_callers_mistake() -> None:
    x, label = draws(1, 3, 8, 8), torch.ones(1)
    with pytest.raises(ValueError, match="image missing"):
        SMALL.build()(x, label)
    with pytest.raises(ValueError, match="image given"):
        dataclasses.replace(SMALL, image_channels=0).build()(x, label, x)


def test_the_label_reaches_the_output_of_either_variant() -> None:
    for value in (SMALL, dataclasses.replace(SMALL, embedding=TimeStep())):
        network = value.build().eval()
        x = draws(1, 3, 8, 8).expand(2, -1, -1, -1)
        one, other = network(x, torch.tensor([0.1, 0.9]), x)
        assert (one - other).abs().max() > 1e-3


def test_waves_are_sines_then_cosines_from_one_radian_a_unit_down() -> None:
    e = waves(torch.tensor([2.0]), 4)
    expected = torch.tensor([[2.0, 0.02]])
    torch.testing.assert_close(e, torch.cat((expected.sin(), expected.cos()), 1))


def test_dropout_is_in_the_second_half_of_a_block_and_only_in_training() -> None:
    network = dataclasses.replace(SMALL, dropout=0.5).build()
    acting = {name for name, m in network.named_modules() if isinstance(m, torch.nn.Dropout) and m.p > 0}
    assert acting
    assert all(name.endswith("block2.block.2") for name in acting)
    x, label = draws(1, 3, 8, 8), torch.ones(1)
    assert not torch.equal(network(x, label, x), network(x, label, x))
    network.eval()
    assert torch.equal(network(x, label, x), network(x, label, x))


def test_bfloat16_autocast_with_channels_last_stays_close_and_keeps_the_layout() -> None:
    network = SMALL.build().eval()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = draws(2, 3, 9, 11).to(memory_format=torch.channels_last)
    image, label = x.flip(-1).contiguous(memory_format=torch.channels_last), torch.tensor([0.3, 0.9])
    with torch.inference_mode():
        exact = network(x, label, image)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(x, label, image)
    assert rough.dtype == torch.bfloat16
    assert rough.is_contiguous(memory_format=torch.channels_last) or rough.stride(1) == 1
    # 8 bits of mantissa, some twenty layers
    assert (rough.float() - exact).square().mean().sqrt() < 0.03 * exact.square().mean().sqrt()


def test_a_network_in_double_precision_takes_a_single_precision_label() -> None:
    network, x = SMALL.build().double(), draws(1, 3, 8, 8).double()
    assert network(x, torch.ones(1), x).dtype == torch.float64


def test_every_parameter_learns() -> None:
    network, x = SMALL.build(), draws(2, 3, 8, 8)
    network(x, torch.tensor([0.3, 0.9]), x).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())
