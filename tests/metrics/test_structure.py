"""Against scikit-image, the papers' formulas in NumPy, and closed forms."""

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from jaxtyping import TypeCheckError
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity
from torch import Tensor

from refinesr.metrics.structure import UniformWindow, ms_ssim, ssim

Plane = npt.NDArray[np.float64]

GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def pair(height: int, width: int, noise: float = 0.2) -> tuple[Tensor, Tensor]:
    """Two smooth pictures, and what noise made of them."""
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.standard_normal((2, 3, height, width)), (0, 0, 2, 2))
    high = np.clip(0.5 + smooth, 0, 1)
    other = np.clip(high + noise * rng.standard_normal(high.shape), 0, 1)
    return torch.from_numpy(high).float(), torch.from_numpy(other).float()


@pytest.mark.parametrize("border", [0, 4])
def test_ssim_is_that_of_scikit_image_image_by_image(border: int) -> None:
    """Which averages where the window fits, too."""
    high, other = pair(40, 53)
    cut = np.s_[:, :, border : 40 - border, border : 53 - border]
    both = zip(high.double().numpy()[cut], other.double().numpy()[cut], strict=True)
    expected = [structural_similarity(a, b, data_range=1, channel_axis=0, **GAUSSIAN) for a, b in both]
    np.testing.assert_allclose(ssim(high, other, border=border), expected, atol=1e-9)


def test_with_a_uniform_window_it_is_what_scikit_image_does_untold() -> None:
    high, other = pair(30, 41)
    both = zip(high.double().numpy(), other.double().numpy(), strict=True)
    expected = [structural_similarity(a, b, data_range=1, channel_axis=0) for a, b in both]
    np.testing.assert_allclose(ssim(high, other, window=UniformWindow()), expected, atol=1e-9)


def test_ssim_of_flat_pictures_is_their_luminance() -> None:
    """Equation 6: (2 a b + C1) / (a² + b² + C1)."""
    dark, light = torch.full((1, 1, 12, 12), 0.25), torch.full((1, 1, 12, 12), 0.75)
    expected = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    assert ssim(dark, light).item() == pytest.approx(expected, abs=1e-12)


def reference(high: Plane, other: Plane) -> float:
    """MS-SSIM of one channel by its formulas: scipy's filter, cut to where 11 pixels fit, scale by scale."""

    def blurred(plane: Plane) -> Plane:
        return gaussian_filter(plane, 1.5, truncate=5 / 1.5)[5:-5, 5:-5]

    def halved(plane: Plane) -> Plane:
        mirrored = np.pad(plane, [(0, side % 2) for side in plane.shape], mode="symmetric")
        return sum(mirrored[i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4

    value = 1.0
    for number, weight in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):
        if number:
            high, other = halved(high), halved(other)
        mean, mean2 = blurred(high), blurred(other)
        variance, variance2 = blurred(high**2) - mean**2, blurred(other**2) - mean2**2
        covariance = blurred(high * other) - mean * mean2
        similar = (2 * covariance + 0.03**2) / (variance + variance2 + 0.03**2)
        if number == 4:
            similar = similar * (2 * mean * mean2 + 0.01**2) / (mean**2 + mean2**2 + 0.01**2)
        value *= similar.mean() ** weight
    return float(value)


@pytest.mark.parametrize("size", [(176, 176), (181, 199)])
def test_ms_ssim_is_the_formula_channel_by_channel(size: tuple[int, int]) -> None:
    high, other = pair(*size)
    planes = zip(high.double().flatten(0, 1).numpy(), other.double().flatten(0, 1).numpy(), strict=True)
    expected = np.reshape([reference(a, b) for a, b in planes], (2, 3)).mean(1)
    assert (expected < 0.95).all()  # else any number near 1 would do
    np.testing.assert_allclose(ms_ssim(high, other), expected, atol=1e-9)


def test_both_are_exactly_one_for_equal_pictures_and_less_for_others() -> None:
    high, other = pair(176, 176, noise=0.01)
    for similarity in (ssim, ms_ssim):
        assert similarity(high, high).tolist() == [1.0, 1.0]
        assert (similarity(high, other) < 1).all()


def test_a_negative_has_negative_ssim_and_no_ms_ssim() -> None:
    high, _ = pair(176, 176)
    assert (ssim(high, 1 - high) < 0).all()
    assert ms_ssim(high, 1 - high).tolist() == [0.0, 0.0]


def test_a_colour_cast_hurts_ms_ssim_through_the_coarsest_scale_alone() -> None:
    """Contrast and structure of flat pictures are 1, so what is left is luminance to the power of 0.1333."""
    dark, light = torch.full((1, 1, 176, 176), 0.25), torch.full((1, 1, 176, 176), 0.75)
    assert ms_ssim(dark, light).item() == pytest.approx(ssim(dark, light).item() ** 0.1333, abs=1e-12)


def test_pictures_too_small_for_the_windows_are_refused() -> None:
    small = torch.zeros(1, 1, 18, 40)
    assert ssim(small, small).item() == 1
    with pytest.raises(ValueError, match="10 x 32 pixels are fewer than a window of 11 x 11"):
        ssim(small, small, border=4)
    with pytest.raises(ValueError, match="175 x 300 pixels are too few for five scales; each side needs 176"):
        ms_ssim(torch.zeros(1, 1, 175, 300), torch.zeros(1, 1, 175, 300))


def test_nan_makes_the_numbers_of_its_image_nan() -> None:
    high, other = pair(176, 176)
    other[1, 2, 100, 100] = math.nan
    for similarity in (ssim, ms_ssim):
        assert similarity(high, other).isnan().tolist() == [False, True]


def test_pictures_of_two_sizes_are_refused_by_their_types() -> None:
    for similarity in (ssim, ms_ssim):
        with pytest.raises(TypeCheckError):
            similarity(torch.zeros(1, 3, 200, 200), torch.zeros(1, 1, 200, 200))
