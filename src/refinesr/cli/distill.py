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

A student can be no better than its teacher with --teacher-steps steps of DDIM: check those results first.
Ctrl-C and --resume work as in `refinesr train`.
"""


@Parameter(name="*")
@dataclass(frozen=True)
class Teaching:
    """What the student is taught, and how its run differs from the usual one."""

    calls: int | None = None
    """Network calls (sampling steps) of the student; `upscale --steps` can choose fewer.  Default: 1."""

    levels: Annotated[tuple[float, ...], Parameter(consume_multiple=True, negative="")] | None = None
    """Noise level sigma of each call, descending; default: the teacher's highest, and levels that divide the
    way from there to 0 into equal parts."""

    teacher_steps: int = 8
    """DDIM steps of the teacher from each of these levels, which the student learns to do in one call."""

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
