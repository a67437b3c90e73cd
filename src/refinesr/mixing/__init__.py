"""Two pictures into one: what `refinesr interpolate` and `refinesr fuse` do, for images of any kind.

`interpolate` and `fuse` take and return PIL images, arrays and tensors, as `upscale` does; `interpolation`
and `fusion` are the same for `Picture`s, step by step; only the last step's picture is made.
"""

from refinesr.mixing.fusing import fuse, fusion
from refinesr.mixing.interpolating import interpolate, interpolation, sampled, strip
from refinesr.mixing.patch import Patch
from refinesr.mixing.walk import DEPTH, STEPS, Walk, walk_of

__all__ = [
    "DEPTH",
    "STEPS",
    "Patch",
    "Walk",
    "fuse",
    "fusion",
    "interpolate",
    "interpolation",
    "sampled",
    "strip",
    "walk_of",
]
