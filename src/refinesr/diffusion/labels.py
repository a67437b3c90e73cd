"""Labels: the number by which a network receives the noise level; float64, of sigma's shape."""

import math
from dataclasses import dataclass

from refinesr.diffusion.schedule import Schedule, gamma_of, sigmas
from refinesr.errors import ConfigError
from refinesr.shapes import Sigma


@dataclass(frozen=True)
class SqrtGamma:
    """gain * sqrt(gamma); gain is 1 in the public SR3 code and 5000 in WaveGrad (Chen et al. 2021).

    With gain 1, the sinusoidal embeddings of two low noise levels are nearly equal.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.gain < math.inf:
            raise ConfigError(f"gain: {self.gain:g} is not positive and finite")

    def label(self, sigma: Sigma) -> Sigma:
        return self.gain * gamma_of(sigma).sqrt()


@dataclass(frozen=True)
class Gamma:
    """gamma (Palette)."""

    def label(self, sigma: Sigma) -> Sigma:
        return gamma_of(sigma)


@dataclass(frozen=True)
class LogSigma:
    """ln(sigma) / 4 (Karras et al. 2022, table 1)."""

    def label(self, sigma: Sigma) -> Sigma:
        return sigma.log() / 4


@dataclass(frozen=True)
class Timestep:
    """The index (from 0) of the row of the training table whose log(sigma) is nearest (DDPM, SRDiff)."""

    table: Schedule

    def __post_init__(self) -> None:
        sigmas(self.table)  # raises ConfigError for an invalid table

    def label(self, sigma: Sigma) -> Sigma:
        distance = (sigma.log()[..., None] - sigmas(self.table).log()).abs()
        return distance.argmin(-1).to(sigma.dtype)


Label = SqrtGamma | Gamma | LogSigma | Timestep
