"""`refinesr generate`: pictures without an input, by a cascade or a model."""

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
    refinesr generate faces/ -n 64 -o out                    the 48 that are still missing
    refinesr generate objects/cascade.json -n 4 --class 207 --steps 50,20 --guidance 2 -o dogs

The same seed gives the same pictures, whatever their number and --batch; Ctrl-C loses the current batch.
"""

ShowPictures = Callable[[int, int, int], None]


@Parameter(name="*")
@dataclass(frozen=True)
class GenerateOptions:
    """What to generate, and how."""

    label: Annotated[int | None, Parameter(name="--class")] = None
    """Number of the class to generate, from 0; default: a random class for each picture, if the model has
    classes."""

    seed: int = 0
    """Seed of the noise and of random classes.  A picture depends only on the seed and its own number."""

    steps: str | None = None
    """Number of sampling steps of each stage, such as 50,20,10; default: the cascade's own."""

    guidance: float | None = None
    """Scale of classifier-free guidance in the first stage; 1: none; default: the cascade's own."""

    settings: SamplingSettings = ()

    size: str | None = None
    """SIDE or HEIGHT,WIDTH in pixels of what the first stage generates, before its own scale, if any;
    default: the size it was trained at."""

    batch: int = 4
    """Number of pictures to generate at once."""

    device: Device = "auto"
    precision: Precision = "auto"

    overwrite: Flag = False
    """If DIR holds pictures made with other settings, delete them and start anew."""

    def check(self) -> None:
        """Raises ConfigError."""
        from ..devices import check_seed

        check_seed(self.seed, "--seed")
        if self.batch < 1:
            raise ConfigError(f"--batch: {self.batch} is not positive")

    def apply(self, cascade: "Cascade") -> "Cascade":
        """The cascade with these options.  Raises ConfigError for what it does not support."""
        from ..cascade_files import with_sampling_settings
        from ..generate import choose_classes, with_options

        steps = None if self.steps is None else parse_numbers("--steps", self.steps, "STEPS,...", int)
        form = "HEIGHT,WIDTH" if "," in (self.size or "") else "SIDE"
        size = None if self.size is None else parse_numbers("--size", self.size, form, int)
        square = None if size is None else (size[0], size[-1])
        cascade = with_sampling_settings(cascade, self.settings)
        made = with_options(cascade, steps=steps, guidance=self.guidance, size=square)
        choose_classes(made, [0], self.label, self.seed)
        return made


GENERATE_OPTIONS = GenerateOptions()


def generate(
    cascade: str,
    /,
    *,
    output: Output,
    count: Annotated[int, Parameter(name=("--count", "-n"))] = 16,
    options: GenerateOptions = GENERATE_OPTIONS,
) -> int:
    """Generate pictures without an input.

    Pictures that DIR already holds are kept, if they were made with the same settings.

    Parameters
    ----------
    cascade
        A cascade (cascade.json or the folder it is in), or a model that generates pictures: a .safetensors
        file, a folder with model.safetensors, or OWNER/NAME on the Hugging Face Hub.
    output
        Folder for the pictures, an overview of the first 64 (grid.png) and the settings (generate.json).
    count
        Number of pictures that DIR holds in the end.
    """
    from ..album import Album
    from ..cascade_files import load_cascade

    options.check()
    if count < 1:
        raise ConfigError(f"-n: {count} is not positive")
    return fill_album(options.apply(load_cascade(cascade)), Album(output), count, options)


def fill_album(cascade: "Cascade", album: "Album", count: int, options: GenerateOptions) -> int:
    """Generate until the folder holds `count` pictures; the exit code."""
    from ..files import locked
    from ..generate import settings

    started, precision = perf_counter(), precision_name(options)
    wanted = settings(cascade, label=options.label, seed=options.seed, precision=precision)
    album.check(wanted, overwrite=options.overwrite)  # before a lock file is made in the folder
    with locked(album.path):
        album.open(wanted, overwrite=options.overwrite)
        kept = make_missing(cascade, album, count, options)
    few = f", {kept} of them kept" if kept else ""
    print_result(f"{album.grid}  {counted(count, 'picture')}{few}  {perf_counter() - started:.1f} s")
    return 0


def make_missing(cascade: "Cascade", album: "Album", count: int, options: GenerateOptions) -> int:
    """Generate the missing pictures and the overview; how many pictures there were before."""
    missing = album.missing(count)
    with picture_progress(count) as show:
        for first in range(0, len(missing), options.batch):
            before = count - len(missing) + first
            indexes = missing[first : first + options.batch]
            made = generate_batch(cascade, indexes, options, partial(show, before))
            for index, picture in zip(indexes, made, strict=True):
                print_result(result_line(album.write(index, picture), cascade, index, options))
    album.write_grid(count)
    return count - len(missing)


def precision_name(options: GenerateOptions) -> str:
    from ..devices import autocast_dtype, device_named

    return "fp32" if autocast_dtype(options.precision, device_named(options.device)) is None else "bf16"


def generate_batch(
    cascade: "Cascade", indexes: list[int], options: GenerateOptions, show: Callable[[int, int], None]
) -> tuple["Picture", ...]:
    """The pictures with these indexes.  If memory runs out, the error suggests a smaller batch."""
    from ..generate import generate_images, pictures

    half = len(indexes) // 2
    hint = f"use --batch {half}" if half else "give its stages a smaller tile in cascade.json"
    with out_of_memory_as(f"not enough memory for {counted(len(indexes), 'picture')} at once; {hint}"):
        made = generate_images(
            cascade,
            indexes,
            label=options.label,
            seed=options.seed,
            device=options.device,
            precision=options.precision,
        )
        for progress in made:
            show(progress.done, progress.total)
    return pictures(progress.image)


def result_line(path: Path, cascade: "Cascade", index: int, options: GenerateOptions) -> str:
    from ..generate import choose_classes

    (label,) = choose_classes(cascade, [index], options.label, options.seed)
    return str(path) if label is None else f"{path}  class {label}"


@contextmanager
def picture_progress(count: int) -> Iterator[ShowPictures]:
    """`show(pictures, done, total)`: finished pictures, and steps of the current batch over all stages."""
    from rich.progress import MofNCompleteColumn, TimeElapsedColumn

    with progress_bars(MofNCompleteColumn(), TimeElapsedColumn()) as progress:
        pictures = progress.add_task("pictures", total=count)
        steps = progress.add_task("steps", total=None)

        def show(finished: int, done: int, total: int) -> None:
            progress.update(pictures, completed=finished)
            progress.update(steps, completed=done, total=total)

        yield show
