"""`refinesr distill`: distil a trained model into one that samples in one or two network calls."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .held_out import HELD_OUT, HeldOutOptions
from .options import Data, OptionalData, Output, Settings
from .recipes import with_settings
from .train import TRAINING, TrainingOptions, run_training, training_devices
from .training_data import check_low, load_pairs, with_low

if TYPE_CHECKING:
    from ..run import Run
    from ..stage import Stage

EXAMPLES = """
Examples:

    refinesr distill runs/a --data photos/ -o runs/a1
    refinesr distill runs/a --data photos/ more.tar -o runs/two --calls 2
    refinesr distill runs/a --data photos/ -o runs/a1 --teacher-steps 16 --set lesson.sampler=DPM2M

A student can be no better than its teacher with --teacher-steps steps of DDIM: check those results first.
Ctrl-C and --resume work as in `refinesr train`.
"""


@Parameter(name="*")
@dataclass(frozen=True)
class DistillationOptions:
    """The student's levels, the teacher's steps, and changes to the run."""

    calls: int | None = None
    """Network calls (sampling steps) of the student; `upscale --steps` can choose fewer.  Default: 1."""

    levels: Annotated[tuple[float, ...], Parameter(consume_multiple=True, negative="")] | None = None
    """Noise level sigma of each call, descending; default: the teacher's highest, and levels that divide the
    way from there to 0 into equal parts."""

    teacher_steps: int = 8
    """DDIM steps of the teacher from each of these levels, which the student learns to do in one call."""

    set: Settings = ()

    def load(self, model: str, low: tuple[Path, ...] | None) -> "tuple[Run, Stage]":
        """The student's run, and the teacher.  Raises ConfigError."""
        from ..images.degrade import check_accepts_low
        from ..recipes.distilled import student_of

        run, teacher = student_of(model, self.calls, self.levels, self.teacher_steps)
        if low is not None:
            check_accepts_low(teacher.method.degradation)
        return with_settings(with_low(run, low), self.set), teacher


DISTILLATION = DistillationOptions()


def distill(
    model: Annotated[str, Parameter(name="MODEL")],
    /,
    *,
    data: Data,
    output: Output,
    low: OptionalData = None,
    distillation: DistillationOptions = DISTILLATION,
    options: TrainingOptions = TRAINING,
    held_out: HeldOutOptions = HELD_OUT,
) -> int:
    """Distill a model of many sampling steps into a student of one or two.

    The student is trained to predict the end of the teacher's deterministic sampling (DDIM) from its start;
    there is no other loss.  It has the teacher's size and needs photos of the same kind.

    Parameters
    ----------
    model
        The teacher: the name of a shipped model, a .safetensors file, a folder with model.safetensors, or
        OWNER/NAME on the Hugging Face Hub.
    data
        Training photos: folders, tar files and single files.
    output
        Folder of the run; the student is RUN/model.safetensors.
    low
        Low-resolution pictures, as in `refinesr train`; needed if the teacher was trained with such pairs.
    """
    from ..devices import move_to
    from ..train import build_objective

    with training_devices(data, output, options) as (device, processes):
        run, teacher = distillation.load(model, low)
        check_low(run, low)
        run = resumed_plan(run, distillation, output, options, low)
        build_objective(run, teacher)  # raises its errors before any photo is decoded
        held = held_out.load(run, data, output, options.resume) if processes.is_main else None
        pairs = load_pairs(run, data, device, processes, low)
        move_to(teacher.model, device)
        return run_training(run, pairs, output, options, processes, held, teacher=teacher)


def resumed_plan(
    run: "Run",
    distillation: DistillationOptions,
    output: Path,
    options: TrainingOptions,
    low: tuple[Path, ...] | None,
) -> "Run":
    """The run; with --resume, with the plan and the seed of the run in the folder and the settings of --set.

    Raises ConfigError unless low-resolution pictures are given exactly if the stored run used them.
    """
    from ..folder import RunFolder
    from ..run import load_run

    stored = load_run(RunFolder(output)) if options.resume else None
    if stored is not None:
        check_low(stored, low)
        run = replace(run, plan=with_settings(stored, distillation.set).plan, seed=stored.seed)
    return options.with_seed(run)
