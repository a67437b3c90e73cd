"""Stages in a row: what each is given, whose noise is whose, what is refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from cascades import BASE, FORGIVING, LARGER, PAGE, SIDE, augmented, by_class
from methods import normal, packed, plain, stage
from torch import Tensor

from refinesr.cascade import Cascade, Link
from refinesr.diffusion.noise import NoiseField
from refinesr.errors import ConfigError
from refinesr.images.resize import MatlabBicubic
from refinesr.model import with_plane
from refinesr.shapes import Noise
from refinesr.stage import Stage

LABELS = torch.tensor([0.0, 2.0, 1.0])
LOW = with_plane(torch.zeros(3, 3, SIDE, SIDE), LABELS)
WHOLE = Cascade((Link(BASE), Link(FORGIVING, level=0.25), Link(LARGER)))


class Recorded:
    """Noise that remembers what it was asked for."""

    def __init__(self, *seeds: int) -> None:
        self.field, self.asked = NoiseField(seeds), []

    def __call__(self, like: Tensor) -> Tensor:
        self.asked.append(like)
        return self.field(like)


def last(made: Stage | Cascade, low: Tensor, noise: Noise, **options: object) -> Tensor:
    *_, progress = made(low, noise, **options)  # type: ignore[arg-type]
    return progress.image


def test_it_is_its_stages_run_by_hand() -> None:
    """One source of noise for all: the base's draws, one for its picture's noise, the next stage's, ..."""
    noise = NoiseField((5, 6, 7))
    small = last(BASE, LOW, noise).clamp(-1, 1)
    given = with_plane(small + 0.25 * noise(small), torch.full((3,), 0.25))
    middle = last(FORGIVING, given, noise).clamp(-1, 1)
    expected = last(LARGER, middle, noise)
    assert torch.equal(last(WHOLE, LOW, NoiseField((5, 6, 7))), expected)
    assert expected.shape == (3, 3, 4 * SIDE, 4 * SIDE)


def test_noise_is_asked_for_in_the_order_of_use() -> None:
    """Three steps a stage: the start and two fresh draws; before a start, what is added to the picture."""
    noise = Recorded(0, 1, 2)
    last(WHOLE, LOW, noise)
    sides = [like.shape[-1] for like in noise.asked]
    assert sides == [8] * 3 + [8] + [16] * 3 + [32] * 3
    picture = noise.asked[3]
    assert picture.abs().max() <= 1


def test_where_nothing_is_added_nothing_is_drawn_and_the_stage_is_told_so() -> None:
    image = 2 * normal(2, 3, 4, 5)
    silent = Recorded()
    given = Link(FORGIVING).build_input(image, silent)
    assert silent.asked == []
    assert torch.equal(given, with_plane(image.clamp(-1, 1), torch.zeros(2)))


def test_a_stage_that_takes_no_plane_gets_none() -> None:
    image = 2 * normal(2, 3, 4, 5)
    assert torch.equal(Link(LARGER).build_input(image, Recorded()), image.clamp(-1, 1))


def test_a_stage_is_told_the_level_of_the_noise_it_was_given() -> None:
    """The noise has that standard deviation: 30 000 draws, so to 2 per cent (five times its own)."""
    given = Link(FORGIVING, level=0.5).build_input(torch.zeros(2, 3, 70, 70), NoiseField((1, 2)))
    assert torch.equal(given[:, 3:], torch.full((2, 1, 70, 70), 0.5))
    assert float(given[:, :3].std()) == pytest.approx(0.5, rel=0.02)


def test_a_picture_does_not_know_of_the_others_in_its_batch() -> None:
    """To the rounding of float32, which differs with the size of a batch and grows from stage to stage; it
    stays far below a level of 8 bits because nothing is rounded to one on the way."""
    together = last(WHOLE, LOW, NoiseField((5, 6, 7)))
    for number in range(3):
        alone = last(WHOLE, LOW[number : number + 1], NoiseField((5 + number,)))
        torch.testing.assert_close(together[number : number + 1], alone, rtol=0, atol=1e-4)
    assert (together[0] - together[1]).abs().max() > 0.1


def test_progress_goes_over_all_stages_and_shows_the_one_at_work() -> None:
    few = replace(BASE.method.sampling, steps=4)
    cascade = Cascade((Link(BASE, few), Link(LARGER)))
    seen = list(cascade(LOW, NoiseField((0, 1, 2))))
    assert cascade.steps == 7
    assert [(p.done, p.total) for p in seen] == [(k, 7) for k in range(1, 8)]
    assert [p.image.shape[-1] for p in seen] == [8] * 4 + [16] * 3


def test_a_cascade_of_one_is_its_stage() -> None:
    low = normal(2, 3, 6, 5)
    expected = last(LARGER, low, NoiseField((1, 2)))
    assert torch.equal(last(Cascade((Link(LARGER),)), low, NoiseField((1, 2))), expected)


def test_a_cascade_of_upscalers_takes_a_picture() -> None:
    """Of the first link's kind: with the planes its source takes."""
    low = normal(1, 3, 6, 5).clamp(-1, 1)
    noise = NoiseField((3,))
    first = last(FORGIVING, with_plane(low, torch.zeros(1)), noise)
    expected = last(LARGER, first.clamp(-1, 1), noise)
    cascade = Cascade((Link(FORGIVING), Link(LARGER)))
    assert torch.equal(last(cascade, with_plane(low, torch.zeros(1)), NoiseField((3,))), expected)
    assert (cascade.scale, cascade.channels) == (4, 3)


def test_a_link_samples_and_tiles_as_it_says() -> None:
    """Tiles of a network of known reach are exact; several are seen by the sizes it is shown."""
    upscaler, sizes = stage(packed(2)), set()
    upscaler.model.network.register_forward_pre_hook(lambda _, given: sizes.add(given[0].shape[-1]))
    low = normal(1, 3, 8, 100).clamp(-1, 1)
    few = replace(upscaler.method.sampling, steps=2)
    whole = last(Cascade((Link(upscaler, few),)), low, NoiseField((0,)))
    assert sizes == {200}
    tiled = last(Cascade((Link(upscaler, few, tile=16),)), low, NoiseField((0,)))
    assert max(sizes - {200}) < 200
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)
    assert torch.equal(whole, last(upscaler, low, NoiseField((0,)), sampling=few))


def test_a_stage_in_its_place_samples_as_its_link_says() -> None:
    link = Link(LARGER, sampling=replace(LARGER.method.sampling, steps=2))
    (*_, by_link), low = link(normal(1, 3, 4, 4), NoiseField((0,)), None), normal(1, 3, 4, 4)
    assert (by_link.done, link.steps) == (2, 2)
    assert torch.equal(last(link.stage_with_sampling, low, NoiseField((0,))), by_link.image)
    assert not torch.equal(last(LARGER, low, NoiseField((0,))), by_link.image)


def test_without_tiles_is_larger_than_any_tile() -> None:
    for tiles, largest in (((8, 16), 16), ((16, 8), 16), ((0, 16), 0), ((16, 0), 0)):
        assert Cascade(tuple(Link(LARGER, tile=tile) for tile in tiles)).tile == largest


def test_autocast_reaches_every_stage() -> None:
    dtypes: set[torch.dtype] = set()
    made = [stage(method) for method in (plain(2), plain(2))]
    for one in made:
        one.model.network.get_submodule("stem").register_forward_hook(
            lambda *given: dtypes.add(given[2].dtype)
        )
    image = last(
        Cascade(tuple(map(Link, made))), normal(1, 3, 4, 4), NoiseField((0,)), autocast=torch.bfloat16
    )
    assert dtypes == {torch.bfloat16}
    assert image.dtype == torch.float32


def test_gradients_are_neither_made_nor_switched_off_for_the_caller() -> None:
    whole = Cascade((Link(stage(by_class())), Link(stage(augmented()), level=0.25)))
    for link in whole.links:
        link.stage.model.requires_grad_(True)
    for progress in whole(LOW, NoiseField((0, 1, 2))):
        assert torch.is_grad_enabled()
        assert not progress.image.requires_grad


def grey() -> Stage:
    return stage(plain(2, channels=1))


KEPT = replace(FORGIVING.method.sampling, consistent=MatlabBicubic())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cascade(()), "stages: none are named"),
        (lambda: Cascade((Link(PAGE),), size=(0, 8)), r"size: \(0, 8\) is no size"),
        (lambda: Cascade((Link(BASE), Link(PAGE))), "stages.1: generates images from noise"),
        (lambda: Cascade((Link(PAGE), Link(grey()))), "stages.1: takes pictures of 1 channels, .* makes 3"),
        (lambda: Cascade((Link(FORGIVING, level=0.1),)), "stages.0.level: the first stage has"),
        (lambda: Link(LARGER, level=0.1), "level: 0.1, but the stage was not trained with noise"),
        (lambda: Link(FORGIVING, level=0.51), "level: 0.51 is above 0.5, the most it was trained with"),
        (lambda: Link(FORGIVING, level=-0.1), "level: -0.1 is negative"),
        (lambda: Link(FORGIVING, KEPT, level=0.1), "level: 0.1, but the stage keeps its input as it is"),
        (lambda: Link(LARGER, tile=-1), "tile: -1 is negative"),
        (
            lambda: Link(PAGE, replace(PAGE.method.sampling, guidance=2.0)),
            "guidance: the source has no class",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        make()
