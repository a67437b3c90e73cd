"""Checkpoints of the official SRDiff code, and of its encoder alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exports import cosine, saved, srdiff, srdiff_settings, stored, weights, written

from refinesr.convert import convert
from refinesr.diffusion.labels import Timestep
from refinesr.diffusion.levels import Discrete
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Cosine, Even
from refinesr.errors import CheckpointError, ConfigError
from refinesr.images.reduction import Bicubic
from refinesr.images.resize import MatlabBicubic
from refinesr.method import Sampling
from refinesr.model import Residual
from refinesr.nets.rrdb import RRDB, RRDBNetwork
from refinesr.nets.srdiff_unet import SRDiffUNet
from refinesr.sources import Encoded, Low

ENCODER = RRDB(width=4, growth=2, blocks=2, scale=4)
UNET = SRDiffUNet(features=4, width=4, multipliers=(1, 2), scale=4)


@pytest.fixture
def ckpt(tmp_path: Path) -> Path:
    """In the old format, as its trainer saves."""
    data = srdiff(UNET, ENCODER)
    return saved(tmp_path / "model_ckpt_steps_1000.ckpt", data, _use_new_zipfile_serialization=False)


def settings(ckpt: Path, change: Callable[[dict[str, Any]], object] | None = None) -> Path:
    return written(ckpt.with_name("config.yaml"), srdiff_settings(UNET, ENCODER), change)


CASES = [
    (UNET, ENCODER),
    (SRDiffUNet(features=16, width=8, multipliers=(1, 1, 2), scale=8), RRDB(3, 8, 4, 5, 8)),
    (SRDiffUNet(features=6, width=4, multipliers=(1,), scale=2), RRDB(3, 6, 3, 4, 2)),
    (SRDiffUNet(features=24, width=6, multipliers=(1, 3, 2, 2), scale=4), RRDB(3, 8, 5, 8, 4)),
    (SRDiffUNet(1, 8, 4, (1, 2), 4), RRDB(1, 8, 4, 3, 4)),
]


@pytest.mark.parametrize(("network", "encoder"), CASES, ids=[str(network) for network, _ in CASES])
@pytest.mark.parametrize("configured", [True, False])
def test_both_networks_are_read_off_the_tensors(
    tmp_path: Path, network: SRDiffUNet, encoder: RRDB, configured: bool
) -> None:
    path = saved(tmp_path / "a.ckpt", srdiff(network, encoder))
    config = written(tmp_path / "config.yaml", srdiff_settings(network, encoder)) if configured else None
    stage = convert(path, config=config)
    assert stage.method.network == network
    assert stage.method.source == Encoded(encoder, MatlabBicubic(), frozen=True)
    assert stage.method.scale == network.scale
    wanted = weights(network, "network.") | weights(encoder, "source.encoder.", seed=1)
    found = stage.model.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize(("rows", "offset"), [(20, 0.008), (100, 0.008), (37, 0.015)])
def test_it_samples_as_published(tmp_path: Path, rows: int, offset: float) -> None:
    method = convert(saved(tmp_path / "a.ckpt", srdiff(UNET, ENCODER, cosine(rows, offset)))).method
    table = Cosine(rows, offset)
    assert method.sampling == Sampling(Ancestral(1.0), Even(table), rows, clip=True)
    assert (method.label, method.levels, method.p) == (Timestep(table), Discrete(table), 1)
    assert (method.target, method.degradation) == (Residual(2.0, clip=True), Bicubic(4, MatlabBicubic()))


def test_the_card_says_what_was_assumed_and_how_long_it_was_trained(ckpt: Path) -> None:
    card = convert(ckpt).card
    assert card.summary == "SRDiff, converted from model_ckpt_steps_1000.ckpt"
    assert card.licence == "not stated"
    assert card.training == (
        "weights as trained",
        "1000 updates",
        "configuration: read off the weights",
        "assumed: residuals times 2, as in all public configurations",
    )
    assert convert(ckpt, config=settings(ckpt)).card.training[2:] == ("configuration: config.yaml",)


def test_settings_that_leave_no_trace_are_taken_over(ckpt: Path) -> None:
    changes = {"res_rescale": 3.5, "clip_input": False, "fix_rrdb": False, "loss_type": "l2"}
    method = convert(ckpt, config=settings(ckpt, lambda c: c.update(changes))).method
    assert (method.target, method.p) == (Residual(3.5, clip=False), 2)
    assert method.source == Encoded(ENCODER, MatlabBicubic(), frozen=False)


def test_flat_names_are_those_of_older_trainers(ckpt: Path) -> None:
    model = srdiff(UNET, ENCODER)["state_dict"]["model"]
    flat = saved(
        ckpt.with_name("flat.ckpt"), {"state_dict": {f"model.{name}": t for name, t in model.items()}}
    )
    made, again = convert(ckpt), convert(flat)
    assert again.method == made.method
    assert all(torch.equal(t, again.model.state_dict()[name]) for name, t in made.model.state_dict().items())


def test_weight_normalisation_is_folded_into_the_weights(tmp_path: Path) -> None:
    """Against torch's own, on a convolution of the network."""
    data = srdiff(UNET, ENCODER)
    model, name = data["state_dict"]["model"], "denoise_fn.downs.0.0.block1.block.1.weight"
    layer = torch.nn.Conv2d(3, 4, 3)
    with torch.no_grad():
        layer.weight.copy_(model[name])
    normed = torch.nn.utils.parametrizations.weight_norm(layer)
    length, direction = normed.parametrizations.weight.original0, normed.parametrizations.weight.original1
    with torch.no_grad():
        length *= 1.5
    del model[name]
    model |= {f"{name}_g": length.detach(), f"{name}_v": direction.detach()}
    stage = convert(saved(tmp_path / "a.ckpt", data))
    found = stage.model.network.state_dict()["downs.0.0.block1.block.1.weight"]
    torch.testing.assert_close(found, normed.weight.detach())


def base(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda c: c.pop(name)


CONTRADICTIONS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda c: c.update(sr_scale=8), "sr_scale: 8 contradicts the weights, which say 4"),
    (lambda c: c.update(hidden_size=64), "hidden_size: 64 contradicts the weights, which say 4"),
    (
        lambda c: c.update(unet_dim_mults="1|2|2"),
        "unet_dim_mults: '1|2|2' contradicts the weights, which say '1|2'",
    ),
    (lambda c: c.update(rrdb_num_feat=32), "rrdb_num_feat: 32 contradicts"),
    (lambda c: c.update(rrdb_num_block=8), "rrdb_num_block: 8 contradicts"),
    (
        lambda c: c.update(timesteps=100),
        "timesteps: Cosine(rows=100, offset=0.008, clip=0.999) is not the noise",
    ),
    (
        lambda c: c.update(beta_s=0.1),
        "timesteps: Cosine(rows=20, offset=0.1, clip=0.999) is not the noise table",
    ),
    (lambda c: c.update(beta_schedule="linear"), "beta_schedule: 'linear' is not supported, only 'cosine'"),
    (lambda c: c.update(use_attn=True), "use_attn: true is not supported, only false"),
    (lambda c: c.update(up_input=True), "up_input: true is not supported, only false"),
    (lambda c: c.update(use_rrdb=False), "use_rrdb: false is not supported, only true"),
    (lambda c: c.update(res=False), "res: false is not supported, only true"),
    (lambda c: c.update(res_rescale=0), "res_rescale: 0 is not positive"),
    (lambda c: c.update(clip_input=1), "clip_input: 1 is not true or false"),
    (lambda c: c.update(loss_type="l3"), "loss_type: 'l3' is not one of l1, l2, ssim"),
    (base("res_rescale"), "res_rescale: missing"),
]


@pytest.mark.parametrize(("change", "expected"), CONTRADICTIONS, ids=[text for _, text in CONTRADICTIONS])
def test_a_configuration_that_cannot_be_honoured_is_refused_by_field(
    ckpt: Path, change: Callable[[dict[str, Any]], object], expected: str
) -> None:
    config = settings(ckpt, change)
    with pytest.raises(ConfigError) as caught:
        convert(ckpt, config=config)
    assert str(caught.value).startswith(f"{config}: {expected}")


def test_a_scale_that_contradicts_the_weights_is_refused(ckpt: Path) -> None:
    assert convert(ckpt, scale=4).method.scale == 4
    with pytest.raises(ConfigError, match="--scale: 8 contradicts the weights, which say 4"):
        convert(ckpt, scale=8)
    with pytest.raises(ConfigError, match="--groups: this network has nothing that it would change"):
        convert(ckpt, groups=8)


SWITCHES = [
    ("denoise_fn.mid_attn.fn.g", "use_attn: true is not supported, only false"),
    ("denoise_fn.up_proj.1.weight", "up_input: true is not supported, only false"),
]


@pytest.mark.parametrize(("name", "expected"), SWITCHES)
def test_switches_that_leave_a_trace_are_refused(tmp_path: Path, name: str, expected: str) -> None:
    data = srdiff(UNET, ENCODER)
    data["state_dict"]["model"][name] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=expected):
        convert(saved(tmp_path / "a.ckpt", data))


def test_without_its_encoder_it_is_not_whole(tmp_path: Path) -> None:
    data = {"model": stored(cosine(20)) | weights(UNET)}
    with pytest.raises(CheckpointError, match=r"it has no encoder, whose tensors' names begin with rrdb\."):
        convert(saved(tmp_path / "a.ckpt", data))


def test_at_scale_2_the_doublings_that_nobody_needs_are_left_out(tmp_path: Path) -> None:
    """That code's encoder makes its picture 4 times as large, or 8; SRDiff never looks at it."""
    network, encoder = CASES[2]
    data = srdiff(network, encoder)
    as_saved = weights(replace(encoder, scale=4), "rrdb.", seed=1)
    data["state_dict"]["model"] |= as_saved
    stage = convert(saved(tmp_path / "a.ckpt", data))
    assert stage.method.source == Encoded(encoder, MatlabBicubic(), frozen=True)
    found = stage.model.state_dict()
    kept = {name for name in as_saved if "upconv2" not in name}
    assert {name.replace("source.encoder.", "rrdb.") for name in found if "encoder" in name} == kept
    assert all(torch.equal(found[name.replace("rrdb.", "source.encoder.")], as_saved[name]) for name in kept)


def test_an_encoder_of_other_features_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.ckpt", srdiff(UNET, replace(ENCODER, blocks=5)))
    with pytest.raises(ConfigError, match=r"a\.ckpt: network\.features: 4 is not what the source makes, 8"):
        convert(path)


def test_the_table_that_is_not_smooth_is_refused(tmp_path: Path) -> None:
    """`linear` in its code, where the last beta becomes 0.999."""
    betas = np.append(np.linspace(1e-4, 0.02, 20)[:-1], 0.999)
    with pytest.raises(CheckpointError, match="its noise table of 20 rows is none of"):
        convert(saved(tmp_path / "a.ckpt", srdiff(UNET, ENCODER, betas)))


@pytest.mark.parametrize("encoder", [ENCODER, RRDB(3, 8, 3, 4, 8), RRDB(1, 6, 2, 23, 4)], ids=str)
def test_the_encoder_alone_becomes_a_regression(tmp_path: Path, encoder: RRDB) -> None:
    """ESRGAN's generators have the same layout."""
    trained = saved(tmp_path / "a.ckpt", {"state_dict": {"model": weights(encoder, "")}, "global_step": 7})
    plain = saved(tmp_path / "RRDB_ESRGAN_x4.pth", weights(encoder, ""))
    for path in (trained, plain):
        stage = convert(path)
        assert (stage.method.network, stage.method.source) == (RRDBNetwork(encoder), Low(MatlabBicubic()))
        assert stage.method.scale == encoder.scale
        found, wanted = stage.model.state_dict(), weights(encoder, "network.rrdb.")
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    with pytest.raises(ConfigError, match="--scale: 2 contradicts"):
        convert(plain, scale=2)
