"""Pictures with missing values as material: crops are drawn from all places that miss none."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import tifffile
import torch
from methods import packed, plain
from numpy.typing import NDArray

from refinesr.data import Pairs, Photos, load_photos
from refinesr.errors import ConfigError, InputError
from refinesr.held_out import load_held_out
from refinesr.images.degrade import Given
from refinesr.images.reduction import Bicubic
from refinesr.method import Method
from refinesr.search import load_search_set

CPU = torch.device("cpu")
FAR = -9999.0


def field(height: int, width: int, bands: int = 1, seed: int = 0) -> NDArray[Any]:
    """Another value, a multiple of 2**-13 above 0, at each place."""
    numbers = np.random.default_rng(seed).permutation(height * width * bands) + 1
    return (numbers.reshape(height, width, bands) / 2**13).astype(np.float32)


def torn(values: NDArray[Any], nothing: float = np.nan) -> NDArray[Any]:
    """Without a corner, and without a pixel of one band."""
    values = values.copy()
    y, x = np.mgrid[: values.shape[0], : values.shape[1]]
    values[x + y < 14] = nothing
    values[values.shape[0] // 2, values.shape[1] - 3, -1] = nothing
    return values


def save(path: Path, values: NDArray[Any], nodata: float | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tags = [] if nodata is None else [(42113, 2, None, f"{nodata:g}", True)]
    layout = "contig" if values.shape[2] > 1 else None
    tifffile.imwrite(path, values, photometric="minisblack", extratags=tags, planarconfig=layout)


def load(source: Path, smallest: int = 8, channels: int = 1, **options: Any) -> Photos:
    return load_photos(source, CPU, smallest=smallest, channels=channels, **options)


def free(lost: NDArray[Any], size: int, step: int = 1) -> list[tuple[int, int]]:
    """All places without a loss, by looking."""
    rows, columns = (range(0, length - size + 1, step) for length in lost.shape)
    return [(y, x) for y in rows for x in columns if not lost[y : y + size, x : x + size].any()]


def test_every_place_without_missing_values_is_drawn_alike_and_no_other(tmp_path: Path) -> None:
    """By the chi-squared of all places of two pictures, a third one being whole."""
    scenes = [torn(field(20, 22)), torn(field(17, 15, seed=1)), field(12, 12, seed=2)]
    for k, scene in enumerate(scenes):
        save(tmp_path / f"{k}.tif", scene)
    photos = load(tmp_path)
    draw = photos.draw(60_000, 8, torch.Generator().manual_seed(0))
    for k, scene in enumerate(scenes):
        wanted, mine = free(np.isnan(scene).any(2), 8), draw.picture == k
        found = Counter(zip(draw.top[mine].tolist(), draw.left[mine].tolist(), strict=True))
        assert found.keys() == set(wanted)
        assert scipy.stats.chisquare(list(found.values())).pvalue > 1e-3
    # a picture counts by the pixels that can be seen, once each
    shown = np.array([len(seen_of(free(np.isnan(scene).any(2), 8))) for scene in scenes])
    counts = torch.bincount(draw.picture).numpy()
    assert scipy.stats.chisquare(counts, shown / shown.sum() * 60_000).pvalue > 1e-3


def seen_of(places: list[tuple[int, int]], size: int = 8) -> set[tuple[int, int]]:
    return {(y + i, x + j) for y, x in places for i in range(size) for j in range(size)}


@pytest.mark.filterwarnings("ignore:the photos need")
def test_no_crop_misses_a_value_whichever_way_it_is_missing(tmp_path: Path) -> None:
    """NaN, and what the tag names, of floats and of integers; from memory as from files."""
    save(tmp_path / "nan.tif", torn(field(20, 26, 3)))
    save(tmp_path / "far.tif", torn(field(26, 20, 3, seed=1), FAR), FAR)
    levels = (field(20, 20, 3, seed=2) * 30000).astype(np.uint16)
    save(tmp_path / "zero.tif", torn(levels + 1000, 0), 0)
    resident, decoded = (load(tmp_path, channels=3, budget_bytes=budget) for budget in (None, 0))
    assert (resident.resident, decoded.resident, len(resident)) == (True, False, 3)
    for step in range(4):
        (high, low), (same, _) = (Pairs(photos, Bicubic(4), 8, 32).at(step) for photos in (resident, decoded))
        assert torch.equal(high, same)
        assert torch.isfinite(low).all()
        # of floats nothing is 0, and of integers nothing below 1000
        assert float(high.min()) >= -1 + 2.0**-13


@pytest.mark.parametrize("side", ["good", "poor", "both"])
def test_given_pairs_miss_nothing_on_either_side(tmp_path: Path, side: str) -> None:
    """The poor ones are negatives of means; places are multiples of 2."""
    high = field(21, 25)
    blocks = high[:20, :24].reshape(10, 2, 12, 2, 1).mean((1, 3))
    poor = (1 - blocks).astype(np.float32)
    lost = np.zeros((10, 12), bool)
    if side != "poor":
        high = torn(high)
        lost = np.isnan(high).any(2)[:20, :24].reshape(10, 2, 12, 2).any((1, 3))
    if side != "good":
        poor[:3, 4] = poor[8, 10] = np.nan
        lost |= np.isnan(poor).any(2)
    save(tmp_path / "good/a.tif", high)
    save(tmp_path / "poor/a.tif", poor)
    photos = load(tmp_path / "good", low=tmp_path / "poor", scale=2)
    draw = photos.draw(2000, 8, torch.Generator().manual_seed(1))
    found = {*zip((draw.top // 2).tolist(), (draw.left // 2).tolist(), strict=True)}
    assert found == {*free(lost, 4)}
    assert (draw.top % 2).sum() + (draw.left % 2).sum() == 0
    one, other = Pairs(photos, Given(2), 8, 64).at(0)
    torch.testing.assert_close(other, -torch.nn.functional.avg_pool2d(one, 2), rtol=0, atol=1e-6)


def test_pictures_without_a_whole_crop_are_left_out_and_counted(tmp_path: Path) -> None:
    holes = field(20, 20)
    holes[7::8, 7::8] = np.nan  # every crop of 8 pixels has one
    save(tmp_path / "holes.tif", holes)
    save(tmp_path / "small.tif", field(7, 30))
    with pytest.raises(InputError) as caught:
        load(tmp_path)
    told = "no picture has 8 x 8 pixels without missing values, the size of a crop; the first of 2 is "
    assert str(caught.value) == f"{told}{tmp_path}/holes.tif (20 x 20)"
    save(tmp_path / "whole.tif", field(20, 20))
    photos = load(tmp_path)
    assert (len(photos), photos.left_out, photos.holed) == (1, 2, 1)
    assert load(tmp_path, 7).holed == 0


def test_crops_of_another_size_than_loaded_for_are_refused_where_values_are_missing(tmp_path: Path) -> None:
    save(tmp_path / "a.tif", torn(field(20, 20)))
    photos = load(tmp_path)
    told = "photos with missing values are loaded for crops of one size,"
    with pytest.raises(ConfigError, match=f"^size: 4, but {told} these for 8$"):
        Pairs(photos, Bicubic(4), 4, 2)
    with pytest.raises(ValueError, match=f"^size is 4; {told} 8$"):
        photos.draw(1, 4, torch.Generator())


# Held-out pictures


def nearest(lost: NDArray[Any], size: int, corner: tuple[int, int]) -> tuple[int, int]:
    return min(free(lost, size), key=lambda place: np.square(np.subtract(place, corner)).sum())


@pytest.mark.parametrize("taken", [load_held_out, load_search_set])
def test_a_middle_that_misses_values_moves_to_the_nearest_place_that_misses_none(
    tmp_path: Path, taken: Any
) -> None:
    method: Method = packed(2, 1)
    scene = field(24, 30)
    scene[11:14, 16] = np.nan
    save(tmp_path / "a.tif", scene)
    save(tmp_path / "b.tif", field(24, 30, seed=1))
    held = taken(method, tmp_path, size=8)
    top, left = nearest(np.isnan(scene).any(2), 8, (8, 10 if taken is load_held_out else 11))
    wanted = scene[top : top + 8, left : left + 8, 0]
    assert np.abs((held.high[0, 0].numpy() + 1) / 2 - wanted).max() < 1e-6
    middle = (
        field(24, 30, seed=1)[8:16, 10:18] if taken is load_held_out else field(24, 30, seed=1)[8:16, 11:19]
    )
    assert np.abs((held.high[1, 0].numpy() + 1) / 2 - middle[..., 0]).max() < 1e-6
    assert torch.isfinite(held.low).all()


def test_held_out_pictures_without_a_whole_crop_are_left_out_and_a_search_names_them(tmp_path: Path) -> None:
    holes = field(24, 30)
    holes[7::8, 7::8] = np.nan
    save(tmp_path / "a.tif", field(24, 30, seed=1))
    save(tmp_path / "b.tif", holes)
    held = load_held_out(plain(2, 1), tmp_path, size=8)
    assert (len(held), held.left_out, held.holed) == (1, 1, 1)
    told = r"b\.tif: 30 x 24 pixels do not hold a crop of size {} without missing values$"
    with pytest.raises(InputError, match=told.format(8)):
        load_search_set(plain(2, 1), tmp_path, size=8)
    with pytest.raises(InputError, match=told.format(24)):
        load_search_set(plain(2, 1), tmp_path)
    assert load_search_set(plain(2, 1), tmp_path, size=4).high.shape == (2, 1, 4, 4)
