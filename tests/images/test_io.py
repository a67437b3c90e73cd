import io
import os
import re
from itertools import product

import numpy as np
import pytest
import pyvips
import tifffile
from drawings import drawn, equal, fault, picture, pillow_bytes, same
from PIL import Image

from refinesr.images import vips
from refinesr.images.io import encode, list_pictures, read, read_bytes, write
from refinesr.images.picture import Picture
from refinesr.images.span import SLACK

LOSSLESS = [
    *[(".png", bands, np.uint8, clear) for bands in (1, 3) for clear in (False, True)],
    *[(".png", bands, np.uint16, clear) for bands in (1, 3) for clear in (False, True)],
    *[
        (".tiff", bands, kind, clear)
        for bands in (1, 3)
        for kind in (np.uint8, np.uint16, np.float32)
        for clear in (False, True)
    ],
    (".tif", 7, np.float32, False),
    (".tif", 5, np.uint16, False),
    (".tif", 6, np.uint8, False),
    *[(".tif", bands, np.uint16, clear) for bands in (2, 4, 5) for clear in (False, True)],
]


@pytest.mark.parametrize(("suffix", "bands", "kind", "clear"), LOSSLESS)
def test_what_is_written_is_read_again_to_the_last_bit(tmp_path, suffix, bands, kind, clear):
    before = picture(bands, kind, clear)
    write(before, tmp_path / f"a{suffix}")
    assert same(read(tmp_path / f"a{suffix}"), before)
    assert os.listdir(tmp_path) == [f"a{suffix}"]


@pytest.mark.parametrize("clear", [False, True])
def test_webp_of_quality_100_is_lossless(tmp_path, clear):
    before = picture(3, clear=clear)
    write(before, tmp_path / "a.webp", quality=100)
    assert same(read(tmp_path / "a.webp"), before)


def test_other_programs_read_our_deep_files_exactly(tmp_path):
    deep, real = picture(3, np.uint16, True), picture(3, np.float32)
    write(deep, tmp_path / "a.png")
    write(deep, tmp_path / "a.tif")
    write(real, tmp_path / "b.tif")
    assert equal(pyvips.Image.new_from_file(str(tmp_path / "a.png")).numpy(), deep.pixels_with_alpha())
    assert equal(tifffile.imread(tmp_path / "a.tif"), deep.pixels_with_alpha())
    assert equal(tifffile.imread(tmp_path / "b.tif"), real.pixels)
    with Image.open(tmp_path / "a.png") as image:
        image.verify()  # the checksums of our own chunks


def test_jpeg_is_of_full_colour_and_of_the_wanted_quality(tmp_path):
    smooth = np.zeros((16, 16, 3), np.uint8)
    smooth[:, ::2, 0] = 255  # columns of red: 4:2:0 would mix them
    write(Picture(smooth), tmp_path / "a.jpg")
    assert np.abs(read(tmp_path / "a.jpg").pixels.astype(int) - smooth).max() < 16
    noise = picture(3)
    assert len(encode(noise, "JPEG", 30)) < len(encode(noise, "JPEG"))
    assert read_bytes(encode(picture(1), "JPEG")).channels == 1


FORMS = ("PNG", "TIFF", "BMP", "WEBP", "GIF")
MODES = ("1", "L", "P", "RGB", "LA", "RGBA", "PA", "CMYK")
UNKNOWN = {
    *product(("PNG", "BMP", "GIF"), ("PA", "CMYK")),
    ("BMP", "LA"),
}
"""What Pillow writes in no file."""


@pytest.mark.parametrize(("form", "mode"), [each for each in product(FORMS, MODES) if each not in UNKNOWN])
def test_every_mode_of_eight_bits_is_read_as_pillow_shows_it(form, mode):
    image = Image.fromarray(drawn(9, 14, 4), "RGBA").convert("RGB" if mode in ("P", "CMYK") else "RGBA")
    image = image.convert("P").convert(mode) if mode == "PA" else image.convert(mode)
    data = pillow_bytes(image, form, **({"lossless": True} if form == "WEBP" else {}))
    found, shown = read_bytes(data), Image.open(io.BytesIO(data))
    assert found.format == form
    clear = shown.has_transparency_data
    apart = np.abs(found.pixels.astype(int) - np.array(shown.convert("RGBA"))[..., :3])
    assert apart.max() <= (1 if mode == "CMYK" else 0)
    assert clear == (found.alpha is not None)
    if found.alpha is not None:
        assert equal(found.alpha, np.array(shown.convert("RGBA"))[..., 3])


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_transparent_palette_entries_become_alpha(form):
    image = Image.fromarray(np.arange(120, dtype=np.uint8).reshape(10, 12) % 4, "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    found = read_bytes(pillow_bytes(image, form, transparency=2))
    assert equal(found.alpha, np.where(np.array(image) == 2, 0, 255).astype(np.uint8))
    assert found.pixels[0, :2].tolist() == [[255, 0, 0], [0, 255, 0]]


def test_transparency_by_colour_becomes_alpha():
    for image, colour in (
        (Image.fromarray(drawn(4, 4, 3)), tuple(int(v) for v in drawn(4, 4, 3)[1, 2])),
        (Image.fromarray(drawn(4, 4, 1)[..., 0]), int(drawn(4, 4, 1)[1, 2, 0])),
    ):
        found = read_bytes(pillow_bytes(image, "PNG", transparency=colour))
        assert found.alpha is not None
        assert np.argwhere(found.alpha == 0).tolist() == [[1, 2]]


def test_grey_stays_grey():
    levels = Image.new("P", (4, 1))
    levels.putpalette([v for level in (0, 80, 160, 255) for v in (level,) * 3])
    levels.putdata([0, 1, 2, 3])
    assert read_bytes(pillow_bytes(levels, "PNG")).pixels[..., 0].tolist() == [[0, 80, 160, 255]]
    bits = Image.fromarray(np.array([[True, False]]))
    for form in ("PNG", "TIFF", "BMP"):
        assert read_bytes(pillow_bytes(bits, form)).pixels.tolist() == [[[255], [0]]]


def test_cmyk_becomes_rgb_through_its_profile():
    inks = bytes(pyvips.Image.new_from_array([[0]]).icc_export(output_profile="cmyk").get("icc-profile-data"))
    flat = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    plain = read_bytes(pillow_bytes(flat, "TIFF")).pixels[0, 0]
    proofed = read_bytes(pillow_bytes(flat, "TIFF", icc_profile=inks))
    assert plain.tolist() == [0, 255, 255]
    assert np.abs(proofed.pixels[0, 0] - np.array([0, 165, 225])).max() < 30  # cyan ink is darker than that
    assert proofed.icc is None
    assert (
        read_bytes(pillow_bytes(flat, "TIFF", icc_profile=b"nonsense")).pixels[0, 0].tolist()
        == plain.tolist()
    )
    deep = np.zeros((4, 4, 4), np.uint16)
    file = io.BytesIO()
    tifffile.imwrite(file, deep, photometric="separated")
    assert read_bytes(file.getvalue()).pixels.min() > 60000  # paper


TIFFS = {
    "big end first": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
    "deflated": {"compression": "zlib", "predictor": True},
    "tiled": {"tile": (16, 16)},
}


@pytest.mark.parametrize("how", TIFFS)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_tiff_however_it_is_stored(how, kind):
    if kind == np.float32 and how == "deflated":
        pytest.skip("tifffile cannot")
    pixels, file = drawn(40, 20, 3, kind=kind), io.BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb", **TIFFS[how])
    assert equal(read_bytes(file.getvalue()).pixels, pixels)


def test_half_floats_are_read_and_other_numbers_named():
    half, file = drawn(6, 8, 3, kind=np.float32).astype(np.float16), io.BytesIO()
    tifffile.imwrite(file, half, photometric="rgb")
    assert equal(read_bytes(file.getvalue()).pixels, half.astype(np.float32))
    for kind in (np.uint32, np.int16, np.float64):
        file = io.BytesIO()
        tifffile.imwrite(file, half.astype(kind), photometric="rgb")
        assert fault(read_bytes, file.getvalue(), "a.tif").startswith("a.tif: ")


def test_frames_are_picked_and_never_guessed(tmp_path):
    frames = [Image.new("RGB", (8, 6), (40 * k, 9, 200)) for k in range(5)]
    for name, form in (("cat.gif", "GIF"), ("cat.png", "PNG"), ("cat.webp", "WEBP"), ("cat.tif", "TIFF")):
        path = tmp_path / name
        frames[0].save(path, form, save_all=True, append_images=frames[1:], lossless=True)
        assert fault(read, path) == f"{path} has 5 frames, not one; upscale picks one with --frame"
        assert fault(read, path, frame=5) == f"{path} has no frame 5, only 5, numbered from 0"
        assert fault(read, path, frame=-1) == f"{path} has no frame -1, only 5, numbered from 0"
        for k in range(5):
            assert read(path, frame=k).pixels[3, 3].tolist() == [40 * k, 9, 200]
    frames[0].save(tmp_path / "still.gif")
    assert same(read(tmp_path / "still.gif", frame=0), read(tmp_path / "still.gif"))
    assert fault(read, tmp_path / "still.gif", frame=1).endswith("has no frame 1, only 1, numbered from 0")
    file = io.BytesIO()
    pages = np.stack([drawn(6, 8, 3, kind=np.float32, seed=k) for k in range(3)])
    tifffile.imwrite(file, pages, photometric="rgb")
    assert equal(read_bytes(file.getvalue(), frame=2).pixels, pages[2])
    assert (
        fault(read_bytes, file.getvalue(), "a.tif")
        == "a.tif has 3 frames, not one; upscale picks one with --frame"
    )


def test_the_previews_in_a_camera_s_jpeg_are_no_frames(tmp_path):
    frames = [Image.new("RGB", (8, 6), (40 * k, 9, 200)) for k in range(2)]
    frames[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=frames[1:])
    found = read(tmp_path / "a.jpg")
    assert (found.format, found.size) == ("JPEG", (6, 8))


def test_pictures_in_a_folder_are_found_in_natural_order(tmp_path):
    for name in ("10.png", "2.PNG", "b.jpeg", "A.tif", ".hidden.png", "notes.txt", "c.png.part"):
        (tmp_path / name).touch()
    for name in ("sub/1.webp", ".git/2.png", "sub/.x.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    names = ["2.PNG", "10.png", "A.tif", "b.jpeg"]
    assert [path.name for path in list_pictures(tmp_path)] == names
    assert [str(path.relative_to(tmp_path)) for path in list_pictures(tmp_path, recursive=True)] == [
        *names,
        "sub/1.webp",
    ]
    assert fault(list_pictures, tmp_path / "none") == f"{tmp_path}/none: no such folder"
    assert fault(list_pictures, tmp_path / "b.jpeg") == f"{tmp_path}/b.jpeg: not a folder"


def test_the_natural_order_is_that_of_numbers_and_texts_in_turn(tmp_path):
    """Of Python's lists: texts at even places, numbers at odd ones, whatever the number of digits."""
    stems = (
        "a",
        "ab",
        "a1",
        "a01",
        "a1b",
        "a1b2",
        "a2",
        "a10",
        "a9" * 40,
        "1",
        "01",
        "10",
        "9" * 90,
        "B",
        "a٣",
        "x²",
    )
    for folder in ("", "2", "10/3"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for stem in stems:
            (tmp_path / folder / f"{stem}.png").touch()

    def turns(name):
        parts = re.split(r"(\d+)", name.casefold())
        return [part if i % 2 == 0 else int(part) for i, part in enumerate(parts)], name

    found = list_pictures(tmp_path, recursive=True)
    assert len(found) == 3 * len(stems)
    assert found == sorted(found, key=lambda path: [turns(part) for part in path.relative_to(tmp_path).parts])


def test_links_to_pictures_are_pictures_and_those_that_lead_nowhere_are_not(tmp_path):
    (tmp_path / "a.png").touch()
    for name, target in (
        ("b.png", "a.png"),
        ("circle.png", "circle.png"),
        ("gone.png", "none"),
        ("up.png", ".."),
    ):
        (tmp_path / name).symlink_to(target)
    assert [path.name for path in list_pictures(tmp_path, recursive=True)] == ["a.png", "b.png"]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("bands", "clear"), [(2, False), (2, True), (4, False), (4, True), (5, True), (3, True)]
)
def test_the_last_band_alone_is_called_transparency_and_only_if_it_is(monkeypatch, bands, clear, big):
    """Read by tifffile.  libvips itself calls all but three (of one or two, all but one) transparency."""
    monkeypatch.setattr(vips, "CLASSIC", 0 if big else vips.CLASSIC)
    data = encode(picture(bands, np.uint16, clear), "TIFF")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert file.is_bigtiff == big
        called = [int(value) for value in file.pages[0].extrasamples]
        assert equal(file.asarray(), picture(bands, np.uint16, clear).pixels_with_alpha())
    assert called == [0] * (len(called) - 1) + [2 if clear else 0]
    assert same(read_bytes(data), picture(bands, np.uint16, clear))


@pytest.mark.parametrize("bands", [2, 4, 5])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_bands_of_no_said_meaning_are_no_transparency(bands, big, order):
    """As satellites' pictures come: the near infrared of a fourth band is not how clear the others are."""
    pages = drawn(9, 14, 2 * bands, kind=np.uint16)
    data = io.BytesIO()
    with tifffile.TiffWriter(data, bigtiff=big, byteorder=order) as file:
        for page, last in ((pages[..., :bands], "unspecified"), (pages[..., bands:], "unassalpha")):
            extra = ["unspecified"] * (bands - 2) + [last]
            file.write(
                page, photometric="minisblack", planarconfig="contig", extrasamples=extra, metadata=None
            )
    plain, clear = (read_bytes(data.getvalue(), frame=frame) for frame in (0, 1))
    assert plain.alpha is None
    assert equal(plain.pixels, pages[..., :bands])
    assert equal(clear.pixels, pages[..., bands:-1])
    assert equal(clear.alpha, pages[..., -1])


@pytest.mark.parametrize("bands", [2, 3, 4, 5, 7])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_bands_that_lie_one_after_the_other_are_read_as_they_are(bands, kind, big, order):
    """As GDAL's INTERLEAVE=BAND lays them, of several rows a strip: libvips alone scrambles them."""
    pixels = drawn(25, 14, bands, kind=kind)
    data = io.BytesIO()
    with tifffile.TiffWriter(data, bigtiff=big, byteorder=order) as file:
        for page in (pixels, pixels[::-1]):
            how = {"photometric": "minisblack", "planarconfig": "separate", "rowsperstrip": 8}
            file.write(np.moveaxis(page, -1, 0), **how, metadata=None)
    assert equal(read_bytes(data.getvalue(), frame=0).pixels, pixels)
    assert equal(read_bytes(data.getvalue(), frame=1).pixels, pixels[::-1])


@pytest.mark.parametrize("bands", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    "how", [{}, {"byteorder": ">"}, {"bigtiff": True}, {"byteorder": ">", "bigtiff": True}]
)
@pytest.mark.parametrize("size", [(64, 64), (65, 127), (20, 30), (129, 40)])
def test_bands_in_tiles_one_after_the_other_are_read_as_they_are(bands, kind, how, size):
    """As GDAL's INTERLEAVE=BAND with TILED=YES lays them; libvips reads none."""
    first, second, data = drawn(*size, bands, kind=kind), drawn(48, 33, bands, kind=kind)[::-1], io.BytesIO()
    packed = {"compression": "zlib", "predictor": kind != np.float32}
    looks = {"planarconfig": "separate", "tile": (64, 32), "metadata": None}
    looks["photometric"] = "rgb" if bands == 3 else "minisblack"
    with tifffile.TiffWriter(data, **how) as file:
        file.write(np.moveaxis(first, -1, 0), **looks)
        file.write(np.moveaxis(second, -1, 0), **looks | packed)
    plain, deflated = (read_bytes(data.getvalue(), frame=frame) for frame in (0, 1))
    assert plain.alpha is deflated.alpha is None
    assert equal(plain.pixels, first)
    assert equal(deflated.pixels, second)


@pytest.mark.parametrize("bands", [2, 4])
def test_the_last_of_bands_in_tiles_may_be_alpha(bands):
    pixels, data = drawn(40, 50, bands), io.BytesIO()
    extra = ["unspecified"] * (bands - 2) + ["unassalpha"]
    how = {"photometric": "minisblack", "planarconfig": "separate", "tile": (32, 16), "extrasamples": extra}
    tifffile.imwrite(data, np.moveaxis(pixels, -1, 0), **how)
    made = read_bytes(data.getvalue())
    assert equal(made.pixels, pixels[..., :-1])
    assert equal(made.alpha, pixels[..., -1])


def test_inks_in_tiles_one_after_the_other_are_refused_with_what_helps():
    data = io.BytesIO()
    how = {"photometric": "separated", "planarconfig": "separate", "tile": (16, 16)}
    tifffile.imwrite(data, np.moveaxis(drawn(40, 50, 4), -1, 0), **how)
    why = "tiff2vips: tiled separate planes not supported; lay them pixel by pixel"
    assert fault(read_bytes, data.getvalue(), "a.tif") == f"a.tif: cannot be read whole: {why}"


NUMBERS = {
    "int8": "signed 8-bit integers",
    "int16": "signed 16-bit integers",
    "uint32": "unsigned 32-bit integers",
    "uint64": "unsigned 64-bit integers",
    "float64": "64-bit floats",
    "complex64": "64-bit complex numbers",
}


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("bands", [1, 3])
def test_numbers_that_cannot_be_read_are_named_with_what_can(tmp_path, kind, bands):
    look = "minisblack" if bands == 1 else "rgb"
    tifffile.imwrite(tmp_path / "a.tif", np.ones((9, 14, bands), kind).squeeze(), photometric=look)
    right = "convert them to unsigned 8 or 16 bits, or to 32-bit floats from 0 to 1"
    assert fault(read, tmp_path / "a.tif") == f"{tmp_path}/a.tif: {NUMBERS[kind]} cannot be read; {right}"


def ranging(low, high, **facts):
    return Picture(np.linspace(low, high, 126, dtype=np.float32).reshape(9, 14, 1), **facts)


@pytest.mark.parametrize(("low", "high"), [(254, 316), (-0.35, 0.21), (0, 255), (-9999, 1), (0.2, 1.3)])
def test_floats_of_another_range_are_refused_with_what_to_do(tmp_path, low, high):
    write(ranging(low, high), tmp_path / "a.tif")
    message = f"float pixels lie in [0, 1]; these go from {low:g} to {high:g}; rescale all pictures alike, "
    right = "(x - lowest) / (highest - lowest), or train with a method.span, and evaluate with --span"
    assert fault(read, tmp_path / "a.tif") == f"{tmp_path}/a.tif: {message}{right}"


def test_values_that_nobody_sees_may_be_of_any_range():
    before = picture(3, np.float32, True)
    before.alpha[2:4] = 0
    before.pixels[2:4] = -9999
    assert same(read_bytes(encode(before, "TIFF")), before)


@pytest.mark.parametrize("times", [2, 2.5, 3, 4, 8])
def test_what_bicubic_makes_of_black_and_white_may_be_read_again(times):
    """Pillow's, of a corner, where it overshoots along both axes; another tenth is not of its making."""
    corner = np.zeros((24, 24), np.float32)
    corner[12:, 12:] = 1
    side = int(24 * times)
    large = np.asarray(Image.fromarray(corner).resize((side, side), Image.Resampling.BICUBIC))
    over = max(large.max() - 1, -large.min())
    assert 0.1 < over < SLACK < over + 0.1
    assert equal(read_bytes(encode(Picture(large[..., None]), "TIFF")).pixels[..., 0], large)
