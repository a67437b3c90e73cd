"""A training run as a value, how it is read back from its folder, and what it is trained on."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from refinesr.config import from_data, parse
from refinesr.data import Pairs, Photos
from refinesr.devices import check_seed
from refinesr.distill import Lesson
from refinesr.errors import ConfigError
from refinesr.fit import Plan
from refinesr.folder import RunFolder
from refinesr.method import Method
from refinesr.pretrained import check_compatible
from refinesr.shipped import load_with_checksum
from refinesr.stage import Card, Stage


@dataclass(frozen=True)
class Run:
    """One complete training, as a value: what a recipe returns and `--set` changes."""

    name: str
    method: Method
    plan: Plan
    card: Card = field(default_factory=Card)
    lesson: Lesson | None = None
    """What a student is distilled from (`refinesr.distill`); None: the method's own objective is used."""
    start: str = ""
    """The model whose weights the run starts from, as its card says; empty for random weights."""
    distance: str = ""
    """The perceptual distance that `method.perception` uses, as the card says; empty if there is none."""
    seed: int = 0
    """Of the initial weights, the crops, the noise levels and the noise; 0 or more."""

    def __post_init__(self) -> None:
        check_seed(self.seed)

    def card_after(self, steps: int) -> Card:
        """The card of the model after so many updates.

        A line about this training is added for a student, and if the card says nothing of its training.
        """
        plan = self.plan
        line = f"{self.name}: {steps} of {plan.steps} updates of "
        line += f"{plan.batch} crops of {plan.size} x {plan.size} pixels"
        line += f", begun with the weights of {self.start}" if self.start else ""
        line += f", besides its error by {self.distance}" if self.distance else ""
        if self.lesson is not None:
            return replace(self.card, training=(*self.card.training, self.lesson.card_line(), line))
        return self.card if self.card.training else replace(self.card, training=(line,))


def with_start(run: Run, source: str | Path) -> tuple[Run, Stage]:
    """The run with `start` set to a trained model, and that model, for `train(..., start=)`.

    Raises ConfigError for an incompatible model, CheckpointError as `load` does.
    """
    stage, name, checksum = load_with_checksum(source)
    check_compatible(run.method, stage, str(source))
    return replace(run, start=f"{name} (SHA-256 {checksum})"), stage


def training_pairs(run: Run, photos: Photos) -> Pairs:
    """The run's training pairs, cropped from photos.  Raises ConfigError if the photos do not fit the run."""
    method, plan = run.method, run.plan
    if photos.store.span != method.span:
        raise ConfigError(f"method.span: is {method.span}, and the photos were loaded by {photos.store.span}")
    return Pairs(
        photos, method.degradation, plan.size, plan.batch, run.seed, method.class_count, upright=plan.upright
    )


def load_run(files: RunFolder) -> Run | None:
    """The run in a folder, as it was last started or resumed; None without run.json.  Raises ConfigError."""
    if not files.run.exists():
        return None
    return from_data(Run, parse(files.run.read_bytes(), str(files.run)), str(files.run))


def check_resumable(run: Run, files: RunFolder) -> None:
    """Raise ConfigError if the run in the folder differs from `run` in more than its plan."""
    stored = load_run(files)
    if stored is None:
        return  # loading the state still fails for another network
    if lesson_key(stored) != lesson_key(run):
        raise ConfigError(f"{files.path}: holds a run of another lesson; --resume may only change the plan")
    if type(stored.plan.optimizer) is not type(run.plan.optimizer):
        name = type(stored.plan.optimizer).__name__
        raise ConfigError(f"{files.path}: holds a run with plan.optimizer={name}; --resume may not change it")
    if stored.method != run.method:
        names = (field.name for field in fields(Method))
        other = next(name for name in names if getattr(stored.method, name) != getattr(run.method, name))
        raise ConfigError(
            f"{files.path}: holds a run of another method.{other}; --resume may only change the plan"
        )
    if stored.seed != run.seed:
        raise ConfigError(f"{files.path}: holds a run of seed {stored.seed}; --resume may not change it")
    if stored.distance != run.distance:
        raise ConfigError(f"{files.path}: holds a run that learns by {stored.distance}, not {run.distance}")


def lesson_key(run: Run) -> Lesson | None:
    """The lesson without the name of the teacher's file, which may change: its checksum identifies it."""
    return None if run.lesson is None else replace(run.lesson, teacher="")
