"""A method is a value: everything that decides what is learnt, and how a trained model samples by default."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from refinesr.diffusion.labels import Label
from refinesr.diffusion.levels import Few, Levels, Spread, Stratified
from refinesr.diffusion.noise import common, scaled
from refinesr.diffusion.precond import Blind, Clean, Eps, Precond
from refinesr.diffusion.samplers import Sampler
from refinesr.diffusion.schedule import GridChoice
from refinesr.diffusion.walking import anchored, level
from refinesr.diffusion.weighting import Own, Weighting
from refinesr.errors import ConfigError
from refinesr.images.augment import CascadeAugmented
from refinesr.images.degrade import Degradation
from refinesr.images.resize import Kernel
from refinesr.images.span import Span
from refinesr.model import Model, Target
from refinesr.nets.adm_unet import ADMUNet
from refinesr.nets.packed_unet import PackedUNet
from refinesr.nets.rrdb import RRDB, RRDBNetwork
from refinesr.nets.sr3_unet import SR3UNet
from refinesr.nets.srdiff_unet import SRDiffUNet
from refinesr.nets.tiny import Tiny
from refinesr.objective import Distance, Objective, Perception, Rollout
from refinesr.shapes import Denoiser, Grid, Images, Noise
from refinesr.sources import Augmented, Blank, Encoded, Labelled, Source, check_guidance
from refinesr.validation import as_bool, as_int, convert_fields

KEPT = 2**25
"""Most values of a picture's encodings, one for each way to lay it, that are cached: 128 MiB in float32."""

Network = PackedUNet | SR3UNet | SRDiffUNet | ADMUNet | RRDBNetwork | Tiny


@dataclass(frozen=True)
class Sampling:
    """From noise to an image: which levels are visited, and what is done at each.

    clip        every estimate x0 is clipped to [-1, 1], as SR3's and SRDiff's code does
    consistent  every estimate is projected so that, downsampled with this kernel, it is the low image
    guidance    weight of classifier-free guidance (Ho and Salimans 2022): 0 ignores the class, 1 is no
                guidance, more exaggerates what the class changes
    temperature what all noise of sampling, the start and every fresh draw, is multiplied by; 1 is as trained
    fidelity    share of an estimate of the mean of all answers in the result; 0: the sample; below 0 it is
                left behind by so much, which makes up for what a mean over orientations smooths
    mean        the level at which a call of its own asks for that estimate; null: it is the first one
    orientations  geometric self-ensemble (Timofte et al. 2016, arXiv 1511.02228): every estimate is the mean
                of the network's for 1, 2 (mirrored), 4 (upside down) or 8 (turned) ways to lay the picture
    label       what the network is told, where a published code tells it something else than it was taught;
                null: the method's own label
    """

    sampler: Sampler
    grid: GridChoice
    steps: int
    clip: bool = False
    consistent: Kernel | None = None
    guidance: float = 1.0
    temperature: float = 1.0
    fidelity: float = 0.0
    orientations: int = 1
    mean: float | None = None
    label: Label | None = None

    def __post_init__(self) -> None:
        convert_fields(self, as_int, "steps", "orientations")
        convert_fields(self, as_bool, "clip")
        if self.steps < 1:
            raise ConfigError(f"steps: {self.steps} is not positive")
        if self.guidance < 0:
            raise ConfigError(f"guidance: {self.guidance:g} is negative; 1 is none, 0 ignores the class")
        if not 0 <= self.temperature <= 1:
            raise ConfigError(f"temperature: {self.temperature:g} is not between 0 (no noise) and 1 (all)")
        if not -1 <= self.fidelity <= 1:
            right = "-1 (as far beyond the sample) and 1 (the mean)"
            raise ConfigError(f"fidelity: {self.fidelity:g} is not between {right}")
        if self.orientations not in (1, 2, 4, 8):
            raise ConfigError(f"orientations: {self.orientations} is not 1, 2, 4 or 8")
        if self.mean is not None and not 0 < self.mean < math.inf:
            raise ConfigError(f"mean: {self.mean:g} is no noise level; more than 0, or null")

    def levels(self) -> Grid:
        """Those visited; where the mean is the result, no more than the one that it is asked for at."""
        grid = self.grid.grid(self.steps)
        if self.fidelity < 1:
            return grid
        return grid[[0, -1]] if self.mean is None else grid.new_tensor([self.mean, 0.0])

    @property
    def calls(self) -> int:
        """Network calls an image costs."""
        if self.fidelity == 1 and self.mean is not None:
            return self.mean_calls
        steps = 1 if self.fidelity == 1 else self.steps
        return self.sampler.calls(steps) * self.calls_per_estimate + self.mean_calls

    @property
    def mean_calls(self) -> int:
        """Network calls for the estimate of the posterior mean at level `mean`, the same for all samples."""
        return 0 if self.mean is None or self.fidelity == 0 else self.calls_per_estimate

    @property
    def calls_per_estimate(self) -> int:
        """Network calls for one estimate: those of guidance and of every orientation."""
        return (1 if self.guidance in (0, 1) else 2) * self.orientations

    def posterior_mean(self, denoise: Denoiser, like: Images) -> Images | None:
        """The estimate of the posterior mean at level `mean`, of like's shape.

        None where `fidelity` is 0 or `mean` is None.  Its noise is one for all seeds (`noise.common`).
        """
        if self.mean is None or self.fidelity == 0:
            return None
        with torch.no_grad():
            return denoise(math.sqrt(1 + self.mean**2) * common(like), level(self.mean))

    def walk(
        self, denoise: Denoiser, x: Images, grid: Grid, noise: Noise, mean: Images | None = None
    ) -> Iterator[Images]:
        """The sampler's estimates from x on, one after each step: with the temperature of fresh draws, and of
        the posterior mean the share that `fidelity` asks for.

        `mean` is what `posterior_mean` returns, computed here if it is not given.
        """
        noise = scaled(noise, self.temperature)
        if self.fidelity == 0:
            return self.sampler(denoise, x, grid, noise)
        if mean is None:
            mean = self.posterior_mean(denoise, x)
        if mean is not None and self.fidelity == 1:
            return iter([mean])
        return anchored(self.sampler, denoise, x, grid, noise, self.fidelity, mean)


@dataclass(frozen=True)
class Method:
    """The row of a method in the table of all methods.

    tile  default core, in low pixels, of the tiles that large pictures are cut into; 0 never cuts.  Where the
          network sees its whole window: so large that a tile (`stage.window_size`) is no larger than a crop
          in training; for models that generate from noise, which are not cut: the size in training
    span  which values of files are -1 and 1 to the network; None: 0 and the largest of the type, of floats
          0 and 1
    """

    scale: int
    channels: int
    network: Network
    source: Source
    precond: Precond
    label: Label
    levels: Levels
    target: Target
    degradation: Degradation
    sampling: Sampling
    spread: Spread = field(default_factory=Stratified)
    p: int = 2
    tile: int = 384
    weighting: Weighting = field(default_factory=Own)
    rollout: Rollout | None = None
    perception: Perception | None = None
    span: Span | None = None

    def __post_init__(self) -> None:
        for name, value, other, wanted in self._fits():
            if value != wanted:
                raise ConfigError(f"{name}: {value} is not {other} {wanted}")
        if isinstance(self.source, Augmented) != isinstance(self.degradation, CascadeAugmented):
            raise ConfigError("degradation: CascadeAugmented and the source Augmented belong together")
        if check := getattr(self.degradation, "check", None):
            check(self.channels)
        if self.span is not None and not self.span.fits(self.channels):
            found = f"{self.span.bands} numbers each, and channels is {self.channels}"
            raise ConfigError(f"span: has {found}; give 1 for all bands, or one for each")
        if self.tile < 0:
            raise ConfigError(f"tile: {self.tile} is negative; 0 means no tiles")
        if self.sampling.consistent is not None and self.scale == 1:
            raise ConfigError("sampling.consistent: nothing is lost at scale 1, so there is nothing to keep")
        check_guidance("sampling.guidance", self.sampling.guidance, self.source)
        if self.perception is not None:
            self._check_perception(self.perception)
        if self.rollout is not None:
            self._check_rollout(self.rollout)
        mean, highest = self.sampling.mean, self.levels.highest()
        if mean is not None and mean > highest:
            raise ConfigError(f"sampling.mean: {mean:g} is above the highest level learnt, {highest:.4g}")
        if self.sampling.fidelity != 0:
            self._check_mean()
        self.objective()

    def _check_perception(self, perception: Perception) -> None:
        """Raises ConfigError."""
        if self.channels != 3:
            raise ConfigError(f"perception: is for RGB; channels is {self.channels}")
        if perception.consistent is not None and self.scale == 1:
            raise ConfigError(
                "perception.consistent: nothing is lost at scale 1, so there is nothing to keep"
            )

    def _check_rollout(self, rollout: Rollout) -> None:
        """Raises ConfigError.  A mistake in x0 is 1 / sigma as large in noise, and so in what F is to say."""
        if not isinstance(self.precond, Clean):
            name = type(self.precond).__name__
            raise ConfigError(f"rollout: is for networks that predict the picture, Clean; precond is {name}")
        if rollout.top > self.levels.highest():
            highest = f"the highest level learnt, {self.levels.highest():.4g}"
            raise ConfigError(f"rollout.top: {rollout.top:g} is above {highest}")

    def _check_mean(self) -> None:
        """Raises ConfigError where no mean of all answers can be asked for."""
        given, mean = f"sampling.fidelity: {self.sampling.fidelity:g}", self.sampling.mean
        if isinstance(self.precond, Eps):
            why = "is for networks that predict the picture; of predicted noise the first estimate is no mean"
            raise ConfigError(f"{given} {why}; use 0")
        if isinstance(self.levels, Few):
            why = "takes the first estimate for the mean of all answers, and a student's is one of them"
            raise ConfigError(f"{given} {why}; use 0")
        if self.p == 1 and not isinstance(self.precond, Blind):  # a regression has one answer, and no other
            why = "needs a mean of all answers, and absolute errors (p: 1) teach their median"
            raise ConfigError(f"{given} {why}; use 0")
        if self.perception is None:
            return
        asked = float(self.sampling.levels()[0]) if mean is None else mean
        if self.perception.active(torch.tensor(asked)) > 0:
            why = f"needs a mean of all answers, and at {asked:g} this network has learnt sharper ones"
            least = self.perception.below
            right = "use 0" if least is None else f"use 0, or a sampling.mean of at least {least:g}"
            raise ConfigError(f"{given} {why}; {right}")

    def _fits(self) -> Iterator[tuple[str, int, str, int]]:
        """What has to agree: a field, its value, the name of another, the other's value."""
        network, source = self.network, self.source
        yield "network.channels", network.channels, "channels", self.channels
        yield "degradation.scale", self.degradation.scale, "scale", self.scale
        for door in ("image_channels", "features", "vector"):
            made = source.doors(self.channels).get(door, 0)
            yield f"network.{door}", getattr(network, door, 0), "what the source makes,", made
        if isinstance(source, Encoded):
            yield "source.encoder.channels", source.encoder.channels, "channels", self.channels
            if isinstance(source.encoder, RRDB):
                yield "source.encoder.scale", source.encoder.scale, "scale", self.scale
        if getattr(network, "features", 1) and hasattr(network, "scale"):  # features lie at low's size
            yield "network.scale", network.scale, "scale", self.scale

    def build(self) -> Model:
        """The module with fresh weights."""
        source = self.source.build(self.scale, self.channels)
        return Model(self.network.build(), source, self.precond, self.label)

    def objective(self, distance: Distance | None = None) -> Objective:
        """What is learnt; a `perception` is learnt by a distance."""
        besides = self.rollout, self.perception, distance
        return Objective(self.levels, self.spread, self.target, self.p, self.weighting, *besides)

    def encodings(self, sampling: Sampling, pixels: int) -> int:
        """How often a picture of so many low pixels is encoded: each way it is laid once, or once a call."""
        ways = sampling.orientations
        return ways if ways == 1 or self.keeps(ways * pixels) else sampling.calls

    def keeps(self, pixels: int) -> bool:
        """Whether what so many low pixels are encoded to is kept from call to call."""
        doors = self.source.doors(self.channels)
        return pixels * (doors.get("features", 0) + doors.get("image_channels", 0) * self.scale**2) <= KEPT

    @property
    def generates(self) -> bool:
        """Whether it makes pictures from nothing."""
        return isinstance(self.source, Blank | Labelled)

    @property
    def classes(self) -> int:
        """How many it knows; 0 for none."""
        return self.source.count if isinstance(self.source, Labelled) else 0

    @property
    def reach(self) -> int | None:
        """Farthest low pixel that a result's pixel depends on in one call; None: all of them."""
        return None if self.halo is None else self.halo + self.source.reach

    @property
    def halo(self) -> int | None:
        """Farthest low pixel whose x or features a result's pixel depends on in one call; None: all."""
        return None if self.network.reach is None else math.ceil(self.network.reach / self.scale)

    @property
    def stride(self) -> int:
        """Corners of tiles lie on multiples of this many low pixels."""
        return self.network.stride // math.gcd(self.network.stride, self.scale)
