"""Converts checkpoints of the public Palette code, with guided diffusion's network or SR3's."""

from dataclasses import replace
from typing import cast

from refinesr.convert import sr3
from refinesr.convert.configs import Config
from refinesr.convert.conversion import (
    Conversion,
    ConvertOptions,
    UnrecordedField,
    as_published,
    naming_file,
    noise_tables,
    scale_of,
    tile_of,
)
from refinesr.convert.selection import SourceWeights
from refinesr.convert.sr3 import SettingNames, dropout
from refinesr.convert.unets import adm_unet
from refinesr.diffusion.labels import Gamma
from refinesr.diffusion.levels import Continuous, Independent
from refinesr.diffusion.precond import Eps
from refinesr.diffusion.schedule import Linear, Schedule
from refinesr.errors import ConfigError
from refinesr.images.degrade import Degradation
from refinesr.images.masks import FreeForm
from refinesr.images.reduction import Bicubic
from refinesr.images.resize import PillowBicubic
from refinesr.images.tasks import Grey, Inpainting, Uncropping
from refinesr.method import Method
from refinesr.model import Pixels
from refinesr.nets.adm_unet import ADMUNet
from refinesr.nets.sr3_unet import SR3UNet
from refinesr.sources import Blank, Upsampled

MARK = r"denoise_fn\.input_blocks\."
TABLE = "gammas"
"""A buffer of the noise table that has this name in Palette's code only."""

NETWORK = "model.which_networks.0.args"
UNET = f"{NETWORK}.unet"
TRAINED, SAMPLED = f"{NETWORK}.beta_schedule.train", f"{NETWORK}.beta_schedule.test"
NAMES = SettingNames(UNET, f"{UNET}.channel_mults", f"{UNET}.image_size")

SIZE = 256
"""Default size of training images, in pixels: that of the paper."""

HEADS = 32
"""Channels of an attention head in all public configurations."""

PUBLISHED = (64, (1, 2, 4, 8), 2, ())
"""Width, multipliers, blocks and factors with attention of all public configurations."""

PUBLISHED_TABLES = Linear(1e-6, 1e-2, 2000), Linear(1e-4, 0.09, 1000)
"""The noise tables of training and sampling in all public configurations."""


def convert_palette(source: SourceWeights, options: ConvertOptions) -> Conversion:
    options.unused("groups")
    config = options.config
    config.require(NETWORK, "the public Palette code")
    config.allow_only(f"{NETWORK}.module_name", "guided_diffusion")
    network = network_of(source, config)
    trained, sampled, assumed_table = both_tables(source, config, is_published(network))
    scale = scale_of(Config(), "", options.scale)
    size = config.integer(NAMES.size, SIZE)
    with naming_file(source.path):
        method = palette_method(network, scale, trained, sampled, size, task(config, network.channels, scale))
    method, assumed_heads = with_heads(source, options, method)
    return Conversion(method, "Palette", (*assumed_table, *assumed_heads))


def convert_palette_with_sr3(source: SourceWeights, options: ConvertOptions) -> Conversion:
    """Converts a model with SR3's network, here conditioned on gamma; in SR3 it is on the root of gamma."""
    options.unused("head_channels")
    config = options.config
    config.require(NETWORK, "the public Palette code")
    config.allow_only(f"{NETWORK}.module_name", "sr3")
    network, assumed_size = sr3.network_of(source, config, NAMES)
    trained, sampled, assumed_table = both_tables(source, config, False)
    scale = scale_of(Config(), "", options.scale)
    with naming_file(source.path):
        method = palette_method(
            network, scale, trained, sampled, network.size, task(config, network.channels, scale)
        )
    method, assumed_groups = sr3.with_groups(source, options, method, NAMES)
    assumed = (*assumed_size, *assumed_table, *assumed_groups)
    return Conversion(method, "Palette with SR3's network", assumed)


def palette_method(
    network: ADMUNet | SR3UNet, scale: int, trained: Schedule, sampled: Schedule, size: int, task: Degradation
) -> Method:
    """Training and sampling of the public code: L2, conditioned on gamma, all rows of the table `test`."""
    conditional = network.image_channels > 0
    return Method(
        scale=scale,
        channels=network.channels,
        network=network,
        source=Upsampled(PillowBicubic()) if conditional else Blank(),
        precond=Eps(),
        label=Gamma(),
        levels=Continuous(trained),
        spread=Independent(),
        target=Pixels(),
        p=2,
        degradation=task,
        sampling=as_published(sampled),
        tile=tile_of(network, size, scale),
    )


def task(config: Config, channels: int, scale: int) -> Degradation:
    """The degradation of the configured task, which only training and evaluation use."""
    named = config.get("model.which_model.args.task") if (channels, scale) == (3, 1) else None
    match named:
        case "colorization":
            return Grey()
        case "inpainting":
            return Inpainting(FreeForm())
        case "uncropping":
            return Uncropping()
    return Bicubic(scale, PillowBicubic())


def network_of(source: SourceWeights, config: Config) -> ADMUNet:
    """The network without its heads.  Raises ConfigError if the configuration contradicts the weights."""
    with naming_file(source.path):
        network = adm_unet(source)
    config.check_equal(f"{UNET}.in_channel", network.image_channels + network.channels)
    config.check_equal(f"{UNET}.out_channel", network.channels)
    config.check_equal(f"{UNET}.inner_channel", network.width)
    config.check_equal(NAMES.multipliers, network.multipliers)
    config.check_equal(f"{UNET}.res_blocks", network.blocks)
    for name, supported in {
        "use_scale_shift_norm": True,
        "resblock_updown": True,
        "use_new_attention_order": False,
    }.items():
        config.allow_only(f"{UNET}.{name}", supported)
    return replace(with_attention(network, config), dropout=dropout(config, UNET))


def with_attention(network: ADMUNet, config: Config) -> ADMUNet:
    """Sets the configured factors of attention, which may include factors that no level has."""
    listed = config.get(f"{UNET}.attn_res")
    if listed is None:
        return network
    factors = [2**level for level in range(len(network.multipliers))]
    if not isinstance(listed, list) or [f for f in factors if f in listed] != list(network.attention):
        actual = list(network.attention) or "none"
        raise config.error(
            f"{UNET}.attn_res", f"{listed} contradicts the weights, which have it at factors {actual}"
        )
    return replace(network, attention=tuple(listed))


def is_published(network: ADMUNet) -> bool:
    return (network.width, network.multipliers, network.blocks, network.attention) == PUBLISHED


def both_tables(
    source: SourceWeights, config: Config, published: bool
) -> tuple[Schedule, Schedule, tuple[str, ...]]:
    """The noise tables of training and sampling, and assumptions; checkpoints do not contain the latter."""
    trained, sampled = noise_tables(source, config, TRAINED, SAMPLED)
    if config.get(SAMPLED) is not None:
        return trained, sampled, ()
    if published and trained == PUBLISHED_TABLES[0]:
        return *PUBLISHED_TABLES, (
            "sampled as in the public configurations, beta from 1e-4 to 0.09 in 1000 rows",
        )
    return trained, trained, ("sampled with the table it was trained with",)


def with_heads(
    source: SourceWeights, options: ConvertOptions, method: Method
) -> tuple[Method, tuple[str, ...]]:
    network = cast(ADMUNet, method.network)
    heads = UnrecordedField(
        field="head_channels",
        words="channels of an attention head",
        given=heads_given(options, network),
        published=HEADS if is_published(network) else None,
        option=f"--head-channels N (its num_head_channels, {HEADS} in the public ones; 0: a single head)",
    )
    return heads.settle(source, method)


def heads_given(options: ConvertOptions, network: ADMUNet) -> int | None:
    """The channels given by option or configuration.  Raises ConfigError if the two contradict."""
    config = options.config
    if config.get(UNET) is None:
        return options.head_channels
    configured = heads_configured(config, network)
    if options.head_channels not in (None, configured):
        raise ConfigError(f"--head-channels: {options.head_channels} contradicts {config.path}: {configured}")
    return configured


def heads_configured(config: Config, network: ADMUNet) -> int:
    """Channels of an attention head by the configuration; 0 for a single head.

    If `num_head_channels` is -1, the code's default, the number of heads is `num_heads`, by default 1.
    Raises ConfigError for several heads over attention of different widths, which is not supported.
    """
    channels = config.integer(f"{UNET}.num_head_channels", -1, least=-1)
    if channels > 0:
        return channels
    heads = config.integer(f"{UNET}.num_heads", 1)
    config.allow_only(f"{UNET}.num_heads_upsample", -1)
    if heads == 1:
        return 0
    widths = set(attention_widths(network))
    if len(widths) > 1:
        raise config.error(
            f"{UNET}.num_heads", f"{heads} for attention over {sorted(widths)} channels alike; only 1 is"
        )
    return widths.pop() // heads


def attention_widths(network: ADMUNet) -> list[int]:
    """Channels of each level with attention, and of the middle block."""
    widths = network.widths
    return [width for level, width in enumerate(widths) if network.attends(level)] + widths[-1:]
