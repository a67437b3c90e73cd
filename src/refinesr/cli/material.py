"""What is learnt from: photos, and `--low`, the poor pictures of pairs that are given."""

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from ..errors import ConfigError
from .bars import reading_progress

if TYPE_CHECKING:
    import torch

    from ..data import Pairs
    from ..images.span import Span
    from ..run import Run
    from ..team import Team


class Kind(TypedDict):
    """What a run's pictures are, as `data.loading` asks for it."""

    channels: int
    scale: int
    span: "Span | None"


def kind(run: "Run") -> Kind:
    return Kind(channels=run.method.channels, scale=run.method.scale, span=run.method.span)


def beside(run: "Run", low: tuple[Path, ...] | None) -> "Run":
    """The run, learning from the poor pictures if some are given.  Raises ConfigError."""
    from ..recipes import paired

    return run if low is None else paired(run)


def check_low(run: "Run", low: tuple[Path, ...] | None) -> None:
    """Raises ConfigError unless what is given is what the run learns from."""
    from ..images.degrade import Given, makes_low_text

    learns = isinstance(run.method.degradation, Given)
    if low is None and learns:
        again = "name the poor pictures, of a resumed run as well"
        raise ConfigError(f"--low: method.degradation is Given, so it learns from given pairs; {again}")
    if low is not None and not learns:
        raise ConfigError(f"--low: {makes_low_text(run.method.degradation)}; leave one of them out")
    if low == ():
        raise ConfigError("--low: no folder given")


def material(
    run: "Run", data: tuple[Path, ...], device: "torch.device", team: "Team", low: tuple[Path, ...] | None
) -> "Pairs":
    from .. import run as running
    from ..data import loading
    from ..images.entries import check_classes, class_names, list_entries
    from ..train import check_shares

    check_shares(run.plan, team)
    if run.method.classes:
        check_classes(run.method.classes, class_names(list_entries(data)))  # before any photo is decoded
    with reading_progress() as show:
        for state in loading(data, device, low=low, smallest=run.plan.size, **kind(run)):
            show(state.done, state.total)
    assert state.photos is not None
    return running.material(run, state.photos)
