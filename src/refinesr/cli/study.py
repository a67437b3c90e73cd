"""`refinesr study`: a page that asks people which picture is the true one."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ..files import replacing
from .bars import count_progress
from .messages import counted, print_result
from .options import Flag, Output
from .results import check_output_file, refuse_report_files

EXAMPLES = """
Examples:

    refinesr study report/ -o study.html
    refinesr study report/ --task camera --methods photo-x4@1 photo-x4@4 -o camera.html
    refinesr fool-rate answers/

A report is the folder that `refinesr evaluate` writes.  The page is one file that needs no network.  Give it
to the subjects: they open it in a browser, choose between the original and a method's result, and send you
the file that they save at the end.  `refinesr fool-rate` analyses these files.
"""


def study(
    report: Annotated[Path, Parameter(name="REPORT")],
    /,
    *,
    output: Output,
    methods: Annotated[tuple[str, ...] | None, Parameter(consume_multiple=True, negative="")] = None,
    task: Literal["better", "camera"] = "better",
    trials: int = 50,
    seconds: float = 3.0,
    overwrite: Flag = False,
) -> int:
    """Make a web page that asks people which picture is the original, as the study of SR3's paper did.

    Parameters
    ----------
    report
        Folder of a report, with its pictures.
    output
        File for the page, .html.
    methods
        Names of methods of the report; default: all but the originals.
    task
        The question.  better: which of the two is the better high-quality version of the low-resolution
        picture shown between them; camera: which of the two was taken by a camera.
    trials
        Number of pairs that each subject sees, each of another picture; at most the number of pictures.
    seconds
        How long a pair is shown before it is hidden and the subject chooses.
    overwrite
        Replace the page if it exists.
    """
    refuse_report_files("--output", output, report)
    check_output_file("--output", output, overwrite, (".html", ".htm"))
    from ..evaluate.questions import TASKS
    from ..evaluate.saved_report import read_report
    from ..evaluate.study import Study, methods_to_judge

    saved = read_report(report)
    user_study = Study(
        saved, TASKS[task], methods_to_judge(saved) if methods is None else methods, trials, seconds
    )
    pictures, total = [], len(saved.images)
    with count_progress("reading pictures") as show:
        for picture in user_study.pictures():
            pictures.append(picture)
            show(len(pictures), total)
    page = user_study.page(pictures)
    with replacing(output, overwrite=overwrite) as part:
        part.write_text(page, encoding="utf-8")
    size = f"{len(page.encode()) / 2**20:.2f} MiB"
    pairs = f"{counted(min(trials, total), 'pair')} of {counted(total, 'picture')}"
    print_result(f"{output}: {pairs} for each subject, {counted(len(user_study.methods), 'method')}, {size}")
    return 0
