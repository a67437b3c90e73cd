"""Training a run for a number of minutes; its files, and pieces of them to transfer.

Everything is saved about once a minute, so that a killed command loses little.
"""

import json
import math
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from gpu.pace import Stretch, TimeBudget, train_in_stretches
from gpu.pieces import cut
from gpu.prefetching import PrefetchedBatches
from gpu.transfer import MODEL, save_transfer
from refinesr.errors import ConfigError
from refinesr.files import replacing
from refinesr.fit import Batches, Report, State, TrainingObjective
from refinesr.folder import RunFolder
from refinesr.log import DivergedError, TrainingLog
from refinesr.metrics.perceptual import Perceptual
from refinesr.monitoring import write_preview
from refinesr.objective import Distance
from refinesr.run import Run
from refinesr.train import save_run

FAR = 2**31 - 1
"""Number of the batch that previews show, which no run reaches."""

SPENT = "spent.json"
"""File in a run's folder: the seconds spent so far, and the number of updates planned last."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """A run, its folder, and where its files are exported.

    out   folder for pieces of the files, written at every save; None: none are written
    room  bytes that fit there; the weights that are not averaged are left out if they do not fit
    """

    run: Run
    folder: Path
    autocast: torch.dtype | None = None
    out: Path | None = None
    room: int = 60 * 2**20
    from_first: bool = False
    """Whether the time starts after the first updates, which compile."""
    ahead: bool = False
    """Whether the next batch is prepared while the network computes."""


@dataclass(frozen=True)
class Summary:
    """Result of a training; crops per second exclude compiling, saving and loading."""

    updates: int
    loss: float
    crops: float


def train_for(
    job: Job,
    pairs: Batches,
    state: State,
    objective: TrainingObjective,
    budget: TimeBudget,
    tell: Tell = print,
) -> Summary:
    """Train until the time is over, printing progress.

    However it ends, the last complete state is saved in the folder and, as pieces, in `out`; if an update is
    only half made, the last save remains.  Raises DivergedError if the loss is NaN or infinite; nothing is
    saved after that.
    """
    recorder = Recorder(job, pairs, budget, tell)
    stretches = train_in_stretches(
        state,
        PrefetchedBatches(pairs) if job.ahead else pairs,
        objective,
        with_planned_steps(job.run, job.folder).plan,
        budget,
        seed=job.run.seed,
        autocast=job.autocast,
        from_first=job.from_first,
        on_report=recorder.on_report,
    )
    try:
        for stretch in stretches:
            recorder.record(state, stretch)
    except DivergedError:
        raise
    except BaseException:
        if recorder.updates and state.is_complete_at(recorder.last_step):
            with suppress(Exception):  # the first error is the one to raise
                recorder.save(state)
        raise
    if recorder.updates:
        recorder.save(state)
    return recorder.summary(state)


def with_distance(run: Run, folder: Path | None, device: torch.device) -> tuple[Run, Distance | None]:
    """The run and the distance that its perception, if it has one, learns by.  Raises ConfigError."""
    if run.method.perception is None:
        return run, None
    if folder is None:
        raise ConfigError("method.perception: needs a distance to learn by; add --perceptual")
    return replace(run, distance=Perceptual.title), Perceptual(folder, device)


def with_planned_steps(run: Run, folder: Path) -> Run:
    """The run, its plan as long as it was last thought to be."""
    spent = folder / SPENT
    steps = json.loads(spent.read_text())["steps"] if spent.exists() else run.plan.steps
    return replace(run, plan=replace(run.plan, steps=steps))


class Recorder:
    """Prints progress, logs and saves."""

    def __init__(self, job: Job, pairs: Batches, budget: TimeBudget, tell: Tell) -> None:
        self.job, self.pairs, self.budget, self.tell = job, pairs, budget, tell
        self.run, self.log = job.run, TrainingLog(RunFolder(job.folder).log)
        self.flops = flops(job.run) if job.run.lesson is None else 0.0  # a teacher's are not counted
        self.last: Stretch | None = None
        self.updates, self.counted, self.seconds, self.saved = 0, 0, 0.0, -budget.every
        self.last_step = 0

    def on_report(self, report: Report) -> None:
        self.log.pending.append(report)
        self.last_step = report.step

    def record(self, state: State, stretch: Stretch) -> None:
        first, self.last = self.last is None, stretch
        self.run = replace(self.job.run, plan=stretch.plan)
        self.log.write()  # a loss that is no number ends the run before anything is saved
        self.updates += len(stretch.reports)
        if not first:
            self.counted += len(stretch.reports)
            self.seconds += stretch.seconds
        self.tell(self.line(stretch))
        if math.isfinite(self.budget.every) and self.budget.spent - self.saved >= self.budget.every:
            self.save(state)

    def save(self, state: State) -> None:
        """Save, and reserve the time it takes for the last save."""
        started = self.budget.spent
        save_run(self.run, RunFolder(self.job.folder), state, self.log)
        far = replace(self.run.plan, steps=FAR)
        write_preview(self.run.method, far, RunFolder(self.job.folder), state, self.pairs)
        spent = {"seconds": self.budget.before + self.budget.spent, "steps": self.run.plan.steps}
        with replacing(self.job.folder / SPENT, overwrite=True) as part:
            part.write_text(json.dumps(spent) + "\n")
        if self.job.out is not None:
            export(self.run, state, self.job.folder, self.job.out, self.job.room)
        self.saved = self.budget.spent
        self.budget.saving = self.saved - started
        self.budget.reserve = 1 + 2 * self.budget.saving
        self.tell(f"saved after update {state.step}, in {self.budget.saving:.1f} s")

    def line(self, stretch: Stretch) -> str:
        """A line of progress."""
        report, plan = stretch.reports[-1], stretch.plan
        crops = len(stretch.reports) * plan.batch / stretch.seconds
        loss = sum(float(each.loss) for each in stretch.reports) / len(stretch.reports)
        fast = f"  {crops * self.flops / 1e12:.3g} TFLOP/s" if self.flops else ""
        return (
            f"{self.budget.spent:6.1f} s  update {report.step} of {plan.steps}  loss {loss:.4f}  "
            f"rate {report.rate:.2e}  {crops:.0f} crops/s{fast}{memory()}"
        )

    def summary(self, state: State) -> Summary:
        batch, reports = self.job.run.plan.batch, self.last.reports if self.last else []
        loss = sum(float(report.loss) for report in reports) / max(1, len(reports))
        return Summary(state.step, loss, self.counted * batch / self.seconds if self.seconds else 0.0)


def export(run: Run, state: State, folder: Path, out: Path, room: int, *, moments: bool = False) -> None:
    """Write pieces of the model and, if there is room, of the weights; the log and the latest preview."""
    files = save_transfer(run, state, folder / "carried", moments=moments)
    if sum(file.stat().st_size for file in files) > room:
        files = [file for file in files if file.name == MODEL]
    cut(files, out)
    place = RunFolder(folder)
    if place.log.exists():
        shutil.copyfile(place.log, out / place.log.name)
    pictures = sorted(place.preview(0).parent.glob("*.png"))
    if pictures:
        shutil.copyfile(pictures[-1], out / "preview.png")


def flops(run: Run) -> float:
    """Floating-point operations per crop of an update, forward and backward, of network and encoder."""
    method, side, small = run.method, run.plan.size, run.plan.size // run.method.scale
    widths = method.source.input_channels(method.channels)
    shapes = {"image_channels": (side, side), "features": (small, small), "vector": ()}
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = method.build().train()
        made = {name: torch.empty(1, width, *shapes[name]) for name, width in widths.items()}
        inputs = {name.removesuffix("_channels"): tensor for name, tensor in made.items()}
        for encoder in model.source.children():
            inputs["features"] = encoder(torch.empty(1, method.channels, small, small))
        x = torch.empty(1, method.channels, side, side)
        model.network(x, torch.ones(1), **inputs).sum().backward()
    return float(counter.get_total_flops())


def memory() -> str:
    used = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0
    return f"  {used:.0f} GiB" if used else ""
