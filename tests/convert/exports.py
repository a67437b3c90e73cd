"""Networks of ours written down as the public codes save theirs: tensors by their names, tables as buffers.

The buffers are computed here as those codes do it, by numpy and in float64.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from methods import awake
from torch import Tensor

from refinesr.nets.adm_unet import ADMUNet
from refinesr.nets.rrdb import RRDB
from refinesr.nets.sr3_unet import SR3UNet, TimeStep
from refinesr.nets.srdiff_unet import SRDiffUNet

Floats = npt.NDArray[np.float64]
Weights = dict[str, Tensor]

LINEAR = np.linspace(1e-4, 0.1, 20)


def cosine(rows: int, offset: float = 0.008) -> Floats:
    """As SRDiff's code writes it."""
    x = np.linspace(0, rows + 1, rows + 1)
    gammas = np.cos(((x / (rows + 1)) + offset) / (1 + offset) * np.pi * 0.5) ** 2
    gammas = gammas / gammas[0]
    return np.clip(1 - gammas[1:] / gammas[:-1], 0, 0.999)


COSINE = cosine(20)


def stored(betas: Floats) -> Weights:
    """The buffers of the public SR3 code, and of SRDiff's."""
    gammas = np.cumprod(1 - betas)
    before = np.append(1.0, gammas[:-1])
    variance = betas * (1 - before) / (1 - gammas)
    with np.errstate(divide="ignore"):
        buffers = {
            "betas": betas,
            "alphas_cumprod": gammas,
            "alphas_cumprod_prev": before,
            "sqrt_alphas_cumprod": np.sqrt(gammas),
            "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - gammas),
            "log_one_minus_alphas_cumprod": np.log(1 - gammas),
            "sqrt_recip_alphas_cumprod": np.sqrt(1 / gammas),
            "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / gammas - 1),
            "posterior_variance": variance,
            "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
            "posterior_mean_coef1": betas * np.sqrt(before) / (1 - gammas),
            "posterior_mean_coef2": (1 - before) * np.sqrt(1 - betas) / (1 - gammas),
        }
    return {name: torch.tensor(values, dtype=torch.float32) for name, values in buffers.items()}


def stored_by_palette(betas: Floats) -> Weights:
    """Fewer of them, not the betas themselves, some under other names."""
    everything = stored(betas)
    kept = {"alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod"}
    kept |= {"posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2"}
    return {name.replace("alphas_cumprod", "gammas"): everything[name] for name in everything if name in kept}


def weights(
    network: SR3UNet | ADMUNet | SRDiffUNet | RRDB, start: str = "denoise_fn.", seed: int = 0
) -> Weights:
    """Random ones."""
    module = awake(network.build(), seed)
    return {start + name: tensor.clone() for name, tensor in module.state_dict().items()}


def hollow(network: SR3UNet | ADMUNet) -> Weights:
    """Zeros that take no memory, for networks of the published sizes."""
    with torch.device("meta"):
        wanted = network.build().state_dict()
    return {f"denoise_fn.{name}": torch.zeros(()).expand(tensor.shape) for name, tensor in wanted.items()}


def srdiff(network: SRDiffUNet, encoder: RRDB, betas: Floats = COSINE) -> dict[str, Any]:
    """All that its trainer saves."""
    model = stored(betas) | weights(network) | weights(encoder, "rrdb.", seed=1)
    return {"global_step": 1000, "optimizer_states": [], "state_dict": {"model": model}}


def janspiry_settings(network: SR3UNet, **changes: object) -> dict[str, Any]:
    """In the public code's own arrangement."""
    table = {"schedule": "linear", "n_timestep": 20, "linear_start": 1e-4, "linear_end": 0.1}
    return {
        "name": "http://not-a-comment",
        "datasets": {"train": {"l_resolution": 16, "r_resolution": 64}},
        "model": {
            "which_model_G": "ddpm" if isinstance(network.embedding, TimeStep) else "sr3",
            "unet": {
                "in_channel": network.channels + network.image_channels,
                "out_channel": network.channels,
                "inner_channel": network.width,
                "norm_groups": network.groups,
                "channel_multiplier": list(network.multipliers),
                "attn_res": list(network.attention),
                "res_blocks": network.blocks,
                "dropout": network.dropout,
            },
            "beta_schedule": {"train": dict(table), "val": dict(table)},
            "diffusion": {
                "image_size": network.size,
                "channels": network.channels,
                "conditional": network.image_channels > 0,
            },
        },
    } | changes


def palette_settings(network: ADMUNet) -> dict[str, Any]:
    table = {"schedule": "linear", "n_timestep": 20, "linear_start": 1e-4, "linear_end": 0.1}
    unet = {
        "image_size": 32,
        "in_channel": network.channels + network.image_channels,
        "out_channel": network.channels,
        "inner_channel": network.width,
        "channel_mults": list(network.multipliers),
        "attn_res": list(network.attention),
        "num_head_channels": network.head_channels,
        "res_blocks": network.blocks,
        "dropout": network.dropout,
    }
    args = {
        "module_name": "guided_diffusion",
        "unet": unet,
        "beta_schedule": {"train": dict(table), "test": dict(table)},
    }
    return {"model": {"which_networks": [{"name": ["models.network", "Network"], "args": args}]}}


def srdiff_settings(network: SRDiffUNet, encoder: RRDB) -> dict[str, Any]:
    return {
        "sr_scale": network.scale,
        "hidden_size": network.width,
        "unet_dim_mults": "|".join(map(str, network.multipliers)),
        "rrdb_num_feat": encoder.width,
        "rrdb_num_block": encoder.blocks,
        "timesteps": 20,
        "beta_schedule": "cosine",
        "beta_s": 0.008,
        "res": True,
        "res_rescale": 2.0,
        "clip_input": True,
        "fix_rrdb": True,
        "use_rrdb": True,
        "use_attn": False,
        "use_wn": False,
        "up_input": False,
        "loss_type": "l1",
    }


def written(
    path: Path, settings: dict[str, Any], change: Callable[[dict[str, Any]], object] | None = None
) -> Path:
    """JSON, which is YAML too, with a comment where JSON is to be commented."""
    if change is not None:
        change(settings)
    text = json.dumps(settings, indent=1)
    path.write_text(text if path.suffix == ".yaml" else text.replace("{", "{ // a comment", 1))
    return path


def saved(path: Path, data: object, **how: Any) -> Path:
    torch.save(data, path, **how)
    return path
