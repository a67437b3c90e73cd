"""`refinesr evaluate`: methods measured as papers measure, in one table."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ..errors import ConfigError, RefineSRError
from .bars import bars
from .messages import is_out_of_memory, say, tell
from .weighing import WANTED, Metrics

if TYPE_CHECKING:
    import torch

    from ..evaluate.makers import Maker
    from ..evaluate.protocols import Protocol
    from ..evaluate.report import Report
    from ..evaluate.running import At, Entrant, Evaluation, Measured
    from ..evaluate.sets import Sets as Gathered

EXAMPLES = """
Examples:

    refinesr evaluate bicubic photo-x4@1 photo-x4@4 --data Set5/HR --low Set5/LR --protocol classic-y -o rep
    refinesr evaluate bicubic one=photo-x4 theirs=results/ --data photos/ --protocol srdiff-general -o report
    refinesr evaluate runs/a bicubic --data faces/ --protocol sr3-faces -o report --samples 4 --batch 16
    refinesr evaluate photo-x4 --data nature/ --protocol sr3-natural -o report --features inception.pt

Results are kept in REPORT/pictures and not made again; what was stopped goes on where it was.
"""

Flag = Annotated[bool, Parameter(negative="", show_default=False)]


@Parameter(name="*", group="Methods")
@dataclass(frozen=True)
class Methods:
    """How methods are run."""

    scale: Annotated[int | None, Parameter(name=("--scale", "-s"))] = None
    """Default: that of the protocol, of a model, or of the poor pictures given."""

    steps: int | None = None
    """Sampling steps of models that have no @STEPS of their own; default: each model's choice."""

    seed: int = 0
    """Of the noise; each sample of each picture has one of its own, which follows from it."""

    samples: int = 1
    """Results of each picture by each model: with 2 or more their spread and how well it is calibrated are
    measured; all else is measured on the first."""

    batch: int = 1
    """Pictures that a model restores at once, where they are of one size."""

    tile: Annotated[int | None, Parameter(name=("--tile", "-t"))] = None
    """Work in tiles of this many input pixels a side; 0: no tiles; default: each model's choice."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """What networks of models compute in; auto: bf16 where the hardware is fast at it."""


METHODS, METRICS = Methods(), Metrics()


def evaluate(
    things: Annotated[list[str], Parameter(name="METHOD", negative="")],
    /,
    *,
    data: Path,
    protocol: Literal["classic-y", "srdiff-general", "srdiff-faces", "sr3-faces", "sr3-natural"],
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    low: Path | None = None,
    limit: int | None = None,
    methods: Methods = METHODS,
    metrics: Metrics = METRICS,
    overwrite: Flag = False,
    json: Flag = False,
) -> int:
    """Measure methods as the papers do, in one table beside the papers' own rows.

    Everything is read and checked before any work.

    Parameters
    ----------
    things
        What makes results, each as it is or as NAME=METHOD: bicubic, lanczos, nearest; a model or a cascade
        (MODEL@STEPS for so many sampling steps); a folder of pictures that anything has made, called as those
        of --data; a network of another project (.pth, .pt, .ckpt), if spandrel is installed.
    data
        Folder (or tar file) of good pictures.
    protocol
        How to measure: what part of a picture, which resizer, channels, rounding.
    output
        Folder for report.json, images.csv, table.md, page.html and the results.
    low
        Folder of the poor pictures; default: made of the good ones as the protocol says.
    limit
        Take the first so many pictures only, by name.
    overwrite
        Begin anew if REPORT holds results that were made with other settings.
    json
        Print the report as JSON instead of the table.
    """
    from ..devices import autocast_dtype, device_named
    from ..evaluate.protocols import PROTOCOLS

    metrics.check()
    device = device_named(methods.device)
    autocast_dtype(methods.precision, device)
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit: {limit} is not positive")
    source = Source(data, low, limit)
    asked = planned(things, source, PROTOCOLS[protocol], methods, metrics, device)
    report = measured(asked, source, output, overwrite)
    report.write(output)
    paged(output)
    tell(report.json().rstrip() if json else report.markdown().rstrip())
    return 0


@dataclass(frozen=True)
class Source:
    """Where pictures come from, and how many."""

    data: Path
    low: Path | None
    limit: int | None


def planned(
    things: Sequence[str],
    source: Source,
    way: "Protocol",
    methods: Methods,
    metrics: Metrics,
    device: "torch.device",
) -> "Evaluation":
    """What is asked for.  Raises what `Evaluation` does, and InputError for pictures that do not fit."""
    from ..evaluate.measuring import spread_of
    from ..evaluate.pairs import pairs
    from ..evaluate.running import Evaluation, Plan

    plan = Plan(methods.seed, methods.samples, methods.batch)
    found = pairs(source.data, source.low, source.limit)
    entrants = [entrant(thing, way, methods) for thing in things]
    scale = methods.scale or way.scale or scale_of(entrants, found[0].scale)
    way.check(scale)
    more = [metric for some in metrics.of_pictures(device) for metric in some]
    sets = [metric for some in metrics.of_sets(device) for metric in some]
    for key in way.more:
        if key not in {metric.key for metric in more} | {metric.key for metric in sets}:
            say(WANTED[key])
    every = (*way.measured(scale), *more, *spread_of(methods.samples))
    return Evaluation(way, scale, found, entrants, every, sets, plan)


def entrant(thing: str, protocol: "Protocol", methods: Methods) -> "Entrant":
    """NAME=THING, or THING, which then is called as its file or folder."""
    from ..evaluate.running import Entrant

    name, mark, rest = thing.partition("=")
    if mark and not Path(thing).exists() and not set(name) & set("/\\"):
        return Entrant(name, maker(rest, protocol, methods))
    bare, steps = with_steps(thing)
    path = Path(bare)
    called = path.resolve().name if path.is_dir() else path.stem if path.suffix else path.name
    return Entrant(called if steps is None else f"{called}@{steps}", maker(thing, protocol, methods))


def with_steps(thing: str) -> tuple[str, int | None]:
    """MODEL@STEPS in two, unless something is called so."""
    bare, mark, steps = thing.rpartition("@")
    if mark and steps.isdecimal() and not Path(thing).exists():
        return bare, int(steps)
    return thing, None


def maker(thing: str, protocol: "Protocol", methods: Methods) -> "Maker":
    from ..chains import load_any
    from ..checkpoint import PICKLES
    from ..devices import device_named
    from ..evaluate.foreign import Foreign
    from ..evaluate.makers import Folder, Restored, folder_like, interpolations
    from ..restore import Options

    plainly = interpolations(protocol.kernel)
    if thing in plainly:
        return plainly[thing]
    if folder_like(thing):
        return Folder.of(Path(thing), methods.samples)
    if Path(thing).suffix in PICKLES:
        return Foreign.read(Path(thing), device_named(methods.device))
    bare, own = with_steps(thing)
    steps = methods.steps if own is None else own
    options = Options(steps, 0, methods.tile, None, methods.device, methods.precision)
    model = load_any(bare)
    options.check(model)
    return Restored(model, options)


def scale_of(entrants: "Sequence[Entrant]", of_pictures: int | None) -> int:
    """Where the protocol takes any: a model's, else that of the pictures."""
    scales = [entrant.maker.scale for entrant in entrants if entrant.maker.scale is not None]
    scale = scales[0] if scales else of_pictures
    if scale is None:
        raise ConfigError("--scale: neither the protocol, nor a model, nor --low tells the scale; give one")
    return scale


def measured(asked: "Evaluation", source: Source, output: Path, overwrite: bool) -> "Report":
    from ..evaluate.report import Report
    from ..evaluate.sets import Sets

    names = [entrant.name for entrant in asked.entrants]
    sets = Sets.of(asked.set_metrics, names)
    with of_evaluation() as show:
        for at in asked.check():
            show(at)
        images = list(results(asked, output, sets, overwrite, show))
    return Report(
        asked,
        source.data.resolve().name,
        source.low is not None,
        images,
        {name: sets.scores(name) for name in names},
    )


def results(
    asked: "Evaluation", output: Path, sets: "Gathered", overwrite: bool, show: "Callable[[At], None]"
) -> "Iterator[Measured]":
    """Says what to do when memory lacks."""
    try:
        for at in asked.run(output, sets, overwrite=overwrite):
            show(at)
            if at.image is not None:
                yield at.image
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        hint = f"--batch {asked.plan.batch // 2}" if asked.plan.batch > 1 else "--tile 128"
        raise RefineSRError(f"not enough memory; use {hint}") from error


def paged(output: Path) -> None:
    """page.html, of what the report's folder holds."""
    from ..evaluate.page import page

    page(output)


@contextmanager
def of_evaluation() -> "Iterator[Callable[[At], None]]":
    """`show(at)`: pictures read or evaluated, and the steps of the method at work."""
    from rich.progress import MofNCompleteColumn, TimeElapsedColumn, TimeRemainingColumn

    with bars(MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()) as progress:
        pictures = progress.add_task("pictures", total=None)
        steps = progress.add_task("", total=None, visible=False)

        def show(at: "At") -> None:
            progress.update(pictures, description=at.task, completed=at.done, total=at.total)
            progress.update(
                steps, description=at.method, completed=at.step, total=at.steps, visible=bool(at.method)
            )

        yield show
