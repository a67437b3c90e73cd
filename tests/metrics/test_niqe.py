"""NIQE against its definition in NumPy and scipy, known distributions, and what it is for: blur and noise."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from scipy.ndimage import correlate, gaussian_filter
from scipy.special import gamma
from scipy.stats import gennorm
from torch import Tensor

from refinesr.errors import CheckpointError
from refinesr.images.resize import MatlabBicubic, dense_resize_matrix
from refinesr.metrics.niqe import BLOCK, GREY, NIQE, block_rows, fit_aggd, grey_levels


def photo(name: str) -> Tensor:
    return torch.from_numpy(getattr(skimage.data, name)()).movedim(2, 0)[None] / 255


@cache
def fitted() -> NIQE:
    """To more blocks than there are numbers, or the covariance says nothing of most directions."""
    return NIQE.fitted([photo(name) for name in ("chelsea", "coffee", "rocket")], sharp=0.1)


# ------------------------------------------------------------------------------ as written in the paper


def fit(x: np.ndarray) -> tuple[float, float, float]:
    x, shapes = x.ravel(), np.arange(0.2, 10.001, 0.001)
    left, right = np.sqrt(np.mean(x[x < 0] ** 2)), np.sqrt(np.mean(x[x > 0] ** 2))
    ratio, lean = np.mean(np.abs(x)) ** 2 / np.mean(x**2), left / right
    wanted = ratio * (lean**3 + 1) * (lean + 1) / (lean**2 + 1) ** 2
    shape = shapes[np.argmin((gamma(2 / shapes) ** 2 / gamma(1 / shapes) / gamma(3 / shapes) - wanted) ** 2)]
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * scale, right * scale


def described(block: np.ndarray) -> list[float]:
    shape, left, right = fit(block)
    found = [shape, (left + right) / 2]
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
        shape, left, right = fit(block * np.roll(block, (down, across), (0, 1)))
        found += [shape, (right - left) * gamma(2 / shape) / gamma(1 / shape), left, right]
    return found


def by_hand(grey: np.ndarray, side: int = BLOCK) -> np.ndarray:
    away = np.arange(-3, 4)
    bell = np.exp(-(away[:, None] ** 2 + away**2) / (2 * (7 / 6) ** 2))
    bell, halves = bell / bell.sum(), []
    high, wide = (size // side for size in grey.shape)
    grey = grey[: high * side, : wide * side]
    for _ in range(2):
        mean = correlate(grey, bell, mode="nearest")
        deviation = np.sqrt(np.abs(correlate(grey**2, bell, mode="nearest") - mean**2))
        flat = (grey - mean) / (deviation + 1)
        places = [(r * side, c * side) for r in range(high) for c in range(wide)]
        halves.append([described(flat[r : r + side, c : c + side]) for r, c in places])
        side //= 2
        down, across = (dense_resize_matrix(MatlabBicubic(), size, size // 2).numpy() for size in grey.shape)
        grey = down @ grey @ across.T
    return np.concatenate(halves, 1)


def test_the_rows_are_those_of_the_paper() -> None:
    image = photo("chelsea")[..., :200, :330]
    expected = by_hand(grey_levels(image)[0, 0].numpy())
    found, _ = block_rows(image)
    assert found.shape == (6, 36)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_the_distance_is_that_of_means_by_half_the_sum_of_covariances() -> None:
    niqe, image = fitted(), photo("astronaut")
    found = block_rows(image)[0].numpy()
    apart = found.mean(0) - niqe.mean.numpy()
    between = np.linalg.pinv((np.cov(found.T) + niqe.covariance.numpy()) / 2)
    assert niqe(image).item() == pytest.approx(np.sqrt(apart @ between @ apart), rel=1e-6)


def test_grey_is_matlabs_in_whole_levels() -> None:
    ntsc = np.linalg.inv([[1, 0.956, 0.621], [1, -0.272, -0.647], [1, -1.106, 1.703]])
    np.testing.assert_allclose(GREY, ntsc[0], atol=1e-14)
    image = photo("chelsea")
    found = grey_levels(image)[0, 0].numpy()
    pillow = np.asarray(Image.fromarray(skimage.data.chelsea()).convert("L"))  # the same in three digits
    assert np.abs(found - pillow).max() <= 1
    assert np.mean(found != pillow) < 0.01
    assert np.array_equal(found, found.round())
    assert torch.equal(grey_levels(grey_levels(image) / 255), grey_levels(image))


# ------------------------------------------------------------------------------ known distributions


@pytest.mark.parametrize("shape", [0.7, 1.0, 2.0, 3.5])
@pytest.mark.parametrize(("left", "right"), [(1.0, 1.0), (0.4, 1.3)])
def test_the_fit_recovers_the_distribution_of_samples(shape: float, left: float, right: float) -> None:
    """Of each side's scale times |x|, x generalised normal; a side is as frequent as its scale is large."""
    rng = np.random.default_rng(0)
    x = np.abs(gennorm.rvs(shape, size=400_000, random_state=rng))
    x = np.where(rng.random(len(x)) < left / (left + right), -left * x, right * x)
    found = [value.item() for value in fit_aggd(torch.from_numpy(x)[None])]
    np.testing.assert_allclose(found, [shape, left, right], rtol=0.02)  # a few deviations of 400,000 samples


def test_the_fit_scales_and_mirrors_with_the_values() -> None:
    x = torch.from_numpy(np.random.default_rng(0).laplace(0.2, 1.0, (3, 5000)))
    shape, left, right = fit_aggd(x)
    for found, expected in zip(fit_aggd(-7 * x), (shape, 7 * right, 7 * left), strict=True):
        torch.testing.assert_close(found, expected)


def test_zeros_are_of_neither_side_and_of_one_side_alone_the_exponent_is_the_least() -> None:
    rng = np.random.default_rng(0)
    x = rng.laplace(0.2, 1.0, 5000) * rng.integers(0, 2, 5000)
    found = [value.item() for value in fit_aggd(torch.from_numpy(x)[None])]
    np.testing.assert_allclose(found, fit(x), rtol=1e-9)
    shape, left, _ = fit_aggd(torch.from_numpy(np.abs(x))[None])
    assert (shape.item(), left.isnan().item()) == (pytest.approx(0.2), True)


def test_what_is_added_to_a_picture_changes_nothing_and_its_contrast_little() -> None:
    """The 1 beside the local deviation is all that knows the contrast: here the sixtieth part of it."""
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.integers(-50, 51, (1, 1, 192, 192)).astype(float))
    found, lighter, wider = (block_rows(x / 255)[0] for x in (noise + 60, noise + 150, 2 * noise + 120))
    torch.testing.assert_close(lighter, found, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(wider, found, rtol=0.1, atol=0.02)


def test_of_a_mirrored_picture_the_diagonals_trade_places() -> None:
    """Everything else is equal: products go around, so each pair is there from either side."""
    image = photo("astronaut")[..., :192, :288]
    found, mirrored = block_rows(image)[0], block_rows(image.flip(3))[0]
    columns = list(range(36))
    for start in (10, 28):
        columns[start : start + 8] = [*range(start + 4, start + 8), *range(start, start + 4)]
    turned = found.reshape(2, 3, 36).flip(1).reshape(6, 36)[:, columns]
    torch.testing.assert_close(mirrored, turned, rtol=1e-6, atol=1e-6)


# ------------------------------------------------------------------------------ what it is for


def blurred(image: Tensor, width: float) -> Tensor:
    return torch.from_numpy(gaussian_filter(image.numpy(), (0, 0, width, width)))


def noisy(image: Tensor, levels: float) -> Tensor:
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return (image + noise * levels / 255).clamp(0, 1)


@pytest.mark.parametrize(("damage", "amounts"), [(blurred, (1, 2, 4)), (noisy, (10, 25, 60))])
def test_it_grows_with_blur_and_with_noise(
    damage: Callable[[Tensor, float], Tensor], amounts: tuple[float, ...]
) -> None:
    image, niqe = photo("astronaut"), fitted()
    found = [niqe(x).item() for x in (image, *(damage(image, amount) for amount in amounts))]
    assert found == sorted(found)
    assert found[-1] > 1.5 * found[0]


def test_a_batch_is_judged_image_by_image() -> None:
    both = torch.cat([photo("astronaut")[..., :200, :300], photo("coffee")[..., :200, :300]])
    niqe = fitted()
    assert niqe(both).tolist() == [niqe(image[None]).item() for image in both]
    assert niqe(both).dtype == torch.float64


def test_it_is_fitted_to_the_sharp_blocks_of_each_photo() -> None:
    """Noise of known contrast, which is what the local deviation measures."""
    rng = np.random.default_rng(0)
    contrasts = np.array([[[20, 78, 100], [90, 60, 85]], [[50, 10, 40], [45, 20, 30]]])
    noise = rng.uniform(-1, 1, (2, 2 * BLOCK, 3 * BLOCK)) * contrasts.repeat(BLOCK, 1).repeat(BLOCK, 2)
    photos = torch.from_numpy(noise + 128)[:, None] / 255
    sharp = [
        block_rows(photo[None])[0][torch.from_numpy(most.ravel() > 0.75 * most.max())]
        for photo, most in zip(photos, contrasts, strict=True)
    ]
    assert [len(part) for part in sharp] == [4, 3]
    expected = torch.cat(sharp).numpy()
    for given in ([photos], [photos[:1], photos[1:]]):
        made = NIQE.fitted(given)
        np.testing.assert_allclose(made.mean.numpy(), expected.mean(0), rtol=1e-12)
        np.testing.assert_allclose(made.covariance.numpy(), np.cov(expected.T), rtol=1e-9, atol=1e-12)


def test_two_blocks_are_enough_and_one_that_is_not_flat_is_not() -> None:
    image = photo("astronaut")[..., :96, :192].clone()
    assert fitted()(image).isfinite().all()
    image[..., :96] = 0.5
    assert fitted()(image).isnan().all()


def test_flat_blocks_do_not_count_and_flat_pictures_have_no_distance() -> None:
    image = photo("astronaut")[..., :192, :288].clone()
    niqe = fitted()
    assert niqe(image * 0).isnan().all()
    image[..., :96, :96] = 0.5
    assert niqe(image).isfinite().all()


def test_too_few_pixels_and_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="two blocks of 96 x 96 pixels; the image has 191 x 191"):
        fitted()(torch.rand(1, 3, 191, 191))
    with pytest.raises(ValueError, match="not of 2 channels"):
        fitted()(torch.rand(1, 2, 192, 192))


# ------------------------------------------------------------------------------ files of parameters


def test_parameters_are_read_as_they_are_distributed(tmp_path: Path) -> None:
    niqe, path = fitted(), tmp_path / "niqe.npz"
    mean, covariance = niqe.mean.numpy()[None], niqe.covariance.numpy()
    np.savez(path, mu_pris_param=mean, cov_pris_param=covariance, gaussian_window=np.ones((7, 7)))
    image = photo("astronaut")[..., :192, :192]
    assert torch.equal(NIQE.read(path)(image), niqe(image))
    assert torch.equal(NIQE.read(str(path))(image), niqe(image))


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "niqe.npz"
    with pytest.raises(
        CheckpointError, match=r"niqe\.npz: no such file; .* niqe_pris_params\.npz of https://"
    ):
        NIQE.read(path)
    np.savez(path, mu_pris_param=np.zeros((1, 36)), cov_pris_param=np.zeros((18, 18)))
    with pytest.raises(CheckpointError, match=r"niqe\.npz: holds .*'cov_pris_param': \(18, 18\)}; NIQE's"):
        NIQE.read(path)
    np.savez(path, mu=np.zeros(36))
    with pytest.raises(CheckpointError, match=r"niqe\.npz: holds neither; NIQE's parameters are "):
        NIQE.read(path)
    path.write_text("hello")
    with pytest.raises(CheckpointError, match=r"niqe\.npz: not an \.npz of numbers"):
        NIQE.read(path)


@pytest.mark.skipif("REFINESR_NIQE" not in os.environ, reason="file of the authors' parameters not given")
def test_by_the_authors_parameters_photos_are_natural_and_blurred_or_noisy_ones_are_not() -> None:
    niqe = NIQE.read(Path(os.environ["REFINESR_NIQE"]))
    for name in ("astronaut", "chelsea", "coffee"):
        image = photo(name)
        whole, soft, rough = (niqe(x).item() for x in (image, blurred(image, 3), noisy(image, 40)))
        assert 1 < whole < 5
        assert soft > whole + 1
        assert rough > whole + 1
