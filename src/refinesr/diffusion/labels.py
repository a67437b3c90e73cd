"""What a network is told of the noise level: one number, of sigma's shape, float64."""

from dataclasses import dataclass

from refinesr.diffusion.schedule import Schedule, gamma_of, sigmas
from refinesr.shapes import Sigma


@dataclass(frozen=True)
class SqrtGamma:
    """sqrt(gamma), as the public SR3 and WaveGrad do."""

    def label(self, sigma: Sigma) -> Sigma:
        return gamma_of(sigma).sqrt()


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
    """The row of the training table whose log(sigma) is nearest, from 0, a whole number (DDPM, SRDiff)."""

    table: Schedule

    def label(self, sigma: Sigma) -> Sigma:
        distance = (sigma.log()[..., None] - sigmas(self.table).log()).abs()
        return distance.argmin(-1).to(sigma.dtype)


Label = SqrtGamma | Gamma | LogSigma | Timestep
