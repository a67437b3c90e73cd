"""Tables against the formulas of the papers and of the public code, written again in numpy; laws of the
grids.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from refinesr.diffusion.schedule import (
    JSD,
    MAX_TABLE_SIGMA,
    Constant,
    Cosine,
    Even,
    Explicit,
    Karras,
    Leading,
    Linear,
    LogSNR,
    Quadratic,
    WarmUp,
    gamma_of,
    gammas,
    grid_warnings,
    sigma_of,
    sigmas,
)
from refinesr.errors import ConfigError


def cosine(rows, offset=0.008):
    """Nichol and Dhariwal 2021, eq. 17 and the clipping after it."""
    f = [math.cos((t / rows + offset) / (1 + offset) * math.pi / 2) ** 2 for t in range(rows + 1)]
    return np.array([min(1 - after / before, 0.999) for before, after in itertools.pairwise(f)])


def warm_up(first, last, rows, fraction):
    """The public SR3: constant, with its beginning overwritten."""
    betas = np.full(rows, last)
    betas[: int(rows * fraction)] = np.linspace(first, last, int(rows * fraction))
    return betas


TABLES = [
    (Linear(1e-6, 1e-2, 2000), np.linspace(1e-6, 1e-2, 2000)),
    (Linear(1e-4, 0.02, 1000), np.linspace(1e-4, 0.02, 1000)),
    (Quadratic(1e-4, 0.02, 1000), np.linspace(1e-4**0.5, 0.02**0.5, 1000) ** 2),
    (Constant(0.02, 300), np.full(300, 0.02)),
    (WarmUp(1e-6, 1e-2, 2000, 0.1), warm_up(1e-6, 1e-2, 2000, 0.1)),
    (WarmUp(1e-6, 1e-2, 1999, 0.5), warm_up(1e-6, 1e-2, 1999, 0.5)),
    (JSD(1000), 1 / np.linspace(1000, 1, 1000)),
    (Cosine(100), cosine(100)),
    (Cosine(1000), cosine(1000)),
    (Cosine(20, offset=0.02), cosine(20, 0.02)),
]


@pytest.mark.parametrize(
    ("table", "betas"), TABLES, ids=lambda value: str(value) if not isinstance(value, np.ndarray) else ""
)
def test_tables_are_those_of_the_public_code(table, betas):
    """Betas to some rounding units; gamma to what a product in float64 can mean, where any signal is left."""
    assert table.betas().dtype == torch.float64
    np.testing.assert_allclose(table.betas().numpy(), betas, rtol=1e-12, atol=1e-15)
    left = np.cumprod(1 - betas) > 4 / MAX_TABLE_SIGMA**2
    np.testing.assert_allclose(gammas(table).numpy()[left], np.cumprod(1 - betas)[left], rtol=1e-10)
    assert left[: table.rows * 3 // 4].all()


def test_sr3s_table_ends_where_the_paper_needs_it():
    assert float(gammas(Linear(1e-6, 1e-2, 2000))[-1]) == pytest.approx(4.4e-5, rel=0.01)
    assert float(gammas(Linear(1e-6, 1e-2, 100))[-1]) == pytest.approx(0.61, rel=0.01)


@pytest.mark.parametrize("table", [table for table, _ in TABLES], ids=str)
def test_levels_ascend_from_above_0_to_at_most_the_ceiling(table):
    levels = sigmas(table)
    assert levels.shape == (table.rows,)
    assert levels.dtype == torch.float64
    assert levels.device.type == "cpu"
    assert (levels.diff() > 0).all()
    assert levels[0] > 0
    assert levels[-1] <= MAX_TABLE_SIGMA


def test_the_first_levels_of_sr3s_table_keep_all_their_digits():
    """1 - gamma_1 = 1e-6 is known exactly, and 1 / prod - 1 would keep ten digits of it."""
    betas = np.linspace(1e-6, 1e-2, 2000)
    exact = [
        math.sqrt(math.expm1(-math.fsum(math.log1p(-beta) for beta in betas[: t + 1]))) for t in range(5)
    ]
    np.testing.assert_allclose(sigmas(Linear(1e-6, 1e-2, 2000))[:5].numpy(), exact, rtol=1e-15)


def test_one_row_is_a_table():
    assert float(sigmas(Constant(0.2, 1))) == pytest.approx(math.sqrt(1 / 0.8 - 1), rel=1e-15)


def test_a_last_row_without_signal_is_the_ceiling():
    assert float(JSD(10).betas()[-1]) == 1
    assert float(sigmas(JSD(10))[-1]) == MAX_TABLE_SIGMA
    assert float(gammas(JSD(10))[-1]) == pytest.approx(1e-8, rel=1e-7, abs=0)


@pytest.mark.parametrize(
    "table", [Constant(0.5, 100), Constant(1.0, 5), WarmUp(1e-6, 1e-2, 2000, 0.1)], ids=str
)
def test_rows_of_pure_noise_stay_distinct_and_below_the_ceiling(table):
    levels = sigmas(table)
    assert (levels.diff() > 0).all()
    assert float(levels[-1]) == MAX_TABLE_SIGMA
    passed = np.sqrt(1 / np.maximum(np.cumprod(1 - table.betas().numpy()), 1e-300) - 1) > MAX_TABLE_SIGMA
    assert (levels.numpy()[passed] >= MAX_TABLE_SIGMA / 2).all()


@settings(deadline=None)
@given(st.floats(1e-4, 1e4))
def test_gamma_and_sigma_are_two_names(sigma):
    """1e-7: at sigma = 1e-4 gamma is 1 - 1e-8 and has eight digits left for it."""
    level = torch.tensor(sigma, dtype=torch.float64)
    assert float(gamma_of(level)) == pytest.approx(1 / (1 + sigma**2), rel=1e-14, abs=0)
    assert float(sigma_of(gamma_of(level))) == pytest.approx(sigma, rel=1e-7, abs=0)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (Linear(0.0, 0.01, 10), "betas"),
        (Linear(1e-4, 1.5, 10), "betas"),
        (Quadratic(-1e-4, 0.01, 10), "betas"),
        (Constant(math.nan, 10), "betas"),
        (Linear(1e-4, 0.01, 0), "rows: 0"),
        (JSD(-3), "rows: -3"),
        (Cosine(10**12), "rows: 1000000000000"),
    ],
    ids=str,
)
def test_a_table_that_makes_no_sense_is_refused_with_a_reason(table, said):
    with pytest.raises(ConfigError, match=said):
        sigmas(table)


# --- grids


def descends_to_zero(grid, steps):
    return (
        grid.shape == (steps + 1,)
        and grid.dtype == torch.float64
        and float(grid[-1]) == 0
        and bool((grid.diff() < 0).all())
    )


@settings(deadline=None)
@given(rows=st.integers(1, 400), data=st.data())
def test_even_takes_rows_of_the_table_the_last_one_always(rows, data):
    steps = data.draw(st.integers(1, rows))
    table = Linear(1e-4, 0.03, rows)
    grid, levels = Even(table).grid(steps), sigmas(table)
    assert descends_to_zero(grid, steps)
    assert grid[0] == levels[-1]
    chosen = torch.searchsorted(levels, grid[:-1].flip(0))
    assert torch.equal(levels[chosen].flip(0), grid[:-1])
    gaps = chosen.diff(prepend=torch.tensor([-1]))  # the step to 0 is as wide as the others
    assert gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize("table", [table for table, _ in TABLES], ids=str)
def test_as_many_steps_as_rows_are_all_the_rows(table):
    assert torch.equal(Even(table).grid(table.rows)[:-1].flip(0), sigmas(table))


@settings(deadline=None)
@given(steps=st.integers(1, 200), low=st.floats(1e-4, 0.5), ratio=st.floats(2, 1e5), rho=st.floats(0.1, 100))
def test_continuous_grids_descend_from_high_to_low_to_zero(steps, low, ratio, rho):
    high = low * ratio
    for choice in (Karras(low, high, rho), LogSNR(low, high)):
        grid = choice.grid(steps)
        assert descends_to_zero(grid, steps)
        assert float(grid[0]) == pytest.approx(high, rel=1e-12)
        if steps > 1:
            assert float(grid[-2]) == pytest.approx(low, rel=1e-9)


def test_karras_is_equation_5():
    n, low, high, rho = 18, 0.002, 80.0, 7
    expected = [
        (high ** (1 / rho) + i / (n - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho for i in range(n)
    ]
    np.testing.assert_allclose(Karras(low, high).grid(n).numpy(), [*expected, 0], rtol=1e-12)


def test_logsnr_has_equal_ratios():
    ratios = LogSNR(0.01, 100.0).grid(9)[:-1]
    np.testing.assert_allclose((ratios[1:] / ratios[:-1]).numpy(), 1e-4 ** (1 / 8), rtol=1e-12)


def test_explicit_is_what_is_written():
    assert Explicit((5.0, 2.0, 0.5)).grid(3).tolist() == [5, 2, 0.5, 0]


def test_leading_levels_are_the_first_of_those_written():
    grids = [Leading((5.0, 2.0, 0.5)).grid(steps).tolist() for steps in (1, 2, 3)]
    assert grids == [[5, 0], [5, 2, 0], [5, 2, 0.5, 0]]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Leading((3.0, 1.0)).grid(3), "steps: 3 is not possible; there are levels for 1 to 2"),
        (lambda: Leading((3.0, 1.0)).grid(0), "steps: 0"),
        (lambda: Leading((1.0, 3.0)), "descend"),
        (lambda: Leading((3.0, 0.0)), "above 0"),
        (lambda: Leading(()), "at least one"),
        (lambda: Even(Linear(1e-4, 0.02, 10)).grid(11), "steps: 11"),
        (lambda: Even(Linear(1e-4, 0.02, 10)).grid(0), "steps: 0"),
        (lambda: Karras(0.1, 10.0).grid(0), "steps: 0"),
        (lambda: LogSNR(0.1, 10.0).grid(0), "steps: 0"),
        (lambda: Karras(0.1, 10.0).grid(10**12), "steps: 1000000000000"),
        (lambda: LogSNR(0.1, 10.0).grid(2**63), "steps: 9223372036854775808"),
        (lambda: Karras(10.0, 0.1), "low, high: 10, 0.1"),
        (lambda: Karras(0.1, 1e308), "low, high: 0.1, 1e\\+308"),
        (lambda: Explicit((1e19, 1.0)), "levels: 1e\\+19 is no noise level"),
        (lambda: LogSNR(0.0, 1.0), "low, high: 0, 1"),
        (lambda: Karras(0.1, math.inf), "low, high: 0.1, inf"),
        (lambda: Karras(0.1, 10.0, 0.0), "rho: 0 is not between 0.1 and 100"),
        (lambda: Karras(0.1, 10.0, -1.0), "rho: -1"),
        (lambda: Karras(0.1, 10.0, 1e-3), "rho: 0.001"),
        (lambda: Karras(0.1, 10.0, math.nan), "rho: nan"),
        (lambda: Even(Linear(1e-4, 1.5, 10)), "betas"),
        (lambda: Even(Linear(1e-4, 0.02, 0)), "rows: 0"),
        (lambda: Explicit((3.0, 1.0)).grid(4), "lists 2 levels"),
        (lambda: Explicit((1.0, 3.0)), "descend"),
        (lambda: Explicit((3.0, 0.0)), "above 0"),
        (lambda: Explicit((math.inf, 1.0)), "descend"),
        (lambda: Explicit(()), "above 0"),
        (lambda: WarmUp(1e-6, 1e-2, 10, 1.5), "fraction: 1.5"),
    ],
)
def test_impossible_grids_are_refused_with_a_reason(wrong, said):
    with pytest.raises(ConfigError, match=said):
        wrong()


# --- check

SR3 = Linear(1e-6, 1e-2, 2000)


@pytest.mark.parametrize("steps", [1, 4, 100, 2000])
def test_respaced_rows_draw_no_warning(steps):
    assert grid_warnings(Even(SR3).grid(steps), float(sigmas(SR3)[-1])) == []


def test_fewer_rows_with_the_trained_betas_draw_one_that_names_both_gammas():
    (warning,) = grid_warnings(Even(Linear(1e-6, 1e-2, 100)).grid(100), float(sigmas(SR3)[-1]))
    assert "gamma = 0.61" in warning
    assert "gamma = 4.4e-05" in warning


@pytest.mark.parametrize(
    ("first", "trained", "warned"),
    [
        (9.0, 150.0, True),  # gamma 0.012
        (11.0, 150.0, False),  # gamma 0.008: next to nothing of the picture is left there
        (4.0, 6.0, False),  # a network that was never trained higher
        (2.0, 6.0, True),
    ],
)
def test_what_is_far_below(first, trained, warned):
    assert bool(grid_warnings(Explicit((first,)).grid(1), trained)) is warned
