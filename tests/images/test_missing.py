"""Missing values of files and pictures: known by name, filled while one works, and missing again."""

import io
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from drawings import drawn, equal, fault, same
from PIL import Image

from refinesr.images.io import encode, read_bytes
from refinesr.images.masks import brightness, to_mask
from refinesr.images.missing import avoid_nodata, fill_missing, restore_missing
from refinesr.images.picture import Picture, check_complete, check_range, to_tensor

KINDS = [np.uint8, np.uint16, np.float32]


def tiff(pixels, nodata, **how):
    file = io.BytesIO()
    look = {"photometric": "rgb" if pixels.shape[2] == 3 else "minisblack", "planarconfig": "contig"}
    pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    look |= {"planarconfig": None} if pixels.ndim == 2 else {}
    tags = [] if nodata is None else [(42113, 2, None, nodata, True)]
    tifffile.imwrite(file, pixels, metadata=None, extratags=tags, **look | how)
    return file.getvalue()


def holes(bands=3, kind=np.float32, nodata=None, seed=1):
    """A picture 9 x 14 and where its values are missing, in each band elsewhere."""
    lost = np.random.default_rng(seed).random((9, 14, bands)) < 0.3
    pixels = np.clip(drawn(9, 14, bands, kind=kind), 0.1 if kind == np.float32 else 9, None)
    pixels[lost] = np.nan if nodata is None else nodata
    return Picture(pixels, nodata=nodata), lost


@pytest.mark.parametrize("text", ["-9999", " -9999 ", "-9999.0", "-9.999e3"])
@pytest.mark.parametrize("bands", [1, 3, 5])
def test_the_tag_of_gdal_is_read_and_kept(text, bands):
    pixels = drawn(9, 14, bands, kind=np.float32)
    pixels[2:4, 3:5] = -9999
    found = read_bytes(tiff(pixels, text))
    assert equal(found.missing_mask, pixels == -9999)
    again = encode(found, "TIFF")
    assert same(read_bytes(again), found)
    with tifffile.TiffFile(io.BytesIO(again)) as file:
        assert float(file.pages[0].tags[42113].value) == file.pages[0].nodata == -9999


def test_without_it_such_floats_are_of_another_range():
    pixels = drawn(9, 14, 3, kind=np.float32)
    pixels[2, 3] = -9999
    assert "these go from -9999 to " in fault(read_bytes, tiff(pixels, None), "a.tif")
    assert "these go from -9999 to " in fault(read_bytes, tiff(pixels, "-9998"), "a.tif")
    pixels[5, 5] = 7
    assert "to 7;" in fault(read_bytes, tiff(pixels, "-9999"), "a.tif")


@pytest.mark.parametrize("value", [-3.4028234663852886e38, np.inf, np.nan])
def test_any_float_may_stand_for_none(value):
    pixels = drawn(9, 14, 3, kind=np.float32)
    pixels[2:4, 3:5] = value
    found = read_bytes(tiff(pixels, f"{value!r}"))
    there = np.zeros((9, 14, 3), bool)
    there[2:4, 3:5] = True
    assert equal(found.missing_mask, there)
    assert read_bytes(encode(found, "TIFF")).pixels.tobytes() == pixels.tobytes()


@pytest.mark.parametrize("text", ["", "none", "0x7f", "1e999999", "-1e40", "256", "0.5"])
def test_what_no_value_is_means_nothing(text):
    found = read_bytes(tiff(drawn(9, 14, 3), text))
    assert found.missing_mask is None
    assert read_bytes(encode(found, "TIFF")).missing_mask is None


def test_numbers_that_are_no_values_of_the_picture_mean_none():
    """Of a palette, which is read as colours, and of greys that are stored the other way round."""
    grey, file = drawn(9, 14, 1), io.BytesIO()
    grey[2, 3] = 0
    tags = [(42113, 2, None, "0", True)]
    colours = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(file, grey[..., 0], photometric="palette", colormap=colours, extratags=tags)
    assert read_bytes(file.getvalue()).missing_mask is None
    assert read_bytes(tiff(grey, "0")).missing_mask.sum() == (grey == 0).sum()
    assert read_bytes(tiff(grey, "0", photometric="miniswhite")).missing_mask is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bands", [1, 3, 5])
def test_known_values_stay_and_missing_ones_are_like_those_around(kind, bands):
    nodata = None if kind == np.float32 else 0.0
    picture, lost = holes(bands, kind, nodata)
    made = fill_missing(picture)
    assert equal(made.pixels[~lost], picture.pixels[~lost])
    assert (made.missing_mask, made.nodata) == (None, None)
    for band in range(bands):
        known = picture.pixels[..., band][~lost[..., band]]
        unknown = made.pixels[..., band][lost[..., band]]
        assert known.min() <= unknown.min() + 1e-6
        assert unknown.max() <= known.max() + 1e-6
    flat = replace(picture, pixels=np.where(lost, picture.pixels, picture.pixels[~lost][0]))
    assert fill_missing(flat).pixels == pytest.approx(picture.pixels[~lost][0])


def test_bands_are_filled_each_from_its_own():
    """As if each were a picture: what is missing in one says nothing of another."""
    picture, _ = holes(3)
    alone = [
        fill_missing(Picture(np.ascontiguousarray(picture.pixels[..., [band]]))).pixels for band in range(3)
    ]
    assert equal(fill_missing(picture).pixels, np.concatenate(alone, 2))


def test_what_is_transparent_is_no_source_for_what_is_missing():
    pixels = np.full((8, 8, 1), 0.5, np.float32)
    pixels[:, 4:], pixels[2, 2] = 0.9, np.nan
    alpha = np.ones((8, 8), np.float32)
    alpha[:, 4:] = 0
    assert (fill_missing(Picture(pixels, alpha), under_alpha=True).pixels == 0.5).all()
    under = fill_missing(Picture(pixels, alpha)).pixels
    assert equal(under[:, 4:], pixels[:, 4:])
    assert np.isfinite(under).all()
    nothing_seen = fill_missing(Picture(pixels, alpha * 0), under_alpha=True).pixels
    assert np.isfinite(nothing_seen).all()


def test_nothing_known_is_refused_by_band():
    pixels = drawn(9, 14, 3, kind=np.float32)
    pixels[..., 1] = np.nan
    said = fault(fill_missing, Picture(pixels, name="a.tif"))
    assert said == "a.tif: all values in band 2 of 3 are missing (NaN, or the file's GDAL_NODATA)"
    said = fault(fill_missing, Picture(pixels * np.nan, name="a.tif"))
    assert said == "a.tif: all values are missing (NaN, or the file's GDAL_NODATA)"


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_value_becomes_a_block_of_them(scale, kind):
    picture, lost = holes(3, kind, None if kind == np.float32 else 7.0)
    large = replace(picture, pixels=drawn(9 * scale, 14 * scale, 3, kind=kind, seed=5))
    made = restore_missing(large, picture)
    block = np.kron(lost, np.ones((scale, scale, 1), bool))
    assert equal(made.missing_mask, block)
    assert made.nodata == picture.nodata
    moved = large.pixels == (7 if kind != np.float32 else 2)
    assert equal(made.pixels[~block & ~moved], large.pixels[~block & ~moved])


@pytest.mark.parametrize("size", [(22, 35), (5, 7), (9, 28), (1, 1)])
def test_at_other_sizes_what_lies_at_a_pixel_s_middle_counts(size):
    picture, lost = holes()
    made = restore_missing(Picture(drawn(*size, 3, kind=np.float32)), picture)
    for y, x in np.ndindex(size):
        there = int((y + 0.5) * 9 / size[0]), int((x + 0.5) * 14 / size[1])
        assert equal(np.isnan(made.pixels[y, x]), lost[there])


def test_each_missing_value_stays_of_its_kind():
    picture, _ = holes(1)
    picture = replace(picture, pixels=picture.pixels.copy(), nodata=-9999.0)
    picture.pixels[4, 4] = -9999
    made = restore_missing(Picture(drawn(18, 28, 1, kind=np.float32)), picture).pixels
    assert (made[8:10, 8:10] == -9999).all()
    assert equal(np.isnan(made), np.kron(np.isnan(picture.pixels), np.ones((2, 2, 1), bool)))


@pytest.mark.parametrize(
    ("kind", "nodata", "beside"), [(np.uint8, 0, 1), (np.uint8, 255, 254), (np.uint16, 9, 10)]
)
def test_no_known_value_means_missing_by_chance(kind, nodata, beside):
    pixels = np.array([[nodata, 100, beside]], kind)[..., None]
    made = avoid_nodata(Picture(pixels, nodata=float(nodata)))
    assert made.pixels[..., 0].tolist() == [[beside, 100, beside]]
    assert made.missing_mask is None
    assert restore_missing(Picture(pixels), Picture(pixels[:, 1:], nodata=float(nodata))).missing_mask is None


@pytest.mark.parametrize("nodata", [0.0, 1.0, 0.25, 1e-30, -5.0, 260.0])
def test_nor_a_float_that_gdal_takes_for_equal(nodata):
    """Its ARE_REAL_EQUAL: closer than epsilon times the sum, times 2."""
    made = (
        avoid_nodata(Picture(np.array([[[nodata], [0.5]]], np.float32), nodata=nodata))
        .pixels[0, :, 0]
        .astype(float)
    )
    assert abs(made[0] - np.float32(nodata)) > np.finfo(np.float32).eps * abs(made[0] + nodata) * 2
    assert made.tolist() == pytest.approx([nodata, 0.5], rel=1e-5, abs=2e-6)


def test_a_nodata_that_no_float_can_be_changes_none():
    pixels = drawn(9, 14, 1, kind=np.float32)
    for nodata in (1e300, -np.inf, np.nan):
        assert equal(avoid_nodata(Picture(pixels, nodata=nodata)).pixels, pixels)


def test_who_cannot_do_without_values_is_told_so():
    picture, _ = holes()
    hint = "only pictures to upscale, and to learn from, may lack values"
    for check in (check_complete, to_tensor):
        said = fault(check, replace(picture, name="a.tif"))
        assert said == f"a.tif: holds NaN or infinite values; pixels are finite, from 0 to 1; {hint}"
        said = fault(check, replace(holes(3, np.uint8, 0.0)[0], name="a.tif"))
        right = "cut out parts without any, or take away the tag if they are values"
        assert said == f"a.tif: holds 0, missing by its tag GDAL_NODATA; {hint}; {right}"
    assert check_range(picture) is picture


def test_in_a_mask_nodata_is_black_or_white_as_it_is():
    """Masks by GDAL say that 0, black, is none."""
    values = np.array([[0, 255, 0]], np.uint8)[..., None]
    assert brightness(replace(Picture(values), nodata=0.0)).tolist() == [[0, 1, 0]]
    assert to_mask(Image.fromarray(values[..., 0])).tolist() == [[0, 1, 0]]
