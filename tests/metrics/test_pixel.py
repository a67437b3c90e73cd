"""Against scikit-image, MATLAB's definition, and closed forms."""

import math

import numpy as np
import pytest
import torch
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from refinesr.metrics.pixel import luma, psnr


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


def test_luma_is_the_first_channel_of_rgb2ycbcr() -> None:
    image = torch.rand(1, 3, 5, 7, dtype=torch.float64)
    expected = rgb2ycbcr(image[0].permute(1, 2, 0).numpy())[..., 0] / 255
    np.testing.assert_allclose(luma(image)[0, 0], expected, atol=1e-12)
