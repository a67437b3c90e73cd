"""A trained method at work: low images in, estimates of the high images out, one after each step."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Generic, TypeVar

import torch
from torch import Tensor

from refinesr.diffusion.denoisers import (
    DIHEDRAL,
    Dihedral,
    clipped,
    consistent,
    guided,
    inpainted,
    mirrored,
    tiled,
)
from refinesr.diffusion.noise import scaled
from refinesr.diffusion.schedule import check
from refinesr.encoding import doors
from refinesr.images.projection import Projection
from refinesr.images.resize import Kernel
from refinesr.images.span import Span
from refinesr.method import Method, Sampling
from refinesr.model import Model
from refinesr.shapes import Denoiser, Grid, Images, LowWithPlanes, Noise, Sigma
from refinesr.tiles import Box, Tile, Window, cover, largest

Image = TypeVar("Image")

BLEND = 4
"""Low pixels over which tiles of a network without a known reach are blended, at least."""


@dataclass(frozen=True)
class Progress(Generic[Image]):
    """`done` of `total` steps are behind us; `image` is the estimate so far."""

    done: int
    total: int
    image: Image


@dataclass(frozen=True, eq=False)
class Start:
    """Not from noise: from the state x = x0 + sigma * eps (B, C, H, W) at the grid's level number `skip`."""

    x: Tensor
    skip: int


@dataclass(frozen=True)
class Card:
    """What people should know of trained weights; travels inside the model file."""

    name: str = ""
    summary: str = ""
    licence: str = ""
    data: tuple[str, ...] = ()
    training: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """A method, the module with its weights, and what people should know of them.

    `model` gives float32 without autocast; precision is the caller's business.
    """

    method: Method
    model: Model
    card: Card = field(default_factory=Card)

    @property
    def scale(self) -> int:
        """Pixels of the result per pixel of low, a side."""
        return self.method.scale

    @property
    def steps(self) -> int:
        """Of sampling, when nothing else is asked for."""
        return self.method.sampling.steps

    @property
    def tile(self) -> int:
        """Core of a tile in low pixels, when nothing else is asked for; 0 for none."""
        return self.method.tile

    @property
    def span(self) -> Span | None:
        """Which values of files it is shown as -1 and 1; None: the whole range of their type."""
        return self.method.span

    @property
    def device(self) -> torch.device:
        """The device that holds the weights."""
        return next(self.model.parameters()).device

    @property
    def core(self) -> int:
        """`tile`; but what is made from nothing is made whole: parts would be of several minds."""
        return 0 if self.method.generates else self.method.tile

    def __call__(
        self,
        low: LowWithPlanes,
        noise: Noise,
        *,
        sampling: Sampling | None = None,
        tile: int = 0,
        autocast: torch.dtype | None = None,
        start: Start | None = None,
    ) -> Iterator[Progress[Tensor]]:
        """Refine low (B, C, h, w) in [-1, 1]; yields a `Progress` after each step, the last with the result.

        Behind its C channels low has the planes its source takes; at scale 1 one more may be a mask, 1 where
        the picture is to be made up; the rest comes out as it is.  The image (B, C, H, W) is not clamped: a
        residual may leave [-1, 1].  `sampling` defaults to the method's own.  `tile` is the core of a tile in
        low pixels, 0 for none.  `autocast` is the dtype the network runs in.  `noise` is asked first for the
        start, unless one is given, then once for every fresh draw; a start that is given has no temperature.
        """
        if sampling is None:
            sampling = self.method.sampling
            if start is not None:  # what is redrawn is not to be drawn to the mean
                sampling = replace(sampling, fidelity=0.0)
        yield from self.prepare(low, sampling, tile, autocast).refine(noise, start)

    def prepare(
        self, low: LowWithPlanes, sampling: Sampling, tile: int = 0, autocast: torch.dtype | None = None
    ) -> "Prepared":
        """Encode low, so that it can be refined more than once, with different noise."""
        with torch.no_grad():
            base = self.model.base(low)
            return Prepared(self, sampling, base, self.denoiser(low, base, sampling, tile, autocast))

    def run_sampler(
        self,
        sampling: Sampling,
        denoise: Denoiser,
        x: Images,
        grid: Grid,
        noise: Noise,
        base: Images,
        mean: Images | None = None,
    ) -> Iterator[Progress[Tensor]]:
        """Sample from the state x on; yields the decoded image after each step, the caller's to edit.

        `mean` is the estimate of the posterior mean, if there is one already (`Sampling.posterior_mean`).
        Raises ValueError for a sampler that skips or adds steps.
        """

        def image(x0: Images) -> Images:
            decoded = self.method.target.decode(x0, base)
            return decoded.clone() if decoded is x0 else decoded  # the walk goes on from x0

        done, total = 0, len(grid) - 1
        steps = sampling.walk(denoise, x, grid, noise, mean)
        del x
        for done, x0 in enumerate(steps, start=1):
            yield Progress(done, total, image(x0))
        if done != total:
            raise ValueError(f"{sampling.sampler!r} yields {done} estimates in {total} steps, not one a step")

    def denoiser(
        self, low: LowWithPlanes, base: Images, sampling: Sampling, tile: int, autocast: torch.dtype | None
    ) -> Denoiser:
        """The network's own denoiser, with what `sampling`, `tile` and a mask put around it."""
        told = replace(self, model=self.model.told(sampling.label))
        denoise = told.laid(low, sampling, tile, autocast)
        if sampling.clip:
            denoise = clipped(denoise)
        if sampling.consistent is not None:
            denoise = consistent(denoise, self.projected(low, base, sampling.consistent))
        mask = self.model.source.mask(low)
        return denoise if mask is None else inpainted(denoise, self.method.target.encode(base, base), mask)

    def laid(
        self, low: LowWithPlanes, sampling: Sampling, tile: int, autocast: torch.dtype | None
    ) -> Denoiser:
        """`informed`, or the mean of what it says of the picture laid several ways."""
        if sampling.orientations == 1:
            return self.informed(low, sampling.guidance, tile, autocast)

        kept = self.method.keeps(sampling.orientations * low[:, 0].numel())

        def lying(way: Dihedral) -> Denoiser:
            def encoded() -> Denoiser:
                return self.informed(way.of(low), sampling.guidance, tile, autocast)

            again = cache(encoded) if kept else encoded
            return lambda x, sigma: again()(x, sigma)

        return mirrored([(way, lying(way)) for way in DIHEDRAL[: sampling.orientations]])

    def informed(
        self, low: LowWithPlanes, guidance: float, tile: int, autocast: torch.dtype | None
    ) -> Denoiser:
        """`plain`, told of the class as `guidance` says: of two estimates only those that count are made."""
        if guidance == 1:
            return self.plain(low, tile, autocast)
        without = self.plain(self.model.source.withheld(low), tile, autocast)
        return without if guidance == 0 else guided(self.plain(low, tile, autocast), without, guidance)

    def plain(self, low: LowWithPlanes, tile: int, autocast: torch.dtype | None) -> Denoiser:
        """The network's own denoiser, tile by tile, of a picture that is encoded once."""
        with precision(low.device, autocast):
            given = doors(self.model, low, tile)
        parts = [self.part(given, piece, autocast) for piece in self.tiles(low, tile)]
        # a GPU would wait for each window in each step
        return tiled([(box, window.to(low), denoise) for box, window, denoise in parts])

    def tiles(self, low: LowWithPlanes, core: int) -> list[Tile]:
        """Where the network's reach is known the halo makes tiles exact; else it only blends."""
        height, width = low.shape[-2:]
        stride, scale = self.method.stride, self.method.scale
        if self.method.halo is None:
            blend = blend_of(core)
            return cover(height, width, core=core, reach=0, stride=stride, scale=scale, blend=blend)
        return cover(height, width, core=core, reach=self.method.halo, stride=stride, scale=scale)

    def part(
        self, doors: Mapping[str, Tensor], tile: Tile, autocast: torch.dtype | None
    ) -> tuple[Box, Window, Denoiser]:
        large = tile.box.scaled(self.method.scale)
        within = {"image": large.of, "features": tile.box.of}  # a vector is the same everywhere
        plain = self.model.conditioned(
            {name: within[name](door) if name in within else door for name, door in doors.items()}
        )

        def denoise(x: Images, sigma: Sigma) -> Images:
            with precision(x.device, autocast):
                return plain(x, sigma)

        return large, tile.window, denoise

    def projected(self, low: LowWithPlanes, base: Images, kernel: Kernel) -> Callable[[Tensor], Tensor]:
        """x0 -> the nearest x0 whose image, downsampled, is low's."""
        target, low = self.method.target, low[:, : self.method.channels]
        projection = Projection.between(base, low, kernel)

        def project(x0: Images) -> Images:
            image = target.decode(x0, base)
            del x0
            image = projection.project(image, low)
            return target.encode(image, base)

        return project


@dataclass(frozen=True, eq=False)
class Prepared:
    """A stage with its sampling and the low images that it has encoded."""

    stage: Stage
    sampling: Sampling
    base: Images
    denoise: Denoiser

    @cached_property
    def mean(self) -> Images | None:
        """The estimate of the posterior mean, computed once; None where it takes no call of its own."""
        return self.sampling.posterior_mean(self.denoise, self.base)

    def refine(self, noise: Noise, start: Start | None = None) -> Iterator[Progress[Tensor]]:
        """Sample as `Stage.__call__` does."""
        grid = self.sampling.levels()
        for complaint in check(grid, self.stage.method.levels.highest()) if start is None else ():
            warnings.warn(complaint, stacklevel=3)
        with torch.no_grad():
            if start is None:
                x = math.sqrt(1 + float(grid[0]) ** 2) * scaled(noise, self.sampling.temperature)(self.base)
            else:
                x, grid = start.x, grid[start.skip :]
        steps = self.stage.run_sampler(self.sampling, self.denoise, x, grid, noise, self.base, self.mean)
        del x  # of a large picture a canvas less, as in the sampler
        yield from steps


def blend_of(core: int) -> int:
    """Low pixels over which tiles of such a core are blended where no reach is known."""
    return max(BLEND, core // 8)


def core_of(side: int, stride: int) -> int:
    """The largest core whose tiles, with what is blended, have at most `side` low pixels; `side` if none."""
    cores = (n for n in range(side, 0, -1) if largest(n, stride=stride, blend=blend_of(n)) <= side)
    return next(cores, side)


def window(method: Method) -> int | None:
    """Side in pixels of what is shown, at most, to a network that sees all of it; those of the result.

    It should be no more than it was trained on.  None where the network has a reach, or nothing is cut.
    """
    if method.reach is not None or not method.tile:
        return None
    if method.generates:
        return method.tile * method.scale
    return method.scale * largest(method.tile, stride=method.stride, blend=blend_of(method.tile))


def precision(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[None]:
    """Of what a network computes; None is float32, whatever the caller's own code runs in."""
    return torch.autocast(device.type, dtype, enabled=dtype is not None)
