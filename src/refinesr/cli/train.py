"""`refinesr train`: a recipe and photos in, a model out."""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from cyclopts import Parameter

from ..errors import ConfigError
from ..memory import out_of_memory_as
from .bars import training_progress
from .holding import HOLDING, Holding, left_out, news, summary
from .material import beside, check_low, material
from .messages import print_message, print_result
from .meter import Meter
from .options import Data, Device, Flag, OptionalData, Output, Precision, Settings
from .perceiving import PERCEIVING, Perceiving
from .recipes import recipe_named, with_settings
from .signals import signals_recorded
from .sizes import small_crops

if TYPE_CHECKING:
    import torch

    from ..data import Pairs
    from ..held_out import HeldOut
    from ..objective import Distance
    from ..run import Run
    from ..stage import Stage
    from ..team import Team
    from ..train import Report

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
class Changes:
    """What differs from the recipe."""

    set: Settings = ()

    tiny: Flag = False
    """Train the narrowest network for 20 updates, to try things out; --set is applied afterwards."""

    def of(self, run: "Run") -> "Run":
        from ..recipes import tiny

        return with_settings(tiny(run) if self.tiny else run, self.set)


@Parameter(name="*")
@dataclass(frozen=True)
class Computing:
    """On what, and in what numbers."""

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

    def check(self) -> "tuple[torch.device, torch.dtype | None]":
        """The device, and the dtype of autocast.  Raises ConfigError."""
        from ..compiling import check_compiler
        from ..devices import autocast_dtype, device_named

        device = device_named(self.device)
        check_compiler(device, self.compile)
        return device, autocast_dtype(self.precision, device)

    def seeded(self, run: "Run") -> "Run":
        """The run, by the seed that is asked for."""
        return run if self.seed is None else replace(run, seed=self.seed)


CHANGES, COMPUTING = Changes(), Computing()


def train(
    recipe: str,
    /,
    *,
    data: Data,
    output: Output,
    low: OptionalData = None,
    start: Annotated[str | None, Parameter(name="--from")] = None,
    encoder: Path | None = None,
    changes: Changes = CHANGES,
    computing: Computing = COMPUTING,
    perceiving: Perceiving = PERCEIVING,
    holding: Holding = HOLDING,
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
    from ..run import learnt

    run = asked(beside(recipe_named(recipe), low), changes, output, computing)
    check_low(run, low)
    with placed(data, output, computing) as (device, team):
        run, distance = perceiving.of(run, device)
        learnt(run, None, distance)  # what is wrong with it is said before any photo is decoded
        if team.leads and not changes.tiny and (odd := small_crops(run)):
            print_message(odd)
        run, first = beginning(run, start, encoder, computing)
        held = holding.of(run, data, output, computing.resume) if team.leads else None
        pairs = material(run, data, device, team, low)
        return trained(
            run, pairs, output, computing, team, held, encoder=encoder, start=first, distance=distance
        )


def asked(recipe: "Run", changes: Changes, output: Path, computing: Computing) -> "Run":
    """The recipe with its changes; a resumed run is as it was started but for what is set now.

    Raises ConfigError for a folder that holds a run of another recipe.
    """
    from ..folder import Folder
    from ..run import begun_as

    before = begun_as(Folder(output)) if computing.resume else None
    if before is None:
        return computing.seeded(changes.of(recipe))
    run = with_settings(replace(before, name=recipe.name), changes.set)
    if run.name != before.name:
        raise ConfigError(f"{output}: holds a run of {before.name}, not of {run.name}")
    return computing.seeded(run)


def beginning(
    run: "Run", start: str | None, encoder: Path | None, computing: Computing
) -> "tuple[Run, Stage | None]":
    """The run, and the model that it begins with all weights of; a resumed one has begun.

    Raises ConfigError for a model that is unlike.
    """
    from ..run import begun_with

    if start is None or computing.resume:
        return run, None
    if encoder is not None:
        raise ConfigError("--encoder: --from brings an encoder along; give one of them")
    return begun_with(run, start)


@contextmanager
def placed(
    data: tuple[Path, ...], output: Path, computing: Computing
) -> "Iterator[tuple[torch.device, Team]]":
    """Where to compute, and with whom.

    Raises ConfigError and OutputError for what is wrong before any photo is read.
    """
    from ..folder import Folder, check_folder
    from ..team import assembled

    device, _ = computing.check()
    if not data:
        raise ConfigError("--data: no folder given")
    with assembled(device) as team:
        if team.leads:
            check_folder(Folder(output), computing.resume)
        yield device, team


def trained(
    run: "Run",
    pairs: "Pairs",
    output: Path,
    computing: Computing,
    team: "Team",
    held: "HeldOut | None" = None,
    *,
    encoder: Path | None = None,
    teacher: "Stage | None" = None,
    start: "Stage | None" = None,
    distance: "Distance | None" = None,
) -> int:
    """Update until the plan or a signal ends it; the exit code."""
    from ..folder import Folder
    from ..run import train as updates

    device, autocast = computing.check()
    steps = updates(
        run,
        pairs,
        output,
        device=device,
        autocast=autocast,
        resume=computing.resume,
        encoder=encoder,
        teacher=teacher,
        start=start,
        distance=distance,
        compiling=computing.compile,
        team=team,
        held_out=held,
    )
    meter = Meter(run.plan.batch)
    bar = training_progress(run.name, run.plan.steps, run.plan.batch)
    closed = closing(cast("Generator[Report]", steps))  # it saves when it is closed
    heard = 0
    with out_of_memory_as(advice(run, team)), signals_recorded() as notice, bar as show, closed:
        for report in steps:
            meter.read(report)
            news(report.measured, output)
            if meter.is_time():
                show(report.step, meter.loss())
            # it may have come to some of the team only; one that comes while they talk is not forgotten
            heard = team.largest(notice.signal or 0)
            if heard:
                notice.signal = heard
                break
    ended = heard > 0 and meter.step < run.plan.steps  # a run that was whole before makes no update
    if ended and team.leads:
        place = f"after update {meter.step} of {run.plan.steps}"
        print_message(f"{notice.word} {place}; the same command with --resume goes on")
    if not ended and team.leads:
        print_result(f"{Folder(output).model}  {meter.summary()}{left_out(pairs, held)}")
        print_result(*(summary(output, meter.made) if held else ()))
    return 128 + heard if ended else 0


def advice(run: "Run", team: "Team") -> str:
    """What to do when memory lacks."""
    batch, parts = run.plan.batch, 2 * run.plan.accumulate
    shared = team.size * run.plan.accumulate
    fewer = max(shared, batch // 2 // shared * shared)
    hint = f"plan.accumulate={parts}" if batch % (team.size * parts) == 0 else f"plan.batch={fewer}"
    return f"not enough memory for a batch of {batch}; use --set {hint}"
