"""Models of measured values: what they learn and restore does not depend on the unit of the files."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from methods import packed, plain, plan, stage
from PIL import Image

import refinesr
from refinesr.cascade import Cascade, Link
from refinesr.checkpoint import load_stage, save_stage
from refinesr.config import from_data, override, to_data
from refinesr.data import load_photos
from refinesr.diffusion.loops import last_of
from refinesr.distill import Lesson, distillation_objective, student_method
from refinesr.errors import ConfigError, InputError
from refinesr.generate import with_options
from refinesr.images.io import write
from refinesr.images.picture import Picture
from refinesr.images.span import Span
from refinesr.method import Method
from refinesr.mixing import Patch, fuse, interpolate
from refinesr.mixing.interpolating import side_by_side
from refinesr.pretrained import check_compatible
from refinesr.recipes import RECIPES, tiny
from refinesr.restore import Options, restore_picture, upscale
from refinesr.restore.rescaling import resampled
from refinesr.run import Run, training_pairs
from refinesr.search import load_search_set
from refinesr.sources import Blank
from refinesr.stage import Stage
from refinesr.tiles import Box
from refinesr.train import train

CPU = torch.device("cpu")
KELVIN, REFLECTANCE = Span((254.0,), (316.0,)), Span((0.0,), (10000.0,))
EACH = Span((254.0, 98000.0, -30.0), (316.0, 104000.0, 30.0))

Field = npt.NDArray[Any]


def smooth(height: int = 20, width: int = 24, bands: int = 1, seed: int = 0) -> Field:
    """In [0, 1], with ends that are clipped; float64."""
    rng, size = np.random.default_rng(seed), (width, height)
    coarse = rng.uniform(-0.2, 1.2, (bands, height // 4, width // 4)).astype(np.float32)
    fine = [np.asarray(Image.fromarray(band).resize(size, Image.Resampling.BICUBIC)) for band in coarse]
    return np.stack(fine, 2).astype(np.float64).clip(0, 1)


def in_units(field: Field, span: Span) -> Field:
    return np.array(span.low) + field * np.array(span.width)


def unit(values: Field, span: Span) -> Field:
    return (values.astype(np.float64) - span.low) / np.array(span.width)


def spanned(model: Stage, span: Span | None) -> Stage:
    return replace(model, method=replace(model.method, span=span))


def small(array: Field, factor: int) -> Field:
    size = array.shape[1] // factor, array.shape[0] // factor
    bands = np.moveaxis(array.astype(np.float32), 2, 0)
    made = [np.asarray(Image.fromarray(band).resize(size, Image.Resampling.BICUBIC)) for band in bands]
    return np.stack(made, 2)


GREY, COLOUR = stage(packed(2, 1)), stage(packed(2, 3))


@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize(("model", "span"), [(GREY, KELVIN), (COLOUR, EACH), (COLOUR, KELVIN)])
def test_results_do_not_depend_on_the_unit(model: Stage, span: Span, consistent: bool) -> None:
    """Of [0, 1], and of a * x + b by a model of the span of these."""
    field = smooth(bands=model.method.channels).astype(np.float32)
    asked: Any = {"consistent": consistent, "precision": "fp32", "seed": 3}
    plainly = upscale(model, field, **asked)
    measured = upscale(spanned(model, span), in_units(field, span).astype(np.float32), **asked)
    assert measured.dtype == np.float32
    # a value near 100000 is off by 1 / 256 at most, of 6000: 1e-6
    np.testing.assert_allclose(unit(measured, span), plainly, rtol=0, atol=2e-5)
    assert plainly.std() > 0.05


@pytest.mark.parametrize(("kind", "span", "within"), [
    (np.uint16, REFLECTANCE, 1.0), (np.uint16, Span((1200.0,), (9000.5,)), 1.0), (np.float32, KELVIN, 1e-3),
])  # fmt: skip
def test_a_result_made_small_is_the_input_in_its_own_unit(kind: Any, span: Span, within: float) -> None:
    values = in_units(0.1 + 0.8 * smooth(), span)
    low = (values.round() if kind is np.uint16 else values).astype(kind)
    high = upscale(spanned(GREY, span), low, precision="fp32")
    assert high.dtype == kind
    again = small(high, 2)
    assert abs(again - low).max() <= within
    assert abs(small(upscale(spanned(GREY, span), low, consistent=False), 2) - low).max() > 5 * within


def test_of_eight_bits_the_promise_is_exact_in_the_files_own_levels() -> None:
    span = Span((40.0,), (200.0,))
    low = in_units(smooth(), span).round().astype(np.uint8)[..., 0]
    high = upscale(spanned(GREY, span), low, precision="fp32")
    again = np.asarray(Image.fromarray(high).resize(low.shape[::-1], Image.Resampling.BICUBIC))
    assert np.mean(again == low) > 0.99
    free = upscale(spanned(GREY, span), low, precision="fp32", consistent=False)
    assert 40 <= free.min() < free.max() <= 200


def test_images_of_all_kinds_come_back_as_they_were_given() -> None:
    model, reflecting = spanned(GREY, KELVIN), spanned(GREY, REFLECTANCE)
    values = in_units(smooth(), KELVIN)
    made = upscale(model, values.astype(np.float32), precision="fp32")
    pil = upscale(model, Image.fromarray(values[..., 0].astype(np.float32)), precision="fp32")
    assert pil.mode == "F"
    assert (np.asarray(pil) == made[..., 0]).all()
    tensor = upscale(model, torch.from_numpy(values).permute(2, 0, 1), precision="fp32")
    assert tensor.dtype == torch.float64
    assert (tensor[0].numpy() == made[..., 0]).all()
    deep = in_units(smooth(), REFLECTANCE).round().astype(np.uint16)[..., 0]
    image = upscale(reflecting, Image.fromarray(deep), precision="fp32")
    assert image.mode == "I;16"
    assert (np.asarray(image) == upscale(reflecting, deep, precision="fp32")).all()


def test_alpha_has_its_own_range() -> None:
    values = in_units(smooth(), KELVIN).astype(np.float32)
    alpha = np.linspace(0, 1, 24, dtype=np.float32)[None].repeat(20, 0)
    values[:, :1] = -9999  # which nobody sees
    large = last_of(
        restore_picture(spanned(GREY, KELVIN), Picture(values, alpha), Options(precision="fp32"))
    ).image
    assert large.alpha is not None
    assert (large.alpha.min(), large.alpha.max()) == (0, 1)
    assert large.pixels.min() >= 254


def test_integers_outside_and_other_bands_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"^image: goes from 12000 to 12000, more than 16 % outside the span"
    ):
        upscale(spanned(GREY, REFLECTANCE), np.full((8, 8), 12000, np.uint16))
    with pytest.raises(InputError, match=r"^image: has 1 bands, and method\.span is of 3"):
        upscale(spanned(COLOUR, EACH), np.full((8, 8), 280, np.float32))
    grey = upscale(spanned(COLOUR, KELVIN), np.full((8, 8), 280, np.float32))
    assert grey.shape == (16, 16)


def test_kept_parts_of_a_filled_field_are_its_own() -> None:
    method = replace(tiny(RECIPES["palette-inpainting"]()).method, span=KELVIN)
    values = in_units(smooth(bands=3), KELVIN).astype(np.float32)
    hole = np.zeros(values.shape[:2], bool)
    hole[4:9, 5:12] = True
    filled = upscale(stage(method), values, mask=hole, steps=2, precision="fp32")
    assert (filled[~hole] == values[~hole]).all()
    assert 254 <= filled[hole].min() < filled[hole].max() <= 316


# ------------------------------------------------------------------------------------------ learning


def folder(path: Path, span: Span | None, kind: Any = np.float32, bands: int = 1) -> Path:
    path.mkdir()
    for seed in range(3):
        values = smooth(48, 40, bands, seed).astype(np.float32)
        if span is not None:
            values = in_units(values, span)
        write(
            Picture((values if kind is np.float32 else values.round()).astype(kind), span=span),
            path / f"{seed}.tiff",
        )
    return path


def run_of(span: Span | None, channels: int = 1) -> Run:
    return Run("field", replace(packed(2, channels), span=span), plan(size=16, steps=3))


def crops(run: Run, path: Path, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    photos = load_photos(
        path, CPU, channels=run.method.channels, smallest=16, span=run.method.span, **options
    )
    return training_pairs(run, photos).at(0)  # type: ignore[return-value]


@pytest.mark.parametrize(("span", "bands"), [(KELVIN, 1), (EACH, 3)])
@pytest.mark.filterwarnings("ignore:the photos need")
def test_crops_do_not_depend_on_the_unit(span: Span, bands: int, tmp_path: Path) -> None:
    plainly = crops(run_of(None, bands), folder(tmp_path / "unit", None, bands=bands))
    measured = crops(run_of(span, bands), folder(tmp_path / "own", span, bands=bands))
    for one, other in zip(plainly, measured, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=3e-6)
    decoded = crops(run_of(span, bands), tmp_path / "own", budget_bytes=0)
    for one, other in zip(measured, decoded, strict=True):
        assert torch.equal(one, other)


def test_reflectances_are_no_longer_nearly_black(tmp_path: Path) -> None:
    path = folder(tmp_path / "own", REFLECTANCE, np.uint16)
    dark, _ = crops(run_of(None), path)
    high, _ = crops(run_of(REFLECTANCE), path)
    assert dark.max() < -0.69
    assert (high.min(), high.max()) == (-1, 1)
    assert high.std() > 0.5


def test_a_training_learns_the_same_in_any_unit(tmp_path: Path) -> None:
    losses, models = [], []
    for name, span in (("unit", None), ("own", KELVIN)):
        run, path = run_of(span), folder(tmp_path / name, span)
        photos = load_photos(path, CPU, channels=1, smallest=16, span=span)
        reports = train(run, training_pairs(run, photos), tmp_path / f"run-{name}", device=CPU)
        losses.append([float(report.loss) for report in reports])
        models.append(refinesr.load(tmp_path / f"run-{name}"))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert models[0].method.span is None
    assert models[1].method.span == KELVIN
    field = smooth().astype(np.float32)
    made = upscale(models[1], in_units(field, KELVIN).astype(np.float32), precision="fp32")
    np.testing.assert_allclose(
        unit(made, KELVIN), upscale(models[0], field, precision="fp32"), rtol=0, atol=1e-3
    )


def test_files_outside_are_named_with_what_would_hold_them(tmp_path: Path) -> None:
    path = folder(tmp_path / "own", KELVIN)
    values = in_units(smooth(48, 40), KELVIN).astype(np.float32)
    values[5, 5] = 200
    write(Picture(values), path / "cold.tiff")
    with pytest.raises(InputError, match=r"cold\.tiff: goes from 200 to 316, .*; 200 to 316 would hold it"):
        crops(run_of(KELVIN), path)


def test_photos_of_another_span_are_no_material(tmp_path: Path) -> None:
    photos = load_photos(folder(tmp_path / "unit", None), CPU, channels=1, smallest=16)
    with pytest.raises(
        ConfigError, match=r"^method\.span: is 254 to 316, and the photos were loaded by None"
    ):
        training_pairs(run_of(KELVIN), photos)


def test_held_out_crops_do_not_depend_on_the_unit(tmp_path: Path) -> None:
    plainly = load_search_set(run_of(None).method, folder(tmp_path / "unit", None))
    measured = load_search_set(run_of(KELVIN).method, folder(tmp_path / "own", KELVIN))
    torch.testing.assert_close(plainly.high, measured.high, rtol=0, atol=3e-6)
    torch.testing.assert_close(plainly.low, measured.low, rtol=0, atol=3e-6)


# ------------------------------------------------------------------------------- methods and files


@pytest.mark.parametrize(("low", "high", "message"), [
    ("[1, 2]", "[3, 4]", "method.span: has 2 numbers each, and channels is 3; give 1 for all bands, or "
     "one for each"),
    ("[1]", "[1]", "method.span.high: 1 is not above low, 1"),
    ("1", "[3]", "method.span.low: 1 is not a list; did you mean [1]?"),
    ("[-1e39]", "[3]", "method.span.low: -1e+39 is not a finite number of 32 bits"),
])  # fmt: skip
def test_spans_without_a_meaning_are_refused_by_name(low: str, high: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        override(Run("a", packed(), plan()), f'method.span={{"low": {low}, "high": {high}}}')
    assert str(caught.value) == f"--set: {message}"


def test_a_span_is_stored_and_files_without_one_are_read(tmp_path: Path) -> None:
    save_stage(spanned(GREY, KELVIN), tmp_path / "a.safetensors")
    assert load_stage(tmp_path / "a.safetensors").method.span == KELVIN
    data = to_data(GREY.method)
    assert data.pop("span") is None
    assert from_data(Method, json.loads(json.dumps(data)), "a file").span is None


def test_models_of_other_spans_do_not_begin_teach_or_follow_one_another() -> None:
    one, other = spanned(GREY, KELVIN), spanned(GREY, REFLECTANCE)
    with pytest.raises(ConfigError, match=r"^--from: a: its method\.span is 254 to 316, this run's is None$"):
        check_compatible(GREY.method, one, "a")
    with pytest.raises(
        ConfigError, match=r"^stages\.1: has method\.span 0 to 10000, the one before has 254 to 3"
    ):
        Cascade((Link(one), Link(other)))
    assert Cascade((Link(one), Link(one))).span == KELVIN
    levels = (float(one.method.sampling.levels()[0]),)
    method = student_method(one.method, levels)
    assert method.span == KELVIN
    lesson = Lesson("a", "0", 4)
    distillation_objective(lesson, one, method)
    with pytest.raises(
        ConfigError, match=r"^method\.span: None is not what the student is taught with, 254 to 3"
    ):
        distillation_objective(lesson, one, replace(method, span=None))


def test_a_cascade_keeps_the_unit() -> None:
    model = spanned(GREY, KELVIN)
    values = in_units(0.1 + 0.8 * smooth(), KELVIN).astype(np.float32)
    large = upscale(Cascade((Link(model), Link(model))), values, precision="fp32")
    assert large.shape == (80, 96, 1)
    assert abs(small(small(large, 2), 2) - values).max() < 2e-3


def test_nothing_of_measured_values_is_generated() -> None:
    method = replace(plain(1, 1), source=Blank(), network=replace(plain(1, 1).network, image_channels=0))
    with pytest.raises(ConfigError, match=r"^model: has a method\.span, 254 to 316, and generated pictures"):
        with_options(Cascade((Link(stage(replace(method, span=KELVIN))),), (8, 8)))


def test_fields_are_mixed_in_their_unit() -> None:
    model, field = spanned(GREY, KELVIN), smooth().astype(np.float32)
    own = in_units(field, KELVIN).astype(np.float32)
    (plainly,) = interpolate(GREY, field, shares=[0.5], precision="fp32")
    (measured,) = interpolate(model, own, shares=[0.5], precision="fp32")
    np.testing.assert_allclose(unit(measured, KELVIN), plainly, rtol=0, atol=5e-5)
    patch = Patch(Box(2, 2, 8, 8), 4, 6)
    part = np.flip(field).copy()
    fused = fuse(model, own, in_units(part, KELVIN).astype(np.float32), patch, precision="fp32")
    expected = fuse(GREY, field, part, patch, precision="fp32")
    np.testing.assert_allclose(unit(fused, KELVIN), expected, rtol=0, atol=5e-5)
    row = side_by_side([Picture(own, span=KELVIN), Picture(own, span=KELVIN)])
    assert (row.pixels[:, 24:28] == 316).all()


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_at_another_size_nothing_leaves_the_span(dtype: type) -> None:
    """Bicubic overshoots an edge between the ends of a span."""
    pixels = np.zeros((12, 16, 1), dtype)
    pixels[:, 8:] = 10000
    picture = Picture(pixels, span=REFLECTANCE)
    made = resampled(picture, (31, 41), picture).pixels
    assert (made.min(), made.max()) == (0, 10000)


def test_values_below_a_mask_are_not_taken_for_known_ones() -> None:
    field = np.ma.masked_greater(in_units(smooth(), REFLECTANCE), 9000)
    model = stage(replace(packed(2, 1), span=REFLECTANCE))
    with pytest.raises(InputError, match=r"^image: holds masked values; NaN is missing, as "):
        upscale(model, field, device="cpu")
    made = upscale(model, field.astype(np.float32).filled(np.nan), device="cpu")
    assert np.isnan(made).sum() == 4 * field.mask.sum() > 0
