"""Options and output that `interpolate` and `fuse` share: part of the way to noise and back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..files import refuse_existing
from .bars import progress_bars
from .messages import print_result
from .options import Device, Flag, Precision, Quality, check_quality
from .results import check_folders, refuse_replacing_inputs, warn_of_lost_metadata

if TYPE_CHECKING:
    from ..images.picture import Picture
    from ..mixing import Redrawing
    from ..stage import Progress


@Parameter(name="*", group="Model")
@dataclass(frozen=True)
class RedrawOptions:
    """How to run the model."""

    depth: float = 0.25
    """How much noise is added: the fraction of the model's sampling steps that are run again, more than 0, at
    most 1.  A small depth keeps the detail; a large one lets the model redraw it."""

    steps: int | None = None
    """Number of sampling steps from pure noise, of which the fraction --depth is run; default: the model's
    own, at least 8."""

    seed: int = 0
    """Seed of the noise, which does not depend on the tile or the device."""

    tile: Annotated[int | None, Parameter(name=("--tile", "-t"))] = None
    """Work in square tiles with sides of this many pixels of the small picture; 0: no tiles; default: the
    model's own."""

    consistent: bool | None = None
    """Whether the result, when downsampled, must equal the small picture.  Default: the model's own."""

    device: Device = "auto"
    precision: Precision = "auto"

    def plan(self, model: str) -> "Redrawing":
        """The model with these options.  Raises ConfigError for those that do not fit it or this computer."""
        from ..mixing import plan_redrawing
        from ..restore import Options
        from ..shipped import load

        options = Options(
            steps=self.steps,
            seed=self.seed,
            tile=self.tile,
            consistent=self.consistent,
            device=self.device,
            precision=self.precision,
        )
        return plan_redrawing(load(model), options, self.depth)


@Parameter(name="*", group="Results")
@dataclass(frozen=True)
class WriteOptions:
    """How to write the result."""

    quality: Quality = 95

    overwrite: Flag = False
    """Replace the result if it exists."""

    def check(self, output: Path, *inputs: Path | None) -> None:
        """Raises ConfigError or OutputError if the result cannot be written, before any work."""
        check_quality(self.quality)
        check_folders([output.parent])
        refuse_replacing_inputs(output, filter(None, inputs))
        refuse_existing(output, self.overwrite)

    def write(self, picture: "Picture", output: Path) -> None:
        from ..images.io import write

        warn_of_lost_metadata(picture, output)
        write(picture, output, quality=self.quality)


REDRAW_OPTIONS, WRITE_OPTIONS = RedrawOptions(), WriteOptions()

RunSteps = Callable[[str, "Iterator[Progress[Picture]]"], "Picture"]


@contextmanager
def step_progress() -> Iterator[RunSteps]:
    """`run(name, steps)` runs the steps, shows their progress and returns the last picture."""
    from rich.progress import MofNCompleteColumn, TimeElapsedColumn

    with progress_bars(MofNCompleteColumn(), TimeElapsedColumn()) as progress:
        task = progress.add_task("", total=None)

        def run(name: str, steps: "Iterator[Progress[Picture]]") -> "Picture":
            progress.reset(task, description=name)
            for step in steps:
                progress.update(task, completed=step.done, total=step.total)
            return step.image

        yield run


def check_writable(picture: "Picture", output: Path, scale: int = 1) -> None:
    """Raises OutputError if such a picture, `scale` times as large, cannot be written.  Makes the folder."""
    from ..images.io import check_output

    output.parent.mkdir(parents=True, exist_ok=True)
    check_output(picture, output, scale)


def print_summary(redrawing: "Redrawing", line: str, started: float) -> None:
    """Print the result's line with the steps that were run and the time since `started`."""
    steps = f"{redrawing.steps} of {redrawing.sampling.steps} steps from sigma {redrawing.sigma:.3g}"
    print_result(f"{line}  {steps}  {perf_counter() - started:.1f} s")
