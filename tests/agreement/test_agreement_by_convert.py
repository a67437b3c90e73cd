"""What published code was recorded doing, by the public road: convert, save, load, and the model at work."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from recorded import arrays, found, relative
from torch import Tensor

import refinesr
from refinesr.checkpoint import save_stage
from refinesr.convert import convert
from refinesr.diffusion.schedule import sigma_of
from refinesr.stage import Stage

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "janspiry_sr3": ("janspiry_sr3_gen.pth", ".json", {"groups": 8}),
    "janspiry_sr3_unconditional": ("janspiry_sr3_unconditional_gen.pth", ".json", {"groups": 8}),
    "janspiry_ddpm": ("janspiry_ddpm_gen.pth", ".json", {"groups": 8}),
    "palette": ("palette_Network.pth", ".json", {"head_channels": 16}),
    "srdiff_x4": ("srdiff_x4.ckpt", ".yaml", {}),
}
"""The checkpoint, the suffix of its configuration, and what is to be told without that."""

roads = pytest.mark.parametrize("road", ["configured", "told"])
names = pytest.mark.parametrize("name", CASES)


def loaded(name: str, road: str, folder: Path) -> Stage:
    checkpoint, suffix, untold = CASES[name]
    told = {"config": found(f"{name}{suffix}")} if road == "configured" else untold
    save_stage(convert(found(checkpoint), **told), folder / "model.safetensors")
    return refinesr.load(folder / "model.safetensors")


def low_of(recorded: dict[str, Tensor]) -> Tensor:
    """What the model is given; without a condition only its size counts."""
    for key in ("lr", "condition", "lr_upsampled"):
        if key in recorded:
            return recorded[key]
    return torch.zeros_like(recorded["sample"])


@roads
@names
def test_a_whole_chain_agrees_with_the_published_code(name: str, road: str, tmp_path: Path) -> None:
    """1e-4 leaves room for other orders of summation over 20 calls; measured: at most 2e-6."""
    recorded, stage = arrays(name, "noise", "sample"), loaded(name, road, tmp_path)
    draws: Iterator[Tensor] = iter(recorded["noise"])
    *_, last = stage(low_of(recorded), lambda like: next(draws))
    assert relative(last.image, recorded["sample"]) < 1e-4
    assert len(list(draws)) in (0, 1)  # some codes draw once more, and multiply it by zero


@roads
@names
def test_one_call_agrees_with_the_published_code(name: str, road: str, tmp_path: Path) -> None:
    """Of the network inside the model, with its own condition.  1e-5: another order of summation."""
    recorded, stage = arrays(name, "unet_input", "unet_output"), loaded(name, road, tmp_path)
    label = recorded["unet_t" if "unet_t" in recorded else "unet_level"].flatten().float()
    channels = stage.method.channels
    image, x = recorded["unet_input"].tensor_split([-channels], dim=1)
    low = recorded["lr"] if "lr" in recorded else image if image.numel() else x
    with torch.inference_mode():
        inputs = stage.model.condition(low).inputs()
        output = stage.model.network(x, label, **inputs)
    assert relative(output, recorded["unet_output"]) < 1e-5


@roads
@pytest.mark.parametrize("name", ["janspiry_sr3", "janspiry_sr3_unconditional", "palette"])
def test_a_denoiser_takes_the_noise_that_the_network_finds_away(name: str, road: str, tmp_path: Path) -> None:
    """x0 = x - sigma * eps, at levels between the rows of the table too."""
    recorded, stage = arrays(name, "unet_input", "unet_output"), loaded(name, road, tmp_path)
    told = recorded["unet_level"].flatten().double()
    sigma = sigma_of(told if name == "palette" else told**2)
    image, x = recorded["unet_input"].tensor_split([-stage.method.channels], dim=1)
    root = (1 + sigma**2).sqrt().float()[:, None, None, None]
    with torch.inference_mode():
        x0 = stage.model.denoiser(image if image.numel() else x)(root * x, sigma)
    wanted = root * x - sigma.float()[:, None, None, None] * recorded["unet_output"]
    assert relative(x0, wanted) < 1e-5


@roads
def test_an_inpainting_agrees_with_the_published_code(road: str, tmp_path: Path) -> None:
    recorded, stage = arrays("palette", "inpaint_sample"), loaded("palette", road, tmp_path)
    draws = iter((recorded["inpaint_start"], *recorded["inpaint_noise"]))
    low = torch.cat((recorded["inpaint_condition"], recorded["inpaint_mask"]), 1)
    *_, last = stage(low, lambda like: next(draws))
    assert relative(last.image, recorded["inpaint_sample"]) < 1e-4
