"""The paper's layout of SR3's U-Net: its sizes, and its blocks against closed forms and another library's."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refinesr.errors import ConfigError
from refinesr.nets.sr3_unet import Attention, BigGAN, NoiseLevel, ResidualBlock, SR3UNet, Strided, TimeStep

SMALL = SR3UNet(width=8, multipliers=(1, 2, 2), blocks=1, attention=(4,), size=16, groups=4, layout=BigGAN())
STRIDED = dataclasses.replace(SMALL, layout=Strided())
ROOT = math.sqrt(0.5)


def row(width: int, multipliers: tuple[int, ...], blocks: int, size: int) -> SR3UNet:
    return SR3UNet(width=width, multipliers=multipliers, blocks=blocks, size=size, groups=4, layout=BigGAN())


TABLE = {
    "16 -> 128": (row(128, (1, 2, 4, 8, 8), 3, 128), 550, 550.0),
    "64 -> 256": (row(128, (1, 2, 4, 4, 8, 8), 3, 256), 625, 604.6),
    "64 -> 512": (row(64, (1, 2, 4, 8, 8, 16, 16), 3, 512), 625, 603.5),
    "256 -> 1024": (row(16, (1, 2, 4, 8, 16, 32, 32, 32), 2, 1024), 150, 148.0),
}
"""Table A.1: the network, the millions of parameters it says, and those of this reading of it."""
every_row = pytest.mark.parametrize("task", TABLE)


def draws(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def on_meta(value: SR3UNet) -> nn.Module:
    with torch.device("meta"):
        return value.build()


def randomised(module: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


@every_row
def test_table_a1_has_its_numbers_of_parameters(task: str) -> None:
    """The two of 625 M to 4 %, the others to 2 %, and all to the digits known of this reading."""
    value, published, measured = TABLE[task]
    millions = sum(parameter.numel() for parameter in on_meta(value).parameters()) / 1e6
    assert round(millions, 1) == measured
    assert millions == pytest.approx(published, rel=0.04 if published == 625 else 0.02)


@every_row
def test_attention_acts_on_maps_of_16_and_in_the_middle(task: str) -> None:
    """3 blocks going down and 4 going up at that size (2 and 3 in the last row)."""
    value = TABLE[task][0]
    network, seen = on_meta(value), []
    for module in network.modules():
        if isinstance(module, Attention):
            module.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[-2:]))
    with torch.device("meta"):
        x = torch.empty(1, 3, value.size, value.size)
        network(x, torch.empty(1), x)
    deepest = value.size // value.stride
    around, middle = [(16, 16)], [(deepest, deepest)]
    assert seen == around * value.blocks + middle + around * (value.blocks + 1)


def test_layouts_differ_in_what_stands_between_the_levels() -> None:
    paper, public = (set(on_meta(value).state_dict()) for value in (SMALL, STRIDED))
    places = {"downs.2", "downs.4", "ups.2", "ups.5"}
    for only in (paper - public, public - paper):
        assert {".".join(name.split(".")[:2]) for name in only} == places


def test_groups_of_one_channel_are_refused() -> None:
    """Such a norm subtracts the mean of each channel, and with it what the embedding added there."""
    with pytest.raises(ConfigError, match=r"groups: 8 of one channel each.*4 or fewer"):
        dataclasses.replace(SMALL, groups=8)
    dataclasses.replace(STRIDED, groups=8)  # files in the world may have them


def mean_of_blocks(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    return x.reshape(b, c, h // 2, 2, w // 2, 2).mean((3, 5))


def repeated(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, -1).repeat_interleave(2, -2)


RESAMPLING = {"down": (BigGAN().down, mean_of_blocks), "up": (BigGAN().up, repeated)}
both_ways = pytest.mark.parametrize("way", RESAMPLING)


@both_ways
def test_a_fresh_resampling_block_is_the_resampled_picture_over_the_root_of_two(way: str) -> None:
    """Its branch begins with zeros, whatever the embedding."""
    make, expected = RESAMPLING[way]
    network = nn.ModuleList([make(8, SMALL)])
    assert isinstance(network[0], ResidualBlock)
    SMALL.layout.initialise(network)
    x = draws(2, 8, 6, 10)
    torch.testing.assert_close(network[0](x, draws(2, 8, seed=1)), expected(x) * ROOT)


def test_a_fresh_network_says_nothing_and_its_blocks_and_attention_only_rescale() -> None:
    network, seen = SMALL.build(), {}
    for name, module in network.named_modules():
        if isinstance(module, ResidualBlock | Attention):
            module.register_forward_hook(
                lambda m, inputs, out, name=name: seen.update({name: (m, inputs[0], out)})
            )
    x = draws(2, 3, 16, 16)
    assert not network(x, torch.tensor([3.0, 4000.0]), x).any()
    assert len(seen) == (3 + 2) + 2 + (6 + 2) + 4  # residual blocks down, in the middle, up; attention
    for module, inward, outward in seen.values():
        skip = inward if isinstance(module, Attention) else module.res_conv(module.resample(inward))
        torch.testing.assert_close(outward, skip * ROOT)


def test_first_weights_keep_the_variance_but_where_a_branch_ends() -> None:
    """Glorot's: uniform of variance 2 / (in + out), bounded by the root of three times that; biases 0."""
    network = dataclasses.replace(SMALL, width=64, groups=32).build()
    for name, module in network.named_modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        ends = name.endswith((".block2.block.3", ".attn.out")) or name == "final_conv.block.3"
        spread = 2 / sum(nn.init._calculate_fan_in_and_fan_out(module.weight))  # type: ignore[no-untyped-call]
        assert module.bias is None or not module.bias.any()
        assert module.weight.abs().max() <= (0 if ends else math.sqrt(3 * spread))
        # of n uniform numbers the mean square strays by sqrt(0.8 / n), here of some thousand
        if not ends and module.weight.numel() > 1000:
            assert module.weight.square().mean().item() == pytest.approx(spread, rel=0.15)


def test_joining_branches_of_unit_variance_keeps_it_and_plain_sums_double_it() -> None:
    """To 5 standard deviations of the estimate, sqrt(2 / n)."""
    x, branch = draws(400_000, dtype=torch.float64), draws(400_000, seed=1, dtype=torch.float64)
    tolerance = 5 * math.sqrt(2 / 400_000)
    assert BigGAN().add_branch(x, branch).var().item() == pytest.approx(1, rel=tolerance)
    assert Strided().add_branch(x, branch).var().item() == pytest.approx(2, rel=tolerance)


@both_ways
@pytest.mark.parametrize("embedding", [NoiseLevel(), TimeStep()], ids=lambda value: type(value).__name__)
def test_a_resampling_block_is_written_out(way: str, embedding: NoiseLevel | TimeStep) -> None:
    make, resampled = RESAMPLING[way]
    block = randomised(make(8, dataclasses.replace(SMALL, embedding=embedding)))
    w = dict(block.named_parameters())
    shift = next(name for name in w if name.startswith(("noise_func", "mlp")) and name.endswith("weight"))
    x, e = draws(2, 8, 6, 10), draws(2, 8, seed=1)

    told = F.silu(e) if embedding == TimeStep() else e
    shifted = F.linear(told, w[shift], w[shift.replace("weight", "bias")])[..., None, None]
    h = F.silu(F.group_norm(x, 4, w["block1.block.0.weight"], w["block1.block.0.bias"], 1e-6))
    h = F.conv2d(resampled(h), w["block1.block.3.weight"], w["block1.block.3.bias"], padding=1) + shifted
    h = F.silu(F.group_norm(h, 4, w["block2.block.0.weight"], w["block2.block.0.bias"], 1e-6))
    h = F.conv2d(h, w["block2.block.3.weight"], w["block2.block.3.bias"], padding=1)

    torch.testing.assert_close(block(x, e), (resampled(x) + h) * ROOT, rtol=1e-4, atol=1e-5)


@both_ways
def test_a_resampling_block_is_that_of_diffusers(way: str) -> None:
    """Its ResnetBlock2D with an output over sqrt(2), into which the models of Song et al. 2021 are loaded."""
    resnet = pytest.importorskip("diffusers.models.resnet")
    theirs = resnet.ResnetBlock2D(
        in_channels=8,
        out_channels=8,
        temb_channels=8,
        groups=4,
        groups_out=4,
        eps=1e-6,
        output_scale_factor=math.sqrt(2),
        **{way: True},
    )
    ours = randomised(RESAMPLING[way][0](8, dataclasses.replace(SMALL, embedding=TimeStep())))
    names = {
        "mlp.1": "time_emb_proj",
        "block1.block.0": "norm1",
        "block1.block.3": "conv1",
        "block2.block.0": "norm2",
        "block2.block.3": "conv2",
    }
    for mine, other in names.items():
        theirs.get_submodule(other).load_state_dict(ours.get_submodule(mine).state_dict())
    assert len(theirs.state_dict()) == len(ours.state_dict())
    x, e = draws(2, 8, 6, 10), draws(2, 8, seed=1)
    torch.testing.assert_close(ours(x, e), theirs(x, e), rtol=1e-4, atol=1e-5)


def test_attention_is_rescaled_as_the_blocks_are() -> None:
    paper, public = (
        randomised(Attention(8, dataclasses.replace(SMALL, layout=layout)))
        for layout in (BigGAN(), Strided())
    )
    x = draws(2, 8, 4, 5)
    torch.testing.assert_close(paper(x), public(x) * ROOT, rtol=1e-4, atol=1e-5)
