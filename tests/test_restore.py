"""Images in, images out: of the same kind, faithful to what was given, the same for the same seed."""

import io
import math
import re
import typing
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from cascades import FORGIVING
from hypothesis import given, settings
from hypothesis import strategies as st
from methods import packed, photo, plain, stage
from PIL import Image, ImageCms
from torch import Tensor

import refinesr.restore.options
from refinesr.cascade import Cascade, Link
from refinesr.diffusion.loops import last_of
from refinesr.diffusion.noise import NoiseField
from refinesr.diffusion.samplers import DPM2M
from refinesr.encoding import encoder_module
from refinesr.errors import CheckpointError, ConfigError, InputError
from refinesr.images.picture import Picture, to_tensor
from refinesr.images.projection import Projection
from refinesr.images.resize import MatlabBicubic, PillowBicubic
from refinesr.images.tasks import Inpainting
from refinesr.restore import (
    OptionFields,
    Options,
    Progress,
    enlarged_alpha,
    picture_of,
    refine,
    restore_picture,
    upscale,
)
from refinesr.restore.restoring import prepare, restore_by_link
from refinesr.stage import Stage

X4, X2, GREY = stage(packed(4)), stage(packed(2)), stage(packed(2, 1))
CAT = photo(60, 100, 40, 56)  # (3, 40, 56) uint8


def pil(image: Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(np.int64)


def big(model: Stage, image: Any, **options: Any) -> Any:
    return upscale(model, image, precision="fp32", **options)


def shrunk(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    return pixels(image.resize(size, Image.Resampling.BICUBIC))


def of_mode(mode: str) -> Image.Image:
    """A photo with something to say in every band."""
    cat = pil(CAT)
    if mode == "I;16":
        values = np.asarray(cat.convert("L")).astype(np.uint16) * 256 + np.arange(56, dtype=np.uint16)
        return Image.fromarray(values)
    if mode == "F":
        return Image.fromarray(np.asarray(cat.convert("L")).astype(np.float32) / 255)
    image = cat.convert(mode)
    if mode in ("LA", "RGBA"):
        ramp = np.linspace(-60, 320, 56).clip(0, 255).astype(np.uint8)
        image.putalpha(Image.fromarray(np.broadcast_to(ramp, (40, 56)).copy()))
    return image


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "F"])
def test_a_pil_image_comes_back_in_its_mode(mode: str) -> None:
    image = of_mode(mode)
    result = big(X2, image)
    assert (result.mode, result.size) == (mode, (112, 80))
    assert [result.getextrema()] != [image.getextrema()]


@pytest.mark.parametrize("mode", ["1", "P", "CMYK"])
def test_other_modes_come_back_in_the_nearest(mode: str) -> None:
    assert big(X2, pil(CAT).convert(mode)).mode == {"1": "L"}.get(mode, "RGB")


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float16, np.float32, np.float64, ">u2", ">f4"])
@pytest.mark.parametrize("shape", [(40, 56), (40, 56, 1), (40, 56, 3)])
def test_an_array_comes_back_as_one_of_its_type(kind: Any, shape: tuple[int, ...]) -> None:
    values = CAT.permute(1, 2, 0).numpy() / 255
    values = values if shape[2:] == (3,) else values[..., :1].reshape(shape)
    peak = {"u1": 255, "u2": 65535}.get(np.dtype(kind).str[1:], 1.0)
    array = (values * peak).astype(kind)
    result = big(X2, array)
    assert isinstance(result, np.ndarray)
    assert (result.dtype, result.shape) == (array.dtype, (80, 112, *shape[2:]))
    assert result.min() >= 0
    assert result.max() <= peak
    assert result.mean() == pytest.approx(array.astype(float).mean(), rel=0.01)


@pytest.mark.parametrize("kind", [torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_tensor_comes_back_as_one_of_its_type(kind: torch.dtype, channels: int) -> None:
    tensor = CAT[:channels] if kind == torch.uint8 else (CAT[:channels] / 255).to(kind)
    result = big(X2, tensor)
    assert (result.dtype, result.shape) == (kind, (channels, 80, 112))
    assert result.is_contiguous()
    assert result.double().mean() == pytest.approx(float(tensor.double().mean()), rel=0.01)


def test_all_kinds_of_the_same_picture_have_the_same_result() -> None:
    array = CAT.permute(1, 2, 0).numpy()
    expected = big(X2, array)
    assert np.array_equal(np.asarray(big(X2, Image.fromarray(array))), expected)
    assert np.array_equal(big(X2, CAT).permute(1, 2, 0).numpy(), expected)


def test_a_result_does_not_touch_what_was_given() -> None:
    given = CAT.clone()
    big(X2, given).zero_()
    assert torch.equal(given, CAT)


@pytest.mark.parametrize("model", [X2, X4], ids=["x2", "x4"])
@pytest.mark.parametrize("name", ["chelsea", "astronaut", "coffee"])
def test_the_result_made_small_by_pillow_is_the_input(model: Stage, name: str) -> None:
    """In at least 99.5 % of all 8-bit values, saturated ones too; without it in hardly any.
    The network is made of random numbers: it is not its merit."""
    image = Image.fromarray(getattr(skimage.data, name)()[100:160, 150:220])
    result = big(model, image)
    assert (shrunk(result, image.size) == pixels(image)).mean() >= 0.995
    free = big(model, image, consistent=False)
    assert (shrunk(free, image.size) == pixels(image)).mean() < 0.5
    plainly = image.resize(result.size, Image.Resampling.BICUBIC)
    assert np.abs(pixels(result) - pixels(plainly)).mean() > 5


def test_so_is_one_of_16_bits() -> None:
    """Half a level of rounding, weighed by a kernel whose weights sum to 1.3 an axis: one level."""
    array = (CAT.permute(1, 2, 0).numpy().astype(np.uint16) * 250) + 300
    result = big(X2, array)
    assert len(np.unique(result)) > 5000
    high = torch.from_numpy(result.astype(np.float64)).permute(2, 0, 1)[None]
    again = Projection((80, 112), (40, 56), PillowBicubic()).down(high)[0].permute(1, 2, 0).numpy()
    assert np.abs(again - array).max() <= 1


def test_so_is_one_of_floats() -> None:
    """To the rounding of float32 and what the rounds of clipping leave."""
    array = CAT.permute(1, 2, 0).numpy().astype(np.float32) / 300 + 0.05
    high = torch.from_numpy(big(X2, array).astype(np.float64)).permute(2, 0, 1)[None]
    again = Projection((80, 112), (40, 56), PillowBicubic()).down(high)[0].permute(1, 2, 0).numpy()
    assert np.abs(again - array).max() < 1e-5


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
@pytest.mark.parametrize("scale", [1.3, 3.0])
def test_so_are_they_at_another_scale(kind: Any, scale: float) -> None:
    """To what each depth leaves, as above, in 255ths; resampled alone they are farther off."""
    array = CAT.permute(1, 2, 0).numpy() / 300 + 0.05
    array = (array * 65535).astype(kind) if kind is np.uint16 else array.astype(kind)
    unit = np.iinfo(kind).max / 255 if kind is np.uint16 else 1 / 255

    def off(consistent: bool) -> float:
        made = big(X2, array, scale=scale, consistent=consistent)
        assert (made.dtype, made.shape) == (kind, (round(40 * scale), round(56 * scale), 3))
        high = torch.from_numpy(made.astype(np.float64)).permute(2, 0, 1)[None]
        again = Projection(tuple(high.shape[2:]), (40, 56), PillowBicubic()).down(high)[0].permute(1, 2, 0)
        return float(np.abs(again.numpy() - array).max() / unit)

    assert off(consistent=True) < 0.02
    assert off(consistent=False) > 1


def test_a_picture_with_alpha_is_one_at_another_scale() -> None:
    """The colours are the input's, where they can be seen, and the mask is the input's, enlarged."""
    image = of_mode("RGBA")
    large = big(X2, image, scale=3.5)
    assert (large.mode, large.size) == ("RGBA", (196, 140))
    seen = pixels(image.getchannel("A")) > 0
    again = shrunk(large.convert("RGB"), image.size)
    assert (again == pixels(image.convert("RGB")))[seen].mean() > 0.99
    assert np.abs(shrunk(large.getchannel("A"), image.size) - pixels(image.getchannel("A"))).max() <= 2


def test_a_scale_of_hardly_a_pixel_more_is_a_picture() -> None:
    """Of the input's own size nothing can be asked; of a pixel more a side it can."""
    image = pil(CAT)
    assert big(X2, image, scale=1.001).size == image.size
    large = big(X2, image, scale=1.015)
    assert large.size == (57, 41)
    assert (shrunk(large, image.size) == pixels(image)).mean() > 0.8


@pytest.mark.parametrize(("kind", "peak"), [(np.uint16, 65535), (np.float32, 1)])
def test_so_are_deep_ones_with_saturated_values(kind: type, peak: int) -> None:
    """0 and the peak as what is clipped to them; 0.738 and 0.981 if clipped and projected in turns."""
    array = ((CAT.permute(1, 2, 0).numpy() / 127.5 - 1).clip(-0.5, 0.5) + 0.5) * peak
    array = array.astype(kind)
    assert ((array == 0) | (array == peak)).mean() > 0.05
    high = torch.from_numpy(big(X2, array).astype(np.float64)).permute(2, 0, 1)[None]
    again = Projection((80, 112), (40, 56), PillowBicubic()).down(high)[0].permute(1, 2, 0).numpy()
    off = np.abs(again.clip(0, peak) - array) / peak
    assert (off <= 1 / 65535).mean() > 0.94
    assert (off < 0.5 / 255).mean() > 0.997


def test_a_model_that_does_not_promise_can_be_asked_to() -> None:
    free = replace(X2, method=replace(X2.method, sampling=replace(X2.method.sampling, consistent=None)))
    image = pil(CAT)
    assert (shrunk(big(free, image), image.size) == pixels(image)).mean() < 0.5
    assert (shrunk(big(free, image, consistent=True), image.size) == pixels(image)).mean() >= 0.995


def test_the_kernel_is_the_methods_own() -> None:
    sampling = replace(X2.method.sampling, consistent=MatlabBicubic())
    made = replace(X2, method=replace(X2.method, sampling=sampling))
    assert Options(consistent=True).sampling_for(made) == sampling
    assert Options(consistent=False, steps=7).sampling_for(X2).consistent is None
    assert Options(steps=7).sampling_for(X2) == replace(X2.method.sampling, steps=7)


@settings(deadline=None, max_examples=6)
@given(tile=st.integers(16, 60), seed=st.integers(0, 2**63 - 1), model=st.sampled_from([X2, X4]))
def test_the_same_seed_is_the_same_picture_whatever_the_tile(tile: int, seed: int, model: Stage) -> None:
    """Differences are at most 1 of 255."""
    image = photo(20, 40, 50, 70)
    whole, tiled = big(model, image, tile=0, seed=seed), big(model, image, tile=tile, seed=seed)
    assert (whole.int() - tiled.int()).abs().max() <= 1
    assert torch.equal(whole, big(model, image, tile=0, seed=seed))


@pytest.mark.slow
@pytest.mark.parametrize("tile", [64, 96])
def test_tiles_change_nothing_of_what_the_shipped_model_makes(tile: int) -> None:
    image = photo(0, 0, 200, 230)
    whole, tiled = (upscale("photo-x4", image, steps=4, precision="fp32", tile=t) for t in (0, tile))
    assert torch.is_tensor(whole)
    assert torch.is_tensor(tiled)
    assert (whole.int() - tiled.int()).abs().max() <= 1


def test_another_seed_is_another_picture_and_samples_are_seeds_in_a_row() -> None:
    first, second, third = big(X2, CAT, seed=5, samples=3)
    for image, seed in ((first, 5), (second, 6), (third, 7)):
        assert torch.equal(image, big(X2, CAT, seed=seed))
    assert not torch.equal(first, second)
    assert torch.is_tensor(big(X2, CAT, samples=1))


def test_the_posterior_mean_is_computed_once_for_all_samples() -> None:
    """The noise that it is asked at is the same for all seeds."""
    method = packed(2)
    sampling = replace(method.sampling, steps=2, fidelity=0.5, mean=40.0)
    model, calls = stage(replace(method, sampling=sampling)), []
    alone = [big(model, CAT, seed=seed) for seed in (3, 4, 5)]
    model.model.network.register_forward_hook(lambda *_: calls.append(1))
    samples = big(model, CAT, seed=3, samples=3)
    assert len(calls) == 1 + 3 * 2
    assert all(torch.equal(*pair) for pair in zip(samples, alone, strict=True))
    calls.clear()
    same = big(model, CAT, samples=3, fidelity=1.0)
    assert len(calls) == 1
    assert torch.equal(same[0], same[2])


def test_a_model_computes_where_its_weights_are_unless_a_device_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that is named, or in a file, goes where 'auto' says."""
    model, asked = stage(packed(2)), []
    real = refinesr.restore.options.device_named

    def device_named(name: str) -> torch.device:
        asked.append(name)
        return real("cpu")

    monkeypatch.setattr("refinesr.restore.options.device_named", device_named)
    upscale(model, CAT[:, :12, :14])
    list(refine(model, CAT[:, :12, :14]))
    assert asked == []
    upscale(model, CAT[:, :12, :14], device="auto")
    assert set(asked) == {"auto"}
    asked.clear()
    monkeypatch.setattr("refinesr.restore.upscaling.load_model", lambda name: model)
    upscale("model.safetensors", CAT[:, :12, :14])
    list(refine("model.safetensors", CAT[:, :12, :14]))
    assert set(asked) == {"auto"}


def test_each_stage_of_a_cascade_computes_where_its_own_weights_are(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = Link(stage(packed(2))), Link(stage(packed(2)))
    there.stage.model.to("meta")
    options = Options(precision="bf16")
    assert options.device_and_dtype(here.stage) == (torch.device("cpu"), torch.bfloat16)
    assert options.device_and_dtype(there.stage) == (torch.device("meta"), torch.bfloat16)
    assert Options(device="cpu").device_and_dtype(there.stage)[0] == torch.device("cpu")
    given = []

    def call(link: Link, low: Tensor, *_: object) -> Iterator[Progress[Tensor]]:
        given.append(low.device.type)
        yield Progress(1, 1, low)

    monkeypatch.setattr(Link, "__call__", call)
    list(Cascade((here, there))(CAT[None] / 255, NoiseField((1,))))
    assert given == ["cpu", "meta"]


def encodings(model: Stage) -> list[int]:
    """Grows by one with each part of a picture that is encoded."""
    made: list[int] = []
    encoder_module(model.model).register_forward_hook(lambda *_: made.append(1))
    return made


@pytest.mark.parametrize("options", [{}, {"tile": 16}, {"orientations": 2}, {"fidelity": 0.5, "scale": 1.5}])
def test_samples_are_encoded_once_and_are_those_of_their_seeds(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refinesr.encoding.STRIP", 16 * 56)
    model = stage(packed(2))
    made = encodings(model)
    alone = [big(model, CAT, seed=seed, **options) for seed in (3, 4, 5)]
    each = len(made) // 3
    assert each > 1
    samples = big(model, CAT, seed=3, samples=3, **options)
    assert len(made) == 4 * each
    assert all(torch.equal(*pair) for pair in zip(samples, alone, strict=True))


@pytest.mark.parametrize(("kind", "passes"), [(torch.uint8, 1), (torch.float32, 3)])
def test_samples_of_a_large_deep_picture_are_encoded_each(
    kind: torch.dtype, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of 8 bits leave the room."""
    model, image = stage(packed(2)), CAT if kind == torch.uint8 else CAT / 255
    made = encodings(model)
    for kept, expected in ((40 * 56 * 8, 1), (40 * 56 * 8 - 1, passes)):
        monkeypatch.setattr("refinesr.method.CACHE_LIMIT", kept)
        made.clear()
        big(model, image, samples=3, steps=1)
        assert len(made) == expected


def test_samples_of_a_cascade_share_what_its_first_stage_sees() -> None:
    """What the second one sees is another picture each time."""
    twice = Cascade((Link(stage(packed(2), seed=1)), Link(stage(packed(2), seed=2))))
    first, second = (encodings(link.stage) for link in twice.links)
    small = CAT[:, :12, :14]
    samples = upscale(twice, small, seed=1, samples=2)
    assert len(second) == 2 * len(first) == 2
    assert all(torch.equal(large, upscale(twice, small, seed=1 + k)) for k, large in enumerate(samples))


def test_samples_whose_hole_is_filled_with_noise_are_encoded_each() -> None:
    """It is noise of the sample's own."""
    model = stage(replace(packed(1), degradation=Inpainting()))
    hole = np.zeros((40, 56), bool)
    hole[10:20, 20:30] = True
    first, second = upscale(model, CAT, mask=hole, samples=2)
    assert torch.equal(first, upscale(model, CAT, mask=hole))
    assert torch.equal(second, upscale(model, CAT, mask=hole, seed=1))


def test_the_noise_of_a_picture_does_not_depend_on_the_batch_it_is_in() -> None:
    """A grey model restores the channels of a colour picture as a batch, all with the same noise."""
    together = big(GREY, CAT, seed=3)
    for channel in range(3):
        alone = big(GREY, CAT[channel : channel + 1], seed=3)
        assert (together[channel : channel + 1].int() - alone.int()).abs().max() <= 1


def test_grey_stays_grey() -> None:
    """A model of colours restores it as a colour picture, whose colours' mean is the answer."""
    grey = pil(CAT).convert("L")
    result = big(X2, grey)
    assert result.mode == "L"
    assert (shrunk(result, grey.size) == pixels(grey)).mean() >= 0.995


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_enlarged_beside_the_colours(mode: str) -> None:
    """A soft mask, made small again, is the same."""
    image = of_mode(mode)
    result = big(X4, image)
    alpha, low = result.getchannel("A"), image.getchannel("A")
    assert result.size == (224, 160)
    assert (shrunk(alpha, low.size) == pixels(low)).mean() >= 0.995
    assert {0, 255} <= set(np.unique(pixels(alpha)))


def test_colours_are_faithful_where_they_can_be_seen() -> None:
    image = of_mode("RGBA")
    result, seen = big(X2, image).convert("RGBA"), pixels(image.getchannel("A")) > 0
    again = shrunk(Image.merge("RGB", result.split()[:3]), image.size)
    assert (again == pixels(image.convert("RGB")))[seen].mean() >= 0.99


def test_what_nobody_sees_does_not_bleed() -> None:
    """Black under transparent pixels is no dark rim: the result is as if it had been something else."""
    black, pink = of_mode("RGBA"), of_mode("RGBA")
    hidden = pixels(black)[..., 3] == 0
    for image, colour in ((black, 0), (pink, 200)):
        values = np.asarray(image).copy()
        values[hidden, :3] = colour
        image.paste(Image.fromarray(values))
    assert np.array_equal(pixels(big(X2, black)), pixels(big(X2, pink)))


def test_alpha_at_scale_1_stays_as_it_is() -> None:
    made = stage(plain(1))
    image = of_mode("RGBA")
    assert np.array_equal(pixels(big(made, image).getchannel("A")), pixels(image.getchannel("A")))


def test_the_edge_of_a_mask_has_no_halo() -> None:
    """Bicubic enlarging sees two pixels: what lies farther from the edge of a disc is clear or opaque."""
    down, right = np.mgrid[:40, :40]
    mask = (np.hypot(down - 20, right - 20) < 14).astype(np.uint8) * 255
    large = enlarged_alpha(Picture(np.zeros((40, 40, 3), np.uint8), mask), (160, 160))
    assert (large.shape, large.dtype) == ((160, 160), np.uint8)
    down, right = np.mgrid[:160, :160]
    distance = np.hypot(down - 81.5, right - 81.5)
    assert not large[distance > 4 * (14 + 3)].any()
    assert (large[distance < 4 * (14 - 4)] == 255).all()


def test_profile_exif_and_resolution_survive() -> None:
    image, exif = pil(CAT), Image.Exif()
    exif[0x010F] = "a camera"
    exif[0x0112] = 6  # the picture is not turned, so this stays true
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.info.update(icc_profile=profile, exif=exif.tobytes(), dpi=(300, 300))
    result = big(X2, image)
    assert result.info["icc_profile"] == profile
    assert dict(result.getexif()) == {0x010F: "a camera", 0x0112: 6}
    assert result.info["dpi"] == (300, 300)


@pytest.mark.parametrize("image", [pil(CAT), CAT, CAT.permute(1, 2, 0).numpy()])
def test_refine_shows_every_step_and_ends_with_what_upscale_returns(image: Any) -> None:
    walked = list(refine(X2, image, steps=4, seed=9, precision="fp32"))
    assert [(progress.done, progress.total) for progress in walked] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert {type(progress) for progress in walked} == {Progress}
    assert {type(progress.image) for progress in walked} == {type(big(X2, image))}
    result = big(X2, image, steps=4, seed=9)
    assert np.array_equal(np.asarray(walked[-1].image), np.asarray(result))
    assert not np.array_equal(np.asarray(walked[0].image), np.asarray(result))


def test_all_that_is_watched_has_the_scale_that_was_asked_for() -> None:
    walked = [progress.image for progress in refine(X2, pil(CAT), scale=1.5, precision="fp32")]
    assert {image.size for image in walked} == {(84, 60)}
    assert np.array_equal(pixels(walked[-1]), pixels(big(X2, pil(CAT), scale=1.5)))
    assert np.array_equal(pixels(big(X2, pil(CAT), scale=2.0)), pixels(big(X2, pil(CAT))))


def test_another_sampler_of_the_method_is_used() -> None:
    other = replace(X2.method, sampling=replace(X2.method.sampling, sampler=DPM2M()))
    assert not torch.equal(big(replace(X2, method=other), CAT), big(X2, CAT))


def test_large_pictures_are_cut_by_themselves() -> None:
    """The method's own tile is used unless another is asked for."""
    made = stage(replace(packed(2), tile=16))
    count: list[int] = []
    made.model.network.register_forward_hook(lambda *_: count.append(1))
    image = photo(20, 40, 50, 80)
    tiles = len(made.tiles(image[None].float(), 16))
    assert tiles > 1
    for tile, calls in ((None, 3 * tiles), (0, 3)):
        count.clear()
        big(made, image, tile=tile)
        assert len(count) == calls


WRONG_IMAGES: list[tuple[Any, str]] = [
    (np.zeros((4, 4), np.int64), "type int64 is no picture"),
    (np.zeros((4, 4), bool), "type bool is no picture"),
    (np.zeros(4, np.uint8), r"shape \(4,\)"),
    (np.zeros((2, 4, 4, 3), np.uint8), r"shape \(2, 4, 4, 3\)"),
    (np.zeros((0, 4, 3), np.uint8), r"shape \(0, 4, 3\)"),
    (np.zeros((4, 4, 4), np.uint8), "has 4 channels; the model restores pictures of 1 or 3"),
    (np.full((4, 4, 3), np.nan, np.float32), "image: all values are missing"),
    (np.full((4, 4, 3), np.inf, np.float32), "image: holds NaN or infinite values"),
    (
        np.linspace(-0.35, 0.21, 48).reshape(4, 4, 3),
        r"float pixels lie in \[0, 1\]; these go from -0.35 to 0.21",
    ),
    (Image.new("F", (4, 4), 280.0), "these go from 280 to 280; rescale all pictures alike"),
    (np.linspace(0, 255, 48).reshape(4, 4, 3), r"these go from 0 to 255"),
    (-np.ones((4, 4, 3)), r"these go from -1 to -1"),
    (np.full((4, 4, 3), 1e300), r"^image: .* these go from 1e\+300 to 1e\+300"),
    (torch.full((3, 4, 4), -1e300, dtype=torch.float64), r"these go from -1e\+300 to -1e\+300"),
    (np.array([[0.0, np.inf, np.nan]]), "^image: holds NaN or infinite values"),
    (np.array([[0.0, 1e300, np.nan]]), r"^image: float pixels lie in \[0, 1\]; these go from 0 to 1e\+300"),
    (
        torch.zeros(3, 4, 4, device="meta"),
        "^image: a strided tensor on meta is given; a dense one with values",
    ),
    (
        torch.zeros(3, 4, 4).to_sparse(),
        "^image: a sparse_coo tensor on cpu is given; a dense one with values",
    ),
    (Image.new("RGB", (0, 4)), "^image: has no pixels, 0 x 4$"),
    (torch.zeros(4, 4), r"a tensor of shape \(4, 4\) is no picture; \(C, H, W\) is"),
    (torch.zeros(1, 3, 4, 4), r"a tensor of shape \(1, 3, 4, 4\) is no picture"),
    (torch.zeros(3, 4, 4, dtype=torch.int32), "type int32 is no picture"),
    (Image.new("LAB", (4, 4)), "LAB pixels cannot be read"),
]


@pytest.mark.parametrize(("image", "message"), WRONG_IMAGES, ids=[message for _, message in WRONG_IMAGES])
def test_what_is_no_picture_is_refused(image: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        upscale(X2, image)
    assert "\n" not in str(caught.value)


def test_a_pil_image_that_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    pil(CAT).save(tmp_path / "cat.png")
    half = (tmp_path / "cat.png").read_bytes()
    cut = Image.open(io.BytesIO(half[: len(half) // 2]))
    closed = Image.open(tmp_path / "cat.png")
    closed.close()
    for broken, why in ((cut, "image file is truncated"), (closed, "Operation on closed image")):
        with pytest.raises(InputError, match=f"^image: cannot be read whole: {why}"):
            upscale(X2, broken)
        with pytest.raises(InputError, match=f"^mask: cannot be read whole: {why}"):
            upscale(X2, CAT, mask=broken)


def test_a_tensor_that_is_stored_negated_is_the_same_picture() -> None:
    values = CAT / 255
    negated = torch.complex(values, -values).conj().imag
    assert negated.is_neg()
    assert torch.equal(big(X2, negated), big(X2, values))


@pytest.mark.parametrize(("model", "channels"), [(GREY, 1), (X2, 3)], ids=["grey", "colour"])
def test_editing_what_is_shown_changes_nothing_of_what_comes(model: Stage, channels: int) -> None:
    """The last image of a stage is what the next one is given."""
    chain, given = Cascade((Link(model), Link(model))), CAT[:channels, :12, :10]
    expected = [progress.image.clone() for progress in refine(chain, given, precision="fp32")]
    for progress, image in zip(refine(chain, given, precision="fp32"), expected, strict=True):
        assert torch.equal(progress.image, image)
        progress.image.zero_()


def test_floats_a_little_outside_are_cut_not_refused() -> None:
    result = big(X2, np.linspace(-0.1, 1.1, 48).reshape(4, 4, 3))
    assert result.min() >= 0
    assert result.max() <= 1


WRONG_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"tile": -1}, "tile: -1 is negative; 0 means no tiles"),
    ({"seed": -1}, "seed: -1 is not between 0 and"),
    ({"seed": 2**63}, "seed: 9223372036854775808 is not between 0 and"),
    ({"seed": 2**63 - 2, "samples": 3}, "seed: 9223372036854775808 is not between"),
    ({"steps": 0}, "steps: 0 is not positive"),
    ({"samples": 0}, "samples: 0 is not positive"),
    ({"scale": 0.0}, "scale: 0 is not a positive number"),
    ({"scale": -2.5}, "scale: -2.5 is not a positive number"),
    ({"scale": math.inf}, "scale: inf is not a positive number"),
    ({"device": "gpu"}, "device: 'gpu' cannot be used here"),
    ({"precision": "fp16"}, "precision: 'fp16' is not one of"),
]


@pytest.mark.parametrize(("options", "message"), WRONG_OPTIONS, ids=[message for _, message in WRONG_OPTIONS])
def test_options_without_a_meaning_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        upscale(X2, CAT, **options)


OTHER_TYPES: list[tuple[dict[str, Any], str]] = [
    ({"steps": 2.0}, r"^steps: 2\.0 is no whole number$"),
    ({"steps": "2"}, r"^steps: '2' is no whole number$"),
    ({"samples": 2.0}, r"^samples: 2\.0 is no whole number$"),
    ({"seed": 1.5}, r"^seed: 1\.5 is no whole number$"),
    ({"seed": None}, "^seed: None is no whole number$"),
    ({"tile": 8.5}, r"^tile: 8\.5 is no whole number$"),
    ({"fidelity": "1"}, "^fidelity: '1' is no number$"),
    ({"orientations": "8"}, "^orientations: '8' is no whole number$"),
    ({"scale": "2"}, "^scale: '2' is no number$"),
    ({"orientations": 5}, "^orientations: 5 is not 1, 2, 4 or 8$"),
]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("options", "message"), OTHER_TYPES, ids=[message for _, message in OTHER_TYPES])
def test_options_of_another_type_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        upscale(X2, CAT, **options)


@pytest.mark.usefixtures("unchecked")
def test_whole_numbers_may_be_numpys() -> None:
    seen = upscale(X2, CAT, steps=np.int64(2), seed=np.uint8(7), samples=np.int32(1), tile=np.int16(0))
    assert torch.equal(seen, upscale(X2, CAT, steps=2, seed=7, tile=0))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("wrong", ["photo.jpg", Path("photo.jpg"), [[0, 1], [1, 0]], None], ids=str)
def test_what_is_no_image_at_all_is_told_what_is_taken(wrong: Any) -> None:
    said = (
        f"is a {type(wrong).__name__}; a PIL image (PIL.Image.open makes one of a file), an array or a tensor"
    )
    with pytest.raises(InputError, match=re.escape(said)):
        upscale(X2, wrong)
    with pytest.raises(InputError, match=re.escape(said)):
        next(refine(X2, wrong))
    if wrong is not None:  # which is no mask
        with pytest.raises(InputError, match=re.escape(said)):
            upscale(X2, CAT, mask=wrong)


def test_options_by_name_are_the_fields_of_options() -> None:
    """What the public functions take as `Unpack[Asked]` is what they make of it."""
    assert typing.get_type_hints(OptionFields) == {field.name: field.type for field in fields(Options)}


def test_nothing_can_be_kept_at_scale_1() -> None:
    with pytest.raises(ConfigError, match="nothing is lost at scale 1"):
        upscale(stage(plain(1)), CAT, consistent=True)


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"none\.safetensors: no such file"):
        upscale("none.safetensors", CAT)


def test_a_broken_model_makes_no_black_pictures() -> None:
    broken = stage(packed(2))
    next(broken.model.network.parameters()).fill_(float("nan"))
    with pytest.raises(CheckpointError, match="image: the model makes NaN or infinity of it"):
        big(broken, CAT)


def test_a_half_walked_refinement_can_be_closed() -> None:
    walk = restore_picture(X2, Picture(CAT.permute(1, 2, 0).contiguous().numpy()), Options(precision="fp32"))
    next(walk)
    walk.close()
    with pytest.raises(StopIteration):
        next(walk)


def test_bf16_is_near_fp32_and_as_faithful() -> None:
    image = pil(CAT)
    result = upscale(X2, image, precision="bf16")
    assert (shrunk(result, image.size) == pixels(image)).mean() >= 0.995
    assert np.abs(pixels(result) - pixels(big(X2, image))).mean() < 2


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1)])
def test_the_smallest_pictures_are_pictures(size: tuple[int, int]) -> None:
    image = photo(60, 100, *size)
    assert big(X4, image).shape == (3, 4 * size[0], 4 * size[1])


# Cascades

TWICE = Cascade((Link(stage(packed(2), seed=1), tile=0), Link(stage(packed(2), seed=2), tile=24)))


def test_a_cascade_enlarges_by_all_of_its_stages_and_keeps_the_promise() -> None:
    """Each stage keeps what it is given, so made small twice the result is the input."""
    small = Image.fromarray(photo(60, 80, 24, 30).permute(1, 2, 0).numpy())
    large = upscale(TWICE, small)
    assert isinstance(large, Image.Image)
    assert large.size == (120, 96)
    middle = large.resize((60, 48), Image.Resampling.BICUBIC)
    again = np.asarray(middle.resize((30, 24), Image.Resampling.BICUBIC))
    assert (again == np.asarray(small)).mean() > 0.98


def test_at_another_scale_a_cascade_promises_what_all_of_its_stages_do() -> None:
    small = photo(60, 80, 24, 30).permute(1, 2, 0).numpy()

    def agreement(model: Cascade) -> float:
        large = Image.fromarray(upscale(model, small, scale=3.0))
        return float((shrunk(large, (30, 24)) == small).mean())

    first, second = TWICE.links
    free = replace(second, sampling=replace(second.effective_sampling, consistent=None))
    assert agreement(TWICE) > 0.98
    assert agreement(Cascade((first, free))) < 0.9


def test_a_cascade_is_its_stages_by_hand() -> None:
    """Each is given the picture of the one before, and the next draws of one source of noise."""
    small = photo(60, 80, 12, 14).permute(1, 2, 0).numpy()
    middle = upscale(TWICE.links[0].stage, small, seed=5)
    large = upscale(TWICE, small, seed=5)
    assert isinstance(middle, np.ndarray)
    assert isinstance(large, np.ndarray)
    noise = NoiseField((5,))
    last_of(TWICE.links[0](to_tensor(picture_of(small)), noise, None))
    assert noise.draw > 0
    picture, link = picture_of(middle), TWICE.links[1]
    by_hand = last_of(restore_by_link(link, (picture,), Options(), noise, None, False, prepare)).image[0]
    assert np.array_equal(large, by_hand.pixels)
    assert not np.array_equal(large, upscale(link.stage, middle, seed=5, tile=24))


def test_a_cascade_that_restores_and_one_that_is_called_have_the_same_noise() -> None:
    """Floats are not rounded between stages, so the two differ by rounding errors at most."""
    small = photo(60, 80, 12, 14).float() / 255
    free = Cascade(
        tuple(
            replace(link, sampling=replace(link.effective_sampling, consistent=None)) for link in TWICE.links
        )
    )
    called = last_of(free(2 * small[None] - 1, NoiseField((5,)))).image
    large = upscale(free, small, seed=5, precision="fp32")
    assert (large - ((called[0] + 1) / 2).clamp(0, 1)).abs().max() < 1e-4


def test_progress_of_a_cascade_counts_all_steps_and_grows() -> None:
    small = photo(60, 80, 8, 8).permute(1, 2, 0).numpy()
    seen = [(p.done, p.total, p.image.shape[0]) for p in refine(TWICE, small)]
    assert seen == [(1, 6, 16), (2, 6, 16), (3, 6, 16), (4, 6, 32), (5, 6, 32), (6, 6, 32)]


def test_the_steps_of_a_cascade_are_in_its_file() -> None:
    with pytest.raises(ConfigError, match="steps: each stage of a cascade has its own"):
        upscale(TWICE, np.zeros((4, 4, 3), np.uint8), steps=2)


def test_a_stage_that_is_told_of_noise_in_its_input_is_given_it() -> None:
    second, seen = FORGIVING, []
    hook = second.model.network.register_forward_pre_hook(
        lambda _, given, inputs: seen.append(inputs), with_kwargs=True
    )
    small = np.full((8, 8, 3), 128, np.uint8)
    for level in (0.0, 0.3):
        upscale(Cascade((TWICE.links[0], Link(second, tile=0, level=level))), small)
    hook.remove()
    quiet, loud = seen[0], seen[3]
    assert not torch.equal(quiet["vector"], loud["vector"])
    # bicubic enlarging lets through two thirds of the deviation of white noise
    assert loud["image"].std() - quiet["image"].std() > 0.1


def test_what_a_cascade_adds_noise_to_cannot_be_kept() -> None:
    """By the options as little as in its file, and before anything is computed."""
    whole, calls = Cascade((TWICE.links[0], Link(FORGIVING, tile=0, level=0.3))), []
    hook = whole.links[0].stage.model.network.register_forward_hook(lambda *_: calls.append(1))
    small = np.full((8, 8, 3), 128, np.uint8)
    for ask in (
        lambda: upscale(whole, small, consistent=True),
        lambda: next(refine(whole, small, consistent=True)),
        lambda: Options(consistent=True).check(whole),
    ):
        with pytest.raises(
            ConfigError, match=r"^stages\.1\.level: 0\.3, but the stage keeps its input as it is"
        ):
            ask()
    assert calls == []
    upscale(whole, small, consistent=False)
    upscale(Cascade((TWICE.links[0], Link(FORGIVING, tile=0))), small, consistent=True)
    hook.remove()
    assert len(calls) == 6
