"""The average of models is the weighted mean of their weights, of one method only."""

import sys
from pathlib import Path

import pytest
import torch
from methods import packed, plain, stage

from refinesr import load
from refinesr.checkpoint import save_stage
from refinesr.errors import ConfigError
from refinesr.stage import Stage

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import average


def filled(value: float) -> Stage:
    """A model all of whose weights are `value`."""
    model = stage(packed())
    for weights in model.model.state_dict().values():
        weights.fill_(value)
    return model


def test_every_weight_is_the_weighted_mean() -> None:
    mean = average.averaged([filled(1.0), filled(2.0), filled(4.0)], [0.5, 0.25, 0.25], ["a", "b", "c"])
    assert all(bool((weights == 2.0).all()) for weights in mean.model.state_dict().values())


def test_another_method_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="b: its method"):
        average.averaged([filled(1.0), stage(plain())], [0.5, 0.5], ["a", "b"])


def test_shares_that_are_not_given_divide_the_rest() -> None:
    assert average.shares_of([None, 0.4, None]) == pytest.approx([0.3, 0.4, 0.3])
    assert average.shares_of([1.5, -0.5]) == [1.5, -0.5]  # an extrapolation


@pytest.mark.parametrize("given", [[0.5, 0.4], [None, 1.0], [None, 1.2]])
def test_shares_that_do_not_sum_to_one_are_refused(given: list[float | None]) -> None:
    with pytest.raises(ConfigError, match="sum to 1"):
        average.shares_of(given)


@pytest.mark.parametrize(
    ("text", "expected"), [("run:0.3", ("run", 0.3)), ("run", ("run", None)), ("C:\\run", ("C:\\run", None))]
)
def test_the_share_follows_the_last_colon(text: str, expected: tuple[str, float | None]) -> None:
    assert average.named(text) == expected


def test_it_writes_a_model_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("a", 0.0), ("b", 1.0)):
        save_stage(filled(value), tmp_path / f"{name}.safetensors")
    argv = [
        "average.py",
        f"{tmp_path}/a.safetensors",
        f"{tmp_path}/b.safetensors:0.25",
        "-o",
        f"{tmp_path}/c.safetensors",
    ]
    monkeypatch.setattr(sys, "argv", argv)
    average.main()
    state = load(tmp_path / "c.safetensors").model.state_dict()
    assert all(torch.equal(weights, torch.full_like(weights, 0.25)) for weights in state.values())
