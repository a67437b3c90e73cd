"""The photos of a training, and with `--low` their low-resolution pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError
from .bars import reading_progress

if TYPE_CHECKING:
    import torch

    from ..data import Pairs
    from ..process_group import ProcessGroup
    from ..run import Run


def with_low(run: "Run", low: tuple[Path, ...] | None) -> "Run":
    """The run, changed to train on given low-resolution pictures if there are any.  Raises ConfigError."""
    from ..recipes import paired

    return run if low is None else paired(run)


def check_low(run: "Run", low: tuple[Path, ...] | None) -> None:
    """Raise ConfigError unless low-resolution pictures are given exactly if the run trains on given ones."""
    from ..images.degrade import Given, makes_low_text

    trains_on_given = isinstance(run.method.degradation, Given)
    if low is None and trains_on_given:
        again = "name the low-resolution images, for a resumed run as well"
        raise ConfigError(f"--low: method.degradation is Given, so it learns from given pairs; {again}")
    if low is not None and not trains_on_given:
        raise ConfigError(f"--low: {makes_low_text(run.method.degradation)}; leave one of them out")
    if low == ():
        raise ConfigError("--low: no folder given")


def load_pairs(
    run: "Run",
    data: tuple[Path, ...],
    device: "torch.device",
    processes: "ProcessGroup",
    low: tuple[Path, ...] | None,
) -> "Pairs":
    """Load the photos, with a progress bar, and crop training pairs from them."""
    from ..data import loading_photos
    from ..fit import check_divisible
    from ..images.entries import check_classes, class_names, list_entries
    from ..run import training_pairs
    from ..stepwise import finish

    check_divisible(run.plan, processes)
    method = run.method
    if method.class_count:
        check_classes(method.class_count, class_names(list_entries(data)))  # before any photo is decoded
    steps = loading_photos(
        data,
        device,
        channels=method.channels,
        smallest=run.plan.size,
        span=method.span,
        low=low,
        scale=method.scale,
    )
    with reading_progress() as show:
        return training_pairs(run, finish(steps, show))
