"""Checkpoints of the public Palette code."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exports import LINEAR, hollow, palette_settings, saved, stored_by_palette, weights, written

from refinesr.convert import convert
from refinesr.diffusion.labels import Gamma
from refinesr.diffusion.levels import Continuous
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Even, Linear
from refinesr.errors import CheckpointError, ConfigError
from refinesr.images.masks import FreeForm
from refinesr.images.reduction import Bicubic
from refinesr.images.resize import PillowBicubic
from refinesr.images.tasks import Grey, Inpainting, Uncropping
from refinesr.method import Sampling
from refinesr.nets.adm_unet import ADMUNet
from refinesr.sources import Blank, Upsampled

TABLE = Linear(1e-4, 0.1, 20)
SMALL = ADMUNet(width=32, multipliers=(1, 1), blocks=1, attention=(2,), head_channels=16)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return saved(tmp_path / "5_Network.pth", stored_by_palette(LINEAR) | weights(SMALL))


def settings(file: Path, change: Callable[[dict[str, Any]], object] | None = None) -> Path:
    return written(file.with_name("config.json"), palette_settings(SMALL), change)


NETWORKS = [
    ADMUNet(width=32, multipliers=(1,), blocks=1, attention=(), head_channels=32),
    ADMUNet(width=32, multipliers=(1,), blocks=3, attention=(1,), head_channels=8),
    ADMUNet(width=32, multipliers=(1, 1, 1), blocks=1, attention=(), head_channels=0),
    ADMUNet(width=32, multipliers=(2, 1), blocks=2, attention=(1, 2), head_channels=16),
    ADMUNet(width=32, multipliers=(1, 2, 1), blocks=2, attention=(2, 4), head_channels=32),
    ADMUNet(width=32, multipliers=(1, 1, 2), blocks=1, attention=(1, 4), head_channels=4),
    ADMUNet(1, 1, 64, (1, 1), 1, (2,), 64),
    ADMUNet(image_channels=0, width=32, multipliers=(1, 2), blocks=1, attention=(), head_channels=32),
]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
@pytest.mark.parametrize("configured", [True, False])
def test_the_network_is_read_off_the_tensors_or_configured(
    tmp_path: Path, network: ADMUNet, configured: bool
) -> None:
    path = saved(tmp_path / "5_Network.pth", stored_by_palette(LINEAR) | weights(network))
    if configured:
        network = replace(network, dropout=0.25)
        stage = convert(path, config=written(tmp_path / "config.json", palette_settings(network)))
    else:
        stage = convert(path, head_channels=network.head_channels)
    assert stage.method.network == network
    assert stage.method.source == (Upsampled(PillowBicubic()) if network.image_channels else Blank())
    wanted, found = weights(network, ""), stage.model.network.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_it_samples_as_published(file: Path) -> None:
    tested = {"schedule": "linear", "n_timestep": 10, "linear_start": 1e-3, "linear_end": 0.5}
    config = settings(file, lambda c: args(c)["beta_schedule"].update(test=tested))
    method = convert(file, config=config).method
    assert method.sampling == Sampling(Ancestral(1.0), Even(Linear(1e-3, 0.5, 10)), 10, clip=True)
    assert (method.levels, method.label, method.p, method.scale) == (Continuous(TABLE), Gamma(), 2, 1)


def args(config: dict[str, Any]) -> dict[str, Any]:
    inner: dict[str, Any] = config["model"]["which_networks"][0]["args"]
    return inner


def test_factors_that_are_no_levels_stay_as_configured(file: Path) -> None:
    """16 in the public configurations of four levels."""
    config = settings(file, lambda c: args(c)["unet"].update(attn_res=[2, 16]))
    assert convert(file, config=config).method.network == replace(SMALL, attention=(2, 16))


def test_a_number_of_heads_is_honoured_where_attention_has_one_width(file: Path) -> None:
    def heads(**fields: object) -> Path:
        def change(config: dict[str, Any]) -> None:
            args(config)["unet"].pop("num_head_channels")
            args(config)["unet"].update(fields)

        return settings(file, change)

    assert convert(file, config=heads()).method.network == replace(SMALL, head_channels=0)
    assert convert(file, config=heads(num_head_channels=-1)).method.network == replace(SMALL, head_channels=0)
    assert convert(file, config=heads(num_heads=4)).method.network == replace(SMALL, head_channels=8)
    wider = replace(SMALL, multipliers=(1, 2), attention=(1,), head_channels=0)
    saved(file, stored_by_palette(LINEAR) | weights(wider))
    fields = {"channel_mults": [1, 2], "attn_res": [1], "num_head_channels": -1}
    assert convert(file, config=settings(file, unet(**fields))).method.network == wider
    with pytest.raises(
        ConfigError, match=r"num_heads: 4 for attention over \[32, 64\] channels alike; only 1 is"
    ):
        convert(file, config=settings(file, unet(**fields, num_heads=4)))


TASKS = [("colorization", Grey()), ("inpainting", Inpainting(FreeForm())), ("uncropping", Uncropping())]


@pytest.mark.parametrize(("name", "degradation"), [*TASKS, ("else", Bicubic(1, PillowBicubic()))])
def test_the_task_is_a_degradation(file: Path, name: str, degradation: object) -> None:
    model = {"which_model": {"args": {"task": name}}}
    assert (
        convert(file, config=settings(file, lambda c: c["model"].update(model))).method.degradation
        == degradation
    )


def test_the_public_configuration_is_known_by_its_sizes(tmp_path: Path) -> None:
    """With the table it samples with, of which there is no trace in the file."""
    network = ADMUNet(attention=())
    trained = np.linspace(1e-6, 0.01, 2000)
    stage = convert(saved(tmp_path / "200_Network.pth", stored_by_palette(trained) | hollow(network)))
    assert stage.method.network == network
    assert stage.method.sampling.grid == Even(Linear(1e-4, 0.09, 1000))
    assert stage.method.levels == Continuous(Linear(1e-6, 0.01, 2000))
    assert stage.method.tile == 200  # with 25 pixels on either side, in strides of 8, 256
    assumed = [line for line in stage.card.training if line.startswith("assumed: ")]
    assert ["1000 rows" in assumed[0], "32 channels of an attention head" in assumed[1]] == [True, True]


def test_the_table_it_is_trained_with_is_sampled_where_nothing_else_is_known(file: Path) -> None:
    stage = convert(file, head_channels=16)
    assert stage.method.sampling.grid == Even(TABLE)
    assert "assumed: sampled with the table it was trained with" in stage.card.training


def test_heads_are_asked_for_where_nothing_tells_them(file: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        convert(file)
    hint = "--head-channels N (its num_head_channels, 32 in the public ones; 0: a single head)"
    assert str(caught.value) == (
        f"{file}: its channels of an attention head leave no trace in the weights; give --config, or {hint}"
    )
    with pytest.raises(ConfigError, match=r"Network\.pth: head_channels: 5 does not divide 32"):
        convert(file, head_channels=5)
    with pytest.raises(ConfigError, match=r"--head-channels: 8 contradicts .*: 16"):
        convert(file, config=settings(file), head_channels=8)
    with pytest.raises(ConfigError, match="--groups: this network has nothing that it would change"):
        convert(file, head_channels=16, groups=32)


UNET = "model.which_networks.0.args.unet"


def unet(**fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda c: args(c)["unet"].update(fields)


CONTRADICTIONS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (unet(in_channel=7), f"{UNET}.in_channel: 7 contradicts the weights, which say 6"),
    (unet(out_channel=1), f"{UNET}.out_channel: 1 contradicts"),
    (unet(inner_channel=64), f"{UNET}.inner_channel: 64 contradicts"),
    (unet(channel_mults=[1, 2]), f"{UNET}.channel_mults: [1, 2] contradicts"),
    (unet(res_blocks=2), f"{UNET}.res_blocks: 2 contradicts"),
    (unet(attn_res=[1]), f"{UNET}.attn_res: [1] contradicts the weights, which have it at factors [2]"),
    (unet(attn_res=2), f"{UNET}.attn_res: 2 contradicts"),
    (unet(num_heads=0, num_head_channels=None), f"{UNET}.num_heads: 0 is not a whole number from 1"),
    (unet(resblock_updown=False), f"{UNET}.resblock_updown: false is not supported, only true"),
    (unet(use_scale_shift_norm=False), f"{UNET}.use_scale_shift_norm: false is not supported"),
    (unet(use_new_attention_order=True), f"{UNET}.use_new_attention_order: true is not supported"),
    (
        lambda c: args(c).update(module_name="sr3"),
        "model.which_networks.0.args.module_name: 'sr3' is not supported, only 'guided_diffusion'",
    ),
    (
        lambda c: (
            args(c)["beta_schedule"]["train"].update(n_timestep=10)
            or args(c)["beta_schedule"]["test"].update(n_timestep=11)
        ),
        "model.which_networks.0.args.beta_schedule.train: is not the noise table in 5_Network.pth",
    ),
]


@pytest.mark.parametrize(("change", "expected"), CONTRADICTIONS, ids=[text for _, text in CONTRADICTIONS])
def test_a_configuration_that_contradicts_the_weights_is_refused_by_field(
    file: Path, change: Callable[[dict[str, Any]], object], expected: str
) -> None:
    config = settings(file, change)
    with pytest.raises(ConfigError) as caught:
        convert(file, config=config)
    assert str(caught.value).startswith(f"{config}: {expected}")


def test_other_layouts_of_guided_diffusion_are_refused(tmp_path: Path) -> None:
    strided = weights(SMALL)
    strided["denoise_fn.input_blocks.2.0.op.weight"] = torch.zeros(32, 32, 3, 3)
    with pytest.raises(CheckpointError, match="resblock_updown: false is not supported, only true"):
        convert(saved(tmp_path / "a.pth", strided), head_channels=16)
    plain = weights(SMALL)
    name = "denoise_fn.input_blocks.1.0.emb_layers.1.weight"
    plain[name] = plain[name][:32]
    with pytest.raises(CheckpointError, match="use_scale_shift_norm: false is not supported, only true"):
        convert(saved(tmp_path / "b.pth", plain), head_channels=16)


def test_it_may_enlarge_if_it_is_asked_to(file: Path) -> None:
    method = convert(file, head_channels=16, scale=4).method
    assert (method.scale, method.degradation) == (4, Bicubic(4, PillowBicubic()))
