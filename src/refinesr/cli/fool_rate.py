"""`refinesr fool-rate`: how often the subjects of a study took a method's picture for the true one."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .messages import counted, print_result
from .options import Flag
from .results import check_output_file, write_json
from .text_table import aligned_lines

if TYPE_CHECKING:
    from ..evaluate.answers import Rate, StudyResults

EXAMPLES = """
Examples:

    refinesr fool-rate answers/
    refinesr fool-rate answers-1.json answers-2.json --json rates.json

The fool rate of a method is the fraction of choices for its picture over the original.  At 50 % they cannot
be distinguished.  Its 95 % confidence interval is by bootstrap over subjects.
"""


def fool_rate(
    answers: Annotated[tuple[Path, ...], Parameter(name="ANSWERS")],
    /,
    *,
    json: Path | None = None,
    overwrite: Flag = False,
) -> int:
    """Compute how often people took a method's picture for the original.

    Parameters
    ----------
    answers
        Files that the subjects of one `refinesr study` page have saved, and folders of such files.
    json
        File for all numbers as JSON.
    overwrite
        Replace files that exist.
    """
    from ..evaluate.answers import answer_files, read_study

    if json is not None:
        check_output_file("--json", json, overwrite, inputs=answer_files(answers))
    results = read_study(answers)
    print_result(*text_lines(results))
    if json is not None:
        write_json(json, json_data(results), overwrite)
    return 0


def text_lines(results: "StudyResults") -> Iterator[str]:
    from ..evaluate.answers import FEW_SUBJECTS
    from ..evaluate.questions import TASKS

    number = len(results.subjects)
    yield f"{TASKS[results.task].question} {counted(number, 'subject')}, study {results.study[:12]}"
    rows = [table_row(name, rate) for name, rate in results.rates.items()]
    yield from aligned_lines([("method", "fool rate", "95 % interval", "subjects", "choices"), *rows])
    ends = interval_text(results.left_rate)
    yield f"left picture chosen: {results.left_rate.share.mean:.1%} of {results.left_rate.choices}" + (
        f", {ends}" if ends else ""
    )
    yield "fool rate: share of choices for the method's picture; 50 %: indistinguishable from the original"
    if number == 1:
        yield "no interval for one subject; ask more people"
    elif number < FEW_SUBJECTS:
        yield f"interval: by bootstrap over subjects; unreliable for {number} subjects; ask more people"
    else:
        yield "interval: by bootstrap over subjects"


def table_row(name: str, rate: "Rate") -> tuple[str, ...]:
    return name, f"{rate.share.mean:.1%}", interval_text(rate), str(rate.share.count), str(rate.choices)


def interval_text(rate: "Rate") -> str:
    return "" if rate.share.interval is None else " to ".join(f"{end:.1%}" for end in rate.share.interval)


def json_data(results: "StudyResults") -> dict[str, Any]:
    return {
        "study": results.study,
        "task": results.task,
        "subjects": len(results.subjects),
        "methods": [{"name": name, **rate_entry(rate, "fooled")} for name, rate in results.rates.items()],
        "left": rate_entry(results.left_rate, "chosen"),
    }


def rate_entry(rate: "Rate", counted: str) -> dict[str, Any]:
    share = rate.share
    numbers = {"rate": share.mean, "low": share.low, "high": share.high, "subjects": share.count}
    return numbers | {counted: rate.counted, "choices": rate.choices}
