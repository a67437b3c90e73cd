"""The same denoiser, the same draws: every sampler against the scheduler of the diffusers library that claims
the same.

Its schedulers for DDPM, DDIM and DPM-Solver++ walk in variance-preserving units, sqrt(gamma) * x; those of
k-diffusion's line walk in ours.  Their tables are single precision, so they are given ours: what is compared
is the step.
"""

import math

import diffusers
import numpy as np
import pytest
import torch
from truths import squashed

from refinesr.diffusion.samplers import DPM2M, Ancestral, Heun, Langevin, SR3Ancestral
from refinesr.diffusion.schedule import Cosine, Even, Karras, Linear, gammas
from refinesr.diffusion.score import score

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)  # theirs

ROWS, STEPS = 1000, 20
TABLE = Linear(1e-4, 0.02, ROWS)
GRID = Even(TABLE).grid(STEPS)
START = torch.randn(2, 3, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
TO_ROUNDING = {"rtol": 1e-9, "atol": 1e-9}
SINGLE = {"rtol": 2e-5, "atol": 2e-5}  # where the scheduler itself turns to float32


def ours(sampler, grid=GRID, seed=1):
    rng = torch.Generator().manual_seed(seed)

    def noise(like):
        return torch.randn(like.shape, dtype=like.dtype, generator=rng)

    *_, last = sampler(squashed, math.sqrt(1 + float(grid[0]) ** 2) * START, grid, noise)
    return last


def in_double(scheduler):
    scheduler.betas = TABLE.betas()
    scheduler.alphas = 1 - scheduler.betas
    scheduler.alphas_cumprod = scheduler.alphas.cumprod(0)
    scheduler.one = torch.ones((), dtype=torch.float64)
    scheduler.final_alpha_cumprod = scheduler.one
    return scheduler


def theirs(scheduler, steps=STEPS, seed=1, **how):
    """A scheduler in variance-preserving units that is told x0."""
    scheduler.set_timesteps(steps)
    rng, x = torch.Generator().manual_seed(seed), START
    for t in scheduler.timesteps:
        gamma = TABLE.betas().neg().add(1).cumprod(0)[int(t)]
        x0 = squashed(x / gamma.sqrt(), (1 / gamma - 1).sqrt())
        x = scheduler.step(x0, t, x, generator=rng, **how).prev_sample
    return x


COMMON = {"num_train_timesteps": ROWS, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
WALK = {"prediction_type": "sample", "timestep_spacing": "trailing"}


@pytest.mark.parametrize("name", ["linear", "squaredcos_cap_v2"])
def test_tables_are_theirs(name):
    """To single precision, which theirs are in."""
    table = {"linear": TABLE, "squaredcos_cap_v2": Cosine(ROWS)}[name]
    scheduler = diffusers.DDPMScheduler(**COMMON | {"beta_schedule": name})
    np.testing.assert_allclose(table.betas().numpy(), scheduler.betas.numpy(), rtol=2e-6)
    np.testing.assert_allclose(gammas(table)[:-1].numpy(), scheduler.alphas_cumprod[:-1].numpy(), rtol=2e-4)


@pytest.mark.parametrize("steps", [10, 100, 1000])
def test_rows_are_theirs(steps):
    """Their "trailing" spacing (Lin et al. 2024): the last row always, no step to 0 narrower than others."""
    scheduler = diffusers.DDIMScheduler(**COMMON, **WALK)
    scheduler.set_timesteps(steps)
    products = gammas(TABLE)[scheduler.timesteps]
    torch.testing.assert_close(Even(TABLE).grid(steps)[:-1], (1 / products - 1).sqrt(), rtol=1e-10, atol=0)


@pytest.mark.parametrize("steps", [STEPS, ROWS])
def test_ancestral_is_their_ddpm(steps):
    scheduler = in_double(diffusers.DDPMScheduler(**COMMON, **WALK, clip_sample=False))
    torch.testing.assert_close(
        ours(Ancestral(), Even(TABLE).grid(steps)), theirs(scheduler, steps), **TO_ROUNDING
    )


def test_sr3_ancestral_is_their_ddpm_with_the_larger_variance():
    """Over all rows: theirs leaves the noise out at row 0 only, so a respaced walk of theirs ends noisy."""
    scheduler = diffusers.DDPMScheduler(**COMMON, **WALK, clip_sample=False, variance_type="fixed_large")
    expected = theirs(in_double(scheduler), ROWS)
    torch.testing.assert_close(ours(SR3Ancestral(), Even(TABLE).grid(ROWS)), expected, **TO_ROUNDING)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ancestral_is_their_ddim(eta):
    scheduler = in_double(diffusers.DDIMScheduler(**COMMON, **WALK, clip_sample=False))
    torch.testing.assert_close(ours(Ancestral(eta)), theirs(scheduler, eta=eta), **TO_ROUNDING)


@pytest.mark.parametrize("steps", [5, STEPS, 100])
def test_dpm2m_is_their_dpm_solver(steps):
    scheduler = diffusers.DPMSolverMultistepScheduler(**COMMON, **WALK, final_sigmas_type="zero")
    torch.testing.assert_close(
        ours(DPM2M(), Even(TABLE).grid(steps)), theirs(in_double(scheduler), steps).double(), **SINGLE
    )


# --- schedulers in our own coordinate


def in_sigma(scheduler, grid, doubled=False):
    """A scheduler of k-diffusion's line that is told eps; Heun's visits each level between its ends twice."""
    scheduler.set_timesteps(len(grid) - 1)
    scheduler.sigmas = torch.cat([grid[:1], grid[1:-1].repeat_interleave(2), grid[-1:]]) if doubled else grid
    x, rng = math.sqrt(1 + float(grid[0]) ** 2) * START, torch.Generator().manual_seed(1)
    how = {} if doubled else {"generator": rng}
    for t, sigma in zip(scheduler.timesteps, scheduler.sigmas, strict=False):
        scheduler.scale_model_input(x, t)
        eps = (x - squashed(x, sigma)) / sigma
        x = scheduler.step(eps, t, x.double(), **how).prev_sample
    return x.double()


SPACINGS = pytest.mark.parametrize("grid", [GRID, Karras(0.02, 50.0).grid(STEPS)], ids=["even", "karras"])


@SPACINGS
def test_ancestral_without_noise_is_their_euler(grid):
    scheduler = diffusers.EulerDiscreteScheduler(**COMMON)
    torch.testing.assert_close(ours(Ancestral(0.0), grid), in_sigma(scheduler, grid), **SINGLE)


@SPACINGS
def test_ancestral_is_their_euler_ancestral(grid):
    scheduler = diffusers.EulerAncestralDiscreteScheduler(**COMMON)
    expected = in_sigma(scheduler, grid)
    torch.testing.assert_close(ours(Ancestral(), grid), expected, **SINGLE)


@SPACINGS
def test_heun_is_their_heun(grid):
    scheduler = diffusers.HeunDiscreteScheduler(**COMMON)
    torch.testing.assert_close(ours(Heun(), grid), in_sigma(scheduler, grid, doubled=True), **SINGLE)


@SPACINGS
def test_dpm2m_is_their_edm_solver(grid):
    """Their EDM line asks the network in its own units: skip 1 and out 1 are given by telling it x0 through
    both.
    """
    scheduler = diffusers.EDMDPMSolverMultistepScheduler(sigma_data=0.5, final_sigmas_type="zero")
    scheduler.set_timesteps(STEPS)
    scheduler.sigmas = grid
    x = math.sqrt(1 + float(grid[0]) ** 2) * START
    for t, sigma in zip(scheduler.timesteps, grid[:-1], strict=True):
        total = sigma**2 + 0.25
        told = (squashed(x, sigma) - 0.25 / total * x) / (0.5 * sigma / total.sqrt())
        x = scheduler.step(told, t, x).prev_sample
    torch.testing.assert_close(ours(DPM2M(), grid), x.double(), **SINGLE)


@SPACINGS
def test_langevin_without_corrections_is_their_predictor_of_the_variance_exploding_equation(grid):
    """Theirs is told the score, and the levels upwards; its mean of the last step has no noise."""
    scheduler = diffusers.ScoreSdeVeScheduler(num_train_timesteps=STEPS)
    scheduler.timesteps = torch.linspace(1, 0, STEPS, dtype=torch.float64)
    scheduler.discrete_sigmas = grid[:-1].flip(0)
    x, rng = math.sqrt(1 + float(grid[0]) ** 2) * START, torch.Generator().manual_seed(1)
    for row in reversed(range(STEPS)):
        slope = score(squashed, x, scheduler.discrete_sigmas[row])
        step = scheduler.step_pred(slope, torch.tensor(row / (STEPS - 1) + 1e-9).double(), x, generator=rng)
        x = step.prev_sample
    torch.testing.assert_close(ours(Langevin(0), grid), step.prev_sample_mean, **TO_ROUNDING)
