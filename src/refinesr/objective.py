"""What is learnt: one objective for all methods, and what may be asked for besides.

All that is random is drawn before (`Objective.draw`), for the whole batch: going through it in parts changes
nothing.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from refinesr.diffusion.denoisers import unveiled
from refinesr.diffusion.levels import Levels, Spread
from refinesr.diffusion.precond import beside, over_pixels, wanted
from refinesr.diffusion.weighting import Own, Weighting
from refinesr.errors import ConfigError
from refinesr.images.projection import Projection
from refinesr.images.resize import Kernel
from refinesr.model import Model, Target
from refinesr.shapes import Images, LowImages, LowWithPlanes, PerImage, Sigma

Distance = Callable[[Tensor, Tensor], Tensor]
"""(high, other), RGB in [0, 1] -> (B,): how far other is from high; gradients reach `other`."""

Seen = Callable[[Tensor, Tensor], Tensor]
"""(x, sigma) -> x as the network is shown it."""

CHANCES = 4
"""Numbers in [0, 1) an image draws for what is asked for besides: two for a rollout, two for a distance."""

SHIFTS, LEAST = 16, 32
"""Rows (and columns) that a picture may begin at for a distance, and pixels a side that it keeps.

The networks of distances step by up to 16 pixels: were pictures always seen from one corner, what is learnt
would have a pattern of that period.
"""


LATTICE, WINDOW = 16, 128
"""Period of the patterns that `Perception.lattice` counts, and the side of the windows they are found in."""


@dataclass(frozen=True)
class Rollout:
    """Some states are made as sampling makes them: of the network's own estimate, not of the truth.

    A network that has only seen noise on the truth takes, in later steps, its own mistakes for details of the
    picture ("exposure bias": Ning et al. 2023, arXiv 2301.11706).  Of `share` of the images whose level is
    below `below`, the state is made of what the network, as it is in training, says without gradients at a
    level between the image's own, or `bottom` if that is more, and `top`, even in its logarithm.  What it is
    to say stays the truth.  Costs one call more.

    Where noise hides little an estimate is nearly the truth, as the first one of sampling never is.  With a
    `bottom` where noise hides all, every state is made of such first ones.
    """

    share: float = 0.5
    below: float = 4.0
    top: float = 20.0
    bottom: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigError(f"share: {self.share:g} is not between 0 and 1")
        if not 0 < self.below <= self.top < math.inf:
            raise ConfigError(f"below, top: {self.below:g}, {self.top:g} do not ascend from 0")
        if not 0 <= self.bottom <= self.top:
            raise ConfigError(f"bottom: {self.bottom:g} is not between 0 and top, {self.top:g}")

    @torch.no_grad()
    def mistake(
        self,
        model: Model,
        x0: Images,
        sigma: PerImage,
        doors: Mapping[str, Tensor],
        seen: Seen,
        chances: Tensor,
        other: Images,
    ) -> Images:
        """The network's estimate less x0; 0 for images that are not chosen.  `other` is its noise."""
        chosen = (chances[:, 0] < self.share) & (sigma < self.below)
        least = sigma.clamp(min=self.bottom)
        level = torch.where(chosen, least * (self.top / least) ** chances[:, 1], sigma)
        said = model.estimate(seen(x0 + over_pixels(level, x0) * other, level), level, doors)
        # older versions of torch go on with the weights that autocast has cast here, without their gradients
        torch.clear_autocast_cache()
        return over_pixels(chosen.to(sigma.dtype), x0) * (said - x0)


@dataclass(frozen=True)
class Perception:
    """weight * a perceptual distance from the true picture to the estimate's, besides the error.

    So models of few steps are trained in the later version of ResShift (Yue et al. 2024, arXiv 2403.07319)
    and, by the distance alone, in Song et al. 2023, section 5.  An estimate is then sharper than the mean of
    all answers.  The network of the distance judges it kindly ever after: measure by others, too.

    below   level from which on the error alone counts, null for none such: there the network goes on to
            answer with the mean, for which `Sampling.mean` asks it
    lattice weight of the `pattern` in an estimate's error.  Networks that make blocks of pixels at once put a
            weave into what they cannot know, and distances like it ("checkerboard artifacts": Odena et al.
            2016)
    consistent  the kernel that a picture is projected by before it is looked at, as `Sampling.consistent` has
            the result: so it is learnt how to look well afterwards.  Where the low image is damaged, too, it
            is not: damage should not be kept.  null: pictures are the network's own
    """

    weight: float = 1.0
    below: float | None = None
    lattice: float = 0.0
    consistent: Kernel | None = None

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise ConfigError(f"weight: {self.weight:g} is not positive and finite; null is no perception")
        if self.below is not None and not 0 < self.below < math.inf:
            raise ConfigError(f"below: {self.below:g} is no noise level; more than 0, or null")
        if not 0 <= self.lattice < math.inf:
            raise ConfigError(f"lattice: {self.lattice:g} is negative or not finite; 0 is none")

    def at(self, sigma: Sigma) -> Sigma:
        """1 at levels that it counts at, else 0."""
        return (sigma < (math.inf if self.below is None else self.below)).to(sigma.dtype)

    def kept(self, picture: Images, high: Images, low: LowImages) -> Images:
        """The picture as it is looked at."""
        if self.consistent is None:
            return picture
        projection = Projection.between(high, low, self.consistent)
        with torch.autocast(picture.device.type, enabled=False):  # in 16 bits nothing would be kept
            return torch.where(projection.is_consistent(high, low), projection.project(picture, low), picture)

    def learnt(self, distance: Distance, high: Images, other: Images, chances: Tensor) -> PerImage:
        """The distance of pictures in [-1, 1], each pair seen from a corner of its own."""
        height, width = high.shape[-2:]
        room = max(0, min(SHIFTS - 1, min(height, width) - LEAST))
        corners = (chances * (room + 1)).long().tolist()

        def seen(images: Images) -> Tensor:
            parts = [
                x[:, top : height - room + top, left : width - room + left]
                for x, (top, left) in zip(images, corners, strict=True)
            ]
            # the layout that CPUs and tensor cores convolve fastest
            return (torch.stack(parts).contiguous(memory_format=torch.channels_last) + 1) / 2

        return distance(seen(high), seen(other))


def pattern(error: Images) -> PerImage:
    """Mean square of what an error has at the same place of all blocks of a window.

    Blocks are of LATTICE pixels a side, windows of WINDOW, or as much of it as there is.  A window's left
    half is multiplied by its right one: what repeats itself from block to block, in periods of 2, 4, 8 or 16
    pixels, is found whole, and of noise a 640th (a square would find a 64th).  The halves' means, which are
    no pattern, are left out.
    """
    height, width = (min(WINDOW, side - side % (2 * LATTICE)) for side in error.shape[-2:])
    if not height or not width:
        return error.new_zeros(len(error))
    rows, columns = error.shape[-2] // height, error.shape[-1] // width
    across = columns, 2, width // (2 * LATTICE), LATTICE
    windows = error[..., : rows * height, : columns * width].reshape(
        *error.shape[:2], rows, height // LATTICE, LATTICE, *across
    )
    places = windows.mean((3, 7))  # (B, C, rows, LATTICE, columns, 2, LATTICE)
    left, right = (places - places.mean((3, 6), keepdim=True)).unbind(5)
    # networks see where a crop ends, and would learn to turn a pattern's sign in the middle
    return (left * right).mean((3, 5)).abs().mean((1, 2, 3))


@dataclass(frozen=True)
class Objective:
    """|F - wanted|**p in the network's own units, weight one unless something else is asked for.

    With `Eps` this is L_simple of DDPM (p = 2) and the loss of SR3 and SRDiff (p = 1); with `EDM` it is the
    weighting of Karras et al. 2022; with `Velocity` that of Salimans and Ho 2022.  A `perception` needs a
    `distance` to learn by, whose weights are no part of a method.
    """

    levels: Levels
    spread: Spread
    target: Target
    p: int = 2
    weighting: Weighting = field(default_factory=Own)
    rollout: Rollout | None = None
    perception: Perception | None = None
    distance: Distance | None = None

    def __post_init__(self) -> None:
        if self.p not in (1, 2):
            raise ConfigError(f"p: {self.p} is not 1 or 2")

    def __call__(self, model: Model, high: Images, low: LowWithPlanes, seed: int) -> PerImage:
        """Mean over each image's values.  high and low in [-1, 1]; everything random comes from `seed`."""
        return self.loss(model, high, low, *self.draw(high, seed))

    def draw(self, like: Images, *seed: int) -> tuple[Tensor, ...]:
        """sigma (B,) and eps, of the shape, dtype and device of `like`; the seeds are not negative.

        A rollout or a perception has chances besides, (B, CHANCES), a rollout noise of its own.
        """
        # unrelated generators: from one, the first values of eps would follow from the levels; the third
        # state is what `train.seeded` takes
        states = np.random.SeedSequence(seed).generate_state(5).tolist()
        for_levels, for_noise, _, for_chances, for_other = states
        # levels are float64 on the CPU, and asking a GPU's generator for them would wait for it
        sigma = self.levels.at(self.spread.spread(len(like), torch.Generator().manual_seed(for_levels)))
        drawn = [sigma, normal(like, for_noise)]
        if self.rollout is not None or self.perception is not None:
            rng = torch.Generator().manual_seed(for_chances)
            drawn.append(torch.rand(len(like), CHANCES, generator=rng, dtype=torch.float64))
        if self.rollout is not None:
            drawn.append(normal(like, for_other))
        return tuple(drawn)

    def loss(
        self, model: Model, high: Images, low: LowWithPlanes, sigma: PerImage, eps: Images, *more: Tensor
    ) -> PerImage:
        """Mean over each image's values, for what is drawn.

        With a mask the network sees known pixels without noise and only the others count, as in Palette's
        code; the mean is still over all values.
        """
        condition, mask = model.condition(low), model.source.mask(low)
        x0, doors = self.target.learnt(high, condition.base), condition.doors()

        def seen(x: Images, sigma: Sigma) -> Images:
            if mask is None:
                return x
            return unveiled(x, sigma, self.target.encode(condition.base, condition.base), mask)

        if self.rollout is not None:
            # the noise that leads from the truth to where the network's own estimate has led
            eps = eps + self.rollout.mistake(model, x0, sigma, doors, seen, *more) / over_pixels(sigma, x0)
        x = seen(x0 + over_pixels(sigma, x0) * eps, sigma)
        c = model.precond.coefficients(sigma)
        said = model.predict(x, sigma, doors)
        error = said - wanted(c, x0, eps, sigma)
        counted = error if mask is None else mask * error
        losses = counted.abs().pow(self.p).mean((1, 2, 3))
        losses = beside(self.weighting.weight(c, sigma, self.p), losses) * losses
        if self.perception is None:
            return losses
        estimate = over_pixels(c.skip, x) * x + over_pixels(c.out, x) * said
        shown = estimate if mask is None else torch.lerp(x0, estimate, mask)
        made = self.target.decode(shown, condition.base)
        picture = self.perception.kept(made, high, low[:, : high.shape[1]])
        besides = self.looks(self.perception, high, picture, shown - x0, *more)
        return losses + beside(self.perception.at(sigma), besides) * besides

    def looks(
        self,
        perception: Perception,
        high: Images,
        picture: Images,
        error: Images,
        chances: Tensor,
        *_: Tensor,
    ) -> PerImage:
        """What a perception adds at the levels that it counts at.  ValueError without a distance."""
        if self.distance is None:
            raise ValueError("a perception needs a distance to learn by")
        far = perception.weight * perception.learnt(self.distance, high, picture, chances[:, 2:])
        return far + perception.lattice * pattern(error) if perception.lattice > 0 else far


def normal(like: Images, seed: int) -> Images:
    rng = torch.Generator(like.device).manual_seed(seed)
    return torch.randn(like.shape, generator=rng, device=like.device, dtype=like.dtype)
