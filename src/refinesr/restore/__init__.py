"""Restoring pictures by a stage or a cascade: images of any kind in, images of the same kind out.

fidelity    how well a result, downsampled, agrees with its input
conversion  between pictures and PIL images, arrays and tensors
memory      advice when memory runs out
options     options of restoring
passes      progress within steps
pictures    from pictures to inputs of a stage, and back
rescaling   results at any scale
restoring   pictures and batches of them, by a stage or a cascade
upscaling   the public functions
"""

from refinesr.restore.conversion import (
    AnyImage,
    array_of,
    check_representable,
    image_like,
    optional_mask,
    picture_of,
)
from refinesr.restore.options import OptionFields, Options, consistency_kernel
from refinesr.restore.passes import count_passes, watch_passes
from refinesr.restore.pictures import (
    build_input,
    enlarged_alpha,
    only_inpaints,
    opaque,
    picture_progress,
    restore_known_pixels,
    split_channels,
    with_colour_channels,
)
from refinesr.restore.restoring import Prepare, restore_batch, restore_picture, shared_preparation
from refinesr.restore.upscaling import Source, refine, resolve_model, resolve_options, resolve_stage, upscale
from refinesr.stage import Progress

__all__ = [
    "AnyImage",
    "OptionFields",
    "Options",
    "Prepare",
    "Progress",
    "Source",
    "array_of",
    "build_input",
    "check_representable",
    "consistency_kernel",
    "count_passes",
    "enlarged_alpha",
    "image_like",
    "only_inpaints",
    "opaque",
    "optional_mask",
    "picture_of",
    "picture_progress",
    "refine",
    "resolve_model",
    "resolve_options",
    "resolve_stage",
    "restore_batch",
    "restore_known_pixels",
    "restore_picture",
    "shared_preparation",
    "split_channels",
    "upscale",
    "watch_passes",
    "with_colour_channels",
]
