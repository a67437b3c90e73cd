"""`refinesr upscale`: pictures in, larger pictures out."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..errors import RefineSRError
from ..files import is_full, writing
from ..memory import if_memory_lacks
from .bars import file_progress
from .listing import list_inputs
from .messages import counted, print_message, print_result
from .options import DEFAULT_MODEL, Model
from .restoring import ModelOptions, ResultOptions
from .results import Job, nearest_existing, plan_jobs, refuse_replacing_inputs, warn_of_lost_metadata

if TYPE_CHECKING:
    from ..cascade import Cascade
    from ..images.masks import Hidden
    from ..images.picture import Picture
    from ..restore import Options, Prepare
    from ..stage import Stage

EXAMPLES = """
Examples:

    refinesr upscale photo.jpg                      writes photo-x4.png
    refinesr upscale photos/ more.png -o large/     a folder of results
    refinesr upscale photos/ --skip-existing        those that have no result yet
    refinesr upscale scan.tif -s 2.5 -o scan.jpg    any scale and format
    refinesr upscale a.png --samples 3 --seed 7     a-x4-1.png to a-x4-3.png

Exit code: 0 all done, 1 some files could not be, 2 none could; what can be done is done.
"""

LOSSLESS = (".png", ".tif", ".tiff")

Show = Callable[[Path, float], None]

RESULTS, RESTORING = ResultOptions(), ModelOptions()


@dataclass(frozen=True)
class Work:
    """All that is the same for every input."""

    model: "Stage | Cascade"
    results: ResultOptions
    restoring: ModelOptions
    options: "Options"

    @property
    def scale(self) -> float:
        return self.results.scale or float(self.model.scale)

    @cached_property
    def steps(self) -> int:
        return self.options.total(self.model)

    @cached_property
    def fidelity(self) -> float | None:
        return self.options.mixed(self.model)

    @cached_property
    def settled(self) -> bool:
        """Whether no seed changes a result."""
        return all(link.settled for link in self.options.links(self.model))


def upscale(
    inputs: Annotated[list[Path], Parameter(name="INPUT", negative="")],
    /,
    *,
    model: Model = DEFAULT_MODEL,
    results: ResultOptions = RESULTS,
    restoring: ModelOptions = RESTORING,
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
    work = prepared(model, results, restoring)
    listing = list_inputs(inputs, results.suffix, results.output, results.recursive)
    planned = plan_jobs(listing, results, work.scale)
    if restoring.mask is not None:
        for path in (path for job in planned for path in job.results):
            refuse_replacing_inputs(path, [restoring.mask])
    for line in (*listing.closed, listing.left_out.line(results.recursive), kept(planned), alike(work)):
        if line is not None:
            print_message(line)
    code = done(work, [job for job in planned if len(job.kept) < len(job.results)])
    return code or (1 if listing.closed else 0)


def prepared(model: str, results: ResultOptions, restoring: ModelOptions) -> Work:
    """The model, loaded once; options that do not fit it, or this computer, are found out here."""
    from ..chains import load_any, sampling_so

    options = restoring.options()
    replace(options, seed=options.seed + results.samples - 1)  # the last one's, which may be too large
    whole = sampling_so(load_any(model), restoring.settings)
    options.check(whole)
    return Work(whole, results, restoring, options)


def kept(planned: list[Job]) -> str | None:
    """What is said of results that stay."""
    there = sum(len(job.kept) for job in planned)
    return (
        f"kept: {counted(there, 'result')} of {sum(len(job.results) for job in planned)}" if there else None
    )


def alike(work: Work) -> str | None:
    """What is said of samples that are all the same; and of those that are mixed with the mean because nobody
    chose: how to make them differ.

    Not done unasked: each sample is what its seed gives alone, to be had again by --seed.
    """
    if work.results.samples == 1:
        return None
    if work.settled:
        return "all samples will be the same: this result does not depend on the seed"
    if work.restoring.fidelity is not None or (work.fidelity or 0) <= 0:
        return None
    if work.steps == 1:
        return "samples of one step differ little; with --steps 4 --fidelity 0 they differ more"
    return f"samples differ little at a fidelity of {work.fidelity:g}; with --fidelity 0 they differ more"


def done(work: Work, planned: list[Job]) -> int:
    """Do the jobs, whatever happens to some of them; the exit code."""
    failed = untried = 0
    full: set[int] = set()  # file systems
    with file_progress(len(planned)) as show:
        for job in planned:
            disk = nearest_existing(job.results[0].parent).stat().st_dev
            if disk in full:  # minutes of work for nothing
                untried += 1
                continue
            try:
                with if_memory_lacks(f"{job.input}: not enough memory"):
                    for line in outcomes(work, job, show):
                        print_result(line)
            except RefineSRError as error:
                print_message(error)
                failed += 1
                if is_full(error):
                    full.add(disk)
    made = len(planned) - failed - untried
    if failed and len(planned) > 1:
        rest = f", {untried} not tried: no room there" if untried else ""
        print_message(f"{made} of {counted(len(planned), 'file')} done, {failed} failed{rest}")
    return 0 if not failed else 1 if made else 2


def outcomes(work: Work, job: Job, show: Show) -> Iterator[str]:
    """Read, restore and write; yields what to print of each result."""
    from ..images.io import check_output, read, write
    from ..images.picture import format_size
    from ..restore import shared_preparation

    started = perf_counter()
    show(job.input, 0.0)
    picture = read(job.input, work.restoring.frame, span=work.model.span)
    mask = None if work.restoring.mask is None else hidden(work.restoring.mask)
    missing = [sample for sample in enumerate(job.results) if sample[1] not in job.kept]
    prepare = shared_preparation(picture, len(missing), mask)
    for before, (number, path) in enumerate(missing):
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        check_output(picture, path, math.ceil(work.scale))
        warn_of_lost_metadata(picture, path, "; --ext tiff makes such")
        seed = work.restoring.seed + number
        large = enlarged(work, picture, seed, mask, prepare, within(job.input, before, len(missing), show))
        write(large, path, quality=work.results.quality)
        show(job.input, (before + 1) / len(missing))
        seconds, started = perf_counter() - started, perf_counter()
        if work.results.json:
            yield record(work, job.input, path, picture, large, seconds, seed)
        else:
            sizes = f"{format_size(picture.size)} -> {format_size(large.size)}"
            yield f"{job.input} -> {path}  {sizes}  {seconds:.1f} s"


def within(name: Path, before: int, samples: int, show: Show) -> Callable[[int, int], None]:
    """How far a file is when a sample of it has made so many passes; one more is for what comes after."""
    return lambda done, total: show(name, (before + done / (total + 1)) / samples)


def hidden(path: Path) -> "Hidden":
    from ..images.io import read
    from ..images.masks import brightness, mask_of

    return mask_of(brightness(read(path)))


def enlarged(
    work: Work,
    picture: "Picture",
    seed: int,
    mask: "Hidden | None",
    prepare: "Prepare",
    show: Callable[[int, int], None],
) -> "Picture":
    from ..diffusion.walking import last
    from ..restore import passing, restored
    from ..restore.memory import advising

    model, options = work.model, replace(work.options, seed=seed)
    with advising(model, options, picture), passing(model, picture.size, options, show, prepare):
        return last(restored(model, picture, options, mask, scale=work.scale, prepare=prepare)).image


def record(
    work: Work, source: Path, path: Path, picture: "Picture", large: "Picture", seconds: float, seed: int
) -> str:
    """The line of JSON for a result; how far it is its input is measured on what the file holds."""
    from ..images.io import read
    from ..restore.fidelity import fidelity

    measured = fidelity(picture, large if path.suffix.lower() in LOSSLESS else read(path, span=large.span))
    facts: dict[str, Any] = {
        "input": str(source),
        "output": str(path),
        "input_size": picture.size,
        "output_size": large.size,
        "seconds": round(seconds, 3),
        "steps": work.steps,
        "seed": seed,
        "fidelity": work.fidelity,
        "orientations": work.options.laid(work.model),
        **(asdict(measured) if measured else {"lr_psnr": None, "agreement": None}),
    }
    return json.dumps(facts)
