"""Loss weightings: a factor on |F - network_target|**p for each noise level; float64, of sigma's shape."""

import math
from dataclasses import dataclass

import torch

from refinesr.diffusion.precond import Coefficients
from refinesr.errors import ConfigError
from refinesr.shapes import Sigma


@dataclass(frozen=True)
class Own:
    """Weight one in the network's own units, as published for each preconditioning."""

    def weight(self, c: Coefficients, sigma: Sigma, p: int) -> Sigma:
        return torch.ones_like(sigma)


@dataclass(frozen=True)
class TruncatedSNR:
    """Weights the squared error of x0 by the signal-to-noise ratio (data / sigma)², clamped to [least, most].

    It is a weight on x0 whatever F predicts.  `data` is the standard deviation of x0; papers take 1.  With
    data = 1, least = 1 and no `most` this is the truncated SNR weighting of Salimans and Ho 2022, section 4;
    least = 0 and most = 5 give Min-SNR of Hang et al. 2023, eq. 8.  `most` None is no upper bound.  With
    p = 1 the weight is the square root.
    """

    data: float = 1.0
    least: float = 1.0
    most: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.data < math.inf:
            raise ConfigError(f"data: {self.data:g} is no standard deviation; more than 0")
        most = math.inf if self.most is None else self.most
        if not (0 <= self.least <= most and self.least < math.inf and most > 0):
            raise ConfigError(f"least, most: {self.least:g}, {most:g} do not ascend from 0")

    def weight(self, c: Coefficients, sigma: Sigma, p: int) -> Sigma:
        ratio = ((self.data / sigma) ** 2).clamp(self.least, self.most)
        return (ratio.sqrt() * c.out.abs()) ** p


Weighting = Own | TruncatedSNR
