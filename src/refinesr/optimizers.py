"""How gradients become steps: AdamW, or Muon for the matrices among the weights and AdamW for the rest."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from refinesr.errors import ConfigError

QUINTIC = (3.4445, -4.7750, 2.0315)
"""a x + b x³ + c x⁵ takes numbers of (0, 1] towards 1, and small ones fast (Jordan et al. 2024)."""


@dataclass(frozen=True)
class Adam:
    """AdamW (Loshchilov and Hutter 2019) for all weights."""

    def build(
        self, weights: Iterable[nn.Parameter], rate: float, betas: tuple[float, float], weight_decay: float
    ) -> Optimizer:
        """A group's "share" is that of the plan's rate."""
        groups = [{"params": list(weights), "share": 1.0}]
        return AdamW(groups, lr=rate, betas=betas, weight_decay=weight_decay, fused=True)


@dataclass(frozen=True)
class Muon:
    """Muon (Jordan et al. 2024) for weights of two and more dimensions, AdamW for the others.

    A matrix moves by its momentum, all singular values of which are made about equal: directions with small
    gradients are learnt as fast as others.  Steps are scaled to the size of AdamW's (Liu et al. 2025, arXiv
    2502.16982, eq. 4), but bear several times its rate.  Of a convolution, each output channel is a row.

    momentum    share of the old in each update of the mean gradient
    rest        rate of AdamW's part, as a share of the plan's
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
        """A group's "share" is that of the plan's rate."""
        parts: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
        for weight in weights:
            parts[weight.ndim < 2].append(weight)
        matrices, others = parts
        groups: list[dict[str, Any]] = [
            {"params": matrices, "lr": rate, "share": 1.0, "momentum": self.momentum},
            {"params": others, "lr": rate * self.rest, "share": self.rest, "momentum": None},
        ]
        return MuonAdamW(groups, betas=betas, weight_decay=weight_decay, fused=True)


class MuonAdamW(AdamW):
    """AdamW, but for the weights of groups that have a "momentum"."""

    @torch.no_grad()
    # torch's also returns what a closure computes; there is none here
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update.  The gradients of matrices are used up: they are None afterwards."""
        if closure is not None:
            raise ValueError("a closure is not called here; compute the gradients before")
        for group in self.param_groups:
            if group["momentum"] is not None:
                self.move(group)
        super().step()  # passes over what has no gradient

    def move(self, group: dict[str, Any]) -> None:
        """Matrices of one shape go through the iteration together: there are many, and small ones."""
        lr, decay = group["lr"], group["weight_decay"]
        alike: dict[tuple[object, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for weight in group["params"]:
            if weight.grad is not None:
                step = self.direction(weight, weight.grad, group["momentum"])
                alike[step.shape, step.device].append((weight, step))
                weight.grad = None
        for pairs in alike.values():
            steps = orthogonal(torch.stack([step for _, step in pairs]))
            size = 0.2 * max(steps.shape[1:]) ** 0.5
            for (weight, _), step in zip(pairs, steps, strict=True):
                weight.mul_(1 - lr * decay).sub_(step.reshape(weight.shape).to(weight), alpha=lr * size)

    def direction(self, weight: Tensor, gradient: Tensor, momentum: float) -> Tensor:
        """Nesterov's mean of the gradients, (rows, columns)."""
        kept = self.state[weight]
        if not kept:
            kept["step"] = torch.zeros(())  # no count: AdamW, restored, looks for one in every state
            kept["momentum_buffer"] = torch.zeros_like(weight)
        kept["momentum_buffer"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(kept["momentum_buffer"], momentum).flatten(1)


def orthogonal(matrices: Tensor) -> Tensor:
    """(N, rows, columns) -> the same shape: of each U S V^T about U V^T, singular values of 0.6 to 1.3.

    Newton and Schulz's iteration, five times, in float32 (Jordan et al. 2024).
    """
    a, b, c = QUINTIC
    x: Tensor = matrices.float()
    x = x.mT if x.shape[1] > x.shape[2] else x  # the products are of the shorter side
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if matrices.shape[1] > matrices.shape[2] else x
