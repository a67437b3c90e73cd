"""`refinesr train`: train a model from photos by a recipe."""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from cyclopts import Parameter

from ..errors import ConfigError
from ..memory import out_of_memory_as
from .bars import training_progress
from .held_out import HELD_OUT, HeldOutOptions, left_out, print_measurements, summary
from .messages import print_message, print_result
from .meter import Meter
from .options import Data, Device, Flag, OptionalData, Output, Precision, Settings
from .perceptual import PERCEPTUAL, PerceptualOptions
from .recipes import recipe_named, with_settings
from .signals import signals_recorded
from .sizes import crop_size_warning
from .training_data import check_low, load_pairs, with_low

if TYPE_CHECKING:
    import torch

    from ..data import Pairs
    from ..fit import Report
    from ..held_out import HeldOutSet
    from ..objective import Distance
    from ..process_group import ProcessGroup
    from ..run import Run
    from ..stage import Stage

EXAMPLES = """
Examples:

    refinesr train photo-x4 --data photos/ more.tar -o runs/a
    refinesr train photo-x4-small --data photos/ -o runs/b --set plan.steps=1000
    refinesr train photo-x4 --data photos/ -o runs/try --tiny
    refinesr train photo-x4-small --data high/ --low low/ -o runs/pairs
    refinesr train photo-x4-small --from photo-x4 --data photos/ -o runs/mine --set plan.rate=1e-3
    refinesr train photo-x4 --data photos/ -o runs/a --held-out others/ --set plan.measure_every=500

Recipes:

    photo-x4  photo-x4-small  regression
    sr3-16-128  sr3-16-128-regression  sr3-16-128-small
    sr3-64-256  sr3-64-256-aug  sr3-64-512  sr3-256-1024
    srdiff-celeba-x8-encoder  srdiff-celeba-x8
    srdiff-df2k-x4-encoder  srdiff-df2k-x4
    palette-colorization  palette-inpainting  palette-uncropping  palette-jpeg
    base-64  base-64-class

To share each update among several GPUs, or CPU cores, start the command with torchrun:

    torchrun --nproc-per-node 4 -m refinesr train photo-x4 --data photos/ -o runs/a

Ctrl-C finishes the current update and saves (pressed twice: it saves at once, if it can).  The same command
with --resume goes on from there, or from the last save of a run that was killed.  RUN/log.jsonl has a line
for each update, and RUN/previews has sample pictures; `refinesr curves RUN` plots the losses.
"""


@Parameter(name="*")
@dataclass(frozen=True)
class RecipeChanges:
    """Changes to the recipe."""

    set: Settings = ()

    tiny: Flag = False
    """Train the narrowest network for 20 updates, to try things out; --set is applied afterwards."""

    def apply(self, run: "Run") -> "Run":
        from ..recipes import tiny

        return with_settings(tiny(run) if self.tiny else run, self.set)


@Parameter(name="*")
@dataclass(frozen=True)
class TrainingOptions:
    """How a training is computed, and whether it is resumed."""

    resume: Flag = False
    """Resume the run in RUN with the settings that it was started with, except those that --set changes now.
    --device, --precision and --compile are not stored and must be given again."""

    seed: Annotated[int | None, Parameter(show_default=False)] = None
    """Seed of the initial weights, the crops and the noise; default: 0.  A resumed run keeps its own."""

    device: Device = "auto"
    precision: Precision = "auto"

    compile: Annotated[bool | None, Parameter(show_default=False)] = None
    """Whether to compile the networks first, which takes a minute or two and makes updates faster; default:
    only on CUDA.  On a CPU this needs a C++ compiler."""

    def device_and_autocast(self) -> "tuple[torch.device, torch.dtype | None]":
        """The device, and the dtype of autocast.  Raises ConfigError."""
        from ..compiling import check_compiler
        from ..devices import autocast_dtype, device_named

        device = device_named(self.device)
        check_compiler(device, self.compile)
        return device, autocast_dtype(self.precision, device)

    def with_seed(self, run: "Run") -> "Run":
        """The run with the seed of --seed, if it is given."""
        return run if self.seed is None else replace(run, seed=self.seed)


CHANGES, TRAINING = RecipeChanges(), TrainingOptions()


def train(
    recipe: str,
    /,
    *,
    data: Data,
    output: Output,
    low: OptionalData = None,
    start: Annotated[str | None, Parameter(name="--from")] = None,
    encoder: Path | None = None,
    changes: RecipeChanges = CHANGES,
    options: TrainingOptions = TRAINING,
    perceptual: PerceptualOptions = PERCEPTUAL,
    held_out: HeldOutOptions = HELD_OUT,
) -> int:
    """Train a model from photos.

    Parameters
    ----------
    recipe
        One of the recipes below; `refinesr info RECIPE` describes it.
    data
        Training photos: folders, tar files and single files.
    output
        Folder of the run; the trained model is RUN/model.safetensors.
    low
        Low-resolution pictures for paired training: one for each in --data, with the same name, and smaller
        by the scale.  Default: made from those in --data by method.degradation.
    start
        A trained model whose weights to start from (fine-tuning): the name of a shipped model, a file, a
        folder, or OWNER/NAME on the Hugging Face Hub.  Its network must be that of the recipe.
    encoder
        A trained model, file or folder, whose encoder to start from; recipes with a frozen encoder need it.
    """
    from ..train import build_objective

    run = selected_run(with_low(recipe_named(recipe), low), changes, output, options)
    check_low(run, low)
    with training_devices(data, output, options) as (device, processes):
        run, distance = perceptual.load(run, device)
        build_objective(run, None, distance)  # raises its errors before any photo is decoded
        if processes.is_main and not changes.tiny and (warning := crop_size_warning(run)):
            print_message(warning)
        run, stage = load_start(run, start, encoder, options)
        held = held_out.load(run, data, output, options.resume) if processes.is_main else None
        pairs = load_pairs(run, data, device, processes, low)
        return run_training(
            run, pairs, output, options, processes, held, encoder=encoder, start=stage, distance=distance
        )


def selected_run(recipe: "Run", changes: RecipeChanges, output: Path, options: TrainingOptions) -> "Run":
    """The recipe with its changes; with --resume, the run in the folder with the settings of --set.

    Raises ConfigError for a folder that holds a run of another recipe.
    """
    from ..folder import RunFolder
    from ..run import load_run

    stored = load_run(RunFolder(output)) if options.resume else None
    if stored is None:
        return options.with_seed(changes.apply(recipe))
    run = with_settings(replace(stored, name=recipe.name), changes.set)
    if run.name != stored.name:
        raise ConfigError(f"{output}: holds a run of {stored.name}, not of {run.name}")
    return options.with_seed(run)


def load_start(
    run: "Run", start: str | None, encoder: Path | None, options: TrainingOptions
) -> "tuple[Run, Stage | None]":
    """The run with the model of --from noted, and that model; a resumed run needs neither.

    Raises ConfigError for an incompatible model.
    """
    from ..run import with_start

    if start is None or options.resume:
        return run, None
    if encoder is not None:
        raise ConfigError("--encoder: --from brings an encoder along; give one of them")
    return with_start(run, start)


@contextmanager
def training_devices(
    data: tuple[Path, ...], output: Path, options: TrainingOptions
) -> "Iterator[tuple[torch.device, ProcessGroup]]":
    """The device and the processes that train together.

    Raises ConfigError and OutputError for errors that can be found before any photo is read.
    """
    from ..folder import RunFolder, check_folder
    from ..process_group import joined_process_group

    device, _ = options.device_and_autocast()
    if not data:
        raise ConfigError("--data: no folder given")
    with joined_process_group(device) as processes:
        if processes.is_main:
            check_folder(RunFolder(output), options.resume)
        yield device, processes


def run_training(
    run: "Run",
    pairs: "Pairs",
    output: Path,
    options: TrainingOptions,
    processes: "ProcessGroup",
    held_out: "HeldOutSet | None" = None,
    *,
    encoder: Path | None = None,
    teacher: "Stage | None" = None,
    start: "Stage | None" = None,
    distance: "Distance | None" = None,
) -> int:
    """Train until the plan is complete or a signal arrives; the exit code."""
    from .. import train as training
    from ..folder import RunFolder

    device, autocast = options.device_and_autocast()
    reports = training.train(
        run,
        pairs,
        output,
        device=device,
        autocast=autocast,
        resume=options.resume,
        encoder=encoder,
        teacher=teacher,
        start=start,
        distance=distance,
        compiling=options.compile,
        processes=processes,
        held_out=held_out,
    )
    meter = Meter(run.plan.batch)
    bar = training_progress(run.name, run.plan.steps, run.plan.batch)
    closed = closing(cast("Generator[Report]", reports))  # closing it saves the state
    signal = 0
    with out_of_memory_as(advice(run, processes)), signals_recorded() as notice, bar as show, closed:
        for report in reports:
            meter.read(report)
            print_measurements(report.measured, output)
            if meter.is_time():
                show(report.step, meter.loss())
            # only some processes may receive it; one that arrives meanwhile is found after the next update
            signal = processes.maximum(notice.signal or 0)
            if signal:
                notice.signal = signal
                break
    interrupted = (
        signal > 0 and meter.step < run.plan.steps
    )  # a resumed run may be complete: no update is made
    if interrupted and processes.is_main:
        place = f"after update {meter.step} of {run.plan.steps}"
        print_message(f"{notice.word} {place}; the same command with --resume goes on")
    if not interrupted and processes.is_main:
        print_result(f"{RunFolder(output).model}  {meter.summary()}{left_out(pairs, held_out)}")
        print_result(*(summary(output, meter.made) if held_out else ()))
    return 128 + signal if interrupted else 0


def advice(run: "Run", processes: "ProcessGroup") -> str:
    """What to change when memory runs out."""
    batch, parts = run.plan.batch, 2 * run.plan.accumulate
    multiple = processes.size * run.plan.accumulate
    smaller = max(multiple, batch // 2 // multiple * multiple)
    hint = f"plan.accumulate={parts}" if batch % (processes.size * parts) == 0 else f"plan.batch={smaller}"
    return f"not enough memory for a batch of {batch}; use --set {hint}"
