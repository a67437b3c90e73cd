"""Pictures of numbers, by matplotlib, which is there if somebody has asked for it."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLOTS = (".png", ".svg")
"""Suffixes of what can be drawn."""


def matplotlib_figure(option: str, width: int, height: int) -> "Figure":
    """An empty one that no window belongs to, in inches.  Raises ConfigError where matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(f"{option}: needs matplotlib: pip install 'refinesr[plot]'") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: "Figure", path: Path, form: str) -> None:
    """The same picture is the same file: without a date, and with names of parts that are no chance."""
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "refinesr"}):
        figure.savefig(path, format=form, metadata={"Date": None} if form == "svg" else None)
