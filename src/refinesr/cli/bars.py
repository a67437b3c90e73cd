"""Progress bars on stderr, only if it is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..torchrun import is_main_process

if TYPE_CHECKING:
    from rich.progress import Progress

LOSS_INTERVAL = 0.2
"""Seconds between two readings of the loss: each one waits for the GPU."""


def on_terminal() -> bool:
    return sys.stderr.isatty() and is_main_process()


@contextmanager
def progress_bars(*columns: Any) -> Iterator["Progress"]:
    """Bars below the lines printed meanwhile; they disappear at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    first = TextColumn("{task.description}", markup=False), BarColumn(bar_width=30)
    with Progress(
        *first,
        *columns,
        console=console,
        disable=not on_terminal(),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # a piped stdout must not be redirected to the terminal
    ) as progress:
        yield progress


@contextmanager
def file_progress(number: int) -> Iterator[Callable[[Path, float], None]]:
    """`show(file, fraction)` shows the progress of the current file, 0 to 1, and of all files if several."""
    from rich.progress import TaskProgressColumn, TimeElapsedColumn, TimeRemainingColumn

    with progress_bars(TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn()) as progress:
        files = progress.add_task(f"{number} files", total=number, visible=number > 1)
        current = progress.add_task("", total=None)
        seen: list[Path] = []

        def show(file: Path, fraction: float) -> None:
            if not seen or seen[-1] != file:
                seen.append(file)
                progress.reset(current, description=file.name, total=1)
            progress.update(current, completed=fraction)
            progress.update(files, completed=len(seen) - 1 + fraction)

        yield show


@contextmanager
def count_progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """`show(done, total)` shows a count, labelled `name`."""
    from rich.progress import MofNCompleteColumn

    with progress_bars(MofNCompleteColumn()) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def reading_progress() -> AbstractContextManager[Callable[[int, int], None]]:
    """`show(done, total)` shows how many photos have been read."""
    return count_progress("reading photos")


@contextmanager
def training_progress(name: str, total: int, batch: int) -> Iterator[Callable[[int, float], None]]:
    """`show(step, loss)` shows the updates made, the loss, images per second and the time left."""
    from rich.progress import MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed * batch:.1f} images/s")

    loss = TextColumn("{task.fields[loss]}", markup=False)
    with progress_bars(MofNCompleteColumn(), loss, Speed(), TimeRemainingColumn()) as progress:
        task = progress.add_task(name, total=total, loss="")
        yield lambda step, value: progress.update(task, completed=step, loss=f"loss {value:.4f}")
