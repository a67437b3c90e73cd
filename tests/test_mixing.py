"""Two pictures into one: of any kind and size, exact where nothing is redrawn, or a refusal."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from methods import packed, photo, plain, stage
from PIL import Image
from torch import Tensor

from refinesr.diffusion.precond import EDM, Blind
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Even, Explicit, Karras, Linear
from refinesr.errors import ConfigError, InputError
from refinesr.images.picture import Picture
from refinesr.images.resize import MatlabBicubic, PillowBicubic, resize
from refinesr.images.tasks import Grey, Inpainting, Uncropping
from refinesr.method import Sampling
from refinesr.mixing import Patch, fuse, interpolate, plan_redrawing, side_by_side
from refinesr.mixing.fusing import reduce_to_low
from refinesr.nets.sr3_unet import SR3UNet
from refinesr.restore import Options, upscale
from refinesr.sources import Blank, Labelled
from refinesr.stage import Stage
from refinesr.tiles import Box

X4, X2, GREY = stage(packed(4)), stage(packed(2)), stage(packed(2, 1))
KEEPS = stage(replace(packed(4), precond=EDM(0.5)))  # what it is shown, the less noise the more
CAT = photo(60, 100, 40, 56)  # (3, 40, 56) uint8
OTHER = photo(150, 200, 40, 56)
PATCH = Patch(Box(8, 6, 16, 20), 14, 30)


def pil(image: Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def mixed(model: Stage, image: Any, *others: Any, **options: Any) -> Any:
    return interpolate(model, image, *others, precision="fp32", **options)


def put(model: Stage, image: Any, other: Any, patch: Patch = PATCH, **options: Any) -> Any:
    return fuse(model, image, other, patch, precision="fp32", **options)


def difference(one: Any, other: Any) -> Any:
    return np.abs(np.asarray(one).astype(float) - np.asarray(other).astype(float))


# ------------------------------------------------------------------------------------------ interpolation


def test_two_samples_are_what_upscale_makes() -> None:
    small = CAT[:, :16, :20]
    first, second = (upscale(X2, small, seed=seed, steps=8, precision="fp32") for seed in (1, 2))
    made = mixed(X2, small, shares=[0.5])
    assert torch.equal(made[0], mixed(X2, small, first, second, shares=[0.5])[0])
    assert not torch.equal(made[0], mixed(X2, small, shares=[0.5], seeds=(1, 3))[0])


def test_each_share_is_nearer_to_the_picture_it_has_more_of() -> None:
    """At the lowest level, from which little is redrawn."""
    first, second = upscale(KEEPS, CAT, consistent=False), torch.full((3, 160, 224), 90, dtype=torch.uint8)
    made = mixed(KEEPS, CAT, first, second, depth=0.1, consistent=False)
    away = [difference(image, first).mean() for image in made]
    assert away == sorted(away)
    assert away[0] < away[-1] / 4
    assert difference(made[-1], second).mean() < away[-1] / 4


def test_a_deeper_walk_keeps_less() -> None:
    first, second = (upscale(KEEPS, CAT, seed=seed, steps=8, consistent=False) for seed in (1, 2))

    def ends(depth: float) -> list[Tensor]:
        made: list[Tensor] = mixed(
            KEEPS, CAT, first, second, depth=depth, shares=(0.0, 1.0), consistent=False
        )
        return made

    apart = [difference(*ends(depth)).mean() for depth in (0.1, 0.5, 1.0)]
    assert apart == sorted(apart, reverse=True)
    assert apart[-1] < apart[0] / 4


def test_what_lies_between_is_the_photo_made_small_like_any_result() -> None:
    """With a model that promises it, in 8 bits by Pillow."""
    photo = pil(CAT)
    for image in mixed(X4, photo, shares=(0.0, 0.5)):
        assert image.size == (224, 160)
        again = np.asarray(image.resize(photo.size, Image.Resampling.BICUBIC))
        assert (again == np.asarray(photo)).mean() >= 0.995


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_interpolated_images_are_of_the_photos_mode(mode: str) -> None:
    values = np.asarray(pil(CAT).convert("L")).astype(np.uint16) * 256
    image = Image.fromarray(values) if mode == "I;16" else pil(CAT).convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    (made,) = mixed(X2, image, pil(OTHER).resize((112, 80)), pil(OTHER).resize((112, 80)), shares=[0.5])
    assert (made.mode, made.size) == (mode, (112, 80))


def test_models_of_one_channel_take_each_colour_by_itself() -> None:
    first, second = (upscale(GREY, CAT, seed=seed, steps=8, precision="fp32") for seed in (1, 2))
    (together,) = mixed(GREY, CAT, first, second, shares=[0.3])
    (alone,) = mixed(GREY, CAT[1:2], first[1:2], second[1:2], shares=[0.3])
    assert difference(together[1:2], alone).max() <= 1  # of 255, for a batch of another size


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"^first: has 56 x 40 pixels, but image enlarged 2 times has 112 x 80"
    ):
        mixed(X2, CAT, CAT, CAT)


def test_one_end_alone_is_refused() -> None:
    with pytest.raises(ConfigError, match="second: give two pictures to interpolate between, or none"):
        mixed(X2, CAT, CAT)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_shares_are_shares(share: float) -> None:
    with pytest.raises(ConfigError, match=r"shares: \S+ is not between 0, the first picture, and 1, the"):
        mixed(X2, CAT, shares=[0.5, share])


def test_a_strip_is_its_pictures_side_by_side() -> None:
    one, two = (Picture(np.full((2, 3, 1), value, np.uint8)) for value in (10, 20))
    row = [10, 10, 10, 255, 255, 255, 255, 20, 20, 20]
    assert side_by_side([one, two]).pixels[..., 0].tolist() == [row, row]
    assert side_by_side([one]).pixels.tolist() == one.pixels.tolist()


def test_between_pictures_with_transparency_a_strip_is_clear() -> None:
    pictures = [Picture(np.full((1, 1, 3), 9, np.uint16), np.full((1, 1), 7, np.uint16)) for _ in range(2)]
    joined = side_by_side(pictures)
    assert joined.alpha is not None
    assert joined.alpha.tolist() == [[7, 0, 0, 0, 0, 7]]
    assert joined.pixels[0, 1].tolist() == [65535] * 3


# ------------------------------------------------------------------------------------------------- fusion


@pytest.mark.parametrize("size", [(40, 56), (41, 55), (39, 53)])
@pytest.mark.parametrize("model", [X2, X4, stage(plain(1)), GREY], ids=["x2", "x4", "x1", "grey"])
def test_away_from_the_patch_every_pixel_is_what_it_was(model: Stage, size: tuple[int, int]) -> None:
    """For sides that are no multiple of the scale too."""
    image = photo(60, 100, *size)
    made = put(model, image, OTHER)
    mask = PATCH.mask(size)
    assert made.shape == image.shape
    assert torch.equal(made[:, mask == 0], image[:, mask == 0])
    assert (mask == 0).float().mean() > 0.5
    inside = PATCH.place.of(made)
    assert difference(inside, PATCH.place.of(image)).mean() > 5


def test_what_is_pasted_is_what_one_sees() -> None:
    """At the lowest level, where next to nothing is redrawn."""
    made = put(KEEPS, CAT, OTHER, replace(PATCH, feather=0), depth=0.1)
    assert difference(PATCH.place.of(made), PATCH.region.of(OTHER)).mean() < 12
    assert difference(PATCH.place.of(CAT), PATCH.region.of(OTHER)).mean() > 25


def test_the_whole_of_it_is_redrawn_on_request() -> None:
    made = put(X2, CAT, OTHER, whole=True)
    assert (made != CAT)[:, PATCH.mask((40, 56)) == 0].float().mean() > 0.5


@pytest.mark.parametrize("task", [Inpainting(), Uncropping()])
@pytest.mark.parametrize("whole", [False, True])
def test_a_model_that_fills_holes_is_told_where_one_is(task: Inpainting | Uncropping, whole: bool) -> None:
    """As in training: noise in the hole, which is not the noise that is to be taken away; clean pixels else.

    In variance-preserving terms, x / sqrt(1 + sigma²), and so `Clean` shows it, known pixels are themselves.
    """
    model, seen = stage(replace(plain(1), degradation=task)), []
    model.model.network.register_forward_pre_hook(
        lambda _, given, inputs: seen.append((given[0], inputs["image"])), with_kwargs=True
    )
    made = put(model, CAT, OTHER, whole=whole, depth=0.5)
    hole = torch.ones(40, 56).bool() if whole else PATCH.mask((40, 56)) > 0
    known, pasted = CAT / 127.5 - 1, PATCH.region.of(OTHER) / 127.5 - 1
    assert len(seen) == 4
    for x, image in seen:
        torch.testing.assert_close(image[0, :, ~hole], known[:, ~hole])
        torch.testing.assert_close(x[0, :, ~hole], known[:, ~hole])
        noise = image[0, :, hole].flatten()
        assert float(noise.std()) == pytest.approx(1, abs=0.1)
        told, there = PATCH.place.of(image[0]), PATCH.place.of(x[0])
        for other in (pasted, there):
            assert abs(torch.corrcoef(torch.stack([told.flatten(), other.flatten()]))[0, 1]) < 0.15
    assert torch.equal(made[:, ~hole], CAT[:, ~hole])


def test_a_model_that_fills_holes_is_not_told_what_it_is_to_interpolate() -> None:
    """All of it is a hole, as all of it is made up: the whole picture was never shown in training."""
    model, seen = stage(replace(plain(1), degradation=Inpainting())), []
    model.model.network.register_forward_pre_hook(
        lambda _, given, inputs: seen.append(inputs["image"]), with_kwargs=True
    )
    ((made),) = mixed(model, CAT, CAT, OTHER, shares=[0.5])
    assert made.shape == CAT.shape
    for image in seen:
        noise = image.flatten()
        assert float(noise.std()) == pytest.approx(1, abs=0.1)
        for other in (CAT, OTHER):
            assert abs(torch.corrcoef(torch.stack([noise, other.flatten() / 127.5 - 1]))[0, 1]) < 0.1


def test_a_model_of_few_rows_walks_as_many_as_there_are() -> None:
    """Eight are a default that nobody asked for."""
    rows = Sampling(Ancestral(1.0), Even(Linear(1e-4, 0.02, 4)), 3)
    assert plan_redrawing(stage(replace(plain(2), sampling=rows)), Options(), 0.5).sampling.steps == 4


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "F"])
@pytest.mark.parametrize("other", ["L", "RGB"])
def test_a_fused_image_is_of_its_own_mode(mode: str, other: str) -> None:
    """And keeps its transparency, and the colours that nobody sees."""
    grey = np.asarray(pil(CAT).convert("L"))
    deep = {"I;16": grey.astype(np.uint16) * 256 + 77, "F": grey.astype(np.float32) / 255}
    image = Image.fromarray(deep[mode]) if mode in deep else pil(CAT).convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    made = put(X2, image, pil(OTHER).convert(other).convert("RGBA" if mode == "F" else other))
    assert (made.mode, made.size) == (mode, image.size)
    kept = PATCH.mask((40, 56)).numpy() == 0
    assert (np.asarray(made)[kept] == np.asarray(image)[kept]).all()
    if mode.endswith("A"):
        assert made.getchannel("A").tobytes() == image.getchannel("A").tobytes()


def test_what_is_transparent_is_not_pasted() -> None:
    """With all of it clear, what is redrawn does not depend on what it would have been."""
    one, two = pil(OTHER).convert("RGBA"), Image.new("RGBA", (56, 40), "red")
    for image in (one, two):
        image.putalpha(0)
    assert put(X2, pil(CAT), one).tobytes() == put(X2, pil(CAT), two).tobytes()
    one.putalpha(255)
    assert put(X2, pil(CAT), one).tobytes() == put(X2, pil(CAT), pil(OTHER)).tobytes()


def test_colours_become_grey_as_pillow_makes_them() -> None:
    grey = pil(CAT).convert("L")
    made = put(X2, grey, pil(OTHER)), put(X2, grey, pil(OTHER).convert("L"))
    assert difference(*made).max() <= 2  # one is rounded to 8 bits before


def test_the_same_seed_is_the_same_picture_whatever_the_tile() -> None:
    model = stage(replace(packed(2), precond=EDM(0.5)))
    image, other = photo(60, 100, 120, 160), photo(150, 200, 40, 56)

    def made(seed: int, tile: int) -> Tensor:
        return put(model, image, other, seed=seed, tile=tile)

    first = made(3, 0)
    assert torch.equal(first, made(3, 0))
    assert difference(first, made(3, 16)).max() <= 1
    assert difference(first, made(4, 0)).max() > 1


def test_the_model_is_told_what_it_looks_like_small() -> None:
    """By the kernel of its promise, else of its enlarging; at scale 1 it is the picture itself."""
    high = CAT[None] / 127.5 - 1
    kernels = [(stage(packed(4)), (10, 14), PillowBicubic()), (stage(plain(2)), (20, 28), MatlabBicubic())]
    for model, size, kernel in kernels:
        plainly = replace(model.method, sampling=replace(model.method.sampling, consistent=None))
        walk = plan_redrawing(Stage(plainly, model.model), Options(), 0.5)
        if kernel == MatlabBicubic():
            assert torch.equal(reduce_to_low(walk, high), resize(high, size, kernel).clamp(-1, 1))
        assert torch.equal(
            reduce_to_low(plan_redrawing(model, Options(consistent=True), 0.5), high),
            resize(high, size, PillowBicubic()).clamp(-1, 1),
        )
    assert reduce_to_low(plan_redrawing(stage(plain(1)), Options(), 0.5), high) is high


def test_another_small_picture_may_be_given() -> None:
    """Made smaller, what is redrawn is that one."""
    low = torch.zeros(3, 10, 14, dtype=torch.uint8)
    made = put(X4, CAT, OTHER, low=low, whole=True, depth=1.0)
    again = resize(made[None].float(), (10, 14), PillowBicubic())
    assert again.mean() < 12
    assert made.float().mean() < CAT.float().mean() / 4
    with pytest.raises(
        InputError, match=r"^low: has 14 x 11 pixels, but image made 4 times smaller has 14 x 10"
    ):
        put(X4, CAT, OTHER, low=torch.zeros(3, 11, 14, dtype=torch.uint8))


# ------------------------------------------------------------------------------------------------- patches


@pytest.mark.parametrize("feather", [0, 1, 3, None])
def test_a_patch_fades_in_within_its_edges_and_out_around_them(feather: int | None) -> None:
    patch, width = replace(PATCH, feather=feather), 4 if feather is None else feather
    weight, mask = patch.weight((40, 56)), patch.mask((40, 56))
    assert weight.shape == (16, 20)
    assert (weight[width : 16 - width, width : 20 - width] == 1).all()
    assert (patch.place.of(mask) == 1).all()
    outer = Box(14 - width, 30 - width, 16 + 2 * width, 20 + 2 * width)
    assert float(mask.sum()) == pytest.approx(float(outer.of(mask).sum()))
    for line in (weight[8, :width], mask[22, 30 - width : 30]):
        assert ((line > 0) & (line < 1)).all()
        assert (line.diff() > 0).all()
        torch.testing.assert_close(line + line.flip(0), torch.ones(width))


def test_at_the_pictures_own_edge_nothing_fades() -> None:
    patch = Patch(Box(0, 0, 10, 12), 30, 0, feather=3)
    weight, mask = patch.weight((40, 56)), patch.mask((40, 56))
    assert (weight[3:, :9] == 1).all()
    assert (mask[30:, :12] == 1).all()
    assert weight[0, 0] < 1
    assert mask[29, 0] > 0


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (
            Patch(Box(30, 6, 16, 20), 0, 0),
            "from: 20 x 16 pixels from row 30, column 6 are not all in other, which has 56 x 40",
        ),
        (
            Patch(Box(0, 0, 16, 20), 14, -1),
            "to: 20 x 16 pixels from row 14, column -1 are not all in picture, which has 56 x 40",
        ),
    ],
)
def test_patches_outside_of_pictures_are_refused(patch: Patch, message: str) -> None:
    picture, other = (Picture(np.zeros((40, 56, 3), np.uint8), name=name) for name in ("picture", "other"))
    with pytest.raises(ConfigError, match=message):
        patch.check(picture, other)


def test_patches_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="from: 20 x 0 pixels are no region"):
        Patch(Box(0, 0, 0, 20), 0, 0)
    with pytest.raises(ConfigError, match="feather: 9 is not between 0 and 8, half of the region's shorter"):
        replace(PATCH, feather=9)


# --------------------------------------------------------------------------------------------------- walks


@pytest.mark.parametrize(
    ("steps", "depth", "walked"), [(None, 0.25, 2), (None, 1.0, 8), (20, 0.25, 5), (4, 0.01, 1), (3, 0.5, 2)]
)
def test_depth_is_the_share_of_the_steps_that_are_walked(
    steps: int | None, depth: float, walked: int
) -> None:
    """Of 8 steps for a model that is content with fewer."""
    walk = plan_redrawing(X2, Options(steps=steps), depth)
    assert walk.steps == walked
    assert walk.sigma == walk.sampling.levels()[-1 - walked]


@pytest.mark.parametrize(("rho", "walked"), [(1.0, 3.0), (3.0, 3.0), (7.0, 7.0)])
def test_even_levels_are_spaced_to_leave_something_between(rho: float, walked: float) -> None:
    sampling = Sampling(Ancestral(), Karras(0.05, 20.0, rho), 1)
    walk = plan_redrawing(Stage(replace(X2.method, sampling=sampling), X2.model), Options(), 0.25)
    assert walk.sampling == replace(sampling, steps=8, grid=Karras(0.05, 20.0, walked))


def test_a_grid_of_given_levels_stays_as_it_is() -> None:
    sampling = Sampling(Ancestral(), Explicit((20.0, 1.0, 0.1)), 3)
    walk = plan_redrawing(Stage(replace(X2.method, sampling=sampling), X2.model), Options(), 0.34)
    assert (walk.sampling.steps, walk.steps, walk.sigma) == (3, 1, 0.1)


def test_a_sampling_that_is_asked_for_stays_as_it_is() -> None:
    asked = replace(X2.method.sampling, grid=Karras(0.05, 20.0, 1.0), steps=5, fidelity=0.3)
    assert plan_redrawing(X2, Options(sampling=asked), 0.4).sampling == asked
    walk = plan_redrawing(X2, Options(sampling=asked, steps=4, fidelity=0.0), 0.5)
    assert walk.sampling == replace(asked, steps=4, fidelity=0.0)
    with pytest.raises(ConfigError, match="fidelity: 1 is the posterior mean, which redraws nothing"):
        plan_redrawing(X2, Options(sampling=replace(asked, fidelity=1.0)), 0.5)


@pytest.mark.parametrize(
    ("options", "depth", "message"),
    [
        (Options(), 0.0, "depth: 0 is not a share of the steps; more than 0, at most 1"),
        (Options(), 1.1, "depth: 1.1 is not a share"),
        (Options(), float("nan"), "depth: nan is not a share"),
        (Options(steps=1), 0.5, "steps: 1 has no level between picture and noise; use at least 2"),
    ],
)
def test_walks_that_make_no_sense_are_refused(options: Options, depth: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_redrawing(X2, options, depth)


def test_a_regression_goes_no_way() -> None:
    with pytest.raises(ConfigError, match="precond: a Blind network takes no noisy image"):
        plan_redrawing(Stage(replace(X2.method, precond=Blind()), X2.model), Options(), 0.5)


def test_models_that_make_pictures_from_nothing_only_learn_the_size() -> None:
    network = SR3UNet(image_channels=0, width=8, multipliers=(1, 2), blocks=1, attention=(), groups=4)
    blank = stage(replace(plain(1), source=Blank(), network=network))
    classes = stage(replace(plain(1), source=Labelled(4), network=replace(network, vector=4)))
    for model in (blank, classes):
        made = [mixed(model, image, CAT, OTHER, shares=[0.5])[0] for image in (CAT, OTHER)]
        assert torch.equal(made[0], made[1])
        assert put(model, CAT, OTHER).shape == CAT.shape
        with pytest.raises(ConfigError, match="generates images from noise"):
            mixed(model, CAT)


def test_models_that_colour_mix_in_colour() -> None:
    colours = stage(replace(plain(1), degradation=Grey()))
    made = mixed(colours, CAT[:1], shares=[0.5])[0]
    assert made.shape == CAT.shape
    assert not torch.equal(made[0], made[1])
