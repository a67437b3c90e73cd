"""Checkpoints of the public Palette code, with guided diffusion's network or, as it also can be, SR3's."""

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
from refinesr.convert.sr3 import Names, dropout
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
"""A buffer that other codes have by another name."""

NETWORK = "model.which_networks.0.args"
UNET = f"{NETWORK}.unet"
TRAINED, SAMPLED = f"{NETWORK}.beta_schedule.train", f"{NETWORK}.beta_schedule.test"
NAMES = Names(UNET, f"{UNET}.channel_mults", f"{UNET}.image_size")

SIZE = 256
"""Of training images, in pixels, where nothing tells it: the paper's."""

HEADS = 32
"""Channels of an attention head in all public configurations."""

PUBLISHED = (64, (1, 2, 4, 8), 2, ())
"""Width, multipliers, blocks and factors with attention of all public configurations."""

PUBLISHED_TABLES = Linear(1e-6, 1e-2, 2000), Linear(1e-4, 0.09, 1000)
"""What they train and sample with."""


def convert_palette(found: SourceWeights, asked: ConvertOptions) -> Conversion:
    asked.unused("groups")
    config = asked.config
    config.expect(NETWORK, "the public Palette code")
    config.only(f"{NETWORK}.module_name", "guided_diffusion")
    network = network_of(found, config)
    trained, sampled, assumed = both_tables(found, config, is_published(network))
    scale = scale_of(Config(), "", asked.scale)
    size = config.whole(NAMES.size, SIZE)
    with naming_file(found.path):
        row = method(network, scale, trained, sampled, size, task(config, network.channels, scale))
    row, headed = with_heads(found, asked, row)
    return Conversion(row, "Palette", (*assumed, *headed))


def convert_palette_with_sr3(found: SourceWeights, asked: ConvertOptions) -> Conversion:
    """Its other choice of a network, told gamma where SR3 is told the root of it."""
    asked.unused("head_channels")
    config = asked.config
    config.expect(NETWORK, "the public Palette code")
    config.only(f"{NETWORK}.module_name", "sr3")
    network, sized = sr3.network_of(found, config, NAMES)
    trained, sampled, assumed = both_tables(found, config, False)
    scale = scale_of(Config(), "", asked.scale)
    with naming_file(found.path):
        row = method(network, scale, trained, sampled, network.size, task(config, network.channels, scale))
    row, grouped = sr3.with_groups(found, asked, row, NAMES)
    return Conversion(row, "Palette with SR3's network", (*sized, *assumed, *grouped))


def method(
    network: ADMUNet | SR3UNet, scale: int, trained: Schedule, sampled: Schedule, size: int, task: Degradation
) -> Method:
    """As its code trains and samples: L2, told gamma, every row of the table `test`."""
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
    """Only training and evaluation look at it."""
    named = config.get("model.which_model.args.task") if (channels, scale) == (3, 1) else None
    match named:
        case "colorization":
            return Grey()
        case "inpainting":
            return Inpainting(FreeForm())
        case "uncropping":
            return Uncropping()
    return Bicubic(scale, PillowBicubic())


def network_of(found: SourceWeights, config: Config) -> ADMUNet:
    """The network but for its heads, its configuration compared with it."""
    with naming_file(found.path):
        network = adm_unet(found)
    config.agree(f"{UNET}.in_channel", network.image_channels + network.channels)
    config.agree(f"{UNET}.out_channel", network.channels)
    config.agree(f"{UNET}.inner_channel", network.width)
    config.agree(NAMES.multipliers, network.multipliers)
    config.agree(f"{UNET}.res_blocks", network.blocks)
    for name, supported in {
        "use_scale_shift_norm": True,
        "resblock_updown": True,
        "use_new_attention_order": False,
    }.items():
        config.only(f"{UNET}.{name}", supported)
    return replace(with_attention(network, config), dropout=dropout(config, UNET))


def with_attention(network: ADMUNet, config: Config) -> ADMUNet:
    """Attention at the factors that the configuration names, of which some may be no level's."""
    listed = config.get(f"{UNET}.attn_res")
    if listed is None:
        return network
    factors = [2**level for level in range(len(network.multipliers))]
    if not isinstance(listed, list) or [f for f in factors if f in listed] != list(network.attention):
        found = list(network.attention) or "none"
        raise config.error(
            f"{UNET}.attn_res", f"{listed} contradicts the weights, which have it at factors {found}"
        )
    return replace(network, attention=tuple(listed))


def is_published(network: ADMUNet) -> bool:
    return (network.width, network.multipliers, network.blocks, network.attention) == PUBLISHED


def both_tables(
    found: SourceWeights, config: Config, published: bool
) -> tuple[Schedule, Schedule, tuple[str, ...]]:
    """Of training and of sampling; of the latter there is no trace in a file."""
    trained, sampled = noise_tables(found, config, TRAINED, SAMPLED)
    if config.get(SAMPLED) is not None:
        return trained, sampled, ()
    if published and trained == PUBLISHED_TABLES[0]:
        return *PUBLISHED_TABLES, (
            "sampled as in the public configurations, beta from 1e-4 to 0.09 in 1000 rows",
        )
    return trained, trained, ("sampled with the table it was trained with",)


def with_heads(found: SourceWeights, asked: ConvertOptions, row: Method) -> tuple[Method, tuple[str, ...]]:
    network = cast(ADMUNet, row.network)
    untold = UnrecordedField(
        field="head_channels",
        words="channels of an attention head",
        given=heads_given(asked, network),
        published=HEADS if is_published(network) else None,
        option=f"--head-channels N (its num_head_channels, {HEADS} in the public ones; 0: a single head)",
    )
    return untold.settle(found, row)


def heads_given(asked: ConvertOptions, network: ADMUNet) -> int | None:
    """Raises ConfigError if they are given twice, and differ, or cannot be had."""
    config = asked.config
    if config.get(UNET) is None:
        return asked.head_channels
    configured = heads_configured(config, network)
    if asked.head_channels not in (None, configured):
        raise ConfigError(f"--head-channels: {asked.head_channels} contradicts {config.path}: {configured}")
    return configured


def heads_configured(config: Config, network: ADMUNet) -> int:
    """-1, the code's default, stands for a number of heads, 1 by default, whatever the channels are."""
    channels = config.whole(f"{UNET}.num_head_channels", -1, least=-1)
    if channels > 0:
        return channels
    heads = config.whole(f"{UNET}.num_heads", 1)
    config.only(f"{UNET}.num_heads_upsample", -1)
    if heads == 1:
        return 0
    widths = set(attention_widths(network))
    if len(widths) > 1:
        raise config.error(
            f"{UNET}.num_heads", f"{heads} for attention over {sorted(widths)} channels alike; only 1 is"
        )
    return widths.pop() // heads


def attention_widths(network: ADMUNet) -> list[int]:
    """Channels wherever there is attention, in the middle too."""
    widths = network.widths
    return [width for level, width in enumerate(widths) if network.attends(level)] + widths[-1:]
