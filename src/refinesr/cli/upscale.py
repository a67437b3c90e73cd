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
from ..files import is_disk_full, writing
from ..memory import out_of_memory_as
from .bars import file_progress
from .listing import list_inputs
from .messages import counted, print_message, print_result
from .options import DEFAULT_MODEL, Model
from .results import Job, nearest_existing, plan_jobs, refuse_replacing_inputs, warn_of_lost_metadata
from .upscale_options import ModelOptions, ResultOptions

if TYPE_CHECKING:
    from ..cascade import Cascade
    from ..images.masks import BinaryMask
    from ..images.picture import Picture
    from ..restore import Options, Prepare
    from ..stage import Stage

EXAMPLES = """
Examples:

    refinesr upscale photo.jpg                      writes photo-x4.png
    refinesr upscale photos/ more.png -o large/     a folder of results
    refinesr upscale photos/ --skip-existing        only pictures without a result
    refinesr upscale scan.tif -s 2.5 -o scan.jpg    another scale and format
    refinesr upscale a.png --samples 3 --seed 7     a-x4-1.png to a-x4-3.png

Exit code: 0 if all files were upscaled, 1 if some failed, 2 if all failed.
"""

LOSSLESS = (".png", ".tif", ".tiff")

ShowFile = Callable[[Path, float], None]
"""Shows how much of a file is done, from 0 to 1."""

RESULTS, MODEL_OPTIONS = ResultOptions(), ModelOptions()


@dataclass(frozen=True)
class Task:
    """The model and all options: what is the same for every input."""

    model: "Stage | Cascade"
    results: ResultOptions
    model_options: ModelOptions
    options: "Options"

    @property
    def scale(self) -> float:
        return self.results.scale or float(self.model.scale)

    @cached_property
    def steps(self) -> int:
        return self.options.total_steps(self.model)

    @cached_property
    def fidelity(self) -> float | None:
        return self.options.fidelity_of(self.model)

    @cached_property
    def deterministic(self) -> bool:
        """Whether the results are the same for every seed."""
        return all(link.deterministic for link in self.options.links(self.model))


def upscale(
    inputs: Annotated[list[Path], Parameter(name="INPUT", negative="")],
    /,
    *,
    model: Model = DEFAULT_MODEL,
    results: ResultOptions = RESULTS,
    model_options: ModelOptions = MODEL_OPTIONS,
) -> int:
    """Upscale pictures.

    All options and outputs are checked before the work begins.  An unreadable picture does not stop the
    others.

    Parameters
    ----------
    inputs
        Pictures, and folders of pictures: PNG, JPEG, WebP, BMP, GIF, TIFF.
    model
        The name of a shipped model, a .safetensors file, a folder with model.safetensors, OWNER/NAME on the
        Hugging Face Hub, or a cascade (cascade.json or the folder it is in).
    """
    results.check()
    task = load_task(model, results, model_options)
    listing = list_inputs(inputs, results.suffix, results.output, results.recursive)
    jobs = plan_jobs(listing, results, task.scale)
    if model_options.mask is not None:
        for path in (path for job in jobs for path in job.results):
            refuse_replacing_inputs(path, [model_options.mask])
    skipped = listing.skipped.message(results.recursive)
    for message in (*listing.unreadable, skipped, existing_message(jobs), similarity_message(task)):
        if message is not None:
            print_message(message)
    code = run_jobs(task, [job for job in jobs if len(job.existing) < len(job.results)])
    return code or (1 if listing.unreadable else 0)


def load_task(model: str, results: ResultOptions, model_options: ModelOptions) -> Task:
    """Loads the model.  Raises ConfigError for options that do not fit the model or this computer."""
    from ..cascade_files import load_model, with_sampling_settings

    options = model_options.options()
    replace(options, seed=options.seed + results.samples - 1)  # raises if the last sample's seed is too large
    loaded = with_sampling_settings(load_model(model), model_options.settings)
    options.check(loaded)
    return Task(loaded, results, model_options, options)


def existing_message(jobs: list[Job]) -> str | None:
    """How many results exist and are kept; None if there are none."""
    existing = sum(len(job.existing) for job in jobs)
    if not existing:
        return None
    return f"kept: {existing} of {counted(sum(len(job.results) for job in jobs), 'result')}"


def similarity_message(task: Task) -> str | None:
    """Says that several samples will be equal, or similar because the model's own fidelity is above 0, and
    which options make them differ more.

    The options are not changed here: each sample can be made again with its seed alone.
    """
    if task.results.samples == 1:
        return None
    if task.deterministic:
        return "all samples will be the same: this result does not depend on the seed"
    if task.model_options.fidelity is not None or (task.fidelity or 0) <= 0:
        return None
    if task.steps == 1:
        return "samples of one step differ little; with --steps 4 --fidelity 0 they differ more"
    return f"samples differ little at a fidelity of {task.fidelity:g}; with --fidelity 0 they differ more"


def run_jobs(task: Task, jobs: list[Job]) -> int:
    """Do all jobs, whether or not some of them fail, and return the exit code."""
    failed = untried = 0
    full_disks: set[int] = set()
    with file_progress(len(jobs)) as show:
        for job in jobs:
            disk = nearest_existing(job.results[0].parent).stat().st_dev
            if disk in full_disks:
                untried += 1
                continue
            try:
                with out_of_memory_as(f"{job.input}: not enough memory"):
                    for line in upscale_file(task, job, show):
                        print_result(line)
            except RefineSRError as error:
                print_message(error)
                failed += 1
                if is_disk_full(error):
                    full_disks.add(disk)
    done = len(jobs) - failed - untried
    if failed and len(jobs) > 1:
        rest = f", {untried} not tried: no room there" if untried else ""
        print_message(f"{done} of {counted(len(jobs), 'file')} done, {failed} failed{rest}")
    return 0 if not failed else 1 if done else 2


def upscale_file(task: Task, job: Job, show: ShowFile) -> Iterator[str]:
    """Read an input and write its results; yields the line to print for each."""
    from ..images.io import check_output, read, write
    from ..images.picture import format_size
    from ..restore import shared_preparation

    started = perf_counter()
    show(job.input, 0.0)
    picture = read(job.input, task.model_options.frame, span=task.model.span)
    mask = None if task.model_options.mask is None else read_mask(task.model_options.mask)
    missing = [sample for sample in enumerate(job.results) if sample[1] not in job.existing]
    prepare = shared_preparation(picture, len(missing), mask)
    for before, (number, path) in enumerate(missing):
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        check_output(picture, path, math.ceil(task.scale))
        warn_of_lost_metadata(picture, path, "; use --ext tiff")
        seed = task.model_options.seed + number
        show_passes = sample_progress(job.input, before, len(missing), show)
        large = upscale_picture(task, picture, seed, mask, prepare, show_passes)
        write(large, path, quality=task.results.quality)
        show(job.input, (before + 1) / len(missing))
        seconds, started = perf_counter() - started, perf_counter()
        if task.results.json:
            yield json_line(task, job.input, path, picture, large, seconds, seed)
        else:
            sizes = f"{format_size(picture.size)} -> {format_size(large.size)}"
            yield f"{job.input} -> {path}  {sizes}  {seconds:.1f} s"


def sample_progress(file: Path, before: int, samples: int, show: ShowFile) -> Callable[[int, int], None]:
    """`show_passes(done, total)`: passes of one of a file's samples, after `before` others.

    Writing the result counts as one more pass.
    """
    return lambda done, total: show(file, (before + done / (total + 1)) / samples)


def read_mask(path: Path) -> "BinaryMask":
    from ..images.io import read
    from ..images.masks import brightness, to_mask

    return to_mask(brightness(read(path)))


def upscale_picture(
    task: Task,
    picture: "Picture",
    seed: int,
    mask: "BinaryMask | None",
    prepare: "Prepare",
    show_passes: Callable[[int, int], None],
) -> "Picture":
    from ..diffusion.loops import last_of
    from ..restore import restore_picture, watch_passes
    from ..restore.memory import advise_on_memory

    model, options = task.model, replace(task.options, seed=seed)
    with (
        advise_on_memory(model, options, picture),
        watch_passes(model, picture.size, options, show_passes, prepare),
    ):
        steps = restore_picture(model, picture, options, mask, scale=task.scale, prepare=prepare)
        return last_of(steps).image


def json_line(
    task: Task, source: Path, path: Path, picture: "Picture", large: "Picture", seconds: float, seed: int
) -> str:
    """A result's line of JSON.  Agreement is measured on the file: JPEG and WebP change the picture."""
    from ..images.io import read
    from ..restore.fidelity import measure_fidelity

    measured = measure_fidelity(
        picture, large if path.suffix.lower() in LOSSLESS else read(path, span=large.span)
    )
    facts: dict[str, Any] = {
        "input": str(source),
        "output": str(path),
        "input_size": picture.size,
        "output_size": large.size,
        "seconds": round(seconds, 3),
        "steps": task.steps,
        "seed": seed,
        "fidelity": task.fidelity,
        "orientations": task.options.orientations_of(task.model),
        **(asdict(measured) if measured else {"lr_psnr": None, "agreement": None}),
    }
    return json.dumps(facts)
