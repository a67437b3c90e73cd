"""What a student of a model is trained as, from the command line's choices."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from refinesr.checkpoint import load_stage
from refinesr.config import override
from refinesr.distill import Lesson, few
from refinesr.recipes.distilled import distilled
from refinesr.run import Run
from refinesr.shipped import file_of
from refinesr.stage import Stage


def student_of(
    model: str, calls: int, steps: int, settings: Sequence[str], levels: Sequence[float] = ()
) -> tuple[Run, Stage]:
    """The student's run and its teacher, as `refinesr distill` makes them."""
    with file_of(model) as path:
        teacher = load_stage(path)
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
    lesson = Lesson(Path(model).resolve().name, checksum, steps)
    top = float(teacher.method.sampling.grid.grid(steps)[0])
    run = distilled(teacher, lesson, tuple(levels) or few(top, calls))
    return override(run, *settings), teacher
