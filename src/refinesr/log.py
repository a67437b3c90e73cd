"""log.jsonl of a run: one line of JSON for every update."""

import json
import math
import os
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from refinesr.errors import InputError, RefineSRError
from refinesr.files import replacing, writing
from refinesr.fit import Report


class DivergedError(RefineSRError):
    """The loss or the gradient is NaN or infinite."""


@dataclass(frozen=True)
class TrainingLog:
    """The log file, and the reports that are not written to it yet."""

    path: Path
    pending: list[Report] = field(default_factory=list)

    def write(self) -> None:
        """Append the pending reports to the file.

        Raises DivergedError, before anything is written, if one of them is not finite; raises OutputError if
        the file cannot be written, which is then as it was.
        """
        text = "".join(log_line(report) + "\n" for report in self.pending)
        with writing(self.path):
            size = self.path.stat().st_size
            try:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(text)
            except BaseException:  # an incomplete line would corrupt the next one
                os.truncate(self.path, size)
                raise
        self.pending.clear()

    def truncate(self, steps: int) -> None:
        """Keep one line for each of the first `steps` updates; drop later and incomplete lines."""
        text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.exists() else ""
        numbers = count(1)
        expected, lines = next(numbers), []
        for line in text.splitlines(keepends=True):
            if expected <= steps and parse_step(line) == expected:
                lines.append(line)
                expected = next(numbers)
        with replacing(self.path, overwrite=True) as part:
            part.write_text("".join(lines), encoding="utf-8")


def log_line(report: Report) -> str:
    """The report as JSON.  Raises DivergedError for NaN and infinity."""
    numbers = {"loss": float(report.loss), "gradient": float(report.gradient)}
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise DivergedError(
                f"the {name} is {value} at step {report.step}; try a smaller plan.rate or --precision fp32"
            )
    return json.dumps({"step": report.step, **numbers, "rate": report.rate})


def parse_step(line: str) -> int | None:
    """The number of the update that a line describes; None for an incomplete or invalid line."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return step if isinstance(step, int) and line.endswith("\n") else None


def read_losses(path: Path) -> list[tuple[int, float]]:
    """(update, loss) of every line; an incomplete last line is ignored.

    Raises InputError naming the first invalid line before it.
    """
    found = []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        step = parse_step(line)
        loss = None if step is None else json.loads(line).get("loss")
        if step is not None and isinstance(loss, int | float):
            found.append((step, float(loss)))
        elif number < len(lines) or line.endswith("\n"):
            raise InputError(f"{path}: line {number} is not of an update: {line.strip()[:60]!r}")
    return found
