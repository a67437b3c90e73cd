"""The regression baseline (SR3, section 4.1): the same network, without diffusion, in one call."""

from dataclasses import replace

from refinesr.diffusion.levels import OneLevel
from refinesr.diffusion.precond import Blind
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Explicit
from refinesr.method import Sampling
from refinesr.recipes.photo import photo_x4
from refinesr.run import Run


def regression() -> Run:
    """`photo-x4` as a regression: without noise, trained to estimate the posterior mean in one call."""
    run = photo_x4()
    sampling = Sampling(Ancestral(0.0), Explicit((1.0,)), steps=1, consistent=run.method.sampling.consistent)
    method = replace(run.method, precond=Blind(), levels=OneLevel(1.0), sampling=sampling)
    return Run("regression", method, run.plan)
