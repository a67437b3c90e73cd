"""What may be asked for besides the error: states of the network's own making, and how a picture looks."""

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from methods import FewPairs, awake, normal, packed, plan
from torch import Tensor, nn

from refinesr.config import from_data, override, to_data
from refinesr.diffusion.labels import LogSigma
from refinesr.diffusion.levels import Few, Independent, LogNormal, OneLevel, Stratified
from refinesr.diffusion.precond import EDM, Blind, Clean, Eps, Precond, Velocity, over_pixels
from refinesr.distill import student_method
from refinesr.errors import ConfigError
from refinesr.fit import State, accumulate_gradients, fit
from refinesr.images.projection import Projection
from refinesr.images.resize import PillowBicubic
from refinesr.method import Method
from refinesr.model import Model, Pixels, Residual
from refinesr.nets.tiny import Tiny
from refinesr.objective import MIN_SIZE, SHIFTS, UNIFORMS, Objective, Perception, Rollout, pattern_energy
from refinesr.recipes import METHODS
from refinesr.sources import Blank, Upsampled

PRECONDS = [Eps(), Velocity(), Clean(), EDM(0.5), Blind()]
HIGH = normal(8, 3, 48, 48).clamp(-1, 1)
LOW = torch.zeros(8, 3, 48, 48)
LEVELS = LogNormal(0.0, 1.5)
METHOD = replace(packed(2), rollout=Rollout(0.8, 4.0, 20.0))


def squares(high: Tensor, other: Tensor) -> Tensor:
    """A distance of the simplest kind."""
    return (high - other).square().mean((1, 2, 3))


class Knows(nn.Module):
    """Says what gives x0, whatever x: a perfect network for one batch, which notes what it is asked."""

    def __init__(self, precond: Precond, x0: Tensor) -> None:
        super().__init__()
        self.precond, self.x0 = precond, x0
        self.asked: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, label: Tensor, **inputs: Tensor) -> Tensor:
        c = self.precond.coefficients((4 * label.double()).exp())
        self.asked.append((x, label))
        if isinstance(self.precond, Blind):
            return self.x0
        x = x / over_pixels(c.into, x)
        return (self.x0 - over_pixels(c.skip, x) * x) / over_pixels(c.out, x)


def knowing(precond: Precond, x0: Tensor) -> tuple[Model, Knows]:
    network = Knows(precond, x0)
    return Model(network, Blank().build(1, 3), precond, LogSigma()), network


def sees(seed: int = 0) -> Model:
    """A network that looks at x and at the enlarged image, and is wrong."""
    network = awake(Tiny(width=4).build(), seed)
    return Model(network, Upsampled().build(1, 3), Clean(), LogSigma())


# ----------------------------------------------------------------------------------------------- rollouts


@pytest.mark.parametrize("precond", PRECONDS, ids=str)
def test_who_makes_no_mistakes_learns_nothing_else_of_a_rollout(precond: Precond) -> None:
    """What is wanted stays the truth, whatever the state is made of."""
    levels = LogNormal(0.0, 0.7)
    model, _ = knowing(precond, HIGH)
    objective = Objective(levels, Stratified(), Pixels(), rollout=Rollout(1.0, 5.0, 5.0))
    assert float(objective(model, HIGH, LOW, seed=1).max()) < 1e-6
    wrong, _ = knowing(precond, HIGH + 0.1)
    plainly = Objective(levels, Stratified(), Pixels())(wrong, HIGH, LOW, seed=1)
    assert float(plainly.min()) > 1e-4  # else the first law would say nothing


@pytest.mark.parametrize("precond", [Clean(), EDM(0.5), Velocity()], ids=str)
def test_a_network_that_always_errs_the_same_way_is_wanted_to_take_it_back(precond: Precond) -> None:
    """It says x0 + d of any state; shown x0 + d + sigma eps it is as far off as it was, by d in x0."""
    d = 0.1
    model, _ = knowing(precond, HIGH + d)
    objective = Objective(OneLevel(0.5), Independent(), Pixels(), rollout=Rollout(1.0, 4.0, 20.0))
    loss = objective(model, HIGH, LOW, seed=1)
    out = precond.coefficients(torch.tensor(0.5, dtype=torch.float64)).out
    torch.testing.assert_close(loss, torch.full((8,), float((d / out) ** 2)), rtol=1e-4, atol=0)


def test_chosen_states_are_made_of_the_network_s_own_estimate_at_a_level_above() -> None:
    model, network = knowing(Clean(), HIGH + 0.3)
    objective = Objective(LEVELS, Stratified(), Pixels(), rollout=Rollout(0.5, 4.0, 20.0))
    sigma, eps, chances, other = objective.draw(HIGH, 5)
    objective.loss(model, HIGH, LOW, sigma, eps, chances, other)
    (first, at_first), (second, at_second) = network.asked
    chosen = (chances[:, 0] < 0.5) & (sigma < 4)
    assert 0 < int(chosen.sum()) < len(sigma)
    level = (4 * at_first.double()).exp()
    torch.testing.assert_close((4 * at_second.double()).exp(), sigma, rtol=1e-5, atol=0)
    assert bool((level[chosen] > sigma[chosen]).all())
    assert bool((level <= torch.maximum(sigma, torch.tensor(20.0)) * 1.00001).all())
    shown = torch.where(chosen[:, None, None, None], HIGH + 0.3, HIGH)
    for x, at, x0, noise in ((first, level, HIGH, other), (second, sigma, shown, eps)):
        state = x0 + over_pixels(at, x0) * noise
        torch.testing.assert_close(x, state / over_pixels((1 + at**2).sqrt(), x0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("bottom", "least"), [(0.0, 1.0), (0.5, 1.0), (4.0, 4.0), (16.0, 16.0)])
def test_levels_of_the_first_estimate_lie_evenly_up_to_the_top(bottom: float, least: float) -> None:
    """In the logarithm; four standard errors of the mean of 4000."""
    model, network = knowing(Clean(), torch.zeros(4000, 1, 1, 1))
    model.source = Blank().build(1, 1)
    objective = Objective(OneLevel(1.0), Independent(), Pixels(), rollout=Rollout(1.0, 2.0, 16.0, bottom))
    objective(model, torch.zeros(4000, 1, 1, 1), torch.zeros(4000, 1, 1, 1), seed=0)
    height = 4 * network.asked[0][1].double() - math.log(least)
    whole = math.log(16 / least)
    assert float(height.min()) >= -1e-5
    assert float(height.max()) <= whole + 1e-5
    assert float(height.mean()) == pytest.approx(whole / 2, abs=4 * whole * (1 / 12 / 4000) ** 0.5 + 1e-6)


def test_no_gradient_goes_through_the_first_estimate() -> None:
    """That of the loss is as if the estimate had been given."""
    model = sees()
    model.requires_grad_(True)
    objective = Objective(OneLevel(0.5), Independent(), Pixels(), rollout=Rollout(1.0, 4.0, 20.0))
    sigma, eps, chances, other = objective.draw(HIGH, 2)
    level = sigma * (20 / sigma) ** chances[:, 1]
    low = normal(8, 3, 48, 48, seed=3).clamp(-1, 1)
    with torch.no_grad():
        said = model(HIGH + over_pixels(level, HIGH) * other, level, model.condition(low))
    by_hand = Objective(OneLevel(0.5), Independent(), Pixels())
    gradients = []
    for loss in (
        objective.loss(model, HIGH, low, sigma, eps, chances, other),
        by_hand.loss(model, HIGH, low, sigma, eps + (said - HIGH) / 0.5),
    ):
        model.zero_grad()
        loss.mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def test_levels_and_noise_are_those_of_before() -> None:
    bare = Objective(LEVELS, Stratified(), Pixels())
    sigma, eps = bare.draw(HIGH, 4, 2)
    for more in ({"rollout": Rollout()}, {"perception": Perception()}):
        drawn = replace(bare, **more).draw(HIGH, 4, 2)
        assert torch.equal(drawn[0], sigma)
        assert torch.equal(drawn[1], eps)
        assert drawn[2].shape == (8, UNIFORMS)
    other = replace(bare, rollout=Rollout()).draw(HIGH, 4, 2)[3]
    assert abs(float((other * eps).mean())) < 4 / eps.numel() ** 0.5


def test_what_a_mask_keeps_is_shown_as_it_is() -> None:
    """Of a picture with a hole the network sees known pixels without noise, in the first estimate, too."""
    mask = torch.zeros(8, 1, 48, 48)
    mask[..., 10:30, 10:30] = 1
    seen: list[Tensor] = []
    model = sees()
    model.network.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    low = torch.cat((HIGH, mask), 1)
    objective = Objective(OneLevel(0.5), Independent(), Pixels(), rollout=Rollout(1.0, 4.0, 20.0))
    objective(model, HIGH, low, seed=0)
    for x in seen:
        known = (mask == 0).expand_as(x)
        torch.testing.assert_close(x[known], HIGH[known], rtol=0, atol=1e-5)
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ((0.0,), "share"),
        ((1.1,), "share"),
        ((0.5, 0.0), "below, top"),
        ((0.5, 3.0, 2.0), "below"),
        ((0.5, 4.0, 20.0, -1.0), "bottom"),
        ((0.5, 4.0, 20.0, 21.0), "bottom"),
    ],
)
def test_rollouts_that_make_no_sense_are_refused(values: tuple[float, ...], field: str) -> None:
    with pytest.raises(ConfigError, match=f"^{field}"):
        Rollout(*values)


# --------------------------------------------------------------------------------------------- perception


@pytest.mark.parametrize("precond", [Velocity(), Clean(), EDM(0.5)], ids=str)
@pytest.mark.parametrize("target", [Pixels(), Residual(3.5)], ids=str)
def test_the_distance_is_that_of_the_pictures(precond: Precond, target: Pixels | Residual) -> None:
    """A network that says x0 + d makes the picture d / gain too bright, of [0, 1] half of it."""
    levels, base = LogNormal(0.0, 0.5), torch.zeros_like(HIGH)
    model, _ = knowing(precond, target.encode(HIGH, base) + 0.2)
    bare = Objective(levels, Stratified(), target)
    more = replace(bare, perception=Perception(3.0), distance=squares)
    drawn = more.draw(HIGH, 1)
    besides = more.loss(model, HIGH, LOW, *drawn) - bare.loss(model, HIGH, LOW, *drawn[:2])
    off = 0.2 / (target.gain if isinstance(target, Residual) else 1) / 2
    torch.testing.assert_close(besides, torch.full((8,), 3 * off**2), rtol=2e-3, atol=1e-6)


def test_what_projection_takes_back_is_not_looked_at() -> None:
    """One network errs in what the small picture tells, one in what it does not; the error counts both."""
    projection = Projection((48, 48), (12, 12), PillowBicubic())
    low, off = projection.down(HIGH), normal(8, 3, 48, 48, seed=3)
    told = projection.pinv(projection.down(off))
    bare = Objective(LogNormal(0.0, 0.5), Stratified(), Pixels())
    seen = []
    for error in (told, off - told):
        model = Model(Knows(Clean(), HIGH + 0.1 * error), Upsampled().build(4, 3), Clean(), LogSigma())
        for kernel in (None, PillowBicubic()):
            more = replace(bare, perception=Perception(3.0, consistent=kernel), distance=squares)
            drawn = more.draw(HIGH, 1)
            besides = more.loss(model, HIGH, low, *drawn) - bare.loss(model, HIGH, low, *drawn[:2])
            seen.append(float(besides.mean()))
    gone, kept = seen[:2], seen[2:]
    assert gone[0] > 1e-4
    assert abs(gone[1]) < 1e-6
    assert kept[1] == pytest.approx(kept[0], rel=1e-3)


@pytest.mark.parametrize("autocast", [False, True])
def test_damage_is_not_kept_and_16_bits_lose_nothing(autocast: bool) -> None:
    """Of a low image that is the good one reduced everything is kept, of one with grain nothing."""
    projection = Projection((48, 48), (12, 12), PillowBicubic())
    low, made = projection.down(HIGH), HIGH + 0.1 * normal(8, 3, 48, 48, seed=3)
    low[4:] += 4 / 127.5 * normal(4, 3, 12, 12, seed=4)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        kept = Perception(consistent=PillowBicubic()).projected(made, HIGH, low)
    assert float((projection.down(kept) - low)[:4].abs().max()) < 1e-5
    assert torch.equal(kept[4:], made[4:])


def test_nothing_is_projected_at_scale_1() -> None:
    with pytest.raises(ConfigError, match=r"^perception\.consistent"):
        replace(METHODS["palette-jpeg"], rollout=None, perception=Perception(consistent=PillowBicubic()))


def test_from_its_bound_on_the_error_alone_counts() -> None:
    model = sees()
    bare = Objective(LogNormal(1.0, 2.0), Stratified(), Pixels())
    more = replace(bare, perception=Perception(3.0, below=2.0), distance=squares)
    drawn = more.draw(HIGH, 1)
    besides = more.loss(model, HIGH, LOW, *drawn) - bare.loss(model, HIGH, LOW, *drawn[:2])
    high = drawn[0] >= 2.0
    assert 0 < int(high.sum()) < 8
    assert bool((besides[high] == 0).all())
    assert bool((besides[~high] > 1e-4).all())


def test_pictures_are_seen_from_every_corner_alike() -> None:
    """So that no pattern of the distance's own strides is learnt; both pictures from the same one."""
    pictures = torch.arange(48.0 * 48).view(1, 1, 48, 48).expand(64, 3, -1, -1) / (24 * 48) - 1
    seen: list[tuple[Tensor, Tensor]] = []

    def note(high: Tensor, other: Tensor) -> Tensor:
        seen.append((high, other))
        return squares(high, other)

    even = (torch.arange(64, dtype=torch.float64) + 0.5) / 64
    chances = torch.stack((even, even.flip(0)), 1)
    Perception().shifted_distance(note, pictures, pictures, chances)
    ((high, other),) = seen
    assert torch.equal(high, other)
    assert high.shape == (64, 3, 48 - SHIFTS + 1, 48 - SHIFTS + 1)
    corners = ((high[:, 0, 0, 0] * 48 * 48).round().long()).tolist()
    rows, columns = [c // 48 for c in corners], [c % 48 for c in corners]
    assert Counter(rows) == Counter(columns) == dict.fromkeys(range(SHIFTS), 64 // SHIFTS)
    assert rows == columns[::-1]
    assert all((b == a + 1) for a, b in pairwise((high[0, 0, 0] * 48 * 48).round().tolist()))


@pytest.mark.parametrize(
    ("side", "left"), [(MIN_SIZE - 8, MIN_SIZE - 8), (MIN_SIZE, MIN_SIZE), (MIN_SIZE + 4, MIN_SIZE), (64, 49)]
)
def test_small_pictures_are_shifted_less(side: int, left: int) -> None:
    shapes: list[torch.Size] = []

    def note(high: Tensor, other: Tensor) -> Tensor:
        shapes.append(high.shape)
        return squares(high, other)

    images = normal(2, 3, side, side + 3)
    Perception().shifted_distance(note, images, images, torch.full((2, 2), 0.99, dtype=torch.float64))
    assert shapes == [(2, 3, left, left + 3)]


@pytest.mark.parametrize("period", [2, 4, 8, 16])
def test_a_pattern_counts_with_its_whole_energy(period: int) -> None:
    """One that repeats itself in blocks, of mean 0; a brightness that is off everywhere is none."""
    tile = normal(1, 3, period, period)
    tile = tile - tile.mean((2, 3), keepdim=True)
    error = tile.repeat(1, 1, 128 // period, 192 // period)
    torch.testing.assert_close(pattern_energy(error), error.square().mean((1, 2, 3)))
    torch.testing.assert_close(pattern_energy(error + 0.7), pattern_energy(error), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(pattern_energy(-error), pattern_energy(error))


def test_what_has_no_pattern_counts_next_to_nothing() -> None:
    """Means of 32 blocks of white noise have 1 / 32 of its variance, their products that as their standard
    deviation, and the mean of 256 of these a 16th of it; four standard errors of 8 x 3 x 4 such means."""
    found = float(pattern_energy(normal(8, 3, 256, 256)).mean())
    assert found == pytest.approx((2 / math.pi) ** 0.5 / 32 / 16, rel=4 * (math.pi / 2 - 1) ** 0.5 / 96**0.5)
    wide = torch.linspace(-1, 1, 128).expand(1, 3, 128, 128)
    assert float(pattern_energy(wide)) < 0.02 * float(wide.square().mean())


def test_a_pattern_whose_sign_turns_in_the_middle_counts_as_well() -> None:
    """Else there would be no bound to what a network, which sees where a crop ends, could gain by it."""
    tile = normal(1, 3, 16, 16)
    error = (tile - tile.mean((2, 3), keepdim=True)).repeat(1, 1, 8, 8)
    turned = torch.cat((error[..., :64], -error[..., 64:]), 3)
    torch.testing.assert_close(pattern_energy(turned), pattern_energy(error))


def test_a_pattern_is_found_beneath_noise_of_nine_times_its_energy() -> None:
    tile = normal(1, 3, 16, 16)
    tile = tile - tile.mean((2, 3), keepdim=True)
    noise = 3 * torch.randn(32, 3, 128, 128, generator=torch.Generator().manual_seed(5))
    found = pattern_energy(tile.repeat(32, 1, 8, 8) + noise).mean()
    assert float(found) == pytest.approx(float(tile.square().mean()), rel=0.05)


@pytest.mark.parametrize(("side", "counted"), [(31, False), (32, True), (36, True), (100, True)])
def test_of_any_size_as_much_as_there_is_is_looked_at(side: int, counted: bool) -> None:
    found = pattern_energy(normal(2, 3, side, side + 1))
    assert found.shape == (2,)
    assert bool((found != 0).all()) == counted


def test_a_pattern_is_added_to_the_distance() -> None:
    model = sees()
    bare = Objective(
        LogNormal(1.0, 2.0), Stratified(), Pixels(), perception=Perception(1.0), distance=squares
    )
    more = replace(bare, perception=Perception(1.0, lattice=50.0))
    drawn = more.draw(HIGH, 1)
    x = HIGH + over_pixels(drawn[0], HIGH) * drawn[1]
    error = model(x, drawn[0], model.condition(LOW)) - HIGH
    besides = more.loss(model, HIGH, LOW, *drawn) - bare.loss(model, HIGH, LOW, *drawn)
    torch.testing.assert_close(besides, 50 * pattern_energy(error), rtol=1e-3, atol=1e-5)


def test_only_what_a_mask_marks_is_compared() -> None:
    mask = torch.zeros(8, 1, 48, 48)
    mask[..., 20:28, 20:28] = 1
    seen: list[tuple[Tensor, Tensor]] = []

    def note(high: Tensor, other: Tensor) -> Tensor:
        seen.append((high, other))
        return squares(high, other)

    objective = Objective(OneLevel(1.0), Independent(), Pixels(), perception=Perception(), distance=note)
    objective(sees(), HIGH, torch.cat((HIGH, mask), 1), seed=0)
    ((high, other),) = seen
    assert 0 < int((high != other).any(1).sum(dim=(1, 2)).max()) <= 64


def test_without_a_distance_a_perception_cannot_be_learnt() -> None:
    objective = Objective(LEVELS, Independent(), Pixels(), perception=Perception())
    with pytest.raises(ValueError, match="a perception needs a distance"):
        objective(sees(), HIGH, LOW, seed=0)


@pytest.mark.parametrize(
    ("values", "field"), [((0.0,), "weight"), ((1.0, 0.0), "below"), ((1.0, None, -1.0), "lattice")]
)
def test_perceptions_that_make_no_sense_are_refused(values: tuple[float, ...], field: str) -> None:
    with pytest.raises(ConfigError, match=f"^{field}: "):
        Perception(*values)


# ------------------------------------------------------------------------------------- as part of a method


def learning(method: Method, seen: Any = squares) -> Objective:
    return method.objective(seen if method.perception else None)


@pytest.mark.parametrize("parts", [2, 4])
def test_in_how_many_parts_a_batch_is_worked_on_changes_nothing(parts: int) -> None:
    method = replace(METHOD, perception=Perception(2.0))
    objective, model = learning(method), method.build()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    high, low = FewPairs(method, size=40).at(0)

    def gradients(parts: int) -> Tensor:
        model.zero_grad()
        batch = (high, low, *objective.draw(high, 7, 0))
        accumulate_gradients(lambda *part: objective.loss(model, *part), batch, parts)
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    whole, in_parts = gradients(1), gradients(parts)
    assert (in_parts - whole).norm() < 1e-5 * whole.norm()


class OneBatch(FewPairs):
    def at(self, step: int) -> tuple[Tensor, Tensor]:
        return super().at(0)


def test_a_distance_is_learnt_by() -> None:
    """Of pictures that are seen again and again, one that weighs a hundred errors falls by half."""
    method = replace(packed(2), levels=OneLevel(1.0), perception=Perception(100.0))
    few = plan(steps=80, rate=1e-2, warmup=5, size=32)
    torch.manual_seed(0)
    state = State(method.build(), few)
    far: list[float] = []

    def note(high: Tensor, other: Tensor) -> Tensor:
        found = squares(high, other)
        far.append(float(found.detach().mean()))
        return found

    list(fit(state, OneBatch(method), learning(method, note), few, seed=7, autocast=None))
    assert sum(far[-10:]) < 0.5 * sum(far[:10])


def test_a_method_with_both_can_be_written_and_read() -> None:
    method = override(
        packed(2), 'perception={"weight": 8, "below": 40}', "rollout=Rollout", "rollout.share=0.25"
    )
    assert method.perception == Perception(8.0, 40.0)
    assert method.rollout == Rollout(0.25)
    assert from_data(Method, to_data(method), "a file") == method


def test_files_from_before_have_neither() -> None:
    data = to_data(packed(2))
    del data["rollout"], data["perception"], data["sampling"]["mean"]
    assert from_data(Method, data, "a file") == packed(2)


def test_looks_are_judged_in_colour() -> None:
    with pytest.raises(ConfigError, match="perception: is for RGB; channels is 1"):
        replace(packed(2, 1), perception=Perception())


def test_a_student_learns_neither() -> None:
    taught = student_method(replace(METHOD, perception=Perception()), (20.0, 1.0))
    assert taught.rollout is None
    assert taught.perception is None
    assert taught.levels == Few((20.0, 1.0))


def test_a_rollout_is_for_networks_that_predict_the_picture() -> None:
    """A mistake of x0 is 1 / sigma as large in the noise that others would have to predict."""
    for precond in (Eps(), Velocity(), EDM(), Blind()):
        with pytest.raises(ConfigError, match=f"Clean; precond is {type(precond).__name__}"):
            replace(packed(2), precond=precond, rollout=Rollout())
    with pytest.raises(ConfigError, match=r"rollout\.top: 60 is above the highest level learnt, 49\.4"):
        replace(packed(2), rollout=Rollout(top=60.0))


def test_gradients_in_sixteen_bits_are_those_of_the_weights() -> None:
    """A rollout asks the same network before, without gradients: none of that may be used again."""
    method = replace(METHOD, perception=Perception(2.0))
    objective, model = learning(method), method.build()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    high, low = FewPairs(method, size=40).at(0)
    drawn = objective.draw(high, 7, 0)
    found = []
    for kind in (torch.bfloat16, None):
        model.zero_grad()
        with torch.autocast("cpu", kind, enabled=kind is not None):
            objective.loss(model, high, low, *drawn).mean().backward()
        assert all(p.grad is not None for p in model.parameters())
        found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert (found[0] - found[1]).norm() < 0.1 * found[1].norm()


def test_a_saved_run_goes_on_to_the_bit(tmp_path: Path) -> None:
    method, few = replace(METHOD, perception=Perception(2.0)), plan(steps=4)

    def state() -> State:
        torch.manual_seed(0)
        return State(method.build(), few)

    whole, half, rest = state(), state(), state()
    list(fit(whole, FewPairs(method), learning(method), few, seed=7, autocast=None))
    for report in fit(half, FewPairs(method), learning(method), few, seed=7, autocast=None):
        if report.step == 2:
            break
    half.save(tmp_path / "state.pt")
    rest.load(tmp_path / "state.pt")
    list(fit(rest, FewPairs(method), learning(method), few, seed=7, autocast=None))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(rest.model.state_dict()[name], value)
