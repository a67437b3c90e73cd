"""A method that has seen a single picture knows it by heart, through all of its learning and its sampling."""

import pytest
import torch
from methods import photo
from torch import Tensor

from refinesr.config import override
from refinesr.diffusion.noise import NoiseField
from refinesr.fit import Plan, State, fit
from refinesr.method import Method
from refinesr.metrics.pixel import psnr
from refinesr.recipes import RECIPES, tiny
from refinesr.run import Run
from refinesr.stage import Stage

SIDE = 32
QUICK = ("warmup=20", "decay=CosineDecay", "halflife=30", "betas=[0.9, 0.99]")
NARROW = ("network.width=16", "network.multipliers=[1, 1, 2, 4]", "network.dropout=0")

ENCODER = ("source.frozen=false", "source.encoder.width=16", "source.encoder.growth=8")
SRDIFF = (*ENCODER, "network.features=16", "network.width=32")

CASES = {
    "sr3-16-128": (NARROW, ("steps=1200", "batch=8", "rate=4e-3")),
    "sr3-16-128-regression": (NARROW, ("steps=600", "batch=1", "rate=2e-3")),
    "srdiff-df2k-x4": (SRDIFF, ("size=16", "steps=700", "batch=16", "rate=1e-3", "halflife=100")),
}
"""Recipe -> what is set in its method, made tiny, and in its plan."""


def small(name: str) -> Run:
    method, plan = CASES[name]
    changes = [f"plan.{change}" for change in (f"size={SIDE}", *QUICK, *plan)]
    return override(tiny(RECIPES[name]()), *(f"method.{change}" for change in method), *changes)


class OnePicture:
    """The same picture in every place of every batch: a cat's eye."""

    def __init__(self, method: Method, plan: Plan) -> None:
        self.high = photo(120, 136, plan.size, plan.size)[None] / 127.5 - 1
        self.low = method.degradation(self.high, torch.Generator().manual_seed(0))
        self.batch = plan.batch

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        return self.high.repeat(self.batch, 1, 1, 1), self.low.repeat(self.batch, 1, 1, 1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", CASES)
def test_one_picture_is_learnt_to_better_than_35_db(name: str) -> None:
    """In RGB, without a border.  Enlarged plainly it has less than 25."""
    run = small(name)
    pairs = OnePicture(run.method, run.plan)
    torch.manual_seed(0)
    state = State(run.method.build(), run.plan)
    for _ in fit(state, pairs, run.method.objective(), run.plan, seed=0, autocast=None):
        pass

    model = Stage(run.method, state.average)
    *_, last = model(pairs.low, NoiseField((0,)))

    high = (pairs.high + 1) / 2
    assert psnr(high, (state.average.base(pairs.low) + 1) / 2).item() < 25
    assert psnr(high, (last.image.clamp(-1, 1) + 1) / 2).item() > 35
