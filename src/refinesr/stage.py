"""Sampling with a trained method: low images in, an estimate of the high images after each step."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Generic, TypeVar

import torch
from torch import Tensor

from refinesr.devices import autocasting
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
from refinesr.diffusion.noise import scaled_noise
from refinesr.diffusion.schedule import grid_warnings
from refinesr.encoding import encode
from refinesr.images.projection import Projection
from refinesr.images.resize import Kernel
from refinesr.images.span import Span
from refinesr.method import Method, Sampling
from refinesr.model import Model
from refinesr.shapes import Denoiser, Grid, Images, LowWithPlanes, Noise, Sigma
from refinesr.tiles import Box, Tile, Window, blend_width, cover, largest_side

Image = TypeVar("Image")


@dataclass(frozen=True)
class Progress(Generic[Image]):
    """`done` of `total` steps are completed; `image` is the current estimate."""

    done: int
    total: int
    image: Image


@dataclass(frozen=True, eq=False)
class Start:
    """A start in place of noise: x = x0 + sigma * eps (B, C, H, W) at the grid's level number `skip`."""

    x: Tensor
    skip: int


@dataclass(frozen=True)
class Card:
    """Model card: what people should know of trained weights; stored in the model file."""

    name: str = ""
    summary: str = ""
    licence: str = ""
    data: tuple[str, ...] = ()
    training: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """A trained method: the method, the module with its weights, and the model card.

    `model` computes in float32 unless the caller uses autocast.
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
        """Steps of the method's own sampling."""
        return self.method.sampling.steps

    @property
    def tile(self) -> int:
        """Core of a tile in low pixels that the method sets as its default; 0 for no tiles."""
        return self.method.tile

    @property
    def span(self) -> Span | None:
        """Values in files that correspond to -1 and 1; None: the ends of the range of the files' type."""
        return self.method.span

    @property
    def device(self) -> torch.device:
        """The device that holds the weights."""
        return next(self.model.parameters()).device

    @property
    def default_tile(self) -> int:
        """`tile`, but 0 for models that generate from noise alone: tiles would not agree on the content."""
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

        After its C channels low has the planes that the source takes; at scale 1 a further plane may be a
        mask, 1 where the picture is to be filled in; the rest is returned unchanged.  The image (B, C, H, W)
        is not clamped: a residual may leave [-1, 1].

        noise     called first for the start, unless `start` is given, then once for every fresh draw
        sampling  the method's own if None; with a `start` without its fidelity
        tile      core of a tile in low pixels, 0 for none
        autocast  dtype the network runs in, None for float32
        start     where to start in place of noise; the temperature does not apply to it
        """
        if sampling is None:
            sampling = self.method.sampling
            if start is not None:  # images that are redrawn should not be smoothed towards the mean
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
        steps = sampling.estimates(denoise, x, grid, noise, mean)
        del x
        for done, x0 in enumerate(steps, start=1):
            yield Progress(done, total, image(x0))
        if done != total:
            raise ValueError(f"{sampling.sampler!r} yields {done} estimates in {total} steps, not one a step")

    def denoiser(
        self, low: LowWithPlanes, base: Images, sampling: Sampling, tile: int, autocast: torch.dtype | None
    ) -> Denoiser:
        """The network's denoiser with the combinators that `sampling`, `tile` and low's mask ask for."""
        labelled = replace(self, model=self.model.with_label(sampling.label))
        denoise = labelled.self_ensemble(low, sampling, tile, autocast)
        if sampling.clip:
            denoise = clipped(denoise)
        if sampling.consistent is not None:
            denoise = consistent(denoise, self.projection(low, base, sampling.consistent))
        mask = self.model.source.mask(low)
        return denoise if mask is None else inpainted(denoise, self.method.target.encode(base, base), mask)

    def self_ensemble(
        self, low: LowWithPlanes, sampling: Sampling, tile: int, autocast: torch.dtype | None
    ) -> Denoiser:
        """`guided_denoiser`, or its mean over the orientations of `sampling` (geometric self-ensemble)."""
        if sampling.orientations == 1:
            return self.guided_denoiser(low, sampling.guidance, tile, autocast)

        keep_encodings = self.method.caches_inputs(sampling.orientations * low[:, 0].numel())

        def oriented(way: Dihedral) -> Denoiser:
            def encode() -> Denoiser:
                return self.guided_denoiser(way.apply(low), sampling.guidance, tile, autocast)

            denoiser = cache(encode) if keep_encodings else encode
            return lambda x, sigma: denoiser()(x, sigma)

        return mirrored([(way, oriented(way)) for way in DIHEDRAL[: sampling.orientations]])

    def guided_denoiser(
        self, low: LowWithPlanes, guidance: float, tile: int, autocast: torch.dtype | None
    ) -> Denoiser:
        """`tiled_denoiser` with classifier-free guidance; estimates of weight 0 are not computed."""
        if guidance == 1:
            return self.tiled_denoiser(low, tile, autocast)
        without = self.tiled_denoiser(self.model.source.without_class(low), tile, autocast)
        if guidance == 0:
            return without
        return guided(self.tiled_denoiser(low, tile, autocast), without, guidance)

    def tiled_denoiser(self, low: LowWithPlanes, tile: int, autocast: torch.dtype | None) -> Denoiser:
        """The network's denoiser, tile by tile; low is encoded once, here."""
        with autocasting(low.device, autocast):
            inputs = encode(self.model, low, tile)
        parts = [self.tile_denoiser(inputs, piece, autocast) for piece in self.tiles(low, tile)]
        # windows are moved to the device here: moved in every step, each would make a GPU wait
        return tiled([(box, window.to(low), denoise) for box, window, denoise in parts])

    def tiles(self, low: LowWithPlanes, core: int) -> list[Tile]:
        """Tiles of low, exact by a halo where the network's reach is known, else only blended."""
        height, width = low.shape[-2:]
        stride, scale = self.method.stride, self.method.scale
        if self.method.halo is None:
            blend = blend_width(core)
            return cover(height, width, core=core, reach=0, stride=stride, scale=scale, blend=blend)
        return cover(height, width, core=core, reach=self.method.halo, stride=stride, scale=scale)

    def tile_denoiser(
        self, inputs: Mapping[str, Tensor], tile: Tile, autocast: torch.dtype | None
    ) -> tuple[Box, Window, Denoiser]:
        """The tile's place in the result, its window, and a denoiser for its part of the state."""
        large = tile.box.scaled(self.method.scale)
        within = {"image": large.of, "features": tile.box.of}  # a vector is the same everywhere
        plain = self.model.denoiser_for(
            {name: within[name](tensor) if name in within else tensor for name, tensor in inputs.items()}
        )

        def denoise(x: Images, sigma: Sigma) -> Images:
            with autocasting(x.device, autocast):
                return plain(x, sigma)

        return large, tile.window, denoise

    def projection(self, low: LowWithPlanes, base: Images, kernel: Kernel) -> Callable[[Tensor], Tensor]:
        """The function x0 -> the nearest x0 whose image, downsampled with the kernel, is low."""
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
        for complaint in grid_warnings(grid, self.stage.method.levels.highest()) if start is None else ():
            warnings.warn(complaint, stacklevel=3)
        with torch.no_grad():
            if start is None:
                scaled = scaled_noise(noise, self.sampling.temperature)
                x = math.sqrt(1 + float(grid[0]) ** 2) * scaled(self.base)
            else:
                x, grid = start.x, grid[start.skip :]
        steps = self.stage.run_sampler(self.sampling, self.denoise, x, grid, noise, self.base, self.mean)
        del x  # of a large picture a canvas less, as in the sampler
        yield from steps


def window_size(method: Method) -> int | None:
    """Largest side, in pixels of the result, of what a network without a known reach is given at once.

    It should be no larger than the crops of training.  None where the reach is known, or nothing is cut.
    """
    if method.reach is not None or not method.tile:
        return None
    if method.generates:
        return method.tile * method.scale
    return method.scale * largest_side(method.tile, stride=method.stride, blend=blend_width(method.tile))
