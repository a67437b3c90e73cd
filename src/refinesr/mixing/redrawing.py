"""Partial noising and denoising of pictures: what interpolation and fusion share."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from refinesr.devices import move_to
from refinesr.diffusion.noise import NoiseField
from refinesr.diffusion.schedule import Even, Explicit, Karras, Leading
from refinesr.editing import checked_grid
from refinesr.errors import ConfigError, InputError
from refinesr.images.constants import luma
from refinesr.images.masks import BinaryMask
from refinesr.images.picture import Picture, to_tensor, with_span
from refinesr.method import Sampling
from refinesr.model import with_plane
from refinesr.restore import Options, build_input, only_inpaints, opaque, split_channels
from refinesr.shapes import Images, LowImages, Noise
from refinesr.sources import NO_CLASS, Blank, Labelled
from refinesr.stage import Stage
from refinesr.validation import as_float

DEPTH = 0.25
"""Default share of the steps that are repeated.  Chosen by eye with photo-x4 on a grid of MIN_RHO: at 0.5 all
detail is new, at 0.125 little is redrawn."""

STEPS = 8
"""Least number of steps: models whose default is lower need levels between picture and noise."""

MIN_RHO = 3.0
"""Least rho of Karras' grid: of a few evenly spaced levels nearly all would be too noisy to keep anything."""


@dataclass(frozen=True, eq=False)
class Redrawing:
    """How a stage redraws pictures: the level of noise that it goes back to, and the sampling from there.

    skip  number of the grid's level, from 0, that pictures are noised to
    """

    stage: Stage
    options: Options
    device: torch.device
    autocast: torch.dtype | None
    sampling: Sampling
    skip: int

    @property
    def steps(self) -> int:
        """Sampling steps that are repeated."""
        return self.sampling.steps - self.skip

    @property
    def sigma(self) -> float:
        """The noise level that pictures are noised to."""
        return float(self.sampling.levels()[self.skip])

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `interpolate_images` and `fuse_images` that are the same for all pictures."""
        tile = self.stage.default_tile if self.options.tile is None else self.options.tile
        return {"skip": self.skip, "sampling": self.sampling, "tile": tile, "autocast": self.autocast}

    def noise(self, images: Images) -> Noise:
        return NoiseField((self.options.seed,) * len(images))

    def to_images(self, picture: Picture, channels: int) -> Tensor:
        """A picture, converted to `channels`, as images for the model."""
        image = in_channels(with_span(picture, self.stage.span), channels).to(self.device)
        return split_channels(image, self.stage.method.channels, picture.name)

    def build_input(
        self, low: LowImages, name: str, noise: Noise, redrawn: BinaryMask | None = None
    ) -> Tensor:
        """low (1, C, h, w) with the planes that the model takes.

        A model that generates from noise takes only its size, without a class; for a model that only
        inpaints, `redrawn` is the mask.
        """
        images = split_channels(low.to(self.device), self.stage.method.channels, name)
        match self.stage.method.source:
            case Blank():
                return images
            case Labelled():
                return with_plane(images, images.new_full((len(images),), NO_CLASS))
        return build_input(self.stage, images, noise, redrawn if only_inpaints(self.stage) else None, name)


def plan_redrawing(stage: Stage, options: Options, depth: float) -> Redrawing:
    """Plan to repeat the share `depth` of the sampling steps, at least one; 1 starts from noise.

    A sampling in the options is used as it is; a model's own is adapted (`sampling_to_redraw`).  The model is
    moved to the options' device.  Raises ConfigError for options or models that cannot do it.
    """
    if not 0 < as_float("depth", depth) <= 1:
        raise ConfigError(f"depth: {depth:g} is not a share of the steps; more than 0, at most 1")
    device, autocast = options.device_and_dtype(stage)
    sampling = options.sampling_for(stage)
    if options.sampling is None:
        sampling = sampling_to_redraw(sampling, options)
    if sampling.fidelity == 1:
        raise ConfigError("fidelity: 1 is the posterior mean, which redraws nothing; use less than 1")
    skip = sampling.steps - max(1, round(depth * sampling.steps))
    checked_grid(stage, sampling, skip)
    if sampling.steps == 1:
        raise ConfigError("steps: 1 has no level between picture and noise; use at least 2")
    move_to(stage.model, device)
    return Redrawing(stage, options, device, autocast, sampling, skip)


def sampling_to_redraw(sampling: Sampling, options: Options) -> Sampling:
    """A model's own sampling, adapted to redrawing.

    Without the posterior mean unless it is asked for, and with enough levels at low noise.
    """
    sampling = replace(sampling, fidelity=options.fidelity or 0.0)
    listed = isinstance(sampling.grid, Explicit | Leading)
    if options.steps is None and sampling.steps < STEPS and not listed:
        most = sampling.grid.table.rows if isinstance(sampling.grid, Even) else STEPS
        sampling = replace(sampling, steps=min(STEPS, most))
    if isinstance(sampling.grid, Karras) and sampling.grid.rho < MIN_RHO:
        sampling = replace(sampling, grid=replace(sampling.grid, rho=MIN_RHO))
    return sampling


def in_channels(picture: Picture, channels: int) -> Images:
    """The picture as (1, channels, H, W): grey is repeated as RGB, RGB is converted to grey.

    Raises InputError for other numbers of channels.
    """
    image = to_tensor(opaque(picture))
    match image.shape[1], channels:
        case 1, _:
            return image.expand(-1, channels, -1, -1)
        case 3, 1:
            return luma(image)
        case given, _ if given != channels:
            raise InputError(f"{picture.name}: has {given} channels, where there should be {channels}")
    return image
