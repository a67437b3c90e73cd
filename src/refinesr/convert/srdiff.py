"""Converts checkpoints of the official SRDiff code: whole models, or pretrained encoders alone."""

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
"""The gain of residuals, `res_rescale`, in all public configurations."""

LARGE = 512
"""High-resolution pixels a side of a tile; the convolutional network has no limit but memory."""

LOSSES = {"l1": 1, "l2": 2, "ssim": 1}


def convert_srdiff(source: SourceWeights, options: ConvertOptions) -> Conversion:
    options.unused("groups", "head_channels")
    config = options.config
    check_supported(source, config)
    with naming_file(source.path):
        network, encoder = srdiff_unet(source), rrdb(source, ENCODER)
    check_config(config, options.scale, network, encoder)
    noise, gain = table(source, config), config.number("res_rescale", None if config.given else GAIN)
    if not gain > 0:
        raise config.error("res_rescale", f"{gain:g} is not positive")
    target = Residual(gain, config.flag("clip_input"))
    with naming_file(source.path):
        method = srdiff_method(network, encoder, noise, target)
    encoded = Encoded(encoder, MatlabBicubic(), frozen=config.flag("fix_rrdb"))
    assumed = () if config.given else (f"residuals times {GAIN:g}, as in all public configurations",)
    return Conversion(replace(method, source=encoded, p=loss_power(config)), "SRDiff", assumed)


def srdiff_method(network: SRDiffUNet, encoder: RRDB, table: Schedule, target: Residual) -> Method:
    """Training and sampling of the official code, without the division by 256 in its data loader."""
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
    """Raises ConfigError if settings contradict the networks or the scale."""
    if scale not in (None, network.scale):
        raise ConfigError(f"--scale: {scale} contradicts the weights, which say {network.scale}")
    config.check_equal("sr_scale", network.scale)
    config.check_equal("hidden_size", network.width)
    config.check_equal("rrdb_num_feat", encoder.width)
    config.check_equal("rrdb_num_block", encoder.blocks)
    written = "|".join(map(str, network.multipliers))
    if str(config.get("unet_dim_mults") or written) != written:  # YAML reads a single multiplier as a number
        config.check_equal("unet_dim_mults", written)


def check_supported(source: SourceWeights, config: Config) -> None:
    """Raises ConfigError or CheckpointError for options that no public configuration uses."""
    for name, wanted in {"use_rrdb": True, "use_attn": False, "up_input": False, "res": True}.items():
        config.allow_only(name, wanted)
    for start, name in {"mid_attn.": "use_attn", "up_proj.": "up_input"}.items():
        if source.has(UNET + start):
            raise CheckpointError(f"{source.path}: {name}: true is not supported, only false")
    if not source.has(ENCODER):
        raise CheckpointError(f"{source.path}: it has no encoder, whose tensors' names begin with {ENCODER}")


def table(source: SourceWeights, config: Config) -> Schedule:
    """The noise table.  Raises ConfigError if the configured one differs from the stored one."""
    if config.get("beta_schedule") is None or config.get("timesteps") is None:
        return stored_table(source)
    config.allow_only("beta_schedule", "cosine")
    configured = Cosine(config.integer("timesteps"), config.number("beta_s", 0.008))
    if source.buffers and not fits(configured, source.buffers):
        rows = len(next(iter(source.buffers.values())))
        raise config.error(
            "timesteps", f"{configured} is not the noise table in {source.path.name}, of {rows} rows"
        )
    return configured


def loss_power(config: Config) -> int:
    """The exponent p of the configured loss: 2 for L2, else 1."""
    named = config.get("loss_type")
    if named is not None and named not in LOSSES:
        raise config.error("loss_type", f"{named!r} is not one of {', '.join(LOSSES)}")
    return LOSSES[named or "l1"]


def normalized_weights(source: SourceWeights) -> SourceWeights:
    """The weights without weight normalisation (`use_wn`) and without unused upsampling layers.

    Directions and lengths of weight normalisation are multiplied.  `upconv` layers of the encoder in excess
    of the scale are removed: at scale 2 the code makes the encoder's own image four times as large.  The
    features that the U-Net uses are taken before them.
    """
    weights = dict(source.weights)
    if f"{UNET}cond_proj.weight" in weights:
        scale = srdiff_unet(source).scale
        for name in [name for name in weights if re.match(rf"{ENCODER}upconv\d", name)]:
            if 2 ** int(name.removeprefix(f"{ENCODER}upconv")[0]) > scale:
                del weights[name]
    for name in [name for name in weights if re.search(r"\.weight_g$", name)]:
        start = name.removesuffix("_g")
        if f"{start}_v" in weights:
            length, direction = weights.pop(name), weights.pop(f"{start}_v")
            norm = torch.linalg.vector_norm(direction.flatten(1), dim=1).view_as(length)
            weights[start] = direction * (length / norm)
    return replace(source, weights=weights)


def convert_encoder(source: SourceWeights, options: ConvertOptions) -> Conversion:
    """Converts an encoder alone, for `train --encoder`.  Generators of ESRGAN have the same layout."""
    options.unused("groups", "head_channels")
    with naming_file(source.path):
        encoder = rrdb(source, "")
    if options.scale not in (None, encoder.scale):
        raise ConfigError(f"--scale: {options.scale} contradicts the weights, which say {encoder.scale}")
    options.config.check_equal("sr_scale", encoder.scale)
    options.config.check_equal("hidden_size", encoder.width)
    options.config.check_equal("num_block", encoder.blocks)
    method = Method(
        scale=encoder.scale,
        channels=encoder.channels,
        network=RRDBNetwork(encoder),
        source=Low(MatlabBicubic()),
        precond=Blind(),
        label=LogSigma(),  # ignored by the network
        levels=OneLevel(1.0),
        target=Pixels(),
        p=1,
        degradation=Bicubic(encoder.scale, MatlabBicubic()),
        sampling=Sampling(Ancestral(0.0), Explicit((1.0,)), steps=1),
        tile=max(1, LARGE // encoder.scale),
    )
    return Conversion(method, "SRDiff's encoder alone, a regression")
