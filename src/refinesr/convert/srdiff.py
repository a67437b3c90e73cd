"""Checkpoints of the official SRDiff code: the whole, or the encoder that is trained before."""

import re
from dataclasses import replace

import torch

from refinesr.convert.configs import Config
from refinesr.convert.conversion import Conversion, ConvertOptions, as_published, naming_file, stored_table
from refinesr.convert.selection import SourceWeights
from refinesr.convert.tables import fits
from refinesr.convert.unets import UNET, rrdb, srdiff_unet
from refinesr.diffusion.labels import LogSigma, Timestep
from refinesr.diffusion.levels import Discrete, Independent, OneLevel
from refinesr.diffusion.precond import Blind, Eps
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Cosine, Explicit, Schedule
from refinesr.errors import CheckpointError, ConfigError
from refinesr.images.reduction import Bicubic
from refinesr.images.resize import MatlabBicubic
from refinesr.method import Method, Sampling
from refinesr.model import Pixels, Residual
from refinesr.nets.rrdb import RRDB, RRDBNetwork
from refinesr.nets.srdiff_unet import SRDiffUNet
from refinesr.sources import Encoded, Low

MARK = r"denoise_fn\.cond_proj\."
ENCODER_MARK = r"RRDB_trunk\.\d+\.RDB1\."

ENCODER = "rrdb."

GAIN = 2.0
"""res_rescale in all public configurations."""

LARGE = 512
"""Pixels a side of a tile's result, which only memory limits."""

LOSSES = {"l1": 1, "l2": 2, "ssim": 1}


def convert_srdiff(found: SourceWeights, asked: ConvertOptions) -> Conversion:
    asked.unused("groups", "head_channels")
    config = asked.config
    check_supported(found, config)
    with naming_file(found.path):
        network, encoder = srdiff_unet(found), rrdb(found, ENCODER)
    check_config(config, asked.scale, network, encoder)
    noise, gain = table(found, config), config.number("res_rescale", None if config.given else GAIN)
    if not gain > 0:
        raise config.error("res_rescale", f"{gain:g} is not positive")
    target = Residual(gain, config.flag("clip_input"))
    with naming_file(found.path):
        row = method(network, encoder, noise, target)
    source = Encoded(encoder, MatlabBicubic(), frozen=config.flag("fix_rrdb"))
    assumed = () if config.given else (f"residuals times {GAIN:g}, as in all public configurations",)
    return Conversion(replace(row, source=source, p=loss(config)), "SRDiff", assumed)


def method(network: SRDiffUNet, encoder: RRDB, table: Schedule, target: Residual) -> Method:
    """As its code trains and samples.  Its loader's `/ 256` before enlarging is no part of it."""
    return Method(
        scale=network.scale,
        channels=network.channels,
        network=network,
        source=Encoded(encoder, MatlabBicubic()),
        precond=Eps(),
        label=Timestep(table),
        levels=Discrete(table),
        spread=Independent(),
        target=target,
        degradation=Bicubic(network.scale, MatlabBicubic()),
        sampling=as_published(table),
        tile=max(1, LARGE // network.scale),
    )


def check_config(config: Config, scale: int | None, network: SRDiffUNet, encoder: RRDB) -> None:
    """Raises ConfigError where settings differ from the networks."""
    if scale not in (None, network.scale):
        raise ConfigError(f"--scale: {scale} contradicts the weights, which say {network.scale}")
    config.agree("sr_scale", network.scale)
    config.agree("hidden_size", network.width)
    config.agree("rrdb_num_feat", encoder.width)
    config.agree("rrdb_num_block", encoder.blocks)
    written = "|".join(map(str, network.multipliers))
    if str(config.get("unet_dim_mults") or written) != written:  # a single one is a number to YAML
        config.agree("unet_dim_mults", written)


def check_supported(found: SourceWeights, config: Config) -> None:
    """Raises ConfigError or CheckpointError for switches that no public configuration sets."""
    for name, wanted in {"use_rrdb": True, "use_attn": False, "up_input": False, "res": True}.items():
        config.only(name, wanted)
    for start, name in {"mid_attn.": "use_attn", "up_proj.": "up_input"}.items():
        if found.has(UNET + start):
            raise CheckpointError(f"{found.path}: {name}: true is not supported, only false")
    if not found.has(ENCODER):
        raise CheckpointError(f"{found.path}: there is no encoder in it, whose tensors begin with {ENCODER}")


def table(found: SourceWeights, config: Config) -> Schedule:
    """Raises ConfigError if the settings are of another one than is stored."""
    if config.get("beta_schedule") is None or config.get("timesteps") is None:
        return stored_table(found)
    config.only("beta_schedule", "cosine")
    configured = Cosine(config.whole("timesteps"), config.number("beta_s", 0.008))
    if found.buffers and not fits(configured, found.buffers):
        rows = len(next(iter(found.buffers.values())))
        raise config.error(
            "timesteps", f"{configured} is not the noise table in {found.path.name}, of {rows} rows"
        )
    return configured


def loss(config: Config) -> int:
    named = config.get("loss_type")
    if named is not None and named not in LOSSES:
        raise config.error("loss_type", f"{named!r} is not one of {', '.join(LOSSES)}")
    return LOSSES[named or "l1"]


def normalized_weights(found: SourceWeights) -> SourceWeights:
    """Without weight normalisation (`use_wn`), and without the doublings that its code makes at scale 2 too.

    Directions and lengths of weights become the weights.  At scale 2 the encoder's own picture would be four
    times as large; what SRDiff is shown comes before the doublings.
    """
    weights = dict(found.weights)
    if f"{UNET}cond_proj.weight" in weights:
        scale = srdiff_unet(found).scale
        for name in [name for name in weights if re.match(rf"{ENCODER}upconv\d", name)]:
            if 2 ** int(name.removeprefix(f"{ENCODER}upconv")[0]) > scale:
                del weights[name]
    for name in [name for name in weights if re.search(r"\.weight_g$", name)]:
        start = name.removesuffix("_g")
        if f"{start}_v" in weights:
            length, direction = weights.pop(name), weights.pop(f"{start}_v")
            norm = torch.linalg.vector_norm(direction.flatten(1), dim=1).view_as(length)
            weights[start] = direction * (length / norm)
    return replace(found, weights=weights)


def convert_encoder(found: SourceWeights, asked: ConvertOptions) -> Conversion:
    """Low to high at once, as ESRGAN's generators also are: what `train --encoder` begins with."""
    asked.unused("groups", "head_channels")
    with naming_file(found.path):
        encoder = rrdb(found, "")
    if asked.scale not in (None, encoder.scale):
        raise ConfigError(f"--scale: {asked.scale} contradicts the weights, which say {encoder.scale}")
    asked.config.agree("sr_scale", encoder.scale)
    asked.config.agree("hidden_size", encoder.width)
    asked.config.agree("num_block", encoder.blocks)
    row = Method(
        scale=encoder.scale,
        channels=encoder.channels,
        network=RRDBNetwork(encoder),
        source=Low(MatlabBicubic()),
        precond=Blind(),
        label=LogSigma(),  # which it does not look at
        levels=OneLevel(1.0),
        target=Pixels(),
        p=1,
        degradation=Bicubic(encoder.scale, MatlabBicubic()),
        sampling=Sampling(Ancestral(0.0), Explicit((1.0,)), steps=1),
        tile=max(1, LARGE // encoder.scale),
    )
    return Conversion(row, "SRDiff's encoder alone, a regression")
