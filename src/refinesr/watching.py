"""What is looked at as a run goes on: previews, held-out pictures, and the best of its weights.

Nothing here changes what is learnt: all that is random has generators of its own.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from refinesr.checkpoint import save_stage
from refinesr.devices import autocasting, seeded_generators
from refinesr.diffusion.noise import NoiseField
from refinesr.diffusion.walking import last
from refinesr.errors import ConfigError
from refinesr.files import writing
from refinesr.folder import Folder
from refinesr.held_out import SEED, HeldOut
from refinesr.measured import Measurement, known, least, shortened, write
from refinesr.method import Method
from refinesr.metrics.pixel import CEILING, psnr
from refinesr.model import Model
from refinesr.objective import Distance
from refinesr.preview import save_grid
from refinesr.shapes import Images
from refinesr.stage import Card, Stage
from refinesr.train import Learning, Pairs, Plan, State

PREVIEWS = 4
"""Rows of a preview."""


@dataclass(frozen=True, eq=False)
class Ruler:
    """What is measured, and on what: the same levels, noise and pictures whenever it is asked.

    objective  what is learnt; its levels should be stratified, for they are drawn for all pictures at once
    batch      pictures at a time; nothing depends on it but the memory needed, and rounding
    distance   what a perception is learnt by; restored pictures are measured by it, too
    """

    method: Method
    held: HeldOut
    objective: Learning
    batch: int
    autocast: torch.dtype | None = None
    distance: Distance | None = None

    @cached_property
    def chances(self) -> tuple[Tensor, ...]:
        """Levels, noise and whatever else is random of each picture."""
        return self.objective.draw(self.held.high, SEED)

    def batches(self, device: torch.device, *more: Tensor) -> Iterator[list[Tensor]]:
        """high, low and what else there is of each picture; images on the device, levels stay on the CPU."""
        parts = (torch.split(values, self.batch) for values in (self.held.high, self.held.low, *more))
        for part in zip(*parts, strict=True):
            yield [values.to(device) if values.ndim == 4 else values for values in part]

    @torch.no_grad()
    def loss(self, model: Model) -> float:
        """Mean over all pictures."""
        total, device = 0.0, device_of(model)
        with seeded_generators(device, SEED), autocasting(device, self.autocast):
            for high, low, sigma, eps, *rest in self.batches(device, *self.chances):
                losses = self.objective.loss(model, high, low, sigma, eps, *rest)
                total += float(losses.cpu().double().sum())
        return total / len(self.held)

    @torch.no_grad()
    def restored(self, model: Model) -> tuple[float, float | None]:
        """Mean PSNR in dB, and mean distance if there is one, of pictures restored by the method's sampling.

        Over all channels, values cut to [-1, 1], no border cut; equal pictures count as 100 dB.
        """
        stage, found, done = Stage(self.method, model), [], 0
        for high, low in self.batches(device_of(model)):
            noise = NoiseField(tuple(range(done, done + len(high))))
            image = last(stage(low, noise, autocast=self.autocast)).image
            found.append(self.compared((high + 1) / 2, (image.clamp(-1, 1) + 1) / 2))
            done += len(high)
        near, *far = torch.cat(found).mean(0).tolist()
        return near, far[0] if far else None

    def compared(self, high: Images, image: Images) -> Tensor:
        """PSNR, and the distance if there is one, of each picture: (B, 1 or 2), float64 on the CPU."""
        found = [psnr(high, image).clamp(max=CEILING)]
        found += [] if self.distance is None else [self.distance(high, image)]
        return torch.stack([each.cpu().double() for each in found], 1)

    def measured(self, model: Model, step: int, *, restoring: bool) -> Measurement:
        """What the weights come to; pictures made from nothing have none to be compared with."""
        restoring = restoring and not self.method.generates
        near, far = self.restored(model) if restoring else (None, None)
        return Measurement(step, self.loss(model), near, far, self.held.mark)


def device_of(model: Model) -> torch.device:
    return next(model.parameters()).device


@dataclass(eq=False)
class Watch:
    """What a run's weights have come to so far, and the best of them.

    Weights reach the folder no earlier than the state of their update or a later one: what a killed run has
    left there is always what its state knows of, and a folder without a state is free for another try.
    """

    ruler: Ruler
    plan: Plan
    place: Folder
    found: list[Measurement] = field(default_factory=list)
    waiting: Stage | None = None
    """The best weights, until they are in the folder."""

    def begin(self, state: State, card: Card, *, resumed: bool, trained: bool) -> list[Measurement]:
        """Before the first update: where all begins, or what a run that was killed had not come to.

        Weights that are `trained` already restore pictures, to be compared with; fresh ones cannot.
        """
        self.found = shortened(self.place.held_out, state.step)
        if self.found and (self.found[-1].step == state.step or not self.due(state.step)):
            return []
        restoring = self.restores(state.step) or (trained and state.step == 0)
        return [self.measure(state, card, saved=resumed, restoring=restoring)]

    def look(self, state: State, card: Card, *, saved: bool) -> list[Measurement]:
        """What is due after an update; `saved` says whether its state is in the folder."""
        if not self.due(state.step):
            return []
        return [self.measure(state, card, saved=saved, restoring=self.restores(state.step))]

    def due(self, step: int) -> bool:
        return step % self.plan.measure_every == 0 or self.restores(step)

    def restores(self, step: int) -> bool:
        """When previews are made, too: sampling may take hundreds of calls."""
        return step > 0 and (step % self.plan.preview_every == 0 or step == self.plan.steps)

    def measure(self, state: State, card: Card, *, saved: bool, restoring: bool) -> Measurement:
        """Raises OutputError."""
        made = self.ruler.measured(state.average, state.step, restoring=restoring)
        self.found.append(made)
        if least(self.found) is made:
            average = state.average if saved else copy.deepcopy(state.average).cpu()
            told = f"the least loss so far on {len(self.ruler.held)} held-out pictures, {made.loss:.4g}"
            self.waiting = Stage(self.ruler.method, average, replace(card, training=(*card.training, told)))
        if saved:
            self.keep()
        write(self.place.held_out, self.found)
        return made

    def keep(self) -> None:
        """Put the best weights into the folder, if they are new.  Raises OutputError."""
        if self.waiting is not None:
            save_stage(self.waiting, self.place.best, overwrite=True)
            self.waiting = None


def check_same(place: Folder, held: HeldOut | None) -> None:
    """Raises ConfigError if the folder's run was measured on other pictures: its curve would be of two."""
    if held is not None and any(each.pictures != held.mark for each in known(place.held_out)):
        given = "others by their names and sizes, or by plan.size, than the run was measured on"
        raise ConfigError(f"--held-out: {given}; give the same ones, or none")


@torch.no_grad()
def preview(method: Method, plan: Plan, place: Folder, state: State, pairs: Pairs) -> None:
    """A few crops of the batch after the last, which no update sees."""
    high, low = (images[:PREVIEWS] for images in pairs.at(plan.steps))
    stage = Stage(method, state.average)
    made = last(stage(low, NoiseField(tuple(range(len(low)))))).image
    columns: list[Tensor] = [stage.model.base(low), made, high]
    with writing(place.path):
        place.preview(state.step).parent.mkdir(exist_ok=True)
    save_grid(columns, place.preview(state.step))
