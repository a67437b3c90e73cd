"""Measurements during a training: previews, losses on held-out pictures, and the best weights.

Nothing here affects the training: everything random has generators of its own.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from refinesr.checkpoint import save_stage
from refinesr.devices import autocasting, seeded_generators
from refinesr.diffusion.loops import last_of
from refinesr.diffusion.noise import NoiseField
from refinesr.errors import ConfigError
from refinesr.files import writing
from refinesr.fit import Batches, Plan, State, TrainingObjective
from refinesr.folder import RunFolder
from refinesr.held_out import HELD_OUT_SEED, HeldOutSet
from refinesr.measurements import (
    Measurement,
    lowest_loss,
    read_valid_measurements,
    truncate_measurements,
    write_measurements,
)
from refinesr.method import Method
from refinesr.metrics.pixel import CEILING, psnr
from refinesr.model import Model
from refinesr.objective import Distance
from refinesr.preview import save_grid
from refinesr.shapes import Images
from refinesr.stage import Card, Stage

PREVIEWS = 4
"""Rows of a preview."""


@dataclass(frozen=True, eq=False)
class HeldOutEvaluator:
    """Measures a model on held-out pictures, always with the same noise levels and noise.

    objective  the training objective; its levels should be stratified, as they are drawn for all pictures at
               once
    batch      pictures at a time; it affects only memory and rounding
    distance   the perceptual distance of the training, if there is one; restored pictures are measured by it
    """

    method: Method
    held_out: HeldOutSet
    objective: TrainingObjective
    batch: int
    autocast: torch.dtype | None = None
    distance: Distance | None = None

    @cached_property
    def drawn(self) -> tuple[Tensor, ...]:
        """Noise levels, noise and other random tensors, for all pictures."""
        return self.objective.draw(self.held_out.high, HELD_OUT_SEED)

    def batches(self, device: torch.device, *more: Tensor) -> Iterator[list[Tensor]]:
        """high, low and what belongs to them from `more`, in batches.

        Images (4 dimensions) are moved to the device, noise levels stay on the CPU.
        """
        parts = (torch.split(values, self.batch) for values in (self.held_out.high, self.held_out.low, *more))
        for part in zip(*parts, strict=True):
            yield [values.to(device) if values.ndim == 4 else values for values in part]

    @torch.no_grad()
    def loss(self, model: Model) -> float:
        """Mean loss over all pictures."""
        total, device = 0.0, device_of(model)
        with seeded_generators(device, HELD_OUT_SEED), autocasting(device, self.autocast):
            for high, low, sigma, eps, *rest in self.batches(device, *self.drawn):
                losses = self.objective.loss(model, high, low, sigma, eps, *rest)
                total += float(losses.cpu().double().sum())
        return total / len(self.held_out)

    @torch.no_grad()
    def restoration(self, model: Model) -> tuple[float, float | None]:
        """Mean PSNR in dB and mean distance (None without one) of pictures restored by the method's sampling.

        PSNR is over all channels, of values clipped to [-1, 1], without cutting borders; equal pictures count
        as 100 dB.
        """
        stage, rows, done = Stage(self.method, model), [], 0
        for high, low in self.batches(device_of(model)):
            noise = NoiseField(tuple(range(done, done + len(high))))
            image = last_of(stage(low, noise, autocast=self.autocast)).image
            rows.append(self.compare((high + 1) / 2, (image.clamp(-1, 1) + 1) / 2))
            done += len(high)
        mean_psnr, *distances = torch.cat(rows).mean(0).tolist()
        return mean_psnr, distances[0] if distances else None

    def compare(self, high: Images, image: Images) -> Tensor:
        """PSNR and, if there is one, distance of each picture: (B, 1 or 2), float64 on the CPU."""
        columns = [psnr(high, image).clamp(max=CEILING)]
        columns += [] if self.distance is None else [self.distance(high, image)]
        return torch.stack([column.cpu().double() for column in columns], 1)

    def measure(self, model: Model, step: int, *, restoring: bool) -> Measurement:
        """The loss and, if `restoring`, PSNR and distance; generative models have no reference for these."""
        restoring = restoring and not self.method.generates
        mean_psnr, distance = self.restoration(model) if restoring else (None, None)
        return Measurement(step, self.loss(model), mean_psnr, distance, self.held_out.fingerprint)


def device_of(model: Model) -> torch.device:
    return next(model.parameters()).device


@dataclass(eq=False)
class HeldOutTracker:
    """The measurements of a run so far, and the weights of the lowest loss.

    Weights are written no earlier than the state of their update or of a later one.  So the files of a killed
    run never contain anything that its state does not know, and a folder without a state can be used again.
    """

    evaluator: HeldOutEvaluator
    plan: Plan
    files: RunFolder
    measurements: list[Measurement] = field(default_factory=list)
    unsaved_best: Stage | None = None
    """The best weights, until they are written."""

    def measure_start(
        self, state: State, card: Card, *, resumed: bool, pretrained: bool
    ) -> list[Measurement]:
        """The measurement before the first update: of initial weights, or one that a killed run has missed.

        Pictures are restored only by `pretrained` weights; random ones cannot.
        """
        self.measurements = truncate_measurements(self.files.held_out, state.step)
        if self.measurements and (self.measurements[-1].step == state.step or not self.is_due(state.step)):
            return []
        restoring = self.restores_at(state.step) or (pretrained and state.step == 0)
        return [self.measure(state, card, saved=resumed, restoring=restoring)]

    def measure_if_due(self, state: State, card: Card, *, saved: bool) -> list[Measurement]:
        """The measurement due after an update, if any; `saved` tells whether its state is already saved."""
        if not self.is_due(state.step):
            return []
        return [self.measure(state, card, saved=saved, restoring=self.restores_at(state.step))]

    def is_due(self, step: int) -> bool:
        return step % self.plan.measure_every == 0 or self.restores_at(step)

    def restores_at(self, step: int) -> bool:
        """Whether pictures are restored: as often as previews, since sampling may take hundreds of calls."""
        return step > 0 and (step % self.plan.preview_every == 0 or step == self.plan.steps)

    def measure(self, state: State, card: Card, *, saved: bool, restoring: bool) -> Measurement:
        """Measure the averaged weights, and keep them if they are the best.  Raises OutputError."""
        measurement = self.evaluator.measure(state.average, state.step, restoring=restoring)
        self.measurements.append(measurement)
        if lowest_loss(self.measurements) is measurement:
            average = state.average if saved else copy.deepcopy(state.average).cpu()
            pictures = f"{len(self.evaluator.held_out)} held-out pictures"
            line = f"the least loss so far on {pictures}, {measurement.loss:.4g}"
            card = replace(card, training=(*card.training, line))
            self.unsaved_best = Stage(self.evaluator.method, average, card)
        if saved:
            self.save_best()
        write_measurements(self.files.held_out, self.measurements)
        return measurement

    def save_best(self) -> None:
        """Write the best weights, unless they are written already.  Raises OutputError."""
        if self.unsaved_best is not None:
            save_stage(self.unsaved_best, self.files.best, overwrite=True)
            self.unsaved_best = None


def check_same_pictures(files: RunFolder, held_out: HeldOutSet | None) -> None:
    """Raise ConfigError if earlier measurements of the run are of other pictures: they would not compare."""
    if held_out is None:
        return
    if any(each.pictures != held_out.fingerprint for each in read_valid_measurements(files.held_out)):
        given = "others by their names and sizes, or by plan.size, than the run was measured on"
        raise ConfigError(f"--held-out: {given}; give the same ones, or none")


@torch.no_grad()
def write_preview(method: Method, plan: Plan, files: RunFolder, state: State, batches: Batches) -> None:
    """Write a preview of a few crops from the batch after the last one, which no update is trained on."""
    high, low = (images[:PREVIEWS] for images in batches.at(plan.steps))
    stage = Stage(method, state.average)
    restored = last_of(stage(low, NoiseField(tuple(range(len(low)))))).image
    columns: list[Tensor] = [stage.model.base(low), restored, high]
    with writing(files.path):
        files.preview(state.step).parent.mkdir(exist_ok=True)
    save_grid(columns, files.preview(state.step))
