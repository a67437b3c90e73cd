"""The loss curves of runs, read from their folders and plotted."""

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
"""Fields of a method that decide what its loss is; the others decide how small it becomes."""

WINDOW_SHARE, MIN_WINDOW = 50, 100
"""A window is so small a part of a run, but of so many updates, if it has a few times as many."""

POINTS = 1000
"""Of a line, at most: more cannot be seen, and would make files of megabytes."""

RING: dict[str, Any] = {"marker": "o", "fillstyle": "none", "markersize": 10}
"""Around the best."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RunHistory:
    """How a run has come along: its losses, (updates,) each, and what its held-out pictures have told."""

    name: str
    run: Run
    steps: Numbers
    losses: Numbers
    measured: Sequence[Measurement]

    def smoothed(self, window: int) -> tuple[Numbers, Numbers]:
        """Mean losses of so many updates each, at the middle one."""
        if len(self.losses) < window:
            return np.empty(0), np.empty(0)
        ends = np.concatenate([[0.0], self.losses.cumsum()])
        means = (ends[window:] - ends[:-window]) / window
        middles = (self.steps[: len(means)] + self.steps[window - 1 :]) / 2
        shown = np.unique(np.linspace(0, len(means) - 1, min(POINTS, len(means))).round().astype(int))
        return middles[shown], means[shown]

    def measurements_of(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of what was measured by that name."""
        found = [(each.step, getattr(each, name)) for each in self.measured]
        kept = [(step, value) for step, value in found if value is not None]
        return [step for step, _ in kept], [value for _, value in kept]

    @cached_property
    def label(self) -> str:
        """For a legend, where dollars are mathematics and what begins with _ is hidden."""
        name = self.name.replace("$", r"\$")
        return f"./{name}" if name.startswith("_") else name


def read_history(folder: Path) -> RunHistory:
    """What a run's folder tells.  Raises InputError, and ConfigError for a run.json that cannot be read."""
    place = RunFolder(folder)
    if not folder.is_dir():
        why = "is a file, not the folder of a run" if folder.exists() else "no such folder"
        raise InputError(f"{folder}: {why}")
    for file in (place.run, place.log):
        if not file.is_file():
            raise InputError(f"{folder}: holds no run; there is no {file.name}")
    run, told, measured = load_run(place), read_losses(place.log), read_measurements(place.held_out)
    assert run is not None
    if not (told or measured):
        raise InputError(f"{folder}: its run has made no update yet")
    steps, values = np.array(told, np.float64).reshape(-1, 2).T
    return RunHistory(str(folder), run, steps, values, measured)


def smoothing_window(courses: Iterable[RunHistory], asked: int | None) -> int:
    """Updates that losses are averaged over.  Raises ConfigError for more than a run has made."""
    lengths = {course.name: len(course.losses) for course in courses if len(course.losses)}
    if asked is not None:
        if asked < 1:
            raise ConfigError(f"--window: {asked} is not positive")
        for name, length in lengths.items():
            if length < asked:
                raise ConfigError(f"--window: {asked} is more than the {length} updates of {name}")
        return asked
    longest, shortest = max(lengths.values(), default=1), min(lengths.values(), default=1)
    return max(1, min(shortest // 2, max(longest // WINDOW_SHARE, min(MIN_WINDOW, longest // 5))))


def differences(courses: Sequence[RunHistory]) -> Iterator[str]:
    """What keeps numbers of these runs from being compared."""
    methods = [course.run.method for course in courses]
    names = [f"method.{name}" for name in OBJECTIVE if len({getattr(method, name) for method in methods}) > 1]
    names += ["lesson"] * (len({lesson_key(course.run) for course in courses}) > 1)
    names += ["distance"] * (len({course.run.distance for course in courses}) > 1)
    if names:
        yield f"losses of different objectives do not compare; the runs differ in {', '.join(names)}"
    if len({course.measured[-1].pictures for course in courses if course.measured}) > 1:
        yield "the runs were measured on different held-out pictures; these numbers do not compare"


def draw(courses: Sequence[RunHistory], window: int, path: Path, form: str) -> None:
    """Losses, and below them PSNR and distance where there are any."""
    more = [
        (name, title)
        for name, title in (("psnr", "PSNR in dB, held-out"), ("distance", "distance, held-out"))
        if any(course.measurements_of(name)[0] for course in courses)
    ]
    figure = matplotlib_figure("curves", 9, 5 + 3 * len(more))
    ratios = [5, *[3] * len(more)]
    first, *others = figure.subplots(len(ratios), sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    for number, course in enumerate(courses):
        colour = f"C{number % 10}"
        first.plot(*course.smoothed(window), color=colour, linewidth=1, alpha=0.6)
        for axes, name in ((first, "loss"), *zip(others, (name for name, _ in more), strict=True)):
            axes.plot(*course.measurements_of(name), ".-", color=colour)
        best = lowest_loss(course.measured)
        if best is not None:
            first.plot(best.step, best.loss, color=colour, **RING)
    set_log_scale(first)
    first.set(ylabel="loss", title="\n".join(differences(courses)) or None)
    first.title.set_fontsize("small")
    for axes, (_, title) in zip(others, more, strict=True):
        axes.set(ylabel=title)
    for axes in (first, *others):
        axes.grid(alpha=0.3)
    (others or [first])[-1].set_xlabel("update")
    figure.legend(handles=legend(courses, window), loc="outside lower center", ncols=2, fontsize="small")
    save_figure(figure, path, form)


def set_log_scale(axes: "Axes") -> None:
    """A logarithmic scale for losses that span more than a factor of ten."""
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
    values = values[np.isfinite(values)]
    if len(values) and 0 < 10 * values.min() < values.max():
        axes.set_yscale("log")


def legend(courses: Sequence[RunHistory], window: int) -> list[Any]:
    """A colour for each run, and a look for each kind of line."""
    from matplotlib.lines import Line2D

    runs = [Line2D([], [], color=f"C{k % 10}", label=course.label) for k, course in enumerate(courses)]
    means = f"training, means of {window} updates" if window > 1 else "training"
    looks = [Line2D([], [], color="0.4", linewidth=1, alpha=0.6, label=means)]
    if any(course.measured for course in courses):
        looks.append(Line2D([], [], color="0.4", marker=".", label="held-out, of the averaged weights"))
    if any(math.isfinite(each.loss) for course in courses for each in course.measured):
        looks.append(Line2D([], [], color="0.4", linestyle="", **RING, label="least held-out loss"))
    return [*runs, *looks]
