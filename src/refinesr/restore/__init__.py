"""Pictures restored: images of any kind in, images of the same kind out.

kinds       PIL images, arrays and tensors as pictures
options     what may be asked for
passes      how far a picture has come
pictures    what a stage is given of a picture, and what is made of what it says
rescaling   results at any scale
restoring   by a stage, or by a cascade
upscaling   the public functions
"""

from refinesr.restore.kinds import (
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
