"""What can be asked of `refinesr upscale`: which results, and how the model is used."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ..errors import ConfigError
from .options import Device, Flag, Precision, SamplingSettings

if TYPE_CHECKING:
    from ..restore import Options


@Parameter(name="*", group="ResultOptions")
@dataclass(frozen=True)
class ResultOptions:
    """Which results, and where."""

    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None
    """File or folder for results: a folder if there are several inputs, an input is a folder, or it has no
    picture suffix.  Default: beside each input."""

    scale: Annotated[float | None, Parameter(name=("--scale", "-s"))] = None
    """Size of the result as a multiple of the input's; default: the model's scale.  Any other is resampled
    from that by bicubic; above 1 it keeps the promise of the model's, to be the input when downsampled."""

    samples: int = 1
    """Results to draw for each input, with seeds SEED, SEED + 1, ...; named -1, -2, ...  To make them differ
    more, take none of the mean, --fidelity 0, and more steps, --steps 4; but of models taught by looks, as
    photo-x4, those of one step differ most."""

    suffix: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """What is added to the names of inputs; default: -x4 for scale 4.  Inputs that would have one result, as
    cat.jpg and cat.png, keep their own endings: cat.jpg-x4.png."""

    ext: Literal["png", "jpg", "webp", "tiff"] | None = None
    """Format of results where OUT does not tell; default: png."""

    quality: int = 95
    """1 to 100, of JPEG and WebP; a WebP of 100 is lossless."""

    overwrite: Flag = False
    """Replace results that exist."""

    skip_existing: Flag = False
    """Keep results that exist, however they were made, and make the others."""

    recursive: Flag = False
    """Take the pictures of sub-folders too; below OUT results are in sub-folders of the same names."""

    json: Flag = False
    """Print one line of JSON for each result: input, output, input_size and output_size as [height, width],
    seconds, steps, seed, fidelity and orientations (null if the stages of a cascade have their own), and for
    the result downsampled by Pillow's bicubic against the input: lr_psnr (in dB; 200 if all are equal) and
    agreement (the share of values off by at most half a level of 255; of 8 bits, of equal ones), both of the
    colours that can be seen, transparency not counted, nor what is less than three pixels from a missing
    value, and null if the result is smaller than the input or has other channels, as colour made of grey
    has."""

    def check(self) -> None:
        """Raises ConfigError."""
        if self.scale is not None and not 0 < self.scale < math.inf:
            raise ConfigError(f"--scale: {self.scale:g} is not a positive number")
        if self.samples < 1:
            raise ConfigError(f"--samples: {self.samples} is not positive")
        if not 1 <= self.quality <= 100:
            raise ConfigError(f"--quality: {self.quality} is not between 1 and 100")
        if self.suffix is not None and (os.sep in self.suffix or "/" in self.suffix):
            raise ConfigError(f"--suffix: '{self.suffix}' names a folder; that is what -o is for")
        if self.overwrite and self.skip_existing:
            raise ConfigError("--skip-existing keeps what --overwrite replaces; give one of the two")


@Parameter(name="*", group="Model")
@dataclass(frozen=True)
class ModelOptions:
    """How the model is used."""

    steps: int | None = None
    """Sampling steps; default: the model's choice."""

    seed: int = 0
    """Of the noise, which depends on nothing else.  In fp32 the same seed gives the same picture, to 1 of
    255, on any device; in bf16 it differs by a little more."""

    tile: Annotated[int | None, Parameter(name=("--tile", "-t"))] = None
    """Work in tiles of this many input pixels a side, a halo not counted: less memory.  The picture stays
    the same if the model sees only so far, as photo-x4 does; with one that sees all of it, such as SR3, it
    depends on the tile.  0: no tiles; default: the model's choice."""

    consistent: bool | None = None
    """Make the result, downsampled, equal to the input, or not.  Switch it off for photos with visible JPEG
    blocks or noise: being part of the input, they come back.  Default: the model's choice."""

    fidelity: float | None = None
    """0: the model's sample, 1: an estimate of the mean of all answers: higher PSNR, smoother; between: that
    much of the way; down to -1: as far beyond the sample: sharper, for several --orientations.  Default: the
    model's choice."""

    orientations: Literal[1, 2, 4, 8] | None = None
    """Make every estimate the mean over so many ways to lay the picture: mirrored, upside down, turned.  More
    accurate and as many times slower.  Default: the model's choice, 1 as a rule."""

    settings: SamplingSettings = ()

    device: Device = "auto"
    precision: Precision = "auto"

    frame: int | None = None
    """Which frame of an animation or page of a TIFF, from 0."""

    mask: Path | None = None
    """A picture of the inputs' size: what is white is made up anew, all else stays as it is.  For models that
    keep the size (scale 1)."""

    def options(self) -> "Options":
        from ..restore import Options

        asked = self.steps, self.seed, self.tile, self.consistent, self.device, self.precision
        return Options(*asked, self.fidelity, self.orientations)
