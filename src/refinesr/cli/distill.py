"""`refinesr distill`: a trained model and photos in, a model out that takes one or two calls."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .holding import HOLDING, Holding
from .material import beside, check_low, material
from .options import Data, OptionalData, Output, Settings
from .recipes import with_settings
from .train import COMPUTING, Computing, placed, trained

if TYPE_CHECKING:
    from ..run import Run
    from ..stage import Stage

EXAMPLES = """
Examples:

    refinesr distill runs/a --data photos/ -o runs/a1
    refinesr distill runs/a --data photos/ more.tar -o runs/two --calls 2
    refinesr distill runs/a --data photos/ -o runs/a1 --teacher-steps 16 --set lesson.sampler=DPM2M

A student is at best what its teacher is in so many steps of DDIM: look at that first.  Ctrl-C and --resume
are as in `refinesr train`.
"""


@Parameter(name="*")
@dataclass(frozen=True)
class Teaching:
    """What the student is taught, and how its run differs from the usual one."""

    calls: int | None = None
    """Of the network, by the student; it can be asked for fewer, too (upscale --steps).  Default: 1."""

    levels: Annotated[tuple[float, ...], Parameter(consume_multiple=True, negative="")] | None = None
    """Sigma of each call, descending; default: the top of the teacher's grid, then equal parts of the way."""

    teacher_steps: int = 8
    """Of the teacher's walk from each level, which the student learns to do in one."""

    set: Settings = ()

    def of(self, model: str, low: tuple[Path, ...] | None) -> "tuple[Run, Stage]":
        """The student's run, and its teacher.  Raises ConfigError."""
        from ..images.degrade import check_accepts_low
        from ..recipes.distilled import student_of

        run, teacher = student_of(model, self.calls, self.levels, self.teacher_steps)
        if low is not None:
            check_accepts_low(teacher.method.degradation)
        return with_settings(beside(run, low), self.set), teacher


TEACHING = Teaching()


def distill(
    model: Annotated[str, Parameter(name="MODEL")],
    /,
    *,
    data: Data,
    output: Output,
    low: OptionalData = None,
    teaching: Teaching = TEACHING,
    computing: Computing = COMPUTING,
    holding: Holding = HOLDING,
) -> int:
    """Teach a copy of a model to answer in one call, or in two, what the model answers in many.

    The copy learns where the model's walk without fresh noise (DDIM) ends, from where it begins; no truth is
    compared with, and nothing judges.  It is as large as the model, and takes photos of the same kind.

    Parameters
    ----------
    model
        The teacher: a shipped model, a .safetensors file, a folder with model.safetensors, or OWNER/NAME on
        the Hugging Face Hub.
    data
        Folders of photos, tar files of photos, photos.
    output
        Folder of the run; the student will be RUN/model.safetensors.
    low
        The poor pictures, if there are some, as in `refinesr train`; a model that was trained with some needs
        them.
    """
    from ..devices import move_to
    from ..run import learnt

    with placed(data, output, computing) as (device, team):
        run, teacher = teaching.of(model, low)
        check_low(run, low)
        run = planned(run, teaching, output, computing, low)
        learnt(run, teacher)  # what is wrong with it is said before any photo is decoded
        held = holding.of(run, data, output, computing.resume) if team.leads else None
        pairs = material(run, data, device, team, low)
        move_to(teacher.model, device)
        return trained(run, pairs, output, computing, team, held, teacher=teacher)


def planned(
    run: "Run", teaching: Teaching, output: Path, computing: Computing, low: tuple[Path, ...] | None
) -> "Run":
    """A resumed run has the plan and the seed it was started with but for what is set now, and learns from
    poor pictures that are given if it did.  Raises ConfigError."""
    from ..folder import Folder
    from ..run import begun_as

    before = begun_as(Folder(output)) if computing.resume else None
    if before is not None:
        check_low(before, low)
        run = replace(run, plan=with_settings(before, teaching.set).plan, seed=before.seed)
    return computing.seeded(run)
