"""Cascades: stages one after the other, each on the result of the one before (Ho et al. 2021b).

The first may generate a picture from noise.  A cascade is called as a stage is, yields progress as a stage
does, and enlarges by the product of all scales (SR3's cascades of 64 -> 256 -> 1024 pixels).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from refinesr.diffusion.precond import Blind
from refinesr.errors import ConfigError
from refinesr.images.augment import CascadeAugmented
from refinesr.images.span import Span
from refinesr.method import Sampling
from refinesr.model import with_plane
from refinesr.shapes import Images, LowWithPlanes, Noise
from refinesr.sources import Augmented, check_guidance
from refinesr.stage import Progress, Stage
from refinesr.validation import as_int, convert_fields, type_error_text

Image = TypeVar("Image")


@dataclass(frozen=True)
class Link:
    """A stage of a cascade and how it is used there.

    sampling  in place of the stage's own, if given
    tile      core of a tile in pixels of the stage's input, 0 for none
    level     standard deviation of noise to add to the stage's input (conditioning augmentation), which the
              stage must be trained for (source `Augmented`)
    """

    stage: Stage
    sampling: Sampling | None = None
    tile: int = 0
    level: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.stage, Stage):
            raise ConfigError(f"stage: {type_error_text(self.stage, 'a Stage')}")
        convert_fields(self, as_int, "tile")
        method = self.stage.method
        if self.tile < 0:
            raise ConfigError(f"tile: {self.tile} is negative; 0 means no tiles")
        if self.level < 0:
            raise ConfigError(f"level: {self.level:g} is negative; 0 adds no noise")
        if self.level > 0:
            self._check_level()
        check_guidance("guidance", self.effective_sampling.guidance, method.source)

    def _check_level(self) -> None:
        method, noise = self.stage.method, f"level: {self.level:g}"
        if not isinstance(method.source, Augmented):
            raise ConfigError(f"{noise}, but the stage was not trained with noise in its input; use 0")
        if isinstance(method.degradation, CascadeAugmented) and self.level > method.degradation.noise:
            raise ConfigError(f"{noise} is above {method.degradation.noise:g}, the most it was trained with")
        if self.effective_sampling.consistent is not None:
            raise ConfigError(
                f"{noise}, but the stage keeps its input as it is, noise included; use 0, or no consistent"
            )

    @property
    def effective_sampling(self) -> Sampling:
        """`sampling`, or the stage's own."""
        return self.stage.method.sampling if self.sampling is None else self.sampling

    @property
    def stage_with_sampling(self) -> Stage:
        """The stage with `effective_sampling` as its own."""
        return replace(self.stage, method=replace(self.stage.method, sampling=self.effective_sampling))

    @property
    def steps(self) -> int:
        return len(self.effective_sampling.levels()) - 1

    @property
    def deterministic(self) -> bool:
        """Whether the result is the same for all seeds: no noise is used but that of the posterior mean."""
        mean = self.effective_sampling.fidelity == 1 and self.effective_sampling.mean is not None
        return self.level == 0 and (mean or isinstance(self.stage.method.precond, Blind))

    @property
    def generates(self) -> bool:
        """Whether it generates pictures from noise alone."""
        return self.stage.method.generates

    def build_input(self, image: Images, noise: Noise) -> LowWithPlanes:
        """The stage's input from the image of the stage before: clamped, with noise and the plane of its
        level.

        It is not rounded to 8 bits, as the inputs of training are: near the middle between two levels,
        rounding would turn numerical differences between batches into a whole level.
        """
        low = image.clamp(-1, 1)
        if not isinstance(self.stage.method.source, Augmented):
            return low
        if self.level > 0:
            low = low + self.level * noise(low)
        return with_plane(low, low.new_full((len(low),), self.level))

    def __call__(
        self, low: LowWithPlanes, noise: Noise, autocast: torch.dtype | None
    ) -> Iterator[Progress[Tensor]]:
        return self.stage(low, noise, sampling=self.sampling, tile=self.tile, autocast=autocast)


@dataclass(frozen=True)
class Cascade:
    """Stages that are run one after the other.

    links  the stages; only the first may generate from noise
    size   (height, width) of the first stage's low if it does; None: as in its training

    Raises ConfigError for links that do not fit one another.
    """

    links: tuple[Link, ...]
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.links, Sequence):
            raise ConfigError(f"links: {type_error_text(self.links, 'a tuple of Links')}")
        if not self.links:
            raise ConfigError("stages: none are named; at least one is needed")
        for number, link in enumerate(self.links):
            if not isinstance(link, Link):
                raise ConfigError(
                    f"links.{number}: {type_error_text(link, 'a Link, Link(stage) for a Stage,')}"
                )
        if self.size is not None and min(self.size) < 1:
            raise ConfigError(f"size: {self.size} is no size; (height, width) in pixels")
        if self.links[0].level:
            raise ConfigError("stages.0.level: the first stage has no stage before it; use 0")
        for number, link in enumerate(self.links[1:], start=1):
            if link.generates:
                raise ConfigError(f"stages.{number}: generates images from noise; only the first stage may")
            if link.stage.method.channels != self.channels:
                found = f"{link.stage.method.channels} channels, the one before makes {self.channels}"
                raise ConfigError(f"stages.{number}: takes pictures of {found}")
            if link.stage.span != self.span:
                found = f"{link.stage.span}, the one before has {self.span}; both must be of one"
                raise ConfigError(f"stages.{number}: has method.span {found}")

    @property
    def channels(self) -> int:
        return self.links[0].stage.method.channels

    @property
    def span(self) -> Span | None:
        """Values in files that correspond to -1 and 1; None: the ends of the range of the files' type."""
        return self.links[0].stage.span

    @property
    def scale(self) -> int:
        """Pixels of the result per pixel of low, a side."""
        return math.prod(link.stage.method.scale for link in self.links)

    @property
    def steps(self) -> int:
        """Sampling steps of all stages."""
        return sum(link.steps for link in self.links)

    @property
    def tile(self) -> int:
        """Core of the largest tile of all stages, in pixels of the stage's input; 0 if one uses no tiles."""
        tiles = [link.tile for link in self.links]
        return max(tiles) if all(tiles) else 0

    def __call__(
        self, low: LowWithPlanes, noise: Noise, *, autocast: torch.dtype | None = None
    ) -> Iterator[Progress[Tensor]]:
        """Refine low (B, C, h, w) in [-1, 1], with the planes that the first stage's source takes.

        Yields a `Progress` after each step: steps of all stages, the image of the current stage.  The last
        image is scale times low's size and not clamped.  Every stage computes where its weights are.  The
        stages call `noise` one after the other: for the noise added to the input, if the link's level is
        above 0, then for the start and the fresh draws.
        """

        def refine(number: int, link: Link, image: Tensor) -> Iterator[Progress[Tensor]]:
            image = image.to(link.stage.device)
            return link(link.build_input(image, noise) if number else image, noise, autocast)

        yield from run_links(self.links, low, refine)


def run_links(
    links: Sequence[Link], image: Image, refine: Callable[[int, Link, Image], Iterator[Progress[Image]]]
) -> Iterator[Progress[Image]]:
    """Run `refine(number, link, image)` for each link, on the image that the link before ended with.

    Yields its `Progress`, with steps counted over all links.
    """
    before, total = 0, sum(link.steps for link in links)
    for number, link in enumerate(links):
        for progress in refine(number, link, image):
            image = progress.image
            yield Progress(before + progress.done, total, image)
        before += link.steps
