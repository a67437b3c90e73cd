"""`refinesr curves`: how runs have learnt, as one picture."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..files import replacing
from .drawing import PLOTS, matplotlib_figure
from .messages import counted, print_message, print_result
from .options import Flag, Output
from .results import check_output_file

EXAMPLES = """
Examples:

    refinesr curves runs/a -o curves.svg
    refinesr curves runs/a runs/b -o curves.png --window 500

It needs `refinesr[plot]`.  A run that is at work can be looked at, too.
"""


def curves(
    runs: Annotated[tuple[Path, ...], Parameter(name="RUN")],
    /,
    *,
    output: Output,
    window: Annotated[int | None, Parameter(show_default=False)] = None,
    overwrite: Flag = False,
) -> int:
    """Draw the losses of runs against their updates: in training and, if there are any, on held-out pictures.

    PSNR and distance of restored held-out pictures follow below.  Losses of different objectives, or on
    different held-out pictures, do not compare: a warning names what differs.

    Parameters
    ----------
    runs
        Folders of `refinesr train` or `refinesr distill`.
    output
        The picture, .svg or .png.
    window
        Updates that the training loss is averaged over; by default a fiftieth of the longest run, and 100 at
        least if there are enough.
    overwrite
        Replace what exists.
    """
    check_output_file("-o", output, overwrite, PLOTS)
    matplotlib_figure("curves", 1, 1)
    from .courses import course, drawn, unlike, window_of

    courses = [course(run) for run in runs]
    width = window_of(courses, window)
    for line in unlike(courses):
        print_message(f"warning: {line}")
    with replacing(output, overwrite=overwrite) as part:
        drawn(courses, width, part, output.suffix[1:].lower())
    means = f"training loss in means of {counted(width, 'update')}"
    print_result(f"{output}  {counted(len(courses), 'run')}, {means}")
    return 0
