"""The one objective is the loss of each paper; the one model inverts what each paper's network predicts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from methods import awake, normal
from torch import Tensor, nn

from refinesr.config import from_data, to_data
from refinesr.diffusion.labels import Label, LogSigma, SqrtGamma, Timestep
from refinesr.diffusion.levels import Continuous, Discrete, Independent, LogNormal, OneLevel, Stratified
from refinesr.diffusion.precond import EDM, Blind, Clean, Eps, Precond, Velocity
from refinesr.diffusion.schedule import Cosine, Linear
from refinesr.diffusion.weighting import TruncatedSNR, Weighting
from refinesr.errors import ConfigError
from refinesr.images.resize import MatlabBicubic, resize
from refinesr.model import Condition, Model, Pixels, Residual, Target
from refinesr.nets.packed_unet import PackedEncoder
from refinesr.nets.tiny import Tiny
from refinesr.objective import Objective
from refinesr.sources import Blank, Encoded, Upsampled

PRECONDS = [Eps(), Velocity(), Clean(), EDM(0.5), Blind()]
HIGH = normal(8, 3, 8, 8, dtype=torch.float64).clamp(-1, 1)
LOW = resize(HIGH, (4, 4), MatlabBicubic())
BASE = resize(LOW, (8, 8), MatlabBicubic())

# levels reach networks in float32, everything else here is float64
CLOSE = {"rtol": 1e-5, "atol": 1e-7}


def each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def drawn(precond: Precond, label: Label, objective: Objective) -> tuple[Model, Tensor, Tensor, Tensor]:
    """A model that sees the enlarged image, its losses, and the levels and noise they are of."""
    network = awake(Tiny(width=4).build())
    model = Model(network, Upsampled(MatlabBicubic()).build(2, 3), precond, label).double()
    losses = objective(model, HIGH, LOW, seed=3)
    return model, losses, *objective.draw(HIGH, 3)


@pytest.mark.parametrize("p", [1, 2])
def test_with_eps_it_is_the_loss_of_sr3(p: int) -> None:
    """Saharia et al. 2021, eq. 6: x_t = sqrt(gamma) y0 + sqrt(1 - gamma) eps, |f(x, x_t, gamma) - eps|**p."""
    objective = Objective(Continuous(Linear(1e-6, 1e-2, 2000)), Independent(), Pixels(), p)
    model, losses, sigma, eps = drawn(Eps(), SqrtGamma(), objective)
    gamma = 1 / (1 + sigma**2)
    x_t = each(gamma).sqrt() * HIGH + (1 - each(gamma)).sqrt() * eps
    published = (model.network(x_t, gamma.sqrt().float(), image=BASE) - eps).abs() ** p
    torch.testing.assert_close(losses, published.mean((1, 2, 3)), **CLOSE)


def test_every_sample_has_its_own_gamma_evenly_between_two_neighbours_of_the_table() -> None:
    """SR3, section 2.4, after WaveGrad; four standard errors of 4000 draws."""
    objective = Objective(Continuous(Linear(0.1, 0.4, 4)), Independent(), Pixels())
    sigma, _ = objective.draw(torch.zeros(4000, 1, 1, 1), 0)
    gamma = (1 / (1 + sigma**2)).numpy()
    ends = np.concatenate([[1.0], np.cumprod(1 - np.linspace(0.1, 0.4, 4))])  # gamma_0 = 1, gamma_1, ...
    row = np.searchsorted(-ends, -gamma) - 1  # gamma_{row + 1} <= gamma < gamma_row
    assert len(np.unique(gamma)) == 4000
    assert np.abs(np.bincount(row, minlength=4) / 4000 - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / 4000)
    place = (ends[row] - gamma) / (ends[row] - ends[row + 1])
    assert abs(place.mean() - 0.5) < 4 / np.sqrt(12 * 4000)
    assert abs(place.std() - np.sqrt(1 / 12)) < 0.01


def test_with_eps_and_a_residual_it_is_the_loss_of_srdiff() -> None:
    """Li et al. 2022 and their code: |f(x_t, t) - eps| of 2 (high - base), T = 100, betas up to 0.999."""
    objective = Objective(Discrete(Cosine(100)), Independent(), Residual(2.0), p=1)
    model, losses, sigma, eps = drawn(Eps(), Timestep(Cosine(100)), objective)
    time = np.linspace(0, 1, 101)
    squares = np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2
    alpha_bar = np.cumprod(1 - np.minimum(1 - squares[1:] / squares[:-1], 0.999))
    t = [int(np.abs(np.log(alpha_bar) - np.log(1 / (1 + s**2))).argmin()) for s in sigma.tolist()]
    gamma = torch.from_numpy(alpha_bar[t])
    x_t = each(gamma).sqrt() * 2 * (HIGH - BASE) + (1 - each(gamma)).sqrt() * eps
    published = (model.network(x_t, torch.tensor(t).float(), image=BASE) - eps).abs()
    assert len(set(t)) > 1
    torch.testing.assert_close(losses, published.mean((1, 2, 3)), **CLOSE)


def test_with_edm_it_is_the_weighted_loss_of_karras() -> None:
    """Karras et al. 2022, eq. 2, 7 and 108: lambda(sigma) |D(y + n) - y|², lambda = 1 / c_out²."""
    data = 0.5
    objective = Objective(LogNormal(), Independent(), Pixels())
    model, losses, sigma, eps = drawn(EDM(data), LogSigma(), objective)
    s = each(sigma)
    total = (s**2 + data**2).sqrt()
    x = HIGH + s * eps
    raw = model.network(x / total, (sigma.log() / 4).float(), image=BASE)
    denoised = data**2 / total**2 * x + s * data / total * raw
    published = (s**2 + data**2) / (s * data) ** 2 * (denoised - HIGH) ** 2
    torch.testing.assert_close(losses, published.mean((1, 2, 3)), **CLOSE)


def test_with_velocity_it_is_the_loss_of_salimans_and_ho() -> None:
    """Their section 4: v = alpha eps - sigma x, of z = alpha x + sigma eps with alpha² + sigma² = 1."""
    objective = Objective(LogNormal(), Stratified(), Pixels())
    model, losses, sigma, eps = drawn(Velocity(), LogSigma(), objective)
    angle = each(sigma).atan()
    z, v = angle.cos() * HIGH + angle.sin() * eps, angle.cos() * eps - angle.sin() * HIGH
    published = (model.network(z, (sigma.log() / 4).float(), image=BASE) - v) ** 2
    torch.testing.assert_close(losses, published.mean((1, 2, 3)), **CLOSE)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("precond", [Eps(), Velocity(), Clean(), EDM(0.3)], ids=str)
def test_truncated_snr_weighs_errors_of_x0_whatever_the_network_predicts(precond: Precond, p: int) -> None:
    """Salimans and Ho 2022, section 4: max(SNR, 1) |x - x0|², which is max(|x - x0|², |eps error|²)."""
    objective = Objective(LogNormal(0.0, 1.0), Independent(), Pixels(), p, TruncatedSNR())
    model, losses, sigma, eps = drawn(precond, LogSigma(), objective)
    x = HIGH + each(sigma) * eps
    with torch.no_grad():
        x0 = model(x, sigma, model.condition(LOW))
    mistaken = (x - x0) / each(sigma)  # the noise that this x0 would mean
    published = [(made - true).abs().pow(p).mean((1, 2, 3)) for made, true in ((x0, HIGH), (mistaken, eps))]
    assert 0 < (published[0] > published[1]).sum() < len(losses)
    torch.testing.assert_close(losses, torch.maximum(*published), **CLOSE)


@pytest.mark.parametrize("data", [1.0, 0.4])
def test_min_snr_of_eps_is_the_weight_of_its_paper(data: float) -> None:
    """Hang et al. 2023, section 3.3: min(SNR, 5) of x0 is min(SNR, 5) / SNR of eps; in units of the data."""
    sigma = data * torch.tensor([0.05, 0.2, 0.5, 3.0], dtype=torch.float64)
    weight = TruncatedSNR(data, 0.0, 5.0).weight(Eps().coefficients(sigma), sigma, 2) / data**2
    snr = (data / sigma) ** 2
    torch.testing.assert_close(weight, snr.clamp(max=5) / snr)


@pytest.mark.parametrize("weighting", [TruncatedSNR(), TruncatedSNR(0.5, 0.0, 5.0)])
def test_weightings_can_be_written_and_read(weighting: TruncatedSNR) -> None:
    assert from_data(Weighting, to_data(weighting, Weighting), "file") == weighting


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ((0.0,), "data"),
        ((np.inf,), "data"),
        ((1.0, 2.0, 1.0), "least, most"),
        ((1.0, -0.1), "least, most"),
        ((1.0, np.inf), "least, most"),
        ((1.0, 0.0, 0.0), "least, most"),
    ],
)
def test_weightings_that_weigh_nothing_are_refused(values: tuple[float, ...], field: str) -> None:
    with pytest.raises(ConfigError, match=f"^{field}: "):
        TruncatedSNR(*values)


@pytest.mark.parametrize(("precond", "seen"), [(Clean(), 1.0), (Blind(), 0.0)])
def test_with_clean_and_blind_it_is_the_error_of_x0(precond: Precond, seen: float) -> None:
    model, losses, sigma, eps = drawn(precond, SqrtGamma(), Objective(OneLevel(2.0), Independent(), Pixels()))
    root = (1 / (1 + each(sigma) ** 2)).sqrt()
    answer = model.network(seen * root * (HIGH + each(sigma) * eps), root.flatten().float(), image=BASE)
    torch.testing.assert_close(losses, ((answer - HIGH) ** 2).mean((1, 2, 3)), **CLOSE)


class Says(nn.Module):
    """A network that knows the answer."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor, label: Tensor, **inputs: Tensor) -> Tensor:
        return self.answer


def perfect(precond: Precond, x0: Tensor, eps: Tensor, sigma: float) -> Tensor:
    """What each paper's network predicts, in the paper's own terms."""
    gamma = 1 / (1 + sigma**2)
    match precond:
        case Eps():
            return eps
        case Velocity():
            return gamma**0.5 * eps - (1 - gamma) ** 0.5 * x0
        case EDM(sigma_data=data):
            total = sigma**2 + data**2
            return (x0 - data**2 / total * (x0 + sigma * eps)) / (sigma * data / total**0.5)
    return x0


@settings(deadline=None, max_examples=30)
@given(exponent=st.floats(-3, 4), precond=st.sampled_from(PRECONDS))
def test_a_perfect_network_gives_x0(exponent: float, precond: Precond) -> None:
    """To the rounding of float64 beside sigma * eps, up to sigma = 10**4."""
    sigma = 10.0**exponent
    x0, eps = normal(2, 3, 4, 4, dtype=torch.float64), normal(2, 3, 4, 4, seed=1, dtype=torch.float64)
    model = Model(Says(perfect(precond, x0, eps, sigma)), Blank().build(1, 3), precond, LogSigma())
    made = model(x0 + sigma * eps, torch.tensor(sigma, dtype=torch.float64), Condition(x0))
    torch.testing.assert_close(made, x0, rtol=0, atol=1e-13 * (1 + sigma) * 10)


def test_one_sigma_for_all_is_that_sigma_for_each() -> None:
    model, *_ = drawn(EDM(0.5), LogSigma(), Objective(LogNormal(), Independent(), Pixels()))
    one = torch.tensor(0.7, dtype=torch.float64)
    condition = model.condition(LOW)
    assert torch.equal(model(HIGH, one, condition), model(HIGH, one.expand(8), condition))


def test_blind_does_not_look_at_x() -> None:
    model = Model(awake(Tiny().build()), Upsampled().build(2, 3), Blind(), LogSigma())
    denoise, sigma = model.denoiser(LOW.float()), torch.tensor(1.0, dtype=torch.float64)
    assert torch.equal(denoise(normal(8, 3, 8, 8), sigma), denoise(normal(8, 3, 8, 8, seed=1), sigma))


def test_the_condition_is_made_once_however_often_the_denoiser_is_called() -> None:
    source = Encoded(PackedEncoder(width=4, blocks=1)).build(2, 3)
    network = Tiny(image_channels=0, features=4, scale=2).build()
    model = Model(network, source, Clean(), LogSigma())
    calls: list[nn.Module] = []
    for part in (source, network):
        part.register_forward_hook(lambda module, *_: calls.append(module))
    denoise = model.denoiser(LOW.float())
    for sigma in (3.0, 2.0, 1.0):
        denoise(HIGH.float(), torch.tensor(sigma, dtype=torch.float64))
    assert calls == [source, network, network, network]


@pytest.mark.parametrize("label", [SqrtGamma(), LogSigma(), Timestep(Linear(1e-4, 0.1, 20))], ids=str)
def test_a_level_may_be_of_any_float_type(label: Label) -> None:
    model = Model(awake(Tiny().build()), Upsampled().build(2, 3), Eps(), label)
    denoise, x = model.denoiser(LOW.float()), HIGH.float()
    expected = denoise(x, torch.tensor(0.5, dtype=torch.float64))
    for kind in (torch.float32, torch.bfloat16, torch.float16):
        assert torch.equal(denoise(x, torch.tensor(0.5, dtype=kind)), expected)
    assert torch.equal(denoise(x, torch.full((8,), 0.5)), expected)


def test_only_doors_that_are_open_reach_the_network() -> None:
    base, vector = torch.zeros(1, 3, 4, 4), torch.zeros(1, 5)
    assert Condition(base).inputs() == {}
    assert Condition(base, image=base, vector=vector).inputs() == {"image": base, "vector": vector}


@settings(deadline=None, max_examples=25)
@given(target=st.one_of(st.just(Pixels()), st.builds(Residual, st.floats(0.1, 10))), seed=st.integers(0, 99))
def test_a_target_decodes_what_it_encodes(target: Target, seed: int) -> None:
    high, base = normal(2, 3, 4, 4, seed=seed, dtype=torch.float64), BASE[:2, :, :4, :4]
    torch.testing.assert_close(target.decode(target.encode(high, base), base), high, rtol=1e-12, atol=1e-12)


def test_srdiff_learns_a_residual_cut_to_what_it_can_show() -> None:
    high, base = torch.tensor([0.9, 0.2]).view(1, 1, 1, 2), torch.zeros(1, 1, 1, 2)
    assert Residual(2.0, clip=True).training_target(high, base).flatten().tolist() == pytest.approx(
        [1.0, 0.4]
    )
    assert Residual(2.0).training_target(high, base).flatten().tolist() == pytest.approx([1.8, 0.4])
    # what is learnt may be cut; what a picture is encoded as may not, or projecting would be wrong
    assert Residual(2.0, clip=True).encode(high, base).flatten().tolist() == pytest.approx([1.8, 0.4])
    assert Pixels().training_target(high, base) is high


def test_the_same_seed_draws_the_same_and_the_noise_does_not_know_the_levels() -> None:
    """Were both from one generator, the level would follow from eps: torch makes values k and k + 8 from a
    radius and an angle, both uniform, and the last bits of the first are the first bits of the level's.  With
    one seed for both this correlation is 1; 0.1 is over four standard errors."""
    objective = Objective(LogNormal(), Independent(), Pixels())
    like = torch.zeros(1, 1, 4, 4)
    draws = [objective.draw(like, seed) for seed in range(2000)]
    again = objective.draw(like, 7)
    assert torch.equal(again[0], draws[7][0])
    assert torch.equal(again[1], draws[7][1])
    levels = torch.special.ndtr((torch.cat([sigma.log() for sigma, _ in draws]) + 1.2) / 1.2)
    noise = torch.stack([eps.flatten() for _, eps in draws]).double()
    radius = torch.exp(-(noise[:, :8] ** 2 + noise[:, 8:] ** 2) / 2)
    related = torch.corrcoef(torch.cat([levels[:, None], noise, noise**2, 8 * radius % 1], 1).T)[0, 1:]
    assert related.abs().max() < 0.1


def test_an_image_has_the_loss_it_would_have_alone() -> None:
    objective = Objective(LogNormal(), Stratified(), Residual(2.0))
    model, losses, sigma, eps = drawn(EDM(0.5), LogSigma(), objective)
    alone = objective.loss(model, HIGH[2:3], LOW[2:3], sigma[2:3], eps[2:3])
    torch.testing.assert_close(alone, losses[2:3], rtol=1e-12, atol=0)


def test_refuses_powers_and_gains_without_a_meaning() -> None:
    with pytest.raises(ConfigError, match="p: 3 is not 1 or 2"):
        Objective(LogNormal(), Independent(), Pixels(), 3)
    with pytest.raises(ConfigError, match=r"gain: 0\.0 is not positive"):
        Residual(0.0)
