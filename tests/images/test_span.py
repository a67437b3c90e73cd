"""Pictures in units of their own: what of their numbers is -1 and 1, and what is lost on the way."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from refinesr.errors import ConfigError, InputError
from refinesr.images.display import for_display
from refinesr.images.entries import list_entries
from refinesr.images.image_store import CropBatch, store_images
from refinesr.images.io import read, write
from refinesr.images.picture import Picture, check_value_range, from_tensor, to_tensor, with_span
from refinesr.images.span import SLACK, Span


def of(low: float, high: float) -> Span:
    return Span((float(low),), (float(high),))


KELVIN, PASCAL = of(254, 316), of(98000, 104000)
BANDS = Span((0.0, -0.25, 200.0), (10000.0, 0.5, 330.5))
WHOLE = {np.uint8: of(0, 255), np.uint16: of(0, 65535), np.float32: of(0, 1)}


def within(span: Span, kind: type = np.float32, bands: int = 1, seed: int = 0, side: int = 16) -> Picture:
    """Values from end to end of the span."""
    part = np.random.default_rng(seed).uniform(0, 1, (side, side, bands))
    part[0, 0], part[0, 1] = 0, 1
    values = np.array(span.low) + part * np.array(span.width)
    return Picture((values.round() if kind is not np.float32 else values).astype(kind), span=span)


def exactly(picture: Picture, span: Span) -> np.ndarray:
    """In [-1, 1], by float64."""
    return 2 * (picture.pixels.astype(np.float64) - span.low) / np.array(span.width) - 1


def whole(images: torch.Tensor) -> CropBatch:
    none = torch.zeros(1, dtype=torch.bool)
    return CropBatch(*(torch.zeros(1, dtype=torch.int64) for _ in range(3)), none, none, none)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        ((254,), (254,), "high: 254 is not above low, 254"),
        ((1, 2), (3, 2), "high: 2 is not above low, 2"),
        ((1,), (2, 3), "high: has 2 numbers and low 1; as many are needed, one or one for each band"),
        ((), (), "high: has 0 numbers and low 0; as many are needed, one or one for each band"),
        ((float("nan"),), (1,), "low: nan is not a finite number of 32 bits"),
        ((0,), (float("inf"),), "high: inf is not a finite number of 32 bits"),
        ((0,), (1e39,), "high: 1e+39 is not a finite number of 32 bits"),
        ((0,), (True,), "high: True is no number"),
        (254, 316, "low: 254 is a int; a tuple of numbers, one or one for each band, is expected"),
    ],
)
def test_what_is_no_span_is_refused(low, high, message):
    with pytest.raises(ConfigError) as caught:
        Span(low, high)
    assert str(caught.value) == message


@pytest.mark.usefixtures("unchecked")
def test_lists_and_whole_numbers_are_taken():
    assert Span([254], [np.float32(316)]) == KELVIN
    assert str(BANDS) == "0 to 10000, -0.25 to 0.5, 200 to 330.5"


@pytest.mark.parametrize(("span", "bands"), [(KELVIN, 1), (KELVIN, 4), (BANDS, 3), (of(0, 1e-9), 1)])
def test_ends_become_minus_one_and_one_and_come_back(span, bands):
    picture = within(span, bands=bands)
    images = to_tensor(picture)
    np.testing.assert_allclose(images[0].permute(1, 2, 0), exactly(picture, span), rtol=0, atol=3e-7)
    assert images.amax() == 1
    assert images.amin() == -1
    again = from_tensor(images, picture).pixels
    assert np.abs(again - picture.pixels).max() <= 2 * np.spacing(np.abs(picture.pixels).max()).max()


def test_pressures_keep_all_that_float32_has():
    """Near 101325 its values are 1 / 128 apart; scaled by one multiplication and one addition they would
    lose as much again, sixteen times that of what is left of 6000."""
    values = np.float32(101325) + np.arange(256, dtype=np.float32).reshape(16, 16, 1) / 128
    picture = Picture(values, span=PASCAL)
    images = to_tensor(picture)
    np.testing.assert_allclose(images[0, 0], exactly(picture, PASCAL)[..., 0], rtol=0, atol=1.2e-7)
    assert len(images.unique()) == 256
    assert (from_tensor(images, picture).pixels == values).all()


@given(low=st.floats(-1e5, 6e4), width=st.floats(1, 1e5), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_sixteen_bits_come_back_exactly_by_any_span(low, width, seed):
    values = np.random.default_rng(seed).integers(0, 65536, (8, 8, 2)).astype(np.uint16)
    picture = Picture(values, span=of(low, low + width))
    assert (from_tensor(to_tensor(picture), picture).pixels == values).all()


@pytest.mark.parametrize("kind", WHOLE)
def test_the_whole_range_is_what_no_span_is(kind):
    picture = within(WHOLE[kind], kind, bands=3)
    plainly = Picture(picture.pixels)
    assert torch.equal(to_tensor(picture), to_tensor(plainly))
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    made, expected = (from_tensor(images, like).pixels for like in (picture, plainly))
    if kind is np.float32:
        np.testing.assert_array_equal(made, expected)
    else:
        assert (made == expected).mean() > 0.999  # a half may be rounded either way


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_what_is_far_outside_is_refused_and_told(kind, tmp_path):
    span = of(50, 150)
    for beyond, fine in ((SLACK * 100 - 1, True), (SLACK * 100 + 1, False)):
        values = np.full((4, 4, 1), 150 + beyond).astype(kind)
        values[0, 0] = 60
        if fine:
            assert with_span(Picture(values), span).span == span
            continue
        with pytest.raises(InputError) as caught:
            with_span(Picture(values, name="a.tiff"), span)
        found = "a.tiff: goes from 60 to 167, more than 16 % outside the span 50 to 150"
        assert str(caught.value) == f"{found}; 50 to 167 would hold it"


def test_of_several_bands_the_one_that_is_outside_is_told():
    picture = within(BANDS, bands=3)
    picture.pixels[3, 3, 1] = 0.9
    with pytest.raises(
        InputError, match=r"band 2 goes from -0\.25 to 0\.9, more .*; 0 to 10000, -0\.25 to 0\.9,"
    ):
        with_span(picture, BANDS)
    with pytest.raises(InputError, match=r"has 1 bands, and method\.span is of 3: 0 to 10000, "):
        with_span(within(KELVIN), BANDS)


@pytest.mark.parametrize("marker", [np.finfo(np.float32).min, np.finfo(np.float32).max, -1e300])
def test_markers_of_nothing_are_refused_as_they_are(marker):
    values = np.full((4, 4, 1), 280.0)
    values[0, 0] = marker
    with pytest.raises(InputError, match=rf"goes from .*{marker:.7g}.*would hold it".replace("+", "[+]")):
        check_value_range(values, "a.tiff", KELVIN)


def test_hidden_colours_may_be_anything():
    values, alpha = np.full((4, 4, 1), 280, np.float32), np.ones((4, 4), np.float32)
    values[0], alpha[0] = -9999, 0
    assert with_span(Picture(values, alpha), KELVIN).span == KELVIN


def test_nan_is_refused_in_the_words_of_the_span():
    picture = within(KELVIN)
    picture.pixels[0, 0] = np.nan
    with pytest.raises(InputError, match="pixels are finite, from 254 to 316"):
        to_tensor(picture)


def test_floats_of_any_range_are_read_by_their_span(tmp_path: Path):
    write(within(KELVIN), tmp_path / "a.tiff")
    with pytest.raises(InputError, match=r"float pixels lie in \[0, 1\]; these go from 254 to 316"):
        read(tmp_path / "a.tiff")
    again = read(tmp_path / "a.tiff", span=KELVIN)
    assert again.span == KELVIN
    assert (again.pixels == within(KELVIN).pixels).all()


@pytest.mark.parametrize("tarred", [False, True])
@pytest.mark.parametrize(
    ("kind", "span"),
    [(np.uint8, of(40, 200)), (np.uint16, of(0, 10000)), (np.float32, PASCAL), (np.float32, BANDS)],
)
def test_what_is_learnt_is_in_the_spans_units(kind, span, tarred, tmp_path: Path):
    picture = within(span, kind, bands=3)
    write(picture, tmp_path / "a.tiff")
    if tarred:
        data = (tmp_path / "a.tiff").read_bytes()
        with tarfile.open(tmp_path / "all.tar", "w") as archive:
            member = tarfile.TarInfo("a.tiff")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        (tmp_path / "a.tiff").unlink()
    (entry,) = list_entries(tmp_path)
    raster = entry.read_pixels(3, span)
    assert raster.dtype == kind  # 16 bits stay 16 bits in memory
    stock = store_images([raster], torch.device("cpu"), span)
    crops = stock.crop(whole(stock.start), 16)
    np.testing.assert_allclose(crops[0].permute(1, 2, 0), exactly(picture, span), rtol=0, atol=3e-7)


def test_crops_are_clipped_at_the_ends(tmp_path: Path):
    picture = within(KELVIN)
    picture.pixels[0, 0], picture.pixels[0, 1] = 316 + 9, 254 - 9
    write(picture, tmp_path / "a.tiff")
    (entry,) = list_entries(tmp_path)
    stock = store_images([entry.read_pixels(1, KELVIN)], torch.device("cpu"), KELVIN)
    crops = stock.crop(whole(stock.start), 16)
    assert crops[0, 0, 0, :2].tolist() == [1, -1]
    picture.pixels[0, 0] = 316 + 11
    write(picture, tmp_path / "a.tiff")
    with pytest.raises(InputError, match=r"a\.tiff: goes from 245 to 327"):
        entry.read_pixels(1, KELVIN)


def test_eyes_see_the_span_from_black_to_white():
    picture = within(of(0, 10000), np.uint16)
    levels = for_display(picture)
    assert (levels.pixels.min(), levels.pixels.max()) == (0, 255)
    np.testing.assert_allclose(levels.pixels, picture.pixels / 10000 * 255, atol=0.5001)
    assert levels.span is None
