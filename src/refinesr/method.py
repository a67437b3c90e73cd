"""A method as one value: everything that determines training, and how a trained model samples by default."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from refinesr.diffusion.labels import Label
from refinesr.diffusion.levels import Few, Levels, Spread, Stratified
from refinesr.diffusion.loops import blended_with_mean, sigma_tensor
from refinesr.diffusion.noise import scaled_noise, seedless_noise
from refinesr.diffusion.precond import Blind, Clean, Eps, Precond
from refinesr.diffusion.samplers import Sampler
from refinesr.diffusion.schedule import GridChoice
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

CACHE_LIMIT = 2**25
"""The most values of a picture's condition, over all orientations, that are cached: 128 MiB in float32."""

Network = PackedUNet | SR3UNet | SRDiffUNet | ADMUNet | RRDBNetwork | Tiny


@dataclass(frozen=True)
class Sampling:
    """Sampling: the sampler, its grid of noise levels, and what is done to each estimate.

    clip        clip every estimate of x0 to [-1, 1], as the code of SR3 and SRDiff does
    consistent  project every estimate so that, downsampled with this kernel, it equals the low image
    guidance    weight of classifier-free guidance (Ho and Salimans 2022): 0 ignores the class, 1 is no
                guidance, more exaggerates the effect of the class
    temperature factor on all sampling noise, that of the initial state and every draw; 1 is as trained
    fidelity    share of the posterior mean (MMSE estimate) in the result; 0 is the sample, 1 the mean; below
                0 extrapolates beyond the sample, which offsets the smoothing by self-ensembling
    mean        noise level at which one more network call estimates the posterior mean; null: the first
                estimate of the sampling is taken
    orientations  geometric self-ensemble (Timofte et al. 2016, arXiv 1511.02228): every estimate is the mean
                over 1, 2 (with left-right flip), 4 (and upside down) or 8 (and rotated) orientations
    label       label for sampling, where published code samples with another label than it trains with;
                null: the method's label
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
        """The grid of noise levels; with fidelity 1, only the level at which the mean is estimated, and 0."""
        grid = self.grid.grid(self.steps)
        if self.fidelity < 1:
            return grid
        return grid[[0, -1]] if self.mean is None else grid.new_tensor([self.mean, 0.0])

    @property
    def calls(self) -> int:
        """Network evaluations per image."""
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
        """The estimate of the posterior mean at level `mean`, of like's shape; None if it is not needed.

        That is if `fidelity` is 0 or `mean` is None.  It is the same for all seeds (`seedless_noise`).
        """
        if self.mean is None or self.fidelity == 0:
            return None
        with torch.no_grad():
            return denoise(math.sqrt(1 + self.mean**2) * seedless_noise(like), sigma_tensor(self.mean))

    def estimates(
        self, denoise: Denoiser, x: Images, grid: Grid, noise: Noise, mean: Images | None = None
    ) -> Iterator[Images]:
        """Runs the sampler from the state x and yields its estimate of x0 after each step.

        `temperature` scales the draws of noise, but not x; `fidelity` mixes the posterior mean into the
        estimates.  `mean` is the result of `posterior_mean`; None computes it.
        """
        noise = scaled_noise(noise, self.temperature)
        if self.fidelity == 0:
            return self.sampler(denoise, x, grid, noise)
        if mean is None:
            mean = self.posterior_mean(denoise, x)
        if mean is not None and self.fidelity == 1:
            return iter([mean])
        return blended_with_mean(self.sampler, denoise, x, grid, noise, self.fidelity, mean)


@dataclass(frozen=True)
class Method:
    """A super-resolution or generation method: network, condition, preconditioning, training and sampling.

    p     exponent of the loss: 1 or 2
    tile  default core, in low pixels, of the tiles that large images are cut into; 0 for no tiles.  For a
          network with attention or GroupNorm: so large that a tile (`stage.window_size`) is no larger than a
          crop in training; for a generator, which is not tiled: the size in training
    span  values of the files that become -1 and 1; None: 0 and the largest value of the type (floats: 0, 1)

    Raises ConfigError if the fields do not fit together.
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
        for name, value, other, expected in self._required_equalities():
            if value != expected:
                raise ConfigError(f"{name}: {value} is not {other} {expected}")
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
        """Raises ConfigError if the perceptual loss does not fit the method."""
        if self.channels != 3:
            raise ConfigError(f"perception: is for RGB; channels is {self.channels}")
        if perception.consistent is not None and self.scale == 1:
            raise ConfigError(
                "perception.consistent: nothing is lost at scale 1, so there is nothing to keep"
            )

    def _check_rollout(self, rollout: Rollout) -> None:
        """Raises ConfigError unless F predicts x0; other targets would divide an error of x0 by sigma."""
        if not isinstance(self.precond, Clean):
            name = type(self.precond).__name__
            raise ConfigError(f"rollout: is for networks that predict the image, Clean; precond is {name}")
        if rollout.top > self.levels.highest():
            highest = f"the highest level learnt, {self.levels.highest():.4g}"
            raise ConfigError(f"rollout.top: {rollout.top:g} is above {highest}")

    def _check_mean(self) -> None:
        """Raises ConfigError for a `fidelity` other than 0 if the network does not estimate the mean."""
        given, mean = f"sampling.fidelity: {self.sampling.fidelity:g}", self.sampling.mean
        if isinstance(self.precond, Eps):
            why = "is for networks that predict the image; with predicted noise the first estimate is no mean"
            raise ConfigError(f"{given} {why}; use 0")
        if isinstance(self.levels, Few):
            why = "takes the first estimate as the posterior mean, and a distilled student's is a sample"
            raise ConfigError(f"{given} {why}; use 0")
        if self.p == 1 and not isinstance(self.precond, Blind):  # a regression is deterministic anyway
            why = "needs an estimate of the posterior mean, and the L1 loss (p: 1) trains the median"
            raise ConfigError(f"{given} {why}; use 0")
        if self.perception is None:
            return
        level = float(self.sampling.levels()[0]) if mean is None else mean
        if self.perception.active(torch.tensor(level)) > 0:
            why = f"needs an estimate of the posterior mean; at {level:g} the perceptual loss sharpens it"
            least = self.perception.below
            right = "use 0" if least is None else f"use 0, or a sampling.mean of at least {least:g}"
            raise ConfigError(f"{given} {why}; {right}")

    def _required_equalities(self) -> Iterator[tuple[str, int, str, int]]:
        """Values that must be equal: a field and its value, then another's name and value."""
        network, source = self.network, self.source
        yield "network.channels", network.channels, "channels", self.channels
        yield "degradation.scale", self.degradation.scale, "scale", self.scale
        for name in ("image_channels", "features", "vector"):
            provided = source.input_channels(self.channels).get(name, 0)
            yield f"network.{name}", getattr(network, name, 0), "what the source makes,", provided
        if isinstance(source, Encoded):
            yield "source.encoder.channels", source.encoder.channels, "channels", self.channels
            if isinstance(source.encoder, RRDB):
                yield "source.encoder.scale", source.encoder.scale, "scale", self.scale
        if getattr(network, "features", 1) and hasattr(network, "scale"):  # features lie at low's size
            yield "network.scale", network.scale, "scale", self.scale

    def build(self) -> Model:
        """The model with freshly initialised weights."""
        source = self.source.build(self.scale, self.channels)
        return Model(self.network.build(), source, self.precond, self.label)

    def objective(self, distance: Distance | None = None) -> Objective:
        """The training loss.  `distance` is the perceptual distance that a `perception` needs."""
        additions = self.rollout, self.perception, distance
        return Objective(self.levels, self.spread, self.target, self.p, self.weighting, *additions)

    def encoder_runs(self, sampling: Sampling, pixels: int) -> int:
        """How often an image of so many low pixels is encoded: per orientation if cached, else per call."""
        orientations = sampling.orientations
        cached = orientations == 1 or self.caches_inputs(orientations * pixels)
        return orientations if cached else sampling.calls

    def caches_inputs(self, pixels: int) -> bool:
        """Whether the condition of `pixels` low pixels, over all orientations, is small enough to cache."""
        channels = self.source.input_channels(self.channels)
        per_pixel = channels.get("features", 0) + channels.get("image_channels", 0) * self.scale**2
        return pixels * per_pixel <= CACHE_LIMIT

    @property
    def generates(self) -> bool:
        """Whether it generates images without a low-resolution input."""
        return isinstance(self.source, Blank | Labelled)

    @property
    def class_count(self) -> int:
        """Number of classes of a class-conditional method, else 0."""
        return self.source.count if isinstance(self.source, Labelled) else 0

    @property
    def reach(self) -> int | None:
        """How far, in low pixels, a result depends on low in one call; None: on the whole image."""
        return None if self.halo is None else self.halo + self.source.reach

    @property
    def halo(self) -> int | None:
        """`reach` without the encoder: the distance in x and in the condition's tensors; None: unlimited."""
        return None if self.network.reach is None else math.ceil(self.network.reach / self.scale)

    @property
    def stride(self) -> int:
        """Corners of tiles must lie on multiples of this, in low pixels."""
        return self.network.stride // math.gcd(self.network.stride, self.scale)
