"""`refinesr interpolate`: interpolates between two large versions of the same small picture."""

import math
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from cyclopts import Parameter

from ..errors import ConfigError
from .options import DEFAULT_MODEL, Model, Output, parse_numbers
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
    from ..mixing import Redrawing

EXAMPLES = """
Examples:

    refinesr interpolate small.png -o strip.png
    refinesr interpolate small.png one.png other.png -o strip.png --shares 0,0.5,1
    refinesr interpolate small.png -o half.png --shares 0.5 --seeds 7,8 --depth 0.5
"""


@Parameter(name="*", group="Mixing")
@dataclass(frozen=True)
class MixOptions:
    """What to mix."""

    shares: str = "0,0.25,0.5,0.75,1"
    """Weights of the second picture, from 0 to 1; several make a strip, from left to right."""

    seeds: str = "1,2"
    """Seeds of the two samples that are made if FIRST and SECOND are not given."""

    def parsed(self) -> tuple[tuple[float, ...], tuple[int, int]]:
        """The shares and the two seeds.  Raises ConfigError."""
        from ..mixing.interpolating import check_shares

        shares = parse_numbers("--shares", self.shares, "SHARE,...", float)
        check_shares(shares)
        one, two = parse_numbers("--seeds", self.seeds, "SEED,SEED", int)
        return shares, (one, two)


MIX_OPTIONS = MixOptions()


def interpolate(
    photo: Path,
    first: Path | None = None,
    second: Path | None = None,
    /,
    *,
    output: Output,
    model: Model = DEFAULT_MODEL,
    mix_options: MixOptions = MIX_OPTIONS,
    redraw_options: RedrawOptions = REDRAW_OPTIONS,
    write_options: WriteOptions = WRITE_OPTIONS,
) -> int:
    """Interpolate between two large versions of the same small picture.

    Noise is added to both, they are mixed, and the model removes the noise again, as in upscaling PHOTO.

    Parameters
    ----------
    photo
        The small picture.
    first
        A large version of it, such as `upscale` makes; without FIRST and SECOND two samples are made.
    second
        Another large version.
    output
        File for the result: a picture, or a strip of several.
    model
        The name of a shipped model, a .safetensors file, a folder with model.safetensors, or OWNER/NAME on
        the Hugging Face Hub.
    """
    from ..images.io import read
    from ..images.picture import format_size
    from ..mixing import interpolate_pictures, sample_end, side_by_side

    if first is not None and second is None:
        raise ConfigError(f"SECOND: missing; {first} is only one picture; give two, or none")
    started, (shares, seeds) = perf_counter(), mix_options.parsed()
    write_options.check(output, photo, first, second)
    redrawing = redraw_options.plan(model)
    given = (path for path in (photo, first, second) if path is not None)
    small, *ends = [read(path, span=redrawing.stage.span) for path in given]
    check_strip_fits(redrawing, small, len(shares), output)
    with step_progress() as run:
        one, two = ends or [run(f"seed {seed}", sample_end(redrawing, small, seed)) for seed in seeds]
        mixtures = [
            (f"share {share:g}", interpolate_pictures(redrawing, small, (one, two), share))
            for share in shares
        ]
        made = [run(name, steps) for name, steps in mixtures]
    write_options.write(side_by_side(made), output)
    several = f"{len(made)} pictures of " if len(made) > 1 else ""
    print_summary(redrawing, f"{photo} -> {output}  {several}{format_size(made[0].size)}", started)
    return 0


def check_strip_fits(redrawing: "Redrawing", small: "Picture", number: int, output: Path) -> None:
    """Raises OutputError if the strip is too large for the file's format."""
    from ..mixing.interpolating import GAP

    height, width = (redrawing.stage.method.scale * side for side in small.size)
    longest = max(height, number * (width + GAP) - GAP)
    check_writable(small, output, math.ceil(longest / max(small.size)))
