"""Pictures with missing values: restored by one stage and by several, and refused where they would teach."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from methods import packed, plain, stage
from PIL import Image

import refinesr
from refinesr.cascade import Cascade, Link
from refinesr.errors import InputError
from refinesr.images.entries import list_entries
from refinesr.images.missing import fill_missing
from refinesr.images.picture import Picture
from refinesr.images.tasks import Grey, Inpainting
from refinesr.mixing import Patch
from refinesr.mixing.fusing import compose
from refinesr.restore import Options, restore_picture
from refinesr.restore.fidelity import comparable_values, measure_fidelity
from refinesr.restore.rescaling import resampled
from refinesr.tiles import Box

X4, X2, GREY = stage(packed(4)), stage(packed(2)), stage(packed(2, 1))


def scene(height: int = 24, width: int = 30, bands: int = 3) -> Any:
    """Waves, from 0.2 to 0.8."""
    y, x, band = np.meshgrid(np.arange(height), np.arange(width), np.arange(bands), indexing="ij")
    return 0.5 + 0.3 * np.sin(0.7 * y + band) * np.cos(0.4 * x - band)


def cloud(height: int = 24, width: int = 30) -> Any:
    """Where values are missing, (H, W): a disc, a pixel, a corner."""
    y, x = np.mgrid[:height, :width]
    return ((y - 12) ** 2 + (x - 9) ** 2 < 20) | ((y == 5) & (x == 22)) | (y + x > height + width - 6)


def blocks(lost: Any, scale: int) -> Any:
    return np.kron(lost, np.ones((scale, scale), bool))


def away(lost: Any) -> Any:
    """Three pixels and more from what is missing."""
    height, width = lost.shape
    wide = np.pad(lost, 2)
    return ~np.any([wide[y : y + height, x : x + width] for y in range(5) for x in range(5)], axis=0)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("model", [X4, X2])
def test_nan_of_an_array_is_nan_in_the_result_and_nothing_else_is(model: Any, kind: type) -> None:
    image, lost = scene().astype(kind), cloud()
    image[lost] = np.nan
    before = image.copy()
    large = refinesr.upscale(model, image)
    assert np.array_equal(image, before, equal_nan=True)
    assert large.dtype == kind
    assert np.array_equal(np.isnan(large), np.repeat(blocks(lost, model.scale)[..., None], 3, 2))


def test_values_away_from_missing_ones_are_kept() -> None:
    """By Pillow, whatever it is shown where values are missing."""
    image, lost = scene().astype(np.float32), cloud()
    image[lost] = np.nan
    large = refinesr.upscale(X4, image)
    for filling in (0.0, 1.0):
        shown = np.nan_to_num(large, nan=filling)
        small = np.dstack(
            [np.asarray(Image.fromarray(band).resize((30, 24), 3)) for band in np.moveaxis(shown, 2, 0)]
        )
        assert np.abs(small - image)[away(lost)].max() < 2e-4


def test_a_hole_in_what_is_flat_leaves_no_trace() -> None:
    """No halo: around it the result is that of the picture without it."""
    flat, lost = np.full((24, 30, 3), 0.3, np.float32), cloud()
    whole = refinesr.upscale(X4, flat)
    flat[lost] = np.nan
    holed = refinesr.upscale(X4, flat)
    assert np.abs(holed - whole)[~blocks(lost, 4)].max() < 1e-5


def test_tiles_change_nothing() -> None:
    image = scene().astype(np.float32)
    image[cloud()] = np.nan
    one, other = (refinesr.upscale(X2, image, tile=tile, precision="fp32") for tile in (0, 16))
    np.testing.assert_allclose(one, other, atol=1 / 255)


def test_bands_may_be_missing_each_for_itself() -> None:
    image = scene().astype(np.float32)
    lost = np.stack([cloud(), np.roll(cloud(), 5, 1), np.zeros((24, 30), bool)], 2)
    image[lost] = np.nan
    large = refinesr.upscale(X2, image)
    assert np.array_equal(np.isnan(large), np.kron(lost, np.ones((2, 2, 1), bool)))


def test_tensors_and_pil_images_and_each_estimate_of_refine() -> None:
    image = scene(bands=1)[..., 0].astype(np.float32)
    image[cloud()] = np.nan
    wanted = blocks(cloud(), 2)
    assert np.array_equal(refinesr.upscale(GREY, torch.from_numpy(image)[None])[0].isnan().numpy(), wanted)
    assert np.array_equal(np.isnan(np.asarray(refinesr.upscale(GREY, Image.fromarray(image)))), wanted)
    shown = [progress.image for progress in refinesr.refine(GREY, image, steps=3)]
    assert len(shown) == 3
    assert all(np.array_equal(np.isnan(each), wanted) for each in shown)


def test_a_cascade_carries_what_is_missing_from_stage_to_stage() -> None:
    image = scene().astype(np.float32)
    image[cloud()] = np.nan
    large = refinesr.upscale(Cascade((Link(X2), Link(X2))), image)
    assert np.array_equal(np.isnan(large[..., 0]), blocks(cloud(), 4))


def test_a_mask_makes_up_what_is_missing_under_it_alone() -> None:
    model = stage(replace(plain(1), degradation=Inpainting()))
    image, mask = scene().astype(np.float32), np.zeros((24, 30), bool)
    image[cloud()], mask[:, :15] = np.nan, True
    made = refinesr.upscale(model, image, mask=mask)
    assert np.isfinite(made[mask]).all()
    assert np.array_equal(made[~mask], image[~mask], equal_nan=True)


def test_colours_made_of_grey_are_missing_where_it_is() -> None:
    model = stage(replace(plain(1), degradation=Grey()))
    image = scene(bands=1)[..., 0].astype(np.float32)
    image[cloud()] = np.nan
    made = refinesr.upscale(model, image)
    assert np.array_equal(np.isnan(made), np.repeat(cloud()[..., None], 3, 2))


@pytest.mark.parametrize(("kind", "nodata"), [(np.uint8, 0.0), (np.uint16, 65535.0), (np.float32, -9999.0)])
def test_nodata_is_missing_in_the_result_and_no_value_becomes_it(kind: type, nodata: float) -> None:
    """Of a picture so dark and bright that values of its result end where nodata begins."""
    peak = 1 if kind == np.float32 else np.iinfo(kind).max
    image = (np.clip(6 * scene() - 2.5, 0.01, 0.99) * peak).astype(kind)
    image[cloud()] = nodata
    picture = Picture(image, nodata=nodata)
    *_, last = restore_picture(X4, picture, Options())
    assert np.array_equal(last.image.missing_mask, np.repeat(blocks(cloud(), 4)[..., None], 3, 2))
    *_, free = restore_picture(X4, fill_missing(picture), Options())
    known = ~np.repeat(blocks(cloud(), 4)[..., None], 3, 2)
    beside = np.abs(last.image.pixels[known].astype(float) - free.image.pixels[known])
    assert beside.max() <= (0 if kind == np.float32 else 1)
    assert (beside[free.image.pixels[known] != nodata] == 0).all()


def test_how_far_a_result_is_its_input_is_told_away_from_missing_values() -> None:
    image = scene().astype(np.float32)
    image[cloud()] = np.nan
    picture = Picture(image)
    *_, last = restore_picture(X4, picture, Options())
    found = measure_fidelity(picture, last.image)
    assert found is not None
    assert found.agreement == 1
    assert found.lr_psnr > 70
    assert np.array_equal(comparable_values(picture)[0].numpy(), away(cloud()))
    image[::3, ::3] = np.nan
    holed = Picture(image)
    assert measure_fidelity(holed, resampled(holed, (48, 60), holed)) is None


def test_at_another_size_it_is_missing_still() -> None:
    image, lost = scene().astype(np.float32), cloud()
    image[lost] = np.nan
    *_, last = restore_picture(X4, Picture(image), Options(), scale=2.5)
    made = last.image
    y, x = (((np.arange(size) + 0.5) / 2.5).astype(int) for size in (60, 75))
    assert np.array_equal(np.isnan(made.pixels[..., 0]), lost[y][:, x])


def test_what_is_missing_in_another_picture_is_not_pasted() -> None:
    picture, other = scene().astype(np.float32), np.full((6, 8, 3), 0.5, np.float32)
    wanted = picture.copy()
    wanted[4:10, 5:13] = 0.5
    other[2, 3, 1] = np.nan
    wanted[6, 8] = picture[6, 8]
    patch = Patch(Box(0, 0, 6, 8), top=4, left=5, feather=0)
    made = (compose(Picture(picture), Picture(other), patch)[0].permute(1, 2, 0).numpy() + 1) / 2
    assert np.abs(made - wanted).max() < 1e-6


def test_a_picture_without_any_value_is_refused_in_a_line() -> None:
    with pytest.raises(InputError, match=r"^image: all values in band 3 of 3 are missing"):
        refinesr.upscale(X2, scene() * np.array([1, 1, np.nan]))


def test_infinity_is_no_missing_value() -> None:
    image = scene()
    image[3, 3], image[4, 4] = np.inf, np.nan
    with pytest.raises(InputError, match=r"^image: holds NaN or infinite values"):
        refinesr.upscale(X2, image)


def test_what_stands_for_nothing_is_known_of_pictures_to_learn_from(tmp_path: Path) -> None:
    """As -9999, or black, would be learnt as values."""
    values = (scene() * 200).astype(np.uint8)
    tag = (42113, 2, None, "0", True)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, photometric="rgb", extratags=[tag])
    (entry,) = list_entries(path)
    assert np.array_equal(entry.read_pixels(3), values)
    assert entry.read_picture().any_band_missing is None
    values[3, 4, 1] = 0
    tifffile.imwrite(path, values, photometric="rgb", extratags=[tag])
    assert np.argwhere(entry.read_picture().any_band_missing).tolist() == [[3, 4]]
    tifffile.imwrite(path, values, photometric="rgb")
    assert np.array_equal(entry.read_pixels(3), values)
    assert entry.read_picture().any_band_missing is None
