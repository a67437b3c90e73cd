"""Options of restoring a picture."""

from dataclasses import dataclass, replace
from typing import TypedDict

import torch

from refinesr.cascade import Cascade, Link
from refinesr.devices import autocast_dtype, check_seed, device_named
from refinesr.errors import ConfigError
from refinesr.images.resize import Kernel, PillowBicubic
from refinesr.method import Sampling
from refinesr.stage import Stage
from refinesr.validation import (
    as_bool,
    as_float,
    as_int,
    convert_fields,
    convert_optional_fields,
    type_error_text,
)


class OptionFields(TypedDict, total=False):
    """The fields of `Options`, for functions that take them as keyword arguments."""

    steps: int | None
    seed: int
    tile: int | None
    consistent: bool | None
    device: str | None
    precision: str
    fidelity: float | None
    orientations: int | None
    sampling: Sampling | None


@dataclass(frozen=True)
class Options:
    """How to restore a picture; None leaves a choice to the model.

    steps       sampling steps
    seed        of the noise, which depends on nothing else: in fp32 the same seed gives the same picture, to
                1 of 255, whatever the batch or device, and whatever the tile if the network has a `reach`
    tile        core of a tile in input pixels, 0 for none
    consistent  make the result, downsampled, equal to the input
    device      'auto', 'cpu', 'cuda', 'mps': the model is moved there and stays there; None: each stage
                computes where its weights are
    precision   'auto', 'fp32', 'bf16': what the network runs in
    fidelity    share of the posterior mean in the result, for every stage of a cascade.  0 is a sample, 1 the
                estimate of the posterior mean, which is smoother and has the least mean squared error; down
                to -1 extrapolates beyond the sample, which makes up for the smoothing by self-ensembles
    orientations  1, 2, 4, 8: geometric self-ensemble over so many orientations of the picture (as it is,
                mirrored, upside down, turned), each a network call; for models trained with such augmentation
    sampling    in place of the model's own: sampler, grid, guidance, temperature, for instance
                `replace(model.method.sampling, ...)`; the other options are applied to it
    """

    steps: int | None = None
    seed: int = 0
    tile: int | None = None
    consistent: bool | None = None
    device: str | None = None
    precision: str = "auto"
    fidelity: float | None = None
    orientations: int | None = None
    sampling: Sampling | None = None

    def __post_init__(self) -> None:
        convert_fields(self, as_int, "seed")
        convert_optional_fields(self, as_int, "steps", "tile", "orientations")
        convert_optional_fields(self, as_bool, "consistent")
        convert_optional_fields(self, as_float, "fidelity")
        if self.tile is not None and self.tile < 0:
            raise ConfigError(f"tile: {self.tile} is negative; 0 means no tiles")
        check_seed(self.seed)
        if self.sampling is not None and not isinstance(self.sampling, Sampling):
            raise ConfigError(f"sampling: {type_error_text(self.sampling, 'a Sampling')}")

    def check(self, model: Stage | Cascade) -> None:
        """Raises ConfigError for what the model or this computer cannot do, before any work."""
        for link in self.links(model):
            self.device_and_dtype(link.stage)
            link.effective_sampling.levels()

    def device_and_dtype(self, stage: Stage) -> tuple[torch.device, torch.dtype | None]:
        """The device that the stage computes on, and the dtype of autocast, None for float32.

        Raises ConfigError for a device that this computer lacks.
        """
        device = stage.device if self.device is None else device_named(self.device)
        return device, autocast_dtype(self.precision, device)

    def total_steps(self, model: Stage | Cascade) -> int:
        """Sampling steps of all stages."""
        return sum(link.steps for link in self.links(model))

    def fidelity_of(self, model: Stage | Cascade) -> float | None:
        """The fidelity in effect; None if the stages of a cascade have their own."""
        return self.sampling_for(model).fidelity if isinstance(model, Stage) else self.fidelity

    def orientations_of(self, model: Stage | Cascade) -> int | None:
        """The orientations in effect; None if the stages of a cascade have their own."""
        return self.sampling_for(model).orientations if isinstance(model, Stage) else self.orientations

    def links(self, model: Stage | Cascade) -> tuple[Link, ...]:
        """The cascade's links, or one for the stage, with these options applied.

        Raises ConfigError for options that do not fit a stage.
        """
        if isinstance(model, Stage):
            return (self._link(Link(model, tile=model.method.tile)),)
        if self.steps is not None:
            raise ConfigError("steps: each stage of a cascade has its own; its JSON file says them")
        if self.sampling is not None:
            raise ConfigError("sampling: each stage of a cascade has its own, Link(stage, sampling)")
        return tuple(self._link(link, f"stages.{number}.") for number, link in enumerate(model.links))

    def _link(self, link: Link, where: str = "") -> Link:
        tile = link.tile if self.tile is None else self.tile
        try:
            return replace(link, sampling=self.sampling_for(link.stage_with_sampling), tile=tile)
        except ConfigError as error:
            raise ConfigError(f"{where}{error}") from error

    def sampling_for(self, stage: Stage) -> Sampling:
        """The stage's sampling with these options applied.  Raises ConfigError for what does not fit it."""
        chosen = stage.method.sampling if self.sampling is None else self.sampling
        if self.steps is not None:
            chosen = replace(chosen, steps=self.steps)
        if self.consistent is not None:
            chosen = replace(
                chosen, consistent=consistency_kernel(stage, chosen) if self.consistent else None
            )
        if self.fidelity is not None:
            chosen = replace(chosen, fidelity=self.fidelity)
        if self.orientations is not None:
            chosen = replace(chosen, orientations=self.orientations)
        return replace(stage.method, sampling=chosen).sampling  # validates


def consistency_kernel(stage: Stage, sampling: Sampling) -> Kernel:
    """The kernel for consistency: the sampling's, the stage's own, or Pillow's bicubic.

    Raises ConfigError at scale 1.
    """
    if stage.method.scale == 1:
        raise ConfigError("consistent: nothing is lost at scale 1, so there is nothing to keep")
    return sampling.consistent or stage.method.sampling.consistent or PillowBicubic()
