"""A method at work: tiles that leave no trace, noise in its order, progress that counts, warnings."""

import gc
import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from methods import normal, packed, plain, stage
from torch import Tensor

from refinesr.diffusion.denoisers import tiled
from refinesr.diffusion.levels import Continuous
from refinesr.diffusion.noise import NoiseField
from refinesr.diffusion.samplers import DPM2M, Ancestral, Heun, Renoised, Sampler, SR3Ancestral
from refinesr.diffusion.schedule import Even, Explicit, Linear
from refinesr.editing import fuse_images
from refinesr.images.projection import Projection
from refinesr.images.resize import MatlabBicubic, PillowBicubic
from refinesr.method import Method, Sampling
from refinesr.model import Residual
from refinesr.nets.rrdb import RRDB
from refinesr.nets.sr3_unet import SR3UNet
from refinesr.nets.srdiff_unet import SRDiffUNet
from refinesr.nets.tiny import Tiny
from refinesr.shapes import Denoiser, Noise
from refinesr.sources import Blank, Encoded
from refinesr.stage import Progress, Stage, Start


class Recorded:
    """Noise of a fixed seed that remembers what it was asked for."""

    def __init__(self, seed: int = 0) -> None:
        self.field, self.asked = NoiseField((seed,)), []

    def __call__(self, like: Tensor) -> Tensor:
        self.asked.append(like)
        return self.field(like)


def last(made: Stage, low: Tensor, noise: Noise | None = None, **options: object) -> Tensor:
    *_, progress = made(low, noise or NoiseField((0,) * len(low)), **options)  # type: ignore[arg-type]
    return progress.image


X2, X4 = stage(packed(2)), stage(packed(4))


@settings(deadline=None, max_examples=12)
@given(
    size=st.tuples(st.integers(1, 90), st.integers(40, 110)),
    core=st.integers(1, 48),
    made=st.sampled_from([X2, X4]),
    kept=st.booleans(),
)
def test_tiled_equals_whole(size: tuple[int, int], core: int, made: Stage, kept: bool) -> None:
    """To the rounding of float32: convolutions sum in another order for another size, three steps of them.
    A thousandth of a level of 8 bits; measured: a ten thousandth."""
    low = normal(1, 3, *size, seed=sum(size)).clamp(-1, 1)
    sampling = made.method.sampling if kept else replace(made.method.sampling, consistent=None)
    whole = last(made, low, sampling=sampling)
    by_tiles = last(made, low, sampling=sampling, tile=core)
    torch.testing.assert_close(by_tiles, whole, rtol=0, atol=1e-3 / 127.5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_pictures_may_be_of_any_float_type(dtype: torch.dtype) -> None:
    """The weights are float32; what is between calls is of the picture's type."""
    low = normal(1, 3, 9, 7).clamp(-1, 1).to(dtype)
    made = last(X4, low)
    assert made.dtype == dtype
    rounding = {torch.float64: 1e-5, torch.bfloat16: 0.1, torch.float16: 0.01}[dtype]
    torch.testing.assert_close(made.float(), last(X4, low.float()), rtol=0, atol=rounding)


def srdiff() -> Method:
    encoder = RRDB(width=8, growth=4, blocks=2, scale=2)
    return replace(
        plain(2),
        network=SRDiffUNet(features=8, width=8, multipliers=(1, 2), scale=2),
        source=Encoded(encoder, MatlabBicubic()),
        target=Residual(2.0),
    )


def test_srdiff_is_encoded_once_and_its_tiles_need_a_halo_for_its_unet_alone() -> None:
    """Its encoder sees 32 low pixels to every side, its U-Net 15."""
    made, encoded, sizes = stage(srdiff()), [], []
    hooks = [
        made.model.source.register_forward_hook(lambda *_: encoded.append(1)),
        made.model.network.register_forward_pre_hook(lambda _, given: sizes.append(given[0].shape[-1] // 2)),
    ]
    low, halo = normal(1, 3, 40, 150).clamp(-1, 1), made.method.halo
    assert halo is not None
    by_tiles = last(made, low, tile=24)
    for hook in hooks:
        hook.remove()
    assert len(encoded) < len(sizes)  # once for each of its tiles, and not for each step and tile
    assert max(sizes) <= 24 + 2 * (halo + 1) + made.method.stride < 24 + 2 * made.method.reach
    torch.testing.assert_close(by_tiles, last(made, low), rtol=1e-4, atol=1e-4)


def test_tiled_is_indeed_tiled() -> None:
    """What the test above compares is made of several tiles, whose network sees no more than they hold."""
    made, low, sizes = stage(packed(4)), normal(1, 3, 90, 100), []
    made.model.network.register_forward_pre_hook(lambda _, given: sizes.append(given[0].shape[-2:]))
    last(made, low, tile=8)
    assert len(sizes) == 3 * len(made.tiles(low, 8))
    assert len(made.tiles(low, 8)) > 8
    assert max(height * width for height, width in sizes) < 16 * 90 * 100 / 2


def test_windows_are_where_the_picture_is_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU would wait for each of them in every step."""
    made, low, given = stage(packed(4)), normal(1, 3, 90, 100), []
    monkeypatch.setattr("refinesr.stage.tiled", lambda parts: given.extend(parts) or tiled(parts))
    monkeypatch.setattr("refinesr.stage.encode", lambda *_: {})
    monkeypatch.setattr("refinesr.stage.autocasting", lambda *_: nullcontext())  # none on "meta"
    made.tiled_denoiser(low.double().to("meta"), 8, None)
    assert len(given) > 2
    windows = [window for _, window, _ in given]
    assert {(window.down.device.type, window.across.dtype) for window in windows} == {("meta", torch.float64)}


def test_a_pixel_next_to_a_seam_is_as_right_as_any_other() -> None:
    low = normal(1, 3, 64, 128).clamp(-1, 1)
    difference = (last(X2, low, tile=16) - last(X2, low)).abs().amax((0, 1))
    seams = [2 * tile.box.left for tile in X2.tiles(low, 16)][1:]
    assert difference[:, seams].max() <= 10 * difference.mean() + 1e-6


def test_a_network_that_sees_everything_is_blended() -> None:
    """Not exact, as GroupNorm sees the tile: but what differs from the whole picture comes and goes smoothly.

    Its steepest step is 3.6 times the mean; blended over two pixels, it would be 10 times.
    """
    network = SR3UNet(width=8, multipliers=(1, 2), blocks=1, attention=(), groups=4)
    made = stage(replace(plain(2), network=network))
    low = normal(1, 3, 48, 160).clamp(-1, 1)
    steps = (last(made, low, tile=32) - last(made, low)).diff(dim=-1).abs().mean((0, 1, 2))
    assert 0 < steps.max() < 6 * steps.mean()
    for core in (8, 32, 96):
        boxes = [tile.box for tile in made.tiles(torch.zeros(1, 3, 8, 400), core)]
        assert len(boxes) > 2
        shared = [one.left + one.width - other.left for one, other in itertools.pairwise(boxes)]
        assert min(shared) >= 2 * max(4, core / 8)


@pytest.mark.parametrize(
    ("sampler", "calls"),
    [
        (Ancestral(1.0), 3),
        (Ancestral(0.0), 1),
        (SR3Ancestral(), 3),
        (Heun(), 1),
        (Heun(5.0), 4),
        (DPM2M(), 1),
        (Renoised(), 3),
    ],
    ids=str,
)
def test_noise_is_asked_for_the_start_and_then_once_for_each_fresh_draw(sampler: Sampler, calls: int) -> None:
    """Three steps: the first call is given the base, and none is made for the last step."""
    low, noise = normal(1, 3, 6, 5), Recorded()
    last(X2, low, noise, sampling=replace(X2.method.sampling, sampler=sampler))
    assert len(noise.asked) == calls
    assert torch.equal(noise.asked[0], X2.model.base(low))
    assert {like.shape for like in noise.asked} == {(1, 3, 12, 10)}


def test_the_start_is_noise_of_the_first_level_on_nothing() -> None:
    """x = sqrt(1 + grid[0]²) * noise(base), whatever the base: pure noise in variance-preserving terms."""
    made, low = stage(packed(2)), normal(1, 3, 6, 5)
    seen: list[Tensor] = []
    made.model.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    last(made, low)
    torch.testing.assert_close(seen[0], NoiseField((0,))(made.model.base(low)))


@pytest.mark.parametrize(("sampler", "calls"), [(Ancestral(), 4), (Heun(), 7), (DPM2M(), 4)], ids=str)
def test_progress_counts_steps_and_the_network_is_called_as_often_as_promised(
    sampler: Sampler, calls: int
) -> None:
    made, count = stage(packed(2)), []
    made.model.network.register_forward_hook(lambda *_: count.append(1))
    sampling = replace(made.method.sampling, sampler=sampler, steps=4)
    counted = [(p.done, p.total) for p in made(normal(1, 3, 4, 4), Recorded(), sampling=sampling)]
    assert counted == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert len(count) == calls == sampling.calls


def test_every_estimate_is_consistent_if_the_last_is() -> None:
    """To the rounding of float32, which the projection works in."""
    low = normal(1, 3, 9, 7).clamp(-1, 1)
    projection = Projection((36, 28), (9, 7), PillowBicubic())
    for progress in X4(low, NoiseField((0,))):
        torch.testing.assert_close(projection.down(progress.image), low, rtol=0, atol=1e-5)


def test_without_it_they_are_not() -> None:
    low = normal(1, 3, 9, 7).clamp(-1, 1)
    image = last(X4, low, sampling=replace(X4.method.sampling, consistent=None))
    assert (Projection((36, 28), (9, 7), PillowBicubic()).down(image) - low).abs().max() > 0.05


def test_clipping_is_of_what_is_diffused() -> None:
    """Pixels end in [-1, 1]; a residual of gain 3.5 ends within 1 / 3.5 of the base, wherever that is."""
    made = stage(plain(2))
    low = normal(1, 3, 6, 5)
    assert last(made, low).abs().max() <= 1
    sampling = replace(X2.method.sampling, clip=True, consistent=None)
    image = last(X2, 3 * low, sampling=sampling)
    assert image.abs().max() > 1
    assert (image - X2.model.base(3 * low)).abs().max() <= 1 / 3.5 + 1e-6


def short() -> Method:
    """SR3's betas over 100 rows in place of 2000: the grid of a well-known mistake."""
    few = Even(Linear(1e-6, 1e-2, 100))
    return replace(
        plain(2),
        levels=Continuous(Linear(1e-6, 1e-2, 2000)),
        sampling=Sampling(Ancestral(), few, 2),
    )


def test_a_grid_far_below_the_trained_levels_warns() -> None:
    low = normal(1, 3, 4, 4)
    with pytest.warns(UserWarning, match="the grid starts at gamma = 0.61"):
        last(stage(short()), low)
    right = Sampling(Ancestral(), Even(Linear(1e-6, 1e-2, 2000)), 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        last(stage(short()), low, sampling=right)


def test_images_of_a_batch_do_not_know_of_each_other() -> None:
    low = normal(3, 3, 8, 8)
    together = last(X2, low, NoiseField((4, 5, 6)))
    alone = last(X2, low[1:2], NoiseField((5,)))
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-4)


def test_of_a_blank_page_only_the_shape_counts() -> None:
    made = stage(replace(plain(2), source=Blank(), network=Tiny(image_channels=0)))
    assert torch.equal(last(made, normal(1, 3, 4, 5)), last(made, normal(1, 3, 4, 5, seed=1)))


def test_a_half_walked_stage_can_be_closed_and_lets_go_of_its_tensors() -> None:
    start = torch.zeros(1, 3, 16, 16)
    walk = X2(normal(1, 3, 8, 8), lambda like: start)
    next(walk)
    walk.close()
    held = [found for found in gc.get_referrers(start) if type(found).__name__ == "generator"]
    assert held == []
    with pytest.raises(StopIteration):
        next(walk)


def test_gradients_are_neither_made_nor_switched_off_for_the_caller() -> None:
    made = stage(packed(2))
    made.model.requires_grad_(True)
    for progress in made(normal(1, 3, 4, 4), NoiseField((0,))):
        assert torch.is_grad_enabled()
        assert not progress.image.requires_grad


def test_autocast_is_for_the_network_alone() -> None:
    """The result is float32, near that of float32, and consistent with low far beyond bf16's 8 bits."""
    dtypes: list[torch.dtype] = []
    made = stage(packed(2))
    middle = made.model.network.get_submodule("middle")
    middle.register_forward_hook(lambda *given: dtypes.append(given[2].dtype))
    low = normal(1, 3, 8, 8).clamp(-1, 1)
    image = last(made, low, autocast=torch.bfloat16)
    assert set(dtypes) == {torch.bfloat16}
    assert image.dtype == torch.float32
    assert (image - last(made, low)).abs().mean() < 0.02
    down: Callable[[Tensor], Tensor] = Projection((16, 16), (8, 8), PillowBicubic()).down
    torch.testing.assert_close(down(image), low, rtol=0, atol=1e-5)


def test_the_callers_autocast_is_not_the_networks() -> None:
    low = normal(1, 3, 8, 8).clamp(-1, 1)
    expected = last(X2, low)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(last(X2, low), expected)


@pytest.mark.parametrize("mixed", [False, True], ids=["drawn", "fused"])
def test_an_image_is_the_callers_to_edit(mixed: bool) -> None:
    """Of a method that diffuses pixels an image is the estimate from which the walk goes on."""
    made, low = stage(plain(2)), normal(1, 3, 6, 5).clamp(-1, 1)
    made = replace(made, method=replace(made.method, sampling=replace(made.method.sampling, clip=False)))

    def walk() -> Iterator[Progress[Tensor]]:
        noise = NoiseField((0,))
        return fuse_images(made, low, normal(1, 3, 12, 10), noise, skip=0) if mixed else made(low, noise)

    expected = [progress.image.clone() for progress in walk()]
    for progress, image in zip(walk(), expected, strict=True):
        assert torch.equal(progress.image, image)
        progress.image.zero_()


@dataclass(frozen=True)
class Short:
    """A sampler that yields `many` estimates, whatever is asked for."""

    many: int

    def __call__(self, denoise: Denoiser, x: Tensor, grid: Tensor, noise: Noise) -> Iterator[Tensor]:
        yield from [denoise(x, grid[0])] * self.many

    def calls(self, steps: int) -> int:
        return 1


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("many", [0, 2])
def test_a_sampler_that_does_not_yield_an_estimate_in_each_step_is_named(many: int) -> None:
    sampling = replace(X2.method.sampling, sampler=Short(many))  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=rf"^Short\(many={many}\) yields {many} estimates in 3 steps, not one"
    ):
        list(X2(normal(1, 3, 4, 4), NoiseField((0,)), sampling=sampling))


def test_another_sampling_may_be_asked_for() -> None:
    sampling = Sampling(Ancestral(0.0), Explicit((30.0, 0.5)), 2)
    assert [p.done for p in X2(normal(1, 3, 4, 4), NoiseField((0,)), sampling=sampling)] == [1, 2]


def test_from_a_state_on_the_way_it_goes_on_as_it_would_have() -> None:
    """DDIM, which asks for no noise on the way: its second half, begun where the first one ended."""
    made = stage(packed(2))
    sampling = replace(made.method.sampling, sampler=Ancestral(0.0), steps=4)
    low, states = normal(1, 3, 6, 5), []
    network = made.model.network
    hook = network.register_forward_pre_hook(lambda _, given: states.append(given[0]))
    whole = [p.image for p in made(low, NoiseField((0,)), sampling=sampling)]
    hook.remove()
    grid = sampling.levels()
    sigma = grid[2:3]
    into = float(made.model.precond.coefficients(sigma).into)
    silent = Recorded()
    half = list(made(low, silent, sampling=sampling, start=Start(states[2] / into, 2)))
    assert silent.asked == []
    assert [(p.done, p.total) for p in half] == [(1, 2), (2, 2)]
    for again, first in zip(half, whole[2:], strict=True):
        torch.testing.assert_close(again.image, first, rtol=1e-4, atol=1e-5)
