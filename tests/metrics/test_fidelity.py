"""Against Pillow's own resizing, the command line's report, and closed forms."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor

from refinesr.images.picture import Picture, to_tensor
from refinesr.images.projection import Projection
from refinesr.images.resize import Kernel, MatlabBicubic, PillowBicubic, resize
from refinesr.metrics.fidelity import consistency, decibels, lr_psnr, lr_psnr_eight_bits
from refinesr.metrics.pixel import eight_bit_levels
from refinesr.restore.fidelity import measure_fidelity

KERNELS = [PillowBicubic(), MatlabBicubic()]


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_lr_psnr_is_that_of_what_pillow_makes_of_floats() -> None:
    low, result = pictures(2, 1, 10, 7, seed=1), pictures(2, 1, 40, 28)
    again = [Image.fromarray(plane[0].numpy()).resize((7, 10), Image.Resampling.BICUBIC) for plane in result]
    expected = [
        peak_signal_noise_ratio(one[0].numpy(), np.array(other), data_range=1)
        for one, other in zip(low, again, strict=True)
    ]
    np.testing.assert_allclose(lr_psnr(low, result, PillowBicubic()), expected, rtol=1e-5)  # float32


def test_in_eight_bits_it_is_that_of_what_pillow_makes_of_saved_pictures() -> None:
    low, result = pictures(1, 3, 10, 7, seed=1), pictures(1, 3, 40, 28)
    one, saved = ((x[0].permute(1, 2, 0) * 255).round().byte().numpy() for x in (low, result))
    again = np.array(Image.fromarray(saved).resize((7, 10), Image.Resampling.BICUBIC))
    expected = peak_signal_noise_ratio(one, again, data_range=255)
    assert lr_psnr_eight_bits(low, result, PillowBicubic()).item() == pytest.approx(expected, rel=1e-12)


def test_in_eight_bits_it_is_what_upscale_reports() -> None:
    rng = np.random.default_rng(0)
    source, result = (
        Picture(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in ((9, 8), (36, 32))
    )
    report = measure_fidelity(source, result)
    assert report is not None
    low, high = ((to_tensor(picture) + 1) / 2 for picture in (source, result))
    measured = lr_psnr_eight_bits(low, high, PillowBicubic()).item()
    assert measured == pytest.approx(report.lr_psnr, rel=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_projected_result_is_faithful(kernel: Kernel) -> None:
    low = pictures(1, 3, 12, 9)
    result = Projection((48, 36), (12, 9), kernel).project(
        pictures(1, 3, 48, 36, seed=1).double(), low.double()
    )
    assert lr_psnr(low, result.float(), kernel).item() > 130  # float32 keeps 7 digits
    assert consistency(low, result.float(), kernel).item() < 1e-8
    assert lr_psnr(low.double(), result, kernel).item() == 200


def test_equal_pictures_are_at_200_db_in_eight_bits() -> None:
    flat = torch.full((1, 3, 8, 8), 0.5)
    assert lr_psnr_eight_bits(flat[..., :2, :2], flat, PillowBicubic()).item() == 200


def test_no_picture_with_a_difference_reaches_the_number_for_infinity() -> None:
    """One level in one value of a picture of a million million."""
    errors = torch.tensor([0.0, 1 / (3 * 2**40)], dtype=torch.float64)
    none, least = decibels(errors).tolist()
    assert none == 200
    assert least < 200


@pytest.mark.parametrize("kernel", KERNELS)
def test_one_level_everywhere_is_48_13_db(kernel: Kernel) -> None:
    low = torch.full((1, 3, 4, 4), 100 / 255)
    result = torch.full((1, 3, 16, 16), 101 / 255)
    for measured in (lr_psnr, lr_psnr_eight_bits):
        assert measured(low, result, kernel).item() == pytest.approx(20 * math.log10(255), abs=1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
def test_consistency_is_lr_psnr_told_as_an_error(kernel: Kernel) -> None:
    """SR3's 2.68 is 45.7 dB."""
    low, result = pictures(3, 3, 4, 4), pictures(3, 3, 32, 32, seed=1)
    told = -10 * (consistency(low, result, kernel) * 1e-5).log10()
    torch.testing.assert_close(told, lr_psnr(low, result, kernel))
    cast = torch.full((1, 3, 16, 16), 0.5 + math.sqrt(2.68e-5), dtype=torch.float64)
    low = torch.full((1, 3, 2, 2), 0.5, dtype=torch.float64)
    assert consistency(low, cast, kernel).item() == pytest.approx(2.68)
    assert lr_psnr(low, cast, kernel).item() == pytest.approx(45.7, abs=0.05)


def test_an_input_rounded_to_eight_bits_costs_0_13() -> None:
    """A twelfth of a level squared, in [0, 1] and in units of 1e-5."""
    result = pictures(4, 3, 256, 256)
    low = resize(result, (64, 64), PillowBicubic())
    costs = consistency(eight_bit_levels(low).float() / 255, result, PillowBicubic()).mean().item()
    assert costs == pytest.approx(1e5 / (12 * 255**2), rel=0.02)


def test_a_result_smaller_than_its_input_is_refused() -> None:
    for measured in (lr_psnr, lr_psnr_eight_bits, consistency):
        with pytest.raises(ValueError, match=r"\(8, 7\) pixels is smaller than \(8, 8\)"):
            measured(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 7), PillowBicubic())


def test_a_result_of_its_inputs_size_is_not_reduced() -> None:
    low, result = pictures(2, 3, 8, 8).split(1)
    error = float((low - result).double().square().mean())
    assert float(consistency(low, result, PillowBicubic())) == pytest.approx(1e5 * error, rel=1e-9)
    assert float(lr_psnr(low, result, PillowBicubic())) == pytest.approx(-10 * math.log10(error), rel=1e-9)
    assert float(lr_psnr_eight_bits(low, low, PillowBicubic())) == 200


def test_nan_makes_the_number_of_its_image_nan_and_is_refused_in_eight_bits() -> None:
    low, result = pictures(2, 3, 4, 4), pictures(2, 3, 16, 16)
    result[1, 0, 5, 5] = math.nan
    for measured in (lr_psnr, consistency):
        assert measured(low, result, PillowBicubic()).isnan().tolist() == [False, True]
    with pytest.raises(ValueError, match="NaN"):
        lr_psnr_eight_bits(low, result, PillowBicubic())
