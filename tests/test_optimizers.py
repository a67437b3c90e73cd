"""Muon against torch's own and singular values; what it leaves to AdamW; that it goes on as it was."""

from collections.abc import Iterator

import pytest
import torch
from methods import FewPairs, packed, plan
from torch import Tensor, nn

from refinesr.decays import Constant
from refinesr.errors import CheckpointError, ConfigError
from refinesr.fit import Plan, Report, State, fit
from refinesr.optimizers import Adam, Muon, orthogonalized

METHOD = packed(2)
BETAS = (0.9, 0.99)
FEW = plan(steps=4, warmup=0, decay=Constant(), clip=1e9, optimizer=Muon(), rate=1e-3)


def gradients(shape: tuple[int, ...], number: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(3)
    for _ in range(number):
        yield torch.randn(shape, generator=generator)


def state(plan: Plan = FEW) -> State:
    torch.manual_seed(0)
    return State(METHOD.build(), plan)


def learn(made: State, plan: Plan = FEW) -> list[Report]:
    return list(fit(made, FewPairs(METHOD), METHOD.objective(), plan, seed=7, autocast=None))


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (32, 32)])
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("momentum", [0.0, 0.95])
def test_matrices_move_as_by_torchs_muon(shape: tuple[int, int], decay: float, momentum: float) -> None:
    """Torch's iterates in bfloat16, of 8 bits: after six steps a hundredth of the way is between them."""
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("torch has had Muon since 2.9")
    ours, theirs = (nn.Parameter(torch.eye(*shape)) for _ in range(2))
    options = {"momentum": momentum, "weight_decay": decay, "adjust_lr_fn": "match_rms_adamw"}
    optimizer = Muon(momentum).build([ours], 0.01, BETAS, decay)
    other = torch.optim.Muon([theirs], lr=0.01, **options)
    for gradient in gradients(shape, 6):
        ours.grad, theirs.grad = gradient, gradient.clone()
        optimizer.step()
        other.step()
    way = (theirs - torch.eye(*shape)).norm()
    assert (ours - theirs).norm() < 0.02 * way


@pytest.mark.parametrize("shape", [(3, 16, 50), (2, 50, 16), (1, 64, 64)])
def test_singular_values_become_about_one_and_vectors_stay(shape: tuple[int, int, int]) -> None:
    """Jordan 2024: the quintic leaves them between 0.68 and 1.13, if they were not next to nothing."""
    matrices = next(gradients(shape, 1)) * 1e3
    made = orthogonalized(matrices)
    u, s, v = torch.linalg.svd(matrices, full_matrices=False)
    inner = u.mT @ made @ v.mT
    values = inner.diagonal(dim1=-2, dim2=-1)
    rest = inner - torch.diag_embed(values)
    assert rest.abs().max() < 1e-4
    considerable = s > 0.02 * torch.linalg.matrix_norm(matrices)[:, None]
    assert considerable.float().mean() > 0.8
    assert values[considerable].min() > 0.6
    assert values.max() < 1.3


def test_a_convolution_is_a_matrix_of_output_channels() -> None:
    kernel, matrix = nn.Parameter(torch.zeros(8, 4, 3, 3)), nn.Parameter(torch.zeros(8, 36))
    kernel.data = kernel.data.to(memory_format=torch.channels_last)
    for weight in (kernel, matrix):
        optimizer = Muon().build([weight], 0.01, BETAS, 0.0)
        for gradient in gradients((8, 36), 3):
            weight.grad = gradient.reshape(weight.shape)
            optimizer.step()
    torch.testing.assert_close(kernel.flatten(1), matrix, rtol=1e-5, atol=1e-6)
    assert matrix.abs().max() > 0.01


def test_steps_are_of_the_size_of_adamws() -> None:
    """Liu et al. 2025: a root mean square of 0.2, as is usual with AdamW, whatever the shape."""
    for shape in ((16, 64), (64, 16), (128, 128)):
        weight = nn.Parameter(torch.zeros(shape))
        optimizer = Muon().build([weight], 1.0, BETAS, 0.0)
        (weight.grad,) = gradients(shape, 1)
        optimizer.step()
        assert float(weight.detach().square().mean().sqrt()) == pytest.approx(0.2, rel=0.25)


def test_matrices_of_one_shape_move_as_each_would_alone() -> None:
    """More of them than they have rows or columns."""
    shapes = [(2, 3)] * 5 + [(3, 2)]
    together, alone = ([nn.Parameter(torch.ones(shape)) for shape in shapes] for _ in range(2))
    for weights in (together, *([weight] for weight in alone)):
        optimizer = Muon().build(weights, 0.1, BETAS, 0.0)
        for weight in weights:
            (weight.grad,) = gradients(tuple(weight.shape), 1)
        optimizer.step()
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other)


def test_the_rest_moves_as_by_adamw() -> None:
    ours, theirs = (nn.Parameter(torch.ones(7)) for _ in range(2))
    optimizer = Muon(rest=0.5).build([ours, nn.Parameter(torch.ones(3, 3))], 0.02, BETAS, 0.1)
    other = torch.optim.AdamW([theirs], lr=0.01, betas=BETAS, weight_decay=0.1)
    for gradient in gradients((7,), 5):
        ours.grad, theirs.grad = gradient, gradient.clone()
        optimizer.step()
        other.step()
    torch.testing.assert_close(ours, theirs)


def test_weights_without_a_gradient_stay() -> None:
    weight, other = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4))
    optimizer = Muon().build([weight, other], 0.1, BETAS, 0.1)
    optimizer.step()
    assert torch.equal(weight, torch.ones(4, 4))
    assert not optimizer.state


def test_the_plans_rate_reaches_both_parts() -> None:
    made = state()
    learn(made)
    assert [group["lr"] for group in made.optimizer.param_groups] == [1e-3, pytest.approx(0.4e-3)]
    owned = [len(group["params"]) for group in made.optimizer.param_groups]
    assert owned == [
        sum(p.ndim >= 2 for p in made.model.parameters()),
        sum(p.ndim < 2 for p in made.model.parameters()),
    ]
    assert min(owned) > 0


def test_a_saved_state_goes_on_as_if_it_had_not_stopped(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("run") / "state.pt"
    whole, half, after = state(), state(), state()
    learn(whole)
    for report in fit(half, FewPairs(METHOD), METHOD.objective(), FEW, seed=7, autocast=None):
        if report.step == 2:
            break
    half.save(path)
    after.load(path)
    learn(after)
    for one, other in zip(whole.model.parameters(), after.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_another_optimisers_state_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("run") / "state.pt"
    state(plan(optimizer=Adam())).save(path)
    with pytest.raises(CheckpointError, match=r"state\.pt: not the state of this run"):
        state().load(path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"momentum": 1.0}, r"momentum: 1\.0 is not in \[0, 1\)"),
        ({"momentum": -0.1}, r"momentum: -0\.1 is not in \[0, 1\)"),
        ({"rest": 0.0}, r"rest: 0\.0 is not positive"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Muon(**wrong)


def test_closures_are_refused() -> None:
    optimizer = Muon().build([nn.Parameter(torch.ones(2, 2))], 0.1, BETAS, 0.0)
    with pytest.raises(ValueError, match="a closure is not called here"):
        optimizer.step(lambda: 0.0)


def test_of_nothing_there_is_no_direction() -> None:
    """Weights that a batch does not reach have gradients of 0; 0 / 0 would be the end of the training."""
    assert torch.equal(orthogonalized(torch.zeros(2, 3, 5)), torch.zeros(2, 3, 5))
