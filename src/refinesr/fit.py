"""The training loop: a generator that yields a report after each update; its caller logs and saves."""

import copy
import math
import pickle
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from refinesr.decays import Constant, CosineDecay, Halving
from refinesr.devices import seeded_generators
from refinesr.errors import CheckpointError, ConfigError
from refinesr.files import replacing
from refinesr.measurements import Measurement
from refinesr.model import Model
from refinesr.optimizers import Adam, Muon
from refinesr.process_group import SINGLE_PROCESS, ProcessGroup
from refinesr.shapes import Images, LowWithPlanes, PerImage

MAX_ABS_VALUE = 8.0
"""Larger values cannot be pictures in [-1, 1], even if resampling overshoots."""

LOAD_ERRORS = (OSError, EOFError, LookupError, TypeError, ValueError, RuntimeError, pickle.PickleError)
"""Exceptions that torch raises for damaged files and for files of another kind."""


@dataclass(frozen=True)
class Plan:
    """Duration, batches, learning rate and optimiser; steps, warmup, halflife and `*_every` count updates.

    batch       images per update
    accumulate  equal parts of a batch that go through the network one after the other, to save memory
    size        side of the high-resolution crops in pixels
    rate        peak learning rate, reached after a linear warm-up of `warmup` updates, then scaled by `decay`
    clip        the gradient's norm is clipped to this
    halflife    of the exponential moving average of the weights; at the start it is limited to a tenth of the
                updates made
    upright     crops are at most mirrored, as suits photos with a way up, faces above all; otherwise they are
                also rotated and flipped upside down
    betas, weight_decay  of AdamW, or of that part of the weights which `optimizer` gives to AdamW
    """

    steps: int
    batch: int = 16
    size: int = 128
    rate: float = 2e-4
    warmup: int = 1000
    decay: Constant | CosineDecay | Halving = field(default_factory=CosineDecay)
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.99)
    optimizer: Adam | Muon = field(default_factory=Adam)
    clip: float = 1.0
    accumulate: int = 1
    halflife: int = 2000
    save_every: int = 1000
    preview_every: int = 5000
    measure_every: int = 1000
    upright: bool = False

    def __post_init__(self) -> None:
        intervals = "save_every", "preview_every", "measure_every"
        for name in ("steps", "batch", "size", "rate", "clip", "accumulate", *intervals):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}: {getattr(self, name)} is not positive")
        for name in ("warmup", "weight_decay", "halflife"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name}: {getattr(self, name)} is negative")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas: {self.betas} are not both in [0, 1)")
        if self.batch % self.accumulate:
            raise ConfigError(f"accumulate: {self.accumulate} does not divide batch {self.batch}")

    def rate_at(self, step: int) -> float:
        """The learning rate of update `step`, counted from 0."""
        warmup = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return self.rate * warmup * self.decay.at(step / self.steps)


@dataclass(frozen=True)
class Report:
    """Of update `step`, counted from 1.

    loss      mean over the batch
    gradient  norm of the gradient before clipping; like the loss it stays on its device until it is read
    rate      learning rate of the update
    measured  measurements on held-out pictures since the last report, if there are any
    """

    step: int
    loss: Tensor
    gradient: Tensor
    rate: float
    measured: tuple[Measurement, ...] = ()


@runtime_checkable  # for type checks at run time
class Batches(Protocol):
    """Training data: the batch of an update is a function of the update's number alone."""

    def at(self, step: int) -> tuple[Images, LowWithPlanes]:
        """(high, low) of update `step`, counted from 0; both in [-1, 1], low with its further planes."""
        ...


@runtime_checkable
class TrainingObjective(Protocol):
    """A loss, and the random numbers it needs: `Objective`, or anything else with these two methods."""

    def draw(self, like: Images, *seed: int) -> tuple[Tensor, ...]:
        """Noise levels, noise, and any other random tensors; the first dimension of each is the image."""

    def loss(
        self, model: Model, high: Images, low: LowWithPlanes, sigma: PerImage, eps: Images, *more: Tensor
    ) -> PerImage:
        """The loss of each image, given what `draw` has returned."""


class State:
    """Everything that changes during training: weights, their average, optimiser moments, updates made."""

    def __init__(self, model: Model, plan: Plan) -> None:
        self.model = model
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = plan.optimizer.build(trained, plan.rate, plan.betas, plan.weight_decay)
        self.step = 0
        self.complete = True
        """False in the middle of an update, when only some of the weights are updated."""
        self.listing = ""
        """Identifies the training photos (`Photos.listing`); empty if unknown."""

    def is_complete_at(self, step: int) -> bool:
        """Whether this is exactly the state after update `step`."""
        return self.complete and self.step == step

    def set_listing(self, listing: str) -> None:
        """Remember the photos that are trained on from now; warn if the state was saved with others."""
        if self.listing and listing and self.listing != listing:
            warnings.warn(
                "data: not the photos that the run was saved with, by their names and sizes; it goes on with "
                "these, and other updates than it would have made",
                stacklevel=2,
            )
        self.listing = listing

    def save(self, path: Path) -> None:
        """Raises OutputError, and ValueError in the middle of an update."""
        if not self.complete:
            raise ValueError(f"update {self.step + 1} is half made; there is nothing to be saved")
        facts = {"step": self.step, "listing": self.listing}
        parts = {name: getattr(self, name).state_dict() for name in ("model", "average", "optimizer")}
        # opened here, because torch has errors of its own for a full disk
        with replacing(path, overwrite=True) as part, part.open("wb") as file:
            try:
                torch.save({**facts, **parts}, file)
            except RuntimeError as error:  # torch also fails on closing a file that could not be written
                raise error.__context__ if isinstance(error.__context__, OSError) else error from None

    def load(self, path: Path) -> None:
        """Load what `save` has written, except the optimiser's hyperparameters: those of the plan are kept.

        Raises CheckpointError unless the file holds the state of such a model and such an optimiser.
        """
        device = next(self.model.parameters()).device
        hyperparameters = [
            {name: value for name, value in group.items() if name != "params"}
            for group in self.optimizer.param_groups
        ]
        try:
            stored = torch.load(path, map_location=device, weights_only=True)
            self.complete = False
            for name in ("model", "average", "optimizer"):
                getattr(self, name).load_state_dict(stored[name])
            self.step = checked_step(stored["step"])
            self.listing = str(stored.get("listing", ""))  # missing in files of earlier versions
            self.complete = True
        except LOAD_ERRORS as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise CheckpointError(f"{path}: not the state of this run: {reason}") from error
        for group, options in zip(self.optimizer.param_groups, hyperparameters, strict=True):
            group.update(options)


def checked_step(step: object) -> int:
    """The number of updates stored in a file.  Raises ValueError for an invalid one."""
    if type(step) is not int or step < 0:
        raise ValueError(f"step: {step!r:.60} is no number of updates")
    return step


def check_divisible(plan: Plan, processes: ProcessGroup) -> None:
    """Raise ConfigError for a batch that cannot be divided evenly among the processes."""
    if plan.batch % (processes.size * plan.accumulate):
        among = f"{processes.size} processes in {plan.accumulate} parts each"
        raise ConfigError(f"plan.batch: {plan.batch} cannot be shared evenly among {among}")


def check_processes_agree(batches: Batches, state: State, processes: ProcessGroup) -> None:
    """Raise ConfigError unless all processes continue from the same update with the same pictures."""
    if processes.size > 1:
        high, _ = batches.at(state.step)
        checksum = zlib.crc32(high.float().cpu().contiguous().numpy().tobytes())
        if not (processes.agrees_on(state.step) and processes.agrees_on(checksum)):
            raise ConfigError("data: not all processes read the same photos, or the same state")


def check_values(images: Tensor) -> None:
    """Raise ConfigError for values that cannot be pictures in [-1, 1], such as bytes from 0 to 255."""
    largest = float(images.abs().max()) if images.is_floating_point() else math.inf
    if largest > MAX_ABS_VALUE:
        kind = f"values up to {largest:.4g}" if images.is_floating_point() else str(images.dtype)
        raise ConfigError(f"pairs: {kind}; pictures to learn from are floats from -1 to 1")


def fit(
    state: State,
    batches: Batches,
    objective: TrainingObjective,
    plan: Plan,
    *,
    seed: int,
    autocast: torch.dtype | None,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> Iterator[Report]:
    """Update `state` from its step to `plan.steps`; the same seed gives the same updates, resumed or not.

    The seed is not negative.  All processes of a group call this with the same arguments.  The caller's
    random number generators are left as they were at every yield.  An exception in the middle of an update
    leaves the state either as it was before the update or not `complete`. Raises ValueError for an
    incomplete state, and ConfigError if the processes disagree or the pictures are not in [-1, 1].
    """
    if not state.complete:
        raise ValueError(f"update {state.step + 1} is half made; restore the state that was saved last")
    check_processes_agree(batches, state, processes)
    state.model.train()
    state.optimizer.zero_grad()  # an interrupted update may have left gradients

    def losses(high: Images, low: LowWithPlanes, *drawn: Tensor) -> PerImage:
        with torch.autocast(high.device.type, autocast, enabled=autocast is not None):
            return objective.loss(state.model, high, low, *drawn)

    first = state.step
    while state.step < plan.steps:
        high, low = batches.at(state.step)
        if state.step == first:  # once only, because it waits for the GPU
            check_values(high)
        rate = plan.rate_at(state.step)
        for group in state.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        batch = processes.local_batch((high, low, *objective.draw(high, seed, state.step)))
        with seeded_dropout(high.device, seed, state.step, *([processes.rank] if processes.rank else [])):
            loss = accumulate_gradients(losses, batch, plan.accumulate)
        processes.average([loss, *(p.grad for p in state.model.parameters() if p.grad is not None)])
        gradient = torch.nn.utils.clip_grad_norm_(state.model.parameters(), plan.clip)
        state.complete = False
        state.optimizer.step()
        state.optimizer.zero_grad()
        update_average(state.average, state.model, min(float(plan.halflife), (state.step + 1) / 10))
        report = Report(state.step + 1, loss, gradient, rate)
        state.step += 1
        state.complete = True
        yield report


def accumulate_gradients(losses: Callable[..., PerImage], batch: tuple[Tensor, ...], parts: int) -> Tensor:
    """Compute gradients of the mean loss over a batch, part by part; return that mean.

    All random tensors are drawn for the whole batch beforehand, so the number of parts changes only the
    memory needed (and which units dropout drops).
    """
    total = torch.zeros((), device=batch[0].device)
    for part in zip(*(values.chunk(parts) for values in batch), strict=True):
        loss = losses(*part).sum() / len(batch[0])
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    return total


def seeded_dropout(device: torch.device, *seed: int) -> AbstractContextManager[None]:
    """Seed torch's global generators, which dropout draws from, and restore them afterwards."""
    *_, own = np.random.SeedSequence(seed).generate_state(3).tolist()  # the first two are Objective.draw's
    return seeded_generators(device, own)


@torch.no_grad()
def update_average(average: Model, model: Model, halflife: float) -> None:
    """Update the exponential moving average (EMA) of the weights; `halflife` is counted in updates."""
    weight = 1 - 0.5 ** (1 / max(halflife, 1e-3))
    torch._foreach_lerp_(list(average.parameters()), [p.detach() for p in model.parameters()], weight)
    for old, new in zip(average.buffers(), model.buffers(), strict=True):
        old.copy_(new)
