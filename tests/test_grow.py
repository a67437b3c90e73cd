"""A network that has grown answers as before, and what is new in it learns."""

import sys
from pathlib import Path

import pytest
import torch
from methods import packed, plain, stage

from refinesr.errors import ConfigError
from refinesr.stage import Stage

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import grow

CHANGES = (
    ["network.widths=[24, 40, 56]"],
    ["source.encoder.blocks=5"],
    ["network.blocks=[2, 3, 4]"],
    ["network.widths=[24, 40, 56]", "network.blocks=[2, 3, 4]", "source.encoder.blocks=5"],
)


@pytest.fixture
def small() -> Stage:
    """Weights of all layers are away from the zeros that some begin with."""
    made = stage(packed())
    for number, parameter in enumerate(made.model.parameters()):
        torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(number))
    return made


def said(of: Stage) -> torch.Tensor:
    """At two levels."""
    dice = torch.Generator().manual_seed(0)
    model = of.model
    low = torch.rand(2, 3, 16, 20, generator=dice) * 2 - 1
    scale = of.method.scale
    x = torch.randn(2, 3, 16 * scale, 20 * scale, generator=dice)
    return model.estimate(x, torch.tensor([0.3, 8.0]), model.condition(low).inputs())


@pytest.mark.parametrize("changes", CHANGES)
def test_it_answers_as_before(small: Stage, changes: list[str]) -> None:
    """To the rounding of float32, and the epsilon of the norm."""
    before = said(small)
    large = grow.grown(small, *changes)
    assert before.abs().max() > 0.1
    torch.testing.assert_close(said(large), before, rtol=0, atol=1e-4)


@pytest.mark.parametrize("changes", CHANGES)
def test_every_new_part_learns_within_three_updates(small: Stage, changes: list[str]) -> None:
    """Of a weight at zero the one before it learns nothing, until it has left zero itself."""
    large = grow.grown(small, *changes)
    first = {name: value.clone() for name, value in large.model.state_dict().items()}
    old = {name: value.shape for name, value in small.model.state_dict().items()}
    optimizer = torch.optim.Adam(large.model.parameters(), lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        said(large).square().mean().backward()
        optimizer.step()
    for name, value in large.model.state_dict().items():
        learnt = value != first[name]
        if name in old:
            learnt[tuple(slice(size) for size in old[name])] = True
        assert learnt.all(), (name, learnt.float().mean())


def test_nothing_shrinks(small: Stage) -> None:
    with pytest.raises(ConfigError, match="would shrink"):
        grow.grown(small, "network.widths=[4, 4, 4]")
    with pytest.raises(ConfigError, match=r"nothing is left of .*encoder\.blocks"):
        grow.grown(small, "source.encoder.blocks=1")


@pytest.mark.parametrize("change", ["network.embedding=32", "channels=4"])
def test_what_would_not_answer_as_before_is_refused(small: Stage, change: str) -> None:
    with pytest.raises(ConfigError):
        grow.grown(small, change)
    other = stage(plain())
    with pytest.raises(ConfigError, match="Tiny is not the network"):
        grow.grown(other, "network.width=16")
