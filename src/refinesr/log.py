"""log.jsonl of a run: one line for every update."""

import json
import math
import os
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from refinesr.errors import InputError, RefineSRError
from refinesr.files import replacing, writing
from refinesr.train import Report


class DivergedError(RefineSRError):
    """The loss is no number any more."""


@dataclass(frozen=True)
class Log:
    """Lines of JSON in a file, and the reports that are not yet there."""

    path: Path
    waiting: list[Report] = field(default_factory=list)

    def write(self) -> None:
        """Raises DivergedError before anything is written, OutputError after which nothing is."""
        text = "".join(line(report) + "\n" for report in self.waiting)
        with writing(self.path):
            size = self.path.stat().st_size
            try:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(text)
            except BaseException:  # half a line would swallow the next one
                os.truncate(self.path, size)
                raise
        self.waiting.clear()

    def shorten(self, steps: int) -> None:
        """Keep one line for each of the first `steps` updates; drop what comes after, and half lines."""
        text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.exists() else ""
        wanted = count(1)
        expected, kept = next(wanted), []
        for each in text.splitlines(keepends=True):
            if expected <= steps and step_of(each) == expected:
                kept.append(each)
                expected = next(wanted)
        with replacing(self.path, overwrite=True) as part:
            part.write_text("".join(kept), encoding="utf-8")


def line(report: Report) -> str:
    """Raises DivergedError for what JSON has no number for."""
    numbers = {"loss": float(report.loss), "gradient": float(report.gradient)}
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise DivergedError(
                f"the {name} is {value} at step {report.step}; try a smaller plan.rate or --precision fp32"
            )
    return json.dumps({"step": report.step, **numbers, "rate": report.rate})


def step_of(text: str) -> int | None:
    """The update that a line of the log is of, None for half a line."""
    try:
        step = json.loads(text)["step"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return step if isinstance(step, int) and text.endswith("\n") else None


def losses(path: Path) -> list[tuple[int, float]]:
    """(update, loss) of every line; the last one may not yet be whole.  Raises InputError naming another."""
    found = []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    for number, text in enumerate(lines, start=1):
        step = step_of(text)
        loss = None if step is None else json.loads(text).get("loss")
        if step is not None and isinstance(loss, int | float):
            found.append((step, float(loss)))
        elif number < len(lines) or text.endswith("\n"):
            raise InputError(f"{path}: line {number} is not of an update: {text.strip()[:60]!r}")
    return found
