"""The public Palette code: one call, a restoration, an inpainting, with its own weights and draws.

There is no room for its numbers here: REFINESR_REFERENCE names the folder that has them.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from recorded import arrays, found, relative
from torch import Tensor, nn

from refinesr.diffusion.labels import Gamma
from refinesr.diffusion.levels import Continuous
from refinesr.diffusion.precond import Eps
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Even, Linear
from refinesr.images.tasks import Grey
from refinesr.method import Method, Sampling
from refinesr.model import Pixels
from refinesr.nets.adm_unet import ADMUNet
from refinesr.sources import Upsampled
from refinesr.stage import Stage


def configured(config: dict[str, Any]) -> tuple[ADMUNet, Linear]:
    (network,) = config["model"]["which_networks"]
    unet, schedule = network["args"]["unet"], network["args"]["beta_schedule"]["test"]
    assert schedule["schedule"] == "linear"
    value = ADMUNet(
        channels=unet["out_channel"],
        image_channels=unet["in_channel"] - unet["out_channel"],
        width=unet["inner_channel"],
        multipliers=tuple(unet["channel_mults"]),
        blocks=unet["res_blocks"],
        attention=tuple(unet["attn_res"]),
        head_channels=unet["num_head_channels"],
        dropout=unet["dropout"],
    )
    return value, Linear(schedule["linear_start"], schedule["linear_end"], schedule["n_timestep"])


def published() -> Stage:
    """The published model as one of ours."""
    value, table = configured(json.loads(found("palette.json").read_text()))
    method = Method(
        scale=1,
        channels=value.channels,
        network=value,
        source=Upsampled(),
        precond=Eps(),
        label=Gamma(),
        levels=Continuous(table),
        target=Pixels(),
        degradation=Grey(),
        sampling=Sampling(Ancestral(1.0), Even(table), table.rows, clip=True),
    )
    model = method.build()
    load(model.network)
    return Stage(method, model)


def load(network: nn.Module) -> None:
    everything = torch.load(found("palette_Network.pth"), weights_only=True)
    inside = "denoise_fn."
    kept = {key.removeprefix(inside): value for key, value in everything.items() if key.startswith(inside)}
    network.eval().requires_grad_(False).load_state_dict(kept, strict=True)


def called(network: nn.Module) -> float:
    """One call: how far the output is from the recorded one."""
    recorded = arrays("palette")
    image, x = recorded["unet_input"].chunk(2, dim=1)
    return relative(network(x, recorded["unet_level"].flatten(), image), recorded["unet_output"])


def chain(low: Tensor, *draws: Tensor) -> Tensor:
    """The result, from these draws, all of which are asked for."""
    rest: Iterator[Tensor] = iter(draws)
    *_, last = published()(low, lambda like: next(rest))
    assert next(rest, None) is None
    return last.image


def test_one_call_agrees_with_the_published_code() -> None:
    """1e-5 leaves room for another order of summation in float32; measured: 8e-7."""
    assert called(published().model.network) < 1e-5


@pytest.mark.parametrize("head_channels", [0, 8])
def test_heads_leave_no_trace_in_the_weights_and_matter(head_channels: int) -> None:
    other = replace(published().method.network, head_channels=head_channels).build()
    load(other)
    assert called(other) > 1e-3


def test_a_restoration_agrees_with_the_published_code() -> None:
    """1e-4 leaves room for other orders of summation over 20 calls; measured: 1.6e-6."""
    recorded = arrays("palette")
    image = chain(recorded["condition"], *recorded["noise"])
    assert relative(image, recorded["sample"]) < 1e-4


def test_an_inpainting_agrees_with_the_published_code() -> None:
    """The mask goes behind the picture; measured: 4.4e-6."""
    recorded = arrays("palette")
    low = torch.cat((recorded["inpaint_condition"], recorded["inpaint_mask"]), 1)
    image = chain(low, recorded["inpaint_start"], *recorded["inpaint_noise"])
    assert relative(image, recorded["inpaint_sample"]) < 1e-4


def test_where_a_picture_is_known_the_start_does_not_matter() -> None:
    """And what comes out there is what went in, to the bit."""
    recorded = arrays("palette")
    mask, truth = recorded["inpaint_mask"], recorded["inpaint_truth"]
    low = torch.cat((recorded["inpaint_condition"], mask), 1)
    start = recorded["inpaint_start"] + 5 * (1 - mask)
    image = chain(low, start, *recorded["inpaint_noise"])
    assert relative(image, recorded["inpaint_sample"]) < 1e-4
    known = (mask == 0).expand_as(truth)
    assert torch.equal(image[known], truth[known])
