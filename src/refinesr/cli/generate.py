"""`refinesr generate`: pictures from nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..errors import ConfigError
from ..memory import out_of_memory_as
from .bars import progress_bars
from .messages import counted, print_result
from .options import Device, Flag, Output, Precision, SamplingSettings, parse_numbers

if TYPE_CHECKING:
    from ..album import Album
    from ..cascade import Cascade
    from ..images.picture import Picture

EXAMPLES = """
Examples:

    refinesr generate faces/ -n 16 -o out                    out/00000.png to out/00015.png, out/grid.png
    refinesr generate faces/ -n 64 -o out                    the 48 that are not there yet
    refinesr generate objects/cascade.json -n 4 --class 207 --steps 50,20 --guidance 2 -o dogs

The same seed gives the same pictures, however many, in whatever batches; Ctrl-C loses the batch at work.
"""

Show = Callable[[int, int, int], None]


@Parameter(name="*")
@dataclass(frozen=True)
class Making:
    """What is made, and how."""

    label: Annotated[int | None, Parameter(name="--class")] = None
    """Number of the class, from 0; default: each picture draws its own, if there are classes."""

    seed: int = 0
    """Of the noise and of drawn classes.  A picture depends on the seed and its number alone."""

    steps: str | None = None
    """Sampling steps of each stage, such as 50,20,10; default: the cascade's choice."""

    guidance: float | None = None
    """How much more than an estimate without the class the one with it counts; 1 is as it is."""

    settings: SamplingSettings = ()

    size: str | None = None
    """Pixels a side, or height,width, of what the first stage makes (before its scale); default: the size it
    was trained at."""

    batch: int = 4
    """Pictures made at once."""

    device: Device = "auto"
    precision: Precision = "auto"

    overwrite: Flag = False
    """Begin anew if DIR holds pictures made with other settings: they are removed."""

    def check(self) -> None:
        """Raises ConfigError."""
        from ..devices import check_seed

        check_seed(self.seed, "--seed")
        if self.batch < 1:
            raise ConfigError(f"--batch: {self.batch} is not positive")

    def of(self, cascade: "Cascade") -> "Cascade":
        """The cascade with what is asked for here.  Raises ConfigError for what it cannot do."""
        from ..chains import with_sampling_settings
        from ..generate import choose_classes, with_options

        steps = None if self.steps is None else parse_numbers("--steps", self.steps, "STEPS,...", int)
        form = "HEIGHT,WIDTH" if "," in (self.size or "") else "SIDE"
        size = None if self.size is None else parse_numbers("--size", self.size, form, int)
        square = None if size is None else (size[0], size[-1])
        cascade = with_sampling_settings(cascade, self.settings)
        made = with_options(cascade, steps=steps, guidance=self.guidance, size=square)
        choose_classes(made, [0], self.label, self.seed)
        return made


MAKING = Making()


def generate(
    cascade: str,
    /,
    *,
    output: Output,
    count: Annotated[int, Parameter(name=("--count", "-n"))] = 16,
    making: Making = MAKING,
) -> int:
    """Make pictures from nothing.

    Pictures that DIR holds already, made with the same settings, are kept; the others are made.

    Parameters
    ----------
    cascade
        A cascade's JSON file, a folder with cascade.json, or a model that makes pictures from nothing: a
        file, a folder with model.safetensors, OWNER/NAME on the Hugging Face Hub.
    output
        Folder for the pictures, a grid of the first 64 (grid.png) and the settings (generate.json).
    count
        Pictures that there are to be in the end.
    """
    from ..album import Album
    from ..chains import load_cascade

    making.check()
    if count < 1:
        raise ConfigError(f"-n: {count} is not positive")
    return filled(making.of(load_cascade(cascade)), Album(output), count, making)


def filled(cascade: "Cascade", album: "Album", count: int, making: Making) -> int:
    """The folder as it is asked for; the exit code."""
    from ..files import held
    from ..generate import settings

    started, precision = perf_counter(), computed_in(making)
    asked = settings(cascade, label=making.label, seed=making.seed, precision=precision)
    album.check(asked, overwrite=making.overwrite)  # before there is a lock in somebody's folder
    with held(album.path):
        album.open(asked, overwrite=making.overwrite)
        kept = completed(cascade, album, count, making)
    few = f", {kept} of them kept" if kept else ""
    print_result(f"{album.grid}  {counted(count, 'picture')}{few}  {perf_counter() - started:.1f} s")
    return 0


def completed(cascade: "Cascade", album: "Album", count: int, making: Making) -> int:
    """Make what is missing, and the grid; how many were there."""
    missing = album.missing(count)
    with of_pictures(count) as show:
        for first in range(0, len(missing), making.batch):
            before = count - len(missing) + first
            indexes = missing[first : first + making.batch]
            made = batch(cascade, indexes, making, partial(show, before))
            for index, picture in zip(indexes, made, strict=True):
                print_result(described(album.write(index, picture), cascade, index, making))
    album.write_grid(count)
    return count - len(missing)


def computed_in(making: Making) -> str:
    from ..devices import autocast_dtype, device_named

    return "fp32" if autocast_dtype(making.precision, device_named(making.device)) is None else "bf16"


def batch(
    cascade: "Cascade", indexes: list[int], making: Making, show: Callable[[int, int], None]
) -> tuple["Picture", ...]:
    """The pictures of these indexes.  Says what to do when memory lacks."""
    from ..generate import generate_images, pictures

    half = len(indexes) // 2
    hint = f"use --batch {half}" if half else "give its stages a smaller tile in cascade.json"
    with out_of_memory_as(f"not enough memory for {counted(len(indexes), 'picture')} at once; {hint}"):
        made = generate_images(
            cascade,
            indexes,
            label=making.label,
            seed=making.seed,
            device=making.device,
            precision=making.precision,
        )
        for progress in made:
            show(progress.done, progress.total)
    return pictures(progress.image)


def described(path: Path, cascade: "Cascade", index: int, making: Making) -> str:
    from ..generate import choose_classes

    (label,) = choose_classes(cascade, [index], making.label, making.seed)
    return str(path) if label is None else f"{path}  class {label}"


@contextmanager
def of_pictures(count: int) -> Iterator[Show]:
    """`show(pictures, done, total)`: pictures that are there, and steps of those at work, over all stages."""
    from rich.progress import MofNCompleteColumn, TimeElapsedColumn

    with progress_bars(MofNCompleteColumn(), TimeElapsedColumn()) as progress:
        pictures = progress.add_task("pictures", total=count)
        steps = progress.add_task("steps", total=None)

        def show(made: int, done: int, total: int) -> None:
            progress.update(pictures, completed=made)
            progress.update(steps, completed=done, total=total)

        yield show
