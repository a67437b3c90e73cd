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
    evaluation = plan_evaluation(things, source, PROTOCOLS[protocol], span, methods, metrics, device)
    check_name_lengths(evaluation, output)
    if not overwrite:
        check_report_matches(evaluation, source, output)
    report = run_and_report(evaluation, source, output, overwrite)
    print_result(*(report.json() if json else report.markdown()).rstrip().split("\n"))
    measured = {metric.key for metric in report.metrics}
    requested = {m.key: m.title for m in evaluation.metrics} | {
        m.key: m.title for m in evaluation.set_metrics
    }
    for key, title in requested.items():
        if key not in measured:
            print_message(f"{title} is not measured: the pictures are too small for it, or too few")
    return 0


@dataclass(frozen=True)
class Source:
    """The evaluated images: folder, folder of low-resolution images if given, and largest number."""

    data: Path
    low: Path | None
    limit: int | None


def plan_evaluation(
    things: Sequence[str],
    source: Source,
    protocol: "Protocol",
    span: tuple[float, float] | None,
    methods: Methods,
    metrics: Metrics,
    device: "torch.device",
) -> "Evaluation":
    """The evaluation with all options applied.  Raises ConfigError, InputError or CheckpointError."""
    from ..evaluate.bands import with_single_bands
    from ..evaluate.evaluation import Evaluation, EvaluationPlan
    from ..evaluate.image_metrics import sample_metrics
    from ..evaluate.pairs import find_pairs
    from ..evaluate.protocols import with_span

    plan = EvaluationPlan(methods.seed, methods.samples, methods.batch)
    evaluated = load_methods(things, protocol, methods)
    if (common := common_span(evaluated, span)) is not None:
        protocol = with_span(protocol, common)
    found = find_pairs(source.data, source.low, source.limit, protocol.depth)
    for method in evaluated if source.low is None else ():
        if trained_on_given_pairs(method.upscaler):
            print_message(
                f"{method.name} was trained on given pairs; without --low its inputs are made otherwise"
            )
    given_scale = protocol.scale if methods.scale is None else methods.scale
    scale = scale_of(evaluated, found[0].scale) if given_scale is None else given_scale
    protocol.check(scale)
    bands = found[0].bands
    metrics.check_bands(bands, protocol)
    more = list(
        metrics.of_pictures(found, lambda: found[0].load(protocol.crop, scale, protocol.kernel), device)
    )
    sets = list(metrics.of_sets(device))
    available = {metric.key for metric in more} | {metric.key for metric in sets}
    for key in protocol.file_metrics:
        if key not in available:
            print_message(HINTS[key])
    every = (*protocol.metrics(scale), *more, *sample_metrics(methods.samples, protocol.depth.unit_name))
    protocol = replace(protocol, remarks=(*protocol.remarks, *option_remarks(methods)))
    return Evaluation(protocol, scale, found, evaluated, with_single_bands(every, bands), sets, plan)


def option_remarks(methods: Methods) -> Iterator[str]:
    """Remarks for the report on options that change how models are run."""
    from ..evaluate.comparable import SAMPLING_REMARK

    if methods.via is not None:
        side = f"a shorter side of {methods.via} pixels"
        shown = f"models are shown the low-resolution images with {side} by bicubic"
        yield f"{shown}, and their results are resized back (--via)"
    if methods.fidelity is not None:
        yield f"{SAMPLING_REMARK} fidelity {methods.fidelity:g} (--fidelity)"
    if methods.orientations is not None:
        yield f"{SAMPLING_REMARK} orientations {methods.orientations} (--orientations)"
    for setting in methods.settings:
        yield f"{SAMPLING_REMARK} {setting} (--set)"


def run_and_report(evaluation: "Evaluation", source: Source, output: Path, overwrite: bool) -> "Report":
    """Check and run the evaluation, write the report and its page, and return the report.

    The output folder is locked before the first file is written.
    """
    from ..evaluate.page import write_page
    from ..evaluate.report import Report
    from ..evaluate.set_metrics import SetAccumulators
    from ..files import locked

    names = [method.name for method in evaluation.methods]
    sets = SetAccumulators.of(evaluation.set_metrics, names)
    with ExitStack() as stack:
        with evaluation_bars() as show:
            for progress in evaluation.check(None if overwrite else output):
                show(progress)
            stack.enter_context(locked(output))
            if overwrite:
                Report.remove(output)
            images = list(measured_images(evaluation, output, sets, overwrite, show))
        scores = {name: sets.scores(name) for name in names}
        data = source.data.resolve().name.encode("utf-8", "backslashreplace").decode("utf-8")
        report = Report(evaluation, data, source.low is not None, images, scores)
        report.write(output)
        write_page(output)
    return report


def check_name_lengths(evaluation: "Evaluation", output: Path) -> None:
    """Raises OutputError if a method's or a result's name is too long for the file system."""
    from ..files import check_name

    folder = evaluation.folder_in(output)
    longest = max((pair.name for pair in evaluation.pairs), key=lambda name: len(os.fsencode(name)))
    for method in evaluation.methods:
        store = folder.store(method.name)
        check_name(store.path)
        check_name(store.picture(longest, evaluation.samples(method) - 1))


def check_report_matches(evaluation: "Evaluation", source: Source, output: Path) -> None:
    """Raises OutputError if the folder has a report with other conventions or of other images."""
    from ..evaluate.evaluation_folder import OVERWRITE_HINT
    from ..evaluate.protocols import SEED_CONVENTION
    from ..evaluate.saved_report import read_report

    if not (output / "report.json").exists():
        return
    existing, protocol = read_report(output), evaluation.protocol
    expected = protocol.conventions(evaluation.scale, source.low is not None)
    conflicts = (
        [f"is of {existing.protocol}, not of {protocol.name}"] if existing.protocol != protocol.name else []
    )
    conflicts += [
        f"is of '{image.name}', too" for image in existing.images if image.name not in evaluation.names
    ]
    conflicts += [
        f"says '{line}', which is not so now" for line in existing.conventions if line not in expected
    ]
    # reports of early versions lack SEED_CONVENTION
    conflicts += [
        f"does not say '{line}'" for line in expected if line not in {*existing.conventions, SEED_CONVENTION}
    ]
    if conflicts:
        raise OutputError(f"{output}: the report there {conflicts[0]}; {OVERWRITE_HINT}")


def measured_images(
    evaluation: "Evaluation",
    output: Path,
    sets: "Gathered",
    overwrite: bool,
    show: "Callable[[EvaluationProgress], None]",
) -> "Iterator[ImageScores]":
    """Run the evaluation and yield the scores of each image.  Running out of memory names a remedy."""
    hint = f"--batch {evaluation.plan.batch // 2}" if evaluation.plan.batch > 1 else "--tile 128"
    with out_of_memory_as(f"not enough memory; use {hint}"):
        for progress in evaluation.run(output, sets, overwrite=overwrite):
            show(progress)
            if progress.image is not None:
                yield progress.image


@contextmanager
def evaluation_bars() -> "Iterator[Callable[[EvaluationProgress], None]]":
    """`show(progress)` displays the number of images and the steps of the current method."""
    from rich.progress import MofNCompleteColumn, TimeElapsedColumn, TimeRemainingColumn

    with progress_bars(MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()) as bars:
        pictures = bars.add_task("pictures", total=None)
        steps = bars.add_task("", total=None, visible=False)

        def show(progress: "EvaluationProgress") -> None:
            bars.update(pictures, description=progress.task, completed=progress.done, total=progress.total)
            bars.update(
                steps,
                description=progress.method,
                completed=progress.step,
                total=progress.steps,
                visible=bool(progress.method),
            )

        yield show
