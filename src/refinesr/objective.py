"""The training objective of all methods, with its options `Rollout` and `Perception`.

All random numbers are drawn beforehand for the whole batch (`Objective.draw`), so computing the loss in parts
changes nothing.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from refinesr.diffusion.denoisers import unveiled
from refinesr.diffusion.levels import Levels, Spread
from refinesr.diffusion.precond import cast_like, network_target, over_pixels
from refinesr.diffusion.weighting import Own, Weighting
from refinesr.errors import ConfigError
from refinesr.images.projection import Projection
from refinesr.images.resize import Kernel
from refinesr.model import Model, Target
from refinesr.shapes import Images, LowImages, LowWithPlanes, PerImage, Sigma

Distance = Callable[[Tensor, Tensor], Tensor]
"""A perceptual distance: (high, other), RGB in [0, 1] -> (B,); differentiable with respect to `other`."""

NetworkInput = Callable[[Tensor, Tensor], Tensor]
"""(x, sigma) -> x as the network is given it, with the known pixels of a mask inserted."""

UNIFORMS = 4
"""Uniform random numbers per image for the options: two for a rollout, two for a perceptual distance."""

SHIFTS, MIN_SIZE = 16, 32
"""Number of rows (and columns) at which the crop for a perceptual distance may begin, and its smallest side.

The networks of these distances have strides up to 16 pixels.  If they always saw the same corner, training
would produce a pattern of that period.
"""

BLOCK, WINDOW = 16, 128
"""Period of the patterns that `Perception.lattice` penalises, and side of the windows to find them in."""


@dataclass(frozen=True)
class Rollout:
    """Some training states are made from the network's own estimate instead of the true x0, as in sampling.

    A network that has only seen noise on true images mistakes its own errors for details in later sampling
    steps ("exposure bias": Ning et al. 2023, arXiv 2301.11706).  For `share` of the images whose level is
    below `below`, the noisy state is therefore made from the network's estimate at another level, computed
    in training mode without gradients.  That level is log-uniform between the image's own level, or
    `bottom` if that is higher, and `top`.  The regression target remains the true x0.  Costs one more
    network evaluation.

    Where the noise is weak an estimate is nearly the true image, unlike the first estimate in sampling.  With
    a `bottom` at which noise hides everything, all these states are made from such first estimates.
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
    def estimation_error(
        self,
        model: Model,
        x0: Images,
        sigma: PerImage,
        inputs: Mapping[str, Tensor],
        network_input: NetworkInput,
        uniforms: Tensor,
        noise: Images,
    ) -> Images:
        """The network's estimate minus x0; 0 for images that are not chosen."""
        chosen = (uniforms[:, 0] < self.share) & (sigma < self.below)
        lowest = sigma.clamp(min=self.bottom)
        level = torch.where(chosen, lowest * (self.top / lowest) ** uniforms[:, 1], sigma)
        state = network_input(x0 + over_pixels(level, x0) * noise, level)
        estimate = model.estimate(state, level, inputs)
        # otherwise older versions of torch reuse the weights that autocast has cast here, without gradients
        torch.clear_autocast_cache()
        return over_pixels(chosen.to(sigma.dtype), x0) * (estimate - x0)


@dataclass(frozen=True)
class Perception:
    """A perceptual loss, added to the regression loss: weight * distance(true image, estimate).

    The later version of ResShift (Yue et al. 2024, arXiv 2403.07319) trains models of few steps so; Song et
    al. 2023, section 5, use the distance alone.  Estimates become sharper than the posterior mean.  The
    network is optimised for this distance, so evaluate it by others, too.

    below   the perceptual loss applies at lower noise levels only, so that at higher ones the network still
            predicts the posterior mean, for `Sampling.mean`; null: it applies at all levels
    lattice weight of the `pattern_energy` of an estimate's error.  Networks that predict blocks of pixels put
            checkerboard artefacts (Odena et al. 2016) into detail that they cannot know, and perceptual
            distances reward these
    consistent  kernel of the projection that is applied to an estimate before the distance, as
            `Sampling.consistent` applies it to the result; not where the low-resolution image is degraded
            otherwise, as its degradation should not be kept.  null: no projection
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

    def active(self, sigma: Sigma) -> Sigma:
        """1 at levels at which the perceptual loss applies, else 0."""
        return (sigma < (math.inf if self.below is None else self.below)).to(sigma.dtype)

    def projected(self, picture: Images, high: Images, low: LowImages) -> Images:
        """The picture, projected with `consistent` where low is exactly the reduced high."""
        if self.consistent is None:
            return picture
        projection = Projection.between(high, low, self.consistent)
        with torch.autocast(picture.device.type, enabled=False):  # 16 bits are too coarse for consistency
            return torch.where(projection.is_consistent(high, low), projection.project(picture, low), picture)

    def shifted_distance(self, distance: Distance, high: Images, other: Images, uniforms: Tensor) -> PerImage:
        """The distance between images in [-1, 1], each pair cropped at a random corner.

        uniforms  (B, 2) in [0, 1), for the corner's row and column
        """
        height, width = high.shape[-2:]
        room = max(0, min(SHIFTS - 1, min(height, width) - MIN_SIZE))
        corners = (uniforms * (room + 1)).long().tolist()

        def cropped(images: Images) -> Tensor:
            parts = [
                x[:, top : height - room + top, left : width - room + left]
                for x, (top, left) in zip(images, corners, strict=True)
            ]
            # the memory layout for which convolutions are fastest on CPUs and tensor cores
            return (torch.stack(parts).contiguous(memory_format=torch.channels_last) + 1) / 2

        return distance(cropped(high), cropped(other))


def pattern_energy(error: Images) -> PerImage:
    """Mean square of the periodic part of an error: of its mean over all blocks of a window.

    Blocks have BLOCK pixels a side, windows WINDOW, or as much as fits into the image.  The block means of a
    window's left and right halves are multiplied: of a pattern with a period of 2, 4, 8 or 16 pixels this is
    the full energy, of white noise a 640th (the square of one mean would contain a 64th).  The halves'
    overall means, which are no pattern, are subtracted.
    """
    height, width = (min(WINDOW, side - side % (2 * BLOCK)) for side in error.shape[-2:])
    if not height or not width:
        return error.new_zeros(len(error))
    rows, columns = error.shape[-2] // height, error.shape[-1] // width
    across = columns, 2, width // (2 * BLOCK), BLOCK
    windows = error[..., : rows * height, : columns * width].reshape(
        *error.shape[:2], rows, height // BLOCK, BLOCK, *across
    )
    blocks = windows.mean((3, 7))  # (B, C, rows, BLOCK, columns, 2, BLOCK)
    left, right = (blocks - blocks.mean((3, 6), keepdim=True)).unbind(5)
    # abs(): otherwise a network, which sees the borders of a crop, could flip a pattern's sign in the middle
    return (left * right).mean((3, 5)).abs().mean((1, 2, 3))


@dataclass(frozen=True)
class Objective:
    """|F - network_target|**p, where F is the network's output; weight one by default.

    With `Eps` this is L_simple of DDPM (p = 2) and the loss of SR3 and SRDiff (p = 1); with `EDM` it is the
    weighting of Karras et al. 2022; with `Velocity` that of Salimans and Ho 2022.  A `perception` needs a
    `distance`, whose weights are not part of the method.
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
        """The loss of each image; high and low are in [-1, 1], all random numbers are derived from `seed`."""
        return self.loss(model, high, low, *self.draw(high, seed))

    def draw(self, like: Images, *seed: int) -> tuple[Tensor, ...]:
        """sigma (B,), and eps of the shape, dtype and device of `like`; the seeds are not negative.

        A rollout or a perception adds uniform numbers (B, UNIFORMS), a rollout also noise of its own.
        """
        # independent generators, else the first values of eps would depend on the levels; the third state
        # belongs to `fit.seeded_dropout`
        states = np.random.SeedSequence(seed).generate_state(5).tolist()
        for_levels, for_noise, _, for_uniforms, for_rollout = states
        # levels are float64 on the CPU: drawing them on a GPU would wait for it
        sigma = self.levels.at(self.spread.spread(len(like), torch.Generator().manual_seed(for_levels)))
        drawn = [sigma, normal(like, for_noise)]
        if self.rollout is not None or self.perception is not None:
            rng = torch.Generator().manual_seed(for_uniforms)
            drawn.append(torch.rand(len(like), UNIFORMS, generator=rng, dtype=torch.float64))
        if self.rollout is not None:
            drawn.append(normal(like, for_rollout))
        return tuple(drawn)

    def loss(
        self, model: Model, high: Images, low: LowWithPlanes, sigma: PerImage, eps: Images, *more: Tensor
    ) -> PerImage:
        """Mean over each image's values, given what `draw` has returned.

        With a mask, as in Palette's code, the network's input has the known pixels without noise and only the
        unknown ones count; the mean is still over all values.
        """
        condition, mask = model.condition(low), model.source.mask(low)
        x0, inputs = self.target.training_target(high, condition.base), condition.inputs()

        def network_input(x: Images, sigma: Sigma) -> Images:
            if mask is None:
                return x
            return unveiled(x, sigma, self.target.encode(condition.base, condition.base), mask)

        if self.rollout is not None:
            # the noise that leads from the true x0 to a state around the network's estimate
            error = self.rollout.estimation_error(model, x0, sigma, inputs, network_input, *more)
            eps = eps + error / over_pixels(sigma, x0)
        x = network_input(x0 + over_pixels(sigma, x0) * eps, sigma)
        c = model.precond.coefficients(sigma)
        output = model.predict(x, sigma, inputs)
        error = output - network_target(c, x0, eps, sigma)
        masked = error if mask is None else mask * error
        losses = masked.abs().pow(self.p).mean((1, 2, 3))
        losses = cast_like(self.weighting.weight(c, sigma, self.p), losses) * losses
        if self.perception is None:
            return losses
        estimate = over_pixels(c.skip, x) * x + over_pixels(c.out, x) * output
        estimate = estimate if mask is None else torch.lerp(x0, estimate, mask)
        decoded = self.target.decode(estimate, condition.base)
        picture = self.perception.projected(decoded, high, low[:, : high.shape[1]])
        perceptual = self.perceptual_loss(self.perception, high, picture, estimate - x0, *more)
        return losses + cast_like(self.perception.active(sigma), perceptual) * perceptual

    def perceptual_loss(
        self,
        perception: Perception,
        high: Images,
        picture: Images,
        error: Images,
        uniforms: Tensor,
        *_: Tensor,
    ) -> PerImage:
        """The perceptual loss of each image, whatever its level.  Raises ValueError without a distance."""
        if self.distance is None:
            raise ValueError("a perception needs a distance to learn by")
        distance = perception.shifted_distance(self.distance, high, picture, uniforms[:, 2:])
        loss = perception.weight * distance
        return loss + perception.lattice * pattern_energy(error) if perception.lattice > 0 else loss


def normal(like: Images, seed: int) -> Images:
    rng = torch.Generator(like.device).manual_seed(seed)
    return torch.randn(like.shape, generator=rng, device=like.device, dtype=like.dtype)
