"""`refinesr compare`: two methods on the same pictures, and whether they differ by chance."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from cyclopts import Parameter

from ..errors import ConfigError, InputError
from .bars import count_progress
from .comparison_output import json_data, text_lines
from .messages import print_message, print_result
from .options import Flag, SpanEnds, span_from_ends
from .results import check_output_file, refuse_report_files, refuse_same_file, write_json

if TYPE_CHECKING:
    from ..evaluate.comparison import Comparison
    from ..evaluate.permutation import SetComparison
    from ..evaluate.saved_report import SavedReport
    from ..metrics.sets import Features

T = TypeVar("T")

EXAMPLES = """
Examples:

    refinesr compare report/ --methods bicubic photo-x4
    refinesr compare report-a/ report-b/ -o differences.png
    refinesr compare report/ --methods regression sr3 --features inception-2015-12-05.pt
    refinesr compare mine/ theirs/ --data originals/ -o differences.png
    refinesr compare mine/ theirs/ --data t2m/ --span 254 316

A report is the folder that `refinesr evaluate` writes.  For each metric of single pictures the output is the
mean difference B - A, its 95 % confidence interval (bootstrap over pictures) and the p-value of a sign-flip
permutation test.  --features adds FID and KID of the two sets of results, with the p-value of a permutation
test that exchanges the two results of pictures at random.
"""


def compare(
    a: Annotated[Path, Parameter(name="A")],
    b: Annotated[Path | None, Parameter(name="B")] = None,
    /,
    *,
    methods: Annotated[tuple[str, str] | None, Parameter(negative="")] = None,
    data: Path | None = None,
    span: SpanEnds = None,
    features: Path | None = None,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    json: Path | None = None,
    overwrite: Flag = False,
) -> int:
    """Compare two methods picture by picture in every metric that both have, with confidence intervals.

    Parameters
    ----------
    a
        A report's folder, or a folder of pictures.
    b
        Another one; default: both methods are of report A.
    methods
        Names of the two methods: both of A, or the first of A and the second of B.  Not needed if there is
        no choice.
    data
        For folders of pictures: the originals.  The metrics are PSNR and SSIM of RGB in 8 bits.
    span
        For folders of pictures in units: LOW and HIGH, as in `evaluate --protocol bands`.  The metrics are
        PSNR, SSIM, RMSE and bias of the values as they are stored, of any number of bands.
    features
        Compare FID and KID too: a TorchScript network that computes features of uint8 RGB pictures, such as
        StyleGAN's inception-2015-12-05.pt.
    output
        File for a picture of the largest differences: crops of the original, A, B and their difference.
    json
        File for all numbers as JSON; infinite ones are "inf" and "-inf", unknown ones null.
    overwrite
        Replace files that exist.
    """
    from ..images.entries import list_entries

    for report in (a, b):
        for option, path in (("--output", output), ("--json", json)):
            if report is not None and path is not None and (report / "report.json").exists():
                refuse_report_files(option, path, report)
    read = {entry.path for entry in list_entries([a, b, data])} if b and data else set()
    check(output, json, overwrite, [*read, *([features] if features else [])])
    network = load_features(features)
    match = load_comparison(a, b, methods, data, span)
    with count_progress("comparing") as show:
        results = list(with_progress(match.metric_comparisons(), len(match.metrics), show))
    sets = [] if network is None else compare_sets(match, network)
    print_result(*text_lines(match, results, sets))
    if match.incomparable:
        print_message(
            f"not compared, as the reports measured them differently: {', '.join(match.incomparable)}"
        )
    if json is not None:
        from ..evaluate.report import json_numbers

        write_json(json, json_numbers(json_data(match, results, sets)), overwrite)
    if output is not None:
        write_picture(match, output)
    return 0


def check(output: Path | None, json: Path | None, overwrite: bool, inputs: Sequence[Path]) -> None:
    """Raises OutputError if an output file could not be written."""
    from ..images.io import WRITABLE

    refuse_same_file({"--output": output, "--json": json})
    if output is not None:
        check_output_file("--output", output, overwrite, WRITABLE, inputs)
    if json is not None:
        check_output_file("--json", json, overwrite, inputs=inputs)


def load_comparison(
    a: Path, b: Path | None, methods: tuple[str, str] | None, data: Path | None, span: SpanEnds = None
) -> "Comparison":
    """The two methods, from reports or folders of results.  Raises InputError or ConfigError."""
    from ..evaluate.comparison import compare_reports
    from ..evaluate.saved_report import read_report

    for path in (a, b):
        if path is not None and not path.is_dir():
            raise InputError(f"{path}: no such folder")
    reports = [path for path in (a, b) if path is not None and (path / "report.json").exists()]
    if b is not None and not reports:
        if data is None:
            raise ConfigError(
                f"--data: missing; {a} and {b} are no reports, and pictures need their originals"
            )
        if methods is not None:
            raise ConfigError(f"--methods: is for reports; {a} and {b} are folders of pictures")
        return measure_folders(a, b, data, span)
    if span is not None:
        raise ConfigError("--span: is for folders of pictures; a report has its own")
    for path in (a, b):
        if path is not None and path not in reports:
            raise InputError(f"{path}: holds no report.json; refinesr evaluate writes one")
    if data is not None:
        raise ConfigError("--data: is for folders of pictures; a report has its originals")
    one = read_report(a)
    other = one if b is None else read_report(b)
    return compare_reports(
        one, other, *(methods or (two_methods(one) if b is None else (only_method(one), only_method(other))))
    )


def measure_folders(a: Path, b: Path, data: Path, span: SpanEnds) -> "Comparison":
    from ..evaluate.comparison import compare_folders

    span_of_values = None if span is None else span_from_ends(span)
    with count_progress("measuring pictures") as show:
        for progress in compare_folders(a, b, data, span_of_values):
            show(progress.done, progress.total)
    assert progress.match is not None
    return progress.match


def load_features(features: Path | None) -> "Features | None":
    """The network of --features, None without it.  Raises CheckpointError."""
    from ..metrics.sets import Features

    return None if features is None else Features(features)


def compare_sets(match: "Comparison", network: "Features") -> "list[SetComparison]":
    """FID and KID of the two methods.  Raises InputError for missing results."""
    from ..evaluate import permutation

    with count_progress("computing features") as show:
        rows = permutation.PairedFeatures.of(
            list(with_progress(permutation.paired_features(match, network), len(match.names), show))
        )
    with count_progress("permutation test") as show:
        found = list(with_progress(rows.distances(), 1 + permutation.PERMUTATIONS, show))
    return list(permutation.set_comparisons(found, len(match.names)))


def with_progress(things: Iterable[T], total: int, show: Callable[[int, int], None]) -> Iterator[T]:
    """Yield the things, calling `show(done, total)` for each."""
    show(0, total)
    for done, thing in enumerate(things, start=1):
        yield thing
        show(done, total)


def two_methods(report: "SavedReport") -> tuple[str, str]:
    names = [row.name for row in report.methods]
    if len(names) != 2:
        raise ConfigError(f"--methods: missing; choose two of {report.folder}: {', '.join(names)}")
    return names[0], names[1]


def only_method(report: "SavedReport") -> str:
    names = [row.name for row in report.methods]
    if len(names) != 1:
        raise ConfigError(f"--methods: missing; {report.folder} has {', '.join(names)}")
    return names[0]


def write_picture(match: "Comparison", path: Path) -> None:
    from ..evaluate.difference_sheet import differing_crops, draw_sheet, most_different
    from ..images.io import write

    with count_progress("reading pictures") as show:
        found = most_different(with_progress(differing_crops(match), len(match.names), show))
    write(draw_sheet(match, found), path)
    print_result(str(path))
