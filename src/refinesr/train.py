"""Training a run: everything it leaves is written to its folder."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from refinesr.checkpoint import save_stage
from refinesr.compiling import compile_distance, compile_networks
from refinesr.config import to_data
from refinesr.data import Pairs
from refinesr.diffusion.levels import Stratified
from refinesr.distill import distillation_objective
from refinesr.errors import ConfigError
from refinesr.files import locked, remove_partial_files, replacing, writing
from refinesr.fit import Batches, Plan, Report, State, TrainingObjective, check_divisible, fit
from refinesr.folder import RunFolder, check_files, check_folder
from refinesr.held_out import HeldOutSet
from refinesr.log import DivergedError, TrainingLog
from refinesr.measurements import Measurement, truncate_measurements
from refinesr.model import Model
from refinesr.monitoring import HeldOutEvaluator, HeldOutTracker, check_same_pictures, write_preview
from refinesr.objective import MIN_SIZE, Distance
from refinesr.pretrained import load_pretrained, new_model
from refinesr.process_group import SINGLE_PROCESS, ProcessGroup
from refinesr.run import Run, check_resumable
from refinesr.stage import Stage

LOG_INTERVAL = 100
"""Updates between two writes of the log: reading a loss waits for the GPU."""


def train(
    run: Run,
    batches: Batches,
    folder: Path,
    *,
    device: torch.device,
    autocast: torch.dtype | None = None,
    resume: bool = False,
    encoder: Path | None = None,
    teacher: Stage | None = None,
    start: Stage | None = None,
    distance: Distance | None = None,
    compiling: bool | None = None,
    processes: ProcessGroup = SINGLE_PROCESS,
    held_out: HeldOutSet | None = None,
) -> Iterator[Report]:
    """Train and yield a report after each update.

    encoder    a trained model whose encoder's weights are used; required if the encoder is frozen
    start      a model to take all initial weights from; its method must be compatible (`check_compatible`)
    teacher    the model to distil, on the device; required by, and only by, a run with a lesson
    distance   the perceptual distance that `method.perception` needs, on the device
    compiling  as in `compile_networks`
    held_out   pictures to measure on (`HeldOutTracker`); reports carry the measurements, and training is
               not affected.  Only the main process needs them
    processes  all processes of a group call this with the same arguments; only the main one writes files

    Closing the generator, or an exception in it or in the caller's loop, saves the state first, unless an
    update is only half made: then the last save remains.  A resumed run uses the method and plan of `run`.

    The folder is locked from the first `next` until the generator ends or the process does.  Raises
    OutputError if the folder is locked, cannot be written, or does not go with `resume` (`check_files`);
    ConfigError for an invalid combination of arguments; DivergedError if the loss is NaN or infinite, in
    which case nothing is saved after the last regular save.
    """
    files = RunFolder(folder)
    run.method.sampling.levels()  # previews need the sampling grid: an invalid one should fail now
    objective = build_objective(run, teacher, compile_distance(distance, compiling))
    check_divisible(run.plan, processes)
    if processes.is_main:
        check_folder(files, resume)
        check_same_pictures(files, held_out if resume else None)
    model = initial_model(run, device, resume, teacher or start or encoder)

    def updates(state: State) -> Iterator[Report]:
        for each in (state.model, *([teacher.model] if teacher else [])):
            compile_networks(each, device, compiling)
        yield from fit(
            state, batches, objective, run.plan, seed=run.seed, autocast=autocast, processes=processes
        )

    if not processes.is_main:
        state = initial_state(run, files, model, resume)
        check_steps(run.plan, state)
        yield from updates(state)
        return
    with locked(files.path):
        remove_partial_files(files.path)  # of a killed process; they may be as large as the state
        state = initial_state(run, files, model, resume)
        check_steps(run.plan, state)
        prepare_folder(run, files, state, resume)
        recorder = Recorder(run, files, state)
        if held_out is not None:
            evaluator = build_evaluator(run, held_out, autocast, teacher, distance)
            recorder.tracker = HeldOutTracker(evaluator, run.plan, files)
        if state.step == run.plan.steps:
            recorder.save()  # the process may have been killed after saving the state, before the model
        else:
            state.set_listing(batches.photos.listing if isinstance(batches, Pairs) else "")
        try:
            measured = recorder.measure_start(resumed=resume, pretrained=bool(start or teacher))
            for report in updates(state):
                measured += recorder.record(report, batches)
                yield replace(report, measured=tuple(measured))
                measured = []
        except DivergedError:
            raise
        except BaseException:
            recorder.save_interrupted()
            raise


@dataclass(eq=False)
class Recorder:
    """Writes the log, the state, the model, measurements and previews of a run to its folder."""

    run: Run
    files: RunFolder
    state: State
    tracker: HeldOutTracker | None = None
    log: TrainingLog = field(init=False)
    last_step: int = field(init=False)
    """The last update whose report is recorded."""

    def __post_init__(self) -> None:
        self.log = TrainingLog(self.files.log)
        self.last_step = self.state.step

    def measure_start(self, *, resumed: bool, pretrained: bool) -> list[Measurement]:
        """The measurement due before the first update, if any."""
        card = self.run.card_after(self.last_step)
        if self.tracker is None:
            return []
        return self.tracker.measure_start(self.state, card, resumed=resumed, pretrained=pretrained)

    def record(self, report: Report, batches: Batches) -> list[Measurement]:
        """Log the report and do what is due after its update; the new measurements.

        Saves first, because measuring and previews take long and may be interrupted.
        """
        self.log.pending.append(report)
        plan, step = self.run.plan, report.step
        self.last_step = step
        saved = step % plan.save_every == 0 or step == plan.steps
        if saved:
            self.save()
        elif len(self.log.pending) >= LOG_INTERVAL:
            self.log.write()
        measured = []
        if self.tracker is not None:
            measured = self.tracker.measure_if_due(self.state, self.run.card_after(step), saved=saved)
        if step % plan.preview_every == 0 or step == plan.steps:
            write_preview(self.run.method, plan, self.files, self.state, batches)
        return measured

    def save(self) -> None:
        save_run(self.run, self.files, self.state, self.log, self.tracker)

    def save_interrupted(self) -> None:
        """Save, unless nothing is learnt yet or the state is not exactly that of the last recorded update."""
        if self.last_step and self.state.is_complete_at(self.last_step):
            self.save()


def save_run(
    run: Run, files: RunFolder, state: State, log: TrainingLog, tracker: HeldOutTracker | None = None
) -> None:
    """Save log, best weights, state and model.

    The log and the best weights come first: the saved state is never ahead of the other files.
    """
    log.write()
    if tracker is not None:
        tracker.save_best()
    state.save(files.state)
    save_stage(Stage(run.method, state.average, run.card_after(state.step)), files.model, overwrite=True)


def build_objective(run: Run, teacher: Stage | None, distance: Distance | None = None) -> TrainingObjective:
    """The distillation objective of a student, or the method's own.

    Raises ConfigError if the teacher or the distance is missing, superfluous or does not fit.
    """
    if (run.lesson is None) != (teacher is None):
        raise ConfigError("lesson: a student needs one, and no other run has a teacher")
    if run.lesson is not None and teacher is not None:
        return distillation_objective(run.lesson, teacher, run.method)
    if (run.method.perception is None) != (distance is None):
        raise ConfigError("method.perception: needs a distance to learn by, and nothing else takes one")
    if distance is not None and run.plan.size < MIN_SIZE:
        raise ConfigError(
            f"plan.size: {run.plan.size} is too small for a perceptual distance; at least {MIN_SIZE}"
        )
    return run.method.objective(distance)


def build_evaluator(
    run: Run,
    held_out: HeldOutSet,
    autocast: torch.dtype | None,
    teacher: Stage | None,
    distance: Distance | None,
) -> HeldOutEvaluator:
    """Measures the run's own objective, with noise levels stratified over all held-out pictures together."""
    stratified = replace(run, method=replace(run.method, spread=Stratified()))
    objective, batch = build_objective(stratified, teacher, distance), run.plan.batch // run.plan.accumulate
    return HeldOutEvaluator(run.method, held_out, objective, batch, autocast, distance)


def prepare_run(
    run: Run,
    files: RunFolder,
    device: torch.device,
    resume: bool,
    source: Path | Stage | None = None,
) -> State:
    """Prepare the folder and return the state to start from, for a training loop other than `train`.

    The folder is not locked.  `source` is as in `initial_model`.
    """
    state = initial_state(run, files, initial_model(run, device, resume, source), resume)
    prepare_folder(run, files, state, resume)
    return state


def initial_model(run: Run, device: torch.device, resume: bool, source: Path | Stage | None) -> Model:
    """A new model, with weights from `source` (`load_pretrained`) unless a saved state will replace them."""
    model = new_model(run.method, device, run.seed)
    if not resume:
        load_pretrained(model, run.method, source)
    return model


def initial_state(run: Run, files: RunFolder, model: Model, resume: bool) -> State:
    """The state before the first update: that of `model`, or the saved one.  Writes nothing."""
    check_files(files, resume)  # again: another run may have come and gone since the first check
    state = State(model, run.plan)
    if resume:
        check_resumable(run, files)
        state.load(files.state)
    return state


def check_steps(plan: Plan, state: State) -> None:
    """Raise ConfigError if the state has more updates than the plan."""
    if state.step > plan.steps:
        raise ConfigError(f"plan.steps: {plan.steps}, but the run has made {state.step} updates already")


def prepare_folder(run: Run, files: RunFolder, state: State, resume: bool) -> None:
    """Write run.json, and remove from the log and the measurements what comes after the state."""
    with writing(files.path):
        files.path.mkdir(parents=True, exist_ok=True)
    if resume:
        TrainingLog(files.log).truncate(state.step)
        truncate_measurements(files.held_out, state.step)
    with replacing(files.run, overwrite=True) as part:
        part.write_text(json.dumps(to_data(run), indent=2) + "\n", encoding="utf-8")
    if not resume:
        with replacing(files.log, overwrite=True) as part:
            part.write_text("", encoding="utf-8")
        with writing(files.held_out):
            files.held_out.unlink(missing_ok=True)
