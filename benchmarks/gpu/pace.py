"""Training for a given time: `refinesr.fit.fit` in stretches, with the plan fitted to the time left."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

import torch

from refinesr.fit import Batches, Plan, Report, State, TrainingObjective, fit

FIRST, SECOND = 2, 4
"""Updates of the first stretch, which compiles and is not timed, and of the second, which is timed first."""

LENGTH = 3.0
"""Seconds of the other stretches."""

WARM = 20
"""The warm-up is at most one in so many updates."""


@dataclass
class TimeBudget:
    """The available time in seconds.

    mine     of this command, counted from `start`
    whole    of all commands that train this run; earlier ones have spent `before` of it
    reserve  kept free for saving after the last update
    saving   duration of one save; there is one `every` so many seconds
    """

    mine: float
    whole: float | None = None
    before: float = 0.0
    every: float = 60.0
    now: Callable[[], float] = time.perf_counter
    start: float = field(default=math.nan)
    reserve: float = 1.0
    saving: float = 0.0

    def __post_init__(self) -> None:
        self.start = self.now() if math.isnan(self.start) else self.start

    @property
    def spent(self) -> float:
        return self.now() - self.start

    def remaining(self) -> float:
        """Seconds for updates in this command."""
        return self._usable(self.mine - self.spent)

    def remaining_in_all(self) -> float:
        """Seconds for updates in this and the commands to come, no less than in this one."""
        whole = 0.0 if self.whole is None else self.whole - self.before
        return self._usable(max(whole, self.mine) - self.spent)

    def _usable(self, seconds: float) -> float:
        saves = int(max(0.0, seconds) // self.every) if math.isfinite(self.every) else 0
        return seconds - self.reserve - saves * self.saving


@dataclass
class Pace:
    """The duration of an update, estimated from the latest stretches."""

    begun: int = 0
    recent: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=4))

    def add(self, updates: int, seconds: float) -> None:
        self.begun += 1
        if self.begun > 1:
            self.recent.append((updates, seconds))

    @property
    def seconds(self) -> float | None:
        """Of one update; None before the first timed stretch."""
        if not self.recent:
            return None
        updates, seconds = (sum(column) for column in zip(*self.recent, strict=True))
        return max(seconds / updates, 1e-9)

    def updates(self, budget: TimeBudget) -> int:
        """Number of updates of the next stretch; 0 when the time is over."""
        if self.seconds is None:
            return FIRST if not self.begun else SECOND if budget.remaining() > 0 else 0
        return max(0, min(int(budget.remaining() / self.seconds), max(1, round(LENGTH / self.seconds))))

    def fit_plan(self, plan: Plan, step: int, budget: TimeBudget) -> Plan:
        """The plan with as many steps as the remaining time of all commands allows."""
        if self.seconds is None:
            steps = max(plan.steps, step + SECOND)
        else:
            steps = step + max(1, int(budget.remaining_in_all() / self.seconds))
        return replace(plan, steps=steps, warmup=min(plan.warmup, steps // WARM))


@dataclass(frozen=True)
class Stretch:
    """Some completed updates, and the plan that they followed."""

    reports: list[Report]
    seconds: float
    plan: Plan


def train_in_stretches(
    state: State,
    pairs: Batches,
    objective: TrainingObjective,
    plan: Plan,
    budget: TimeBudget,
    *,
    seed: int,
    autocast: torch.dtype | None,
    from_first: bool = False,
    on_report: Callable[[Report], None] = lambda report: None,
) -> Iterator[Stretch]:
    """Update until the time is over; the learning rate follows the plan fitted to the expected updates.

    on_report   called after each update, so that an interrupted stretch loses no reports
    from_first  the time starts anew after the first stretch, so that compiling is not counted
    """
    pace = Pace()
    while updates := pace.updates(budget):
        begun, fitted = budget.now(), pace.fit_plan(plan, state.step, budget)
        reports = []
        for report in islice(fit(state, pairs, objective, fitted, seed=seed, autocast=autocast), updates):
            on_report(report)
            reports.append(report)
        float(reports[-1].loss)  # waits for the device
        seconds = budget.now() - begun
        pace.add(len(reports), seconds)
        if from_first and pace.begun == 1:
            budget.start = budget.now()
        yield Stretch(reports, seconds, fitted)
