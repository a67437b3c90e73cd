"""Where crops hold no missing value: all such places, no other, and each as likely."""

import numpy as np
import pytest
import torch

from refinesr.images.crop_positions import CropPositions, PositionTable, find_crop_positions


def torn(seed, height, width):
    """Where values are missing: margins, and single pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    return (x + y < rng.integers(12)) | (x - y > width - 5) | (rng.random((height, width)) < 0.004 * seed)


def corners(found):
    runs = zip(found.row.tolist(), found.first.tolist(), found.length.tolist(), strict=True)
    return [(row, first + step) for row, first, length in runs for step in range(length)]


def windows(lost, height, width):
    """All that are free, one by one."""
    rows, columns = (whole - part + 1 for whole, part in zip(lost.shape, (height, width), strict=True))
    return [
        (row, column)
        for row in range(rows)
        for column in range(columns)
        if not lost[row : row + height, column : column + width].any()
    ]


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (8, 3), (4, 30), (23, 30)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_free_places_are_those_of_all_windows_seen_one_by_one(seed, size):
    lost = torn(seed, 23, 30)
    found, wanted = find_crop_positions(lost, *size), windows(lost, *size)
    assert corners(found) == wanted
    assert found.count == len(wanted)
    shown = np.zeros_like(lost)
    for row, column in wanted:
        shown[row : row + size[0], column : column + size[1]] = True
    assert found.covered == shown.sum()
    for top, left in ((0, 0), (9, 12), (22, 29)) if wanted else ():
        far = [(row - top) ** 2 + (column - left) ** 2 for row, column in wanted]
        assert found.nearest(top, left) == wanted[int(np.argmin(far))]


def test_each_place_has_an_equal_share_of_all_random_numbers():
    """To 1 of 2**48: where each begins and ends, in Python's integers."""
    some = [find_crop_positions(torn(seed, 23, 30), 5, 4) for seed in (1, 2)]
    # as many as a scene of 40000 x 40000 pixels has, in one run
    vast = CropPositions(np.array([7]), np.array([3]), np.array([1_600_000_000]), 9)
    free = PositionTable.build([some[0], None, some[1], vast], torch.device("cpu"))
    assert free.count.tolist() == [some[0].count, 0, some[1].count, vast.count]
    assert PositionTable.build([None, None], torch.device("cpu")) is None

    def at(picture, number):
        part = torch.tensor([[number >> 24, number & 0xFFFFFF]], dtype=torch.float32) / 2**24
        chosen = free.sample_corners(torch.tensor([picture]), part, torch.tensor([[98, 99]]))
        return tuple(chosen[0].tolist())

    for picture, found in ((0, some[0]), (2, some[1])):
        wanted = corners(found)
        for k, corner in enumerate(wanted):
            begins, ends = (-(-(n << 48) // len(wanted)) for n in (k, k + 1))
            assert at(picture, begins) == at(picture, ends - 1) == corner
    for k in (0, 1, 1_234_567_891, 1_599_999_999):
        assert at(3, -(-(k << 48) // vast.count)) == (7, 3 + k)
    assert at(1, 12345) == at(1, 2**48 - 1) == (98, 99)
