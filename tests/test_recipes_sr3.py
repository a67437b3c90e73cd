"""SR3's recipes: the rows of its table A.1, its training, its regression baseline."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from refinesr.diffusion.labels import SqrtGamma
from refinesr.diffusion.levels import Continuous, Independent, OneLevel
from refinesr.diffusion.precond import Blind, Eps
from refinesr.diffusion.samplers import Ancestral
from refinesr.images.reduction import Bicubic
from refinesr.images.resize import PillowBicubic
from refinesr.nets.sr3_unet import BigGAN, SR3UNet, sinusoidal_embedding
from refinesr.recipes.sr3 import (
    TABLE,
    sr3_16_128,
    sr3_16_128_regression,
    sr3_16_128_small,
    sr3_64_256,
    sr3_64_512,
    sr3_256_1024,
)
from refinesr.run import Run
from refinesr.stage import Stage

A1 = {
    "sr3-16-128": (16, 128, 128, (1, 2, 4, 8, 8), 3, 0.2),
    "sr3-64-256": (64, 256, 128, (1, 2, 4, 4, 8, 8), 3, 0.0),
    "sr3-64-512": (64, 512, 64, (1, 2, 4, 8, 8, 16, 16), 3, 0.0),
    "sr3-256-1024": (256, 1024, 16, (1, 2, 4, 8, 16, 32, 32, 32), 2, 0.0),
}
"""low, high, channels, multipliers, blocks, dropout: table A.1 and section 3's dropout for 16 -> 128."""
RUNS = {run.name: run for run in (sr3_16_128(), sr3_64_256(), sr3_64_512(), sr3_256_1024())}
SMALL, REGRESSION = sr3_16_128_small(), sr3_16_128_regression()
every_row = pytest.mark.parametrize("name", A1)
every_run = pytest.mark.parametrize("run", [*RUNS.values(), SMALL, REGRESSION], ids=lambda run: run.name)


def network(run: Run) -> SR3UNet:
    value = run.method.network
    assert isinstance(value, SR3UNet)
    return value


@every_row
def test_the_network_is_the_papers(name: str) -> None:
    low, high, *sizes = A1[name]
    run, value = RUNS[name], network(RUNS[name])
    assert [value.width, value.multipliers, value.blocks, value.dropout] == sizes
    assert (value.layout, value.attention, value.size) == (BigGAN(), (16,), high)
    assert (run.plan.size, run.method.scale) == (high, high // low)


@every_row
def test_no_norm_has_groups_of_less_than_four_channels(name: str) -> None:
    with torch.device("meta"):
        module = network(RUNS[name]).build()
    norms = [m for m in module.modules() if isinstance(m, nn.GroupNorm)]
    assert min(norm.num_channels // norm.num_groups for norm in norms) == 4


@pytest.mark.parametrize("run", [*RUNS.values(), SMALL], ids=lambda run: run.name)
def test_training_is_the_papers(run: Run) -> None:
    """Batch 256, 1 M updates of Adam, 10,000 of warm-up to a constant 1e-4, L1, a level for each image."""
    plan, method = run.plan, run.method
    assert (plan.batch, plan.steps, plan.warmup, plan.weight_decay) == (256, 1_000_000, 10_000, 0)
    assert plan.rate_at(9_999) == plan.rate_at(999_999) == 1e-4
    assert (method.p, method.precond, method.spread) == (1, Eps(), Independent())
    assert method.levels == Continuous(TABLE)
    assert method.degradation == Bicubic(method.scale, PillowBicubic())


@pytest.mark.parametrize("run", [*RUNS.values(), SMALL], ids=lambda run: run.name)
def test_sampling_is_100_rows_with_the_posteriors_variance(run: Run) -> None:
    sampling = run.method.sampling
    assert (sampling.sampler, sampling.calls, sampling.clip) == (Ancestral(1.0), 100, True)
    assert sampling.consistent is None


def test_regression_is_the_same_network_with_its_noise_switched_off() -> None:
    """One call; MSE and 1e-5, as the paper says."""
    ours, theirs = REGRESSION.method, RUNS["sr3-16-128"].method
    assert (ours.precond, ours.levels, ours.p, ours.sampling.calls) == (Blind(), OneLevel(1.0), 2, 1)
    same = {"precond": theirs.precond, "levels": theirs.levels, "p": theirs.p, "sampling": theirs.sampling}
    assert replace(ours, **same) == theirs  # type: ignore[arg-type]
    assert REGRESSION.plan == replace(RUNS["sr3-16-128"].plan, rate=1e-5)


@every_run
def test_tiles_are_windows_no_larger_than_those_of_training(run: Run) -> None:
    low = run.plan.size // run.method.scale
    with torch.device("meta"):
        stage = Stage(run.method, run.method.build())
        tiles = stage.tiles(torch.empty(1, 3, 5 * low, 4 * low), run.method.tile)
    largest = max(max(tile.box.height, tile.box.width) for tile in tiles)
    assert 3 / 4 * low <= largest <= low


def test_the_label_tells_small_noise_levels_apart() -> None:
    """Rows 1 and 50 of 2000: 0.0047 apart, of norm 5.7, without the gain; much farther with it."""
    levels = Continuous(TABLE).at(torch.tensor([1.0, 50.0], dtype=torch.float64) / 2000 - 1e-12)

    def apart(label: SqrtGamma) -> float:
        one, fifty = sinusoidal_embedding(label.label(levels).float(), 64)
        assert one.norm().item() == pytest.approx(5.66, abs=0.01)  # the root of 32
        return (one - fifty).norm().item()

    unscaled, scaled = SMALL.method.label, RUNS["sr3-16-128"].method.label
    assert isinstance(unscaled, SqrtGamma)
    assert isinstance(scaled, SqrtGamma)
    assert apart(unscaled) < 0.006
    assert apart(scaled) > 1
