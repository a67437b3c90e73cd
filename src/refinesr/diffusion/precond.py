"""What a network's output means:  x0 = skip * x + out * F(into * x, label, condition).

One loss trains them all: |F - wanted|**p with weight one.  In `Eps` that is L_simple of DDPM and the L1 of
SR3 and SRDiff; in `EDM` it is the weighting of Karras et al. 2022.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from refinesr.diffusion.schedule import gamma_of
from refinesr.errors import ConfigError
from refinesr.shapes import Images, Sigma


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Float64, of sigma's shape.  keep is 1 - skip without cancellation."""

    skip: Sigma
    keep: Sigma
    out: Sigma
    into: Sigma


@dataclass(frozen=True)
class Eps:
    """F is the noise (DDPM, SR3, SRDiff, Palette)."""

    def coefficients(self, sigma: Sigma) -> Coefficients:
        one, zero = torch.ones_like(sigma), torch.zeros_like(sigma)
        return Coefficients(skip=one, keep=zero, out=-sigma, into=gamma_of(sigma).sqrt())


@dataclass(frozen=True)
class Velocity:
    """F is sqrt(gamma) eps - sqrt(1 - gamma) x0 (Salimans and Ho 2022, eq. 11)."""

    def coefficients(self, sigma: Sigma) -> Coefficients:
        gamma = gamma_of(sigma)
        return Coefficients(skip=gamma, keep=sigma**2 * gamma, out=-sigma * gamma.sqrt(), into=gamma.sqrt())


@dataclass(frozen=True)
class Clean:
    """F is x0."""

    def coefficients(self, sigma: Sigma) -> Coefficients:
        one, zero = torch.ones_like(sigma), torch.zeros_like(sigma)
        return Coefficients(skip=zero, keep=one, out=one, into=gamma_of(sigma).sqrt())


@dataclass(frozen=True)
class EDM:
    """F has variance one in and out if x0 has variance sigma_data² (Karras et al. 2022, table 1)."""

    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.sigma_data < math.inf:
            raise ConfigError(f"sigma_data: {self.sigma_data:g} is no standard deviation; more than 0")

    def coefficients(self, sigma: Sigma) -> Coefficients:
        data = self.sigma_data
        total = sigma**2 + data**2
        out, into = sigma * data / total.sqrt(), 1 / total.sqrt()
        return Coefficients(skip=data**2 / total, keep=sigma**2 / total, out=out, into=into)


@dataclass(frozen=True)
class Blind:
    """F is x0, seen from the condition alone: regression."""

    def coefficients(self, sigma: Sigma) -> Coefficients:
        one, zero = torch.ones_like(sigma), torch.zeros_like(sigma)
        return Coefficients(skip=zero, keep=one, out=one, into=zero)


Precond = Eps | Velocity | Clean | EDM | Blind


def wanted(c: Coefficients, x0: Images, eps: Images, sigma: Sigma) -> Images:
    """What F must say of x0 + sigma * eps for x0 to be right: ((1 - skip) x0 - skip sigma eps) / out."""
    return over_pixels(c.keep / c.out, x0) * x0 - over_pixels(c.skip * sigma / c.out, x0) * eps


def over_pixels(values: Sigma, x: Tensor) -> Tensor:
    """One number for all images, or one each, as (1 or B, 1, 1, 1) in the dtype and on the device of x."""
    return beside(values, x).reshape(-1, 1, 1, 1)


def beside(values: Sigma, x: Tensor) -> Sigma:
    """In the dtype and on the device of x; a GPU is not waited for."""
    # from plain memory CUDA has taken the numbers when the call returns, so nothing can change under it
    return values.to(x.dtype).to(x.device, non_blocking=x.is_cuda)
