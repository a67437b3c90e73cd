"""The same network without diffusion: one call, the mean of all answers (SR3's baseline, section 4.1)."""

from dataclasses import replace

from refinesr.diffusion.levels import OneLevel
from refinesr.diffusion.precond import Blind
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Explicit
from refinesr.method import Sampling
from refinesr.recipes.photo import photo_x4
from refinesr.run import Run


def regression() -> Run:
    """`photo-x4` with its noise switched off."""
    run = photo_x4()
    sampling = Sampling(Ancestral(0.0), Explicit((1.0,)), steps=1, consistent=run.method.sampling.consistent)
    method = replace(run.method, precond=Blind(), levels=OneLevel(1.0), sampling=sampling)
    return Run("regression", method, run.plan)
