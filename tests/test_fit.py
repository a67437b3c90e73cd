"""What an update does, that a resumed run makes the same ones, and what stops it."""

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from methods import FewPairs, normal, packed, plain, plan
from torch import Tensor

import refinesr.fit
from refinesr.decays import Constant, CosineDecay, Halving
from refinesr.diffusion.levels import OneLevel
from refinesr.diffusion.precond import Blind
from refinesr.errors import CheckpointError, ConfigError
from refinesr.fit import (
    Batches,
    Plan,
    Report,
    State,
    accumulate_gradients,
    fit,
    seeded_dropout,
    update_average,
)
from refinesr.method import Method
from refinesr.model import Model
from refinesr.nets.sr3_unet import SR3UNet

METHOD = packed(2)


FEW = plan()


def state(method: Method = METHOD, plan: Plan = FEW, seed: int = 0) -> State:
    torch.manual_seed(seed)
    return State(method.build(), plan)


def run(made: State, plan: Plan, method: Method = METHOD, pairs: Batches | None = None) -> Iterator[Report]:
    pairs = pairs or FewPairs(method, plan.batch)
    return fit(made, pairs, method.objective(), plan, seed=7, autocast=None)


def weights(model: Model) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(first: Model, second: Model, tolerance: float = 0.0) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.allclose(a, b, rtol=0, atol=tolerance) for a, b in pairs)


def test_reports_count_updates_from_one() -> None:
    reports = list(run(state(), plan(steps=3)))
    assert [report.step for report in reports] == [1, 2, 3]
    assert all(report.loss.shape == () and report.gradient.shape == () for report in reports)
    assert [report.rate for report in reports] == [plan(steps=3).rate_at(step) for step in range(3)]


def test_the_first_update_is_adams() -> None:
    """Kingma and Ba 2015, algorithm 1, first step without a decay: rate * sign(gradient), but for epsilon."""
    few = plan(steps=1, warmup=0, decay=Constant(), clip=1e9)
    made = state(plan=few)
    before = weights(made.model)
    model = state(plan=few).model
    high, low = FewPairs(METHOD).at(0)
    METHOD.objective().loss(model, high, low, *METHOD.objective().draw(high, 7, 0)).mean().backward()
    list(run(made, few))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        step = few.rate * parameter.grad / (parameter.grad.abs() + 1e-8)
        torch.testing.assert_close(made.model.state_dict()[name], before[name] - step, rtol=0, atol=1e-6)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_in_how_many_parts_a_batch_is_worked_on_changes_nothing(parts: int) -> None:
    """Levels and noise are drawn for the whole batch.  Gradients to the rounding of float32."""
    objective, model = METHOD.objective(), state().model
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    high, low = FewPairs(METHOD).at(0)

    def gradients(parts: int) -> tuple[Tensor, Tensor]:
        model.zero_grad()
        batch = (high, low, *objective.draw(high, 7, 0))
        loss = accumulate_gradients(lambda *part: objective.loss(model, *part), batch, parts)
        return loss, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    (loss, whole), (again, in_parts) = gradients(1), gradients(parts)
    torch.testing.assert_close(again, loss, rtol=1e-5, atol=0)
    assert (in_parts - whole).norm() < 1e-5 * whole.norm()


def test_accumulated_updates_are_the_same_updates() -> None:
    """For the first few, and not to rounding: Adam divides by gradients, however small."""
    whole, parts = state(plan=plan(steps=3)), state(plan=plan(steps=3, accumulate=4))
    losses = [
        [float(report.loss) for report in run(made, plan(steps=3, accumulate=number))]
        for made, number in ((whole, 1), (parts, 4))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert same(whole.model, parts.model, tolerance=1e-4)


@settings(deadline=None, max_examples=25)
@given(halflife=st.floats(0.5, 1e4), updates=st.integers(1, 20))
def test_the_average_forgets_half_in_a_halflife(halflife: float, updates: int) -> None:
    """Towards constant weights: old + (new - old) * (1 - 2**(-n / halflife)).  float32, twenty roundings."""
    model, average = (METHOD.build() for _ in range(2))
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 3.0)
    for parameter in average.parameters():
        torch.nn.init.constant_(parameter, 1.0)
    for _ in range(updates):
        update_average(average, model, halflife)
    expected = 1 + 2 * (1 - 2 ** (-updates / halflife))
    for parameter in average.parameters():
        torch.testing.assert_close(parameter, torch.full_like(parameter, expected), rtol=1e-5, atol=0)


def test_the_average_starts_short_so_that_it_forgets_the_beginning() -> None:
    """In the k-th update its halflife is k / 10: the closed form of the first updates, weight by weight."""
    few = plan(steps=4, halflife=1000)
    made = state(plan=few)
    expected = weights(made.average)
    for step, _ in enumerate(run(made, few), start=1):
        kept = 0.5 ** (10 / step)
        now = weights(made.model)
        expected = {name: kept * expected[name] + (1 - kept) * now[name] for name in now}
    for name, tensor in made.average.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6)


def test_only_the_model_learns_the_average_is_at_rest() -> None:
    made = state()
    assert not made.average.training
    assert not any(parameter.requires_grad for parameter in made.average.parameters())
    list(run(made, plan(steps=1)))
    assert made.model.training


def test_the_rate_rises_over_the_warm_up_and_falls_along_half_a_cosine() -> None:
    falling = plan(steps=100, rate=2.0, warmup=10, decay=CosineDecay(floor=0.1))
    assert falling.rate_at(0) == pytest.approx(0.2 * falling.decay.at(0.0))
    assert falling.rate_at(9) == pytest.approx(2.0 * falling.decay.at(0.09))
    for step in (10, 50, 99):
        cosine = 0.1 + 0.9 * (1 + math.cos(math.pi * step / 100)) / 2
        assert falling.rate_at(step) == pytest.approx(2.0 * cosine)
    steady = replace(falling, decay=Constant(), warmup=0)
    assert {steady.rate_at(step) for step in range(100)} == {2.0}


def test_the_rate_is_halved_after_each_part() -> None:
    """SRDiff's code: 2e-4, times 0.5 every 100 000 of 300 000 updates."""
    halved = plan(steps=300, rate=2.0, warmup=0, decay=Halving(3))
    rates = [halved.rate_at(step) for step in range(300)]
    assert [rates[step] for step in (0, 99, 100, 199, 200, 299)] == [2.0, 2.0, 1.0, 1.0, 0.5, 0.5]
    with pytest.raises(ConfigError, match="parts: 0"):
        Halving(0)


def test_gradients_are_clipped_and_reported_as_they_were() -> None:
    """SGD in Adam's place shows it: weights move by rate times a gradient of norm `clip`."""
    few = plan(steps=1, clip=1e-3, warmup=0, decay=Constant())
    made = state(plan=few)
    made.optimizer = torch.optim.SGD([{"params": made.model.parameters(), "share": 1.0}], lr=1.0)
    before = weights(made.model)
    (report,) = run(made, few)
    moved = torch.cat([(made.model.state_dict()[name] - before[name]).flatten() for name in before]).norm()
    assert float(report.gradient) > 10 * few.clip
    assert float(moved) == pytest.approx(few.rate * few.clip, rel=1e-2)


@pytest.mark.parametrize(
    "method",
    [
        METHOD,
        replace(
            plain(2),
            network=SR3UNet(width=8, multipliers=(1,), blocks=1, attention=(), groups=4, dropout=0.5),
        ),
    ],
    ids=["packed", "with dropout"],
)
def test_a_resumed_run_makes_the_same_updates_bit_by_bit(tmp_path: Path, method: Method) -> None:
    """Weights, their average and all losses; whatever was asked of torch's own generator in between."""
    few = plan(steps=6)
    through = state(method, few)
    losses = [float(report.loss) for report in run(through, few, method)]

    torch.manual_seed(99)
    before, resumed = state(method, few), []
    with closing(run(before, few, method)) as walk:  # type: ignore[type-var]
        for report in walk:
            resumed.append(float(report.loss))
            torch.rand(3)
            if report.step == 3:
                break
    before.save(tmp_path / "state.pt")
    after = state(method, few, seed=1)
    after.load(tmp_path / "state.pt")
    assert after.step == 3
    resumed += [float(report.loss) for report in run(after, few, method)]

    assert resumed == losses
    assert same(after.model, through.model)
    assert same(after.average, through.average)


def test_the_callers_random_numbers_are_untouched() -> None:
    made = state()
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    found = [float(torch.rand(1)) for _ in run(made, plan(steps=4))]
    assert found == expected.tolist()


def test_what_is_lent_to_dropout_depends_on_the_seeds_alone() -> None:
    def drawn(*seed: int) -> list[float]:
        with seeded_dropout(torch.device("cpu"), *seed):
            return torch.rand(3).tolist()

    assert drawn(1, 2) == drawn(1, 2)
    assert drawn(1, 2) != drawn(1, 3)
    assert drawn(2**63 - 1, 2) != drawn(2**62, 2)


def break_off(*given: Any, **named: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "broken", ["optimizer.step", "optimizer.zero_grad", "the average", "after the average"]
)
def test_a_state_knows_that_an_update_is_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """It is neither saved nor learnt on; what was saved before brings it back."""
    few = plan(steps=3)
    made = state(plan=few)
    walk = run(made, few)
    next(walk)
    made.save(tmp_path / "state.pt")

    def average_and_break(*given: Any) -> None:
        update_average(*given)
        raise KeyboardInterrupt

    places: dict[str, tuple[Any, str, Any]] = {
        "optimizer.step": (made.optimizer, "step", break_off),
        "optimizer.zero_grad": (made.optimizer, "zero_grad", break_off),
        "the average": (refinesr.fit, "update_average", break_off),
        "after the average": (refinesr.fit, "update_average", average_and_break),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*places[broken])
        with pytest.raises(KeyboardInterrupt):
            next(walk)
    assert not made.is_complete_at(1)
    assert not made.is_complete_at(2)
    with pytest.raises(ValueError, match="update 2 is half made; there is nothing to be saved"):
        made.save(tmp_path / "state.pt")
    with pytest.raises(ValueError, match="update 2 is half made; restore the state"):
        next(run(made, few))
    made.load(tmp_path / "state.pt")
    assert made.is_complete_at(1)
    assert [report.step for report in run(made, few)] == [2, 3]
    through = state(plan=few)
    list(run(through, few))
    assert same(made.model, through.model)


def test_gradients_that_an_interrupted_update_left_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the weights change a state is whole, and whoever goes on with it makes the same updates."""
    few = plan(steps=2)
    made, through = state(plan=few), state(plan=few)
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.utils, "clip_grad_norm_", break_off)
        with pytest.raises(KeyboardInterrupt):
            next(run(made, few))
    assert any(p.grad is not None for p in made.model.parameters())
    assert made.is_complete_at(0)
    for each in (made, through):
        list(run(each, few))
    assert same(made.model, through.model)


class OnePair:
    """The same picture for ever."""

    high = normal(1, 3, 8, 8).clamp(-1, 1) * 0.5
    low = normal(1, 3, 4, 4, seed=1)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        return self.high, self.low


def test_regression_learns_one_pair_by_heart() -> None:
    """It sees no x, and low knows nothing of high: the error falls a hundredfold in 200 updates if gradients
    reach all of the network."""
    method = replace(METHOD, precond=Blind(), levels=OneLevel(1.0))
    long = plan(steps=200, batch=1, rate=1e-2, warmup=10)
    made = state(method, long)
    losses = [float(report.loss) for report in run(made, long, method, OnePair())]
    assert losses[-1] < losses[0] / 100


@torch.no_grad()
def error(model: Model) -> float:
    """Mean loss on eight batches that no update sees."""
    batches = [FewPairs(METHOD).at(step) for step in range(1000, 1008)]
    return sum(float(METHOD.objective()(model, *batch, seed=1).mean()) for batch in batches) / 8


@pytest.mark.slow
def test_diffusion_learns_too() -> None:
    """What the averaged weights say of other pictures is better by a tenth after 100 updates."""
    long = plan(steps=100, rate=3e-3, warmup=10, halflife=10)
    made = state(plan=long)
    before = error(made.average)
    list(run(made, long))
    assert error(made.average) < 0.9 * before


def test_bf16_is_for_the_network_and_weights_stay_float32() -> None:
    made, few = state(), plan(steps=2)
    found: list[torch.dtype] = []
    middle = made.model.network.get_submodule("middle")
    middle.register_forward_hook(lambda *given: found.append(given[2].dtype))
    pairs = FewPairs(METHOD)
    reports = list(fit(made, pairs, METHOD.objective(), few, seed=0, autocast=torch.bfloat16))
    assert set(found) == {torch.bfloat16}
    assert {report.loss.dtype for report in reports} == {torch.float32}
    assert {tensor.dtype for tensor in made.model.state_dict().values()} == {torch.float32}


def test_a_plan_that_has_changed_is_followed_from_the_next_update(tmp_path: Path) -> None:
    made = state()
    list(run(made, plan(steps=1)))
    made.save(tmp_path / "state.pt")
    changed = plan(steps=2, betas=(0.5, 0.6), weight_decay=0.1)
    after = state(plan=changed)
    after.load(tmp_path / "state.pt")
    (group,) = after.optimizer.param_groups
    assert (group["betas"], group["weight_decay"]) == ((0.5, 0.6), 0.1)
    assert [report.step for report in run(after, changed)] == [2]


@pytest.mark.parametrize("step", ["3", 2.5, -1, None])
def test_a_state_of_no_number_of_updates_is_one_line(tmp_path: Path, step: object) -> None:
    path = tmp_path / "state.pt"
    state().save(path)
    torch.save(torch.load(path, weights_only=True) | {"step": step}, path)
    with pytest.raises(CheckpointError) as caught:
        state().load(path)
    assert str(caught.value).endswith(f"state of this run: step: {step!r} is no number of updates")


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "truncated", "list", "lacking", "another"])
def test_a_state_that_is_none_of_this_run_is_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "state.pt"
    state().save(path)
    match damage:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("hello")
        case "truncated":
            path.write_bytes(path.read_bytes()[:5000])
        case "list":
            torch.save([1, 2], path)
        case "lacking":
            torch.save({"step": 1}, path)
        case "another":
            state(plain(2)).save(path)
    with pytest.raises(CheckpointError) as caught:
        state().load(path)
    assert str(caught.value).startswith(f"{path}: not the state of this run: ")
    assert "\n" not in str(caught.value)


WRONG: list[tuple[dict[str, object], str]] = [
    ({"steps": 0}, "steps: 0 is not positive"),
    ({"batch": -1}, "batch: -1 is not positive"),
    ({"rate": 0.0}, "rate: 0.0 is not positive"),
    ({"rate": math.nan}, "rate: nan is not positive"),
    ({"save_every": 0}, "save_every: 0 is not positive"),
    ({"measure_every": 0}, "measure_every: 0 is not positive"),
    ({"warmup": -1}, "warmup: -1 is negative"),
    ({"weight_decay": -0.1}, "weight_decay: -0.1 is negative"),
    ({"halflife": -1}, "halflife: -1 is negative"),
    ({"betas": (0.9, 1.0)}, "betas: (0.9, 1.0) are not both in [0, 1)"),
    ({"accumulate": 3}, "accumulate: 3 does not divide batch 4"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[message for _, message in WRONG])
def test_plans_without_a_meaning_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(**change)
    assert str(caught.value) == message


def test_a_rate_that_rises_again_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"floor: 1\.5 is not between 0 and 1"):
        CosineDecay(1.5)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda high: (high + 1) * 127.5, r"pairs: values up to 255; "),
        (lambda high: ((high + 1) * 127.5).to(torch.uint8), r"pairs: torch\.uint8; "),
    ],
    ids=["floats", "bytes"],
)
def test_pictures_of_another_range_are_refused(change: Callable[[Tensor], Tensor], told: str) -> None:
    """A loader of one's own that forgot to scale would train without a word."""

    class Wrong(FewPairs):
        def at(self, step: int) -> tuple[Tensor, Tensor]:
            high, low = super().at(step)
            high[0, 0, 0, 0] = 1
            return change(high), low

    with pytest.raises(ConfigError, match=told):
        next(run(state(), FEW, pairs=Wrong(METHOD, 4)))
