"""What a student is taught, where the teacher is known exactly; and that it learns it.

With `EDM(STD)` and a network that says 0, a model is the exact denoiser of N(0, STD²), whose flow leads from
x at sigma to STD / sqrt(STD² + sigma²) x.
"""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from methods import FewPairs, awake, normal, packed, plain, plan, stage
from torch import Tensor

from refinesr.diffusion.denoisers import guided
from refinesr.diffusion.levels import Few, Independent, OneLevel
from refinesr.diffusion.noise import NoiseField
from refinesr.diffusion.precond import EDM, Blind, Eps, Velocity
from refinesr.diffusion.samplers import DPM2M, Ancestral, Heun, Renoised, Sampler
from refinesr.diffusion.schedule import Even, Explicit, Karras, Leading, Linear
from refinesr.diffusion.weighting import TruncatedSNR
from refinesr.distill import (
    DistillationObjective,
    Lesson,
    distillation_objective,
    student_levels,
    student_method,
)
from refinesr.errors import ConfigError
from refinesr.fit import Plan, State, accumulate_gradients, fit
from refinesr.images.projection import Projection
from refinesr.images.tasks import Inpainting
from refinesr.method import Method, Sampling
from refinesr.model import Pixels, with_plane
from refinesr.nets.adm_unet import ADMUNet
from refinesr.nets.tiny import Tiny
from refinesr.recipes import RECIPES
from refinesr.recipes.distilled import crop_size
from refinesr.sources import Labelled
from refinesr.stage import Stage

STD = 0.5
LEVELS = (20.0, 0.5)


def gaussian(method: Method | None = None, lowest: float = 0.05, kept: bool = False) -> Stage:
    """The exact teacher of N(0, STD²); its grid ends at `lowest`.  Not its network's end alone is awake."""
    method = method or packed(2)
    sampling = replace(method.sampling, grid=Karras(lowest, 20.0), clip=False)
    sampling = sampling if kept else replace(sampling, consistent=None)
    made = stage(replace(method, precond=EDM(STD), sampling=sampling))
    for name, parameter in made.model.network.named_parameters():
        if name.startswith("out."):
            parameter.zero_()
    return made


def batch(method: Method, images: int = 4, size: int = 16) -> tuple[Tensor, Tensor]:
    return FewPairs(method, images, size).at(0)


def flowed(x: Tensor, grid: Tensor) -> Tensor:
    """The flow to the last level above 0, then its denoising, of N(0, STD²)."""
    first, last = float(grid[0]), float(grid[-2])
    return x * math.sqrt((STD**2 + last**2) / (STD**2 + first**2)) * STD**2 / (STD**2 + last**2)


def answers(objective: DistillationObjective, level: float, images: int = 4) -> tuple[Tensor, Tensor]:
    """(x, where the teacher arrives) for states at one level."""
    high, low = batch(objective.teacher.method, images)
    x = math.sqrt(STD**2 + level**2) * normal(*high.shape, seed=3)
    sigma = torch.full((images,), level, dtype=torch.float64)
    return x, objective.targets(x, high, low, sigma, None)


@pytest.mark.parametrize("level", LEVELS)
def test_many_steps_of_the_teacher_are_the_flow(level: float) -> None:
    """80 of second order, from 20 to 0.001 in steps of a sixth at most, squared and shared out: to 2e-3."""
    objective = DistillationObjective(gaussian(lowest=0.001), LEVELS, 80, Heun())
    x, found = answers(objective, level, images=1)
    torch.testing.assert_close(found, x * STD / math.sqrt(STD**2 + level**2), rtol=2e-3, atol=0)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("sampler", "order"), [(Ancestral(0.0), 1), (Heun(), 2), (DPM2M(), 2)], ids=repr)
def test_few_steps_err_by_the_samplers_order(level: float, sampler: Sampler, order: int) -> None:
    """From both levels.  16 and 32 steps: what lies beyond the leading term is not yet gone, hence 0.25."""
    errors = []
    for steps in (16, 32):
        objective = DistillationObjective(gaussian(), LEVELS, steps, sampler)  # type: ignore[arg-type]
        x, found = answers(objective, level, images=1)
        errors.append(float((found - flowed(x, objective.grid_from(level))).norm() / x.norm()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("level", LEVELS)
def test_eight_steps_of_ddim_are_eight_turns(level: float) -> None:
    """Each takes x from radius sqrt(STD² + sigma²) at the angle arctan(sigma / STD): a chord in place of an
    arc, so the contrast is lost that `contrast_loss` says.
    """
    objective = DistillationObjective(gaussian(), LEVELS)
    angles = [math.atan2(sigma, STD) for sigma in objective.grid_from(level).tolist()]
    kept = math.prod(math.cos(a - b) for a, b in pairwise(angles))
    x, found = answers(objective, level)
    torch.testing.assert_close(found, x * kept * STD / math.sqrt(STD**2 + level**2), rtol=1e-5, atol=1e-6)


def test_the_way_down_is_the_teachers_own_from_its_top_and_edms_from_elsewhere() -> None:
    objective = DistillationObjective(gaussian(), LEVELS)
    assert torch.equal(objective.grid_from(20.0), Karras(0.05, 20.0).grid(8))
    assert torch.equal(objective.grid_from(0.5), Karras(float(Karras(0.05, 20.0).grid(8)[-2]), 0.5).grid(8))


def test_states_of_a_batch_walk_from_their_own_levels() -> None:
    """In whatever order they come, as each would alone."""
    objective = DistillationObjective(gaussian(), (20.0, 2.0, 0.5))
    high, low = batch(objective.teacher.method, 6)
    sigma = torch.tensor([2.0, 20.0, 0.5, 20.0, 0.5, 2.0], dtype=torch.float64)
    x = sigma.float().view(-1, 1, 1, 1) * normal(*high.shape)
    together = objective.targets(x, high, low, sigma, None)
    for k in range(6):
        part = slice(k, k + 1)
        alone = objective.targets(x[part], high[part], low[part], sigma[part], None)
        torch.testing.assert_close(together[part], alone, rtol=1e-5, atol=1e-6)


def test_the_teacher_keeps_the_low_image_where_it_is_the_good_one_reduced() -> None:
    """The part of the state that low tells is replaced, the rest flows as it would alone.  An image whose low
    one is noisy, or is a JPEG, is walked to as the network says.
    """
    method = packed(4)
    free, bound = (DistillationObjective(gaussian(method, kept=kept), LEVELS) for kept in (False, True))
    high, low = batch(method, 3, 32)
    low[1] += 0.05 * normal(*low[1].shape, seed=1)  # 6 levels of 255
    sigma, x = torch.full((3,), 20.0, dtype=torch.float64), 20 * normal(*high.shape, seed=2)
    plain, found = (objective.targets(x, high, low, sigma, None) for objective in (free, bound))
    base, target = bound.teacher.model.base(low), method.target
    assert method.sampling.consistent is not None
    projection = Projection((32, 32), (8, 8), method.sampling.consistent)

    def hidden(x0: Tensor) -> Tensor:
        return x0 - projection.pinv(projection.down(x0))

    for k in (0, 2):
        shown = projection.down(target.decode(found, base))[k]
        torch.testing.assert_close(shown, low[k], rtol=0, atol=1e-5)
        torch.testing.assert_close(hidden(found)[k], hidden(plain)[k], rtol=0, atol=1e-4)
    assert torch.equal(found[1], plain[1])


@pytest.mark.parametrize("kept", [False, True])
def test_the_first_level_is_where_sampling_starts(kept: bool) -> None:
    """The network is shown the same x for the same draw, whatever the truth; below it, x0 + sigma * eps."""
    made, shown = gaussian(packed(4), kept=kept), []
    method = student_method(made.method, LEVELS)
    objective, (high, low) = DistillationObjective(made, LEVELS), batch(method, 1, 32)
    start = NoiseField((7,))(high)
    made.model.network.register_forward_pre_hook(lambda _, given: shown.append(given[0]))
    *_, last = Stage(method, made.model)(low, NoiseField((7,)))
    base = made.model.base(low)
    x0, seen = method.target.encode(high, base), []
    other = Stage(made.method, awake(made.method.build()))  # type: ignore[arg-type]
    other.model.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for level in LEVELS:
        objective.loss(other.model, high, low, torch.tensor([level], dtype=torch.float64), start)
    assert torch.equal(shown[0], seen[0])
    into = 1 / math.sqrt(STD**2 + 0.5**2)
    torch.testing.assert_close(seen[1], into * (x0 + 0.5 * start))
    assert last.total == 2


def perfect(made: Stage, objective: DistillationObjective) -> Stage:
    """The student that has learnt all of it: out * F makes up what the flow differs by from skip * x."""
    method = student_method(made.method, objective.levels)
    model = Stage(method, made.model).method.build()
    model.load_state_dict(made.model.state_dict())
    factors = {level: float(flowed(torch.ones(()), objective.grid_from(level))) for level in objective.levels}

    def says(_: object, given: tuple[Tensor, Tensor], __: object) -> Tensor:
        x, label = given  # label: log sigma / 4; x: the state times into
        sigma = (4 * label.double()).exp()
        factor = sigma.clone().apply_(lambda s: factors[min(factors, key=lambda level: abs(level - s))])
        c = method.precond.coefficients(sigma)
        return ((factor - c.skip) / c.out / c.into).float().view(-1, 1, 1, 1) * x

    model.network.register_forward_hook(says)
    return Stage(method, model)


def test_a_perfect_student_has_no_loss_and_samples_the_data_in_one_call_and_in_two() -> None:
    """Training and sampling agree: nothing is left of the loss but the teacher's steps, and the samples have
    the spread of the data: 12288 values, within 4 standard errors.
    """
    made = gaussian(plain(2), lowest=0.01)
    objective = DistillationObjective(made, LEVELS, 40, Heun())
    ready, (high, low) = perfect(made, objective), batch(made.method, 4)
    draws = objective.draw(high, 0)
    with torch.no_grad():
        losses = [objective.loss(each.model, high, low, *draws) for each in (ready, made)]
    assert float(losses[0].max()) < 1e-5 < 0.01 < float(losses[1].min())
    for steps in (1, 2):
        sampling = replace(ready.method.sampling, steps=steps)
        *_, last = ready(normal(4, 3, 16, 16), NoiseField((1, 2, 3, 4)), sampling=sampling)
        spread = float(last.image.std())
        assert spread == pytest.approx(STD, abs=4 * STD / math.sqrt(2 * last.image.numel()) + 1e-3)


def test_only_the_student_has_gradients_and_its_answer_is_judged_as_it_is() -> None:
    """What the projection would hide of an error counts too: else nobody could do without it."""
    made = gaussian(packed(4), kept=True)
    model = made.method.build()
    model.load_state_dict(made.model.state_dict())
    objective, (high, low) = DistillationObjective(made, LEVELS), batch(made.method, 4, 32)
    sigma, eps = objective.draw(high, 0)
    before = objective.loss(model, high, low, sigma, eps)
    before.mean().backward()
    assert all(p.grad is None for p in made.model.parameters())
    assert model.network.get_submodule("out").weight.grad is not None
    with torch.no_grad():
        model.network.get_submodule("out").bias += 1.0  # type: ignore[operator]
        worse = objective.loss(model, high, low, sigma, eps)
    assert float((worse - before.detach()).min()) > 0.01


def test_levels_are_drawn_evenly_and_all_follows_from_the_seed() -> None:
    objective, like = DistillationObjective(gaussian(), LEVELS), torch.zeros(8, 3, 4, 4)
    sigma, eps = objective.draw(like, 3, 5)
    assert sorted(sigma.tolist()) == [0.5] * 4 + [20.0] * 4
    again = objective.draw(like, 3, 5)
    assert torch.equal(sigma, again[0])
    assert torch.equal(eps, again[1])
    assert not torch.equal(eps, objective.draw(like, 3, 6)[1])


def test_in_parts_the_loss_is_the_same() -> None:
    objective, model = DistillationObjective(gaussian(), LEVELS), stage(packed(2), 5).model
    high, low = batch(packed(2), 8)
    given = (high, low, *objective.draw(high, 1))
    model.requires_grad_(True)
    whole, parts = (
        accumulate_gradients(lambda *part: objective.loss(model, *part), given, n) for n in (1, 4)
    )
    torch.testing.assert_close(whole, parts, rtol=1e-5, atol=0)


def test_networks_run_in_what_autocast_is_on_and_nothing_else() -> None:
    """The projection is exact to the rounding of float32, the network's answer is bf16's."""
    made = gaussian(packed(4), kept=True)
    objective, (high, low) = DistillationObjective(made, LEVELS), batch(made.method, 2, 32)
    model, kinds = stage(made.method, 3).model, []
    for each in (made.model, model):
        each.network.register_forward_hook(lambda _, __, out: kinds.append(out.dtype))
    found: list[Tensor] = []
    real = DistillationObjective.targets

    def watched(self: DistillationObjective, *given: object) -> Tensor:
        found.append(real(self, *given))  # type: ignore[arg-type]
        return found[-1]

    with pytest.MonkeyPatch.context() as patch, torch.autocast("cpu", torch.bfloat16):
        patch.setattr(DistillationObjective, "targets", watched)
        loss = objective.loss(model, high, low, *objective.draw(high, 0))
    assert set(kinds) == {torch.bfloat16}
    assert len(kinds) == 2 * 8 + 1
    assert (loss.dtype, found[0].dtype) == (torch.float32, torch.float32)
    assert made.method.sampling.consistent is not None
    projection = Projection((32, 32), (8, 8), made.method.sampling.consistent)
    shown = projection.down(made.method.target.decode(found[0], made.model.base(low)))
    torch.testing.assert_close(shown, low, rtol=0, atol=1e-5)


def labelled(guidance: float) -> Stage:
    network = ADMUNet(3, 0, 8, (1, 2), 1, (), head_channels=4, groups=4, vector=2)
    sampling = Sampling(Ancestral(), Karras(0.05, 20.0), 4, guidance=guidance)
    method = replace(plain(1), network=network, source=Labelled(2, 0.5), sampling=sampling, target=Pixels())
    return stage(method)


def test_guidance_is_learnt_and_no_class_is_withheld_from_the_student() -> None:
    """So that a call is one call, as in Meng et al. 2023."""
    made = labelled(2.0)
    objective, high = DistillationObjective(made, (20.0,)), normal(2, 3, 8, 8).clamp(-1, 1)
    low = with_plane(torch.zeros_like(high), torch.tensor([0.0, 1.0]))
    x, sigma = 20 * normal(2, 3, 8, 8, seed=1), torch.full((2,), 20.0, dtype=torch.float64)
    with torch.no_grad():
        one, none = made.model.denoiser(low), made.model.denoiser(made.model.source.without_class(low))
    *_, expected = Ancestral(0.0)(guided(one, none, 2.0), x, Karras(0.05, 20.0).grid(8), torch.zeros_like)
    torch.testing.assert_close(objective.targets(x, high, low, sigma, None), expected)
    method = student_method(made.method, (20.0,))
    assert (method.sampling.guidance, method.sampling.calls) == (1.0, 1)
    assert method.source == Labelled(2, 0.0)
    learning = method.build().train()
    twice = [objective.loss(learning, high, low, sigma, x).tolist() for _ in range(2)]
    assert twice[0] == twice[1]


def test_a_student_is_asked_once_however_often_its_teacher_is() -> None:
    """The mean over several layings would be learnt, and never sampled."""
    method = packed(2)
    often = replace(method, sampling=replace(method.sampling, orientations=8))
    high, low = batch(method, 2)
    losses, asked = [], []
    for each in (method, often):
        objective, learning = (
            DistillationObjective(Stage(each, stage(method).model), (20.0,)),
            stage(method, 5).model,
        )
        learning.network.register_forward_hook(lambda *_: asked.append(1))
        losses.append(objective.loss(learning, high, low, *objective.draw(high, 0)))
    assert len(asked) == 2
    assert not torch.equal(*losses)  # the teacher's answers are its own


def test_a_walk_that_a_table_has_no_rows_for_names_the_lesson() -> None:
    few_rows = Sampling(Ancestral(1.0), Even(Linear(1e-4, 0.02, 4)), 4)
    assert refused(replace(plain(2), sampling=few_rows)).startswith("lesson.steps, of the teacher: steps: 8")


WINDOWS = [name for name, recipe in RECIPES.items() if recipe().method.reach is None]


@pytest.mark.parametrize("name", WINDOWS)
def test_what_sees_its_whole_window_is_taught_in_windows_as_large_as_it_was_trained_in(name: str) -> None:
    run = RECIPES[name]()
    assert crop_size(run.method) == run.plan.size


def test_of_a_picture_with_a_mask_only_what_is_made_up_counts() -> None:
    made = stage(replace(plain(1), degradation=Inpainting()))
    objective, high = DistillationObjective(made, LEVELS), normal(2, 3, 12, 12).clamp(-1, 1)
    mask = torch.zeros(2, 1, 12, 12)
    mask[:, :, 3:8, 3:8] = 1
    low = torch.cat((torch.where(mask > 0, normal(2, 3, 12, 12, seed=4), high), mask), 1)
    sigma, eps = objective.draw(high, 0)
    found = objective.targets(eps, high, low, sigma, None)
    known = mask.expand_as(found) == 0
    assert torch.equal(found[known], high[known])
    other = stage(made.method, 5).model
    whole = objective.loss(other, high, low, sigma, eps)
    nothing = torch.cat((high, torch.zeros_like(mask)), 1)
    assert float(whole.min()) > 0
    assert torch.equal(objective.loss(other, high, nothing, sigma, eps), torch.zeros(2))


def refused(method: Method, levels: tuple[float, ...] = LEVELS, steps: int = 8) -> str:
    with pytest.raises(ConfigError) as caught:
        DistillationObjective(Stage(method, method.build()), levels, steps)
    return str(caught.value)


def test_teachers_without_a_walk_are_refused() -> None:
    assert "a Blind model makes one call already" in refused(
        replace(packed(2), precond=Blind(), levels=OneLevel(1.0))
    )
    assert "a distilled student cannot be a teacher" in refused(student_method(packed(2), LEVELS))
    ladder = replace(packed(2).sampling, grid=Explicit((3.0, 1.0)), steps=2)
    assert "steps: 8 is not possible; the grid lists 2 levels" in refused(replace(packed(2), sampling=ladder))


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ((0.5, 20.0), "must be at least one, descend and stay above 0"),
        ((), "must be at least one"),
        ((21.0,), "levels: 21 is not above 0.05 and up to 20, as in the teacher's grid of 8 steps"),
        ((20.0, 0.049), "levels: 0.049 is not above 0.05"),
    ],
)
def test_levels_lie_in_the_teachers_grid(levels: tuple[float, ...], said: str) -> None:
    assert said in refused(packed(2), levels)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Lesson("a", "b", 1), "steps: 1 of a teacher leave nothing to distil"),
        (lambda: Lesson("a", "b", 8, Ancestral(0.5)), r"sampler: Ancestral\(eta=0.5\) draws noise"),
        (lambda: Lesson("a", "b", 8, Heun(1.0)), r"sampler: Heun\(churn=1.0\) draws noise"),
        (lambda: student_levels(20.0, 0), "calls: 0 is not positive"),
        (lambda: student_levels(20.0, 600), "calls: 600 are more than the distinct levels there are"),
    ],
)
def test_lessons_without_a_meaning_are_refused(wrong: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        wrong()  # type: ignore[operator]


def test_each_call_is_left_an_equal_turn() -> None:
    """Of the angle arctan(sigma / 0.5); the levels below the first are rounded to three digits."""
    for calls in (1, 2, 3, 5):
        levels = student_levels(19.999999999999993, calls)
        angles = [math.atan2(sigma, 0.5) for sigma in (*levels, 0.0)]
        np.testing.assert_allclose(np.diff(angles), -angles[0] / calls, atol=0.01)
        assert levels[0] == 20.0
    assert student_levels(20.0, 2) == (20.0, 0.488)


def test_the_students_method_is_the_teachers_but_for_how_it_is_asked() -> None:
    teacher = replace(packed(4), sampling=replace(packed(4).sampling, temperature=0.5, clip=True))
    method = student_method(teacher, LEVELS)
    assert method.sampling == Sampling(Renoised(), Leading(LEVELS), 2, True, teacher.sampling.consistent)
    assert method.levels == Few(LEVELS)
    assert replace(method, sampling=teacher.sampling, levels=teacher.levels) == teacher


def test_no_fidelity_can_be_asked_of_a_student() -> None:
    """Its first estimate is a sample, not the posterior mean."""
    method = student_method(packed(4), LEVELS)
    with pytest.raises(
        ConfigError, match=r"sampling\.fidelity: 0\.5 takes the first estimate as the posterior mean"
    ):
        replace(method, sampling=replace(method.sampling, fidelity=0.5))


def test_what_cannot_be_taught_is_said() -> None:
    made, lesson = stage(packed(2)), Lesson("x", "y")
    right = student_method(made.method, LEVELS)
    assert distillation_objective(lesson, made, right).levels == LEVELS
    assert distillation_objective(lesson, made, replace(right, precond=Velocity())).p == right.p
    for wrong, said in (
        (replace(right, levels=OneLevel(20.0)), "are not the Few that a student is asked at"),
        (replace(right, precond=Eps()), r"method\.precond: .* counts 20 times in the picture; use --set"),
        (replace(right, target=Pixels()), r"method\.target: .* is not what the student is taught with"),
        (replace(right, weighting=TruncatedSNR()), r"method\.weighting: "),
        (replace(right, spread=Independent()), r"method\.spread: "),
        (
            replace(right, sampling=replace(right.sampling, grid=Leading((10.0,)))),
            r"method\.sampling\.grid: ",
        ),
        (
            student_method(made.method, (0.5,)),
            r"levels: 0\.5, the first, is not the top of the teacher's grid, 20$",
        ),
        (replace(right, network=replace(right.network, blocks=(1, 1, 2))), "is not as in the teacher"),  # type: ignore[call-arg]
    ):
        with pytest.raises(ConfigError, match=said):
            distillation_objective(lesson, made, wrong)


class OneBatch:
    """The same pairs in every update."""

    def __init__(self, method: Method, images: int) -> None:
        self.pair = batch(method, images, 8)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        return self.pair


def learnt(made: Stage, objective: DistillationObjective, updates: Plan) -> Stage:
    state = State(made.method.build(), updates)
    for each in (state.model, state.average):
        each.load_state_dict(made.model.state_dict())
    for _ in fit(state, OneBatch(made.method, updates.batch), objective, updates, seed=0, autocast=None):
        pass
    return Stage(student_method(made.method, objective.levels), state.average)


@pytest.mark.slow
def test_a_student_says_in_one_call_what_its_teacher_says_in_many() -> None:
    """Of noise it has not seen, at both levels: nearer than one call of the teacher by a large factor."""
    made = gaussian(replace(plain(1), network=Tiny(width=32, blocks=1)))
    objective = DistillationObjective(made, LEVELS, 4, DPM2M())
    ready = learnt(made, objective, plan(steps=300, batch=4, rate=1e-2, warmup=10, halflife=10, clip=100.0))
    high, low = OneBatch(made.method, 4).at(0)
    for level, factor in zip(LEVELS, (10, 5), strict=True):
        sigma = torch.full((4,), level, dtype=torch.float64)
        x = objective.noisy_state(high, sigma, normal(*high.shape, seed=99))
        wanted = objective.targets(x, high, low, sigma, None)
        said = [each.model.denoiser(low)(x, sigma) for each in (made, ready)]
        teachers, students = (float((answer - wanted).norm()) for answer in said)
        assert students < teachers / factor
