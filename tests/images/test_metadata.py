import io
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from drawings import SRGB, drawn, equal, picture, pillow_bytes
from PIL import Image, ImageOps

from refinesr.images.io import encode, read_bytes
from refinesr.images.pillow import from_pil

GREY = SRGB[:16] + b"GRAY" + SRGB[20:]  # only its header is ever looked at here


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_the_camera_s_orientation_is_applied_and_forgotten(form, turn):
    exif = Image.Exif()
    exif[274], exif[271] = turn, "Maker"
    exif.get_ifd(34665)[36867] = "2026:11:21 12:00:00"
    data = pillow_bytes(Image.fromarray(drawn(16, 24, 3)), form, exif=exif.tobytes())
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    found = read_bytes(data)
    assert equal(found.pixels, np.array(upright))
    kept = Image.Exif()
    kept.load(found.exif)
    assert kept.get(274, 1) == 1
    assert kept[271] == "Maker"
    assert kept.get_ifd(34665)[36867] == "2026:11:21 12:00:00"


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_deep_tiffs_are_turned_too(turn, kind):
    pixels, file, shown = drawn(6, 8, 3, kind=kind), io.BytesIO(), drawn(6, 8, 3)
    tifffile.imwrite(file, pixels, photometric="rgb", extratags=[(274, "H", 1, turn, True)])
    expected = np.array(ImageOps.exif_transpose(read_turned(shown, turn)))
    where = [np.argwhere((shown == value).all(-1))[0] for value in expected.reshape(-1, 3)]
    found = read_bytes(file.getvalue()).pixels
    assert found.shape == expected.shape
    assert equal(found.reshape(-1, 3), np.stack([pixels[tuple(place)] for place in where]))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
def test_a_picture_on_its_side_has_the_resolutions_of_its_axes_changed_about(form, turn):
    """What was `across` in the file is `down` in the picture: 600 pixels an inch stay where they were."""
    exif = Image.Exif()
    exif[274] = turn
    image = Image.fromarray(drawn(16, 24, 3))
    found = read_bytes(pillow_bytes(image, form, exif=exif.tobytes(), dpi=(300, 600)))
    assert found.size == ((16, 24) if turn < 5 else (24, 16))
    assert found.dpi == pytest.approx((300, 600) if turn < 5 else (600, 300), abs=0.1)


def read_turned(pixels, turn):
    exif = Image.Exif()
    exif[274] = turn
    return Image.open(io.BytesIO(pillow_bytes(Image.fromarray(pixels), "PNG", exif=exif)))


def test_a_turned_picture_keeps_its_maker_s_note_and_loses_its_thumbnail():
    note = b"NOTE" * 20
    exif = Image.Exif()
    exif[274] = 6
    exif.get_ifd(34665)[37500] = note
    before = exif.tobytes()
    found = read_bytes(pillow_bytes(Image.fromarray(drawn(8, 8, 3)), "JPEG", exif=before)).exif
    assert len(found) == len(before)
    assert note in found
    assert sum(a != b for a, b in zip(before, found, strict=True)) == 1


FACTS = [
    *[(form, np.uint8) for form in ("PNG", "JPEG", "WEBP", "TIFF")],
    *[("PNG", np.uint16), ("TIFF", np.uint16), ("TIFF", np.float32)],
]


@pytest.mark.parametrize(("form", "kind"), FACTS)
def test_profile_exif_and_resolution_are_kept(form, kind):
    exif = Image.Exif()
    exif[315], exif[270], exif[33432] = "A. Artist", "a cat", "(c) 2026"
    exif.get_ifd(34665)[33434] = 0.01
    exif.get_ifd(34853)[1] = "N"
    told = picture(3, kind, icc=SRGB, exif=exif.tobytes(), dpi=(300.0, 300.0))
    found = read_bytes(encode(told, form))
    assert found.icc == SRGB
    kept = Image.Exif()
    kept.load(found.exif)
    assert (kept[315], kept[270], kept[33432]) == ("A. Artist", "a cat", "(c) 2026")
    assert float(kept.get_ifd(34665)[33434]) == pytest.approx(0.01)
    assert kept.get_ifd(34853)[1] == "N"
    assert form == "WEBP" or found.dpi == pytest.approx((300, 300), abs=0.1)
    assert form == "TIFF" or kind == np.uint16 or found.exif == told.exif


@pytest.mark.parametrize(("form", "kind"), FACTS)
def test_a_profile_of_other_colours_is_left_out(form, kind):
    assert not read_bytes(encode(picture(3, kind, icc=GREY), form)).icc


def test_a_tiff_takes_no_tag_along_that_says_how_it_was_stored():
    file = io.BytesIO()
    tifffile.imwrite(file, drawn(9, 14, 3), photometric="rgb", software="a program")
    kept = Image.Exif()
    kept.load(read_bytes(file.getvalue()).exif)
    assert list(kept) == [305]


@pytest.mark.parametrize("turn", range(2, 9))
def test_deep_pngs_are_turned_too(turn):
    exif = Image.Exif()
    exif[274] = turn
    shallow = picture(3, exif=exif.tobytes())
    deep = replace(shallow, pixels=shallow.pixels.astype(np.uint16) * 257)
    found, expected = (read_bytes(encode(one, "PNG")).pixels for one in (deep, shallow))
    assert equal(found, expected.astype(np.uint16) * 257)


def test_a_tiff_opened_by_pillow_tells_of_its_artist():
    file = io.BytesIO()
    tifffile.imwrite(file, drawn(9, 14, 3), photometric="rgb", extratags=[(315, "s", 0, "A. Artist", True)])
    kept = Image.Exif()
    kept.load(from_pil(Image.open(file)).exif)
    assert kept[315] == "A. Artist"


@pytest.mark.parametrize("exif", [bytes(64), b"II*\0\x08\0", b"MM"], ids=["zeros", "cut", "shorter"])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_damaged_exif_data_stops_no_result(form, exif):
    """As a file that is read with it would have lost all its work."""
    there = picture(3, exif=b"Exif\0\0" + exif)
    assert read_bytes(encode(there, form, quality=100)).size == there.size


def test_a_webp_of_grey_has_no_profile_of_grey():
    """Its pixels are colours, and programs stumble over the other."""
    assert Image.open(io.BytesIO(encode(picture(1, icc=GREY), "WEBP"))).info.get("icc_profile") is None
    assert read_bytes(encode(picture(1, icc=GREY), "PNG")).icc == GREY


def test_a_palette_of_greys_keeps_its_profile_of_colours():
    flat = Image.fromarray(drawn(9, 14, 1)[:, :, 0]).convert("P")
    assert read_bytes(pillow_bytes(flat, "PNG")).channels == 1
    found = read_bytes(pillow_bytes(flat, "PNG", icc_profile=SRGB))
    assert (found.channels, found.icc) == (3, SRGB)
