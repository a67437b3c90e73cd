"""`refinesr upscale` of GeoTIFFs, in this process, with a model of random weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from commands import Command

TAGS = [
    (33550, 12, 3, (10.0, 20.0, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 500000.0, 5200000.0, 0.0), True),
    (34735, 3, 12, (1, 1, 0, 2, 1025, 0, 1, 1, 3072, 0, 1, 32633), True),
]


def scene(name: str = "scene.tif", tags: list[Any] = TAGS, kind: type = np.uint8) -> Path:
    """12 pixels high, 21 wide."""
    peak = 1 if kind == np.float32 else 200
    values = (np.random.default_rng(0).random((12, 21, 3)) * peak + peak / 20).clip(0, peak).astype(kind)
    tifffile.imwrite(name, values, photometric="rgb", metadata=None, extratags=tags)
    return Path(name)


def told(name: str) -> dict[int, Any]:
    with tifffile.TiffFile(name) as file:
        return {tag.code: tag.value for tag in file.pages[0].tags}


@pytest.mark.parametrize(("scale", "size"), [(4, (48, 84)), (2.5, (30, 52)), (1.3, (16, 27))])
def test_a_result_in_tiff_covers_the_ground_of_its_input(
    upscale: Command, scale: float, size: tuple[int, int]
) -> None:
    ran = upscale(scene(), "--scale", scale, "-o", "large.tif", "--overwrite")
    assert (ran.code, ran.err) == (0, "")
    found = told("large.tif")
    assert (found[257], found[256]) == size
    assert found[33922] == TAGS[1][3]
    assert found[34735] == TAGS[2][3]
    down, across = size[0] * found[33550][1], size[1] * found[33550][0]
    assert (down, across) == pytest.approx((12 * 20.0, 21 * 10.0))


@pytest.mark.filterwarnings("always")
def test_what_png_cannot_say_is_said_once_of_all(upscale: Command) -> None:
    scene("a.tif"), scene("b.tif")
    ran = upscale("a.tif", "b.tif", "-o", "large")
    line = "warning: only results in TIFF say where they lie and what is missing; use --ext tiff\n"
    assert (ran.code, ran.err) == (0, line)


def test_nothing_is_said_of_pictures_without_a_place(upscale: Command) -> None:
    assert upscale(scene(tags=[])).err == ""


@pytest.mark.filterwarnings("always")
def test_that_png_cannot_say_what_is_missing_is_said_without_a_place_too(upscale: Command) -> None:
    ran = upscale(scene(tags=[(42113, 2, None, "0", True)]))
    assert ran.err == "warning: only results in TIFF say where they lie and what is missing; use --ext tiff\n"


def test_a_strip_of_mixtures_is_no_map(refinesr: Command, model: str) -> None:
    """It begins where the scene does, and goes on beside it."""
    ran = refinesr("interpolate", scene(), "-m", model, "-o", "strip.tif", "--shares", "0,1")
    assert ran.code == 0, ran.err
    assert 33550 not in told("strip.tif")
    refinesr("interpolate", "scene.tif", "-m", model, "-o", "one.tif", "--shares", "0.5")
    assert told("one.tif")[33550] == (2.5, 5.0, 0.0)


@pytest.mark.filterwarnings("always")
def test_that_a_mixture_in_png_cannot_say_its_place_is_said(refinesr: Command, model: str) -> None:
    line = "warning: only results in TIFF say where they lie and what is missing\n"
    words = "-m", model, "--from", "0,0,8,8", "--to", "4,4", "-o", "fused.png"
    assert refinesr("fuse", scene(), scene("other.tif", tags=[]), *words).err == line
    assert refinesr("interpolate", scene(), "-m", model, "-o", "one.png", "--shares", "0.5").err == line
    assert refinesr("interpolate", "other.tif", "-m", model, "-o", "other.png", "--shares", "0.5").err == ""


def test_a_scene_with_a_part_of_another_in_it_stays_where_it_is(refinesr: Command, model: str) -> None:
    words = "-m", model, "--from", "0,0,8,8", "--to", "4,4", "-o", "fused.tif"
    ran = refinesr("fuse", scene(), scene("other.tif", tags=[]), *words)
    assert (ran.code, ran.err) == (0, "")
    assert [told("fused.tif")[tag[0]] for tag in TAGS] == [tag[3] for tag in TAGS]


NONE = (42113, 2, None, "-9999", True)


@pytest.mark.parametrize(("scale", "size"), [(4, (48, 84)), (2.5, (30, 52))])
def test_nodata_is_where_it_was_and_its_tag_too(
    upscale: Command, scale: float, size: tuple[int, int]
) -> None:
    values = tifffile.imread(scene(kind=np.float32))
    values[3:6, 5:9] = -9999
    tifffile.imwrite("holes.tif", values, photometric="rgb", metadata=None, extratags=[*TAGS, NONE])
    ran = upscale("holes.tif", "--scale", scale, "-o", "large.tif")
    assert (ran.code, ran.err) == (0, "")
    large, (height, width) = tifffile.imread("large.tif"), size
    y, x = ((np.arange(height) + 0.5) * 12 / height, (np.arange(width) + 0.5) * 21 / width)
    there = ((y >= 3) & (y < 6))[:, None] & (x >= 5) & (x < 9)
    assert np.array_equal(large == -9999, np.repeat(there[..., None], 3, 2))
    assert np.abs(large[~there]).max() < 1.2
    assert float(told("large.tif")[42113]) == -9999
    assert told("large.tif")[34735] == TAGS[2][3]


def test_a_picture_of_nothing_stops_no_other(upscale: Command) -> None:
    tifffile.imwrite("none.tif", np.full((12, 21, 3), -9999, np.float32), photometric="rgb", extratags=[NONE])
    ran = upscale("none.tif", scene(), "-o", "large", "--ext", "tiff")
    line = "none.tif: all values are missing (NaN, or the file's GDAL_NODATA)\n1 of 2 files done, 1 failed\n"
    assert (ran.code, ran.err) == (1, line)


def test_nobody_is_measured_by_what_is_missing(refinesr: Command, model: str) -> None:
    Path("data").mkdir()
    for number in range(2):
        scene(f"data/{number}.tif", tags=[(42113, 2, None, "7", True)])
    values = tifffile.imread("data/1.tif")
    values[3, 4, 1] = 7
    tifffile.imwrite("data/1.tif", values, photometric="rgb", extratags=[(42113, 2, None, "7", True)])
    alone = "only pictures to upscale, and to learn from, may lack values"
    line = f"data/1.tif: holds 7, missing by its tag GDAL_NODATA; {alone}"
    for words in (
        ("evaluate", model, "--data", "data", "-o", "report", "--protocol", "classic-y"),
        ("evaluate", model, "--data", "data", "-o", "report", "--protocol", "bands"),
    ):
        ran = refinesr(*words)
        assert ran.code == 2, ran.out
        assert line in ran.err.splitlines()[-1]
