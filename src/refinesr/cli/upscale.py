"""`refinesr upscale`: pictures in, larger pictures out."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import ConfigError, RefineSRError
from .bars import of_files
from .messages import counted, is_out_of_memory, say, tell
from .results import Job, Naming, jobs

if TYPE_CHECKING:
    from ..cascade import Cascade
    from ..images.io import Picture
    from ..images.masks import Hidden
    from ..restore import Options
    from ..stage import Stage

EXAMPLES = """
Examples:

    refinesr upscale photo.jpg                      writes photo-x4.png
    refinesr upscale photos/ more.png -o large/     a folder of results
    refinesr upscale scan.tif -s 2.5 -o scan.jpg    any scale and format
    refinesr upscale a.png --samples 3 --seed 7     a-x4-1.png to a-x4-3.png

Exit code: 0 all done, 1 some files could not be, 2 none could; what can be done is done.
"""

SMALLEST_TILE = 32
LOSSLESS = (".png", ".tif", ".tiff")

Flag = Annotated[bool, Parameter(negative="", show_default=False)]
Show = Callable[[Path, int, int], None]


@Parameter(name="*", group="Results")
@dataclass(frozen=True)
class Results:
    """Which results, and where."""

    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None
    """File or folder for results: a folder if there are several inputs, an input is a folder, or it has no
    picture suffix.  Default: beside each input."""

    scale: Annotated[float | None, Parameter(name=("--scale", "-s"))] = None
    """Size of the result as a multiple of the input's; default: the model's scale.  Any other is resampled
    from that by bicubic, and is not promised to be the input when downsampled."""

    samples: int = 1
    """Results to draw for each input, with seeds SEED, SEED + 1, ...; named -1, -2, ..."""

    suffix: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """What is added to the names of inputs; default: -x4 for scale 4."""

    ext: Literal["png", "jpg", "webp", "tiff"] | None = None
    """Format of results where OUT does not tell; default: png."""

    quality: int = 95
    """1 to 100, of JPEG and WebP; a WebP of 100 is lossless."""

    overwrite: Flag = False
    """Replace results that exist."""

    json: Flag = False
    """Print one line of JSON for each result: input, output, input_size and output_size as [height, width],
    seconds, steps, seed, fidelity (null if the stages of a cascade have their own), and for the result
    downsampled by Pillow's bicubic against the input, as 8-bit values: lr_psnr (in dB; 200 if all are equal)
    and agreement (the share of equal ones), both null if the result is smaller than the input or has other
    channels, as colour made of grey has."""

    def check(self) -> None:
        """Raises ConfigError."""
        if self.scale is not None and not 0 < self.scale < math.inf:
            raise ConfigError(f"--scale: {self.scale:g} is not a positive number")
        if self.samples < 1:
            raise ConfigError(f"--samples: {self.samples} is not positive")
        if not 1 <= self.quality <= 100:
            raise ConfigError(f"--quality: {self.quality} is not between 1 and 100")


@Parameter(name="*", group="Model")
@dataclass(frozen=True)
class Restoring:
    """How the model is used."""

    steps: int | None = None
    """Sampling steps; default: the model's choice."""

    seed: int = 0
    """Of the noise.  The same seed gives the same picture, whatever the tile, the batch or the device."""

    tile: Annotated[int | None, Parameter(name=("--tile", "-t"))] = None
    """Work in tiles of this many input pixels a side, a halo not counted: less memory, the same picture.
    0: no tiles; default: the model's choice."""

    consistent: bool | None = None
    """Make the result, downsampled, equal to the input, or not.  Switch it off for photos with visible JPEG
    blocks or noise: being part of the input, they come back.  Default: the model's choice."""

    fidelity: float | None = None
    """0: the model's sample, 1: the mean of all answers: higher PSNR, smoother; between: that much of the
    way.  Default: the model's choice."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """What the network computes in; auto: bf16 where the hardware is fast at it."""

    frame: int | None = None
    """Which frame of an animation or page of a TIFF, from 0."""

    mask: Path | None = None
    """A picture of the inputs' size: what is white is made up anew, all else stays as it is.  For models that
    keep the size (scale 1)."""

    def options(self, seed: int) -> "Options":
        from ..restore import Options

        asked = self.steps, seed, self.tile, self.consistent, self.device, self.precision, self.fidelity
        return Options(*asked)


RESULTS, RESTORING = Results(), Restoring()


@dataclass(frozen=True)
class Work:
    """All that is the same for every input."""

    model: "Stage | Cascade"
    results: Results
    restoring: Restoring

    @property
    def scale(self) -> float:
        return self.results.scale or float(self.model.scale)

    @cached_property
    def steps(self) -> int:
        return self.restoring.options(self.restoring.seed).total(self.model)

    @cached_property
    def fidelity(self) -> float | None:
        return self.restoring.options(self.restoring.seed).mixed(self.model)


def upscale(
    inputs: Annotated[list[Path], Parameter(name="INPUT", negative="")],
    /,
    *,
    model: Annotated[str, Parameter(name=("--model", "-m"), group="Model")] = "photo-x4",
    results: Results = RESULTS,
    restoring: Restoring = RESTORING,
) -> int:
    """Make pictures larger.

    Everything that can be checked is checked before any work.  A picture that turns out to be unreadable does
    not stop the others.

    Parameters
    ----------
    inputs
        Pictures, and folders of pictures: PNG, JPEG, WebP, BMP, GIF, TIFF.
    model
        A shipped model, a .safetensors file, a folder with model.safetensors, OWNER/NAME on the Hugging Face
        Hub, or a cascade: a folder with cascade.json, or such a file.
    """
    results.check()
    naming = Naming(results.output, results.suffix, results.ext, results.samples)
    work = prepared(model, results, restoring)
    return done(work, jobs(inputs, naming, work.scale, results.overwrite))


def prepared(model: str, results: Results, restoring: Restoring) -> Work:
    """The model, loaded once; options that do not fit it, or this computer, are found out here."""
    from ..chains import load_any
    from ..devices import autocast_dtype, device_named

    options = restoring.options(restoring.seed)
    restoring.options(restoring.seed + results.samples - 1)
    autocast_dtype(restoring.precision, device_named(restoring.device))
    whole = load_any(model)
    options.check(whole)
    return Work(whole, results, restoring)


def done(work: Work, planned: list[Job]) -> int:
    """Do the jobs, whatever happens to some of them; the exit code."""
    failed = 0
    with of_files(len(planned)) as show:
        for job in planned:
            try:
                for line in outcomes(work, job, show):
                    tell(line)
            except RefineSRError as error:
                say(error)
                failed += 1
    if failed and len(planned) > 1:
        say(f"{len(planned) - failed} of {counted(len(planned), 'file')} done, {failed} failed")
    return 0 if not failed else 2 if failed == len(planned) else 1


def outcomes(work: Work, job: Job, show: Show) -> Iterator[str]:
    """Read, restore and write; yields what to print of each result."""
    from ..images.io import check_output, read, write

    started = perf_counter()
    picture = read(job.input, work.restoring.frame)
    mask = None if work.restoring.mask is None else hidden(work.restoring.mask)
    for number, path in enumerate(job.results):
        path.parent.mkdir(parents=True, exist_ok=True)
        check_output(picture, path, math.ceil(work.scale))
        seed = work.restoring.seed + number
        large = enlarged(work, picture, seed, mask, lambda k, n: show(job.input, k, n))
        write(large, path, quality=work.results.quality)
        seconds, started = perf_counter() - started, perf_counter()
        if work.results.json:
            yield record(work, job.input, path, picture, large, seconds, seed)
        else:
            sizes = f"{shown(picture.size)} -> {shown(large.size)}"
            yield f"{job.input} -> {path}  {sizes}  {seconds:.1f} s"


def hidden(path: Path) -> "Hidden":
    from ..images.io import read
    from ..images.masks import mask_of
    from ..images.picture import to_tensor

    return mask_of((to_tensor(read(path)).mean(1)[0] + 1) / 2)


def enlarged(
    work: Work, picture: "Picture", seed: int, mask: "Hidden | None", show: Callable[[int, int], None]
) -> "Picture":
    from ..restore import restored

    show(0, work.steps)
    large = picture
    try:
        for progress in restored(work.model, picture, work.restoring.options(seed), mask):
            show(progress.done, progress.total)
            large = progress.image
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise RefineSRError(f"{picture.name}: {too_large(work, picture)}") from error
    if work.scale == work.model.scale:
        return large
    from .fidelity import resampled

    height, width = picture.size
    return resampled(large, (max(1, round(work.scale * height)), max(1, round(work.scale * width))))


def too_large(work: Work, picture: "Picture") -> str:
    """What to do when memory lacks: half the tile, or half of what the picture needs at most."""
    tile = work.model.tile if work.restoring.tile is None else work.restoring.tile
    side = min(tile, max(picture.size)) if tile else max(picture.size)
    smaller = side // 2 // SMALLEST_TILE * SMALLEST_TILE
    hint = f"use --tile {smaller}" if smaller else "not even its result fits; cut it into parts"
    return f"not enough memory for a {shown(picture.size)} picture; {hint}"


def record(
    work: Work, source: Path, path: Path, picture: "Picture", large: "Picture", seconds: float, seed: int
) -> str:
    """The line of JSON for a result; how far it is its input is measured on what the file holds."""
    from ..images.io import read
    from .fidelity import fidelity

    kept = fidelity(picture, large if path.suffix.lower() in LOSSLESS else read(path))
    facts: dict[str, Any] = {
        "input": str(source),
        "output": str(path),
        "input_size": picture.size,
        "output_size": large.size,
        "seconds": round(seconds, 3),
        "steps": work.steps,
        "seed": seed,
        "fidelity": work.fidelity,
        **(asdict(kept) if kept else {"lr_psnr": None, "agreement": None}),
    }
    return json.dumps(facts)


def shown(size: tuple[int, int]) -> str:
    """As people say it: width first."""
    return f"{size[1]} x {size[0]}"
