"""Updates fitted to minutes: `refinesr.fit.fit`, a stretch at a time, its plan fitted to the time left."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

import torch

from refinesr.fit import Batches, Plan, Report, State, TrainingObjective, fit

FIRST, SECOND = 2, 4
"""Updates of the first stretch, which compiles and is not counted, and of the one that is measured first."""

LENGTH = 3.0
"""Seconds of the other stretches."""

WARM = 20
"""A warm-up takes no more than one update in so many."""


@dataclass
class TimeBudget:
    """What time there is, in seconds.

    mine     of this command, from `start` on
    whole    of all commands that train this run, `before` of which were spent by earlier ones
    reserve  to be left when the last update is made: for saving
    saving   what one save takes; there is one `every` so many seconds
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

    def left(self) -> float:
        """Seconds for updates in this command."""
        return self._usable(self.mine - self.spent)

    def left_in_all(self) -> float:
        """Seconds for updates in this and the commands to come, no less than in this one."""
        whole = 0.0 if self.whole is None else self.whole - self.before
        return self._usable(max(whole, self.mine) - self.spent)

    def _usable(self, seconds: float) -> float:
        saves = int(max(0.0, seconds) // self.every) if math.isfinite(self.every) else 0
        return seconds - self.reserve - saves * self.saving


@dataclass
class Pace:
    """How long an update takes, by the latest stretches."""

    begun: int = 0
    recent: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=4))

    def add(self, updates: int, seconds: float) -> None:
        self.begun += 1
        if self.begun > 1:
            self.recent.append((updates, seconds))

    @property
    def seconds(self) -> float | None:
        """Of one update; None while nobody knows."""
        if not self.recent:
            return None
        updates, seconds = (sum(column) for column in zip(*self.recent, strict=True))
        return max(seconds / updates, 1e-9)

    def updates(self, watch: TimeBudget) -> int:
        """Of the next stretch; 0 when the time is over."""
        if self.seconds is None:
            return FIRST if not self.begun else SECOND if watch.left() > 0 else 0
        return max(0, min(int(watch.left() / self.seconds), max(1, round(LENGTH / self.seconds))))

    def fitted(self, plan: Plan, step: int, watch: TimeBudget) -> Plan:
        """The plan whose updates end when the time for all of them does."""
        if self.seconds is None:
            steps = max(plan.steps, step + SECOND)
        else:
            steps = step + max(1, int(watch.left_in_all() / self.seconds))
        return replace(plan, steps=steps, warmup=min(plan.warmup, steps // WARM))


@dataclass(frozen=True)
class Stretch:
    """Some updates, all of them computed; `plan` is the one they followed."""

    reports: list[Report]
    seconds: float
    plan: Plan


def train_in_stretches(
    state: State,
    pairs: Batches,
    objective: TrainingObjective,
    plan: Plan,
    watch: TimeBudget,
    *,
    seed: int,
    autocast: torch.dtype | None,
    from_first: bool = False,
    hear: Callable[[Report], None] = lambda report: None,
) -> Iterator[Stretch]:
    """Update until the time is over.  The rate follows the plan as if it had known the number of updates.

    `hear` is told of each update when it is made: whatever breaks in upon a stretch, it knows of the others.
    With `from_first` the watch starts anew after the first stretch: compiling is not counted.
    """
    pace = Pace()
    while updates := pace.updates(watch):
        begun, fitted = watch.now(), pace.fitted(plan, state.step, watch)
        reports = []
        for report in islice(fit(state, pairs, objective, fitted, seed=seed, autocast=autocast), updates):
            hear(report)
            reports.append(report)
        float(reports[-1].loss)  # waits for the device
        seconds = watch.now() - begun
        pace.add(len(reports), seconds)
        if from_first and pace.begun == 1:
            watch.start = watch.now()
        yield Stretch(reports, seconds, fitted)
