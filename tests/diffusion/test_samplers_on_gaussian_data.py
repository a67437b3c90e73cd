"""Samplers against closed forms: on Gaussian data the exact denoiser is known, all error is the sampler's."""

import math

import numpy as np
import pytest
from truths import MEAN, STD, gaussian, pushed

from refinesr.diffusion.samplers import DPM2M, Ancestral, Heun, Langevin, SR3Ancestral
from refinesr.diffusion.schedule import Even, Karras, Linear, LogSNR, grid_warnings


def flowed(sampler, grid):
    """(mean, std) that the sampler's differential equation gives x at the last level of `grid`, then one
    denoising.

    Started, as samplers are, from N(0, 1 + sigma_0²).  With v = STD² + sigma² the equation of Ancestral(eta),
    that with eta² of the full noise, is linear: (x - MEAN) shrinks as v**((1 + eta²) / 2), and the excess of
    the variance over v as the square of that.  Churn adds noise first and then follows the equation of eta =
    0 from the higher level.
    """
    levels = grid[:-1].tolist()
    mean, variance = 0.0, 1 + levels[0] ** 2
    churn = min(getattr(sampler, "churn", 0.0) / len(levels), math.sqrt(2) - 1)
    eta = {Ancestral: getattr(sampler, "eta", 0.0), SR3Ancestral: 1.0, Langevin: 1.0}.get(type(sampler), 0.0)
    for upper, lower in zip(levels, [*levels[1:], None], strict=True):
        higher = upper * (1 + churn)
        variance += higher**2 - upper**2
        if lower is not None:
            shrunk = ((STD**2 + lower**2) / (STD**2 + higher**2)) ** ((1 + eta**2) / 2)
            mean = MEAN + shrunk * (mean - MEAN)
            variance = STD**2 + lower**2 + shrunk**2 * (variance - STD**2 - higher**2)
    kept = STD**2 / (STD**2 + higher**2)
    return MEAN + kept * (mean - MEAN), kept * math.sqrt(variance)


def error(sampler, grid):
    mean, variance = pushed(sampler, gaussian, grid)
    return np.array([float(mean), math.sqrt(float(variance))]) - flowed(sampler, grid)


@pytest.mark.parametrize("choice", [LogSNR(0.01, 3.0), Karras(0.01, 3.0)], ids=["log", "karras"])
@pytest.mark.parametrize(
    ("sampler", "order"),
    [
        (Ancestral(), 1),
        (Ancestral(0.5), 1),
        (Ancestral(0.0), 1),
        (SR3Ancestral(), 1),
        (Heun(), 2),
        (Heun(2.0), 2),
        (DPM2M(), 2),
        (Langevin(0), 1),
    ],
    ids=repr,
)
def test_halving_the_step_divides_the_error_by_two_to_the_order(sampler, order, choice):
    """In mean and in standard deviation; at 256 steps what lies beyond the leading term moves the order by
    less than 0.05.

    Where a step is the exact posterior of Gaussian data the mean is exact, and has no order.
    """
    errors = np.array([error(sampler, choice.grid(steps)) for steps in (128, 256)])
    errors = errors[:, np.abs(errors[0]) > 1e-12]
    measured = np.log2(errors[0] / errors[1])
    assert (np.abs(measured - order) < 0.05).all(), measured
    assert (np.abs(errors[1]) < {1: 3e-3, 2: 3e-5}[order]).all()


@pytest.mark.parametrize(
    ("sampler", "steps", "tolerance"),
    [
        (Ancestral(), 2000, 0.002),  # every row, as published
        (SR3Ancestral(), 2000, 0.001),
        (Ancestral(0.0), 1000, 0.002),
        (Heun(), 200, 0.001),
        (DPM2M(), 200, 0.002),
    ],
    ids=repr,
)
def test_reaches_the_data_from_the_highest_row_of_sr3s_table(sampler, steps, tolerance):
    """First order with every row, second with a tenth; the start, N(0, 1 + 151²), itself costs 0.5 * 0.2 /
    151 = 0.0007.
    """
    mean, variance = pushed(sampler, gaussian, Even(Linear(1e-6, 1e-2, 2000)).grid(steps))
    assert float(mean) == pytest.approx(MEAN, abs=tolerance)
    assert math.sqrt(float(variance)) == pytest.approx(STD, abs=tolerance)


def test_cutting_the_rows_of_sr3s_table_and_keeping_its_betas_is_the_colour_cast_that_users_report():
    """The start is N(0, 1 + sigma²) where the data are N(0.5, 0.2² + sigma²), sigma = 0.81: DDIM must end at
    0.38, 0.31.
    """
    grid = Even(Linear(1e-6, 1e-2, 100)).grid(100)
    mean, variance = pushed(Ancestral(0.0), gaussian, grid)
    assert float(mean) == pytest.approx(0.38, abs=0.005)
    assert math.sqrt(float(variance)) == pytest.approx(0.31, abs=0.01)  # and 100 steps err by 0.005
    (warning,) = grid_warnings(grid, trained_highest=151.0)
    assert "0.61" in warning
