"""One network call of the public SR3 code: its own weights, its own numbers."""

import dataclasses
import json

import pytest
import torch
from recorded import arrays, found, relative
from torch import Tensor

from refinesr.nets.sr3_unet import NoiseLevel, SR3UNet, TimeStep

EMBEDDINGS: dict[str, NoiseLevel | TimeStep] = {"sr3": NoiseLevel(), "ddpm": TimeStep()}


def configured(name: str) -> SR3UNet:
    model = json.loads(found(f"{name}.json").read_text())["model"]
    unet = model["unet"]
    return SR3UNet(
        channels=unet["out_channel"],
        image_channels=unet["in_channel"] - unet["out_channel"],
        width=unet["inner_channel"],
        multipliers=tuple(unet["channel_multiplier"]),
        blocks=unet["res_blocks"],
        attention=tuple(unet["attn_res"]),
        size=model["diffusion"]["image_size"],
        groups=unet["norm_groups"],
        dropout=unet["dropout"],
        embedding=EMBEDDINGS[model["which_model_G"]],
    )


def weights(name: str) -> dict[str, Tensor]:
    everything = torch.load(found(f"{name}_gen.pth"), weights_only=True)
    inside = "denoise_fn."
    return {key.removeprefix(inside): value for key, value in everything.items() if key.startswith(inside)}


@pytest.mark.parametrize("name", ["janspiry_sr3", "janspiry_ddpm", "janspiry_sr3_unconditional"])
def test_one_call_agrees_with_the_published_code(name: str) -> None:
    """1e-5 leaves room for another order of summation in float32; measured: 6e-7."""
    value = configured(name)
    network = value.build().eval()
    network.load_state_dict(weights(name), strict=True)
    recorded = arrays(name)
    image, x = recorded["unet_input"].tensor_split([value.image_channels], dim=1)
    label = recorded["unet_level"].flatten().float()

    with torch.inference_mode():
        output = network(x, label, image) if value.image_channels else network(x, label)

    assert relative(output, recorded["unet_output"]) < 1e-5


def test_a_checkpoint_of_the_other_variant_is_refused() -> None:
    value, stored = configured("janspiry_sr3"), weights("janspiry_sr3")
    value.build().load_state_dict(stored, strict=True)
    other = dataclasses.replace(value, embedding=TimeStep())
    with pytest.raises(RuntimeError, match="time_mlp"):
        other.build().load_state_dict(stored, strict=True)
