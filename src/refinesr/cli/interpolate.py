"""`refinesr interpolate`: what lies between two pictures of the same small one."""

import math
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from cyclopts import Parameter

from ..errors import ConfigError
from .options import DEFAULT_MODEL, Model, Output, parse_numbers
from .walk_options import WALKING, WRITING, Walking, Writing, check_result, followed, told

if TYPE_CHECKING:
    from ..images.picture import Picture
    from ..mixing import Redrawing

EXAMPLES = """
Examples:

    refinesr interpolate small.png -o strip.png
    refinesr interpolate small.png one.png other.png -o strip.png --shares 0,0.5,1
    refinesr interpolate small.png -o half.png --shares 0.5 --seeds 7,8 --depth 0.5
"""


@Parameter(name="*", group="Mixing")
@dataclass(frozen=True)
class Mixing:
    """What is mixed."""

    shares: str = "0,0.25,0.5,0.75,1"
    """Shares of the second picture; several make a strip, from left to right."""

    seeds: str = "1,2"
    """Of the two samples that are made where no FIRST and SECOND are given."""

    def numbers(self) -> tuple[tuple[float, ...], tuple[int, int]]:
        from ..mixing.interpolating import check_shares

        shares = parse_numbers("--shares", self.shares, "SHARE,...", float)
        check_shares(shares)
        one, two = parse_numbers("--seeds", self.seeds, "SEED,SEED", int)
        return shares, (one, two)


MIXING = Mixing()


def interpolate(
    photo: Path,
    first: Path | None = None,
    second: Path | None = None,
    /,
    *,
    output: Output,
    model: Model = DEFAULT_MODEL,
    mixing: Mixing = MIXING,
    walking: Walking = WALKING,
    writing: Writing = WRITING,
) -> int:
    """Make what lies between two large pictures of the same small one.

    Both are taken part of the way back to noise, mixed there, and restored as one picture of PHOTO.

    Parameters
    ----------
    photo
        The small picture.
    first
        A large one of it, such as `upscale` makes; without FIRST and SECOND two samples are made.
    second
        Another one.
    output
        File for the picture, or for the strip of them.
    model
        A shipped model, a .safetensors file, a folder with model.safetensors, or OWNER/NAME on the Hugging
        Face Hub.
    """
    from ..images.io import read
    from ..images.picture import format_size
    from ..mixing import interpolate_pictures, sample_end, side_by_side

    if first is not None and second is None:
        raise ConfigError(f"SECOND: missing; {first} is one picture, and two are interpolated, or none given")
    started, (shares, seeds) = perf_counter(), mixing.numbers()
    writing.check(output, photo, first, second)
    walk = walking.walk(model)
    given = (path for path in (photo, first, second) if path is not None)
    small, *ends = [read(path, span=walk.stage.span) for path in given]
    check_room(walk, small, len(shares), output)
    with followed() as follow:
        one, two = ends or [follow(f"seed {seed}", sample_end(walk, small, seed)) for seed in seeds]
        walks = [
            (f"share {share:g}", interpolate_pictures(walk, small, (one, two), share)) for share in shares
        ]
        made = [follow(name, steps) for name, steps in walks]
    writing.write(side_by_side(made), output)
    several = f"{len(made)} pictures of " if len(made) > 1 else ""
    told(walk, f"{photo} -> {output}  {several}{format_size(made[0].size)}", started)
    return 0


def check_room(walk: "Redrawing", small: "Picture", number: int, output: Path) -> None:
    """Raises OutputError if the strip does not go into such a file."""
    from ..mixing.interpolating import GAP

    height, width = (walk.stage.method.scale * side for side in small.size)
    longest = max(height, number * (width + GAP) - GAP)
    check_result(small, output, math.ceil(longest / max(small.size)))
