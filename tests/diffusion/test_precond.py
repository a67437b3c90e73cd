"""What a network's output means, checked in the papers' notation; and what it is told of the level."""

import math

import numpy as np
import pytest
import torch

from refinesr.diffusion.labels import Gamma, LogSigma, SqrtGamma, Timestep
from refinesr.diffusion.precond import EDM, Blind, Clean, Eps, Velocity, network_target, over_pixels
from refinesr.diffusion.schedule import JSD, Cosine, Linear, sigmas
from refinesr.errors import ConfigError

ALL = [Eps(), Velocity(), Clean(), EDM(0.5), EDM(0.1), Blind()]
SIGMAS = torch.tensor([1e-3, 0.03, 0.5, 1.0, 7.0, 150.0, 1e4], dtype=torch.float64)
RNG = torch.Generator().manual_seed(0)
X0, EPS = torch.randn(2, 7, 3, 4, 4, dtype=torch.float64, generator=RNG)


@pytest.mark.parametrize("precond", ALL, ids=str)
def test_a_network_that_says_what_is_wanted_gives_the_clean_image(precond):
    """skip * x + out * wanted = x0.  Rounding is that of skip * x, as large as sigma: 1e-15 * 1e4 with room
    to spare.
    """
    c = precond.coefficients(SIGMAS)
    x = X0 + over_pixels(SIGMAS, X0) * EPS
    said = over_pixels(c.skip, x) * x + over_pixels(c.out, x) * network_target(c, X0, EPS, SIGMAS)
    torch.testing.assert_close(said, X0, rtol=0, atol=1e-10)


def vp(sigma):
    """sqrt(gamma), sqrt(1 - gamma), the papers' alpha_t and sigma_t."""
    return over_pixels(1 / (1 + sigma**2).sqrt(), X0), over_pixels(sigma / (1 + sigma**2).sqrt(), X0)


@pytest.mark.parametrize(
    ("precond", "paper"),
    [
        (Eps(), lambda s: EPS),
        (Velocity(), lambda s: vp(s)[0] * EPS - vp(s)[1] * X0),
        (Clean(), lambda s: X0),
        (Blind(), lambda s: X0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_wanted_is_what_the_papers_predict(precond, paper):
    torch.testing.assert_close(
        network_target(precond.coefficients(SIGMAS), X0, EPS, SIGMAS), paper(SIGMAS), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("precond", [Eps(), Velocity(), Clean()], ids=str)
def test_variance_preserving_inputs_are_the_papers_state(precond):
    """into * x = sqrt(gamma) x0 + sqrt(1 - gamma) eps."""
    into = over_pixels(precond.coefficients(SIGMAS).into, X0)
    signal, noise = vp(SIGMAS)
    torch.testing.assert_close(
        into * (X0 + over_pixels(SIGMAS, X0) * EPS), signal * X0 + noise * EPS, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("data", [0.1, 0.5, 2.0])
def test_edm_gives_and_asks_for_unit_variance(data):
    """Karras et al. 2022, appendix B.6: for x0 of variance data² input and target have variance 1 at every
    level.
    """
    c = EDM(data).coefficients(SIGMAS)
    entering = c.into**2 * (data**2 + SIGMAS**2)
    asked = ((1 - c.skip) ** 2 * data**2 + c.skip**2 * SIGMAS**2) / c.out**2
    np.testing.assert_allclose(entering.numpy(), 1, rtol=1e-12)
    np.testing.assert_allclose(asked[1:].numpy(), 1, rtol=1e-9)


def test_blind_does_not_look():
    assert (Blind().coefficients(SIGMAS).into == 0).all()


@pytest.mark.parametrize("precond", ALL, ids=str)
@pytest.mark.parametrize("shape", [(), (7,)])
def test_coefficients_are_float64_of_sigmas_shape(precond, shape):
    sigma = torch.full(shape, 0.7, dtype=torch.float64)
    c = precond.coefficients(sigma)
    for value in (c.skip, c.keep, c.out, c.into):
        assert value.shape == shape
        assert value.dtype == torch.float64
    torch.testing.assert_close(c.keep, 1 - c.skip)


@pytest.mark.parametrize("precond", [Velocity(), EDM(0.5)], ids=str)
def test_keep_has_all_its_digits_where_skip_is_nearly_one(precond):
    """At sigma = 1e-6, 1 - skip in float64 has four digits; the exact value is sigma² / (sigma² + d²)."""
    sigma, data = 1e-6, getattr(precond, "sigma_data", 1.0)
    keep = precond.coefficients(torch.tensor(sigma, dtype=torch.float64)).keep
    assert float(keep) == pytest.approx(sigma**2 / (sigma**2 + data**2), rel=1e-14, abs=0)


@pytest.mark.parametrize("precond", ALL, ids=str)
def test_what_is_wanted_in_float32_is_what_is_wanted(precond):
    """Coefficients are combined in float64 before they meet the images: no level loses more than float32
    rounding.
    """
    c = precond.coefficients(SIGMAS)
    exact = network_target(c, X0, EPS, SIGMAS)
    single = network_target(c, X0.float(), EPS.float(), SIGMAS)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-6, atol=1e-6)


def test_over_pixels_broadcasts_one_number_or_one_each():
    x = torch.zeros(2, 3, 4, 4, dtype=torch.bfloat16)
    assert over_pixels(torch.tensor(2.0, dtype=torch.float64), x).shape == (1, 1, 1, 1)
    assert over_pixels(torch.tensor([2.0, 3.0], dtype=torch.float64), x).shape == (2, 1, 1, 1)
    assert over_pixels(torch.tensor(2.0, dtype=torch.float64), x).dtype == torch.bfloat16


def test_edm_refuses_data_without_spread():
    with pytest.raises(ConfigError, match="sigma_data: 0"):
        EDM(0.0)


# --- labels


@pytest.mark.parametrize(
    ("label", "formula"),
    [
        (SqrtGamma(), lambda s: math.sqrt(1 / (1 + s**2))),
        (SqrtGamma(5000.0), lambda s: 5000 * math.sqrt(1 / (1 + s**2))),
        (Gamma(), lambda s: 1 / (1 + s**2)),
        (LogSigma(), lambda s: math.log(s) / 4),
    ],
    ids=lambda value: type(value).__name__,
)
def test_labels_are_their_formulas(label, formula):
    np.testing.assert_allclose(label.label(SIGMAS).numpy(), [formula(s) for s in SIGMAS.tolist()], rtol=1e-13)
    alone = label.label(SIGMAS[2])
    assert alone.shape == ()
    assert alone.dtype == torch.float64


@pytest.mark.parametrize("gain", [0.0, -1.0, math.nan])
def test_a_label_that_would_say_nothing_is_refused(gain):
    with pytest.raises(ConfigError, match=f"gain: {gain:g}"):
        SqrtGamma(gain)


@pytest.mark.parametrize("table", [Linear(1e-6, 1e-2, 2000), Cosine(100), Cosine(1000), JSD(30)], ids=str)
def test_timestep_of_a_row_is_its_number(table):
    assert Timestep(table).label(sigmas(table)).tolist() == list(range(table.rows))


def test_timestep_between_rows_is_the_one_nearer_in_log_sigma():
    """Either side of the geometric mean of two rows; and the ends for whatever lies beyond them."""
    table = Cosine(20)
    levels = sigmas(table)
    middles = (levels[1:] * levels[:-1]).sqrt()
    assert Timestep(table).label(0.999 * middles).tolist() == list(range(19))
    assert Timestep(table).label(1.001 * middles).tolist() == list(range(1, 20))
    assert Timestep(table).label(torch.tensor([1e-6, 1e6], dtype=torch.float64)).tolist() == [0, 19]
    assert Timestep(table).label(levels[3]).shape == ()
