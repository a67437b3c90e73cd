"""Questions of user studies about an original and a result (Saharia et al. 2022)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

TaskName = Literal["better", "camera"]


@dataclass(frozen=True)
class Task:
    """A question, and whether the low-resolution image is shown between the two."""

    name: TaskName
    question: str
    shows_low: bool


BETTER = Task(
    "better",
    "Which of the two images is a better high quality version of the low resolution image in the middle?",
    shows_low=True,
)
CAMERA = Task("camera", "Which image would you guess is from a camera?", shows_low=False)

TASKS: Mapping[TaskName, Task] = MappingProxyType({task.name: task for task in (BETTER, CAMERA)})
