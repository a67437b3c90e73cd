"""Training levels against the distributions they stand for."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from refinesr.diffusion.labels import SqrtGamma, Timestep
from refinesr.diffusion.levels import (
    Continuous,
    Discrete,
    Few,
    Independent,
    LogNormal,
    LogUniform,
    OneLevel,
    Stratified,
    _row_index,
)
from refinesr.diffusion.schedule import JSD, Cosine, Linear, gammas, sigmas
from refinesr.errors import ConfigError

TABLE = Linear(1e-6, 1e-2, 2000)
ALL = [
    Discrete(TABLE),
    Continuous(TABLE),
    Continuous(Cosine(100)),
    LogNormal(),
    LogUniform(0.01, 100.0),
    OneLevel(2.0),
    Few((20.0, 1.0, 0.1)),
]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("levels", ALL, ids=str)
@settings(deadline=None)
@given(st.lists(st.floats(2**-54, 1 - 2**-53), min_size=1, max_size=30))
def test_quantiles_ascend_and_are_levels(levels, parts):
    u = torch.tensor(sorted(parts), dtype=torch.float64)
    sigma = levels.at(u)
    assert sigma.dtype == torch.float64
    assert sigma.isfinite().all()
    assert (sigma > 0).all()
    assert (sigma.diff() >= -1e-12 * sigma[1:]).all()
    if not isinstance(levels, LogNormal):
        assert float(sigma.max()) <= levels.highest() * (1 + 1e-9)
        assert float(sigma.min()) >= levels.lowest() * (1 - 1e-9)


@pytest.mark.parametrize(
    ("levels", "law"),
    [
        (LogNormal(-1.2, 1.2), stats.norm(-1.2, 1.2)),
        (LogNormal(0.3, 0.5), stats.norm(0.3, 0.5)),
        (LogUniform(0.01, 100.0), stats.uniform(math.log(0.01), math.log(1e4))),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("spread", [Independent(), Stratified()])
def test_log_levels_follow_the_law(levels, law, spread):
    """Kolmogorov and Smirnov: independent draws at fixed seed are no surprise; strata are nearer than 1/n by
    construction.
    """
    n = 5000
    logs = levels.at(spread.spread(n, rng())).log().numpy()
    distance, p = stats.kstest(logs, law.cdf)
    assert p > 0.01
    if isinstance(spread, Stratified):
        assert distance <= 1 / n + 1e-12


def test_lognormal_reaches_three_deviations_up_and_down():
    assert LogNormal(-1.2, 1.2).highest() == pytest.approx(math.exp(2.4))
    assert LogNormal(-1.2, 1.2).lowest() == pytest.approx(math.exp(-4.8))


def test_tables_reach_their_rows_and_continuous_levels_any_clean_picture():
    assert Discrete(TABLE).highest() == Continuous(TABLE).highest() == float(sigmas(TABLE)[-1])
    assert Discrete(TABLE).lowest() == float(sigmas(TABLE)[0])
    assert Continuous(TABLE).lowest() == 0
    assert float(Continuous(TABLE).at(torch.tensor([2.0**-54], dtype=torch.float64))) < 1e-9


def test_discrete_takes_every_row_equally_often():
    table = Cosine(100)
    middles = (torch.arange(100, dtype=torch.float64) + 0.5) / 100
    assert torch.equal(Discrete(table).at(middles), sigmas(table))
    rows = torch.searchsorted(sigmas(table), Discrete(table).at(Independent().spread(20000, rng())))
    _, p = stats.chisquare(torch.bincount(rows, minlength=100).numpy())
    assert p > 0.01


@pytest.mark.parametrize("table", [TABLE, Cosine(100), JSD(50)], ids=str)
def test_continuous_is_uniform_in_gamma_within_each_row(table):
    """SR3, section 2.4, image by image: the row is uniform in 1..T and gamma uniform in (gamma_t,
    gamma_{t-1}).
    """
    n = 20000
    sigma = Continuous(table).at(Independent().spread(n, rng(1))).numpy()
    gamma = 1 / (1 + sigma**2)
    bounds = np.append(1.0, gammas(table).numpy())
    row = np.searchsorted(-bounds, -gamma)  # bounds[row - 1] >= gamma > bounds[row]
    row = row.clip(1, table.rows)
    place = (bounds[row - 1] - gamma) / (bounds[row - 1] - bounds[row])
    assert stats.kstest(place, "uniform").pvalue > 0.01
    parts = np.bincount((row - 1) * 10 // table.rows, minlength=10)
    assert stats.chisquare(parts).pvalue > 0.01
    early, late = place[row <= table.rows // 2], place[row > table.rows // 2]
    assert stats.ks_2samp(early, late).pvalue > 0.01  # the place does not depend on the row


def test_continuous_meets_the_rows_at_their_ends():
    at = Continuous(TABLE).at(torch.arange(1, 2000, dtype=torch.float64) / 2000)
    np.testing.assert_allclose(at.numpy(), sigmas(TABLE)[:-1].numpy(), rtol=1e-9)


def test_one_level_is_one_level():
    assert OneLevel(3.0).at(Independent().spread(4, rng())).tolist() == [3.0] * 4


@pytest.mark.parametrize("seed", range(20))
def test_few_levels_are_drawn_equally_often(seed):
    """Stratified, in every batch, if their number divides it; else but for strata that two levels share."""
    few = Few((20.0, 1.0, 0.1))
    assert (few.lowest(), few.highest()) == (0.1, 20.0)
    for images, off in ((12, 0), (13, 2), (2, 2)):
        drawn = few.at(Stratified().spread(images, rng(seed))).tolist()
        assert all(abs(drawn.count(level) - images / 3) <= off for level in few.levels)
        assert set(drawn) <= set(few.levels)


@settings(deadline=None)
@given(n=st.integers(1, 300), seed=st.integers(0, 2**32))
def test_stratified_puts_one_image_in_each_part(n, seed):
    u = Stratified().spread(n, rng(seed))
    assert u.dtype == torch.float64
    assert sorted((u * n).long().tolist()) == list(range(n))
    assert ((u > 0) & (u < 1)).all()


def test_stratified_leaves_each_image_uniform():
    """The first image of many batches: its part and its place in it are both random."""
    source = rng()
    first = [float(Stratified().spread(8, source)[0]) for _ in range(4000)]
    assert stats.kstest(first, "uniform").pvalue > 0.01


def test_stratified_steadies_the_mean_of_a_batch():
    """Variance of the mean of 16: independent 1/(12 n), stratified 1/(12 n³), 256 times less; 100 leaves room
    for chance.
    """
    source = rng()
    means = {
        s: np.var([float(s.spread(16, source).mean()) for _ in range(500)])
        for s in (Independent(), Stratified())
    }
    assert means[Stratified()] * 100 < means[Independent()]


@pytest.mark.parametrize("spread", [Independent(), Stratified()])
@pytest.mark.parametrize("drawn", [0.0, 1 - 2**-53])
@pytest.mark.parametrize("n", [1, 3, 300])
def test_the_least_and_the_largest_that_is_drawn_are_levels(monkeypatch, spread, drawn, n):
    """Both may come, once in 2**53 draws; 299 + (1 - 2**-53), rounded, is 300."""
    monkeypatch.setattr(torch, "rand", lambda n, generator, dtype: torch.full((n,), drawn, dtype=dtype))
    u = spread.spread(n, rng())
    assert ((u > 0) & (u < 1)).all()
    for levels in (LogNormal(), LogUniform(0.1, 10.0), Continuous(TABLE)):
        sigma = levels.at(u)
        assert ((sigma > 0) & (sigma < math.inf)).all()


def test_the_largest_number_below_1_falls_into_the_last_row():
    """Of any number of rows, though u times it is rounded."""
    most = torch.tensor([1 - 2**-53], dtype=torch.float64)
    for rows in range(1, 2050):
        assert _row_index(most, rows).tolist() == [rows - 1]
    for table in (Linear(1e-4, 0.02, 1), TABLE):
        assert float(Discrete(table).at(most)) == Discrete(table).highest()
        assert float(Continuous(table).at(most)) == pytest.approx(Continuous(table).highest(), rel=1e-9)


@pytest.mark.parametrize("spread", [Independent(), Stratified()])
def test_spread_is_a_function_of_the_generator(spread):
    assert torch.equal(spread.spread(50, rng(3)), spread.spread(50, rng(3)))
    assert not torch.equal(spread.spread(50, rng(3)), spread.spread(50, rng(4)))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: LogUniform(1.0, 0.1), "low, high: 1, 0.1"),
        (lambda: LogUniform(1.0, 1.0), "low, high: 1, 1"),
        (lambda: LogUniform(0.0, 1.0), "low, high: 0, 1"),
        (lambda: LogUniform(1.0, math.inf), "low, high: 1, inf"),
        (lambda: LogNormal(std=-1.0), "std: -1 is no standard deviation"),
        (lambda: LogNormal(std=0.0), "std: 0"),
        (lambda: LogNormal(std=math.nan), "std: nan"),
        (lambda: LogNormal(mean=math.inf), "mean: inf is not finite"),
        (lambda: OneLevel(0.0), "sigma: 0"),
        (lambda: OneLevel(math.inf), "sigma: inf"),
        (lambda: Few(()), "at least one"),
        (lambda: Few((1.0, 2.0)), "descend"),
        (lambda: Discrete(Linear(1e-4, 1.5, 10)), "betas"),
        (lambda: Continuous(Linear(1e-4, 0.02, 0)), "rows: 0"),
        (lambda: Timestep(Linear(-1e-4, 0.02, 10)), "betas"),
        (lambda: SqrtGamma(0.0), "gain: 0"),
        (lambda: SqrtGamma(math.inf), "gain: inf"),
    ],
)
def test_what_is_no_level_is_refused_when_it_is_written_down(wrong, said):
    """Not when photos are read and a batch is drawn."""
    with pytest.raises(ConfigError, match=said):
        wrong()
