"""What `interpolate` and `fuse` share: the way to noise and back, and where the result goes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..errors import ConfigError
from ..files import refuse_existing
from .bars import progress_bars
from .messages import print_result
from .options import Device, Flag, Precision
from .results import check_folders, refuse_replacing_inputs, warn_of_lost_metadata

if TYPE_CHECKING:
    from ..images.picture import Picture
    from ..mixing import Redrawing
    from ..stage import Progress


@Parameter(name="*", group="Model")
@dataclass(frozen=True)
class Walking:
    """How the model is used."""

    depth: float = 0.25
    """How far back to noise: the share of the model's steps that are walked again, more than 0, at most 1.
    Small, and detail stays what it is; large, and the model redraws it."""

    steps: int | None = None
    """Steps from noise to picture, of which DEPTH are walked; default: the model's choice, at least 8."""

    seed: int = 0
    """Of the noise.  The same seed gives the same noise, whatever the tile or the device."""

    tile: Annotated[int | None, Parameter(name=("--tile", "-t"))] = None
    """Work in tiles of this many pixels of the small picture a side; 0: no tiles; default: the model's
    choice."""

    consistent: bool | None = None
    """Hold to the small picture: every estimate, downsampled, is it, or not.  Default: the model's choice."""

    device: Device = "auto"
    precision: Precision = "auto"

    def walk(self, model: str) -> "Redrawing":
        """Whatever does not fit the model, or this computer, is found out here."""
        from ..mixing import plan_redrawing
        from ..restore import Options
        from ..shipped import load

        options = Options(self.steps, self.seed, self.tile, self.consistent, self.device, self.precision)
        return plan_redrawing(load(model), options, self.depth)


@Parameter(name="*", group="Results")
@dataclass(frozen=True)
class Writing:
    """The result's file."""

    quality: int = 95
    """1 to 100, of JPEG and WebP; a WebP of 100 is lossless."""

    overwrite: Flag = False
    """Replace a result that exists."""

    def check(self, output: Path, *inputs: Path | None) -> None:
        """Before any work.  Raises ConfigError or OutputError."""
        if not 1 <= self.quality <= 100:
            raise ConfigError(f"--quality: {self.quality} is not between 1 and 100")
        check_folders([output.parent])
        refuse_replacing_inputs(output, filter(None, inputs))
        refuse_existing(output, self.overwrite)

    def write(self, picture: "Picture", output: Path) -> None:
        from ..images.io import write

        warn_of_lost_metadata(picture, output)
        write(picture, output, quality=self.quality)


WALKING, WRITING = Walking(), Writing()

Follow = Callable[[str, "Iterator[Progress[Picture]]"], "Picture"]


@contextmanager
def followed() -> Iterator[Follow]:
    """`follow(name, steps)` walks them, seen by those at a terminal, and gives the last picture."""
    from rich.progress import MofNCompleteColumn, TimeElapsedColumn

    with progress_bars(MofNCompleteColumn(), TimeElapsedColumn()) as progress:
        task = progress.add_task("", total=None)

        def follow(name: str, steps: "Iterator[Progress[Picture]]") -> "Picture":
            progress.reset(task, description=name)
            for step in steps:
                progress.update(task, completed=step.done, total=step.total)
            return step.image

        yield follow


def check_result(picture: "Picture", output: Path, scale: int = 1) -> None:
    """Raises OutputError if a picture like this, `scale` times its size, cannot be written there."""
    from ..images.io import check_output

    output.parent.mkdir(parents=True, exist_ok=True)
    check_output(picture, output, scale)


def told(walk: "Redrawing", line: str, started: float) -> None:
    way = f"{walk.steps} of {walk.sampling.steps} steps from sigma {walk.sigma:.3g}"
    print_result(f"{line}  {way}  {perf_counter() - started:.1f} s")
