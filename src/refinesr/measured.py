"""held_out.jsonl of a run: one line for every measurement on pictures that are not learnt from."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from refinesr.errors import InputError
from refinesr.files import replacing


@dataclass(frozen=True)
class Measurement:
    """Of the averaged weights after update `step`, on all held-out pictures; NaN for what is no number.

    loss      mean of what is learnt, in its own units
    psnr      mean in dB of the restored pictures, over all channels; None where none were restored
    distance  mean of what a perception is learnt by, of the restored pictures; None where nothing is
    pictures  tells one set of held-out pictures from another (`HeldOut.mark`)
    """

    step: int
    loss: float
    psnr: float | None = None
    distance: float | None = None
    pictures: str = ""

    def line(self) -> str:
        """As JSON, which has null for NaN; what was not measured is left out."""
        told = {"loss": self.loss, "psnr": self.psnr, "distance": self.distance}
        numbers = {name: finite(value) for name, value in told.items() if value is not None}
        return json.dumps({"step": self.step, **numbers, "pictures": self.pictures})


def finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def measurement(line: str) -> Measurement:
    """What `Measurement.line` has written.  Raises ValueError for anything else."""
    try:
        told = json.loads(line)
        step, loss, pictures = told["step"], number(told["loss"]), told.get("pictures", "")
        psnr, distance = (number(told[name]) if name in told else None for name in ("psnr", "distance"))
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("not a measurement") from error
    if type(step) is not int or step < 0 or not isinstance(pictures, str):
        raise ValueError("not a measurement")
    return Measurement(step, loss, psnr, distance, pictures)


def number(value: object) -> float:
    """Raises ValueError for what is neither a number nor null."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a number")
    return float(value)


def measurements(path: Path) -> list[Measurement]:
    """All of a run; none if it has no such file.  Raises InputError naming the line that is none."""
    found = []
    for count, line in enumerate(lines(path), start=1):
        try:
            found.append(measurement(line))
        except ValueError as error:
            raise InputError(f"{path}: line {count} is no measurement: {line.strip()[:60]!r}") from error
    return found


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


def known(path: Path) -> list[Measurement]:
    """All that can be read; damaged lines, and such as repeat an update, are passed over."""
    found: list[Measurement] = []
    for line in lines(path):
        try:
            each = measurement(line)
        except ValueError:
            continue
        if not found or found[-1].step < each.step:
            found.append(each)
    return found


def shortened(path: Path, steps: int) -> list[Measurement]:
    """Those of the first `steps` updates, which alone are left in the file.

    Where there is no file, none is made.  Raises OutputError.
    """
    kept = [each for each in known(path) if each.step <= steps]
    if path.exists():
        write(path, kept)
    return kept


def write(path: Path, found: Iterable[Measurement]) -> None:
    """Raises OutputError."""
    with replacing(path, overwrite=True) as part:
        part.write_text("".join(f"{each.line()}\n" for each in found), encoding="utf-8")


def least(found: Iterable[Measurement]) -> Measurement | None:
    """The first one of the least loss; NaN is none."""
    counted = [each for each in found if math.isfinite(each.loss)]
    return min(counted, key=lambda each: each.loss, default=None)
