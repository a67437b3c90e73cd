"""Optimisers: AdamW, or Muon for matrices and AdamW for the other weights."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from refinesr.errors import ConfigError

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of a x + b x³ + c x⁵, which moves numbers in (0, 1] quickly towards 1 (Jordan et al. 2024)."""


@dataclass(frozen=True)
class Adam:
    """AdamW (Loshchilov and Hutter 2019) for all weights."""

    def build(
        self, weights: Iterable[nn.Parameter], rate: float, betas: tuple[float, float], weight_decay: float
    ) -> Optimizer:
        """The optimiser; "share" in a parameter group is the factor of its learning rate."""
        groups = [{"params": list(weights), "share": 1.0}]
        return AdamW(groups, lr=rate, betas=betas, weight_decay=weight_decay, fused=True)


@dataclass(frozen=True)
class Muon:
    """Muon (Jordan et al. 2024) for weights of two and more dimensions, AdamW for the others.

    A matrix is updated by its momentum with all singular values made about equal, so directions with small
    gradients are learnt as fast as others.  Updates are scaled to the size of AdamW's (Liu et al. 2025, arXiv
    2502.16982, eq. 4), but allow several times its learning rate.  A convolution is a matrix with a row for
    each output channel.

    momentum    decay of the exponential moving average of the gradients
    rest        learning rate of AdamW's part, as a factor of the plan's
    """

    momentum: float = 0.95
    rest: float = 0.4

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"momentum: {self.momentum} is not in [0, 1)")
        if not self.rest > 0:
            raise ConfigError(f"rest: {self.rest} is not positive")

    def build(
        self, weights: Iterable[nn.Parameter], rate: float, betas: tuple[float, float], weight_decay: float
    ) -> Optimizer:
        """The optimiser; "share" in a parameter group is the factor of its learning rate."""
        weights = list(weights)
        matrices = [weight for weight in weights if weight.ndim >= 2]
        others = [weight for weight in weights if weight.ndim < 2]
        groups: list[dict[str, Any]] = [
            {"params": matrices, "lr": rate, "share": 1.0, "momentum": self.momentum},
            {"params": others, "lr": rate * self.rest, "share": self.rest, "momentum": None},
        ]
        return MuonAdamW(groups, betas=betas, weight_decay=weight_decay, fused=True)


class MuonAdamW(AdamW):
    """AdamW, with Muon for parameter groups that have a "momentum"."""

    @torch.no_grad()
    # torch's method also returns the closure's result
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update; the gradients of matrices are None afterwards.  Raises ValueError for a closure."""
        if closure is not None:
            raise ValueError("a closure is not called here; compute the gradients before")
        for group in self.param_groups:
            if group["momentum"] is not None:
                self.update_matrices(group)
        super().step()  # skips weights without a gradient

    def update_matrices(self, group: dict[str, Any]) -> None:
        """Matrices of one shape are orthogonalised together, because there are many small ones."""
        lr, decay = group["lr"], group["weight_decay"]
        by_shape: dict[tuple[object, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for weight in group["params"]:
            if weight.grad is not None:
                step = self.nesterov_momentum(weight, weight.grad, group["momentum"])
                by_shape[step.shape, step.device].append((weight, step))
                weight.grad = None
        for pairs in by_shape.values():
            steps = orthogonalized(torch.stack([step for _, step in pairs]))
            size = 0.2 * max(steps.shape[1:]) ** 0.5
            for (weight, _), step in zip(pairs, steps, strict=True):
                weight.mul_(1 - lr * decay).sub_(step.reshape(weight.shape).to(weight), alpha=lr * size)

    def nesterov_momentum(self, weight: Tensor, gradient: Tensor, momentum: float) -> Tensor:
        """The mean gradient, (rows, columns), updated first (Nesterov)."""
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros(())  # unused, but AdamW expects it in every loaded state
            state["momentum_buffer"] = torch.zeros_like(weight)
        state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(state["momentum_buffer"], momentum).flatten(1)


def orthogonalized(matrices: Tensor) -> Tensor:
    """Approximately U V^T of each matrix U S V^T, (N, rows, columns), with singular values from 0.6 to 1.3.

    Five Newton-Schulz iterations in float32 (Jordan et al. 2024).
    """
    a, b, c = QUINTIC
    x: Tensor = matrices.float()
    x = x.mT if x.shape[1] > x.shape[2] else x  # products of the shorter side are smaller
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if matrices.shape[1] > matrices.shape[2] else x
