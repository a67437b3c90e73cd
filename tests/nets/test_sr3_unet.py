"""SR3's U-Net in both layouts: sizes, conditions, attention, dropout.  The paper's blocks are in
test_sr3_biggan, the numbers of the public code's in tests/agreement."""

import dataclasses
import hashlib
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from refinesr.errors import ConfigError
from refinesr.nets.sr3_unet import Attention, BigGAN, SR3UNet, TimeStep, padded, sinusoidal_embedding

SMALL = SR3UNet(width=8, multipliers=(1, 2), blocks=1, attention=(8,), size=16, groups=4)
PAPER = dataclasses.replace(SMALL, layout=BigGAN())
LARGE = SR3UNet(multipliers=(1, 2, 4, 8, 16), blocks=1, attention=(), size=512, groups=16)

both = pytest.mark.parametrize("value", [SMALL, PAPER], ids=["Strided", "BigGAN"])


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def on_meta(value: SR3UNet) -> nn.Module:
    with torch.device("meta"):
        return value.build()


def awake(value: SR3UNet, seed: int = 0) -> nn.Module:
    """With random weights, also where training begins at zero."""
    torch.manual_seed(seed)
    network = value.build().eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network


@pytest.mark.parametrize(("value", "millions"), [(SR3UNet(), 97.8), (LARGE, 155.3)])
def test_published_configurations_have_the_published_numbers_of_parameters(
    value: SR3UNet, millions: float
) -> None:
    parameters = sum(parameter.numel() for parameter in on_meta(value).parameters())
    assert round(parameters / 1e6, 1) == millions


@pytest.mark.parametrize(
    ("value", "names", "digest"),
    [
        (SR3UNet(), 362, "ac25c4c03f8916a9"),
        (SR3UNet(image_channels=0, embedding=TimeStep()), 363, "a0b14d04299ce3a3"),
    ],
)
def test_names_and_shapes_are_those_that_files_in_the_world_have(
    value: SR3UNet, names: int, digest: str
) -> None:
    """In their order, too: a seed gives the same first weights."""
    lines = [f"{name} {tuple(tensor.shape)}" for name, tensor in on_meta(value).state_dict().items()]
    assert len(lines) == names
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest().startswith(digest)


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
        ("vector", -1),
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


@both
def test_padding_is_as_if_the_caller_had_done_it(value: SR3UNet) -> None:
    network = awake(value)
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


@both
def test_the_label_reaches_the_output_of_either_variant(value: SR3UNet) -> None:
    for told in (value, dataclasses.replace(value, embedding=TimeStep())):
        x = draws(1, 3, 8, 8).expand(2, -1, -1, -1)
        one, other = awake(told)(x, torch.tensor([0.1, 0.9]), x)
        assert (one - other).abs().max() > 1e-3


@both
def test_a_vector_is_told_and_zeros_say_nothing(value: SR3UNet) -> None:
    network, without = awake(dataclasses.replace(value, vector=5)), value.build().eval()
    weights = network.state_dict()
    assert set(weights) - set(without.state_dict()) == {"vector.weight"}
    without.load_state_dict({name: tensor for name, tensor in weights.items() if name != "vector.weight"})
    x, label, vector = draws(2, 3, 8, 8), torch.tensor([0.3, 0.9]), draws(2, 5, seed=1)
    silent = without(x, label, x)
    torch.testing.assert_close(network(x, label, x, torch.zeros(2, 5)), silent)
    assert (network(x, label, x, vector) - silent).abs().amax((1, 2, 3)).min() > 1e-2
    first = torch.stack((vector[0], torch.zeros(5)))
    told = network(x, label, x, first)
    torch.testing.assert_close(told[1], silent[1])  # each image has its own
    assert (told[0] - silent[0]).abs().max() > 1e-2


def test_a_vector_of_one_hot_picks_a_column_for_the_embedding() -> None:
    network = awake(dataclasses.replace(SMALL, vector=3))
    label = torch.tensor([0.3, 0.9])
    plain, told = (
        network.embed(label, vector, torch.float32)  # type: ignore[operator]
        for vector in (None, torch.eye(3)[[2, 0]])
    )
    columns = network.get_parameter("vector.weight").T[[2, 0]]
    torch.testing.assert_close(told - plain, columns, rtol=0, atol=1e-5)


def test_a_missing_or_needless_vector_is_the_callers_mistake() -> None:
    x, label = draws(1, 3, 8, 8), torch.ones(1)
    with pytest.raises(ValueError, match="vector missing"):
        dataclasses.replace(SMALL, vector=2).build()(x, label, x)
    with pytest.raises(ValueError, match="vector given"):
        SMALL.build()(x, label, x, torch.zeros(1, 2))


def test_waves_are_sines_then_cosines_from_one_radian_a_unit_down() -> None:
    e = sinusoidal_embedding(torch.tensor([2.0]), 4)
    expected = torch.tensor([[2.0, 0.02]])
    torch.testing.assert_close(e, torch.cat((expected.sin(), expected.cos()), 1))


@both
def test_dropout_is_in_the_second_half_of_every_block_and_only_in_training(value: SR3UNet) -> None:
    network = awake(dataclasses.replace(value, dropout=0.5)).train()
    acting = {name for name, m in network.named_modules() if isinstance(m, torch.nn.Dropout) and m.p > 0}
    assert acting == {f"{name}.2" for name, _ in network.named_modules() if name.endswith("block2.block")}
    x, label = draws(1, 3, 8, 8), torch.ones(1)
    assert not torch.equal(network(x, label, x), network(x, label, x))
    network.eval()
    assert torch.equal(network(x, label, x), network(x, label, x))


@both
def test_bfloat16_autocast_with_channels_last_stays_close_and_keeps_the_layout(value: SR3UNet) -> None:
    network = awake(value)
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


@both
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_network_in_another_precision_takes_a_single_precision_label_and_vector(
    value: SR3UNet, dtype: torch.dtype
) -> None:
    network, x = awake(dataclasses.replace(value, vector=2)).to(dtype), draws(1, 3, 8, 8).to(dtype)
    y = network(x, torch.ones(1), x, torch.ones(1, 2))
    assert y.dtype == dtype
    assert y.isfinite().all()


@both
def test_every_parameter_learns(value: SR3UNet) -> None:
    network, x = awake(dataclasses.replace(value, vector=2)), draws(2, 3, 8, 8)
    network(x, torch.tensor([0.3, 0.9]), x, torch.eye(2)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())
