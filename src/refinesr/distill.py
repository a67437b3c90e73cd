"""Distillation: a student learns to predict in one network call the sample its teacher reaches in many.

The teacher's deterministic sampling is a function of the noisy state it starts from, so it can be learnt by
regression, without an adversary: as in SinSR (Wang et al. 2024), and before in Luhman and Luhman 2021.
From a lower noise level, starting at x0 + sigma * eps, it is the consistency function of Song et al. 2023.
With several calls the student samples by their algorithm 1, `Renoised`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from refinesr.diffusion.denoisers import consistent
from refinesr.diffusion.levels import Few, Stratified
from refinesr.diffusion.loops import last_of
from refinesr.diffusion.precond import Blind, Eps, over_pixels
from refinesr.diffusion.samplers import DPM2M, Ancestral, Heun, Renoised
from refinesr.diffusion.schedule import Karras, Leading
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

SIGMA_DATA = 0.5
"""Standard deviation of x0, as EDM assumes for images in [-1, 1]."""

LEVEL_TOLERANCE = 1e-6
"""Relative difference up to which two levels count as equal, as levels of tables are rounded."""

SHARED = ("scale", "channels", "target", "spread", "weighting", "rollout", "perception", "span")
"""Fields of the student's method that the teacher and the lesson determine."""


@dataclass(frozen=True)
class Lesson:
    """The teacher of a student, and how it samples.

    teacher   name of the teacher's file, without its folder
    checksum  SHA-256 of that file
    steps     of the teacher, from each of the student's levels
    sampler   of the teacher; a deterministic one
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

    def card_line(self) -> str:
        """A line for the student's card."""
        sampling = f"{self.steps} steps of {self.sampler}"
        return f"distilled from {self.teacher} (SHA-256 {self.checksum}), sampled in {sampling}"


@dataclass(frozen=True, eq=False)
class DistillationObjective:
    """The loss |x0 of the student - x0 of the teacher's sample|**p, for `fit`.

    The student is trained at `levels`, descending, each equally often.  At the first the state is that in
    which sampling starts, sqrt(1 + sigma²) eps; at the others it is x0 + sigma * eps.  From there the
    teacher samples in `steps` steps, with the guidance and clipping of its sampling.  Its estimates are
    projected to be consistent if its sampling does so, but only for images whose low is exactly the reduced
    high: otherwise the student would learn noise and JPEG artefacts.  The student's own estimate is
    compared without clipping and projection: these only bring it nearer in sampling, and it should be good
    without them.

    Raises ConfigError for a teacher without deterministic sampling from such levels.
    """

    teacher: Stage
    levels: tuple[float, ...]
    steps: int = 8
    sampler: ODE = DDIM
    p: int = 2

    def __post_init__(self) -> None:
        top, lowest = float(self.teacher_grid[0]), float(self.teacher_grid[-2])
        for level in Few(self.levels).levels:
            if not lowest < level <= top * (1 + LEVEL_TOLERANCE):
                ends = f"{lowest:g} and up to {top:g}, as in the teacher's grid of {self.steps} steps"
                raise ConfigError(f"levels: {level:g} is not above {ends}")

    @property
    def teacher_grid(self) -> Grid:
        """The teacher's own grid of so many steps."""
        return teacher_grid(self.teacher.method, self.steps)

    def grid_from(self, level: float) -> Grid:
        """The levels that the teacher visits from `level`: its own grid from its top, else EDM's spacing."""
        own = self.teacher_grid
        if math.isclose(level, float(own[0]), rel_tol=LEVEL_TOLERANCE):
            return own
        return Karras(float(own[-2]), level).grid(self.steps)

    def draw(self, like: Images, *seed: int) -> tuple[PerImage, Images]:
        """sigma (B,) and eps, as `Objective.draw` draws them."""
        sigma, eps = Objective(Few(self.levels), Stratified(), self.teacher.method.target).draw(like, *seed)
        return sigma, eps

    def loss(
        self, model: Model, high: Images, low: LowWithPlanes, sigma: PerImage, eps: Images, *more: Tensor
    ) -> PerImage:
        """Mean over each image's values.  Autocast applies to the networks only."""
        autocast, device = active_autocast(high.device), high.device.type
        with torch.autocast(device, enabled=False):
            base = self.teacher.model.base(low)
            x = self.noisy_state(self.teacher.method.target.training_target(high, base), sigma, eps)
            own = self.teacher.method.sampling
            plain = replace(own, clip=False, consistent=None, guidance=1.0, orientations=1, label=None)
            # the stage's denoiser, so that a mask is handled as in sampling
            denoise = Stage(self.teacher.method, model).denoiser(low, base, plain, 0, autocast)
            error = denoise(x, sigma) - self.targets(x, high, low, sigma, autocast)
        return error.abs().pow(self.p).mean((1, 2, 3))

    def noisy_state(self, x0: Images, sigma: PerImage, eps: Images) -> Images:
        """The student's input: at the first level pure noise, as in sampling; else x0 + sigma * eps."""
        first = sigma == self.levels[0]
        signal, std = torch.where(first, 0.0, 1.0), torch.where(first, (1 + sigma**2).sqrt(), sigma)
        return over_pixels(signal, x0) * x0 + over_pixels(std, x0) * eps

    @torch.no_grad()
    def targets(
        self, x: Images, high: Images, low: LowWithPlanes, sigma: PerImage, autocast: torch.dtype | None
    ) -> Images:
        """x0 of the teacher's samples from x; images at the same level are sampled together."""
        samples = torch.full_like(x, math.nan)
        for level in self.levels:
            chosen = (sigma == level).nonzero().flatten().to(x.device)
            if len(chosen):
                samples[chosen] = self.teacher_sample(x[chosen], high[chosen], low[chosen], level, autocast)
        return samples

    def teacher_sample(
        self, x: Images, high: Images, low: LowWithPlanes, level: float, autocast: torch.dtype | None
    ) -> Images:
        """x0 of the teacher's samples from x at a level; low is encoded once."""
        teacher, sampling = self.teacher, self.teacher.method.sampling
        base = teacher.model.base(low)
        denoise = teacher.denoiser(low, base, replace(sampling, consistent=None), 0, autocast)
        if sampling.consistent is not None:
            denoise = consistent(denoise, self.exact_projection(high, low, base, sampling.consistent))
        return last_of(self.sampler(denoise, x, self.grid_from(level), torch.zeros_like))

    def exact_projection(
        self, high: Images, low: LowWithPlanes, base: Images, kernel: Kernel
    ) -> Callable[[Tensor], Tensor]:
        """The teacher's projection where low is exactly the reduced high; the identity elsewhere."""
        project = self.teacher.projection(low, base, kernel)
        image = low[:, : self.teacher.method.channels]
        exact = Projection.between(high, image, kernel).is_consistent(high, image)
        return lambda x0: torch.where(exact, project(x0), x0)


def active_autocast(device: torch.device) -> torch.dtype | None:
    """The dtype of the active autocast; None if there is none."""
    enabled = torch.is_autocast_enabled(device.type)
    return torch.get_autocast_dtype(device.type) if enabled else None


def teacher_grid(teacher: Method, steps: int) -> Grid:
    """A teacher's own grid of so many steps.  Raises ConfigError if it cannot be distilled."""
    if isinstance(teacher.precond, Blind):
        raise ConfigError("method.precond: a Blind model makes one call already: nothing to distil")
    if isinstance(teacher.sampling.sampler, Renoised):
        raise ConfigError("method.sampling.sampler: Renoised: a distilled student cannot be a teacher")
    try:
        return teacher.sampling.grid.grid(steps)
    except ConfigError as error:
        raise ConfigError(f"lesson.steps, of the teacher: {error}") from error


def student_levels(top: float, calls: int) -> tuple[float, ...]:
    """The levels of a student of so many calls, starting at `top`, the highest of the teacher's grid.

    On Gaussian data the probability flow from sigma to 0 rotates the state by arctan(sigma / SIGMA_DATA);
    each call covers an equal part of this angle.  The first level is rounded to seven digits, the others to
    three.
    """
    if calls < 1:
        raise ConfigError(f"calls: {calls} is not positive")
    angle = math.atan2(top, SIGMA_DATA)
    lower = (SIGMA_DATA * math.tan(angle * (1 - k / calls)) for k in range(1, calls))
    levels = float(f"{top:.7g}"), *(float(f"{level:.3g}") for level in lower)
    if len(set(levels)) < calls:
        raise ConfigError(f"calls: {calls} are more than the distinct levels there are")
    return levels


def student_method(teacher: Method, levels: tuple[float, ...]) -> Method:
    """The method of a student that is trained and sampled at these levels, one for each call.

    The teacher's guidance is learnt and needs no second call, so class labels are never withheld.
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


def distillation_objective(lesson: Lesson, teacher: Stage, method: Method) -> DistillationObjective:
    """The objective of a student with that method.  Raises ConfigError if it does not fit the teacher."""
    if not isinstance(method.levels, Few):
        raise ConfigError(f"method.levels: {method.levels} are not the Few that a student is asked at")
    if isinstance(method.precond, Eps):
        wrong = f"of predicted noise an error counts {method.levels.highest():.3g} times in the picture"
        right = "use --set method.precond=Velocity; the network learns what its numbers mean anew"
        raise ConfigError(f"method.precond: {wrong}; {right}")
    objective = DistillationObjective(teacher, method.levels.levels, lesson.steps, lesson.sampler, method.p)
    first, top = objective.levels[0], float(objective.teacher_grid[0])
    if not math.isclose(first, top, rel_tol=LEVEL_TOLERANCE):
        raise ConfigError(f"levels: {first:g}, the first, is not the top of the teacher's grid, {top:g}")
    with torch.device("meta"):
        ours = method.build().state_dict()
    theirs = teacher.model.state_dict()
    for name in (*ours, *theirs):
        if name not in theirs or name not in ours or ours[name].shape != theirs[name].shape:
            raise ConfigError(f"method: {name} is not as in the teacher, whose copy the student begins as")
    check_shared_fields(method, student_method(teacher.method, objective.levels))
    return objective


def check_shared_fields(method: Method, wanted: Method) -> None:
    """Raise ConfigError for a field of the student's method that differs from what the teacher implies."""
    source = method.source
    if isinstance(source, Encoded) and isinstance(wanted.source, Encoded):
        source = replace(source, frozen=wanted.source.frozen)
    pairs = {name: (getattr(method, name), getattr(wanted, name)) for name in SHARED}
    pairs["source"] = source, wanted.source
    pairs["sampling.grid"] = method.sampling.grid, wanted.sampling.grid
    for name, (found, right) in pairs.items():
        if found != right:
            raise ConfigError(f"method.{name}: {found} is not what the student is taught with, {right}")
