"""Tiles by their laws: where they lie, what they share, what their windows count."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from refinesr.tiles import Box, cover, largest_side

heights, widths = st.integers(1, 40), st.integers(1, 130)  # many tiles one way are enough
ways = st.fixed_dictionaries(
    {
        "core": st.integers(3, 40),
        "reach": st.integers(0, 9),
        "stride": st.sampled_from([1, 2, 3, 8]),
        "scale": st.sampled_from([1, 2, 4]),
        "blend": st.integers(1, 6),
    }
)


def spans(tiles, first, size):
    """The distinct (start, end) of all tiles along one axis."""
    return sorted({(getattr(t.box, first), getattr(t.box, first) + getattr(t.box, size)) for t in tiles})


def summed(tiles, height, width, scale):
    total = torch.zeros(height * scale, width * scale, dtype=torch.float64)
    for tile in tiles:
        tile.box.scaled(scale).of(total).add_(tile.window.whole())
    return total


@settings(deadline=None)
@given(height=heights, width=widths, how=ways)
def test_tiles_are_a_grid_that_covers_the_picture_from_corners_on_the_stride(height, width, how):
    tiles = cover(height, width, **how)
    rows, columns = spans(tiles, "top", "height"), spans(tiles, "left", "width")
    boxes = [(t.box.top, t.box.left, t.box.height, t.box.width) for t in tiles]
    assert boxes == [(top, left, end - top, right - left) for top, end in rows for left, right in columns]
    for axis, size in ((rows, height), (columns, width)):
        assert axis[0][0] == 0
        assert max(end for _, end in axis) == size
        assert all(start % how["stride"] == 0 for start, _ in axis)
        assert all(end % how["stride"] == 0 or end == size for _, end in axis)


@settings(deadline=None)
@given(height=heights, width=widths, how=ways)
def test_neighbours_share_enough_and_no_tile_is_larger_than_core_and_halo(height, width, how):
    tiles, stride = cover(height, width, **how), how["stride"]
    share = 2 * (how["reach"] + how["blend"])
    side = largest_side(how["core"], stride=stride, reach=how["reach"], blend=how["blend"])
    assert side == stride * (math.ceil(how["core"] / stride) + math.ceil(share / stride))
    for axis, size in (
        (spans(tiles, "top", "height"), height),
        (spans(tiles, "left", "width"), width),
    ):
        assert all(end - start <= side for start, end in axis)
        assert all(
            end - start >= share >= 2 * how["reach"] + 1 for (_, end), (start, _) in itertools.pairwise(axis)
        )
        fewest = math.ceil(
            (math.ceil(size / stride) - math.ceil(share / stride)) / math.ceil(how["core"] / stride)
        )
        assert len(axis) == max(1, fewest)


@settings(deadline=None)
@given(height=heights, width=widths, how=ways)
def test_windows_count_every_pixel_and_none_within_reach_of_an_inner_edge(height, width, how):
    tiles, scale = cover(height, width, **how), how["scale"]
    assert (summed(tiles, height, width, scale) > 0).all()
    for tile in tiles:
        box, window, hidden = tile.box, tile.window.whole(), how["reach"] * scale
        assert window.dtype == torch.float32
        assert window.shape == (box.height * scale, box.width * scale)
        assert window.min() >= 0
        assert window.max() <= 1
        edges = [
            (box.top > 0, window[:hidden]),
            (box.top + box.height < height, window[len(window) - hidden :]),
            (box.left > 0, window[:, :hidden]),
            (box.left + box.width < width, window[:, window.shape[1] - hidden :]),
        ]
        assert not any(strip.any() for inner, strip in edges if inner)


@settings(deadline=None)
@given(
    size=st.integers(60, 400),
    reach=st.integers(0, 6),
    blend=st.integers(1, 6),
    scale=st.sampled_from([1, 2, 4]),
)
def test_windows_sum_to_one_where_no_three_tiles_overlap(size, reach, blend, scale):
    """sin² + cos²; a core of 30 keeps tiles two apart from meeting."""
    tiles = cover(40, size, core=30, reach=reach, stride=1, scale=scale, blend=blend)
    one = torch.ones(40 * scale, size * scale, dtype=torch.float64)
    torch.testing.assert_close(summed(tiles, 40, size, scale), one, rtol=0, atol=1e-6)


@settings(deadline=None)
@given(
    size=st.integers(60, 400),
    reach=st.integers(0, 6),
    blend=st.integers(1, 6),
    scale=st.sampled_from([1, 2, 4]),
)
def test_windows_rise_no_steeper_than_a_half_wave_over_the_blend(size, reach, blend, scale):
    """sin² over 2 * blend * scale pixels or more has a slope of at most pi/2 over that."""
    for tile in cover(1, size, core=30, reach=reach, stride=1, scale=scale, blend=blend):
        assert tile.window.across.diff().abs().max() <= math.pi / 2 / (2 * blend * scale) + 1e-6


@settings(deadline=None)
@given(
    height=heights, width=widths, reach=st.integers(0, 60), stride=st.integers(1, 20), scale=st.integers(1, 4)
)
def test_without_a_core_or_with_one_that_holds_the_picture_one_tile_of_ones(
    height, width, reach, stride, scale
):
    for core in (0, max(height, width)):
        (tile,) = cover(height, width, core=core, reach=reach, stride=stride, scale=scale)
        assert tile.box == Box(0, 0, height, width)
        assert torch.equal(tile.window.whole(), torch.ones(height * scale, width * scale))


def test_a_picture_little_larger_than_a_tile_is_cut_into_tiles_little_larger_than_its_half():
    """Equal shares: not one full tile and one that does nearly the same again."""
    tiles = cover(90, 90, core=64, reach=8, stride=4)
    assert [(tile.box.height, tile.box.width) for tile in tiles] == [(56, 56), (56, 54), (54, 56), (54, 54)]


@pytest.mark.parametrize(
    "wrong",
    [{"core": -1}, {"reach": -1}, {"stride": 0}, {"scale": 0}, {"blend": 0}, {"height": 0}, {"width": 0}],
    ids=str,
)
def test_impossible_tilings_are_mistakes(wrong):
    right = {"height": 50, "width": 50, "core": 10, "reach": 1, "stride": 1}
    with pytest.raises(ValueError, match=r"cover\("):
        cover(**right | wrong)


def test_tiles_of_a_large_picture_take_next_to_no_memory():
    """Their windows are larger than the picture, some 100 MB for one of 2048 x 4096, and are never there at
    once.
    """
    tiles = cover(512, 1024, core=96, reach=20, stride=4, scale=4)
    held = {
        factor.untyped_storage().data_ptr(): factor.untyped_storage().nbytes()
        for tile in tiles
        for factor in (tile.window.down, tile.window.across)
    }
    assert sum(held.values()) < 200_000


def test_a_window_goes_where_it_is_needed():
    (tile,) = cover(3, 5, core=0, reach=0, stride=1)
    there = tile.window.to(torch.zeros(0, dtype=torch.float64, device="meta"))
    assert {factor.device.type for factor in (there.down, there.across, there.whole())} == {"meta"}
    assert (there.whole().shape, there.whole().dtype) == ((3, 5), torch.float64)


def test_box_is_a_view_and_scales():
    picture = torch.zeros(2, 3, 10, 12)
    Box(1, 2, 3, 4).of(picture).add_(1)
    assert picture.sum() == 2 * 3 * 12
    assert (picture[..., 1:4, 2:6] == 1).all()
    assert Box(1, 2, 3, 4).scaled(4) == Box(4, 8, 12, 16)


def test_a_picture_may_have_a_tile_as_large_as_is_said() -> None:
    for core, stride, blend in ((8, 2, 4), (48, 8, 6), (200, 8, 25), (192, 32, 24)):
        side = largest_side(core, stride=stride, blend=blend)
        shared = stride * math.ceil(2 * blend / stride)
        assert (
            max(
                tile.box.width
                for tile in cover(1, 2 * side - shared, core=core, reach=0, stride=stride, blend=blend)
            )
            == side
        )
