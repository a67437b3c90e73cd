"""Interpolation and fusion of two pictures: `refinesr interpolate` and `refinesr fuse`.

`interpolate` and `fuse` take and return PIL images, arrays and tensors, as `upscale` does;
`interpolate_pictures` and `fuse_pictures` are the same for `Picture`s, step by step; only the last step's
picture is made.
"""

from refinesr.mixing.fusing import fuse, fuse_pictures
from refinesr.mixing.interpolating import interpolate, interpolate_pictures, sample_end, side_by_side
from refinesr.mixing.patch import Patch
from refinesr.mixing.redrawing import DEPTH, STEPS, Redrawing, plan_redrawing

__all__ = [
    "DEPTH",
    "STEPS",
    "Patch",
    "Redrawing",
    "fuse",
    "fuse_pictures",
    "interpolate",
    "interpolate_pictures",
    "plan_redrawing",
    "sample_end",
    "side_by_side",
]
