"""Diagnostics of grids: predicted moments against recursions by hand, closed forms and real samples."""

import math
from dataclasses import replace
from itertools import accumulate, pairwise

import pytest
import torch
from truths import MEAN, STD, gaussian

from refinesr.diffusion.diagnostics import contrast_loss, grid_findings, result_moments
from refinesr.diffusion.levels import Continuous, Discrete, LogNormal, LogUniform, OneLevel
from refinesr.diffusion.samplers import (
    DPM2M,
    Ancestral,
    AnnealedLangevin,
    Heun,
    Langevin,
    Renoised,
    SR3Ancestral,
)
from refinesr.diffusion.schedule import Cosine, Even, Explicit, Karras, Linear, LogSNR, sigmas
from refinesr.recipes import METHODS

SR3 = Linear(1e-6, 1e-2, 2000)
CUT = Even(Linear(1e-6, 1e-2, 100)).grid(100)  # the betas of training over fewer rows: gamma = 0.61
GOOD = Even(SR3).grid(100)


# --- bias


def recursion(step, grid):
    """(mean, std) of the result for N(MEAN, STD²) data, from N(0, 1 + sigma²) to the last estimate.

    `step` is (sigma, lower) -> (part of x - x0 that is kept, std of the fresh noise).
    """
    mean, variance = 0.0, 1 + float(grid[0]) ** 2
    for sigma, lower in pairwise(grid.tolist()):
        trust = STD**2 / (STD**2 + sigma**2)  # x0 = MEAN + trust * (x - MEAN)
        kept, fresh = step(sigma, lower)
        slope = trust + kept * (1 - trust)
        mean, variance = MEAN + slope * (mean - MEAN), slope**2 * variance + fresh**2
    return mean, math.sqrt(variance)


def ddim(eta):
    def step(sigma, lower):
        fresh = eta * lower * math.sqrt(1 - lower**2 / sigma**2)
        return math.sqrt(lower**2 - fresh**2) / sigma, fresh

    return step


def sr3(sigma, lower):
    """Algorithm 2 in the coordinate of sigma; alpha_t = (1 + lower²) / (1 + sigma²)."""
    beta = 1 - (1 + lower**2) / (1 + sigma**2)
    return (lower / sigma) ** 2, math.sqrt(beta * (1 + lower**2)) if lower > 0 else 0.0


def reverse_diffusion(sigma, lower):
    return (lower / sigma) ** 2, math.sqrt(sigma**2 - lower**2) if lower > 0 else 0.0


def renoised(sigma, lower):
    return 0.0, lower


BY_HAND = [
    (Ancestral(0.0), ddim(0.0)),
    (Ancestral(0.4), ddim(0.4)),
    (Ancestral(1.0), ddim(1.0)),
    (SR3Ancestral(), sr3),
    (Langevin(0), reverse_diffusion),
    (Renoised(), renoised),
]


@pytest.mark.parametrize(
    ("sampler", "step"), BY_HAND, ids=lambda value: getattr(value, "__name__", repr(value))
)
@pytest.mark.parametrize("grid", [CUT, GOOD, Explicit((3.0,)).grid(1)], ids=["cut", "good", "one"])
def test_bias_is_the_recursion_done_by_hand(sampler, step, grid):
    assert result_moments(sampler, grid) == pytest.approx(recursion(step, grid), rel=1e-12)


SHORT = Even(Linear(1e-6, 1e-2, 100)).grid(10)
EVERY = [
    Ancestral(0.0),
    Ancestral(),
    SR3Ancestral(),
    Heun(),
    Heun(3.0),
    DPM2M(),
    Langevin(),
    AnnealedLangevin(3),
    Renoised(),
]


def named(value):
    return f"{len(value) - 1}" if isinstance(value, torch.Tensor) else repr(value).split(" at ")[0]


@pytest.mark.parametrize(
    ("sampler", "grid"), [(Ancestral(0.0), CUT), *((sampler, SHORT) for sampler in EVERY)], ids=named
)
def test_bias_is_what_samples_show(sampler, grid):
    """200 000 of them: within 4 standard errors, std / sqrt(n) of the mean, std / sqrt(2 n) of the std."""
    count, rng = 200_000, torch.Generator().manual_seed(0)

    def noise(like):
        return torch.randn(like.shape, dtype=like.dtype, generator=rng)

    x = math.sqrt(1 + float(grid[0]) ** 2) * noise(torch.zeros(count, 1, 1, 1, dtype=torch.float64))
    *_, last = sampler(gaussian, x, grid, noise)
    mean, std = result_moments(sampler, grid, MEAN, STD)
    assert float(last.mean()) == pytest.approx(mean, abs=4 * std / math.sqrt(count))
    assert float(last.std()) == pytest.approx(std, abs=4 * std / math.sqrt(2 * count))


def test_sr3s_betas_over_100_rows_are_the_cast_that_users_report():
    """In 100 steps of DDIM; and in the limit of many, which Heun's second order shows, 0.38 and 0.31."""
    mean, std = result_moments(Ancestral(0.0), CUT, mean=0.50, std=0.20)
    assert (round(mean, 2), round(std, 3)) == (0.38, 0.305)
    shrunk = 0.2 / math.sqrt(0.2**2 + float(CUT[0]) ** 2)  # of the exact flow from N(0, 1 + sigma²)
    limit = 0.5 * (1 - shrunk), shrunk * math.sqrt(1 + float(CUT[0]) ** 2)
    assert [round(value, 2) for value in limit] == [0.38, 0.31]
    assert result_moments(Heun(), CUT) == pytest.approx(limit, abs=2e-4)


@pytest.mark.parametrize(
    ("sampler", "steps"),
    [(SR3Ancestral(), 100), (Ancestral(), 500), (Ancestral(0.0), 200), (Heun(), 50), (DPM2M(), 50)],
    ids=repr,
)
def test_rows_of_the_trained_table_leave_little(sampler, steps):
    mean, std = result_moments(sampler, Even(SR3).grid(steps))
    assert mean == pytest.approx(0.5, abs=1e-3)
    assert std == pytest.approx(0.2, abs=1e-2)


def test_bias_is_of_the_data_that_are_asked_about():
    """Twice the data in twice the noise is twice the result, but for the start, which no longer fits."""
    fine = LogSNR(0.001, 300.0).grid(400)
    for mean, std in ((0.0, 1.0), (-0.7, 0.05), (0.3, 0.4)):
        assert result_moments(DPM2M(), fine, mean, std) == pytest.approx((mean, std), abs=2e-3)
    assert result_moments(Ancestral(), GOOD, 0.4, 0.0) == (0.4, 0.0)


def test_a_sampler_of_ones_own_is_predicted_as_well():
    def hot(denoise, x, grid, noise):
        for level in grid[:-1]:
            yield denoise(x + 3.0 * noise(x), level)

    kept = STD**2 / (STD**2 + 1)
    expected = (1 - kept) * MEAN, kept * math.sqrt(2 + 9)
    assert result_moments(hot, Explicit((1.0,)).grid(1)) == pytest.approx(expected, rel=1e-12)


# --- what a step loses


@pytest.mark.parametrize("std", [0.05, 0.2, 1.0])
def test_ddim_loses_in_each_step_what_is_said(std):
    """The exact flow brings N(0, 1 + sigma²) to std * sqrt((1 + sigma²) / (std² + sigma²)); each step misses
    a part of its own.
    """
    grid = Karras(0.1, 10.0).grid(7)
    left = math.prod(1 - contrast_loss(sigma, lower, std) for sigma, lower in pairwise(grid.tolist()))
    flow = std * math.sqrt((1 + 100) / (std**2 + 100))
    assert result_moments(Ancestral(0.0), grid, 0.0, std).std == pytest.approx(left * flow, rel=1e-12)


def test_the_last_estimate_blurs_by_what_is_said_whatever_came_before():
    """From exact states of the last level: std * std / sqrt(std² + sigma²)."""
    grid = torch.cat([LogSNR(0.15, 500.0).grid(800)[:-1], torch.zeros(1, dtype=torch.float64)])
    assert result_moments(DPM2M(), grid).std == pytest.approx(STD * (1 - contrast_loss(0.15, 0.0)), rel=1e-3)
    assert contrast_loss(0.15, 0.0) == pytest.approx(0.2)


# --- findings

PUBLISHED = {
    "SR3, every row": (Even(SR3).grid(2000), Continuous(SR3)),
    "SRDiff": (Even(Cosine(100)).grid(100), Discrete(Cosine(100))),
    "DDPM, every row": (Even(Linear(1e-4, 0.02, 1000)).grid(1000), Discrete(Linear(1e-4, 0.02, 1000))),
    "EDM, 18 steps": (Karras(0.002, 80.0).grid(18), LogNormal(-1.2, 1.2)),
    "NCSN, 10 levels": (LogSNR(0.01, 1.0).grid(10), LogUniform(0.01, 1.0)),
    "regression": (Explicit((1.0,)).grid(1), OneLevel(1.0)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_nothing_is_odd_about_what_the_papers_do(name):
    assert grid_findings(Ancestral(1.0), *PUBLISHED[name]) == []


@pytest.mark.parametrize("name", METHODS)
def test_nothing_is_odd_about_a_recipe(name):
    sampling = METHODS[name].sampling
    assert grid_findings(sampling.sampler, sampling.levels(), METHODS[name].levels) == []


@pytest.mark.parametrize("steps", range(1, 9))
@pytest.mark.parametrize("name", ["photo-x4", "photo-x4-small"])
def test_few_steps_of_a_method_for_few_steps_are_no_mistake(name, steps):
    method = METHODS[name]
    sampling = replace(method.sampling, steps=steps)
    assert grid_findings(sampling.sampler, sampling.levels(), method.levels) == []


FOUND = {
    "a first level far below the trained end": (CUT, Continuous(SR3), ["gamma = 0.61"]),
    "a first level above it": (
        LogSNR(0.01, 400.0).grid(50),
        Discrete(SR3),
        ["starts at sigma 400, above the trained range, 151"],
    ),
    "a last level below all training": (
        LogSNR(0.0005, 150.0).grid(50),
        Discrete(SR3),
        ["ends at sigma 0.0005, below the trained range, 0.001:"],
    ),
    "a level that one image in a million has": (
        LogSNR(0.01, 2e3).grid(50),
        LogNormal(-0.6, 1.5),
        ["starts at sigma 2e+03, above the trained range, 685"],
    ),
    "a coarse last step": (
        Even(SR3).grid(10),
        Continuous(SR3),
        ["the last step, from sigma 0.324 to 0, is coarse: it loses 47% of the contrast of data of std 0.2"],
    ),
    "a step that does the work of all": (
        Explicit((150.0, 120.0, 100.0, 80.0, 0.05, 0.03)).grid(6),
        Continuous(SR3),
        ["the step, from sigma 80 to 0.05, is coarse: it loses 76%"],
    ),
    "two mistakes": (
        Explicit((3.0, 1.0, 0.2)).grid(3),
        Continuous(SR3),
        ["gamma = 0.1 ", "the last step, from sigma 0.2 "],
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_it_finds(name):
    """One line each, and nothing else."""
    grid, levels, expected = FOUND[name]
    found = grid_findings(Ancestral(1.0), grid, levels)
    assert len(found) == len(expected), found
    for line, words in zip(found, expected, strict=True):
        assert words in line
        assert "\n" not in line


@pytest.mark.parametrize(("turn", "count"), [(2.9, 0), (3.1, 1)])
def test_a_step_is_coarse_that_turns_three_times_as_far_as_if_all_did_equally(turn, count):
    """Eight steps of which one, the fourth, goes so far and the others share the rest."""
    whole = math.atan(1.0 / STD)
    rest = whole * (1 - turn / 8) / 7
    turned = accumulate([rest] * 3 + [whole * turn / 8] + [rest] * 3, initial=0.0)
    grid = Explicit(tuple(STD * math.tan(whole - angle) for angle in turned)).grid(8)
    found = grid_findings(Ancestral(1.0), grid, OneLevel(1.0))
    assert sum("the step, from sigma" in line for line in found) == count


@pytest.mark.parametrize(("share", "count"), [(0.99, 0), (1.01, 1)])
def test_a_last_step_is_coarse_that_takes_a_tenth_of_the_contrast(share, count):
    """1 - STD / sqrt(STD² + sigma²) of it, whatever the sampler."""
    sigma = STD * math.sqrt(1 / (1 - 0.1 * share) ** 2 - 1)
    assert len(grid_findings(Ancestral(1.0), LogSNR(sigma, 150.0).grid(50), Continuous(SR3))) == count


def test_continuous_levels_go_down_to_any_level():
    """A level below the first row is seen in training, if seldom; with a table of rows it never is."""
    grid = LogSNR(0.5 * float(sigmas(SR3)[0]), 150.0).grid(60)
    assert grid_findings(Ancestral(1.0), grid, Continuous(SR3)) == []
    assert len(grid_findings(Ancestral(1.0), grid, Discrete(SR3))) == 1


def test_a_last_step_as_fine_as_training_allows_is_no_mistake():
    table = Linear(0.1, 0.5, 20)  # its first row is sigma = 0.33
    assert grid_findings(Ancestral(1.0), Even(table).grid(20), Discrete(table)) == []
    assert len(grid_findings(Ancestral(1.0), Even(table).grid(20), Continuous(table))) == 1


@pytest.mark.parametrize(("churn", "most"), [(0.0, None), (4.0, "181"), (8.0, "211"), (100.0, "214")])
def test_levels_that_a_sampler_raises_are_levels_too(churn, most):
    """Karras et al. 2022, algorithm 2: each is raised by churn / steps of itself, at most by sqrt(2) - 1."""
    found = grid_findings(Heun(churn), Even(SR3).grid(20), Discrete(SR3))
    told = "the sampler raises sigma 151 to"
    raised = [line.partition(told)[2].split(",")[0].strip() for line in found if told in line]
    assert raised == ([] if most is None else [most])
