"""What low holds behind its image: masks of what is to be made up, levels of augmentation, classes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cascades import augmented, network
from methods import awake, normal, plain, stage
from PIL import Image
from torch import Tensor

import refinesr
from refinesr.cascade import Link
from refinesr.cli.upscale import read_mask
from refinesr.diffusion.denoisers import unveiled
from refinesr.diffusion.levels import LogNormal, Stratified
from refinesr.diffusion.noise import NoiseField
from refinesr.diffusion.precond import Eps
from refinesr.errors import ConfigError, InputError
from refinesr.images.masks import to_mask
from refinesr.images.resize import MatlabBicubic, resize
from refinesr.images.tasks import Grey, Inpainting, Uncropping
from refinesr.method import Method
from refinesr.model import Pixels, with_plane
from refinesr.objective import Objective
from refinesr.sources import Augmented, Labelled, Upsampled
from refinesr.stage import Stage

MASK = torch.zeros(1, 1, 12, 10)
MASK[..., 3:8, 2:7] = 1


def last(made: Stage, low: Tensor, seed: int = 0, **options: object) -> Tensor:
    *_, progress = made(low, NoiseField((seed,) * len(low)), **options)  # type: ignore[arg-type]
    return progress.image


SAME_SIZE = stage(plain(1))
PICTURE = normal(1, 3, 12, 10, seed=5).clamp(-1, 1)


def masked(picture: Tensor, mask: Tensor = MASK) -> Tensor:
    hidden = mask.expand(len(picture), 1, -1, -1)
    return torch.cat((torch.where(hidden > 0, normal(*picture.shape, seed=9), picture), hidden), 1)


def test_what_is_known_comes_out_as_it_went_in() -> None:
    made = last(SAME_SIZE, masked(PICTURE))
    known = MASK.expand_as(made) == 0
    assert torch.equal(made[known], PICTURE[known])
    assert not torch.equal(made[~known], PICTURE[~known])


def test_a_mask_of_ones_is_no_mask() -> None:
    """All is made up, from the same condition and the same noise."""
    low = masked(PICTURE, torch.ones(1, 1, 12, 10))
    assert torch.equal(last(SAME_SIZE, low), last(SAME_SIZE, low[:, :3]))


def test_the_network_sees_known_pixels_without_noise_at_every_level() -> None:
    """sqrt(gamma) * x, which it is shown, is the picture itself wherever the mask is 0."""
    made, shown = stage(replace(plain(1), precond=Eps())), []
    made.model.network.register_forward_pre_hook(lambda _, given: shown.append(given[0]))
    last(made, masked(PICTURE))
    known = (MASK.expand_as(PICTURE) == 0)[0]
    assert len(shown) == 3
    for seen in shown:
        torch.testing.assert_close(seen[0][known], PICTURE[0][known])
        assert not torch.allclose(seen[0][~known], PICTURE[0][~known])


def test_the_loss_is_palettes() -> None:
    """Its public code: |mask * eps - mask * F(condition, mask * x_t + (1 - mask) * y0)|², over all values."""
    high, low = PICTURE.double(), masked(PICTURE).double()
    method = replace(plain(1), precond=Eps())
    model = method.build()
    awake(model)
    model.double()
    objective = Objective(LogNormal(), Stratified(), Pixels(), p=2)
    sigma, eps = objective.draw(high, 4)
    gamma = 1 / (1 + sigma**2)
    noised = gamma.sqrt() * high + (1 - gamma).sqrt() * eps
    shown = MASK * noised + (1 - MASK) * high
    label = method.label.label(sigma).float()
    said = model.network(shown, label, image=low[:, :3])
    expected = (MASK * (eps - said)).square().mean((1, 2, 3))
    torch.testing.assert_close(objective.loss(model, high, low, sigma, eps), expected, rtol=1e-5, atol=1e-7)


def test_unveiled_has_one_level_for_all_or_one_for_each() -> None:
    x, known, mask = normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1), torch.zeros(2, 1, 4, 4)
    each = torch.tensor([0.5, 2.0], dtype=torch.float64)
    expected = known * (1 + each.float() ** 2).sqrt()[:, None, None, None]
    torch.testing.assert_close(unveiled(x, each, known, mask), expected)
    torch.testing.assert_close(unveiled(x, each[1], known, mask)[1], expected[1])
    assert torch.equal(unveiled(x, each, known, mask + 1), x)


def test_tiles_know_their_part_of_the_mask() -> None:
    low = masked(normal(1, 3, 40, 44).clamp(-1, 1), (torch.arange(44) % 11 < 5).float().expand(1, 1, 40, 44))
    assert (last(SAME_SIZE, low, tile=8) - last(SAME_SIZE, low)).abs().max() < 1e-5


def test_no_model_that_enlarges_takes_a_mask() -> None:
    with pytest.raises(ValueError, match="low has 4 channels; 3 are expected at scale 2"):
        last(stage(plain(2)), masked(PICTURE))


def test_too_many_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="low has 5 channels; 3 are expected at scale 1"):
        last(SAME_SIZE, normal(1, 5, 12, 10))


# Pictures


def test_a_picture_is_made_up_where_its_mask_is_white() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    white = (MASK[0, 0].numpy() * 255).astype(np.uint8)
    made = refinesr.upscale(SAME_SIZE, picture, mask=white)
    assert np.array_equal(made[white == 0], picture[white == 0])
    assert not np.array_equal(made[white > 0], picture[white > 0])
    for same in (Image.fromarray(white), white > 0, MASK[0, 0]):
        assert np.array_equal(refinesr.upscale(SAME_SIZE, picture, mask=same), made)
    *_, seen = refinesr.refine(SAME_SIZE, picture, mask=white)
    assert np.array_equal(seen.image, made)


@pytest.mark.parametrize("tile", [0, 16])
def test_the_noise_in_a_hole_is_not_the_noise_it_begins_with(tile: int) -> None:
    """As in training.  In the first call the network is shown the start's noise itself, scaled.

    Of n independent pairs the correlation has a deviation of 1/sqrt(n).
    """
    made, shown = stage(replace(plain(1), precond=Eps())), []
    made.model.network.register_forward_pre_hook(
        lambda _, given, inputs: shown.append((given[0], inputs["image"])), with_kwargs=True
    )
    picture = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    hole = np.zeros((50, 60), bool)
    hole[5:, 10:] = True
    refinesr.upscale(made, picture, mask=hole, seed=3, tile=tile, precision="fp32")
    x, image = shown[0]
    rows, columns = x.shape[2:]
    unknown = torch.from_numpy(hole[:rows, :columns]).expand_as(x)
    expected = torch.from_numpy(picture[:rows, :columns]).permute(2, 0, 1)[None] / 127.5 - 1
    torch.testing.assert_close(image[~unknown], expected[~unknown])
    pairs = torch.stack((x[unknown], image[unknown]))
    assert pairs[1].mean().abs() < 0.1
    assert pairs[1].std() == pytest.approx(1, abs=0.1)
    assert abs(float(torch.corrcoef(pairs)[0, 1])) < 5 / unknown.sum().sqrt()


def test_holes_are_filled_alike_whatever_the_tile_and_by_the_seed() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    hole = np.zeros((50, 60), bool)
    hole[5:, 10:] = True

    def filled(**options: Any) -> Any:
        return refinesr.upscale(SAME_SIZE, picture, mask=hole, precision="fp32", **options).astype(int)

    assert np.abs(filled(tile=16) - filled(tile=0)).max() <= 1
    assert np.array_equal(filled(seed=4), filled(seed=4))
    assert not np.array_equal(filled(seed=4), filled(seed=5))


def test_what_was_under_the_mask_does_not_matter() -> None:
    picture = np.full((12, 10, 3), 90, np.uint8)
    other = picture.copy()
    other[3:8, 2:7] = 255
    mask = MASK[0, 0].numpy() > 0
    assert np.array_equal(
        refinesr.upscale(SAME_SIZE, picture, mask=mask), refinesr.upscale(SAME_SIZE, other, mask=mask)
    )


def test_masks_that_do_not_fit_are_refused() -> None:
    picture = np.zeros((12, 10, 3), np.uint8)
    with pytest.raises(InputError, match="differ in size: 12 x 10 and 10 x 12"):
        refinesr.upscale(SAME_SIZE, picture, mask=np.zeros((10, 12), bool))
    with pytest.raises(InputError, match=r"shape \(12, 10, 3\)"):
        refinesr.upscale(SAME_SIZE, picture, mask=picture)
    with pytest.raises(ConfigError, match="enlarges 2 times"):
        refinesr.upscale(stage(plain(2)), picture, mask=np.zeros((12, 10), bool))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, bool, np.float64])
def test_a_mask_is_white_or_black_in_any_type(kind: type) -> None:
    peak = np.iinfo(kind).max if np.issubdtype(kind, np.integer) else 1
    array = (np.array([[0, 0.4, 0.6, 1]]) * peak).astype(kind)
    expected = [0.0, 1.0, 1.0, 1.0] if kind is bool else [0.0, 0.0, 1.0, 1.0]
    assert to_mask(array).tolist() == [expected]


def test_masks_of_any_tensor_and_of_deep_images() -> None:
    values = [[0.0, 0.4, 0.5, 0.6, 1.0]]
    expected = [[0.0, 0.0, 0.0, 1.0, 1.0]]
    assert to_mask(torch.tensor(values, dtype=torch.bfloat16)).tolist() == expected
    assert to_mask(torch.tensor(values, requires_grad=True)).tolist() == expected
    assert to_mask(Image.fromarray(np.array(values, np.float32))).tolist() == expected
    assert to_mask(Image.fromarray((np.array(values) * 65535).astype(np.uint16))).tolist() == expected
    with pytest.raises(InputError, match=r"type int64 is no mask; .* of bool, uint8"):
        to_mask(np.ones((2, 2), np.int64))


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, Image.fromarray])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_mask_of_no_numbers_is_refused(kind: Any, value: float) -> None:
    with pytest.raises(InputError, match=r"^mask: holds NaN or infinite values"):
        to_mask(kind(np.array([[0.0, value]], np.float32)))


@pytest.mark.parametrize("mode", ["I", "I;16", "I;16B"])
def test_integers_of_pillow_are_of_16_bits_as_in_pictures(mode: str) -> None:
    """A mask in a 16-bit PNG is of mode I for older Pillows, and for all once it has been computed with."""
    values = np.array([[0, 300, 32767, 32768, 65535]], np.uint16)
    kinds = {"I": np.dtype(np.int32), "I;16": np.dtype("<u2"), "I;16B": np.dtype(">u2")}
    image = Image.frombytes(mode, (5, 1), values.astype(kinds[mode]).tobytes())
    assert to_mask(image).tolist() == [[0, 0, 0, 1, 1]]


@pytest.mark.parametrize("value", [-1, 65536])
def test_integers_that_16_bits_do_not_hold_are_no_mask(value: int) -> None:
    with pytest.raises(InputError, match="mask: integers beyond 0 to 65535"):
        to_mask(Image.new("I", (3, 2), value))


def test_a_mask_without_white_is_refused() -> None:
    """Such as 0 and 1 in 8 bits: all of the picture would come out as it is, and nobody would know why."""
    with pytest.raises(InputError, match="nothing in its mask is white"):
        refinesr.upscale(SAME_SIZE, np.zeros((4, 4, 3), np.uint8), mask=np.ones((4, 4), np.uint8))


@pytest.mark.parametrize("task", [Inpainting(), Uncropping()])
def test_who_makes_up_what_is_missing_must_be_told_what_is(task: Inpainting | Uncropping) -> None:
    model = stage(replace(plain(1), degradation=task))
    with pytest.raises(ConfigError, match="mask: is missing"):
        refinesr.upscale(model, np.zeros((12, 10, 3), np.uint8))
    assert refinesr.upscale(model, np.zeros((12, 10, 3), np.uint8), mask=np.ones((12, 10))) is not None


def test_known_pixels_stay_under_transparency_too() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (12, 10, 4), dtype=np.uint8)
    picture[:, :5, 3] = 0
    white = MASK[0, 0].numpy() > 0
    made = np.asarray(refinesr.upscale(SAME_SIZE, Image.fromarray(picture), mask=white))
    assert np.array_equal(made[~white], picture[~white])


# Colours


COLOURS = stage(replace(plain(1), degradation=Grey()))


def coloured(image: Any) -> Any:
    return refinesr.upscale(COLOURS, image)


def test_a_grey_picture_gets_colours() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (12, 10), dtype=np.uint8)
    made = coloured(grey)
    assert made.shape == (12, 10, 3)
    assert not np.array_equal(made[..., 0], made[..., 1])
    assert np.array_equal(coloured(Image.fromarray(grey)), made)
    assert coloured(torch.from_numpy(grey)[None]).shape == (3, 12, 10)
    assert coloured(grey.astype(np.uint16) * 257).dtype == np.uint16
    with pytest.raises(InputError, match="no colours of 16 bits"):
        coloured(Image.fromarray(grey.astype(np.uint16)))


def test_a_model_that_colours_is_not_shown_the_colours_there_are() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    luma = (picture @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)
    assert np.array_equal(coloured(picture), coloured(luma))


# The level of augmentation


def test_the_level_is_told_and_the_image_is_as_ever() -> None:
    low = normal(2, 3, 5, 6)
    condition = Augmented(MatlabBicubic(), 16).build(2, 3)(with_plane(low, torch.tensor([0.0, 0.3])))
    expected = resize(low, (10, 12), MatlabBicubic())
    assert condition.image is not None
    assert condition.vector is not None
    assert torch.equal(condition.image, expected)
    assert torch.equal(condition.base, expected)
    assert condition.vector.shape == (2, 16)
    # no noise: sines of nothing, cosines of nothing
    assert condition.vector[0].tolist() == [0.0] * 8 + [1.0] * 8
    assert (condition.vector[1] - condition.vector[0]).abs().max() > 0.5


def test_levels_a_hundredth_apart_can_be_told_apart() -> None:
    levels = torch.linspace(0, 1, 101)
    told = Augmented(width=32).build(1, 1)(with_plane(torch.zeros(101, 1, 1, 1), levels)).vector
    assert told is not None
    apart = torch.cdist(told, told) + 9 * torch.eye(101)
    assert apart.min() > 0.5


def test_a_photo_has_been_given_no_noise() -> None:
    made = stage(augmented())
    picture = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    low = torch.from_numpy(picture).permute(2, 0, 1)[None] / 127.5 - 1
    expected = last(made, with_plane(low, torch.zeros(1)))
    result = refinesr.upscale(made, picture, precision="fp32", device="cpu")
    as_bytes = ((expected.clamp(-1, 1) + 1) * 127.5).round().byte()[0].permute(1, 2, 0)
    assert np.array_equal(result, as_bytes.numpy())


# Classes


def test_a_class_is_a_one_in_its_place_and_none_is_all_zeros() -> None:
    low = with_plane(torch.zeros(4, 1, 2, 3), torch.tensor([0.0, 2.0, -1.0, 1.0]))
    condition = Labelled(3).build(1, 3).eval()(low)
    assert condition.vector is not None
    assert condition.vector.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert torch.equal(condition.base, torch.zeros(4, 3, 2, 3))


def test_in_training_a_share_of_the_classes_is_withheld() -> None:
    source = Labelled(3, withheld=0.25).build(1, 3).train()
    low = with_plane(torch.zeros(4000, 1, 1, 1), torch.ones(4000))
    torch.manual_seed(0)
    vector = source(low).vector
    assert vector is not None
    assert set(map(tuple, vector.tolist())) == {(0, 0, 0), (0, 1, 0)}
    assert abs(float((vector.sum(1) == 0).float().mean()) - 0.25) < 4 * (0.25 * 0.75 / 4000) ** 0.5
    torch.manual_seed(0)
    assert torch.equal(source(low).vector, vector)


def by_class(guidance: float) -> Method:
    plainly = plain(1)
    sampling = replace(plainly.sampling, guidance=guidance)
    return replace(plainly, network=network(0, 3), source=Labelled(3), sampling=sampling)


@pytest.mark.parametrize(
    ("guidance", "label", "same_as"), [(1.0, 2.0, 2.0), (0.0, 2.0, -1.0), (7.0, -1.0, -1.0)]
)
def test_guidance_of_one_is_the_class_and_of_nought_is_none(
    guidance: float, label: float, same_as: float
) -> None:
    """Ho and Salimans 2022, eq. 6; where no class is given there is nothing to stress."""
    low = torch.zeros(1, 1, 8, 8)
    made = last(stage(by_class(guidance)), with_plane(low, torch.tensor([label])))
    plainly = last(stage(by_class(1.0)), with_plane(low, torch.tensor([same_as])))
    torch.testing.assert_close(made, plainly, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("guidance", [0.5, 3.0])
def test_guidance_goes_from_the_estimate_without_the_class_past_that_with_it(guidance: float) -> None:
    """In one step; Ho and Salimans 2022, eq. 6, in x0."""
    low = with_plane(torch.zeros(1, 1, 8, 8), torch.tensor([2.0]))
    made = stage(by_class(1.0))

    def once(guidance: float) -> Tensor:
        return last(made, low, sampling=replace(made.method.sampling, steps=1, clip=False, guidance=guidance))

    none, told = once(0.0), once(1.0)
    assert (told - none).abs().max() > 0.01
    torch.testing.assert_close(once(guidance), none + guidance * (told - none), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("guidance", "expected"), [(0.0, 3), (0.5, 6), (1.0, 3), (3.0, 6)])
def test_guidance_costs_two_calls_a_step_where_both_count(guidance: float, expected: int) -> None:
    made, calls = stage(by_class(guidance)), []
    made.model.network.register_forward_hook(lambda *_: calls.append(1))
    low = with_plane(torch.zeros(1, 1, 8, 8), torch.tensor([1.0]))
    image = last(made, low)
    assert len(calls) == made.method.sampling.calls == expected
    assert torch.allclose(image, last(stage(by_class(1.0)), low)) == (guidance == 1)


def test_guidance_needs_a_class() -> None:
    method = plain(2)
    with pytest.raises(ConfigError, match="guidance: the source has no class"):
        replace(method, sampling=replace(method.sampling, guidance=2.0))
    with pytest.raises(ConfigError, match="guidance: -1 is negative"):
        replace(method.sampling, guidance=-1.0)
    for guidance in (0.0, 2.0):  # both ask for what was never learnt
        with pytest.raises(ConfigError, match="guidance: the class was never withheld in training"):
            replace(by_class(guidance), source=Labelled(3, 0.0))
        made = stage(replace(by_class(1.0), source=Labelled(3, 0.0)))
        with pytest.raises(ConfigError, match=r"^guidance: the class was never withheld in training"):
            Link(made, replace(made.method.sampling, guidance=guidance))


def test_a_model_that_makes_pictures_from_nothing_enlarges_none() -> None:
    with pytest.raises(ConfigError, match="refinesr generate"):
        refinesr.upscale(stage(by_class(1.0)), np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Labelled(0), "count: 0"),
        (lambda: Labelled(3, 1.0), "withheld: 1.0"),
        (lambda: Augmented(width=5), "width: 5"),
    ],
)
def test_values_that_cannot_be_are_refused(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]


def test_the_doors_of_sources_with_planes_are_those_announced() -> None:
    for source in (Augmented(width=8), Labelled(5), Upsampled()):
        low = torch.zeros(1, 3 + source.planes, 4, 4)
        inputs = source.build(2, 3)(low).inputs()
        found = {
            {"image": "image_channels"}.get(name, name): value.shape[1] for name, value in inputs.items()
        }
        assert found == source.input_channels(3)


def test_who_is_told_a_level_is_trained_with_one() -> None:
    method = augmented()
    with pytest.raises(ConfigError, match="CascadeAugmented and the source Augmented belong together"):
        replace(method, degradation=plain(2).degradation)
    with pytest.raises(ConfigError, match="belong together"):
        replace(plain(2), degradation=method.degradation)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa"])
def test_what_is_transparent_in_a_mask_is_not_white(mode: str, tmp_path: Path) -> None:
    """A box on a layer of its own: programs leave any colour where nothing was painted, white among them."""
    box = np.full((12, 10, 2), 255, np.uint8)
    box[:, :5, 1], box[0, 5:, 1] = 0, 100  # not painted, and painted thinly
    box[1, 5:, 0] = 0
    expected = np.zeros((12, 10))
    expected[2:, 5:] = 1
    picture = Image.fromarray(box, "LA")
    if mode == "PA":
        picture = picture.convert("RGBA").convert("PA")
    elif mode != "LA":
        picture = picture.convert("RGBA").convert(mode)
    assert np.array_equal(to_mask(picture), expected)
    if mode != "RGBa":  # which no file holds
        picture.convert("RGBA").save(tmp_path / "mask.png")
        assert np.array_equal(read_mask(tmp_path / "mask.png"), expected)
