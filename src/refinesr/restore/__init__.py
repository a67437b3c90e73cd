"""Pictures restored: images of any kind in, images of the same kind out.

kinds       PIL images, arrays and tensors as pictures
options     what may be asked for
passes      how far a picture has come
pictures    what a stage is given of a picture, and what is made of what it says
rescaling   results at any scale
restoring   by a stage, or by a cascade
upscaling   the public functions
"""

from refinesr.restore.kinds import AnyImage, alike, array_of, check_answer, hidden_of, picture_of
from refinesr.restore.options import Asked, Options, kept_kernel
from refinesr.restore.passes import passes, passing
from refinesr.restore.pictures import (
    colourable,
    completed,
    enlarged_alpha,
    fills,
    opaque,
    pictured,
    put_back,
    spread,
)
from refinesr.restore.restoring import Prepare, restored, shared_preparation, together
from refinesr.restore.upscaling import Source, model_of, options_for, refine, stage_of, upscale
from refinesr.stage import Progress

__all__ = [
    "AnyImage",
    "Asked",
    "Options",
    "Prepare",
    "Progress",
    "Source",
    "alike",
    "array_of",
    "check_answer",
    "colourable",
    "completed",
    "enlarged_alpha",
    "fills",
    "hidden_of",
    "kept_kernel",
    "model_of",
    "opaque",
    "options_for",
    "passes",
    "passing",
    "picture_of",
    "pictured",
    "put_back",
    "refine",
    "restored",
    "shared_preparation",
    "spread",
    "stage_of",
    "together",
    "upscale",
]
