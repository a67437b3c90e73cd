"""Options of `refinesr upscale`: which results to make, and how to run the model."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ..errors import ConfigError
from .options import Device, Flag, Precision, Quality, SamplingSettings, check_quality

if TYPE_CHECKING:
    from ..restore import Options


@Parameter(name="*", group="Results")
@dataclass(frozen=True)
class ResultOptions:
    """Which results to make, and where to write them."""

    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None
    """File or folder for results.  It is a folder if there are several inputs, if an input is a folder, or if
    it does not end like a picture's name.  Default: the folder of each input."""

    scale: Annotated[float | None, Parameter(name=("--scale", "-s"))] = None
    """Size of the result as a multiple of the input's; default: the model's scale.  For any other scale the
    model's result is resized by bicubic interpolation; above 1 it stays as consistent with the input."""

    samples: int = 1
    """Number of results for each input, with seeds SEED, SEED + 1, ...; their names end in -1, -2, ...  They
    differ more with --fidelity 0 and with more steps, such as --steps 4; but samples of models trained with a
    perceptual loss, such as photo-x4, differ most in one step."""

    suffix: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Text that is added to an input's name to name its result; default: -x4 for scale 4.  Inputs whose
    results would have the same name, such as cat.jpg and cat.png, keep their extensions: cat.jpg-x4.png."""

    ext: Literal["png", "jpg", "webp", "tiff"] | None = None
    """Format of results, unless OUT is the name of a file; default: png."""

    quality: Quality = 95

    overwrite: Flag = False
    """Replace results that exist."""

    skip_existing: Flag = False
    """Keep results that exist, however they were made, and make only the others."""

    recursive: Flag = False
    """Upscale the pictures in sub-folders too; their results go into sub-folders of OUT of the same names."""

    json: Flag = False
    """Print one line of JSON for each result: input, output, input_size and output_size as [height, width],
    seconds, steps, seed, fidelity and orientations (null if the stages of a cascade differ), lr_psnr and
    agreement.  The last two compare the result, downsampled by Pillow's bicubic, with the input: lr_psnr is
    the PSNR in dB (200 if they are equal); agreement is the fraction of values that are equal (8 bits) or
    differ by at most half of 1/255 of the range (more bits).  Both leave out invisible pixels, transparency
    and pixels less than three from a missing value.  They are null if the result is smaller than the input
    or has other channels, as when a grey picture is coloured."""

    def check(self) -> None:
        """Raises ConfigError."""
        if self.scale is not None and not 0 < self.scale < math.inf:
            raise ConfigError(f"--scale: {self.scale:g} is not a positive number")
        if self.samples < 1:
            raise ConfigError(f"--samples: {self.samples} is not positive")
        check_quality(self.quality)
        if self.suffix is not None and (os.sep in self.suffix or "/" in self.suffix):
            raise ConfigError(f"--suffix: '{self.suffix}' names a folder; that is what -o is for")
        if self.overwrite and self.skip_existing:
            raise ConfigError("--skip-existing keeps what --overwrite replaces; give one of the two")


@Parameter(name="*", group="Model")
@dataclass(frozen=True)
class ModelOptions:
    """How to run the model."""

    steps: int | None = None
    """Number of sampling steps; default: the model's own."""

    seed: int = 0
    """Seed of the noise.  In fp32 the same seed gives the same picture on any device, to within 1 level of
    255; in bf16 the difference is a little larger."""

    tile: Annotated[int | None, Parameter(name=("--tile", "-t"))] = None
    """Work in square tiles with sides of this many input pixels, plus an overlap, to save memory; 0: no
    tiles.  The result is the same for models with a limited receptive field, such as photo-x4; for others,
    such as SR3, it depends on the tile size.  Default: the model's own."""

    consistent: bool | None = None
    """Whether the result, when downsampled, must equal the input.  Switch this off for photos with visible
    JPEG artefacts or noise, which the result would otherwise have to contain.  Default: the model's own."""

    fidelity: float | None = None
    """From 0, a sample, to 1, an estimate of the posterior mean, which is smoother and has a higher PSNR;
    values between mix the two.  Values below 0, down to -1, go beyond the sample, away from the mean:
    sharper, for use with several --orientations.  Default: the model's own."""

    orientations: Literal[1, 2, 4, 8] | None = None
    """Geometric self-ensemble: average each estimate over this many flips and rotations of the picture.  More
    accurate, and as many times slower.  Default: the model's own, usually 1."""

    settings: SamplingSettings = ()

    device: Device = "auto"
    precision: Precision = "auto"

    frame: int | None = None
    """Number of the frame of an animation, or of the page of a TIFF, from 0."""

    mask: Path | None = None
    """For inpainting: a picture of the inputs' size that is white where they are to be filled in; all else
    stays as it is.  For models of scale 1."""

    def options(self) -> "Options":
        """As the library takes them."""
        from ..restore import Options

        return Options(
            steps=self.steps,
            seed=self.seed,
            tile=self.tile,
            consistent=self.consistent,
            device=self.device,
            precision=self.precision,
            fidelity=self.fidelity,
            orientations=self.orientations,
        )
