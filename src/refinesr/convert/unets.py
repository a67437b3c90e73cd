"""Networks of the public codes, read off their tensors.

What leaves no trace in them (the groups of norms, the channels of an attention head, dropout, the size of
training images) is left as the networks' values have it by themselves.
"""

import re
from collections.abc import Iterable

from refinesr.convert.selection import SourceWeights
from refinesr.errors import CheckpointError
from refinesr.nets.adm_unet import ADMUNet
from refinesr.nets.rrdb import RRDB
from refinesr.nets.sr3_unet import NoiseLevel, SR3UNet, TimeStep
from refinesr.nets.srdiff_unet import SRDiffUNet

UNET = "denoise_fn."


def sr3_unet(found: SourceWeights) -> SR3UNet:
    """Blocks and strided convolutions stand in one list; a convolution ends a level.

    `size` is 8 pixels at the deepest level, and `attention` goes by it.
    """
    width, channels_in = found.shape(f"{UNET}downs.0.weight")[:2]
    channels = found.shape(f"{UNET}final_conv.block.3.weight")[0]
    levels: list[list[str]] = [[]]
    for number in indices_after(found, f"{UNET}downs.")[1:]:
        name = f"{UNET}downs.{number}."
        if found.has(f"{name}res_block."):
            levels[-1].append(name)
        else:
            levels.append([])
    widths = [
        [found.shape(f"{name}res_block.block2.block.3.weight")[0] for name in level] for level in levels
    ]
    size = 8 << (len(levels) - 1)
    attending = [any(found.has(f"{name}attn.") for name in level) for level in levels]
    return SR3UNet(
        channels,
        channels_in - channels,
        width,
        multipliers(found, width, widths),
        len(levels[0]),
        tuple(size >> number for number, attends in enumerate(attending) if attends),
        size,
        groups=1,
        embedding=TimeStep() if found.has(f"{UNET}time_mlp.") else NoiseLevel(),
    )


def adm_unet(found: SourceWeights) -> ADMUNet:
    """Blocks that resize have the tensors of all others; going up, one ends a level inside its last entry."""
    width = found.shape(f"{UNET}cond_embed.0.weight")[1]
    channels_in = found.shape(f"{UNET}input_blocks.0.0.weight")[1]
    channels = found.shape(f"{UNET}out.2.weight")[0]
    levels: list[list[str]] = [[]]
    for number in indices_after(found, f"{UNET}output_blocks."):
        name = f"{UNET}output_blocks.{number}."
        levels[-1].append(name)
        if any(found.has(f"{name}{place}.in_layers.") for place in (1, 2)):
            levels.append([])
    levels.reverse()
    widths = [[found.shape(f"{name}0.out_layers.3.weight")[0] for name in level] for level in levels]
    attending = [any(found.has(f"{name}1.qkv.") for name in level) for level in levels]
    check_supported(found, widths[0][0])
    return ADMUNet(
        channels,
        channels_in - channels,
        width,
        multipliers(found, width, widths),
        len(levels[0]) - 1,
        tuple(2**number for number, attends in enumerate(attending) if attends),
    )


def check_supported(found: SourceWeights, width: int) -> None:
    """Raises CheckpointError for switches of guided diffusion that Palette's configurations leave alone."""
    if any(re.match(rf"{UNET}(input|output)_blocks\.\d+\.\d\.(op|conv)\.", name) for name in found.weights):
        raise CheckpointError(f"{found.path}: resblock_updown: false is not supported, only true")
    if found.shape(f"{UNET}input_blocks.1.0.emb_layers.1.weight")[0] != 2 * width:
        raise CheckpointError(f"{found.path}: use_scale_shift_norm: false is not supported, only true")


def srdiff_unet(found: SourceWeights) -> SRDiffUNet:
    """`cond_proj` is a transposed convolution of twice the stride, which is the scale."""
    features, width, kernel = found.shape(f"{UNET}cond_proj.weight", 3)[:3]
    names = [f"{UNET}downs.{number}." for number in indices_after(found, f"{UNET}downs.")]
    widths = [[found.shape(f"{name}{block}.block2.block.1.weight")[0] for block in (0, 1)] for name in names]
    channels = found.shape(f"{UNET}final_conv.1.weight")[0]
    return SRDiffUNet(channels, features, width, multipliers(found, width, widths), kernel // 2)


def rrdb(found: SourceWeights, start: str) -> RRDB:
    """`scale` is that of its own picture, which doubles with every `upconv`."""
    width, channels = found.shape(f"{start}conv_first.weight")[:2]
    growth = found.shape(f"{start}RRDB_trunk.0.RDB1.conv1.weight")[0]
    doublings = [name for name in found.weights if re.fullmatch(rf"{re.escape(start)}upconv\d\.weight", name)]
    return RRDB(
        channels, width, growth, len(indices_after(found, f"{start}RRDB_trunk.")), 1 << len(doublings)
    )


def indices_after(found: SourceWeights, start: str) -> list[int]:
    """What follows `start` in names, ascending."""
    matches = (re.match(rf"{re.escape(start)}(\d+)\.", name) for name in found.weights)
    return sorted({int(match[1]) for match in matches if match})


def multipliers(found: SourceWeights, width: int, levels: Iterable[list[int]]) -> tuple[int, ...]:
    """Widths of the levels, over the first.  Raises CheckpointError where blocks of a level differ."""
    levels = list(levels)
    if len({len(level) for level in levels}) > 1 or any(len(set(level)) != 1 for level in levels):
        raise CheckpointError(f"{found.path}: levels of {levels} channels are not all built alike")
    wrong = [level[0] for level in levels if level[0] % width]
    if wrong:
        raise CheckpointError(f"{found.path}: a level of {wrong[0]} channels is no multiple of {width}")
    return tuple(level[0] // width for level in levels)
