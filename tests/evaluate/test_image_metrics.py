"""Numbers of a picture, against scikit-image and closed forms."""

import math

import numpy as np
import pytest
import torch
from photographs import array, shown
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from refinesr.evaluate.image_metrics import (
    Case,
    NetworkDistance,
    NoReference,
    consistency_metric,
    lr_psnr_metric,
    psnr_metric,
    sample_metrics,
    ssim_metric,
    y,
)
from refinesr.evaluate.protocols import PROTOCOLS
from refinesr.evaluate.upscalers import Interpolation
from refinesr.images.resize import MatlabBicubic
from refinesr.metrics.structure import UniformWindow

SHOWN = shown()
BICUBIC = Interpolation("bicubic", MatlabBicubic()).upscaled(SHOWN.low, 4)
CASE = Case.of(SHOWN, [BICUBIC])
HIGH, MADE = array(SHOWN.high), array(BICUBIC)


def inner(values: np.ndarray) -> np.ndarray:
    return values[4:-4, 4:-4]


def test_psnr_of_y_is_scikit_images_of_its_own_y() -> None:
    one, other = (inner(rgb2ycbcr(values)[..., 0]) for values in (HIGH, MADE))
    expected = peak_signal_noise_ratio(one, other, data_range=255)
    assert psnr_metric(y, 4).measure(CASE) == pytest.approx(expected, rel=1e-9)


def test_ssim_of_y_is_scikit_images() -> None:
    one, other = (rgb2ycbcr(values)[4:-4, 4:-4, 0] for values in (HIGH, MADE))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    _, full = structural_similarity(one, other, full=True, **options)
    assert ssim_metric(y, 4).measure(CASE) == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-6)


def test_srdiffs_psnr_and_ssim_are_scikit_images_defaults() -> None:
    measured = {metric.key: metric.measure(CASE) for metric in PROTOCOLS["srdiff-general"].metrics(4)}
    assert measured["psnr"] == pytest.approx(peak_signal_noise_ratio(HIGH, MADE), rel=1e-9)
    assert measured["ssim"] == pytest.approx(structural_similarity(HIGH, MADE, channel_axis=2), abs=1e-6)


def test_sr3s_ssim_has_another_window() -> None:
    assert ssim_metric().measure(CASE) != ssim_metric(window=UniformWindow()).measure(CASE)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_picture_against_itself_is_as_good_as_can_be(name: str) -> None:
    best = {"psnr": math.inf, "psnr_y": math.inf, "ssim": 1, "ssim_y": 1, "lr_psnr": math.inf}
    same = Case.of(SHOWN, [SHOWN.high])
    for metric in PROTOCOLS[name].metrics(4):
        if metric.key in best:
            assert metric.measure(same) == pytest.approx(best[metric.key], abs=1e-12)
    # the poor picture was rounded: errors of up to half a level, MSE at most 1/4 level²
    consistent = consistency_metric(MatlabBicubic()).measure(same)
    assert consistent is not None
    assert 0 < consistent < 0.25 / 255**2 / 1e-5 * 4  # twice rounded, once along each axis


def test_y_of_grey_is_that_of_grey_in_colours() -> None:
    grey = torch.rand(2, 1, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(y(grey), y(grey.expand(-1, 3, -1, -1)))


def test_one_level_in_the_poor_picture_is_48_13_db() -> None:
    made = Case("a", CASE.high, torch.full((1, 3, 12, 10), 100 / 255), torch.full_like(CASE.high, 101 / 255))
    assert lr_psnr_metric(MatlabBicubic()).measure(made) == pytest.approx(20 * math.log10(255), abs=1e-6)


def test_samples_of_known_spread_are_measured() -> None:
    """Levels 10 and 14 everywhere, the truth being 12: sigma 2, CRPS 2 - 4 / 2 = 0 (fair)."""
    flat = torch.full((1, 3, 6, 6), 12 / 255, dtype=torch.float64)
    case = Case("a", flat, flat, torch.cat([flat - 2 / 255, flat + 2 / 255]))
    found = {metric.key: metric.measure(case) for metric in sample_metrics(2)}
    assert found == {"sigma": pytest.approx(2), "crps": pytest.approx(0, abs=1e-9)}
    three = Case("a", flat, flat, torch.cat([flat - 2 / 255, flat + 1 / 255, flat + 2 / 255]))
    found = {metric.key: metric.measure(three) for metric in sample_metrics(3)}
    assert found["coverage_50"] == 1


def test_intervals_are_those_that_so_many_samples_reach() -> None:
    assert [metric.key for metric in sample_metrics(1)] == []
    assert [metric.key for metric in sample_metrics(2)] == ["sigma", "crps"]
    assert [metric.key for metric in sample_metrics(18)][2:] == ["coverage_50"]
    assert [metric.key for metric in sample_metrics(19)][2:] == ["coverage_50", "coverage_90"]


def test_a_single_result_has_no_spread() -> None:
    assert [metric.measure(CASE) for metric in sample_metrics(19)] == [None] * 4


def test_networks_are_shown_colours_and_pictures_large_enough() -> None:
    sizes = []
    case = Case.of(shown(grey=True), [shown(grey=True).high])

    def network(high: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        sizes.append((high.shape, other.dtype))
        return torch.tensor([0.25])

    assert NetworkDistance(network, 40)(case) == 0.25
    assert sizes == [((1, 3, 48, 40), torch.float32)]
    with pytest.raises(ValueError, match="41 pixels a side are needed"):
        NetworkDistance(network, 41)(case)


def test_what_cannot_be_judged_alone_has_no_number() -> None:
    def refusing(images: torch.Tensor) -> torch.Tensor:
        raise ValueError("too small")

    assert NoReference(refusing)(CASE) is None
    assert NoReference(lambda images: torch.tensor([math.nan]))(CASE) is None
    assert NoReference(lambda images: torch.tensor([5.0]))(CASE) == 5
