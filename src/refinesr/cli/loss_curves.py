"""Losses and held-out measurements of runs, and their plot."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError, InputError
from ..folder import RunFolder
from ..log import read_losses
from ..measurements import Measurement, lowest_loss, read_measurements
from ..run import Run, lesson_key, load_run
from .drawing import matplotlib_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OBJECTIVE = (
    *("scale", "channels", "precond", "levels", "target", "degradation", "p", "weighting"),
    *("rollout", "perception", "span"),
)
"""Fields of a method that define its loss; losses of runs that differ in them are not comparable."""

WINDOW_SHARE, MIN_WINDOW = 50, 100
"""Default window: a run's length divided by the first, but at least the second if the run is long enough."""

POINTS = 1000
"""Largest number of points of a line; more would only enlarge the file."""

RING: dict[str, Any] = {"marker": "o", "fillstyle": "none", "markersize": 10}
"""Marker of the smallest held-out loss."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RunHistory:
    """A run's training losses by step, (updates,) each, and its measurements on held-out images."""

    name: str
    run: Run
    steps: Numbers
    losses: Numbers
    measured: Sequence[Measurement]

    def smoothed(self, window: int) -> tuple[Numbers, Numbers]:
        """Steps and moving averages of the loss over `window` updates."""
        if len(self.losses) < window:
            return np.empty(0), np.empty(0)
        ends = np.concatenate([[0.0], self.losses.cumsum()])
        means = (ends[window:] - ends[:-window]) / window
        middles = (self.steps[: len(means)] + self.steps[window - 1 :]) / 2
        shown = np.unique(np.linspace(0, len(means) - 1, min(POINTS, len(means))).round().astype(int))
        return middles[shown], means[shown]

    def measurements_of(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of the measurements `name`, without missing ones."""
        found = [(each.step, getattr(each, name)) for each in self.measured]
        kept = [(step, value) for step, value in found if value is not None]
        return [step for step, _ in kept], [value for _, value in kept]

    @cached_property
    def label(self) -> str:
        """The name in a legend of matplotlib, where $ starts mathematics and a leading _ hides the entry."""
        name = self.name.replace("$", r"\$")
        return f"./{name}" if name.startswith("_") else name


def read_history(folder: Path) -> RunHistory:
    """Read the history of a run's folder.  Raises InputError, and ConfigError for an invalid run.json."""
    folders = RunFolder(folder)
    if not folder.is_dir():
        why = "is a file, not the folder of a run" if folder.exists() else "no such folder"
        raise InputError(f"{folder}: {why}")
    for file in (folders.run, folders.log):
        if not file.is_file():
            raise InputError(f"{folder}: holds no run; there is no {file.name}")
    run, updates, measured = load_run(folders), read_losses(folders.log), read_measurements(folders.held_out)
    assert run is not None
    if not (updates or measured):
        raise InputError(f"{folder}: its run has made no update yet")
    steps, values = np.array(updates, np.float64).reshape(-1, 2).T
    return RunHistory(str(folder), run, steps, values, measured)


def smoothing_window(histories: Iterable[RunHistory], asked: int | None) -> int:
    """The number of updates to average over.  Raises ConfigError if it exceeds a run's updates."""
    lengths = {history.name: len(history.losses) for history in histories if len(history.losses)}
    if asked is not None:
        if asked < 1:
            raise ConfigError(f"--window: {asked} is not positive")
        for name, length in lengths.items():
            if length < asked:
                raise ConfigError(f"--window: {asked} is more than the {length} updates of {name}")
        return asked
    longest, shortest = max(lengths.values(), default=1), min(lengths.values(), default=1)
    return max(1, min(shortest // 2, max(longest // WINDOW_SHARE, min(MIN_WINDOW, longest // 5))))


def differences(histories: Sequence[RunHistory]) -> Iterator[str]:
    """Sentences on what makes the numbers of these runs incomparable."""
    methods = [history.run.method for history in histories]
    names = [f"method.{name}" for name in OBJECTIVE if len({getattr(method, name) for method in methods}) > 1]
    names += ["lesson"] * (len({lesson_key(history.run) for history in histories}) > 1)
    names += ["distance"] * (len({history.run.distance for history in histories}) > 1)
    if names:
        yield f"losses of different objectives do not compare; the runs differ in {', '.join(names)}"
    if len({history.measured[-1].pictures for history in histories if history.measured}) > 1:
        yield "the runs were measured on different held-out pictures; these numbers do not compare"


def draw(histories: Sequence[RunHistory], window: int, path: Path, form: str) -> None:
    """Plot the losses and, below, PSNR and perceptual distance if they were measured."""
    more = [
        (name, title)
        for name, title in (("psnr", "PSNR in dB, held-out"), ("distance", "distance, held-out"))
        if any(history.measurements_of(name)[0] for history in histories)
    ]
    figure = matplotlib_figure("curves", 9, 5 + 3 * len(more))
    ratios = [5, *[3] * len(more)]
    first, *others = figure.subplots(len(ratios), sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    for number, history in enumerate(histories):
        colour = f"C{number % 10}"
        first.plot(*history.smoothed(window), color=colour, linewidth=1, alpha=0.6)
        for axes, name in ((first, "loss"), *zip(others, (name for name, _ in more), strict=True)):
            axes.plot(*history.measurements_of(name), ".-", color=colour)
        best = lowest_loss(history.measured)
        if best is not None:
            first.plot(best.step, best.loss, color=colour, **RING)
    set_log_scale(first)
    first.set(ylabel="loss", title="\n".join(differences(histories)) or None)
    first.title.set_fontsize("small")
    for axes, (_, title) in zip(others, more, strict=True):
        axes.set(ylabel=title)
    for axes in (first, *others):
        axes.grid(alpha=0.3)
    (others or [first])[-1].set_xlabel("update")
    figure.legend(handles=legend(histories, window), loc="outside lower center", ncols=2, fontsize="small")
    save_figure(figure, path, form)


def set_log_scale(axes: "Axes") -> None:
    """Use a logarithmic scale if the losses span more than a factor of ten."""
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
    values = values[np.isfinite(values)]
    if len(values) and 0 < 10 * values.min() < values.max():
        axes.set_yscale("log")


def legend(histories: Sequence[RunHistory], window: int) -> list[Any]:
    """Legend entries: the colour of each run, and the style of each kind of line."""
    from matplotlib.lines import Line2D

    runs = [Line2D([], [], color=f"C{k % 10}", label=history.label) for k, history in enumerate(histories)]
    means = f"training, means of {window} updates" if window > 1 else "training"
    styles = [Line2D([], [], color="0.4", linewidth=1, alpha=0.6, label=means)]
    if any(history.measured for history in histories):
        styles.append(Line2D([], [], color="0.4", marker=".", label="held-out, of the averaged weights"))
    if any(math.isfinite(each.loss) for history in histories for each in history.measured):
        styles.append(Line2D([], [], color="0.4", linestyle="", **RING, label="least held-out loss"))
    return [*runs, *styles]
