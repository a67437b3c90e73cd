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

It needs one more package: pip install 'refinesr[plot]'.  The runs may be unfinished.
"""


def curves(
    runs: Annotated[tuple[Path, ...], Parameter(name="RUN")],
    /,
    *,
    output: Output,
    window: Annotated[int | None, Parameter(show_default=False)] = None,
    overwrite: Flag = False,
) -> int:
    """Plot the training and held-out losses of runs against their updates.

    PSNR and perceptual distance on held-out pictures are plotted below, if they were measured.  Losses of
    different objectives, or on different held-out pictures, are not comparable: a warning says what differs.

    Parameters
    ----------
    runs
        Folders of runs of `refinesr train` or `refinesr distill`.
    output
        File for the plot, .svg or .png.
    window
        Number of updates that the training loss is averaged over; default: a fiftieth of the longest run, but
        at least 100 if there are enough.
    overwrite
        Replace files that exist.
    """
    check_output_file("-o", output, overwrite, PLOTS)
    matplotlib_figure("curves", 1, 1)
    from .loss_curves import differences, draw, read_history, smoothing_window

    histories = [read_history(run) for run in runs]
    width = smoothing_window(histories, window)
    for line in differences(histories):
        print_message(f"warning: {line}")
    with replacing(output, overwrite=overwrite) as part:
        draw(histories, width, part, output.suffix[1:].lower())
    means = f"training loss in means of {counted(width, 'update')}"
    print_result(f"{output}  {counted(len(histories), 'run')}, {means}")
    return 0
