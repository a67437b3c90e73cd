"""Distillation: a student says in one call where a trained model, its teacher, arrives in many.

The teacher's deterministic walk is a function of the noisy state it begins with, so it can be learnt by
regression, without an adversary: as SinSR does (Wang et al. 2024), and before it Luhman and Luhman 2021.
From a lower level, x0 + sigma * eps, it is the consistency function of Song et al. 2023.  Samples of the
student in several calls are made by their algorithm 1, `Renoised`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from refinesr.diffusion.denoisers import consistent
from refinesr.diffusion.levels import Few, Stratified
from refinesr.diffusion.precond import Blind, Eps, over_pixels
from refinesr.diffusion.samplers import DPM2M, Ancestral, Heun, Renoised
from refinesr.diffusion.schedule import Karras, Leading
from refinesr.diffusion.walking import last
from refinesr.diffusion.weighting import Own
from refinesr.errors import ConfigError
from refinesr.images.projection import Projection
from refinesr.images.resize import Kernel
from refinesr.method import Method, Sampling
from refinesr.model import Model
from refinesr.objective import Objective
from refinesr.shapes import Grid, Images, LowWithPlanes, PerImage
from refinesr.sources import Encoded, Labelled
from refinesr.stage import Stage

ODE = Ancestral | Heun | DPM2M
DDIM = Ancestral(0.0)

DATA = 0.5
"""Standard deviation of what is diffused, as EDM assumes it of images in [-1, 1]."""

NEAR = 1e-6
"""Of themselves, by which levels that are one may differ: a table's have many digits."""

SHARED = ("scale", "channels", "target", "spread", "weighting", "rollout", "perception", "span")
"""Fields of a method in which a student is what its teacher and its lesson make of it."""


@dataclass(frozen=True)
class Lesson:
    """What a student is taught, as its run tells it.

    teacher   name of the teacher's file, without its folder
    checksum  SHA-256 of that file
    steps     of the teacher's walk, from each of the student's levels
    sampler   what the teacher walks by; one that draws no noise
    """

    teacher: str
    checksum: str
    steps: int = 8
    sampler: ODE = DDIM

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise ConfigError(f"steps: {self.steps} of a teacher leave nothing to distil; at least 2")
        if self.sampler not in (DDIM, Heun(), DPM2M()):
            raise ConfigError(f"sampler: {self.sampler} draws noise; use Ancestral(0.0), Heun() or DPM2M()")

    def told(self) -> str:
        """A line for the card of a model."""
        walk = f"{self.steps} steps of {self.sampler}"
        return f"distilled from {self.teacher} (SHA-256 {self.checksum}), which walks {walk}"


@dataclass(frozen=True, eq=False)
class Distilled:
    """|x0 of the student - x0 that the teacher's walk ends with|**p, for `train.fit`.

    The student is asked at `levels`, which descend, each equally often.  At the first the state is what
    sampling starts with, sqrt(1 + sigma²) eps, below it x0 + sigma * eps.  From each the teacher walks so
    many steps down to 0, with its sampling's guidance and clipping.  Its estimates are made consistent if its
    sampling's are, where the low image is what the good one is reduced to: elsewhere noise and JPEG blocks
    would be learnt.  The student's answer is compared as it is: sampling clips and projects it, which only
    brings it nearer, but without the projection it is to be of use too.

    Raises ConfigError for a teacher without such a walk.
    """

    teacher: Stage
    levels: tuple[float, ...]
    steps: int = 8
    sampler: ODE = DDIM
    p: int = 2

    def __post_init__(self) -> None:
        top, lowest = float(self.own[0]), float(self.own[-2])
        for level in Few(self.levels).levels:
            if not lowest < level <= top * (1 + NEAR):
                ends = f"{lowest:g} and up to {top:g}, as in the teacher's grid of {self.steps} steps"
                raise ConfigError(f"levels: {level:g} is not above {ends}")

    @property
    def own(self) -> Grid:
        """The teacher's own grid of so many steps."""
        return path(self.teacher.method, self.steps)

    def grid(self, level: float) -> Grid:
        """The teacher's way down: its own grid from its top, else steps as EDM spaces them."""
        own = self.own
        if math.isclose(level, float(own[0]), rel_tol=NEAR):
            return own
        return Karras(float(own[-2]), level).grid(self.steps)

    def draw(self, like: Images, *seed: int) -> tuple[PerImage, Images]:
        """sigma (B,) and eps, as `Objective.draw` draws them."""
        sigma, eps = Objective(Few(self.levels), Stratified(), self.teacher.method.target).draw(like, *seed)
        return sigma, eps

    def loss(
        self, model: Model, high: Images, low: LowWithPlanes, sigma: PerImage, eps: Images, *more: Tensor
    ) -> PerImage:
        """Mean over each image's values.  Networks run in what autocast is on, all else does not."""
        autocast, device = running(high.device), high.device.type
        with torch.autocast(device, enabled=False):
            base = self.teacher.model.base(low)
            x = self.state(self.teacher.method.target.learnt(high, base), sigma, eps)
            own = self.teacher.method.sampling
            bare = replace(own, clip=False, consistent=None, guidance=1.0, orientations=1, label=None)
            # the stage's denoiser: what is put around a network with a mask is the same in sampling
            say = Stage(self.teacher.method, model).denoiser(low, base, bare, 0, autocast)
            error = say(x, sigma) - self.answers(x, high, low, sigma, autocast)
        return error.abs().pow(self.p).mean((1, 2, 3))

    def state(self, x0: Images, sigma: PerImage, eps: Images) -> Images:
        """What the student is shown: at the first level what sampling starts with, whatever x0."""
        first = sigma == self.levels[0]
        kept, std = torch.where(first, 0.0, 1.0), torch.where(first, (1 + sigma**2).sqrt(), sigma)
        return over_pixels(kept, x0) * x0 + over_pixels(std, x0) * eps

    @torch.no_grad()
    def answers(
        self, x: Images, high: Images, low: LowWithPlanes, sigma: PerImage, autocast: torch.dtype | None
    ) -> Images:
        """Where the teacher arrives from x; those at one level walk together."""
        found = torch.full_like(x, math.nan)
        for level in self.levels:
            chosen = (sigma == level).nonzero().flatten().to(x.device)
            if len(chosen):
                found[chosen] = self.walked(x[chosen], high[chosen], low[chosen], level, autocast)
        return found

    def walked(
        self, x: Images, high: Images, low: LowWithPlanes, level: float, autocast: torch.dtype | None
    ) -> Images:
        """Where the teacher arrives from x at a level; low is encoded once."""
        teacher, sampling = self.teacher, self.teacher.method.sampling
        base = teacher.model.base(low)
        denoise = teacher.denoiser(low, base, replace(sampling, consistent=None), 0, autocast)
        if sampling.consistent is not None:
            denoise = consistent(denoise, self.kept(high, low, base, sampling.consistent))
        return last(self.sampler(denoise, x, self.grid(level), torch.zeros_like))

    def kept(
        self, high: Images, low: LowWithPlanes, base: Images, kernel: Kernel
    ) -> Callable[[Tensor], Tensor]:
        """The teacher's projection, of images whose low is exactly the good one reduced; others stay."""
        project = self.teacher.projection(low, base, kernel)
        image = low[:, : self.teacher.method.channels]
        exact = Projection.between(high, image, kernel).is_consistent(high, image)
        return lambda x0: torch.where(exact, project(x0), x0)


def running(device: torch.device) -> torch.dtype | None:
    """The dtype of the autocast that is on, None if none is."""
    on = torch.is_autocast_enabled(device.type)
    return torch.get_autocast_dtype(device.type) if on else None


def path(teacher: Method, steps: int) -> Grid:
    """A teacher's own grid of so many steps.  Raises ConfigError for a teacher without a walk."""
    if isinstance(teacher.precond, Blind):
        raise ConfigError("method.precond: Blind answers in one call already: nothing to distil")
    if isinstance(teacher.sampling.sampler, Renoised):
        raise ConfigError("method.sampling.sampler: Renoised: a student itself has no walk to teach")
    try:
        return teacher.sampling.grid.grid(steps)
    except ConfigError as error:
        raise ConfigError(f"lesson.steps, of the teacher: {error}") from error


def few(top: float, calls: int) -> tuple[float, ...]:
    """The levels of a student of so many calls, from the top of the teacher's grid on.

    On Gaussian data the flow turns the state by the angle arctan(sigma / DATA) on its way from sigma to 0;
    each call is left an equal part of it.  The first is rounded to seven digits, the others to three.
    """
    if calls < 1:
        raise ConfigError(f"calls: {calls} is not positive")
    whole = math.atan2(top, DATA)
    lower = (DATA * math.tan(whole * (1 - k / calls)) for k in range(1, calls))
    levels = float(f"{top:.7g}"), *(float(f"{level:.3g}") for level in lower)
    if len(set(levels)) < calls:
        raise ConfigError(f"calls: {calls} are more than levels that can be told apart")
    return levels


def student(teacher: Method, levels: tuple[float, ...]) -> Method:
    """The method of a student: trained at these levels, one for each of its calls.

    It is not told how much guidance its teacher has, but has learnt it; so it is always told the class.
    """
    sampling = Sampling(
        Renoised(), Leading(levels), len(levels), teacher.sampling.clip, teacher.sampling.consistent
    )
    source = teacher.source
    if isinstance(source, Labelled):
        source = replace(source, withheld=0.0)
    return replace(
        teacher,
        source=source,
        sampling=sampling,
        levels=Few(levels),
        spread=Stratified(),
        weighting=Own(),
        rollout=None,
        perception=None,
    )


def taught(lesson: Lesson, teacher: Stage, method: Method) -> Distilled:
    """What a student of that method is to learn.  Raises ConfigError where it cannot."""
    if not isinstance(method.levels, Few):
        raise ConfigError(f"method.levels: {method.levels} are not the Few that a student is asked at")
    if isinstance(method.precond, Eps):
        wrong = f"of predicted noise an error counts {method.levels.highest():.3g} times in the picture"
        right = "use --set method.precond=Velocity; the network learns what its numbers mean anew"
        raise ConfigError(f"method.precond: {wrong}; {right}")
    objective = Distilled(teacher, method.levels.levels, lesson.steps, lesson.sampler, method.p)
    first, top = objective.levels[0], float(objective.own[0])
    if not math.isclose(first, top, rel_tol=NEAR):
        raise ConfigError(f"levels: {first:g}, the first, is not the top of the teacher's grid, {top:g}")
    with torch.device("meta"):
        own = method.build().state_dict()
    given = teacher.model.state_dict()
    for name in (*own, *given):
        if name not in given or name not in own or own[name].shape != given[name].shape:
            raise ConfigError(f"method: {name} is not as in the teacher, whose copy the student begins as")
    check_alike(method, student(teacher.method, objective.levels))
    return objective


def check_alike(method: Method, wanted: Method) -> None:
    """Raises ConfigError where a student would be taught in other units than it answers in."""
    source = method.source
    if isinstance(source, Encoded) and isinstance(wanted.source, Encoded):
        source = replace(source, frozen=wanted.source.frozen)
    pairs = {name: (getattr(method, name), getattr(wanted, name)) for name in SHARED}
    pairs["source"] = source, wanted.source
    pairs["sampling.grid"] = method.sampling.grid, wanted.sampling.grid
    for name, (found, right) in pairs.items():
        if found != right:
            raise ConfigError(f"method.{name}: {found} is not what the student is taught with, {right}")
