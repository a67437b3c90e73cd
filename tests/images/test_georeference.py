"""Where results lie on the earth, worked out here from tags that tifffile reads."""

import io
import struct
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from drawings import SRGB, drawn, equal, fault
from PIL import Image

from refinesr.images import vips
from refinesr.images.io import encode, read_bytes
from refinesr.images.tiff import Directory, has_overviews

SCALE = [(33550, 12, 3, (10.0, 15.0, 0.0))]
TIE = [(33922, 12, 6, (2.0, 3.0, 0.0, 500000.5, 5200000.25, 7.0))]
TIES = [
    (
        33922,
        12,
        18,
        (0.5, 0.0, 0.0, 11.0, 48.0, 5.0, 13.5, 2.0, 0.0, 11.3, 48.1, 6.0, 4.0, 8.0, 0.0, 11.1, 47.0, 9.0),
    )
]
MATRIX = [(34264, 12, 16, (8.0, 5.0, 0.0, 5e5, 6.0, -9.0, 0.0, 52e5, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 1.0))]
PLACES = {"scale": SCALE + TIE, "ties": TIES, "matrix": MATRIX}

AREA, POINT = 1, 2
DOUBLES = [(34736, 12, 2, (6378137.0, 298.257))]
TEXTS = [(34737, 2, None, "Somewhere / zone 33|WGS 84|")]
ITEMS = '<Item name="MY">a &lt; b</Item>', '<Item name="OFFSET" sample="0" role="offset">3</Item>'
UNTRUE = (
    '<Item name="STATISTICS_MEAN" sample="0">7</Item>',
    '<Item name="LINE_STEP" domain="GEOLOCATION">1</Item>',
)
METADATA = [
    (
        42112,
        2,
        None,
        f"<GDALMetadata>\n  {ITEMS[0]}\n  {UNTRUE[0]}\n  {ITEMS[1]}\n  {UNTRUE[1]}\n</GDALMetadata>",
    )
]


def keys(raster):
    """Of a projected system; the coordinate system's key refers to GeoAsciiParams and GeoDoubleParams."""
    values = (1, 1, 0, 4, 1024, 0, 1, 1, 1025, 0, 1, raster, 1026, 34737, 20, 0, 2057, 34736, 1, 0)
    return [(34735, 3, len(values), values)]


def tiff(tags, pixels=None, **how):
    file = io.BytesIO()
    pixels = drawn(9, 14, 3) if pixels is None else pixels
    how = {"photometric": "rgb" if pixels.ndim == 3 else "minisblack", "metadata": None} | how
    tifffile.imwrite(file, pixels, extratags=[(*tag, True) for tag in tags], **how)
    return file.getvalue()


def told(data):
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages[0].tags
        codes = [tag.code for tag in tags]
        assert codes == sorted(codes)
        return {tag.code: tag.value for tag in tags}


def ground(tags, x, y):
    """(X, Y, Z) of a point x pixels right of the picture's corner, and y below it."""
    shift = 0.5 if tags[34735][11] == POINT else 0.0
    i, j = x - shift, y - shift
    if 33550 in tags:
        (si, sj, _), (i0, j0, _, x0, y0, z0) = tags[33550], tags[33922][:6]
        return x0 + (i - i0) * si, y0 - (j - j0) * sj, z0
    return tuple((np.reshape(tags[34264], (4, 4)) @ (i, j, 0, 1))[:3])


def tied(tags):
    """Points of the raster, in pixels from its corner, and those of the model."""
    ties = np.reshape(tags[33922], (-1, 6))
    return ties[:, :2] + (0.5 if tags[34735][11] == POINT else 0.0), ties[:, 3:]


def enlarged(picture, size):
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, picture.size, strict=True))
    return replace(picture, pixels=np.ascontiguousarray(picture.pixels[rows][:, columns]))


FILES = [{}, {"byteorder": ">"}, {"bigtiff": True}, {"bigtiff": True, "byteorder": ">"}, {"tile": (16, 16)}]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("raster", [AREA, POINT])
@pytest.mark.parametrize("how", FILES)
@pytest.mark.parametrize("size", [(36, 56), (9, 14), (22, 35), (5, 7)])
def test_a_larger_picture_covers_the_same_ground(place, raster, how, size):
    """Also where width and height grow by different factors, as those of 2.5 rounded, or shrink."""
    data = tiff([*PLACES[place], *keys(raster), *DOUBLES, *TEXTS, *METADATA], **how)
    before, after = told(data), told(encode(enlarged(read_bytes(data), size), "TIFF"))
    assert [after[tag] for tag in (34735, 34736, 34737)] == [before[tag] for tag in (34735, 34736, 34737)]
    assert set(before) & {33550, 33922, 34264} == set(after) & {33550, 33922, 34264}
    down, across = size[0] / 9, size[1] / 14
    if place == "ties":
        (here, there), (old, model) = tied(after), tied(before)
        assert here == pytest.approx(old * (across, down), abs=1e-9)
        assert equal(there, model)
        return
    for x, y in ((0, 0), (14, 0), (0, 9), (14, 9), (3.7, 5.1)):
        assert ground(after, x * across, y * down) == pytest.approx(ground(before, x, y), abs=1e-6)


def test_points_move_by_half_a_pixel_s_difference():
    """By hand: four times larger, the middle of the first pixel lies 1.5 pixels from what it was cut into."""
    large = enlarged(
        read_bytes(tiff([*SCALE, (33922, 12, 6, (0.0,) * 3 + (100.0, 200.0, 0.0)), *keys(POINT)])), (36, 56)
    )
    after = told(encode(large, "TIFF"))
    assert after[33550] == (2.5, 3.75, 0.0)
    assert after[33922] == (1.5, 1.5, 0.0, 100.0, 200.0, 0.0)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("raster", [AREA, POINT])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_turned_picture_keeps_every_pixel_in_its_place(place, raster, turn):
    """As readers of maps see it, to whom orientation is nothing: tags are of pixels as they are stored."""
    pixels = np.arange(6 * 8, dtype=np.uint8).reshape(6, 8)
    data = tiff([*PLACES[place], *keys(raster), (274, 3, 1, turn)], pixels)
    made = encode(read_bytes(data), "TIFF")
    before, after, shown = told(data), told(made), tifffile.imread(io.BytesIO(made))
    assert shown.shape == ((6, 8) if turn <= 4 else (8, 6))
    assert after.get(274, 1) == 1
    assert (np.array_equal(shown, pixels)) == (turn == 1)
    for value in range(48):
        (old_y, old_x), (new_y, new_x) = (np.argwhere(x == value)[0] + 0.5 for x in (pixels, shown))
        if place != "ties":
            assert ground(after, new_x, new_y) == pytest.approx(ground(before, old_x, old_y), abs=1e-6)
    if place == "ties":
        (here, there), (old, model) = tied(after), tied(before)
        assert equal(there, model)
        corners = {1: old, 2: (8 - old[:, 0], old[:, 1]), 3: (8 - old[:, 0], 6 - old[:, 1])}
        corners |= {4: (old[:, 0], 6 - old[:, 1]), 5: old[:, ::-1], 6: (6 - old[:, 1], old[:, 0])}
        corners |= {7: (6 - old[:, 1], 8 - old[:, 0]), 8: (old[:, 1], 8 - old[:, 0])}
        wanted = corners[turn] if isinstance(corners[turn], np.ndarray) else np.stack(corners[turn], 1)
        assert here == pytest.approx(wanted)


def test_metadata_is_kept_but_for_what_would_be_untrue():
    after = told(encode(read_bytes(tiff([*METADATA, *keys(AREA)])), "TIFF"))
    assert after[42112] == f"<GDALMetadata>\n  {ITEMS[0]}\n  {ITEMS[1]}\n  </GDALMetadata>"


@pytest.mark.parametrize(
    "text", [" " * 2**20, "<Item " * 2**18, '<Item name="STATISTICS_' * 2**16, "<Item >" * 2**18]
)
def test_no_metadata_takes_long(text):
    """A search that went back for each would not end."""
    found = read_bytes(tiff([(42112, 2, None, text), *keys(AREA)]))
    assert found.georeference.metadata.rstrip(b"\0").decode() == text


def test_a_bigtiff_is_given_its_place_too(monkeypatch):
    monkeypatch.setattr(vips, "CLASSIC", 0)
    data = tiff([*PLACES["matrix"], *keys(AREA), *DOUBLES, *TEXTS])
    made = encode(read_bytes(data), "TIFF")
    assert made[2] == 43
    assert {tag: told(made)[tag] for tag in (34264, 34735, 34736, 34737)} == {
        tag: told(data)[tag] for tag in (34264, 34735, 34736, 34737)
    }
    assert equal(tifffile.imread(io.BytesIO(made)), drawn(9, 14, 3))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("bands", [1, 3, 5])
def test_profile_exif_and_pixels_stay_beside_it(kind, bands):
    pixels, exif = drawn(9, 14, bands, kind=kind), Image.Exif()
    exif[315] = "A. Artist"
    look = {
        "photometric": "rgb" if bands == 3 else "minisblack",
        "planarconfig": None if bands == 1 else "contig",
    }
    data = tiff([*PLACES["scale"], *keys(AREA)], pixels[..., 0] if bands == 1 else pixels, **look)
    picture = replace(read_bytes(data), exif=exif.tobytes(), icc=SRGB)
    found, after = read_bytes(encode(picture, "TIFF")), told(encode(picture, "TIFF"))
    assert equal(found.pixels, pixels)
    assert found.alpha is None
    assert (found.icc == SRGB) == (bands == 3)
    assert (after[315], after[33550]) == ("A. Artist", (10.0, 15.0, 0.0))
    assert found.georeference == picture.georeference


def test_a_picture_of_no_place_has_none():
    found = read_bytes(tiff([]))
    assert found.georeference is None
    assert not set(told(encode(found, "TIFF"))) & {33550, 33922, 34264, 34735, 34736, 34737, 42112}


DAMAGES = {
    "a count beyond all memory": (12, 2**31),
    "more numbers than there are": (12, 1000),
    "of another type": (4, 3),
    "too few": (12, 2),
    "none": (12, 0),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("tag", [33550, 33922, 34264])
def test_tags_that_are_damaged_say_nothing(damage, tag):
    places = {33550: SCALE, 33922: TIE, 34264: MATRIX}[tag]
    data = bytearray(tiff([*places, *keys(AREA)]))
    place = next(each.offset for each in Directory.parse(bytes(data)).entries if each.tag == tag)
    struct.pack_into("<HI", data, place + 2, *DAMAGES[damage])
    found = read_bytes(bytes(data))
    assert equal(found.pixels, drawn(9, 14, 3))
    assert not set(told(encode(found, "TIFF"))) & {33550, 33922, 34264}
    struct.pack_into("<HI", data, place + 2, 2, 2**31)
    assert Directory.parse(bytes(data)).text(tag) == b""


@pytest.mark.parametrize("values", [(0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (np.nan, 1.0, 0.0), (1.0, np.inf, 0.0)])
def test_a_scale_of_nothing_is_none(values):
    assert read_bytes(tiff([(33550, 12, 3, values), *TIE])).georeference.scale == ()


def pyramid(*kinds):
    """A page, and smaller ones of these kinds."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as pages:
        for number, kind in enumerate((0, *kinds)):
            pixels = drawn(32 >> number, 32 >> number, 3, seed=number)
            pixels, look = (pixels[..., 0] > 99, "minisblack") if kind & 4 else (pixels, "rgb")
            pages.write(pixels, photometric=look, subfiletype=kind, metadata=None)
    return file.getvalue()


def test_overviews_are_no_frames():
    """As in a Cloud Optimized GeoTIFF."""
    data = pyramid(1, 1, 1)
    assert equal(read_bytes(data).pixels, drawn(32, 32, 3))
    assert equal(read_bytes(data, frame=2).pixels, drawn(8, 8, 3, seed=2))


@pytest.mark.parametrize("kinds", [(0, 0), (1, 0), (1, 4), (1, 5), (2,)])
def test_other_pages_are(kinds):
    """Further ones, and masks: 4, or 5 of an overview."""
    assert f"has {len(kinds) + 1} frames" in fault(read_bytes, pyramid(*kinds), "a.tif")


def test_no_picture_has_as_many_overviews_as_to_be_counted_for_long():
    assert has_overviews(pyramid(1), 2)
    assert not has_overviews(pyramid(1), 10**9)
