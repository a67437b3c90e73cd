"""Preconditioning:  x0 = skip * x + out * F(into * x, label, condition)  (Karras et al. 2022, eq. 7).

The coefficients, functions of sigma, say what the network F predicts.  One loss trains all of them:
|F - network_target|**p with weight one.  With `Eps` it is L_simple of DDPM (p = 2) and the L1 loss of SR3 and
SRDiff (p = 1); with `EDM` it has the weighting of Karras et al. 2022.
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
    """skip, out and into are c_skip, c_out and c_in of Karras et al. 2022; keep is 1 - skip, not cancelled.

    All float64, of sigma's shape.
    """

    skip: Sigma
    keep: Sigma
    out: Sigma
    into: Sigma


@dataclass(frozen=True)
class Eps:
    """F predicts the noise eps (DDPM, SR3, SRDiff, Palette)."""

    def coefficients(self, sigma: Sigma) -> Coefficients:
        one, zero = torch.ones_like(sigma), torch.zeros_like(sigma)
        return Coefficients(skip=one, keep=zero, out=-sigma, into=gamma_of(sigma).sqrt())


@dataclass(frozen=True)
class Velocity:
    """F predicts v = sqrt(gamma) eps - sqrt(1 - gamma) x0 (Salimans and Ho 2022, eq. 11)."""

    def coefficients(self, sigma: Sigma) -> Coefficients:
        gamma = gamma_of(sigma)
        return Coefficients(skip=gamma, keep=sigma**2 * gamma, out=-sigma * gamma.sqrt(), into=gamma.sqrt())


@dataclass(frozen=True)
class Clean:
    """F predicts x0."""

    def coefficients(self, sigma: Sigma) -> Coefficients:
        one, zero = torch.ones_like(sigma), torch.zeros_like(sigma)
        return Coefficients(skip=zero, keep=one, out=one, into=gamma_of(sigma).sqrt())


@dataclass(frozen=True)
class EDM:
    """F's input and target have variance one if x0 has variance sigma_data² (Karras et al. 2022, table 1)."""

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
    """F predicts x0 from the condition alone, as its input x is multiplied by 0: regression."""

    def coefficients(self, sigma: Sigma) -> Coefficients:
        one, zero = torch.ones_like(sigma), torch.zeros_like(sigma)
        return Coefficients(skip=zero, keep=one, out=one, into=zero)


Precond = Eps | Velocity | Clean | EDM | Blind


def network_target(c: Coefficients, x0: Images, eps: Images, sigma: Sigma) -> Images:
    """The output of F for which x0 + sigma * eps is denoised to exactly x0.

    ((1 - skip) x0 - skip sigma eps) / out: the effective training target of Karras et al. 2022, eq. 8.
    """
    return over_pixels(c.keep / c.out, x0) * x0 - over_pixels(c.skip * sigma / c.out, x0) * eps


def over_pixels(values: Sigma, x: Tensor) -> Tensor:
    """`values`, () or (B,), as (1 or B, 1, 1, 1) with the dtype and device of x."""
    return cast_like(values, x).reshape(-1, 1, 1, 1)


def cast_like(values: Sigma, x: Tensor) -> Sigma:
    """`values` with the dtype and device of x, without waiting for a GPU."""
    # safe: a copy from pageable memory has read its source when the call returns
    return values.to(x.dtype).to(x.device, non_blocking=x.is_cuda)
