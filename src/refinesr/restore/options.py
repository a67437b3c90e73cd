"""What may be asked for when a picture is restored."""

from dataclasses import dataclass, replace

from refinesr.cascade import Cascade
from refinesr.errors import ConfigError
from refinesr.images.resize import Kernel, PillowBicubic
from refinesr.method import Sampling
from refinesr.stage import Stage


@dataclass(frozen=True)
class Options:
    """How to restore; None leaves a choice to the model.

    steps       sampling steps
    seed        of the noise: the same seed gives the same picture whatever the tile, batch or device
    tile        core of a tile in input pixels, 0 for none
    consistent  keep the result, downsampled, equal to the input
    device      'auto', 'cpu', 'cuda', 'mps': where to compute; the model is moved there and stays
    precision   'auto', 'fp32', 'bf16': what the network runs in
    fidelity    0 to 1: from the model's sample to the mean of all answers, which is smoother and, in mean
                squared error, nearer to the original; by a cascade, of every stage
    """

    steps: int | None = None
    seed: int = 0
    tile: int | None = None
    consistent: bool | None = None
    device: str = "auto"
    precision: str = "auto"
    fidelity: float | None = None

    def __post_init__(self) -> None:
        if self.tile is not None and self.tile < 0:
            raise ConfigError(f"tile: {self.tile} is negative; 0 means no tiles")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed: {self.seed} is not between 0 and 2**63 - 1")

    def check(self, model: Stage | Cascade) -> None:
        """Raises ConfigError for what cannot be asked of it, as `restored` would later."""
        self.total(model)

    def total(self, model: Stage | Cascade) -> int:
        """Steps to the result, of all stages."""
        if isinstance(model, Stage):
            return len(self.sampling(model).levels()) - 1
        if self.steps is not None:
            raise ConfigError("steps: each stage of a cascade has its own; its JSON file says them")
        return sum(self.total(link.placed) for link in model.links)

    def mixed(self, model: Stage | Cascade) -> float | None:
        """The fidelity; None where each stage of a cascade has its own."""
        return self.sampling(model).fidelity if isinstance(model, Stage) else self.fidelity

    def sampling(self, stage: Stage) -> Sampling:
        """The stage's own, with what is asked for here.  Raises ConfigError if there is no such thing."""
        chosen = stage.method.sampling
        if self.steps is not None:
            chosen = replace(chosen, steps=self.steps)
        if self.consistent is not None:
            chosen = replace(chosen, consistent=kept_kernel(stage) if self.consistent else None)
        if self.fidelity is not None:
            chosen = replace(chosen, fidelity=self.fidelity)
        return replace(stage.method, sampling=chosen).sampling  # a method refuses what does not fit it


def kept_kernel(stage: Stage) -> Kernel:
    """What the input is said to be downsampled with."""
    if stage.method.scale == 1:
        raise ConfigError("consistent: nothing is lost at scale 1, so there is nothing to keep")
    return stage.method.sampling.consistent or PillowBicubic()
