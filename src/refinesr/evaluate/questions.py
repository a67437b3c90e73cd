"""What people are asked about two pictures, of which one is true (Saharia et al. 2022)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Name = Literal["better", "camera"]


@dataclass(frozen=True)
class Task:
    """A question, and whether the poor picture is shown between the two."""

    name: Name
    question: str
    low: bool


BETTER = Task(
    "better",
    "Which of the two images is a better high quality version of the low resolution image in the middle?",
    low=True,
)
CAMERA = Task("camera", "Which image would you guess is from a camera?", low=False)

TASKS: Mapping[Name, Task] = MappingProxyType({task.name: task for task in (BETTER, CAMERA)})
