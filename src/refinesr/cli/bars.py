"""Progress on a terminal.  On a pipe or in a file nothing of it appears."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..launched import leads

if TYPE_CHECKING:
    from rich.progress import Progress

LOSS_INTERVAL = 0.2
"""Seconds between two looks at a loss: to read it, the computer waits for the GPU."""


def on_terminal() -> bool:
    return sys.stderr.isatty() and leads()


@contextmanager
def progress_bars(*columns: Any) -> Iterator["Progress"]:
    """Bars on stderr that vanish at the end, under the lines printed meanwhile."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    before = TextColumn("{task.description}", markup=False), BarColumn(bar_width=30)
    with Progress(
        *before,
        *columns,
        console=console,
        disable=not on_terminal(),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # else a result meant for a pipe would land on the terminal
    ) as progress:
        yield progress


@contextmanager
def file_progress(number: int) -> Iterator[Callable[[Path, float], None]]:
    """`show(input, share)`: how far the file at work is, from 0 to 1, and all files if there are several."""
    from rich.progress import TaskProgressColumn, TimeElapsedColumn, TimeRemainingColumn

    with progress_bars(TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn()) as progress:
        files = progress.add_task(f"{number} files", total=number, visible=number > 1)
        at_work = progress.add_task("", total=None)
        names: list[Path] = []

        def show(name: Path, share: float) -> None:
            if not names or names[-1] != name:
                names.append(name)
                progress.reset(at_work, description=name.name, total=1)
            progress.update(at_work, completed=share)
            progress.update(files, completed=len(names) - 1 + share)

        yield show


@contextmanager
def count_progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """`show(done, total)`: so many of them."""
    from rich.progress import MofNCompleteColumn

    with progress_bars(MofNCompleteColumn()) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def reading_progress() -> AbstractContextManager[Callable[[int, int], None]]:
    """`show(done, total)`: photos being read."""
    return count_progress("reading photos")


@contextmanager
def training_progress(name: str, total: int, batch: int) -> Iterator[Callable[[int, float], None]]:
    """`show(step, loss)`: updates, the loss, images a second and the time left."""
    from rich.progress import MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed * batch:.1f} images/s")

    loss = TextColumn("{task.fields[loss]}", markup=False)
    with progress_bars(MofNCompleteColumn(), loss, Speed(), TimeRemainingColumn()) as progress:
        task = progress.add_task(name, total=total, loss="")
        yield lambda step, value: progress.update(task, completed=step, loss=f"loss {value:.4f}")
