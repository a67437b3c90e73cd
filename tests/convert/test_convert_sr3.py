"""Checkpoints of the public SR3 code: what is read off the tensors, and what the configuration may say."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exports import LINEAR, hollow, janspiry_settings, saved, stored, weights, written

from refinesr.convert import convert
from refinesr.diffusion.labels import Gamma, SqrtGamma, Timestep
from refinesr.diffusion.levels import Continuous, Discrete
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Even, Linear
from refinesr.errors import CheckpointError, ConfigError
from refinesr.images.reduction import Bicubic
from refinesr.images.resize import PillowBicubic
from refinesr.method import Sampling
from refinesr.model import Pixels
from refinesr.nets.sr3_unet import SR3UNet, TimeStep
from refinesr.search.trials import baseline_samplings
from refinesr.sources import Blank, Upsampled
from refinesr.stage import Stage
from refinesr.tiles import cover, largest_core

TABLE = Linear(1e-4, 0.1, 20)
SMALL = SR3UNet(width=8, multipliers=(1, 2), blocks=1, attention=(8,), size=16, groups=4, dropout=0.25)


def checkpoint(path: Path, network: SR3UNet = SMALL) -> Path:
    return saved(path, stored(LINEAR) | weights(network))


@pytest.fixture
def gen(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "I10_E1_gen.pth")


def settings(gen: Path, change: Callable[[dict[str, Any]], object] | None = None) -> Path:
    return written(gen.with_name("config.json"), janspiry_settings(SMALL), change)


def same_weights(stage: Stage, network: SR3UNet, seed: int = 0) -> bool:
    wanted = weights(network, "", seed)
    found = stage.model.network.state_dict()
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


NETWORKS = [
    SR3UNet(width=6, multipliers=(1,), blocks=1, attention=(), size=8, groups=3),
    SR3UNet(width=6, multipliers=(1,), blocks=2, attention=(8,), size=8, groups=2),
    SR3UNet(width=8, multipliers=(2, 1, 3), blocks=1, attention=(), size=32, groups=8),
    SR3UNet(width=8, multipliers=(1, 2, 3), blocks=3, attention=(16,), size=32, groups=4),
    SR3UNet(width=8, multipliers=(1, 1, 2, 2), blocks=2, attention=(64, 32, 16, 8), size=64, groups=2),
    SR3UNet(width=8, multipliers=(1, 1, 1), blocks=1, attention=(32, 8), size=32, groups=8),
    SR3UNet(channels=1, image_channels=1, width=4, multipliers=(1, 2), attention=(8,), size=16, groups=4),
    SR3UNet(image_channels=0, width=8, multipliers=(1, 2), blocks=1, attention=(8,), size=16, groups=4),
    SR3UNet(width=8, multipliers=(1, 4), blocks=1, attention=(), size=16, groups=8, embedding=TimeStep()),
    SR3UNet(4, 0, 8, (3, 2), 2, (16,), 16, 4, embedding=TimeStep()),
]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_all_that_leaves_a_trace_is_read_off_the_tensors(tmp_path: Path, network: SR3UNet) -> None:
    """Attention at the same levels; its places are sizes of maps, here of 8 pixels at the deepest level."""
    stage = convert(checkpoint(tmp_path / "gen.pth", network), groups=network.groups)
    assert stage.method.network == network
    assert stage.method.channels == network.channels
    assert same_weights(stage, network)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_the_configuration_says_the_same(tmp_path: Path, network: SR3UNet) -> None:
    network = replace(network, dropout=0.125)
    config = written(tmp_path / "config.json", janspiry_settings(network))
    stage = convert(checkpoint(tmp_path / "gen.pth", network), config=config)
    assert stage.method.network == network
    assert same_weights(stage, network)


def test_it_samples_as_published(gen: Path) -> None:
    method = convert(gen, config=settings(gen)).method
    assert method.sampling == Sampling(Ancestral(1.0), Even(TABLE), 20, clip=True)
    assert (method.levels, method.label, method.target, method.p) == (
        Continuous(TABLE),
        SqrtGamma(),
        Pixels(),
        1,
    )
    assert method.source == Upsampled(PillowBicubic(), eight_bit=True)
    assert (method.scale, method.degradation) == (4, Bicubic(4, PillowBicubic()))


def two_tables(tmp_path: Path) -> Stage:
    """The DDPM variant, sampled with fewer rows than it was trained with, as in its public configuration."""
    network = replace(SMALL, embedding=TimeStep(), dropout=0.0)
    gen = saved(tmp_path / "gen.pth", stored(LINEAR) | weights(network))
    table = {"schedule": "linear", "n_timestep": 12, "linear_start": 1e-3, "linear_end": 0.3}
    config = written(
        tmp_path / "config.json",
        janspiry_settings(network),
        lambda c: c["model"]["beta_schedule"].update(val=table),
    )
    return convert(gen, config=config)


def test_the_ddpm_variant_samples_as_its_code_does_with_a_table_of_its_own(tmp_path: Path) -> None:
    """The loop of that code, in its letters: the network is told rows of the table that is sampled with."""
    stage = two_tables(tmp_path)
    betas = np.linspace(1e-3, 0.3, 12)
    gammas = np.cumprod(1 - betas)
    draws = torch.randn(12, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    low = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1
    image = stage.model.condition(low).image
    x = draws[0]
    for t in reversed(range(12)):
        before = gammas[t - 1] if t else 1.0
        with torch.no_grad():
            eps = stage.model.network(x, torch.tensor([float(t)]), image=image)
        x0 = (np.sqrt(1 / gammas[t]) * x - np.sqrt(1 / gammas[t] - 1) * eps).clamp(-1, 1)
        mean = betas[t] * np.sqrt(before) * x0 + (1 - before) * np.sqrt(1 - betas[t]) * x
        x = mean / (1 - gammas[t])
        if t:
            x = x + np.sqrt(betas[t] * (1 - before) / (1 - gammas[t])) * draws[12 - t]
    given = iter(draws)
    *_, last = stage(low, lambda like: next(given))
    torch.testing.assert_close(last.image, x.to(last.image), rtol=0, atol=1e-4)


def test_the_ddpm_variant_is_taught_rows_of_the_table_it_was_trained_with(tmp_path: Path) -> None:
    """So it may be trained on, and other grids may be searched for it."""
    stage = two_tables(tmp_path)
    assert (stage.method.label, stage.method.levels) == (Timestep(TABLE), Discrete(TABLE))
    told: list[float] = []
    stage.model.network.register_forward_pre_hook(lambda _, given: told.append(float(given[1])))
    high = torch.zeros(1, 3, 16, 16)
    sigmas = np.sqrt(1 / np.cumprod(1 - LINEAR) - 1)
    for row in (0, 7, 19):
        sigma = torch.tensor([sigmas[row]])
        stage.method.objective().loss(stage.model, high, torch.zeros(1, 3, 4, 4), sigma, high)
    respaced = baseline_samplings(stage.method, 2)[1]
    *_, _ = stage(torch.zeros(1, 3, 4, 4), torch.zeros_like, sampling=respaced)
    assert told == [0, 7, 19, 19, 9]


def test_without_a_condition_only_lows_size_counts(tmp_path: Path) -> None:
    network = replace(SMALL, image_channels=0)
    config = written(tmp_path / "config.json", janspiry_settings(network))
    method = convert(checkpoint(tmp_path / "gen.pth", network), config=config).method
    assert (method.source, method.scale, method.tile) == (Blank(), 1, network.size)
    assert Stage(method, method.build()).default_tile == 0  # made whole, as large as it was trained


def test_the_scale_is_asked_for_or_configured_or_1(gen: Path) -> None:
    config = settings(gen)
    assert convert(gen, groups=4).method.scale == 1
    assert convert(gen, groups=4, scale=8).method.scale == 8
    assert convert(gen, config=config).method.scale == 4
    assert convert(gen, config=config, scale=2).method.scale == 2
    with pytest.raises(ConfigError, match=r"--scale: 0 is not positive"):
        convert(gen, groups=4, scale=0)


def widest(core: int, side: int, stride: int) -> int:
    """Of the tiles of pictures of every width up to four sides."""
    how = {"core": core, "reach": 0, "stride": stride, "blend": max(4, core // 8)}
    return max(tile.box.width for width in range(side, 4 * side) for tile in cover(1, width, **how))


@pytest.mark.slow
def test_a_tile_with_its_surroundings_is_what_was_trained_on() -> None:
    """Tiles being of whole strides: a core of 206 and 25 pixels on either side come to 264 where 8 is one."""
    for side, stride in ((9, 1), (16, 2), (64, 8), (128, 1), (256, 8), (500, 4)):
        core = largest_core(side, stride)
        assert widest(core, side, stride) <= side < widest(core + 1, side, stride)
    assert largest_core(5, 1) == 5


PUBLISHED = [
    (SR3UNet(), 128),
    (SR3UNet(image_channels=0), 128),
    (SR3UNet(multipliers=(1, 2, 4, 8, 16), blocks=1, attention=(), size=512, groups=16), 512),
    (SR3UNet(width=32, multipliers=(1, 2, 4, 8, 8, 16, 16), attention=(), size=512, groups=32), 512),
    (SR3UNet(multipliers=(1, 1, 2, 2, 4, 4), embedding=TimeStep()), 128),
]


@pytest.mark.parametrize(
    ("network", "size"), PUBLISHED, ids=[str(network.multipliers) for network, _ in PUBLISHED]
)
def test_public_configurations_are_known_by_their_sizes(tmp_path: Path, network: SR3UNet, size: int) -> None:
    buffers = stored(np.linspace(1e-6, 1e-2, 2000))
    stage = convert(saved(tmp_path / "gen.pth", buffers | hollow(network)))
    assert stage.method.network == network
    assert size == network.size
    assert stage.method.sampling.grid == Even(Linear(1e-6, 1e-2, 2000))
    assert any(f"{network.groups} groups of norms, as in the public" in line for line in stage.card.training)


def test_groups_are_asked_for_where_nothing_tells_them(gen: Path) -> None:
    expected = (
        f"{gen}: its groups of norms leave no trace in the weights; give --config, or --groups N "
        "(its norm_groups, 32 if that is not set)"
    )
    with pytest.raises(CheckpointError) as caught:
        convert(gen)
    assert str(caught.value) == expected


def test_groups_that_cannot_be_are_refused(gen: Path) -> None:
    with pytest.raises(ConfigError, match=r"gen\.pth: groups: 3 does not divide the width 8; 1 would"):
        convert(gen, groups=3)
    silent = settings(gen, lambda c: c["model"]["unet"].pop("norm_groups"))
    with pytest.raises(ConfigError, match=r"gen\.pth: groups: 32 does not divide the width 8; 8 would"):
        convert(gen, config=silent)


def test_what_is_asked_for_and_means_nothing_is_refused(gen: Path) -> None:
    with pytest.raises(ConfigError, match=r"--head-channels: this network has nothing that it would change"):
        convert(gen, groups=4, head_channels=8)


def unet(**fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda c: c["model"]["unet"].update(fields)


def diffusion(**fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda c: c["model"]["diffusion"].update(fields)


def table(**fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda c: [c["model"]["beta_schedule"][phase].update(fields) for phase in ("train", "val")]


CONTRADICTIONS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda c: c["model"].update(which_model_G="ddpm"), "model.which_model_G: 'ddpm' contradicts"),
    (unet(in_channel=3), "model.unet.in_channel: 3 contradicts the weights, which say 6"),
    (unet(out_channel=1), "model.unet.out_channel: 1 contradicts the weights, which say 3"),
    (unet(inner_channel=64), "model.unet.inner_channel: 64 contradicts the weights, which say 8"),
    (unet(channel_multiplier=[1, 4]), "model.unet.channel_multiplier: [1, 4] contradicts"),
    (unet(res_blocks=2), "model.unet.res_blocks: 2 contradicts the weights, which say 1"),
    (
        unet(attn_res=[16]),
        "model.unet.attn_res: [16] contradicts the weights, which have attention at [8] of 16",
    ),
    (unet(attn_res=[]), "model.unet.attn_res: [] contradicts"),
    (unet(attn_res=8), "model.unet.attn_res: 8 is not a list of whole numbers"),
    (unet(dropout="much"), "model.unet.dropout: 'much' is not a number"),
    (unet(dropout=1), "model.unet.dropout: 1 is not in [0, 1)"),
    (unet(norm_groups=2.5), "model.unet.norm_groups: 2.5 is not a whole number from 1"),
    (diffusion(image_size=64), "model.unet.attn_res: [8] contradicts"),
    (diffusion(image_size="big"), "model.diffusion.image_size: 'big' is not a number"),
    (diffusion(channels=1), "model.diffusion.channels: 1 contradicts"),
    (
        diffusion(conditional=False),
        "model.diffusion.conditional: false contradicts the weights, which say true",
    ),
    (table(n_timestep=200), "model.beta_schedule.train: is not the noise table in I10_E1_gen.pth"),
    (table(linear_end=0.2), "model.beta_schedule.train: is not the noise table"),
    (table(linear_end=2), "model.beta_schedule.train: Linear(first=0.0001, last=2.0, rows=20): betas from"),
    (table(schedule="sigmoid"), "model.beta_schedule.train.schedule: 'sigmoid' is not one of linear, quad,"),
    (table(n_timestep=None), "model.beta_schedule.train.n_timestep: missing"),
    (table(n_timestep=0), "model.beta_schedule.train.n_timestep: 0 is not a whole number from 1"),
    (
        lambda c: c["datasets"]["train"].update(r_resolution=60),
        "datasets.train.r_resolution: 60 is no multiple of l_resolution 16; give --scale",
    ),
]


@pytest.mark.parametrize(("change", "expected"), CONTRADICTIONS, ids=[text for _, text in CONTRADICTIONS])
def test_a_configuration_that_contradicts_the_weights_is_refused_by_field(
    gen: Path, change: Callable[[dict[str, Any]], object], expected: str
) -> None:
    config = settings(gen, change)
    with pytest.raises(ConfigError) as caught:
        convert(gen, config=config)
    assert str(caught.value).startswith(f"{config}: {expected}")
    assert "\n" not in str(caught.value)


def test_a_configuration_may_be_silent_about_what_the_weights_tell(gen: Path) -> None:
    config = written(gen.with_name("short.json"), {"model": {"unet": {"norm_groups": 4}}})
    assert convert(gen, config=config).method.network == replace(SMALL, dropout=0.0)


def test_a_file_of_something_else_is_no_configuration(gen: Path) -> None:
    config = written(gen.with_name("other.json"), {"sr_scale": 4})
    with pytest.raises(
        ConfigError, match=r"other\.json: model: missing, so this is no configuration of the publ"
    ):
        convert(gen, config=config)


def test_groups_asked_for_and_configured_must_be_the_same(gen: Path) -> None:
    config = settings(gen)
    assert convert(gen, config=config, groups=4).method.network == SMALL
    with pytest.raises(ConfigError, match=r"--groups: 8 contradicts .*config\.json, which says 4"):
        convert(gen, config=config, groups=8)


def test_what_is_stored_may_be_the_table_of_sampling(gen: Path) -> None:
    """The code replaces its buffers when it changes from training to sampling."""
    trained = {"schedule": "quad", "n_timestep": 30, "linear_start": 1e-4, "linear_end": 0.1}
    config = settings(gen, lambda c: c["model"]["beta_schedule"].update(train=trained))
    method = convert(gen, config=config).method
    assert method.levels != Continuous(TABLE)
    assert method.sampling.grid == Even(TABLE)


def test_without_a_noise_table_the_configuration_has_to_tell(tmp_path: Path) -> None:
    gen = saved(tmp_path / "gen.pth", weights(SMALL))
    with pytest.raises(
        CheckpointError, match=r"no noise table in it; give --config, which says its beta_sched"
    ):
        convert(gen, groups=4)
    config = written(tmp_path / "config.json", janspiry_settings(SMALL))
    assert convert(gen, config=config).method.sampling.grid == Even(TABLE)


def test_a_noise_table_of_its_own_is_not_guessed(tmp_path: Path) -> None:
    gen = saved(tmp_path / "gen.pth", stored(LINEAR**1.5) | weights(SMALL))
    with pytest.raises(CheckpointError, match="its noise table of 20 rows is none of linear, quad, warmup10"):
        convert(gen, groups=4)


MISFITS: list[tuple[Callable[[dict[str, torch.Tensor]], object], str]] = [
    (lambda w: w.pop("denoise_fn.mid.0.attn.out.bias"), "denoise_fn.mid.0.attn.out.bias is missing"),
    (lambda w: w.pop("denoise_fn.downs.0.weight"), "denoise_fn.downs.0.weight is missing"),
    (lambda w: w.update({"denoise_fn.extra": torch.zeros(1)}), "denoise_fn.extra is unknown"),
    (lambda w: w.update({"loss.weight": torch.zeros(1)}), "loss.weight is unknown"),
    (
        lambda w: w.update({"denoise_fn.downs.0.bias": torch.zeros(9)}),
        "denoise_fn.downs.0.bias is (9,), not (8,)",
    ),
    (lambda w: w["denoise_fn.downs.0.bias"].fill_(float("nan")), "denoise_fn.downs.0.bias holds NaN"),
    (
        lambda w: w.update({"denoise_fn.downs.1.res_block.block2.block.3.weight": torch.zeros(12, 8, 3, 3)}),
        "a level of 12 channels is no multiple of 8",
    ),
]


@pytest.mark.parametrize(("damage", "expected"), MISFITS, ids=[text for _, text in MISFITS])
def test_tensors_that_are_not_those_of_the_network_are_named(
    tmp_path: Path, damage: Callable[[dict[str, torch.Tensor]], object], expected: str
) -> None:
    everything = stored(LINEAR) | weights(SMALL)
    damage(everything)
    with pytest.raises(CheckpointError) as caught:
        convert(saved(tmp_path / "gen.pth", everything), groups=4)
    assert expected in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'gen.pth'}: ")


def test_levels_that_differ_are_not_built(tmp_path: Path) -> None:
    everything = weights(replace(SMALL, multipliers=(1, 1)))
    wider = weights(replace(SMALL, blocks=2, multipliers=(1, 1)))
    everything |= {
        name: tensor for name, tensor in wider.items() if ".downs.4." in name or ".downs.5." in name
    }
    with pytest.raises(CheckpointError, match=r"levels of \[\[8\], .*\]\] channels do not have equal blocks"):
        convert(saved(tmp_path / "gen.pth", everything), groups=4)


def test_of_many_tensors_that_lack_some_are_listed_and_all_counted(tmp_path: Path) -> None:
    everything = {name: tensor for name, tensor in weights(SMALL).items() if ".mid." not in name}
    lacking = len(weights(SMALL)) - len(everything)
    with pytest.raises(
        CheckpointError, match=rf"is missing; .* is missing; .* is missing and {lacking - 3} more"
    ):
        convert(saved(tmp_path / "gen.pth", everything | stored(LINEAR)), groups=4)


def test_a_condition_of_other_channels_is_refused(tmp_path: Path) -> None:
    network = replace(SMALL, image_channels=12)
    with pytest.raises(ConfigError, match=r"network\.image_channels: 12 is not what the source makes, 3"):
        convert(checkpoint(tmp_path / "gen.pth", network), groups=4)


def test_palettes_code_with_sr3s_network_is_told_gamma(tmp_path: Path) -> None:
    """Its other choice of a network; its buffers tell it from the SR3 code."""
    from exports import stored_by_palette

    path = saved(tmp_path / "1_Network.pth", stored_by_palette(LINEAR) | weights(SMALL))
    method = convert(path, groups=4).method
    assert (method.network, method.label, method.p) == (replace(SMALL, dropout=0.0), Gamma(), 2)
    assert (method.levels, method.scale) == (Continuous(TABLE), 1)
