"""Infers the networks of the public codes from the names and shapes of their tensors.

Fields that cannot be inferred (groups of norms, channels of an attention head, dropout, the size of training
images) keep their default values.
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


def sr3_unet(source: SourceWeights) -> SR3UNet:
    """The U-Net of the public SR3 code.

    Its `downs` list has residual blocks and strided convolutions; each convolution ends a level.  `size`
    cannot be inferred; it is set such that the deepest level has 8 x 8 pixels, and `attention` accordingly.
    """
    width, channels_in = source.shape(f"{UNET}downs.0.weight")[:2]
    channels = source.shape(f"{UNET}final_conv.block.3.weight")[0]
    levels: list[list[str]] = [[]]
    for number in indices_after(source, f"{UNET}downs.")[1:]:
        name = f"{UNET}downs.{number}."
        if source.has(f"{name}res_block."):
            levels[-1].append(name)
        else:
            levels.append([])
    widths = [
        [source.shape(f"{name}res_block.block2.block.3.weight")[0] for name in level] for level in levels
    ]
    size = 8 << (len(levels) - 1)
    attending = [any(source.has(f"{name}attn.") for name in level) for level in levels]
    return SR3UNet(
        channels,
        channels_in - channels,
        width,
        multipliers(source, width, widths),
        len(levels[0]),
        tuple(size >> number for number, attends in enumerate(attending) if attends),
        size,
        groups=1,
        embedding=TimeStep() if source.has(f"{UNET}time_mlp.") else NoiseLevel(),
    )


def adm_unet(source: SourceWeights) -> ADMUNet:
    """The U-Net of the public Palette code, from its `output_blocks`.

    Blocks that resample have the same tensors as others.  In the decoder such a block is part of the last
    entry of its level, so the output blocks show where levels end; the input blocks do not.
    """
    width = source.shape(f"{UNET}cond_embed.0.weight")[1]
    channels_in = source.shape(f"{UNET}input_blocks.0.0.weight")[1]
    channels = source.shape(f"{UNET}out.2.weight")[0]
    levels: list[list[str]] = [[]]
    for number in indices_after(source, f"{UNET}output_blocks."):
        name = f"{UNET}output_blocks.{number}."
        levels[-1].append(name)
        if any(source.has(f"{name}{place}.in_layers.") for place in (1, 2)):
            levels.append([])
    levels.reverse()
    widths = [[source.shape(f"{name}0.out_layers.3.weight")[0] for name in level] for level in levels]
    attending = [any(source.has(f"{name}1.qkv.") for name in level) for level in levels]
    check_supported(source, widths[0][0])
    return ADMUNet(
        channels,
        channels_in - channels,
        width,
        multipliers(source, width, widths),
        len(levels[0]) - 1,
        tuple(2**number for number, attends in enumerate(attending) if attends),
    )


def check_supported(source: SourceWeights, width: int) -> None:
    """Raises CheckpointError for options of guided diffusion that no Palette configuration uses."""
    if any(re.match(rf"{UNET}(input|output)_blocks\.\d+\.\d\.(op|conv)\.", name) for name in source.weights):
        raise CheckpointError(f"{source.path}: resblock_updown: false is not supported, only true")
    if source.shape(f"{UNET}input_blocks.1.0.emb_layers.1.weight")[0] != 2 * width:
        raise CheckpointError(f"{source.path}: use_scale_shift_norm: false is not supported, only true")


def srdiff_unet(source: SourceWeights) -> SRDiffUNet:
    """The U-Net of SRDiff.  The kernel of `cond_proj`, a transposed convolution, is twice the scale."""
    features, width, kernel = source.shape(f"{UNET}cond_proj.weight", 3)[:3]
    names = [f"{UNET}downs.{number}." for number in indices_after(source, f"{UNET}downs.")]
    widths = [[source.shape(f"{name}{block}.block2.block.1.weight")[0] for block in (0, 1)] for name in names]
    channels = source.shape(f"{UNET}final_conv.1.weight")[0]
    return SRDiffUNet(channels, features, width, multipliers(source, width, widths), kernel // 2)


def rrdb(source: SourceWeights, start: str) -> RRDB:
    """The encoder of SRDiff, whose tensors' names begin with `start`.  Each `upconv` doubles its scale."""
    width, channels = source.shape(f"{start}conv_first.weight")[:2]
    growth = source.shape(f"{start}RRDB_trunk.0.RDB1.conv1.weight")[0]
    doublings = [
        name for name in source.weights if re.fullmatch(rf"{re.escape(start)}upconv\d\.weight", name)
    ]
    return RRDB(
        channels, width, growth, len(indices_after(source, f"{start}RRDB_trunk.")), 1 << len(doublings)
    )


def indices_after(source: SourceWeights, start: str) -> list[int]:
    """The indices that follow `start` in the names of tensors, ascending."""
    matches = (re.match(rf"{re.escape(start)}(\d+)\.", name) for name in source.weights)
    return sorted({int(match[1]) for match in matches if match})


def multipliers(source: SourceWeights, width: int, levels: Iterable[list[int]]) -> tuple[int, ...]:
    """The channels of each level divided by `width`.  Raises CheckpointError if a level's blocks differ."""
    levels = list(levels)
    if len({len(level) for level in levels}) > 1 or any(len(set(level)) != 1 for level in levels):
        raise CheckpointError(f"{source.path}: levels of {levels} channels do not have equal blocks")
    wrong = [level[0] for level in levels if level[0] % width]
    if wrong:
        raise CheckpointError(f"{source.path}: a level of {wrong[0]} channels is no multiple of {width}")
    return tuple(level[0] // width for level in levels)
