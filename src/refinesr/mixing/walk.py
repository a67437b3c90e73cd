"""Part of the way to noise and from there back: what both ways of mixing share."""

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
"""By eye, with photo-x4 on a grid of FINE: at 0.5 detail is the model's own, at 0.125 little is redrawn."""

STEPS = 8
"""Of models that are content with fewer: there must be something between picture and noise."""

FINE = 3.0
"""Least rho of Karras' grid: evenly spaced, a few levels lie where noise hides all that is to be kept."""


@dataclass(frozen=True, eq=False)
class Redrawing:
    """A stage, how far back to noise it goes, and how it comes from there."""

    stage: Stage
    options: Options
    device: torch.device
    autocast: torch.dtype | None
    sampling: Sampling
    skip: int

    @property
    def steps(self) -> int:
        """That are walked."""
        return self.sampling.steps - self.skip

    @property
    def sigma(self) -> float:
        """That is gone back to."""
        return float(self.sampling.levels()[self.skip])

    def how(self) -> dict[str, Any]:
        """The arguments by name that are the same for all pictures."""
        tile = self.stage.default_tile if self.options.tile is None else self.options.tile
        return {"skip": self.skip, "sampling": self.sampling, "tile": tile, "autocast": self.autocast}

    def noise(self, images: Images) -> Noise:
        return NoiseField((self.options.seed,) * len(images))

    def spread(self, picture: Picture, channels: int) -> Tensor:
        """A picture, in the colours of one of so many `channels`, as the model wants it."""
        image = in_channels(with_span(picture, self.stage.span), channels).to(self.device)
        return split_channels(image, self.stage.method.channels, picture.name)

    def given(self, low: LowImages, name: str, noise: Noise, redrawn: BinaryMask | None = None) -> Tensor:
        """low (1, C, h, w) with its planes; only its size counts where pictures are made from nothing.

        A model that fills holes is given what is to be `redrawn` as one: asked of `noise`, and marked.
        """
        images = split_channels(low.to(self.device), self.stage.method.channels, name)
        match self.stage.method.source:
            case Blank():
                return images
            case Labelled():
                return with_plane(images, images.new_full((len(images),), NO_CLASS))
        return build_input(self.stage, images, noise, redrawn if only_inpaints(self.stage) else None, name)


def plan_redrawing(stage: Stage, options: Options, depth: float) -> Redrawing:
    """`depth` is the share of the steps that are walked, at least one of them; 1 begins at noise.

    A sampling that is asked for is taken as it is; a model's own is made fit for it.
    Raises ConfigError for what makes no sense, and for a model that goes no way.
    """
    if not 0 < as_float("depth", depth) <= 1:
        raise ConfigError(f"depth: {depth:g} is not a share of the steps; more than 0, at most 1")
    device, autocast = options.device_and_dtype(stage)
    sampling = options.sampling_for(stage)
    if options.sampling is None:
        sampling = sampling_to_redraw(sampling, options)
    if sampling.fidelity == 1:
        raise ConfigError("fidelity: 1 is the mean of all pictures and redraws none; less than 1")
    skip = sampling.steps - max(1, round(depth * sampling.steps))
    checked_grid(stage, sampling, skip)
    if sampling.steps == 1:
        raise ConfigError("steps: 1 leaves nothing between a picture and noise; at least 2")
    move_to(stage.model, device)
    return Redrawing(stage, options, device, autocast, sampling, skip)


def sampling_to_redraw(sampling: Sampling, options: Options) -> Sampling:
    """A model's own sampling for what is redrawn: not drawn to the mean unasked, with levels where pictures
    are, and enough of them."""
    sampling = replace(sampling, fidelity=options.fidelity or 0.0)
    listed = isinstance(sampling.grid, Explicit | Leading)
    if options.steps is None and sampling.steps < STEPS and not listed:
        most = sampling.grid.table.rows if isinstance(sampling.grid, Even) else STEPS
        sampling = replace(sampling, steps=min(STEPS, most))
    if isinstance(sampling.grid, Karras) and sampling.grid.rho < FINE:
        sampling = replace(sampling, grid=replace(sampling.grid, rho=FINE))
    return sampling


def in_channels(picture: Picture, channels: int) -> Images:
    """As (1, channels, H, W): grey is grey in colours too, and colours have a grey."""
    image = to_tensor(opaque(picture))
    match image.shape[1], channels:
        case 1, _:
            return image.expand(-1, channels, -1, -1)
        case 3, 1:
            return luma(image)
        case given, _ if given != channels:
            raise InputError(f"{picture.name}: has {given} channels, where there should be {channels}")
    return image
