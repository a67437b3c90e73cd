"""To noise and back: interpolation and fusion against closed forms, with every kind of model."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import pytest
import torch
from methods import normal, packed, plain, stage
from torch import Tensor, nn

from refinesr.diffusion.labels import LogSigma
from refinesr.diffusion.noise import NoiseField
from refinesr.diffusion.precond import Blind, Clean, Eps
from refinesr.diffusion.samplers import DPM2M, Ancestral, Sampler
from refinesr.diffusion.schedule import Karras, LogSNR
from refinesr.editing import fuse_images, interpolate_images, pasted, repeat_first_draw
from refinesr.errors import ConfigError
from refinesr.images.augment import CascadeAugmented
from refinesr.images.projection import Projection
from refinesr.images.resize import PillowBicubic
from refinesr.method import Method, Sampling
from refinesr.model import Model, Pixels, Residual, Target, with_plane
from refinesr.nets.rrdb import RRDB
from refinesr.nets.sr3_unet import SR3UNet
from refinesr.nets.srdiff_unet import SRDiffUNet
from refinesr.nets.tiny import Tiny
from refinesr.shapes import Noise
from refinesr.sources import Augmented, Blank, Encoded, Labelled
from refinesr.stage import Progress, Stage
from refinesr.tiles import Box

MEAN, STD = 0.3, 0.4


class Gaussian(nn.Module):
    """E[x0 | x] where x0 is normal with this mean and std in every pixel: what is perfect behind `Clean`."""

    def forward(self, x: Tensor, label: Tensor, image: Tensor) -> Tensor:
        sigma = torch.exp(4 * label)[:, None, None, None]
        noisy = x * (1 + sigma**2).sqrt()
        return MEAN + STD**2 / (STD**2 + sigma**2) * (noisy - MEAN)


def exact(sampler: Sampler, steps: int = 6, target: Target | None = None) -> Stage:
    sampling = Sampling(sampler, Karras(0.01, 20.0), steps)
    method = replace(plain(2), precond=Clean(), target=target or Pixels(), sampling=sampling)
    return Stage(method, Model(Gaussian(), method.source.build(2, 3), Clean(), LogSigma()))


def silence(like: Tensor) -> Tensor:
    return torch.zeros_like(like)


def drawn(seed: int = 0) -> NoiseField:
    return NoiseField((seed,))


def last(walked: Iterator[Progress[Tensor]]) -> Tensor:
    *_, progress = walked
    return progress.image


def looked_at(made: Stage) -> list[tuple[Tensor, float]]:
    """x and sigma of every call of a network behind `Clean`, as they come."""
    seen: list[tuple[Tensor, float]] = []

    def look(_: nn.Module, given: tuple[Tensor, Tensor]) -> None:
        sigma = float(torch.exp(4 * given[1][0]))
        seen.append((given[0] * math.sqrt(1 + sigma**2), sigma))

    made.model.network.register_forward_pre_hook(look)
    return seen


LOW = normal(1, 3, 8, 7).clamp(-1, 1)
FIRST, SECOND = (normal(1, 3, 16, 14, seed=seed).clamp(-1, 1) for seed in (1, 2))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_mean_of_what_it_becomes_is_the_posterior_mean_of_the_mix(share: float) -> None:
    """On Gaussian data the factors of the DDPM posteriors' means multiply to std² / (std² + sigma²), whatever
    the steps between; without noise on the way it is the mean.  Float32, four steps."""
    made = exact(Ancestral(1.0))
    sigma = float(made.method.sampling.levels()[2])
    image = last(interpolate_images(made, LOW, FIRST, SECOND, silence, share=share, skip=2))
    mix = (1 - share) * FIRST + share * SECOND
    torch.testing.assert_close(image, MEAN + STD**2 / (STD**2 + sigma**2) * (mix - MEAN), rtol=0, atol=1e-5)


@pytest.mark.parametrize("target", [Pixels(), Residual(2.0)], ids=str)
def test_a_walk_without_fresh_noise_ends_where_the_flow_does(target: Target) -> None:
    """The flow's ODE scales the distance from the mean by std / sqrt(std² + sigma²) (Karras et al. 2022,
    appendix B.1).  200 steps of second order: 1e-3; measured 1e-4."""
    made = exact(DPM2M(), 200, target)
    sigma = float(made.method.sampling.levels()[90])
    draws = normal(1, 3, 16, 14, seed=3), normal(1, 3, 16, 14, seed=4)
    asked = iter(draws)
    image = last(interpolate_images(made, LOW, FIRST, SECOND, lambda _: next(asked), share=0.4, skip=90))
    base = made.model.base(LOW)
    one, two = (target.encode(high, base) for high in (FIRST, SECOND))
    x = 0.6 * (one + sigma * draws[0]) + 0.4 * (two + sigma * draws[1])
    wanted = target.decode(MEAN + STD / math.sqrt(STD**2 + sigma**2) * (x - MEAN), base)
    torch.testing.assert_close(image, wanted, rtol=0, atol=1e-3)


@pytest.mark.parametrize("made", [stage(plain(2)), stage(packed(2)), exact(Ancestral())])
def test_near_the_end_of_the_grid_the_pictures_are_simply_mixed(made: Stage) -> None:
    """At sigma = 1e-4, with a network that is asked for the noise: it can move nothing farther than that."""
    method = replace(made.method, precond=Eps(), sampling=Sampling(Ancestral(), LogSNR(1e-4, 20.0), 5))
    near = Stage(method, Model(made.model.network, made.model.source, Eps(), LogSigma()))
    image = last(interpolate_images(near, LOW, FIRST, SECOND, repeat_first_draw(drawn()), share=0.25, skip=4))
    torch.testing.assert_close(image, 0.75 * FIRST + 0.25 * SECOND, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("share", "end"), [(0.0, FIRST), (1.0, SECOND)])
def test_at_its_ends_it_is_one_picture_taken_to_noise_and_back(share: float, end: Tensor) -> None:
    made = stage(packed(2))
    image = last(
        interpolate_images(made, LOW, FIRST, SECOND, repeat_first_draw(drawn()), share=share, skip=1)
    )
    assert torch.equal(image, last(fuse_images(made, LOW, end, drawn(), skip=1)))


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_it_does_not_matter_which_is_called_the_first(share: float) -> None:
    """To the rounding of float32."""
    made = exact(Ancestral())

    def between(one: Tensor, two: Tensor, share: float) -> Tensor:
        return last(interpolate_images(made, LOW, one, two, repeat_first_draw(drawn()), share=share, skip=3))

    there = between(FIRST, SECOND, share)
    torch.testing.assert_close(there, between(SECOND, FIRST, 1 - share), rtol=0, atol=1e-5)
    assert share == 0.5 or (there - between(SECOND, FIRST, share)).abs().max() > 0.1


@pytest.mark.parametrize(
    ("wrap", "factor"), [(repeat_first_draw, 1.0), (lambda noise: noise, math.sqrt(0.5))]
)
def test_two_draws_mixed_are_less_noise_than_the_network_is_told(
    wrap: Callable[[Noise], Noise], factor: float
) -> None:
    """The std of 49152 values, 5 standard errors of 0.3 %."""
    made = exact(Ancestral())
    seen = looked_at(made)
    first, second = normal(1, 3, 128, 128, seed=1), normal(1, 3, 128, 128, seed=2)
    last(interpolate_images(made, normal(1, 3, 64, 64), first, second, wrap(drawn()), share=0.5, skip=1))
    x, sigma = seen[0]
    noise = (x - (first + second) / 2) / sigma
    assert float(noise.std()) == pytest.approx(factor, rel=5 * 0.0032)


def test_noise_is_asked_for_the_first_then_the_second_then_each_step() -> None:
    made, asked = stage(plain(2)), []

    def noise(like: Tensor) -> Tensor:
        asked.append(like)
        return torch.zeros_like(like)

    sampling = replace(made.method.sampling, steps=5)
    last(interpolate_images(made, LOW, FIRST, SECOND, noise, share=0.5, skip=2, sampling=sampling))
    assert len(asked) == 2 + 2  # three steps, none for the last
    assert torch.equal(asked[0], FIRST)
    assert torch.equal(asked[1], SECOND)
    asked.clear()
    last(fuse_images(made, LOW, FIRST, noise, skip=2, sampling=sampling))
    assert len(asked) == 1 + 2


def test_the_first_draw_twice_then_each_once() -> None:
    numbers = count()
    noise = repeat_first_draw(lambda like: torch.full_like(like, next(numbers)))
    assert [float(noise(torch.zeros(1, 1, 1, 1))) for _ in range(5)] == [0, 0, 1, 2, 3]


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_with_a_lag_the_same_variance_preserving_state_is_taken_for_one_of_a_later_level(lag: int) -> None:
    made = exact(Ancestral())
    grid, seen = made.method.sampling.levels(), looked_at(made)
    steps = list(interpolate_images(made, LOW, FIRST, SECOND, silence, share=0.3, skip=1, lag=lag))
    x, sigma = seen[0]
    preserved = (0.7 * FIRST + 0.3 * SECOND) / math.sqrt(1 + float(grid[1]) ** 2)
    assert sigma == pytest.approx(float(grid[1 + lag]), rel=1e-5)
    torch.testing.assert_close(x / math.sqrt(1 + sigma**2), preserved, rtol=0, atol=1e-5)
    assert [(p.done, p.total) for p in steps] == [(k, 5 - lag) for k in range(1, 6 - lag)]


def test_what_training_aims_at_is_what_is_taken_to_noise() -> None:
    """Residuals clipped to [-1, 1], where SRDiff's code does that."""
    made = exact(Ancestral(), target=Residual(20.0, clip=True))
    seen = looked_at(made)
    last(interpolate_images(made, LOW, FIRST, SECOND, silence, share=0.0, skip=1))
    assert seen[0][0].abs().max() == pytest.approx(1)


def part() -> Tensor:
    """A mask with all of it in the middle, half of it on one side."""
    mask = torch.zeros(1, 1, 16, 14)
    mask[..., 4:12, 3:11] = 1
    mask[..., 4:12, 2] = 0.5
    return mask


@pytest.mark.parametrize("made", [stage(plain(2)), stage(packed(2))], ids=["pixels", "residual"])
def test_what_is_not_redrawn_is_as_it_was(made: Stage) -> None:
    """In every estimate, to the rounding of float32; and a half is half way."""
    mask = part()
    free = [p.image for p in fuse_images(made, LOW, FIRST, drawn(), skip=1)]
    for progress in fuse_images(made, LOW, FIRST, drawn(), skip=1, mask=mask):
        torch.testing.assert_close((1 - mask.ceil()) * progress.image, (1 - mask.ceil()) * FIRST)
    changed = (progress.image - FIRST).abs()
    assert changed[..., 5:11, 4:10].mean() > 0.05
    assert (free[-1] - FIRST).abs()[..., :3, :].mean() > 0.05
    halves = next(fuse_images(made, LOW, FIRST, drawn(), skip=1, mask=torch.full_like(mask, 0.5))).image
    torch.testing.assert_close(halves, (FIRST + free[0]) / 2, rtol=0, atol=1e-5)


def test_what_is_not_redrawn_is_shown_to_the_network_as_noisy_as_the_rest() -> None:
    """At every level; the std of 24576 values, 5 standard errors of 0.45 %."""
    made = exact(Ancestral())
    seen, mask = looked_at(made), torch.zeros(1, 1, 128, 128)
    mask[..., :64] = 1
    high = normal(1, 3, 128, 128, seed=1)
    last(fuse_images(made, normal(1, 3, 64, 64), high, drawn(), skip=1, mask=mask))
    assert len(seen) == 5
    for x, sigma in seen:
        noise = ((x - high) / sigma)[..., 64:]
        assert float(noise.std()) == pytest.approx(1, rel=5 * 0.0045)


def test_consistent_models_keep_to_low_where_all_is_redrawn() -> None:
    made = stage(packed(4))
    first, second = (normal(1, 3, 32, 28, seed=seed) for seed in (1, 2))
    down = Projection((32, 28), (8, 7), PillowBicubic()).down
    for image in (
        last(interpolate_images(made, LOW, first, second, drawn(), share=0.5, skip=1)),
        last(fuse_images(made, LOW, first, drawn(), skip=1)),
    ):
        torch.testing.assert_close(down(image), LOW, rtol=0, atol=1e-5)


def test_tiles_change_nothing() -> None:
    """As for `Stage`: a thousandth of a level of 8 bits."""
    made, low = stage(packed(2)), normal(1, 3, 60, 80).clamp(-1, 1)
    first, second = (normal(1, 3, 120, 160, seed=seed).clamp(-1, 1) for seed in (1, 2))
    mask = torch.linspace(0, 1, 160).expand(1, 1, 120, 160)
    assert len(made.tiles(low, 16)) > 2
    for walk in (
        lambda tile: interpolate_images(made, low, first, second, drawn(), share=0.5, skip=1, tile=tile),
        lambda tile: fuse_images(made, low, first, drawn(), skip=1, mask=mask, tile=tile),
    ):
        torch.testing.assert_close(last(walk(16)), last(walk(0)), rtol=0, atol=1e-3 / 127.5)


SR3 = SR3UNet(width=8, multipliers=(1, 2), blocks=1, attention=(), groups=4)


def seeing(method: Method, **changes: object) -> Stage:
    return stage(replace(method, **changes))  # type: ignore[arg-type]


KINDS = {
    "SR3's arrangement": (seeing(plain(2), network=SR3), LOW),
    "residuals": (stage(packed(2)), LOW),
    "SRDiff's arrangement": (
        seeing(
            packed(2),
            source=Encoded(RRDB(width=4, growth=2, blocks=2, scale=2), frozen=True),
            network=SRDiffUNet(features=4, width=8, multipliers=(1, 2), scale=2),
            precond=Eps(),
            target=Residual(2.0, clip=True),
        ),
        LOW,
    ),
    "a blank page": (seeing(plain(2), source=Blank(), network=Tiny(image_channels=0)), LOW),
    "classes": (
        seeing(plain(2), source=Labelled(4), network=replace(SR3, image_channels=0, vector=4)),
        with_plane(LOW, torch.tensor([2.0])),
    ),
    "augmented": (
        seeing(
            plain(2),
            source=Augmented(width=8),
            network=replace(SR3, vector=8),
            degradation=CascadeAugmented(2),
        ),
        with_plane(LOW, torch.tensor([0.1])),
    ),
    "a mask": (
        stage(plain(1)),
        torch.cat((FIRST, (torch.arange(14) < 7).float().expand(1, 1, 16, 14)), 1),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_model_that_sees_noise_can_do_it(kind: str) -> None:
    """With as many steps as are left, and what it makes depends on what it is given."""
    made, low = KINDS[kind]
    steps = list(interpolate_images(made, low, FIRST, SECOND, drawn(), share=0.5, skip=1))
    assert [(p.done, p.total) for p in steps] == [(1, 2), (2, 2)]
    other = last(interpolate_images(made, low, FIRST, FIRST, drawn(), share=0.5, skip=1))
    assert (steps[-1].image - other).abs().max() > 1e-3
    redrawn = [last(fuse_images(made, low, high, drawn(), skip=1)) for high in (FIRST, SECOND)]
    assert (redrawn[0] - redrawn[1]).abs().max() > 1e-3
    assert all(bool(image.isfinite().all()) for image in (steps[-1].image, *redrawn))


def test_an_inpainting_model_keeps_what_is_known() -> None:
    made, low = KINDS["a mask"]
    image = last(interpolate_images(made, low, FIRST, SECOND, drawn(), share=1.0, skip=1))
    assert torch.equal(image[..., 7:], FIRST[..., 7:])
    assert (image - FIRST)[..., :7].abs().max() > 0.1


def test_a_regression_is_refused() -> None:
    made = exact(Ancestral())
    blind = Stage(replace(made.method, precond=Blind()), made.model)
    for walk in (
        interpolate_images(blind, LOW, FIRST, SECOND, silence, share=0.5, skip=1),
        fuse_images(blind, LOW, FIRST, silence, skip=1),
    ):
        with pytest.raises(ConfigError, match="precond: a Blind network takes no noisy image"):
            next(walk)


@pytest.mark.parametrize(("skip", "lag"), [(-1, 0), (6, 0), (5, 1), (2, -1)])
def test_levels_that_the_grid_has_not_are_a_mistake(skip: int, lag: int) -> None:
    with pytest.raises(ValueError, match="the grid has the levels 0 to 5"):
        next(
            interpolate_images(exact(Ancestral()), LOW, FIRST, SECOND, silence, share=0.5, skip=skip, lag=lag)
        )


def test_what_is_redrawn_is_not_drawn_to_the_mean_unasked() -> None:
    """A method's own fidelity is for walks from noise."""
    made = stage(packed(2))
    nearer = replace(made.method, sampling=replace(made.method.sampling, fidelity=0.5))
    for walk in (
        lambda made: interpolate_images(made, LOW, FIRST, SECOND, drawn(), share=0.5, skip=1),
        lambda made: fuse_images(made, LOW, FIRST, drawn(), skip=1),
    ):
        assert torch.equal(last(walk(made)), last(walk(replace(made, method=nearer))))


def test_gradients_are_neither_made_nor_switched_off_for_the_caller() -> None:
    made = stage(packed(2))
    made.model.requires_grad_(True)
    for walk in (
        interpolate_images(made, LOW, FIRST, SECOND, drawn(), share=0.5, skip=1),
        fuse_images(made, LOW, FIRST, drawn(), skip=1, mask=part()),
    ):
        for progress in walk:
            assert torch.is_grad_enabled()
            assert not progress.image.requires_grad


def test_pasting_mixes_in_one_place_and_leaves_what_was_given() -> None:
    high, other = torch.ones(1, 3, 6, 5), torch.full((1, 3, 2, 3), 5.0)
    weight = torch.tensor([[1.0, 0.5, 0.0]]).expand(2, 3)
    out = pasted(high, other, Box(3, 1, 2, 3), weight)
    assert out[0, 0, 3].tolist() == [1, 5, 3, 1, 1]
    assert (out - high).sum() == 3 * 2 * (4 + 2)
    assert torch.equal(high, torch.ones(1, 3, 6, 5))
