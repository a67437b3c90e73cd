"""PSNR and SSIM recorded of two pictures of 8 bits."""

import pytest
from recorded import arrays
from torch import Tensor

from refinesr.metrics.pixel import psnr
from refinesr.metrics.structure import UniformWindow, ssim


@pytest.fixture
def held() -> dict[str, Tensor]:
    return arrays("metrics", "a", "b", "psnr", "ssim_gaussian_valid", "ssim_uniform7")


def image(levels: Tensor) -> Tensor:
    return levels.permute(2, 0, 1)[None].float() / 255


def test_psnr_and_ssim_are_the_recorded_ones(held: dict[str, Tensor]) -> None:
    both = image(held["a"]), image(held["b"])
    assert psnr(*both).item() == pytest.approx(held["psnr"].item(), abs=1e-6)
    assert ssim(*both).item() == pytest.approx(held["ssim_gaussian_valid"].item(), abs=1e-8)
    assert ssim(*both, window=UniformWindow()).item() == pytest.approx(held["ssim_uniform7"].item(), abs=1e-8)
