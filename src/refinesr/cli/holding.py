"""Held-out pictures of `refinesr train` and `refinesr distill`: how they are read, and what they tell."""

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
    from ..held_out import HeldOut
    from ..measured import Measurement
    from ..run import Run


@Parameter(name="*", group="Held-out (validation) pictures")
@dataclass(frozen=True)
class Holding:
    """What a run is measured on."""

    held_out: OptionalData = None
    """Validation pictures, which are not trained on, given as --data is: every plan.measure_every updates the
    loss on them is written to RUN/held_out.jsonl; RUN/best.safetensors has the weights with the lowest."""

    held_out_low: OptionalData = None
    """The low-resolution pictures of --held-out, if --low is given."""

    def of(self, run: "Run", data: tuple[Path, ...], output: Path, resume: bool) -> "HeldOut | None":
        """The pictures that the run is to be measured on; None if none are given.

        Raises ConfigError for such as are learnt from, and InputError for such as cannot be used.
        """
        from .. import held_out as holding
        from ..folder import Folder
        from ..images.entries import class_names, list_entries
        from ..watching import check_same

        self.check(run)
        place = Folder(output)
        if self.held_out is None:
            if resume and place.held_out.exists():
                print_message("no --held-out is given: from here on nothing is measured")
            return None
        holding.check_apart(self.held_out, data)
        classes = class_names(list_entries(data)) if run.method.classes else ()
        held = pictures(run, self.held_out, self.held_out_low, classes)
        check_same(place, held if resume else None)
        return held

    def check(self, run: "Run") -> None:
        """Raises ConfigError unless there are poor pictures where, and only where, nothing makes them."""
        from ..images.degrade import Given

        for option, named in (("--held-out", self.held_out), ("--held-out-low", self.held_out_low)):
            if named == ():
                raise ConfigError(f"{option}: no folder given")
        given = isinstance(run.method.degradation, Given)
        if self.held_out_low and not (self.held_out and given):
            right = "goes with --held-out and --low, as the poor pictures of the former"
            raise ConfigError(f"--held-out-low: {right}")
        if self.held_out and given and not self.held_out_low:
            right = "name the poor ones of --held-out"
            raise ConfigError(f"--held-out-low: the run learns from given pairs; {right}")


HOLDING = Holding()


def pictures(
    run: "Run", held_out: tuple[Path, ...], low: tuple[Path, ...] | None, classes: tuple[str, ...]
) -> "HeldOut":
    """Raises ConfigError, and InputError."""
    from ..held_out import setting_aside

    states = setting_aside(run.method, held_out, size=run.plan.size, low=low, classes=classes)
    try:
        with count_progress("reading held-out pictures") as show:
            for state in states:
                show(state.done, state.total)
    except InputError as error:
        raise InputError(f"--held-out: {error}") from error
    assert state.held is not None
    return state.held


def left_out(pairs: "Pairs", held: "HeldOut | None") -> str:
    """How many pictures were too small, or miss values everywhere, if any."""
    sets = [(pairs.photos, "photo")] + ([] if held is None else [(held, "held-out picture")])
    parts = [
        f"{each.left_out} of {counted(each.left_out + len(each), thing)}"
        for each, thing in sets
        if each.left_out
    ]
    side = pairs.photos.smallest
    why = f"a side below {side} pixels"
    if any(each.holed for each, _ in sets):
        why = f"no {side} x {side} pixels without missing values"
    return f"  ({', '.join(parts)} left out: {why})" if parts else ""


def news(measured: "Iterable[Measurement]", output: Path) -> None:
    """Tell each, on stderr."""
    from ..folder import Folder
    from ..measured import known, least

    for each in measured:
        best = least(before for before in known(Folder(output).held_out) if before.step <= each.step)
        print_message(in_words(each, best))


def in_words(made: "Measurement", best: "Measurement | None") -> str:
    """`best` is the best so far, this one included."""
    line = f"update {made.step}: held-out loss {made.loss:.4g}"
    if best is not None:
        line += " (the best)" if best.step == made.step else f" (best {best.loss:.4g} at {best.step})"
    line += "" if made.psnr is None else f", {made.psnr:.2f} dB"
    return line + ("" if made.distance is None else f", distance {made.distance:.4g}")


def summary(output: Path, made: int) -> Iterator[str]:
    """What a finished run was measured as, if it has made no update now; and where its best weights are, if
    they are not the last ones.
    """
    from ..folder import Folder
    from ..measured import known, least

    place = Folder(output)
    *_, last = found = known(place.held_out)
    best = least(found)
    if not made:
        yield in_words(last, best)
    if best is not None and best is not last:
        others = f"the last is {last.loss:.4g} at {last.step}"
        yield f"{place.best}  held-out loss {best.loss:.4g} at update {best.step}; {others}"
