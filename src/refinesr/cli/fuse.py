"""`refinesr fuse`: a part of one picture in another."""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .options import DEFAULT_MODEL, Flag, Model, Output, parse_numbers
from .walk_options import WALKING, WRITING, Walking, Writing, check_result, followed, told

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
class Patching:
    """What goes where."""

    region: Annotated[str | None, Parameter(name="--from")] = None
    """TOP,LEFT,HEIGHT,WIDTH of the part of OTHER, in pixels; default: all of it.  What is transparent there
    is left out."""

    place: Annotated[str | None, Parameter(name="--to")] = None
    """TOP,LEFT of its place in PICTURE; default: where it is in OTHER."""

    feather: int | None = None
    """Pixels over which the two blend: so many inside the edges the part fades in, and PICTURE is redrawn up
    to so many outside; default: 8, or a quarter of the part's shorter side if that is less."""

    whole: Flag = False
    """Redraw all of PICTURE, as in SRDiff's paper, and not only the part and its surroundings."""

    low: Path | None = None
    """A picture of 1 / the model's scale of PICTURE's size, that the result should look like when it is
    reduced; default: what the two, put together, look like."""

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


PATCHING = Patching()


def fuse(
    picture: Path,
    other: Path,
    /,
    *,
    output: Output,
    model: Model = DEFAULT_MODEL,
    patching: Patching = PATCHING,
    walking: Walking = WALKING,
    writing: Writing = WRITING,
) -> int:
    """Put a part of one picture into another, and redraw it there until it fits.

    The two, put together, are taken part of the way back to noise and restored.  Neither is enlarged: the
    result has the size of PICTURE, whose pixels away from the part stay as they are.

    Parameters
    ----------
    picture
        The picture that is changed.
    other
        The one a part is taken from.
    output
        File for the result.
    model
        A shipped model, a .safetensors file, a folder with model.safetensors, or OWNER/NAME on the Hugging
        Face Hub.
    """
    from ..images.io import read
    from ..images.picture import format_size
    from ..mixing import fuse_pictures

    started = perf_counter()
    writing.check(output, picture, other, patching.low)
    walk = walking.walk(model)
    span = walk.stage.span
    ground, part = read(picture, span=span), read(other, span=span)
    patch, low = patching.patch(part), None if patching.low is None else read(patching.low, span=span)
    check_result(ground, output)
    with followed() as follow:
        made = follow(picture.name, fuse_pictures(walk, ground, part, patch, low, patching.whole))
    writing.write(made, output)
    told(walk, f"{picture} -> {output}  {format_size(made.size)}", started)
    return 0
