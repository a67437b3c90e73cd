"""`refinesr evaluate`: methods measured as papers measure, in one table."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ..errors import ConfigError, OutputError
from ..memory import out_of_memory_as
from .bars import progress_bars
from .messages import print_message, print_result
from .method_options import Methods, common_span, load_methods, scale_of, trained_on_given_pairs
from .metric_options import HINTS, Metrics
from .options import Flag, Output, SpanEnds

if TYPE_CHECKING:
    import torch

    from ..evaluate.evaluation import Evaluation, EvaluationProgress, ImageScores
    from ..evaluate.protocols import Protocol
    from ..evaluate.report import Report
    from ..evaluate.set_metrics import SetAccumulators as Gathered

EXAMPLES = """
Examples:

    refinesr evaluate bicubic photo-x4@1 photo-x4@4 --data Set5/HR --low Set5/LR --protocol classic-y -o rep
    refinesr evaluate bicubic one=photo-x4 theirs=results/ --data photos/ --protocol srdiff-general -o report
    refinesr evaluate runs/a bicubic --data faces/ --protocol sr3-faces -o report --samples 4 --batch 16
    refinesr evaluate photo-x4 --data nature/ --protocol sr3-natural -o report --features inception.pt
    refinesr evaluate bicubic runs/seven --data satellite/ --protocol bands --samples 20 -o report
    refinesr evaluate photo-x4 --data val/ --limit 1000 --protocol sr3-classification -o report
      --classifier timm:resnet50.a1_in1k --labels val/

Results are kept in REPORT/pictures and not made again, so that an interrupted evaluation can go on.
"""

METHODS, METRICS = Methods(), Metrics()


def evaluate(
    things: Annotated[list[str], Parameter(name="METHOD", negative="")],
    /,
    *,
    data: Path,
    protocol: Literal[
        "classic-y",
        "srdiff-general",
        "srdiff-faces",
        "sr3-faces",
        "sr3-natural",
        "sr3-classification",
        "bands",
    ],
    output: Output,
    low: Path | None = None,
    limit: int | None = None,
    span: SpanEnds = None,
    methods: Methods = METHODS,
    metrics: Metrics = METRICS,
    overwrite: Flag = False,
    json: Flag = False,
) -> int:
    """Measure methods by the papers' protocols, in one table with the numbers that the papers report.

    All inputs are checked before the work begins.

    Parameters
    ----------
    things
        What to evaluate, optionally with a name for the table, NAME=METHOD: bicubic, lanczos or nearest; a
        model or a cascade (MODEL@STEPS sets its sampling steps); a folder of finished results, named as the
        pictures of --data; a network of another project (.pth, .pt, .ckpt, .safetensors), if spandrel is
        installed; truth, the originals themselves.
    data
        Folder (or tar file) of the high-resolution originals.
    protocol
        How to measure: which part of a picture, resizing, channels and rounding.  bands is for pictures with
        any number of bands, of 8 or 16 bits or floats, compared as they are stored; the others are those of
        papers, in 8 bits.
    output
        Folder for report.json, images.csv, table.md, page.html and the results.
    low
        Folder of the low-resolution pictures; default: made from the originals as the protocol says.
    limit
        Evaluate only this many pictures, the first by name, whatever folder they are in.
    span
        For protocol bands: LOW and HIGH, the range of the values in the files' own units, which is 0 to 1 in
        PSNR, SSIM, consistency and on the page.  Default: the method.span of the models, if all that have one
        have the same, else the whole range of the data type.
    overwrite
        Make the results of these methods again.  If REPORT is of other pictures or another protocol, delete
        all of it first; without --overwrite that is an error.
    json
        Print the report as JSON instead of the table.
    """
    from ..devices import autocast_dtype, device_named
    from ..evaluate.protocols import PROTOCOLS
    from ..files import check_unlocked

    metrics.check()
    device = device_named(methods.device)
    autocast_dtype(methods.precision, device)
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit: {limit} is not positive")
    check_unlocked(output)
    source = Source(data, low, limit)
    asked = plan_evaluation(things, source, PROTOCOLS[protocol], span, methods, metrics, device)
    check_name_lengths(asked, output)
    if not overwrite:
        check_report_matches(asked, source, output)
    report = run_and_report(asked, source, output, overwrite)
    print_result(*(report.json() if json else report.markdown()).rstrip().split("\n"))
    there = {metric.key for metric in report.metrics}
    asked_for = {m.key: m.title for m in asked.metrics} | {m.key: m.title for m in asked.set_metrics}
    for key, title in asked_for.items():
        if key not in there:
            print_message(f"{title} is not measured: the pictures are too small for it, or too few")
    return 0


@dataclass(frozen=True)
class Source:
    """Where pictures come from, and how many."""

    data: Path
    low: Path | None
    limit: int | None


def plan_evaluation(
    things: Sequence[str],
    source: Source,
    way: "Protocol",
    span: tuple[float, float] | None,
    methods: Methods,
    metrics: Metrics,
    device: "torch.device",
) -> "Evaluation":
    """What is asked for.  Raises what `Evaluation` does, and InputError for pictures that do not fit."""
    from ..evaluate.bands import with_single_bands
    from ..evaluate.evaluation import Evaluation, EvaluationPlan
    from ..evaluate.image_metrics import sample_metrics
    from ..evaluate.pairs import find_pairs
    from ..evaluate.protocols import with_span

    plan = EvaluationPlan(methods.seed, methods.samples, methods.batch)
    entrants = load_methods(things, way, methods)
    if (meant := common_span(entrants, span)) is not None:
        way = with_span(way, meant)
    found = find_pairs(source.data, source.low, source.limit, way.depth)
    for entrant in entrants if source.low is None else ():
        if trained_on_given_pairs(entrant.upscaler):
            print_message(f"{entrant.name} has learnt from given pairs; without --low it is shown others")
    asked = way.scale if methods.scale is None else methods.scale
    scale = scale_of(entrants, found[0].scale) if asked is None else asked
    way.check(scale)
    bands = found[0].bands
    metrics.check_bands(bands, way)
    more = list(metrics.of_pictures(found, lambda: found[0].load(way.crop, scale, way.kernel), device))
    sets = list(metrics.of_sets(device))
    there = {metric.key for metric in more} | {metric.key for metric in sets}
    for key in way.file_metrics:
        if key not in there:
            print_message(HINTS[key])
    every = (*way.metrics(scale), *more, *sample_metrics(methods.samples, way.depth.unit_name))
    way = replace(way, remarks=(*way.remarks, *option_remarks(methods)))
    return Evaluation(way, scale, found, entrants, with_single_bands(every, bands), sets, plan)


def option_remarks(methods: Methods) -> Iterator[str]:
    """What is done besides what the protocol says."""
    from ..evaluate.comparable import SAMPLING_REMARK

    if methods.via is not None:
        shown = f"models are shown the poor pictures with a shorter side of {methods.via} pixels by bicubic"
        yield f"{shown}, and their results are resized back (--via)"
    if methods.fidelity is not None:
        yield f"{SAMPLING_REMARK} fidelity {methods.fidelity:g} (--fidelity)"
    if methods.orientations is not None:
        yield f"{SAMPLING_REMARK} orientations {methods.orientations} (--orientations)"
    for setting in methods.settings:
        yield f"{SAMPLING_REMARK} {setting} (--set)"


def run_and_report(asked: "Evaluation", source: Source, output: Path, overwrite: bool) -> "Report":
    """What comes of it, which is written; the folder is held as soon as something is."""
    from ..evaluate.page import write_page
    from ..evaluate.report import Report
    from ..evaluate.set_metrics import SetAccumulators
    from ..files import locked

    names = [entrant.name for entrant in asked.methods]
    sets = SetAccumulators.of(asked.set_metrics, names)
    with ExitStack() as stack:
        with evaluation_bars() as show:
            for at in asked.check(None if overwrite else output):
                show(at)
            stack.enter_context(locked(output))
            if overwrite:
                Report.remove(output)
            images = list(measured_images(asked, output, sets, overwrite, show))
        scores = {name: sets.scores(name) for name in names}
        data = source.data.resolve().name.encode("utf-8", "backslashreplace").decode("utf-8")
        report = Report(asked, data, source.low is not None, images, scores)
        report.write(output)
        write_page(output)
    return report


def check_name_lengths(asked: "Evaluation", output: Path) -> None:
    """Raises OutputError if a method's or a result's name is too long for the file system."""
    from ..files import check_name

    kept = asked.folder_in(output)
    longest = max((pair.name for pair in asked.pairs), key=lambda name: len(os.fsencode(name)))
    for entrant in asked.methods:
        store = kept.store(entrant.name)
        check_name(store.path)
        check_name(store.picture(longest, asked.samples(entrant) - 1))


def check_report_matches(asked: "Evaluation", source: Source, output: Path) -> None:
    """Raises OutputError if there is a report by other conventions, or of pictures that are not asked for."""
    from ..evaluate.evaluation_folder import OVERWRITE_HINT
    from ..evaluate.protocols import SEED_CONVENTION
    from ..evaluate.saved_report import read_report

    if not (output / "report.json").exists():
        return
    there, way = read_report(output), asked.protocol
    told = way.conventions(asked.scale, source.low is not None)
    odd = [f"is of {there.protocol}, not of {way.name}"] if there.protocol != way.name else []
    odd += [f"is of '{image.name}', too" for image in there.images if image.name not in asked.names]
    odd += [f"says '{line}', which is not so now" for line in there.conventions if line not in told]
    # SEEDS is what the first reports did not say
    odd += [f"does not say '{line}'" for line in told if line not in {*there.conventions, SEED_CONVENTION}]
    if odd:
        raise OutputError(f"{output}: the report there {odd[0]}; {OVERWRITE_HINT}")


def measured_images(
    asked: "Evaluation",
    output: Path,
    sets: "Gathered",
    overwrite: bool,
    show: "Callable[[EvaluationProgress], None]",
) -> "Iterator[ImageScores]":
    """Says what to do when memory lacks."""
    hint = f"--batch {asked.plan.batch // 2}" if asked.plan.batch > 1 else "--tile 128"
    with out_of_memory_as(f"not enough memory; use {hint}"):
        for at in asked.run(output, sets, overwrite=overwrite):
            show(at)
            if at.image is not None:
                yield at.image


@contextmanager
def evaluation_bars() -> "Iterator[Callable[[EvaluationProgress], None]]":
    """`show(at)`: pictures read or evaluated, and the steps of the method at work."""
    from rich.progress import MofNCompleteColumn, TimeElapsedColumn, TimeRemainingColumn

    with progress_bars(MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()) as progress:
        pictures = progress.add_task("pictures", total=None)
        steps = progress.add_task("", total=None, visible=False)

        def show(at: "EvaluationProgress") -> None:
            progress.update(pictures, description=at.task, completed=at.done, total=at.total)
            progress.update(
                steps, description=at.method, completed=at.step, total=at.steps, visible=bool(at.method)
            )

        yield show
