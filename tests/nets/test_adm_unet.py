"""Guided diffusion's U-Net: sizes, conditions, heads, resizing.  Palette's numbers are in tests/agreement."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refinesr.errors import ConfigError
from refinesr.nets.adm_unet import (
    ADMUNet,
    Attention,
    Downsample,
    Float32GroupNorm,
    ResidualBlock,
    Upsample,
    padded,
    sinusoidal_embedding,
)

SMALL = ADMUNet(width=8, multipliers=(1, 2), blocks=1, attention=(2,), head_channels=4, groups=4)
PICTURES = ADMUNet(image_channels=0, width=256, blocks=2, head_channels=64, vector=1000)
SIX_OUT = 3 * (9 * 256 + 1)
"""What it takes to give three more channels: ADM says the variance of a step as well."""


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def on_meta(value: ADMUNet) -> nn.Module:
    with torch.device("meta"):
        return value.build()


def awake(value: ADMUNet) -> nn.Module:
    """With random weights, also where training begins at zero."""
    torch.manual_seed(0)
    network = value.build().eval().requires_grad_(False)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network


def size(value: ADMUNet) -> int:
    return sum(parameter.numel() for parameter in on_meta(value).parameters())


def test_palettes_public_configuration_has_62_6_million_parameters() -> None:
    assert size(ADMUNet(dropout=0.2)) == 62_641_347


@pytest.mark.parametrize(
    ("multipliers", "attention", "millions"),
    [((1, 1, 2, 3, 4), (4, 8, 16), 422), ((1, 1, 2, 2, 4, 4), (8, 16, 32), 554)],
)
def test_adm_has_the_published_numbers_of_parameters(
    multipliers: tuple[int, ...], attention: tuple[int, ...], millions: int
) -> None:
    """ImageNet at 128 and 256 pixels (Dhariwal and Nichol 2021, table 11)."""
    value = dataclasses.replace(PICTURES, multipliers=multipliers, attention=attention)
    assert round((size(value) + SIX_OUT) / 1e6) == millions


def attended(value: ADMUNet) -> dict[str, int]:
    """Heads of every attention, by its place."""
    found = on_meta(value).named_modules()
    return {name: module.heads for name, module in found if isinstance(module, Attention)}


def test_attention_is_at_the_factors_named_and_in_the_middle() -> None:
    """Levels of three layers each going down, after the stem: those of factor 4 are the blocks 7 and 8."""
    assert attended(ADMUNet()) == {"middle_block.1": 16}
    downs = {"input_blocks.7.1": 8, "input_blocks.8.1": 8}
    ups = {f"output_blocks.{number}.1": 8 for number in (3, 4, 5)}
    assert attended(ADMUNet(attention=(4, 3))) == {**downs, "middle_block.1": 16, **ups}


def test_heads_have_the_channels_named_or_all_of_them() -> None:
    one_level = dataclasses.replace(SMALL, multipliers=(3,), attention=(1,))
    assert set(attended(one_level).values()) == {24 // 4}
    assert set(attended(dataclasses.replace(one_level, head_channels=0)).values()) == {1}


def test_attention_is_that_of_the_textbook_head_by_head() -> None:
    attention = Attention(8, dataclasses.replace(SMALL, head_channels=4)).requires_grad_(False)
    for number, parameter in enumerate(attention.parameters()):
        parameter.copy_(draws(*parameter.shape, seed=number))
    x = draws(2, 8, 3, 5)
    qkv = attention.qkv(F.group_norm(x, 4, attention.norm.weight, attention.norm.bias).flatten(2))
    heads = []
    for own in qkv.split(12, dim=1):  # the q, k and v of a head are neighbours
        q, k, v = own.split(4, dim=1)
        heads.append(torch.einsum("bqk,bck->bcq", (q.mT @ k / 4**0.5).softmax(-1), v))
    wanted = x + attention.proj_out(torch.cat(heads, 1)).view_as(x)
    torch.testing.assert_close(attention(x), wanted)


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
        ("dropout", 1.0),
        ("head_channels", 48),
        ("head_channels", -1),
        ("vector", -1),
    ],
)
def test_a_value_that_cannot_be_built_names_its_field(field: str, wrong: Any) -> None:
    with pytest.raises(ConfigError, match=field) as error:
        dataclasses.replace(ADMUNet(), **{field: wrong})
    assert str(wrong) in str(error.value)
    assert "\n" not in str(error.value)


def test_heads_that_fit_are_proposed() -> None:
    with pytest.raises(ConfigError, match="does not divide 64, the channels of an attention; 32 would"):
        ADMUNet(multipliers=(1, 3), attention=(1,), head_channels=96)
    ADMUNet(multipliers=(1, 3), head_channels=96)  # where there is attention it fits


def test_stride_halves_once_a_level_but_the_first() -> None:
    assert [ADMUNet().stride, SMALL.stride, ADMUNet(multipliers=(1,)).stride] == [8, 2, 1]
    assert ADMUNet().reach is None


def test_padding_is_as_if_the_caller_had_repeated_the_last_row_and_column() -> None:
    network = awake(SMALL)
    x, image, label = draws(2, 3, 7, 9), draws(2, 3, 7, 9, seed=1), torch.tensor([0.3, 0.9])
    larger = padded(x, 2)
    assert torch.equal(larger[..., :7, :9], x)
    assert torch.equal(larger[..., 7, :], larger[..., 6, :])
    assert torch.equal(larger[..., 9], larger[..., 8])
    whole = network(larger, label, padded(image, 2))
    torch.testing.assert_close(network(x, label, image), whole[..., :7, :9])


def test_the_image_goes_in_front_of_x() -> None:
    network = awake(SMALL)
    x, image = draws(1, 3, 8, 8), draws(1, 3, 8, 8, seed=1)
    seen: list[Tensor] = []
    network.get_submodule("input_blocks.0.0").register_forward_hook(
        lambda _, given, __: seen.append(given[0])
    )
    network(x, torch.tensor([0.5]), image)
    assert torch.equal(seen[0], torch.cat((image, x), 1))


@pytest.mark.parametrize(("image_channels", "vector"), [(0, 0), (3, 0), (0, 5), (3, 5)])
def test_what_comes_through_the_doors_is_what_the_value_says(image_channels: int, vector: int) -> None:
    network = awake(dataclasses.replace(SMALL, image_channels=image_channels, vector=vector))
    x, label = draws(1, 3, 8, 8), torch.ones(1)
    for image in (None, x):
        for told in (None, draws(1, 5)):
            if (image is None, told is None) == (image_channels == 0, vector == 0):
                assert network(x, label, image, told).shape == x.shape
            else:
                with pytest.raises(
                    ValueError, match=rf"image {image is not None}, vector {told is not None}"
                ):
                    network(x, label, image, told)


def test_a_vector_of_zeros_says_nothing() -> None:
    """The classes' door changes neither the other weights nor, where the class is withheld, the result."""
    network = awake(dataclasses.replace(SMALL, vector=5))
    without = SMALL.build().eval().requires_grad_(False)
    weights = network.state_dict()
    assert weights.pop("label_emb.weight").shape == (4 * 8, 5)
    without.load_state_dict(weights, strict=True)
    x, label = draws(2, 3, 8, 8), torch.tensor([0.3, 0.9])
    assert torch.equal(network(x, label, x, torch.zeros(2, 5)), without(x, label, x))


def test_a_class_is_a_row_added_to_the_labels_embedding() -> None:
    network = awake(dataclasses.replace(SMALL, vector=5))
    seen: list[Tensor] = []
    network.get_submodule("middle_block.0.emb_layers").register_forward_hook(
        lambda _, given, __: seen.append(given[0])
    )
    x, label, classes = draws(3, 3, 8, 8), torch.tensor([0.3, 0.3, 0.3]), torch.tensor([4, 0, 2])
    network(x, label, x, F.one_hot(classes, 5).float())
    network(x, label, x, torch.zeros(3, 5))
    table = network.get_submodule("label_emb").weight.T  # as guided diffusion keeps it
    torch.testing.assert_close(seen[0] - seen[1], F.embedding(classes, table), rtol=1e-5, atol=1e-5)


def test_the_label_reaches_the_output() -> None:
    network = awake(SMALL)
    x = draws(1, 3, 8, 8).expand(2, -1, -1, -1)
    one, other = network(x, torch.tensor([0.1, 0.9]), x)
    assert (one - other).abs().max() > 1e-3


def test_waves_are_cosines_then_sines_from_one_radian_a_unit_down() -> None:
    angle = torch.tensor([[2.0, 0.02]])
    torch.testing.assert_close(
        sinusoidal_embedding(torch.tensor([2.0]), 4), torch.cat((angle.cos(), angle.sin()), 1)
    )


def test_training_begins_with_blocks_that_do_nothing_but_resample() -> None:
    x, e = draws(2, 8, 6, 4), draws(2, 32)
    assert torch.equal(ResidualBlock(8, 8, SMALL)(x, e), x)
    assert torch.equal(Attention(8, SMALL)(x), x)
    means = x.view(2, 8, 3, 2, 2, 2).mean((3, 5))
    torch.testing.assert_close(ResidualBlock(8, 8, SMALL, Downsample())(x, e), means)
    doubled = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(ResidualBlock(8, 8, SMALL, Upsample())(x, e), doubled)
    assert SMALL.build()(x[:, :3], torch.ones(2), x[:, 3:6]).abs().max() == 0


@pytest.mark.parametrize(
    "resized", [lambda x: x, lambda x: F.avg_pool2d(x, 2), lambda x: F.interpolate(x, scale_factor=2)]
)
def test_a_block_resamples_before_its_first_convolution_and_is_told_after_its_second_norm(
    resized: Callable[[Tensor], Tensor],
) -> None:
    class Resized(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return resized(x)

    block = ResidualBlock(8, 12, dataclasses.replace(SMALL, width=4), Resized()).requires_grad_(False)
    w = block.state_dict()
    for number, weights in enumerate(w.values()):
        weights.copy_(draws(*weights.shape, seed=number))
    x, e = draws(2, 8, 6, 4), draws(2, 16)

    def normal(h: Tensor, key: str) -> Tensor:
        return F.group_norm(h, 4, w[f"{key}.weight"], w[f"{key}.bias"])

    def conv(h: Tensor, key: str, padding: int = 1) -> Tensor:
        return F.conv2d(h, w[f"{key}.weight"], w[f"{key}.bias"], padding=padding)

    h = conv(resized(F.silu(normal(x, "in_layers.0"))), "in_layers.2")
    told = F.linear(F.silu(e), w["emb_layers.1.weight"], w["emb_layers.1.bias"])[..., None, None]
    h = normal(h, "out_layers.0") * (1 + told[:, :12]) + told[:, 12:]
    wanted = conv(resized(x), "skip_connection", 0) + conv(F.silu(h), "out_layers.3")
    torch.testing.assert_close(block(x, e), wanted)


def test_dropout_is_before_the_last_convolution_of_a_block_and_only_in_training() -> None:
    network = dataclasses.replace(SMALL, dropout=0.5).build()
    acting = {name for name, m in network.named_modules() if isinstance(m, nn.Dropout) and m.p > 0}
    assert acting
    assert all(name.endswith("out_layers.2") for name in acting)
    network = awake(dataclasses.replace(SMALL, dropout=0.5))
    x, label = draws(1, 3, 8, 8), torch.ones(1)
    assert torch.equal(network(x, label, x), network(x, label, x))
    network.train()
    assert not torch.equal(network(x, label, x), network(x, label, x))


def test_norms_are_those_of_float32_and_keep_the_type() -> None:
    """In bfloat16 the mean of values about 100 would be wrong by a part of their spread."""
    x = (100 + draws(2, 8, 5, 5)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = Float32GroupNorm(4, 8)(x)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, F.group_norm(x.float(), 4).bfloat16())


def test_bfloat16_autocast_with_channels_last_stays_close() -> None:
    network = awake(SMALL)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = draws(2, 3, 9, 11).to(memory_format=torch.channels_last)
    image, label = x.flip(-1).contiguous(memory_format=torch.channels_last), torch.tensor([0.3, 0.9])
    with torch.inference_mode():
        exact = network(x, label, image)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(x, label, image)
    assert rough.dtype == torch.bfloat16
    assert (rough - exact).abs().max() < 0.05 * exact.abs().max()


def test_classes_begin_as_far_apart_as_published() -> None:
    """A class is told by a column of N(0, 1), as `nn.Embedding` has it."""
    torch.manual_seed(0)
    weight = ADMUNet(width=32, multipliers=(1,), vector=1000).build().get_parameter("label_emb.weight")
    assert float(weight.detach().std()) == pytest.approx(1, rel=0.01)
