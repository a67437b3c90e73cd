"""Converts checkpoints of the public SR3 code (Janspiry's): SR3 and its DDPM variant, conditional or not."""

from dataclasses import dataclass, replace
from typing import cast

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
from refinesr.convert.unets import sr3_unet
from refinesr.diffusion.labels import SqrtGamma, Timestep
from refinesr.diffusion.levels import Continuous, Discrete, Independent
from refinesr.diffusion.precond import Eps
from refinesr.diffusion.schedule import Schedule
from refinesr.errors import ConfigError
from refinesr.images.reduction import Bicubic
from refinesr.images.resize import PillowBicubic
from refinesr.method import Method
from refinesr.model import Pixels
from refinesr.nets.sr3_unet import NoiseLevel, SR3UNet
from refinesr.sources import Blank, Upsampled

MARK = r"denoise_fn\.downs\.\d+\.res_block\."

GROUPS = 32
"""Groups of norms, if the configuration has no `norm_groups`."""

PUBLISHED = {
    (64, (1, 2, 4, 8, 8), 2, (3,)): (128, 32),  # 16 -> 128, and generation at 128
    (64, (1, 2, 4, 8, 16), 1, ()): (512, 16),  # 64 -> 512
    (32, (1, 2, 4, 8, 8, 16, 16), 2, ()): (512, 32),  # 64 -> 512, an earlier version
    (64, (1, 1, 2, 2, 4, 4), 2, (3,)): (128, 32),  # the DDPM variant
}
"""Size and groups of norms of public configurations, by width, multipliers, blocks, levels with attention."""


@dataclass(frozen=True)
class SettingNames:
    """SettingNames of this network's settings, which differ between the SR3 and Palette codes."""

    unet: str = "model.unet"
    multipliers: str = "model.unet.channel_multiplier"
    size: str = "model.diffusion.image_size"


def convert_sr3(source: SourceWeights, options: ConvertOptions) -> Conversion:
    options.unused("head_channels")
    config = options.config
    config.require("model", "the public SR3 code")
    network, assumed_size = network_of(source, config, SettingNames())
    sr3, conditional = isinstance(network.embedding, NoiseLevel), network.image_channels > 0
    config.check_equal("model.which_model_G", "sr3" if sr3 else "ddpm")
    config.check_equal("model.diffusion.channels", network.channels)
    config.check_equal("model.diffusion.conditional", conditional)
    trained, sampled = noise_tables(source, config, "model.beta_schedule.train", "model.beta_schedule.val")
    scale = scale_of(config if conditional else Config(), "datasets.train", options.scale)
    with naming_file(source.path):
        method = sr3_method(network, scale, trained, sampled)
    method, assumed_groups = with_groups(source, options, method, SettingNames())
    summary = "SR3" if sr3 else "the DDPM variant of SR3"
    return Conversion(method, summary, (*assumed_size, *assumed_groups))


def sr3_method(network: SR3UNet, scale: int, trained: Schedule, sampled: Schedule) -> Method:
    """Training and sampling of the public code: L1, Pillow's bicubic, all rows of the table `val`.

    The DDPM variant is conditioned on the row's number; in sampling, on that of a row of `val`.
    """
    sr3, conditional = isinstance(network.embedding, NoiseLevel), network.image_channels > 0
    sampling = as_published(sampled)
    if not sr3 and sampled != trained:
        sampling = replace(sampling, label=Timestep(sampled))
    return Method(
        scale=scale,
        channels=network.channels,
        network=network,
        source=Upsampled(PillowBicubic(), eight_bit=True) if conditional else Blank(),
        precond=Eps(),
        label=SqrtGamma() if sr3 else Timestep(trained),
        levels=Continuous(trained) if sr3 else Discrete(trained),
        spread=Independent(),
        target=Pixels(),
        p=1,
        degradation=Bicubic(scale, PillowBicubic()),
        sampling=sampling,
        tile=tile_of(network, network.size, scale),
    )


def network_of(source: SourceWeights, config: Config, names: SettingNames) -> tuple[SR3UNet, tuple[str, ...]]:
    """The network without its groups, and what had to be assumed, in words.

    Raises ConfigError if the configuration contradicts the weights.
    """
    with naming_file(source.path):
        network = sr3_unet(source)
    unet = names.unet
    config.check_equal(f"{unet}.in_channel", network.image_channels + network.channels)
    config.check_equal(f"{unet}.out_channel", network.channels)
    config.check_equal(f"{unet}.inner_channel", network.width)
    config.check_equal(names.multipliers, network.multipliers)
    config.check_equal(f"{unet}.res_blocks", network.blocks)
    return with_size(replace(network, dropout=dropout(config, unet)), config, names)


def dropout(config: Config, unet: str) -> float:
    share = config.number(f"{unet}.dropout", 0.0)
    if not 0 <= share < 1:
        raise config.error(f"{unet}.dropout", f"{share:g} is not in [0, 1)")
    return share


def with_size(network: SR3UNet, config: Config, names: SettingNames) -> tuple[SR3UNet, tuple[str, ...]]:
    """Sets the size of training images and, from it, the sizes of feature maps with attention."""
    if config.get(names.size) is None:
        published = PUBLISHED.get(published_key(network))
        size = published[0] if published else network.size
        return resized(network, size), (f"training images of {size} pixels a side",)
    attention = f"{names.unet}.attn_res"
    sized = resized(network, config.integer(names.size, least=network.stride))
    listed = config.get(attention)
    if listed is None:
        return sized, ()
    if not isinstance(listed, list) or not all(isinstance(side, int) for side in listed):
        raise config.error(attention, f"{listed!r} is not a list of whole numbers")
    claimed = replace(sized, attention=tuple(listed))
    if attention_levels(claimed) != attention_levels(network):
        raise config.error(
            attention,
            f"{listed} contradicts the weights, which have attention at {list(sized.attention)} "
            f"of {sized.size} pixels",
        )
    return claimed, ()


def resized(network: SR3UNet, size: int) -> SR3UNet:
    return replace(network, size=size, attention=tuple(size >> level for level in attention_levels(network)))


def attention_levels(network: SR3UNet) -> tuple[int, ...]:
    return tuple(level for level in range(len(network.multipliers)) if network.attends(level))


def published_key(network: SR3UNet) -> tuple[int, tuple[int, ...], int, tuple[int, ...]]:
    return network.width, network.multipliers, network.blocks, attention_levels(network)


def with_groups(
    source: SourceWeights, options: ConvertOptions, method: Method, names: SettingNames
) -> tuple[Method, tuple[str, ...]]:
    network = cast(SR3UNet, method.network)
    published = PUBLISHED.get(published_key(network))
    groups = UnrecordedField(
        field="groups",
        words="groups of norms",
        given=groups_given(options, names),
        published=published[1] if published else None,
        possible=tuple(count for count in range(1, network.width + 1) if network.width % count == 0),
        option=f"--groups N (its norm_groups, {GROUPS} if that is not set)",
    )
    return groups.settle(source, method)


def groups_given(options: ConvertOptions, names: SettingNames) -> int | None:
    """The groups given by option or configuration.  Raises ConfigError if the two contradict."""
    if options.config.get(names.unet) is None:
        return options.groups
    configured = options.config.integer(f"{names.unet}.norm_groups", GROUPS)
    if options.groups not in (None, configured):
        raise ConfigError(
            f"--groups: {options.groups} contradicts {options.config.path}, which says {configured}"
        )
    return configured
