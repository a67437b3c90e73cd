"""Smoothed loss and speed of a training."""

import math
from time import perf_counter
from typing import TYPE_CHECKING

from .bars import LOSS_INTERVAL, on_terminal
from .messages import counted

if TYPE_CHECKING:
    import torch

    from ..fit import Report

SMOOTHING = 0.02
"""Weight of an update in the smoothed loss; the first updates weigh more."""


class Meter:
    """Averages the losses of reports; they stay on their device, as reading them waits for it."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.step = self.made = 0
        self.smoothed: torch.Tensor | None = None
        self.started = self.last_shown = perf_counter()

    def read(self, report: "Report") -> None:
        self.step, self.made = report.step, self.made + 1
        weight = max(SMOOTHING, 1 / self.made)
        self.smoothed = report.loss if self.smoothed is None else self.smoothed.lerp(report.loss, weight)

    def is_time(self) -> bool:
        due = on_terminal() and perf_counter() > self.last_shown + LOSS_INTERVAL
        self.last_shown = perf_counter() if due else self.last_shown
        return due

    def loss(self) -> float:
        return math.nan if self.smoothed is None else float(self.smoothed)

    def summary(self) -> str:
        if self.made == 0:
            return "has made all its updates already"
        seconds = perf_counter() - self.started
        speed = f"{self.made * self.batch / seconds:.1f} images/s, {seconds:.1f} s"
        return f"{counted(self.made, 'update')}, loss {self.loss():.4f}, {speed}"
