"""What the reports of a training come to."""

import math
from time import perf_counter
from typing import TYPE_CHECKING

from .bars import LOSS_INTERVAL, on_terminal
from .messages import counted

if TYPE_CHECKING:
    import torch

    from ..train import Report

SMOOTH = 0.02
"""Share of an update in the smoothed loss; the first ones have more."""


class Meter:
    """What the reports come to.  The loss stays on its device and is read seldom: to read is to wait."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.step = self.made = 0
        self.smooth: torch.Tensor | None = None
        self.started = self.looked = perf_counter()

    def read(self, report: "Report") -> None:
        self.step, self.made = report.step, self.made + 1
        share = max(SMOOTH, 1 / self.made)
        self.smooth = report.loss if self.smooth is None else self.smooth.lerp(report.loss, share)

    def is_time(self) -> bool:
        due = on_terminal() and perf_counter() > self.looked + LOSS_INTERVAL
        self.looked = perf_counter() if due else self.looked
        return due

    def loss(self) -> float:
        return math.nan if self.smooth is None else float(self.smooth)

    def summary(self) -> str:
        if self.made == 0:
            return "has made all its updates already"
        seconds = perf_counter() - self.started
        speed = f"{self.made * self.batch / seconds:.1f} images/s, {seconds:.1f} s"
        return f"{counted(self.made, 'update')}, loss {self.loss():.4f}, {speed}"
