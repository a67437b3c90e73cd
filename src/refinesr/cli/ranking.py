"""The results of a search: as a table, as JSON, and as a plot."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import to_data
from ..search import Metric, Trial, ranked
from .drawing import matplotlib_figure, save_figure
from .grids import grid_name
from .messages import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 10
"""Ranks in the table; JSON has all."""

CHANCE = 2.0
"""Standard errors within which a difference may well be none."""


@dataclass(frozen=True)
class Ranking:
    """All trials in their order; the first is of the model's own grid."""

    metric: Metric
    trials: tuple[Trial, ...]

    @cached_property
    def order(self) -> list[Trial]:
        return ranked(self.trials, self.metric)

    @property
    def best(self) -> Trial:
        """Of those in as many steps as asked for, which the model's own grid may not be had in."""
        steps = self.trials[-1].sampling.steps  # all but the own one are
        return next(trial for trial in self.order if trial.sampling.steps == steps)

    @property
    def own(self) -> Trial:
        return self.trials[0]

    def against_own(self, trial: Trial) -> tuple[float, float] | None:
        """The paired difference and its standard error, where the same pictures were judged."""
        other = trial.sampling != self.own.sampling and trial.images == self.own.images
        return trial.difference(self.own) if other else None

    # -------------------------------------------------------------------------------------------- in words

    def lines(self) -> Iterator[str]:
        if not self.trials:
            return
        numbered = [(str(rank), trial) for rank, trial in enumerate(self.order, start=1)]
        others = [row for row in numbered if row[1].sampling != self.own.sampling]
        rows = [("own", self.own), *others[:SHOWN]]
        cells = [("rank", "grid", self.metric.title, "against own", "pictures"), *map(self.cells, rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(5)]
        for row in cells:
            yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        yield self.summary()

    def cells(self, row: tuple[str, Trial]) -> tuple[str, str, str, str, str]:
        name, trial = row
        apart = self.against_own(trial)
        grid, steps = grid_name(trial.sampling.grid), self.best.sampling.steps
        grid += f" in {trial.sampling.steps} steps" if trial.sampling.steps != steps else ""
        difference = f"{apart[0]:+.3g} ± {apart[1]:.2g}" if apart else ""
        return name, grid, f"{trial.score:.4g} ± {trial.error:.2g}", difference, str(trial.images)

    def summary(self) -> str:
        apart, better = self.against_own(self.best), "higher" if self.metric.higher_is_better else "lower"
        start = f"{self.metric.title}, {better} is better:"
        if apart is None:
            return f"{start} nothing that was tried beats the model's own grid"
        difference, error = apart
        sure = "" if abs(difference) > CHANCE * error else ", which may be chance"
        word = "better" if (difference > 0) == self.metric.higher_is_better else "worse"
        gain = f"{abs(difference):.3g} ± {error:.2g} {word} than the model's own grid"
        if self.own.sampling.steps != self.best.sampling.steps:
            gain += f" in {counted(self.own.sampling.steps, 'step')}"
        return f"{start} the best is {gain} on the same {counted(self.best.images, 'picture')}{sure}"

    def remark(self) -> str:
        """For the model's card."""
        best, own = self.best, self.own
        came = f"{self.metric.title} {best.score:.4g} ± {best.error:.2g} on {counted(best.images, 'picture')}"
        steps = counted(best.sampling.steps, "step")
        return f"grid for {steps} searched: {came} it was chosen by, {own.score:.4g} with the grid before"

    # --------------------------------------------------------------------------------------------- as data

    def data(self) -> dict[str, Any]:
        """For JSON, best first; null stands for what is no number."""
        best, own = (
            self.entry(trial) | {"levels": trial.sampling.levels().tolist()}
            for trial in (self.best, self.own)
        )
        return {"own": own, "best": best, "trials": [self.entry(trial) for trial in self.order]}

    def entry(self, trial: Trial) -> dict[str, Any]:
        difference, error = self.against_own(trial) or (math.nan, math.nan)
        return {
            "grid": to_data(trial.sampling)["grid"],
            "steps": trial.sampling.steps,
            "pictures": trial.images,
            "score": number(trial.score),
            "error": number(trial.error),
            "against_own": number(difference),
            "against_own_error": number(error),
        }

    # ----------------------------------------------------------------------------------------- as a picture

    def draw(self, path: Path, form: str) -> None:
        """Left the ends of all grids, coloured by score; right the levels of the best and the own."""
        figure = matplotlib_figure("--plot", 12, 5)
        left, right = figure.subplots(1, 2)
        self.draw_ends(left)
        figure.colorbar(left.collections[0], ax=left, label=self.metric.title)
        for name, trial, look in (("own", self.own, "k.--"), ("best", self.best, "C3.-")):
            right.plot(
                trial.sampling.levels()[:-1].tolist(), look, label=f"{name}: {grid_name(trial.sampling.grid)}"
            )
        right.set(yscale="log", xlabel="step", ylabel="sigma", title="levels")
        right.xaxis.get_major_locator().set_params(integer=True)
        right.legend(fontsize="small")
        save_figure(figure, path, form)

    def draw_ends(self, axes: "Axes") -> None:
        """Scores on fewer pictures are no others' equals: grids given up are grey, and not coloured."""
        judged = [trial for trial in reversed(self.order) if trial.images == self.own.images]
        given_up = [trial for trial in self.order if trial.images != self.own.images]
        axes.scatter(*ends(judged), 60, [trial.score for trial in judged], cmap="viridis")
        axes.scatter(*ends(given_up), 12, "0.7", label="given up")
        for name, trial, look in (("own", self.own, "k+"), ("best", self.best, "rx")):
            axes.plot(*ends([trial]), look, markersize=12, label=name)
        axes.set(xscale="log", yscale="log", xlabel="last sigma", ylabel="first sigma", title="ends of grids")
        axes.tick_params(axis="x", which="both", rotation=45)
        axes.legend(fontsize="small")


def ends(trials: Iterable[Trial]) -> tuple[list[float], list[float]]:
    """The last levels and the first ones."""
    levels = [trial.sampling.levels().tolist() for trial in trials]
    return [grid[-2] for grid in levels], [grid[0] for grid in levels]


def number(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None
