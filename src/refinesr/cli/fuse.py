"""`refinesr fuse`: inserts a part of one picture into another."""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .options import DEFAULT_MODEL, Flag, Model, Output, parse_numbers
from .redraw_options import (
    REDRAW_OPTIONS,
    WRITE_OPTIONS,
    RedrawOptions,
    WriteOptions,
    check_writable,
    print_summary,
    step_progress,
)

if TYPE_CHECKING:
    from ..images.picture import Picture
    from ..mixing import Patch

EXAMPLES = """
Examples:

    refinesr fuse face.png other.png -o fused.png --from 80,60,40,120
    refinesr fuse wall.png graffiti.png -o fused.png --from 0,0,200,300 --to 50,400 --feather 16
    refinesr fuse face.png other.png -o fused.png --from 80,60,40,120 --depth 0.5 --whole
"""


@Parameter(name="*", group="Patch")
@dataclass(frozen=True)
class PatchOptions:
    """Which part to insert, and where."""

    region: Annotated[str | None, Parameter(name="--from")] = None
    """TOP,LEFT,HEIGHT,WIDTH of the part of OTHER, in pixels; default: all of it.  Transparent pixels are not
    inserted."""

    place: Annotated[str | None, Parameter(name="--to")] = None
    """TOP,LEFT of the part in PICTURE; default: as in OTHER."""

    feather: int | None = None
    """Width of the transition in pixels: over so many inside its edges the part fades in, and up to so many
    outside them PICTURE is redrawn; default: 8, or a quarter of the part's shorter side if that is less."""

    whole: Flag = False
    """Redraw all of PICTURE, as in SRDiff's paper, instead of only the part and its surroundings."""

    low: Path | None = None
    """A small picture (PICTURE's size divided by the model's scale) that the result should equal when
    downsampled; default: PICTURE with the part inserted, downsampled."""

    def patch(self, other: "Picture") -> "Patch":
        from ..mixing import Patch
        from ..tiles import Box

        region = Box(0, 0, *other.size)
        if self.region is not None:
            region = Box(*parse_numbers("--from", self.region, "TOP,LEFT,HEIGHT,WIDTH", int))
        top, left = region.top, region.left
        if self.place is not None:
            top, left = parse_numbers("--to", self.place, "TOP,LEFT", int)
        return Patch(region, top, left, self.feather)


PATCH_OPTIONS = PatchOptions()


def fuse(
    picture: Path,
    other: Path,
    /,
    *,
    output: Output,
    model: Model = DEFAULT_MODEL,
    patch_options: PatchOptions = PATCH_OPTIONS,
    redraw_options: RedrawOptions = REDRAW_OPTIONS,
    write_options: WriteOptions = WRITE_OPTIONS,
) -> int:
    """Insert a part of one picture into another and redraw it until it fits.

    The part is inserted, noise is added and the model removes it again.  The result has the size of PICTURE,
    and its pixels away from the part do not change.

    Parameters
    ----------
    picture
        The picture to change.
    other
        The picture that the part is taken from.
    output
        File for the result.
    model
        The name of a shipped model, a .safetensors file, a folder with model.safetensors, or OWNER/NAME on
        the Hugging Face Hub.
    """
    from ..images.io import read
    from ..images.picture import format_size
    from ..mixing import fuse_pictures

    started = perf_counter()
    write_options.check(output, picture, other, patch_options.low)
    redrawing = redraw_options.plan(model)
    span = redrawing.stage.span
    ground, part = read(picture, span=span), read(other, span=span)
    patch = patch_options.patch(part)
    low = None if patch_options.low is None else read(patch_options.low, span=span)
    check_writable(ground, output)
    with step_progress() as run:
        made = run(picture.name, fuse_pictures(redrawing, ground, part, patch, low, patch_options.whole))
    write_options.write(made, output)
    print_summary(redrawing, f"{picture} -> {output}  {format_size(made.size)}", started)
    return 0
