"""Two ways to ask for less than a sample: cooler noise, and a share of the posterior mean."""

import json
import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from cascades import FORGIVING
from methods import normal, packed, photo, plain, stage
from PIL import Image
from torch import Tensor, nn

import refinesr
from refinesr.cascade import Cascade, Link
from refinesr.config import from_data, to_data
from refinesr.diffusion.diagnostics import gaussian_denoiser
from refinesr.diffusion.labels import SqrtGamma
from refinesr.diffusion.levels import Continuous, Few, LogUniform
from refinesr.diffusion.noise import NoiseField, seedless_noise
from refinesr.diffusion.precond import Blind, Clean, Eps
from refinesr.diffusion.samplers import (
    DPM2M,
    Ancestral,
    AnnealedLangevin,
    Heun,
    Langevin,
    Sampler,
    SR3Ancestral,
)
from refinesr.diffusion.schedule import Explicit, Karras, Linear, LogSNR
from refinesr.editing import fuse_images
from refinesr.errors import ConfigError
from refinesr.method import Sampling
from refinesr.mixing.redrawing import plan_redrawing
from refinesr.model import Model
from refinesr.objective import Perception
from refinesr.restore import Options, restore_picture
from refinesr.restore.conversion import picture_of
from refinesr.shapes import Noise
from refinesr.stage import Stage, Start

MEAN, STD = 0.3, 0.4


class Exact(nn.Module):
    """E[x0 | x] for pixels N(MEAN, STD²), behind `Clean` and `LogSigma`."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(MEAN, dtype=torch.float64), requires_grad=False)

    def forward(self, x: Tensor, label: Tensor, **inputs: Tensor) -> Tensor:
        sigma = (4 * label.double()).exp()
        x = x.double() * (1 + sigma[:, None, None, None] ** 2).sqrt()
        return gaussian_denoiser(float(self.mean), STD)(x, sigma)


def exact(**sampling: Any) -> Stage:
    chosen = replace(Sampling(Ancestral(0.0), LogSNR(0.01, 50.0), 8), **sampling)
    method = replace(plain(2), sampling=chosen, precond=Clean())
    source = method.source.build(method.scale, method.channels)
    return Stage(method, Model(Exact(), source, method.precond, method.label))


def walked(made: Stage, low: Tensor, noise: Noise | None = None, **options: Any) -> list[Tensor]:
    return [p.image for p in made(low, noise or NoiseField(tuple(range(len(low)))), **options)]


def cooler(made: Stage, **sampling: Any) -> Sampling:
    return replace(made.method.sampling, **sampling)


X2, X4, SAME_SIZE = stage(packed(2)), stage(packed(4)), stage(plain(1))
LOW = normal(2, 3, 9, 7).clamp(-1, 1)


# ------------------------------------------------------------------------------------------------- neither


@pytest.mark.parametrize("sampler", [Ancestral(), SR3Ancestral(), Heun(2.0), DPM2M(), Langevin()], ids=str)
def test_without_them_all_is_as_it_was_to_the_last_bit(sampler: Sampler) -> None:
    """The sampler, walked by hand."""
    sampling = cooler(X2, sampler=sampler)
    assert (sampling.temperature, sampling.fidelity) == (1, 0)
    noise, grid, base = NoiseField((0, 1)), sampling.levels(), X2.model.base(LOW)
    start = math.sqrt(1 + float(grid[0]) ** 2) * noise(base)
    denoise = X2.denoiser(LOW, base, sampling, 0, None)
    by_hand = [X2.method.target.decode(x0, base) for x0 in sampling.sampler(denoise, start, grid, noise)]
    for ours, theirs in zip(walked(X2, LOW, sampling=sampling), by_hand, strict=True):
        assert torch.equal(ours, theirs)


def test_files_from_before_sample_as_before() -> None:
    data = to_data(X2.method)
    for name in ("temperature", "fidelity", "mean"):
        del data["sampling"][name]
    assert from_data(type(X2.method), json.loads(json.dumps(data)), "a file") == X2.method


# --------------------------------------------------------------------------------------------- temperature


@pytest.mark.parametrize("temperature", [0.0, 0.3, 0.9, 1.0])
def test_temperature_scales_the_spread_of_ddim_on_gaussian_data_pixel_by_pixel(temperature: float) -> None:
    """A step from sigma to lower moves x - mean by a factor: the estimate has std² / (std² + sigma²) of it,
    lower / sigma of the rest is kept.  Their product takes the start to the result."""
    made, low = exact(temperature=temperature), torch.zeros(1, 3, 8, 8)
    grid, factor = made.method.sampling.levels().tolist(), 1.0
    for sigma, lower in pairwise(grid):
        known = STD**2 / (STD**2 + sigma**2)
        factor *= known + lower / sigma * (1 - known)
    z = NoiseField((0,))(torch.zeros(1, 3, 16, 16, dtype=torch.float64))
    start = temperature * math.sqrt(1 + grid[0] ** 2) * z
    expected = MEAN + factor * (start - MEAN)
    torch.testing.assert_close(walked(made, low)[-1].double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.0, 0.5, 0.8])
def test_with_fine_steps_the_spread_is_that_part_of_the_data_s(temperature: float) -> None:
    """The flow takes std² + sigma² to std²; 60 steps of the second order lose less than 1 % of the
    contrast.  The spread of 12,288 values is known to 0.6 %."""
    made = exact(sampler=DPM2M(), temperature=temperature, grid=LogSNR(0.01, 200.0), steps=60)
    image = walked(made, torch.zeros(1, 3, 32, 32))[-1]
    assert float(image.mean()) == pytest.approx(MEAN, abs=0.01)
    assert float(image.std()) == pytest.approx(temperature * STD, rel=0.03, abs=1e-3)


@pytest.mark.parametrize(
    "sampler", [Ancestral(1.0), Ancestral(0.5), Heun(4.0), SR3Ancestral(), Langevin()], ids=str
)
def test_fresh_noise_is_cooled_as_the_start_is(sampler: Sampler) -> None:
    """On Gaussian data a result is affine in its draws: half the noise adds half of what the whole adds."""
    low = torch.zeros(1, 3, 8, 8)
    none, half, whole = (
        walked(exact(sampler=sampler, temperature=t), low)[-1].double() for t in (0.0, 0.5, 1.0)
    )
    torch.testing.assert_close(half - none, (whole - none) / 2, rtol=1e-4, atol=1e-5)
    assert float(none.std()) < 1e-6


def test_without_noise_the_seed_does_not_matter() -> None:
    cold = cooler(X2, temperature=0.0)
    one, other = (walked(X2, LOW, NoiseField(seeds), sampling=cold)[-1] for seeds in ((0, 1), (2, 3)))
    assert torch.equal(one, other)
    assert not torch.equal(one, walked(X2, LOW, sampling=cooler(X2, temperature=0.5))[-1])


def test_a_start_that_is_given_is_taken_as_it_is() -> None:
    x, cold = normal(2, 3, 18, 14), cooler(X2, sampler=Ancestral(0.0), temperature=0.5)
    warm = replace(cold, temperature=1.0)
    one, other = (walked(X2, LOW, sampling=each, start=Start(x, 1)) for each in (cold, warm))
    assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_a_temperature_is_a_part_of_the_noise(value: float) -> None:
    with pytest.raises(ConfigError, match=r"temperature: .* is not between 0 \(no noise\) and 1 \(all\)"):
        cooler(X2, temperature=value)


# ------------------------------------------------------------------------------------------------ fidelity


def test_the_error_falls_to_that_of_the_mean_along_a_parabola() -> None:
    """X the picture, M its mean given all that is known, S a sample: X - M and S - M are independent, so
    E|X - (1 - f) S - f M|² = D* + (1 - f)² (D_S - D*), where D* = E|X - M|² and D_S = E|X - S|² = 2 D*
    (Freirich et al. 2021).  Of 196,608 values errors are known to 0.3 %."""
    low, high = torch.zeros(4, 3, 64, 64), MEAN + STD * normal(4, 3, 128, 128, seed=99)
    errors, shares = [], (-0.5, 0.0, 0.25, 0.5, 0.75, 1.0)
    for share in shares:
        image = walked(exact(sampler=DPM2M(), steps=40, grid=LogSNR(0.01, 200.0), fidelity=share), low)[-1]
        errors.append(float((image - high).square().mean()))
    least, sample = errors[-1], errors[1]
    assert least == pytest.approx(STD**2, rel=0.01)
    assert sample == pytest.approx(2 * STD**2, rel=0.02)
    for share, error in zip(shares, errors, strict=True):
        assert error == pytest.approx(least + (1 - share) ** 2 * (sample - least), rel=0.01)
    assert errors == sorted(errors, reverse=True)  # PSNR rises


@pytest.mark.parametrize("share", [-0.4, 0.3, 0.5, 0.9])
def test_every_estimate_is_the_sample_s_with_that_share_of_the_first(share: float) -> None:
    sample = walked(X2, LOW)
    mixed = walked(X2, LOW, sampling=cooler(X2, fidelity=share))
    assert len(mixed) == len(sample) == 3
    assert torch.equal(mixed[0], sample[0])
    for ours, its in zip(mixed, sample, strict=True):
        torch.testing.assert_close(ours, (1 - share) * its + share * sample[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("sampler", [Ancestral(), Heun(), DPM2M(), Langevin()], ids=str)
def test_the_mean_is_asked_for_once(sampler: Sampler) -> None:
    """What was first said of pure noise, which with Heun is not yet the first step's estimate; no more calls
    are made for it, whatever the steps."""
    made, said = stage(packed(2)), []
    made.model.network.register_forward_hook(lambda *given: said.append(given[2]))
    sampling = cooler(made, sampler=sampler, steps=4, consistent=None)
    walked(made, LOW, sampling=sampling)
    first, mean = said[0], replace(sampling, fidelity=1.0)
    said.clear()
    (image,) = walked(made, LOW, sampling=mean)
    base = made.model.base(LOW)
    assert len(said) == mean.calls == 1
    torch.testing.assert_close(image, made.method.target.decode(first, base), rtol=0, atol=1e-6)
    half = walked(made, LOW, sampling=replace(sampling, fidelity=0.5))[-1]
    whole = walked(made, LOW, sampling=sampling)[-1]
    torch.testing.assert_close(half, (whole + image) / 2, rtol=0, atol=1e-5)


@pytest.mark.parametrize("share", [0.3, -0.3])
@pytest.mark.parametrize("sampler", [Ancestral(), Heun(), DPM2M()], ids=str)
def test_a_mean_with_a_level_of_its_own_is_asked_for_there(sampler: Sampler, share: float) -> None:
    """Once, by a call that the walk knows nothing of; the rest is the straight line."""
    made, asked = stage(packed(2)), []
    made.model.network.register_forward_hook(lambda module, given, out: asked.append(float(given[1][0])))
    sampling = cooler(made, sampler=sampler, steps=3, mean=40.0, consistent=None)
    sample = walked(made, LOW, sampling=sampling)
    assert sampling.calls == len(asked) == sampler.calls(3)
    (mean,) = walked(made, LOW, sampling=replace(sampling, fidelity=1.0))
    assert replace(sampling, fidelity=1.0).calls == len(asked) - sampler.calls(3) == 1
    assert asked[-1] == pytest.approx(math.log(40.0) / 4)
    asked.clear()
    part = replace(sampling, fidelity=share)
    mixed = walked(made, LOW, sampling=part)
    assert part.calls == len(asked) == sampler.calls(3) + 1
    assert asked.count(pytest.approx(math.log(40.0) / 4)) == 1
    for ours, its in zip(mixed, sample, strict=True):
        torch.testing.assert_close(ours, (1 - share) * its + share * mean, rtol=0, atol=1e-5)


def test_that_call_is_counted_in_every_orientation() -> None:
    """And its picture is laid in all of them."""
    made, asked = stage(packed(2)), []
    made.model.network.register_forward_hook(lambda module, given, out: asked.append(float(given[1][0])))
    sampling = cooler(made, steps=2, mean=40.0, fidelity=0.5, orientations=4)
    walked(made, LOW, sampling=sampling)
    assert len(asked) == sampling.calls == 12
    assert asked.count(pytest.approx(math.log(40.0) / 4)) == 4


def test_each_stage_of_a_cascade_has_its_own_level() -> None:
    own = replace(X2, method=replace(X2.method, sampling=cooler(X2, mean=40.0)))
    chain = Cascade((Link(own), Link(own)))
    *_, last = restore_picture(chain, picture_of(CAT.crop((0, 0, 12, 10))), Options(fidelity=0.5, steps=None))
    assert last.image.size == (40, 48)


def test_a_mean_with_a_level_of_its_own_is_the_same_for_all_seeds_and_states() -> None:
    sampling = cooler(X2, mean=40.0, fidelity=1.0)
    one, other = (walked(X2, LOW, NoiseField(seeds), sampling=sampling)[-1] for seeds in ((0, 1), (7, 8)))
    assert torch.equal(one, other)
    whole = walked(X2, LOW, sampling=sampling, tile=16)[-1]
    torch.testing.assert_close(whole, one, rtol=0, atol=1e-5)
    start = Start(normal(2, 3, 18, 14), 1)
    half, sample = (
        walked(X2, LOW, sampling=replace(sampling, fidelity=f, sampler=Ancestral(0.0)), start=start)[-1]
        for f in (0.5, 0.0)
    )
    torch.testing.assert_close(half, (sample + one) / 2, rtol=0, atol=1e-5)


def test_what_it_is_asked_for_is_no_seeds_start() -> None:
    """Else the mean would have the errors of that seed's samples, and their sharing would be no mean."""
    made, shown = stage(plain(1)), []
    made.model.network.register_forward_hook(lambda module, given, out: shown.append(given[0]))
    walked(made, normal(2, 3, 64, 64), sampling=cooler(made, mean=40.0, fidelity=1.0, consistent=None))
    asked = shown[-1][:, :3]
    assert torch.equal(asked[0], asked[1])
    for seed in range(8):
        start = NoiseField((seed,))(asked[:1])
        assert abs(float(torch.corrcoef(torch.stack([asked[0].flatten(), start.flatten()]))[0, 1])) < 0.04


def test_a_mean_alone_is_one_call_whatever_the_sampler() -> None:
    many = Sampling(AnnealedLangevin(100), Explicit((10.0, 1.0)), 2, fidelity=1.0)
    assert (many.calls, replace(many, mean=10.0).calls) == (101, 1)


def test_absolute_errors_teach_no_mean() -> None:
    """But their median, except where there is one answer only."""
    method = replace(X2.method, p=1)
    wrong = "0.5 needs an estimate of the posterior mean, and the L1 loss (p: 1) trains the median; use 0"
    with pytest.raises(ConfigError) as caught:
        replace(method, sampling=cooler(X2, fidelity=0.5))
    assert str(caught.value) == f"sampling.fidelity: {wrong}"
    assert replace(method, precond=Blind(), sampling=cooler(X2, fidelity=0.5)).p == 1


@pytest.mark.parametrize("level", [1.5, 2000.0])
def test_of_exact_data_that_mean_is_the_mean(level: float) -> None:
    """Of pixels N(MEAN, STD²), given pure noise of that level: the higher it is, the nearer to MEAN."""
    made = exact()
    asked = cooler(made, mean=level, fidelity=1.0)
    made = replace(made, method=replace(made.method, levels=LogUniform(0.01, level), sampling=asked))
    (image,) = walked(made, torch.zeros(1, 3, 8, 8), NoiseField((7,)))
    pure = math.sqrt(1 + level**2) * seedless_noise(image)  # whatever the seed
    expected = MEAN + STD**2 / (STD**2 + level**2) * (pure - MEAN)
    torch.testing.assert_close(image, expected, rtol=1e-5, atol=1e-5)


def test_where_pictures_are_learnt_by_their_looks_the_mean_is_asked_for_elsewhere() -> None:
    seen = replace(packed(2), perception=Perception(1.0, below=30.0))
    Options(fidelity=0.0).check(stage(seen))
    for asked in (Options(fidelity=0.5), Options(fidelity=1.0)):
        with pytest.raises(ConfigError, match=r"fidelity: .* at 20 the perceptual loss sharpens it"):
            asked.check(stage(seen))
    with pytest.raises(ConfigError, match=r"fidelity: 1 needs an estimate of the posterior mean"):
        replace(packed(2), perception=Perception(), sampling=replace(seen.sampling, fidelity=1.0, mean=40.0))
    made = replace(seen, sampling=replace(seen.sampling, mean=40.0))
    Options(fidelity=0.5).check(stage(made))
    with pytest.raises(ConfigError, match=r"sampling\.mean: 500 is above the highest level learnt, 49\.4"):
        replace(made, sampling=replace(made.sampling, mean=500.0))


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf])
def test_the_level_of_a_mean_is_a_level(value: float) -> None:
    with pytest.raises(ConfigError, match=r"mean: .* is no noise level"):
        cooler(X2, mean=value)


def test_a_grid_of_fixed_steps_has_its_mean_too() -> None:
    sampling = cooler(X2, grid=Explicit((30.0, 2.0, 0.5)), steps=3, fidelity=1.0)
    assert sampling.levels().tolist() == [30.0, 0.0]


def test_tiles_and_batches_change_nothing() -> None:
    """As in test_stage, to a thousandth of a level of 8 bits and what a batch does to float32."""
    low = normal(2, 3, 40, 60).clamp(-1, 1)
    sampling = cooler(X2, temperature=0.8, fidelity=0.4)
    whole = walked(X2, low, sampling=sampling)[-1]
    torch.testing.assert_close(walked(X2, low, sampling=sampling, tile=16)[-1], whole, rtol=0, atol=1e-5)
    alone = walked(X2, low[1:], NoiseField((1,)), sampling=sampling)[-1]
    torch.testing.assert_close(alone, whole[1:], rtol=0, atol=1e-4)


def test_what_a_mask_keeps_is_kept_in_every_mixture() -> None:
    mask = torch.zeros(1, 1, 12, 10)
    mask[..., 3:8, 2:7] = 1
    picture = normal(1, 3, 12, 10).clamp(-1, 1)
    low = torch.cat((torch.where(mask > 0, normal(1, 3, 12, 10, seed=9), picture), mask), 1)
    known = mask.expand_as(picture) == 0
    for image in walked(SAME_SIZE, low, sampling=cooler(SAME_SIZE, temperature=0.7, fidelity=0.6)):
        assert torch.equal(image[known], picture[known])


def test_from_a_state_on_the_way_the_first_estimate_is_that_of_the_state() -> None:
    x, sampling = normal(2, 3, 18, 14), cooler(X2, fidelity=0.5, sampler=Ancestral(0.0))
    plainly = replace(sampling, fidelity=0.0)
    mixed, sample = (walked(X2, LOW, sampling=each, start=Start(x, 1)) for each in (sampling, plainly))
    torch.testing.assert_close(mixed[-1], (sample[0] + sample[-1]) / 2, rtol=0, atol=1e-5)
    high = normal(2, 3, 18, 14).clamp(-1, 1)
    noises = NoiseField((0, 1)), NoiseField((0, 1))
    mixed, sample = (
        [p.image for p in fuse_images(X2, LOW, high, noise, skip=1, sampling=each)]
        for noise, each in zip(noises, (sampling, plainly), strict=True)
    )
    torch.testing.assert_close(mixed[-1], (sample[0] + sample[-1]) / 2, rtol=0, atol=1e-5)


def test_pictures_are_redrawn_by_a_model_as_if_it_had_no_fidelity_of_its_own() -> None:
    made = replace(X2, method=replace(X2.method, sampling=cooler(X2, fidelity=0.7)))
    assert plan_redrawing(made, Options(), 0.5).sampling.fidelity == 0
    assert plan_redrawing(made, Options(fidelity=0.2), 0.5).sampling.fidelity == 0.2
    with pytest.raises(ConfigError, match="fidelity: 1 is the posterior mean, which redraws nothing"):
        plan_redrawing(made, Options(fidelity=1.0), 0.5)


# ----------------------------------------------------------------------------------------- pictures, errors

CAT = Image.fromarray(photo(60, 100, 40, 56).permute(1, 2, 0).numpy())


def values(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("share", [-1.0, -0.3, 0.0, 0.35, 0.7, 1.0])
def test_a_mixture_keeps_the_input_in_eight_bits_as_its_parts_do(share: float) -> None:
    """Both ends, made small, are the input, so all on the line through them are."""
    large = refinesr.upscale(X4, CAT, fidelity=share, precision="fp32")
    again = large.resize(CAT.size, Image.Resampling.BICUBIC)
    assert (values(again) == values(CAT)).mean() >= 0.995


def test_pictures_go_evenly_from_the_sample_to_the_mean() -> None:
    """But for rounding to 8 bits, and what is done to keep the input in spite of it."""
    made = [values(refinesr.upscale(X4, CAT, fidelity=share, consistent=False)) for share in (0.0, 0.5, 1.0)]
    sample, half, mean = made
    inside = (np.minimum(sample, mean) > 0) & (np.maximum(sample, mean) < 255)
    assert np.abs(sample - mean).mean() > 2
    assert np.abs(half - (sample + mean) / 2)[inside].max() <= 1


def test_what_is_asked_for_goes_before_the_model_s_own() -> None:
    made = replace(X4, method=replace(X4.method, sampling=cooler(X4, fidelity=0.25)))
    assert Options().sampling_for(made).fidelity == 0.25
    assert Options(fidelity=0.0).sampling_for(made).fidelity == 0
    assert Options(fidelity=1.0, steps=7).total_steps(made) == 1


def test_each_stage_of_a_cascade_is_asked_for_its_mean() -> None:
    chain = Cascade((Link(X2), Link(stage(packed(2), seed=1))))
    small = CAT.crop((0, 0, 12, 10))
    middle = refinesr.upscale(X2, small, fidelity=1.0, seed=5)
    *_, last = restore_picture(chain, picture_of(small), Options(fidelity=1.0, seed=5))
    assert (last.done, last.total) == (2, 2)
    assert last.image.size == (40, 48)
    again = Image.fromarray(last.image.pixels).resize(middle.size, Image.Resampling.BICUBIC)
    assert (values(again) == values(middle)).mean() > 0.98


@pytest.mark.parametrize("value", [-1.1, 1.1, math.nan])
def test_fidelity_is_a_share(value: float) -> None:
    right = r"-1 \(as far beyond the sample\) and 1 \(the mean\)"
    with pytest.raises(ConfigError, match=rf"fidelity: .* is not between {right}"):
        refinesr.upscale(X4, CAT, fidelity=value)


def test_of_predicted_noise_there_is_no_mean() -> None:
    """x0 = x - sigma * F: at the first level errors of F come out as many times as large."""
    table = Linear(1e-4, 0.02, 1000)
    method = replace(plain(2), precond=Eps(), label=SqrtGamma(), levels=Continuous(table))
    with pytest.raises(ConfigError, match=r"sampling\.fidelity: 0\.5 is for networks that predict the image"):
        replace(method, sampling=replace(method.sampling, fidelity=0.5))
    with pytest.raises(ConfigError, match=r"sampling\.fidelity: 1 is for networks"):
        Options(fidelity=1.0).check(stage(method))
    with pytest.raises(ConfigError, match=r"sampling\.fidelity: 1 is for networks"):
        Options(fidelity=1.0).check(Cascade((Link(X2), Link(stage(method)))))
    with pytest.raises(ConfigError, match=r"sampling\.fidelity: -0\.3 is for networks"):
        Options(fidelity=-0.3).check(stage(method))
    Options(fidelity=0.0).check(stage(method))
    assert replace(method, precond=Blind(), sampling=replace(method.sampling, fidelity=0.5)).sampling.fidelity


def test_nor_is_there_one_of_a_distilled_network() -> None:
    method = replace(plain(2), levels=Few((20.0, 1.0)))
    with pytest.raises(ConfigError, match="posterior mean, and a distilled student's is a sample; use 0"):
        replace(method, sampling=replace(method.sampling, fidelity=0.5))


def test_a_stage_that_is_told_of_noise_has_a_mean_too() -> None:
    image = refinesr.upscale(FORGIVING, CAT, fidelity=1.0)
    assert image.size == (112, 80)


def test_karras_and_the_rest_of_a_sampling_stay_as_they_are() -> None:
    asked = Options(fidelity=0.5).sampling_for(X4)
    assert asked == replace(X4.method.sampling, fidelity=0.5)
    assert isinstance(asked.grid, Karras)
