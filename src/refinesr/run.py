"""A run: a method, a plan and a folder.  All that a training leaves behind is written here."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import torch

from refinesr.checkpoint import save_stage
from refinesr.compiling import compile_distance, compile_networks
from refinesr.config import from_data, parse, to_data
from refinesr.data import Pairs as Crops
from refinesr.data import Photos
from refinesr.devices import check_seed
from refinesr.diffusion.levels import Stratified
from refinesr.distill import Lesson, taught
from refinesr.errors import ConfigError
from refinesr.files import held, remove_parts, replacing, writing
from refinesr.folder import Folder, check_files, check_folder
from refinesr.held_out import HeldOut
from refinesr.log import DivergedError, Log
from refinesr.measured import Measurement, shortened
from refinesr.method import Method
from refinesr.model import Model
from refinesr.objective import LEAST, Distance
from refinesr.pretrained import begin_with, check_start, fresh
from refinesr.shipped import load_with_checksum
from refinesr.stage import Card, Stage
from refinesr.team import ALONE, Team
from refinesr.train import Learning, Pairs, Plan, Report, State, check_shares, fit
from refinesr.watching import Ruler, Watch, check_same, preview

LINES = 100
"""Updates between two looks at their losses: reading one waits for a GPU."""


@dataclass(frozen=True)
class Run:
    """One complete training, as a value: what a recipe returns and `--set` changes."""

    name: str
    method: Method
    plan: Plan
    card: Card = field(default_factory=Card)
    lesson: Lesson | None = None
    """Of a student (`refinesr.distill`); others learn their method's own objective."""
    start: str = ""
    """The model whose weights it begins with, as its card tells; empty for fresh ones."""
    distance: str = ""
    """What its method's perception is learnt by, as its card tells; empty if there is none."""
    seed: int = 0
    """Of the weights, the levels and the noise; 0 or more."""

    def __post_init__(self) -> None:
        check_seed(self.seed)


def train(
    run: Run,
    pairs: Pairs,
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
    team: Team = ALONE,
    held_out: HeldOut | None = None,
) -> Iterator[Report]:
    """Train and yield a report after each update.

    Close the generator, or let an exception go through it, and the state is saved all the same.  If that left
    an update half made, the last save stays, and the run goes on from there, as a killed one does.  A resumed
    run takes its method and plan from `run`, as the first time.  `encoder` is a trained model whose encoder
    this one begins with; a frozen encoder needs it.  `start` is one to begin with all weights of, its method
    being alike (`pretrained.check_start`).  `teacher` is the model, on the device, that the run's lesson is
    of: a student begins as a copy of it.  `distance`, on the device, is what a perception is learnt by.
    `compiling` is as in `compile_networks`.  All of a `team` call this alike; the one that leads holds the
    folder and writes, and it alone needs `held_out`; the others but read a state to resume.  What held-out
    pictures tell (`Watch`) comes with the reports, and changes nothing that is learnt.  The folder is held
    from the first `next` until the generator is closed or exhausted, or the process ends.  Raises OutputError
    if the folder is held already, holds a run and `resume` is not given, or the reverse, or cannot be
    written; ConfigError for what cannot be learnt or shared; DivergedError if the loss is no number, the last
    save being from before.
    """
    place = Folder(folder)
    run.method.sampling.levels()  # previews need them: better found out now
    objective = learnt(run, teacher, compile_distance(distance, compiling))
    check_shares(run.plan, team)

    def updates(state: State) -> Iterator[Report]:
        for each in (state.model, *([teacher.model] if teacher else [])):
            compile_networks(each, device, compiling)
        yield from fit(state, pairs, objective, run.plan, seed=run.seed, autocast=autocast, team=team)

    if team.leads:
        check_folder(place, resume)
        check_same(place, held_out if resume else None)
    model = beginning(run, device, resume, teacher or start or encoder)
    if not team.leads:
        yield from updates(left(run, stood(run, place, model, resume)))
        return
    with held(place.path):
        remove_parts(place.path)  # half a state may be as large as all the rest
        state = left(run, stood(run, place, model, resume))
        enter(run, place, state, resume)
        log, watch = Log(place.log), None
        if held_out is not None:
            watch = Watch(ruler(run, held_out, autocast, teacher, distance), run.plan, place)
        told = state.step
        if told == run.plan.steps:  # of a run that was killed between its last state and its model
            save(run, place, state, log)
        else:
            state.sees(pairs.photos.listing if isinstance(pairs, Crops) else "")
        try:
            card, begun = card_of(run, told), (start or teacher) is not None
            news = watch.begin(state, card, resumed=resume, trained=begun) if watch else []
            for report in updates(state):
                log.waiting.append(report)
                told = report.step
                news += look(run, place, state, log, pairs, watch)
                yield replace(report, measured=tuple(news))
                news = []
        except DivergedError:
            raise
        except BaseException:
            # else nothing has been learnt that would be in the way of another try, or it is half an update
            if told and state.stands_at(told):
                save(run, place, state, log, watch)
            raise


def learnt(run: Run, teacher: Stage | None, distance: Distance | None = None) -> Learning:
    """What the run's student is taught, or its method's own objective.  Raises ConfigError."""
    if (run.lesson is None) != (teacher is None):
        raise ConfigError("lesson: a student needs one, and no other run has a teacher")
    if run.lesson is not None and teacher is not None:
        return taught(run.lesson, teacher, run.method)
    if (run.method.perception is None) != (distance is None):
        raise ConfigError("method.perception: needs a distance to learn by, and nothing else takes one")
    if distance is not None and run.plan.size < LEAST:
        raise ConfigError(
            f"plan.size: {run.plan.size} is too small for a perceptual distance; at least {LEAST}"
        )
    return run.method.objective(distance)


def begun_with(run: Run, source: str | Path) -> tuple[Run, Stage]:
    """The run, whose card will tell of it, and the model that it begins with all weights of.

    Raises ConfigError for one that is unlike, CheckpointError as `load` does.
    """
    first, name, checksum = load_with_checksum(source)
    check_start(run.method, first, str(source))
    return replace(run, start=f"{name} (SHA-256 {checksum})"), first


def material(run: Run, photos: Photos) -> Crops:
    """Pairs of the run's own kind, of photos that hold its crops.  Raises ConfigError."""
    method, plan = run.method, run.plan
    if photos.store.span != method.span:
        raise ConfigError(f"method.span: is {method.span}, and the photos were loaded by {photos.store.span}")
    return Crops(
        photos, method.degradation, plan.size, plan.batch, run.seed, method.classes, upright=plan.upright
    )


def look(
    run: Run, place: Folder, state: State, log: Log, pairs: Pairs, watch: Watch | None
) -> list[Measurement]:
    """What is due after an update.  Saved first: all else takes long, and may be broken off."""
    plan, step = run.plan, state.step
    if saved := step % plan.save_every == 0 or step == plan.steps:
        save(run, place, state, log, watch)
    elif len(log.waiting) >= LINES:
        log.write()
    news = watch.look(state, card_of(run, step), saved=saved) if watch else []
    if step % plan.preview_every == 0 or step == plan.steps:
        preview(run.method, plan, place, state, pairs)
    return news


def ruler(
    run: Run, aside: HeldOut, autocast: torch.dtype | None, teacher: Stage | None, distance: Distance | None
) -> Ruler:
    """What is measured of the run: its own objective, the levels spread over all pictures at once."""
    steady = replace(run, method=replace(run.method, spread=Stratified()))
    objective, batch = learnt(steady, teacher, distance), run.plan.batch // run.plan.accumulate
    return Ruler(run.method, aside, objective, batch, autocast, distance)


def begun(
    run: Run, place: Folder, device: torch.device, resume: bool, first: Path | Stage | None = None
) -> State:
    """The state to start from, for a loop other than `train`, which holds the folder itself or need not."""
    state = stood(run, place, beginning(run, device, resume, first), resume)
    enter(run, place, state, resume)
    return state


def beginning(run: Run, device: torch.device, resume: bool, first: Path | Stage | None) -> Model:
    """Fresh weights, or those of `first`; a resumed run will replace them.  Nothing is written."""
    model = fresh(run.method, device, run.seed)
    if not resume:
        begin_with(model, run.method, first)
    return model


def stood(run: Run, place: Folder, model: Model, resume: bool) -> State:
    """The state to start from, of `model` or the folder's last save.  Nothing is written."""
    check_files(place, resume)  # again: another run may have come and gone
    state = State(model, run.plan)
    if resume:
        same_method(run, place)
        state.restore(place.state)
    return state


def left(run: Run, state: State) -> State:
    """The state, if the plan goes as far as it has come.  Raises ConfigError."""
    if state.step > run.plan.steps:
        raise ConfigError(f"plan.steps: {run.plan.steps}, but the run has made {state.step} updates already")
    return state


def enter(run: Run, place: Folder, state: State, resume: bool) -> None:
    """Make the folder ready for what follows the state."""
    if resume:
        Log(place.log).shorten(state.step)
        shortened(place.held_out, state.step)
    with writing(place.path):
        place.path.mkdir(parents=True, exist_ok=True)
    with replacing(place.run, overwrite=True) as part:
        part.write_text(json.dumps(to_data(run), indent=2) + "\n", encoding="utf-8")
    if not resume:
        with replacing(place.log, overwrite=True) as part:
            part.write_text("", encoding="utf-8")
        with writing(place.held_out):
            place.held_out.unlink(missing_ok=True)


def begun_as(place: Folder) -> Run | None:
    """The folder's run as it last began or went on; None if that is not told.  Raises ConfigError."""
    if not place.run.exists():
        return None
    return from_data(Run, parse(place.run.read_bytes(), str(place.run)), str(place.run))


def same_method(run: Run, place: Folder) -> None:
    """Raises ConfigError if the folder's run learns something else, or otherwise; its plan may change."""
    stored = begun_as(place)
    if stored is None:
        return  # weights of another shape are still found out
    if taught_by(stored) != taught_by(run):
        raise ConfigError(f"{place.path}: holds a run of another lesson; --resume may only change the plan")
    if type(stored.plan.optimizer) is not type(run.plan.optimizer):
        name = type(stored.plan.optimizer).__name__
        raise ConfigError(f"{place.path}: holds a run with plan.optimizer={name}; --resume may not change it")
    if stored.method != run.method:
        names = (field.name for field in fields(Method))
        other = next(name for name in names if getattr(stored.method, name) != getattr(run.method, name))
        raise ConfigError(
            f"{place.path}: holds a run of another method.{other}; --resume may only change the plan"
        )
    if stored.seed != run.seed:
        raise ConfigError(f"{place.path}: holds a run of seed {stored.seed}; --resume may not change it")
    if stored.distance != run.distance:
        raise ConfigError(f"{place.path}: holds a run that learns by {stored.distance}, not {run.distance}")


def taught_by(run: Run) -> Lesson | None:
    """The lesson, whatever the teacher's file is called now: its checksum tells."""
    return None if run.lesson is None else replace(run.lesson, teacher="")


def save(run: Run, place: Folder, state: State, log: Log, watch: Watch | None = None) -> None:
    """The log and the best first: a state never knows of an update that the folder lacks."""
    log.write()
    if watch is not None:
        watch.keep()
    state.save(place.state)
    save_stage(Stage(run.method, state.average, card_of(run, state.step)), place.model, overwrite=True)


def card_of(run: Run, steps: int) -> Card:
    """The run's own card; a student's, or one that does not tell of training, is told what there has been."""
    plan = run.plan
    crops = f"{plan.batch} crops of {plan.size} x {plan.size} pixels"
    begun = f", begun with the weights of {run.start}" if run.start else ""
    besides = f", besides its error by {run.distance}" if run.distance else ""
    told = f"{run.name}: {steps} of {plan.steps} updates of {crops}{begun}{besides}"
    if run.lesson is not None:
        lines = *run.card.training, run.lesson.told(), told
        return replace(run.card, training=lines)
    return run.card if run.card.training else replace(run.card, training=(told,))
