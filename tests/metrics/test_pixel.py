"""Against scikit-image, MATLAB's definition, and closed forms."""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from refinesr.metrics.pixel import eight_bit_levels, luma, mse, psnr
from refinesr.metrics.structure import ms_ssim, ssim


def test_psnr_is_that_of_scikit_image_image_by_image() -> None:
    one, other = torch.rand(2, 2, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    expected = [
        peak_signal_noise_ratio(a[:, 4:-4, 4:-4].numpy(), b[:, 4:-4, 4:-4].numpy(), data_range=1)
        for a, b in zip(one, other, strict=True)
    ]
    np.testing.assert_allclose(psnr(one, other, border=4), expected, rtol=1e-6)


def test_psnr_of_equal_images_is_infinite_and_of_one_level_is_48_13_db() -> None:
    image = torch.zeros(1, 1, 9, 9)
    assert psnr(image, image).item() == math.inf
    assert psnr(image, image + 1 / 255).item() == pytest.approx(20 * math.log10(255))


def test_a_border_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing of"):
        psnr(torch.zeros(1, 1, 8, 20), torch.zeros(1, 1, 8, 20), border=4)


def test_a_border_may_leave_one_pixel() -> None:
    one, other = torch.zeros(1, 1, 5, 5), torch.zeros(1, 1, 5, 5)
    other[..., 2, 2] = 0.5
    assert mse(one, other, border=2).item() == 0.25


def test_luma_is_the_first_channel_of_rgb2ycbcr() -> None:
    image = torch.rand(1, 3, 5, 7, dtype=torch.float64)
    expected = rgb2ycbcr(image[0].permute(1, 2, 0).numpy())[..., 0] / 255
    np.testing.assert_allclose(luma(image)[0, 0], expected, atol=1e-12)


def test_mse_is_that_of_numpy_image_by_image_without_the_border() -> None:
    one, other = torch.rand(2, 2, 3, 12, 15, generator=torch.Generator().manual_seed(0))
    apart = one.double().numpy() - other.double().numpy()
    np.testing.assert_allclose(mse(one, other), (apart**2).mean((1, 2, 3)), rtol=1e-12)
    inner = (apart[:, :, 2:-2, 2:-2] ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(mse(one, other, border=2), inner, rtol=1e-12)


def test_a_border_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="a border of -1"):
        mse(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8), border=-1)


def test_levels_are_the_nearest_ones_that_a_saved_picture_holds() -> None:
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 1.5 - 0.25
    saved = eight_bit_levels(image)
    assert (saved / 255 - image.clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-7
    assert torch.equal(eight_bit_levels(saved / 255), saved)  # 8 bits are kept as they are


def test_rounding_alone_makes_58_9_db() -> None:
    image = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    assert psnr(image, eight_bit_levels(image).float() / 255).item() == pytest.approx(
        10 * math.log10(12 * 255**2), abs=0.05
    )


def test_nan_makes_the_number_of_its_image_nan_and_is_no_level() -> None:
    image = torch.zeros(2, 1, 8, 8)
    broken = image.clone()
    broken[1, 0, 3, 3] = math.nan
    assert psnr(image, broken).isnan().tolist() == [False, True]
    with pytest.raises(ValueError, match="NaN"):
        eight_bit_levels(broken)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("metric", [psnr, mse, ssim, ms_ssim])
@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (2, 3, 8, 8), (3, 8, 8)], ids=str)
def test_what_is_not_checked_by_its_type_is_not_broadcast(metric: Any, shape: tuple[int, ...]) -> None:
    one, other = torch.zeros(1, 3, 8, 8), torch.zeros(shape)
    named = re.escape(f"not of {tuple(one.shape)} and {shape}")
    with pytest.raises(ValueError, match=named):
        metric(one, other)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("metric", [psnr, mse, ssim, ms_ssim])
def test_integers_are_not_taken_for_images_from_0_to_1(metric: Any) -> None:
    one = torch.zeros(1, 3, 8, 8)
    with pytest.raises(
        ValueError, match=r"^images are floats in \[0, 1\], not torch.float32 and torch.uint8$"
    ):
        metric(one, one.byte())
    with pytest.raises(ValueError, match=r"not torch.uint8 and torch.float32$"):
        metric(one.byte(), one)


def test_pictures_of_two_sizes_are_refused_by_their_types() -> None:
    with pytest.raises(TypeCheckError):
        psnr(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9))
