"""What part of a picture is taken: against slices, averages and Pillow's own box filter."""

import numpy as np
import pytest
import torch
from photographs import array, cat
from PIL import Image

from refinesr.errors import InputError
from refinesr.evaluate.cropping import AreaMean, Bicubic, CentralSquare, ModCrop, ResizedCentre
from refinesr.evaluate.depths import eight_bit_levels
from refinesr.images.picture import Picture
from refinesr.images.resize import PillowBicubic


def picture(height: int, width: int) -> torch.Tensor:
    return eight_bit_levels(Picture(np.ascontiguousarray(cat("eye", height, width))), "eye")


def test_a_multiple_begins_in_the_upper_left_corner() -> None:
    whole = picture(50, 43)
    assert torch.equal(ModCrop()(whole, 4, "eye"), whole[..., :48, :40])
    with pytest.raises(InputError, match=r"^eye: has 43 x 50 pixels, less than the scale, 64$"):
        ModCrop()(whole, 64, "eye")


def test_a_square_is_central() -> None:
    whole = picture(40, 61)
    assert torch.equal(CentralSquare(40, AreaMean())(whole, 4, "eye"), whole[..., :, 10:50])


def test_a_square_is_reduced_as_pillow_does() -> None:
    small = CentralSquare(24, Bicubic(PillowBicubic()))(picture(60, 51), 4, "eye")
    middle = Image.fromarray(np.ascontiguousarray(cat("eye", 60, 51)[4:55]))
    np.testing.assert_array_equal(array(small), middle.resize((24, 24), Image.Resampling.BICUBIC))


def test_a_smaller_picture_is_refused() -> None:
    with pytest.raises(InputError, match=r"^eye: has 60 x 23 pixels; 24 a side are needed$"):
        CentralSquare(24, AreaMean())(picture(23, 60), 4, "eye")


@pytest.mark.parametrize(("height", "width"), [(40, 61), (53, 30), (20, 27), (32, 45)])
def test_a_centre_is_what_torchvision_takes(height: int, width: int) -> None:
    """`Resize(32)` and `CenterCrop(28)`, by Pillow: the long side cut to whole pixels, halves made even."""
    image = Image.fromarray(np.ascontiguousarray(cat("eye", height, width)))
    long = int(32 * max(height, width) / min(height, width))
    whole = image.resize((long, 32) if width > height else (32, long), Image.Resampling.BICUBIC)
    left, top = (round((side - 28) / 2.0) for side in whole.size)
    expected = whole.crop((left, top, left + 28, top + 28))
    found = ResizedCentre(28, 32, PillowBicubic())(picture(height, width), 4, "eye")
    np.testing.assert_array_equal(array(found), expected)


def test_a_picture_that_has_been_cut_before_is_taken_as_it_is() -> None:
    whole = picture(28, 28)
    assert torch.equal(ResizedCentre(28, 32, PillowBicubic())(whole, 4, "eye"), whole)


@pytest.mark.parametrize("size", [(12, 20), (7, 9), (35, 59)])
def test_areas_count_in_part(size: tuple[int, int]) -> None:
    """Made whole multiples larger first, areas are whole pixels."""
    whole = picture(36, 60)
    fine = whole.double().repeat_interleave(size[0], 2).repeat_interleave(size[1], 3)
    expected = fine.reshape(1, 3, size[0], 36, size[1], 60).mean((3, 5))
    assert (AreaMean()(whole, size).double() - expected).abs().max() <= 0.5 + 1e-9
