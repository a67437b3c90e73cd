"""held_out.jsonl of a run: one line of JSON for every measurement on held-out pictures."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from refinesr.errors import InputError
from refinesr.files import replacing


@dataclass(frozen=True)
class Measurement:
    """Of the averaged weights after update `step`, on all held-out pictures; values may be NaN.

    loss      mean of the training objective, in its own units
    psnr      mean PSNR in dB of restored pictures, over all channels; None where none were restored
    distance  mean perceptual distance of restored pictures, by the distance that the run is trained with;
              None without one
    pictures  identifies the set of held-out pictures (`HeldOutSet.fingerprint`)
    """

    step: int
    loss: float
    psnr: float | None = None
    distance: float | None = None
    pictures: str = ""

    def line(self) -> str:
        """As JSON, with null for NaN; what was not measured is left out."""
        values = {"loss": self.loss, "psnr": self.psnr, "distance": self.distance}
        numbers = {name: finite_or_none(value) for name, value in values.items() if value is not None}
        return json.dumps({"step": self.step, **numbers, "pictures": self.pictures})


def finite_or_none(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def parse_measurement(line: str) -> Measurement:
    """The inverse of `Measurement.line`.  Raises ValueError for an invalid line."""
    try:
        data = json.loads(line)
        step, loss, pictures = data["step"], parse_number(data["loss"]), data.get("pictures", "")
        psnr, distance = (parse_number(data[name]) if name in data else None for name in ("psnr", "distance"))
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("not a measurement") from error
    if type(step) is not int or step < 0 or not isinstance(pictures, str):
        raise ValueError("not a measurement")
    return Measurement(step, loss, psnr, distance, pictures)


def parse_number(value: object) -> float:
    """A float, NaN for None.  Raises ValueError for anything that is neither a number nor None."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a number")
    return float(value)


def read_measurements(path: Path) -> list[Measurement]:
    """All measurements of a run; none if the file is missing.  Raises InputError naming the invalid line."""
    found = []
    for number, line in enumerate(read_lines(path), start=1):
        try:
            found.append(parse_measurement(line))
        except ValueError as error:
            raise InputError(f"{path}: line {number} is no measurement: {line.strip()[:60]!r}") from error
    return found


def read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


def read_valid_measurements(path: Path) -> list[Measurement]:
    """The measurements in the order of their updates; invalid and repeated lines are skipped."""
    found: list[Measurement] = []
    for line in read_lines(path):
        try:
            each = parse_measurement(line)
        except ValueError:
            continue
        if not found or found[-1].step < each.step:
            found.append(each)
    return found


def truncate_measurements(path: Path, steps: int) -> list[Measurement]:
    """Remove measurements made after the first `steps` updates from the file; return the others.

    A missing file is not created.  Raises OutputError.
    """
    remaining = [each for each in read_valid_measurements(path) if each.step <= steps]
    if path.exists():
        write_measurements(path, remaining)
    return remaining


def write_measurements(path: Path, measurements: Iterable[Measurement]) -> None:
    """Replace the file.  Raises OutputError."""
    with replacing(path, overwrite=True) as part:
        part.write_text("".join(f"{each.line()}\n" for each in measurements), encoding="utf-8")


def lowest_loss(measurements: Iterable[Measurement]) -> Measurement | None:
    """The first measurement of the lowest finite loss; None if there is none."""
    finite = [each for each in measurements if math.isfinite(each.loss)]
    return min(finite, key=lambda each: each.loss, default=None)
