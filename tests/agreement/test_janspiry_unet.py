"""One network call of the public SR3 code: its own weights, its own numbers.

The files hold one image of each recorded chain.  Those not kept here (their weights are a megabyte each) are
looked for in the folder that REFINESR_REFERENCE names.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from refinesr.nets.sr3_unet import NoiseLevel, SR3UNet, TimeStep

HERE = Path(__file__).parent
FOLDERS = [HERE, Path(os.environ.get("REFINESR_REFERENCE", HERE))]
EMBEDDINGS: dict[str, NoiseLevel | TimeStep] = {"sr3": NoiseLevel(), "ddpm": TimeStep()}


def found(name: str) -> Path:
    for folder in FOLDERS:
        if (folder / f"{name}_gen.pth").exists():
            return folder / name
    pytest.skip(f"{name} is not among the numbers at hand; set REFINESR_REFERENCE")


def configured(config: dict[str, Any]) -> SR3UNet:
    model, unet = config["model"], config["model"]["unet"]
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


def weights(path: Path) -> dict[str, Tensor]:
    everything = torch.load(f"{path}_gen.pth", weights_only=True)
    inside = "denoise_fn."
    return {key.removeprefix(inside): value for key, value in everything.items() if key.startswith(inside)}


@pytest.mark.parametrize("name", ["janspiry_sr3", "janspiry_ddpm", "janspiry_sr3_unconditional"])
def test_one_call_agrees_with_the_published_code(name: str) -> None:
    """1e-5 leaves room for another order of summation in float32; measured: 6e-7."""
    path = found(name)
    value = configured(json.loads(path.with_suffix(".json").read_text()))
    network = value.build().eval()
    network.load_state_dict(weights(path), strict=True)
    arrays = {key: torch.from_numpy(array) for key, array in np.load(f"{path}.npz").items()}
    image, x = arrays["unet_input"].tensor_split([value.image_channels], dim=1)
    label = arrays["unet_level"].flatten().float()

    with torch.inference_mode():
        output = network(x, label, image) if value.image_channels else network(x, label)

    error = (output - arrays["unet_output"]).abs().max() / arrays["unet_output"].abs().max()
    assert error < 1e-5


def test_a_checkpoint_of_the_other_variant_is_refused() -> None:
    network = SR3UNet(width=16, multipliers=(1, 2, 2), blocks=1, attention=(8,), size=32, groups=8).build()
    network.load_state_dict(weights(HERE / "janspiry_sr3"), strict=True)
    with pytest.raises(RuntimeError, match="time_mlp"):
        network.load_state_dict(weights(HERE / "janspiry_ddpm"), strict=True)
