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
    values = (np.random.default_rng(0).random((12, 21, 3)) * peak).astype(kind)
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
    line = "warning: only results in TIFF keep their place on the earth; --ext tiff makes such\n"
    assert (ran.code, ran.err) == (0, line)


def test_nothing_is_said_of_pictures_without_a_place(upscale: Command) -> None:
    assert upscale(scene(tags=[])).err == ""


def test_a_strip_of_mixtures_is_no_map(refinesr: Command, model: str) -> None:
    """It begins where the scene does, and goes on beside it."""
    ran = refinesr("interpolate", scene(), "-m", model, "-o", "strip.tif", "--shares", "0,1")
    assert ran.code == 0, ran.err
    assert 33550 not in told("strip.tif")
    refinesr("interpolate", "scene.tif", "-m", model, "-o", "one.tif", "--shares", "0.5")
    assert told("one.tif")[33550] == (2.5, 5.0, 0.0)
