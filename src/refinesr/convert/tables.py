"""Noise tables: from the buffers that published code stores beside its weights, or from its configuration.

Those buffers are functions of one table of betas, computed in float64 and rounded to float32.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from refinesr.diffusion.schedule import JSD, Constant, Cosine, Linear, Quadratic, Schedule, WarmUp
from refinesr.shapes import Table

ROUNDED = 2e-7
"""Relative error of a number in float32, and some more."""

DERIVED = 2e-6
"""Of a beta out of Palette's buffers, which do not hold the betas themselves."""


def buffers_of(betas: Table) -> dict[str, Table]:
    """All buffers that the public codes store for a table, by name."""
    gammas = (1 - betas).cumprod(0)
    before = torch.cat((gammas.new_ones(1), gammas[:-1]))
    variance = betas * (1 - before) / (1 - gammas)
    return {
        "betas": betas,
        "alphas_cumprod": gammas,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": gammas.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - gammas).sqrt(),
        "log_one_minus_alphas_cumprod": (1 - gammas).log(),
        "sqrt_recip_alphas_cumprod": (1 / gammas).sqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / gammas - 1).sqrt(),
        "gammas": gammas,
        "sqrt_recip_gammas": (1 / gammas).sqrt(),
        "sqrt_recipm1_gammas": (1 / gammas - 1).sqrt(),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": variance.clamp(min=1e-20).log(),
        "posterior_mean_coef1": betas * before.sqrt() / (1 - gammas),
        "posterior_mean_coef2": (1 - before) * (1 - betas).sqrt() / (1 - gammas),
    }


BUFFERS = frozenset(buffers_of(torch.full((1,), 0.5, dtype=torch.float64)))


def fits(table: Schedule, buffers: dict[str, Tensor]) -> bool:
    """Whether these are the buffers of a table, up to rounding."""
    wanted = buffers_of(table.betas())
    return all(nearly_equal(wanted[name], buffer) for name, buffer in buffers.items())


def nearly_equal(wanted: Table, buffer: Tensor) -> bool:
    """Equality up to float32 rounding, with an absolute tolerance for differences of numbers near 1."""
    if wanted.shape != buffer.shape:
        return False
    return torch.allclose(wanted.float(), buffer.float(), rtol=1e-5, atol=1e-9, equal_nan=True)


def table_of(buffers: dict[str, Tensor]) -> Schedule | None:
    """The schedule whose buffers these are, or None."""
    return next((table for table in candidate_tables(buffers) if fits(table, buffers)), None)


def candidate_tables(buffers: dict[str, Tensor]) -> Iterator[Schedule]:
    """Schedules of every kind with the same number of rows and the same first and last beta."""
    if "betas" in buffers:
        betas, error = buffers["betas"].double(), ROUNDED
    elif {"sqrt_recipm1_gammas", "posterior_mean_coef1"} <= set(buffers):
        betas, error = betas_from_posterior(buffers), DERIVED
    else:
        return
    if betas.ndim != 1 or not len(betas):
        return
    rows = len(betas)
    first, last = (shortest(float(beta), error) for beta in (betas[0], betas[-1]))
    yield from (Linear(first, last, rows), Quadratic(first, last, rows), Constant(last, rows))
    yield from (WarmUp(first, last, rows, 0.1), WarmUp(first, last, rows, 0.5), JSD(rows), Cosine(rows))
    yield Cosine(rows, shortest(cosine_offset(float(betas[0]), rows), 1e-4))


def betas_from_posterior(buffers: dict[str, Tensor]) -> Table:
    """betas = coefficient 1 of the posterior * (1 - gamma) / sqrt(gamma before), without cancellation."""
    variances = buffers["sqrt_recipm1_gammas"].double() ** 2  # sigma²
    lost, gammas = variances / (1 + variances), 1 / (1 + variances)
    before = torch.cat((gammas.new_ones(1), gammas[:-1]))
    return buffers["posterior_mean_coef1"].double() * lost / before.sqrt()


def shortest(value: float, error: float) -> float:
    """The number with the fewest digits that equals `value` up to a relative error, as likely configured."""
    if not math.isfinite(value):
        return value
    for digits in range(9):
        near = float(f"{value:.{digits}e}")
        if abs(near - value) <= error * abs(value):
            return near
    return value


def cosine_offset(beta: float, rows: int) -> float:
    """The offset of the cosine table with this first beta, by bisection of [0, 1]; beta grows with it."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if float(Cosine(rows, middle).betas()[0]) < beta else (low, middle)
    return high
