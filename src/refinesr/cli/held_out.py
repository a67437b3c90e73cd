"""Held-out pictures of `refinesr train` and `refinesr distill`: loading them and printing measurements."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Parameter

from ..errors import ConfigError, InputError
from .bars import count_progress
from .messages import counted, print_message
from .options import OptionalData

if TYPE_CHECKING:
    from ..data import Pairs
    from ..held_out import HeldOutSet
    from ..measurements import Measurement
    from ..run import Run


@Parameter(name="*", group="Held-out (validation) pictures")
@dataclass(frozen=True)
class HeldOutOptions:
    """The pictures that a run is measured on."""

    held_out: OptionalData = None
    """Validation pictures, which are not trained on, given as --data is: every plan.measure_every updates the
    loss on them is written to RUN/held_out.jsonl; RUN/best.safetensors has the weights with the lowest."""

    held_out_low: OptionalData = None
    """The low-resolution pictures of --held-out, if --low is given."""

    def load(self, run: "Run", data: tuple[Path, ...], output: Path, resume: bool) -> "HeldOutSet | None":
        """The held-out pictures; None if none are given.

        Raises ConfigError for pictures that are also in `data`, and InputError for unusable ones.
        """
        from ..folder import RunFolder
        from ..held_out import check_disjoint
        from ..images.entries import class_names, list_entries
        from ..monitoring import check_same_pictures

        self.check(run)
        files = RunFolder(output)
        if self.held_out is None:
            if resume and files.held_out.exists():
                print_message("no --held-out is given: from here on nothing is measured")
            return None
        check_disjoint(self.held_out, data)
        classes = class_names(list_entries(data)) if run.method.class_count else ()
        held_out = load_held_out(run, self.held_out, self.held_out_low, classes)
        check_same_pictures(files, held_out if resume else None)
        return held_out

    def check(self, run: "Run") -> None:
        """Raise ConfigError unless --held-out-low is given exactly if the run trains on given pairs."""
        from ..images.degrade import Given

        for option, paths in (("--held-out", self.held_out), ("--held-out-low", self.held_out_low)):
            if paths == ():
                raise ConfigError(f"{option}: no folder given")
        given = isinstance(run.method.degradation, Given)
        if self.held_out_low and not (self.held_out and given):
            right = "needs --held-out and --low; it names the low-resolution images of --held-out"
            raise ConfigError(f"--held-out-low: {right}")
        if self.held_out and given and not self.held_out_low:
            right = "name the low-resolution images of --held-out"
            raise ConfigError(f"--held-out-low: the run learns from given pairs; {right}")


HELD_OUT = HeldOutOptions()


def load_held_out(
    run: "Run", held_out: tuple[Path, ...], low: tuple[Path, ...] | None, classes: tuple[str, ...]
) -> "HeldOutSet":
    """Load the pictures, with a progress bar.  Raises ConfigError and InputError."""
    from ..held_out import loading_held_out
    from ..stepwise import finish

    steps = loading_held_out(run.method, held_out, size=run.plan.size, low=low, classes=classes)
    try:
        with count_progress("reading held-out pictures") as show:
            return finish(steps, show)
    except InputError as error:
        raise InputError(f"--held-out: {error}") from error


def left_out(pairs: "Pairs", held_out: "HeldOutSet | None") -> str:
    """A note on how many pictures were left out and why; empty if none were."""
    sets = [(pairs.photos, "photo")] + ([] if held_out is None else [(held_out, "held-out picture")])
    parts = [
        f"{each.left_out} of {counted(each.left_out + len(each), thing)}"
        for each, thing in sets
        if each.left_out
    ]
    side = pairs.photos.smallest
    reason = f"a side below {side} pixels"
    if any(each.holed for each, _ in sets):
        reason = f"no {side} x {side} pixels without missing values"
    return f"  ({', '.join(parts)} left out: {reason})" if parts else ""


def print_measurements(measurements: "Iterable[Measurement]", output: Path) -> None:
    """Print each on stderr, with the best until then."""
    from ..folder import RunFolder
    from ..measurements import lowest_loss, read_valid_measurements

    path = RunFolder(output).held_out
    for each in measurements:
        best = lowest_loss(other for other in read_valid_measurements(path) if other.step <= each.step)
        print_message(describe(each, best))


def describe(measurement: "Measurement", best: "Measurement | None") -> str:
    """One line about a measurement; `best` is the best so far, this one included."""
    line = f"update {measurement.step}: held-out loss {measurement.loss:.4g}"
    if best is not None:
        is_best = best.step == measurement.step
        line += " (the best)" if is_best else f" (best {best.loss:.4g} at {best.step})"
    line += "" if measurement.psnr is None else f", {measurement.psnr:.2f} dB"
    return line + ("" if measurement.distance is None else f", distance {measurement.distance:.4g}")


def summary(output: Path, updates: int) -> Iterator[str]:
    """Lines about a complete run: the last measurement, if there were no updates now, and the best weights.

    The latter are left out if they are the last ones.
    """
    from ..folder import RunFolder
    from ..measurements import lowest_loss, read_valid_measurements

    files = RunFolder(output)
    *_, last = measurements = read_valid_measurements(files.held_out)
    best = lowest_loss(measurements)
    if not updates:
        yield describe(last, best)
    if best is not None and best is not last:
        others = f"the last is {last.loss:.4g} at {last.step}"
        yield f"{files.best}  held-out loss {best.loss:.4g} at update {best.step}; {others}"
