"""A student of a trained model: its own copy, taught to answer in a few calls."""

from dataclasses import replace
from pathlib import Path

from refinesr.distill import Lesson, student_levels, student_method, teacher_grid
from refinesr.errors import ConfigError
from refinesr.fit import Plan
from refinesr.method import Method
from refinesr.run import Run
from refinesr.shipped import load_with_checksum
from refinesr.stage import Stage, window_size

SIDE = 128
"""Pixels a side of the crops, at least, of networks that see no whole window."""


def student_of(
    source: str | Path, calls: int | None = None, levels: tuple[float, ...] | None = None, steps: int = 8
) -> tuple[Run, Stage]:
    """The run of a student, and its teacher: the model that `refinesr.load(source)` loads.

    calls   of the student; 1 unless `levels` says otherwise
    levels  sigma of each call, descending; by default those of `student_levels`
    steps   of the teacher's walk from each level

    Raises ConfigError, and CheckpointError as `load` does.
    """
    teacher, name, checksum = load_with_checksum(source)
    lesson = Lesson(name, checksum, steps)
    if levels is None:
        levels = student_levels(float(teacher_grid(teacher.method, steps)[0]), 1 if calls is None else calls)
    if calls not in (None, len(levels)):
        raise ConfigError(f"calls: {calls} is not the number of levels, {len(levels)}")
    return distilled(teacher, lesson, levels), teacher


def distilled(teacher: Stage, lesson: Lesson, levels: tuple[float, ...]) -> Run:
    """A short training at a rate that keeps what the copy knows already.

    The card keeps where the teacher comes from, and of its figures none, for they are not the student's.
    """
    method = student_method(teacher.method, levels)
    name = f"{lesson.teacher.removesuffix('.safetensors')}-in-{len(levels)}"
    plan = Plan(
        steps=4000,
        batch=16,
        size=side(method),
        rate=3e-4,
        warmup=100,
        halflife=500,
        save_every=500,
        preview_every=1000,
    )
    return Run(name, method, plan, replace(teacher.card, name=name, summary="", figures=()), lesson)


def side(method: Method) -> int:
    """Of the crops: the window that was trained, where all of it is seen; else `SIDE`, in whole strides."""
    if (seen := window_size(method)) is not None:
        return seen
    unit = method.stride * method.scale
    return -(-SIDE // unit) * unit
