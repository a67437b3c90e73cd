import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from drawings import SRGB, drawn, equal, fault, picture, pillow_bytes, same
from PIL import Image

from refinesr.errors import InputError, OutputError
from refinesr.images import vips
from refinesr.images.io import check_output, encode, read, read_bytes, write
from refinesr.images.picture import Picture

WHOLE = {
    "a.png": (3, np.uint8, "PNG"),
    "a.jpg": (3, np.uint8, "JPEG"),
    "a.webp": (3, np.uint8, "WEBP"),
    "a.tif": (3, np.uint8, "TIFF"),
    "deep.png": (3, np.uint16, "PNG"),
    "deep.tif": (3, np.uint16, "TIFF"),
    "float.tif": (3, np.float32, "TIFF"),
}


@pytest.mark.parametrize("name", [*WHOLE, "a.bmp", "a.gif", "raw.tif"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_file_cut_short_is_named_in_one_line(name, share, capfd):
    if name in WHOLE:
        bands, kind, form = WHOLE[name]
        data = encode(Picture(drawn(64, 64, bands, kind=kind)), form)
    else:
        data = pillow_bytes(
            Image.fromarray(drawn(64, 64, 3)), {"raw.tif": "TIFF"}.get(name, name[2:].upper())
        )
    assert fault(read_bytes, data[: int(share * len(data))], name).startswith(
        f"{name}: cannot be read whole: "
    )
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("plane", ["contig", "separate"])
@pytest.mark.parametrize("packing", [None, "zlib"])
def test_a_tile_that_cannot_be_read_is_no_black_one(plane, packing, capfd):
    """libvips would paint it so, and read on.  Files that are whole are read after it as before."""
    pixels, file = drawn(100, 70, 4), io.BytesIO()
    values = np.moveaxis(pixels, -1, 0) if plane == "separate" else pixels
    how = {"photometric": "minisblack", "tile": (32, 48), "planarconfig": plane, "compression": packing}
    tifffile.imwrite(file, values, metadata=None, **how)
    data = file.getvalue()
    bad = [data[: int(share * len(data))] for share in (0.4, 0.7, 0.99)]
    if packing:
        start = tifffile.TiffFile(io.BytesIO(data)).pages[0].dataoffsets[3]
        bad.append(data[:start] + bytes(20) + data[start + 20 :])
    for each in bad:
        assert fault(read_bytes, each, "a.tif").startswith("a.tif: cannot be read whole: ")
        assert equal(read_bytes(data).pixels, pixels)
    assert capfd.readouterr() == ("", "")


def refusal(call, *arguments):
    """The InputError, if there is one: some damage is not to be seen."""
    try:
        call(*arguments)
    except InputError as error:
        return error
    return None


@pytest.mark.parametrize("name", WHOLE)
def test_damage_is_read_or_named_but_nothing_else(name, capfd):
    bands, kind, form = WHOLE[name]
    data = encode(Picture(drawn(32, 32, bands, kind=kind), exif=Image.Exif().tobytes(), icc=SRGB), form)
    rng = np.random.default_rng(0)
    for _ in range(30):
        bad = np.frombuffer(data, np.uint8).copy()
        bad[rng.integers(0, len(bad) if rng.random() < 0.5 else 300, 4)] = rng.integers(0, 256, 4)
        refused = refusal(read_bytes, bad.tobytes(), name)
        if refused is not None:
            assert str(refused).startswith(name)
            assert "\n" not in str(refused)
            assert not isinstance(refused.__cause__, (AssertionError, AttributeError, NameError))
    assert capfd.readouterr() == ("", "")


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "notes.png").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "ps.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    known = "not a picture; PNG, JPEG, WebP, BMP, GIF and TIFF can be read"
    assert fault(read, tmp_path / "notes.png") == f"{tmp_path}/notes.png: {known}"
    assert fault(read, tmp_path / "ps.png") == f"{tmp_path}/ps.png: {known}"
    assert fault(read, tmp_path / "empty.png") == f"{tmp_path}/empty.png: the file is empty"
    assert fault(read, tmp_path / "none.png") == f"{tmp_path}/none.png: no such file"
    assert fault(read, tmp_path) == f"{tmp_path}: a folder, not a picture"
    assert fault(read, tmp_path / "empty.png" / "a.png").startswith(
        f"{tmp_path}/empty.png/a.png: cannot be read"
    )


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    write(picture(), tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    assert fault(read, tmp_path / "a.png") == f"{tmp_path}/a.png: no permission to read it"


def claiming(width, height):
    """A small PNG that says it is large."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def test_a_picture_of_a_claimed_size_beyond_reason_is_refused():
    message = fault(read_bytes, claiming(60000, 60000), "bomb.png")
    assert message == "bomb.png: 60000 x 60000 pixels are too many; at most 536 million can be read"
    for size in (10000, 14000):  # Pillow would warn of the first and refuse the second
        assert fault(read_bytes, claiming(size, size), "a.png").startswith("a.png: cannot be read whole")
    bmp = bytearray(pillow_bytes(Image.new("L", (9, 9)), "BMP"))
    bmp[18:26] = struct.pack("<II", 60000, 60000)
    assert fault(read_bytes, bytes(bmp), "a.bmp").startswith("a.bmp: too many pixels for a BMP")


@pytest.mark.parametrize("plane", ["contig", "separate"])
def test_of_a_claimed_height_no_more_than_the_last_tile_is_tried(plane):
    """libvips would first paint all 384 million bytes black."""
    pixels, file = drawn(100, 40, 3), io.BytesIO()
    values = np.moveaxis(pixels, -1, 0) if plane == "separate" else pixels
    tifffile.imwrite(file, values, photometric="rgb", tile=(32, 64), planarconfig=plane, metadata=None)
    height, data = 32 * 10**5, bytearray(file.getvalue())
    place = tifffile.TiffFile(io.BytesIO(data)).pages[0].tags["ImageLength"].offset
    struct.pack_into("<HII", data, place + 2, 4, 1, height)
    last = height // 32 * (3 if plane == "separate" else 1) - 1
    assert fault(read_bytes, bytes(data), "a.tif").endswith(f"tile {last}")


def test_many_bands_are_as_large_as_more_pixels(monkeypatch):
    """10 x 10 pixels of 6 bands are as many numbers as 20 x 10 of 3."""
    monkeypatch.setattr(vips, "LARGEST", 100)
    for bands in (1, 3):
        read_bytes(encode(Picture(drawn(10, 10, bands)), "TIFF"), "a.tif")
    message = fault(read_bytes, encode(Picture(drawn(10, 10, 6)), "TIFF"), "a.tif")
    assert message == "a.tif: 10 x 10 pixels of 6 bands are too many; at most 0 million can be read"


def test_what_pillow_finds_too_large_is_read_all_the_same(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    for form in ("PNG", "JPEG", "WEBP", "TIFF"):
        for bands in (1, 3):
            told = picture(bands, icc=SRGB, exif=b"Exif\0\0" + b"II*\0\x08\0\0\0\0\0\0\0\0\0")
            found = read_bytes(encode(told, form, 100))
            assert np.abs(found.pixels.astype(int) - told.pixels).max() <= (30 if form == "JPEG" else 0)
            assert found.format == form


UNFIT = [
    (".jpg", {"clear": True}, "JPEG cannot hold transparency; use PNG or WebP"),
    (".jpg", {"kind": np.uint16}, "JPEG cannot hold 16 bits; use .png or .tiff"),
    (".webp", {"kind": np.uint16}, "WebP cannot hold 16 bits; use .png or .tiff"),
    (".png", {"kind": np.float32}, "PNG cannot hold float pixels; use .tiff"),
    (".png", {"bands": 5}, "PNG cannot hold 5 bands; use .tiff"),
]


@pytest.mark.parametrize(("suffix", "like", "message"), UNFIT)
def test_a_format_that_cannot_hold_the_picture_says_so(tmp_path, suffix, like, message):
    path = tmp_path / f"a{suffix}"
    assert fault(write, picture(**like), path, kind=OutputError) == f"{path}: {message}"
    assert not os.listdir(tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "folder.png").mkdir()
    nowhere = tmp_path / "none" / "a.png"
    assert (
        fault(write, picture(), nowhere, kind=OutputError) == f"{nowhere}: there is no folder {tmp_path}/none"
    )
    assert fault(write, picture(), tmp_path / "folder.png", kind=OutputError).endswith(
        "folder.png: is a folder"
    )
    assert "suffix '.bmp' is not one of .png, .jpg" in fault(
        write, picture(), tmp_path / "a.bmp", kind=OutputError
    )
    assert "quality 101" in fault(write, picture(), tmp_path / "a.jpg", quality=101, kind=OutputError)
    long = fault(check_output, picture(), tmp_path / "a.webp", 2000, kind=OutputError)
    assert long.endswith("WebP cannot hold a side of 28000 pixels, only 16383; use .png or .tiff")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, stop):
    write(picture(), tmp_path / "a.png")
    old = (tmp_path / "a.png").read_bytes()

    def stopped(self, data):
        with self.open("wb") as file:
            file.write(data[:50])
        raise stop

    monkeypatch.setattr(Path, "write_bytes", stopped)
    with pytest.raises(OutputError if stop is OSError else stop):
        write(picture(1), tmp_path / "a.png")
    assert os.listdir(tmp_path) == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == old


def test_pyvips_is_imported_when_needed_and_asked_for_where_missing(tmp_path, monkeypatch):
    lines = "import sys, refinesr.images.io; sys.exit('pyvips' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", lines], check=False).returncode == 0
    deep = encode(picture(3, np.uint16), "PNG")
    monkeypatch.setitem(sys.modules, "pyvips", None)
    assert fault(read_bytes, deep, "a.png").endswith("need pyvips: pip install pyvips[binary]")
    message = fault(write, picture(3, np.uint16), tmp_path / "b.png", kind=OutputError)
    assert message.startswith(f"{tmp_path}/b.png: ")
    write(picture(), tmp_path / "c.png")
    assert same(read(tmp_path / "c.png"), picture())
