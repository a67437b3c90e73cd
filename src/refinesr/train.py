"""Training: a loop that computes and yields a report after each update; its caller decides all the rest."""

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
from refinesr.measured import Measurement
from refinesr.model import Model
from refinesr.optimizers import Adam, Muon
from refinesr.shapes import Images, LowWithPlanes, PerImage
from refinesr.team import ALONE, Team

FAR_OUT = 8.0
"""No picture in [-1, 1] has such values, whatever overshoots."""

UNREADABLE = (OSError, EOFError, LookupError, TypeError, ValueError, RuntimeError, pickle.PickleError)
"""What torch raises for files that are not what they should be."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast is learnt.

    steps, warmup, halflife and what ends in `_every` are counted in updates; `batch` in images an update, of
    which `accumulate` equal parts go through the network one after the other; `size` is the side of a crop
    of the good image in pixels; `clip` bounds the norm of the gradient.  `halflife` is that of the average of
    the weights, shortened at the beginning to a tenth of the updates made.  `upright` crops are mirrored at
    most, others also turned and put upside down: photos have a way up, faces above all, satellites' have not.
    `betas` and `weight_decay` are AdamW's, and of the part that `optimizer` leaves to it.
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
        often = "save_every", "preview_every", "measure_every"
        for name in ("steps", "batch", "size", "rate", "clip", "accumulate", *often):
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
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return self.rate * warm * self.decay.at(step / self.steps)


@dataclass(frozen=True)
class Report:
    """After update `step` (from 1).  `gradient` is the norm before clipping.

    `loss` and `gradient` stay on the device until somebody reads them.  `measured` is what held-out pictures,
    if there are any, have told since the last report.
    """

    step: int
    loss: Tensor
    gradient: Tensor
    rate: float
    measured: tuple[Measurement, ...] = ()


@runtime_checkable  # for those who check types at run time
class Pairs(Protocol):
    """Training material; the batch of a step depends on nothing but the step."""

    def at(self, step: int) -> tuple[Images, LowWithPlanes]:
        """(high, low) of an update, counted from 0, both in [-1, 1]; low with its planes."""
        ...


@runtime_checkable
class Learning(Protocol):
    """What is learnt: `Objective`, or anything else with a loss of what it draws.

    That is levels, noise and whatever else is random; the first dimension of each is the image.
    """

    def draw(self, like: Images, *seed: int) -> tuple[Tensor, ...]: ...

    def loss(
        self, model: Model, high: Images, low: LowWithPlanes, sigma: PerImage, eps: Images, *more: Tensor
    ) -> PerImage: ...


class State:
    """All that changes while learning: weights, their average, the optimiser's moments, updates made."""

    def __init__(self, model: Model, plan: Plan) -> None:
        self.model = model
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = plan.optimizer.build(trained, plan.rate, plan.betas, plan.weight_decay)
        self.step = 0
        self.whole = True
        """False in the middle of an update, when some of its weights are new and some are not."""
        self.listing = ""
        """What tells its photos from others (`Photos.listing`); empty if nobody has said."""

    def stands_at(self, step: int) -> bool:
        """Whether it is what so many updates make: no more of them, and none by half."""
        return self.whole and self.step == step

    def sees(self, listing: str) -> None:
        """From now on it learns from these photos; warns if they are others than before: people add some."""
        if self.listing and listing and self.listing != listing:
            warnings.warn(
                "data: not the photos that the run was saved with, by their names and sizes; it goes on with "
                "these, and other updates than it would have made",
                stacklevel=2,
            )
        self.listing = listing

    def save(self, path: Path) -> None:
        """Raises OutputError, and ValueError in the middle of an update."""
        if not self.whole:
            raise ValueError(f"update {self.step + 1} is half made; there is nothing to be saved")
        facts = {"step": self.step, "listing": self.listing}
        parts = {name: getattr(self, name).state_dict() for name in ("model", "average", "optimizer")}
        # opened here, because torch has errors of its own for a full disk
        with replacing(path, overwrite=True) as part, part.open("wb") as file:
            try:
                torch.save({**facts, **parts}, file)
            except RuntimeError as error:  # torch stumbles over the end of a file that could not be written
                raise error.__context__ if isinstance(error.__context__, OSError) else error from None

    def restore(self, path: Path) -> None:
        """What was saved, but for what the plan says of the optimiser: it may have changed.

        Raises CheckpointError unless the file holds the state of such a model and such an optimiser.
        """
        device = next(self.model.parameters()).device
        asked = [
            {name: value for name, value in group.items() if name != "params"}
            for group in self.optimizer.param_groups
        ]
        try:
            stored = torch.load(path, map_location=device, weights_only=True)
            self.whole = False
            for name in ("model", "average", "optimizer"):
                getattr(self, name).load_state_dict(stored[name])
            self.step = counted(stored["step"])
            self.listing = str(stored.get("listing", ""))  # those of earlier versions do not tell
            self.whole = True
        except UNREADABLE as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise CheckpointError(f"{path}: not the state of this run: {reason}") from error
        for group, options in zip(self.optimizer.param_groups, asked, strict=True):
            group.update(options)


def counted(step: object) -> int:
    """The number of updates that a file tells.  Raises ValueError for what is none."""
    if type(step) is not int or step < 0:
        raise ValueError(f"step: {step!r:.60} is no number of updates")
    return step


def check_shares(plan: Plan, team: Team) -> None:
    """Raises ConfigError for a batch that does not go evenly through the processes."""
    if plan.batch % (team.size * plan.accumulate):
        among = f"{team.size} processes in {plan.accumulate} parts each"
        raise ConfigError(f"plan.batch: {plan.batch} cannot be shared evenly among {among}")


def check_alike(pairs: Pairs, state: State, team: Team) -> None:
    """Raises ConfigError unless all processes go on from the same update with the same pictures."""
    if team.size > 1:
        high, _ = pairs.at(state.step)
        seen = zlib.crc32(high.float().cpu().contiguous().numpy().tobytes())
        if not (team.agrees(state.step) and team.agrees(seen)):
            raise ConfigError("data: not all processes read the same photos, or the same state")


def check_values(images: Tensor) -> None:
    """Raises ConfigError for what cannot be pictures in [-1, 1], as bytes from 0 to 255 cannot."""
    largest = float(images.abs().max()) if images.is_floating_point() else math.inf
    if largest > FAR_OUT:
        kind = f"values up to {largest:.4g}" if images.is_floating_point() else str(images.dtype)
        raise ConfigError(f"pairs: {kind}; pictures to learn from are floats from -1 to 1")


def fit(
    state: State,
    pairs: Pairs,
    objective: Learning,
    plan: Plan,
    *,
    seed: int,
    autocast: torch.dtype | None,
    team: Team = ALONE,
) -> Iterator[Report]:
    """Update `state` from its step to `plan.steps`; the same seed gives the same updates, resumed or not.

    All of a team go through the same updates, each with all arguments alike.  The seed is not negative.
    Between two yields the caller's random numbers are untouched.  An exception that breaks in upon an update
    leaves the state whole, as it was before, or not `whole` at all.
    Raises ValueError for a state that is not, ConfigError for a team that does not see the same, and for what
    are no pictures in [-1, 1].
    """
    if not state.whole:
        raise ValueError(f"update {state.step + 1} is half made; restore the state that was saved last")
    check_alike(pairs, state, team)
    state.model.train()
    state.optimizer.zero_grad()  # whoever broke in upon the last update may have left some

    def losses(high: Images, low: LowWithPlanes, *drawn: Tensor) -> PerImage:
        with torch.autocast(high.device.type, autocast, enabled=autocast is not None):
            return objective.loss(state.model, high, low, *drawn)

    first = state.step
    while state.step < plan.steps:
        high, low = pairs.at(state.step)
        if state.step == first:  # once: a GPU is waited for
            check_values(high)
        rate = plan.rate_at(state.step)
        for group in state.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        share = team.share((high, low, *objective.draw(high, seed, state.step)))
        with seeded(high.device, seed, state.step, *([team.rank] if team.rank else [])):
            loss = backward(losses, share, plan.accumulate)
        team.average([loss, *(p.grad for p in state.model.parameters() if p.grad is not None)])
        gradient = torch.nn.utils.clip_grad_norm_(state.model.parameters(), plan.clip)
        state.whole = False
        state.optimizer.step()
        state.optimizer.zero_grad()
        follow(state.average, state.model, min(float(plan.halflife), (state.step + 1) / 10))
        report = Report(state.step + 1, loss, gradient, rate)
        state.step += 1
        state.whole = True
        yield report


def backward(losses: Callable[..., PerImage], batch: tuple[Tensor, ...], parts: int) -> Tensor:
    """Gradients of the mean loss over a batch, part by part; returns that mean.

    What is random is drawn for the whole batch before: the number of parts changes nothing but the memory
    needed (and what dropout drops).
    """
    total = torch.zeros((), device=batch[0].device)
    for part in zip(*(values.chunk(parts) for values in batch), strict=True):
        loss = losses(*part).sum() / len(batch[0])
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    return total


def seeded(device: torch.device, *seed: int) -> AbstractContextManager[None]:
    """Dropout has no generator of its own: torch's are lent for a while, and put back as they were."""
    *_, own = np.random.SeedSequence(seed).generate_state(3).tolist()  # the first two are Objective.draw's
    return seeded_generators(device, own)


@torch.no_grad()
def follow(average: Model, model: Model, halflife: float) -> None:
    """Exponential moving average of the weights; after `halflife` updates half of an old value is left."""
    weight = 1 - 0.5 ** (1 / max(halflife, 1e-3))
    torch._foreach_lerp_(list(average.parameters()), [p.detach() for p in model.parameters()], weight)
    for kept, new in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(new)
