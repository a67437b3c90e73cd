"""`refinesr compare`: two methods on the same pictures, and whether they differ by chance."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

from ..errors import ConfigError, InputError
from .bars import count_progress
from .messages import counted, print_message, print_result
from .options import Flag, SpanEnds, span_from_ends
from .results import check_output_file, refuse_report_files, refuse_same_file, write_json

if TYPE_CHECKING:
    from ..evaluate.comparing import Compared, Infinite, Match
    from ..evaluate.reading import Report
    from ..evaluate.swaps import SetCompared
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
        Names of the two methods: both of A, or one of A and one of B.  Not needed if there is no choice.
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
    network = opened(features)
    match = matched(a, b, methods, data, span)
    with count_progress("comparing") as show:
        results = list(seen(match.compared(), len(match.metrics), show))
    sets = [] if network is None else as_sets(match, network)
    print_result(*lines(match, results, sets))
    if match.left_out:
        print_message(f"not compared, as the reports measured them differently: {', '.join(match.left_out)}")
    if json is not None:
        from ..evaluate.report import finite

        write_json(json, finite(facts(match, results, sets)), overwrite)
    if output is not None:
        write_picture(match, output)
    return 0


def check(output: Path | None, json: Path | None, overwrite: bool, inputs: Sequence[Path]) -> None:
    """Raises OutputError for what could not be written after the work."""
    from ..images.io import WRITABLE

    refuse_same_file({"--output": output, "--json": json})
    if output is not None:
        check_output_file("--output", output, overwrite, WRITABLE, inputs)
    if json is not None:
        check_output_file("--json", json, overwrite, inputs=inputs)


def matched(
    a: Path, b: Path | None, methods: tuple[str, str] | None, data: Path | None, span: SpanEnds = None
) -> "Match":
    """Raises InputError or ConfigError for what is no pair of methods."""
    from ..evaluate.comparing import of_reports
    from ..evaluate.reading import read_report

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
        return measured(a, b, data, span)
    if span is not None:
        raise ConfigError("--span: is for folders of pictures; a report is by its own")
    for path in (a, b):
        if path is not None and path not in reports:
            raise InputError(f"{path}: holds no report.json; refinesr evaluate writes one")
    if data is not None:
        raise ConfigError("--data: is for folders of pictures; a report has its originals")
    one = read_report(a)
    other = one if b is None else read_report(b)
    return of_reports(one, other, *(methods or (both(one) if b is None else (only(one), only(other)))))


def measured(a: Path, b: Path, data: Path, span: SpanEnds) -> "Match":
    from ..evaluate.comparing import of_folders

    meant = None if span is None else span_from_ends(span)
    with count_progress("measuring pictures") as show:
        for at in of_folders(a, b, data, meant):
            show(at.done, at.total)
    assert at.match is not None
    return at.match


def opened(features: Path | None) -> "Features | None":
    """Raises CheckpointError."""
    from ..metrics.sets import Features

    return None if features is None else Features(features)


def as_sets(match: "Match", network: "Features") -> "list[SetCompared]":
    """Of pictures that are kept; else raises InputError."""
    from ..evaluate import swaps

    with count_progress("looking at pictures") as show:
        rows = swaps.Rows.of(list(seen(swaps.seen(match, network), len(match.names), show)))
    with count_progress("exchanging results") as show:
        found = list(seen(rows.distances(), 1 + swaps.SWAPS, show))
    return list(swaps.of_sets(found, len(match.names)))


def seen(things: Iterable[T], total: int, show: Callable[[int, int], None]) -> Iterator[T]:
    """The same, and how many of them there have been."""
    show(0, total)
    for done, thing in enumerate(things, start=1):
        yield thing
        show(done, total)


def both(report: "Report") -> tuple[str, str]:
    names = [row.name for row in report.methods]
    if len(names) != 2:
        raise ConfigError(f"--methods: missing; choose two of {report.folder}: {', '.join(names)}")
    return names[0], names[1]


def only(report: "Report") -> str:
    names = [row.name for row in report.methods]
    if len(names) != 1:
        raise ConfigError(f"--methods: missing; {report.folder} has {', '.join(names)}")
    return names[0]


# --------------------------------------------------------------------------------------------------- in words


def lines(match: "Match", results: Sequence["Compared"], sets: Sequence["SetCompared"]) -> Iterator[str]:
    """What is compared, a table, and how to read it."""
    a, b = match.a.name, match.b.name
    yield f"{match.place}: A is {a}, B is {b}, {counted(len(match.names), 'picture')}"
    head = ("metric", "A", "B", "B - A", "95 % interval", "p", "")
    rows = [*(cells(x, a, b) for x in results), *(cells_of_sets(x, a, b) for x in sets)]
    yield from aligned([head, *rows])
    yield from footnotes(results)
    if sets:
        titles = " and ".join(found.title for found in sets)
        yield f"p of {titles}: share of random exchanges of the two results of pictures that part them as far"
    for found in match.infinite():
        number = counted(found.left_out, "picture")
        yield left_out(found.metric.title, number if found.left_out == 1 else f"all {number}")


def cells(found: "Compared", a: str, b: str) -> tuple[str, ...]:
    unit = f" ({found.metric.unit})" if found.metric.unit else ""
    ends = "" if found.interval is None else " to ".join(f"{end:+.4g}" for end in found.interval)
    means = (f"{value:.4g}" for value in (found.a, found.b))
    return (
        found.metric.title + unit,
        *means,
        f"{found.difference:+.4g}",
        ends,
        p_text(found),
        found.verdict(a, b),
    )


def cells_of_sets(found: "SetCompared", a: str, b: str) -> tuple[str, ...]:
    numbers = (f"{found.a:.4g}", f"{found.b:.4g}", f"{found.difference:+.4g}")
    p = f"{found.p:.2g}" if found.p > found.least else f"<{2 * found.least:.2g}"
    return (found.title, *numbers, "", p, found.verdict(a, b))


def p_text(found: "Compared") -> str:
    return f"{found.p:.2g}" if found.p > found.least or found.exact else f"<{2 * found.least:.0e}"


def aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()


def footnotes(results: Sequence["Compared"]) -> Iterator[str]:
    yield "interval: of the mean difference, bootstrap over pictures; with 0 in it they may well be alike"
    few = min(results, key=lambda found: found.count)
    way = "all patterns of signs" if few.exact else "random patterns of signs"
    yield f"p: share of {way} of the differences whose mean is as large; above 0.05 it may be chance"
    if few.least > 0.01:
        number = counted(few.count, "picture")
        yield f"{number} cannot give a p below {few.least:.2g}, nor a sure interval; take more"
    for found in results:
        if found.left_out:
            yield left_out(found.metric.title, counted(found.left_out, "picture"))


def left_out(title: str, number: str) -> str:
    return f"{title}: {number} left out, for the difference there is infinite"


# ------------------------------------------------------------------------------------------------- into files


def facts(match: "Match", results: Sequence["Compared"], sets: Sequence["SetCompared"]) -> dict[str, Any]:
    told = {found.key: entry(found) for found in results}
    told |= {found.key: entry_of_infinite(found) for found in match.infinite()}
    return {
        "place": match.place,
        "a": match.a.name,
        "b": match.b.name,
        "metrics": [told[key] for key in match.metrics if key in told],
        "sets": [entry_of_sets(found) for found in sets],
    }


def entry(found: "Compared") -> dict[str, Any]:
    names = ("key", "a", "b", "difference", "interval", "p", "count", "left_out", "distance")
    return {name: getattr(found, name) for name in names} | {"better": found.metric.better.data}


def entry_of_sets(found: "SetCompared") -> dict[str, Any]:
    return {name: getattr(found, name) for name in ("key", "a", "b", "difference", "p", "count")}


def entry_of_infinite(found: "Infinite") -> dict[str, Any]:
    """The same fields, of no picture that could be compared."""
    names = ("key", "a", "b", "difference", "left_out")
    none = {"interval": None, "p": None, "count": 0, "distance": None}
    return {name: getattr(found, name) for name in names} | none | {"better": found.metric.better.data}


def write_picture(match: "Match", path: Path) -> None:
    from ..evaluate.sheet import foremost, places, sheet
    from ..images.io import write

    with count_progress("reading pictures") as show:
        found = foremost(seen(places(match), len(match.names), show))
    write(sheet(match, found), path)
    print_result(str(path))
