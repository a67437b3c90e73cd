"""Distillation runs: a student, initialised with its teacher's weights, learns to sample in a few calls."""

from dataclasses import replace
from pathlib import Path

from refinesr.distill import Lesson, student_levels, student_method, teacher_grid
from refinesr.errors import ConfigError
from refinesr.fit import Plan
from refinesr.method import Method
from refinesr.run import Run
from refinesr.shipped import load_with_checksum
from refinesr.stage import Stage, window_size

MIN_CROP_SIZE = 128
"""Minimum size of training crops, in pixels, for networks that can be run at any size."""


def student_of(
    source: str | Path, calls: int | None = None, levels: tuple[float, ...] | None = None, steps: int = 8
) -> tuple[Run, Stage]:
    """The run that trains a student, and its teacher, the model that `refinesr.load(source)` loads.

    calls   number of network calls of the student; by default that of `levels`, else 1
    levels  noise level (sigma) of each call, descending; default: those of `student_levels`
    steps   sampling steps of the teacher from each level

    Raises ConfigError, and CheckpointError as `load` does.
    """
    teacher, name, checksum = load_with_checksum(source)
    lesson = Lesson(name, checksum, steps)
    if levels is None:
        levels = student_levels(float(teacher_grid(teacher.method, steps)[0]), 1 if calls is None else calls)
    if calls not in (None, len(levels)):
        raise ConfigError(f"calls: {calls} is not the number of levels, {len(levels)}")
    return distillation_run(teacher, lesson, levels), teacher


def distillation_run(teacher: Stage, lesson: Lesson, levels: tuple[float, ...]) -> Run:
    """A short training at a learning rate low enough to retain what the teacher's weights have learnt.

    The card keeps the teacher's provenance, but not its figures, which were not measured with the student.
    """
    method = student_method(teacher.method, levels)
    name = f"{lesson.teacher.removesuffix('.safetensors')}-in-{len(levels)}"
    plan = Plan(
        steps=4000,
        batch=16,
        size=crop_size(method),
        rate=3e-4,
        warmup=100,
        halflife=500,
        save_every=500,
        preview_every=1000,
    )
    return Run(name, method, plan, replace(teacher.card, name=name, summary="", figures=()), lesson)


def crop_size(method: Method) -> int:
    """Size of the training crops, in pixels.

    It is the window that the teacher was trained at if its network sees all of it, as by attention; else
    `MIN_CROP_SIZE`, rounded up to a multiple of the network's stride in high-resolution pixels.
    """
    if (window := window_size(method)) is not None:
        return window
    unit = method.stride * method.scale
    return -(-MIN_CROP_SIZE // unit) * unit
