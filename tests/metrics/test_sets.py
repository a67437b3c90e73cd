"""Frechet's distance against closed forms, scipy's square root of a matrix, and numpy's moments."""

import math
import warnings
import zipfile
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from torch import Tensor, nn

from refinesr.errors import CheckpointError, OutputError
from refinesr.metrics.sets import Features, Normal, Statistics, frechet

RNG = np.random.default_rng(0)


def covariance(size: int, rank: int | None = None, seed: int = 0) -> Tensor:
    rows = np.random.default_rng(seed).standard_normal((rank or 3 * size, size))
    return torch.from_numpy(rows.T @ rows / len(rows))


def features(count: int, size: int, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal((count, size)) @ rng.standard_normal((size, size)) + 3)


def test_along_the_axes_it_is_the_distance_of_means_and_of_standard_deviations() -> None:
    """Commuting covariances: |m - m'|² + sum (s - s')²."""
    mean, other = torch.tensor([1.0, 2.0, -1.0]), torch.tensor([0.0, 2.5, 4.0])
    std, its = torch.tensor([1.0, 0.5, 2.0]), torch.tensor([3.0, 0.5, 0.1])
    expected = float((mean - other).square().sum() + (std - its).square().sum())
    found = frechet(mean, torch.diag(std**2), other, torch.diag(its**2))
    assert found == pytest.approx(expected, abs=1e-6)  # what the inputs are rounded to: float32


def test_covariances_that_do_not_commute_agree_with_scipys_square_root() -> None:
    one, other = covariance(20, seed=1), covariance(20, seed=2)
    assert not torch.allclose(one @ other, other @ one)
    expected = torch.trace(one + other).item() - 2 * np.trace(sqrtm((one @ other).numpy())).real
    zero = torch.zeros(20, dtype=torch.float64)
    assert frechet(zero, one, zero, other) == pytest.approx(expected, abs=1e-10)


def test_two_dimensions_agree_with_the_formula_by_hand() -> None:
    """The trace of the root of a 2 x 2 matrix is sqrt(trace + 2 sqrt(det))."""
    one = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    other = torch.tensor([[1.0, -0.7], [-0.7, 3.0]], dtype=torch.float64)
    product = one @ other
    root = math.sqrt(product.trace().item() + 2 * math.sqrt(torch.linalg.det(product).item()))
    zero = torch.zeros(2, dtype=torch.float64)
    assert frechet(zero, one, zero + 1, other) == pytest.approx(2 + 3 + 4 - 2 * root, abs=1e-12)


@pytest.mark.parametrize("rank", [4, 30])
def test_it_is_symmetric_and_zero_for_equal_sets(rank: int) -> None:
    """Also where there are fewer images than features: a root of a rounding error is no distance."""
    one, other, mean = covariance(30, rank, seed=1), covariance(30, rank, seed=2), torch.randn(30)
    assert frechet(mean, one, mean, one) == pytest.approx(0, abs=1e-10)
    there, back = frechet(mean, one, -mean, other), frechet(-mean, other, mean, one)
    assert there == pytest.approx(back, rel=1e-12)
    assert there > 1


@pytest.mark.parametrize("unit", [1e-8, 1e6])
def test_in_other_units_it_is_the_same(unit: float) -> None:
    """What counts as rounding goes by the covariance's own size; half of these dimensions are not spanned."""
    one, other, mean = covariance(30, 15, seed=1), covariance(30, 15, seed=2), torch.randn(30).double()
    scaled = frechet(unit * mean, unit**2 * one, -unit * mean, unit**2 * other)
    assert scaled / unit**2 == pytest.approx(frechet(mean, one, -mean, other), rel=1e-10)


def test_sets_of_gaussian_features_come_to_the_closed_form() -> None:
    """x = mean + rows of orthogonal patterns: their sample moments are exact, whatever the features."""
    q = torch.linalg.qr(torch.from_numpy(RNG.standard_normal((64, 7))))[0]
    patterns = (q - q.mean(0)).T
    white = torch.linalg.solve_triangular(
        torch.linalg.cholesky(patterns @ patterns.T), patterns, upper=False
    ).T * math.sqrt(63)
    one, other = covariance(6, seed=3), covariance(6, seed=4)
    made = [white[:, :6] @ torch.linalg.cholesky(cov).T + shift for cov, shift in ((one, 0.0), (other, 0.5))]
    expected = 6 * 0.25 + torch.trace(one + other).item() - 2 * np.trace(sqrtm((one @ other).numpy())).real
    by_statistics = Statistics.of(made[0]).frechet(Statistics.of(made[1]))
    assert by_statistics == pytest.approx(expected, abs=1e-6)
    assert Normal.fitted(made[0]).distance(Normal.fitted(made[1])) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("count", [5, 12, 100])
def test_features_alone_give_what_their_statistics_give(count: int) -> None:
    """For less images than features, as many, and more: one way goes by rows, the other by covariances."""
    one, other = features(count, 12, seed=1), features(count + 3, 12, seed=2)
    by_rows = Normal.fitted(one).distance(Normal.fitted(other))
    assert by_rows == pytest.approx(Statistics.of(one).frechet(Statistics.of(other)), rel=1e-9)


def test_statistics_are_numpys() -> None:
    rows = features(40, 5)
    found = Statistics.of(rows)
    np.testing.assert_allclose(found.mean, rows.numpy().mean(0), rtol=1e-13)
    np.testing.assert_allclose(found.covariance, np.cov(rows.numpy(), rowvar=False), rtol=1e-12)


@settings(deadline=None, max_examples=12)
@given(cuts=st.lists(st.integers(1, 59), max_size=6), order=st.randoms())
def test_batches_of_any_sizes_in_any_order_give_the_same_statistics(cuts: list[int], order: Random) -> None:
    rows = features(60, 4) + 1e4  # a mean far from 0, on which sums of squares lose their digits
    parts = [Statistics.of(part) for part in rows.tensor_split(sorted(set(cuts))) if len(part)]
    order.shuffle(parts)
    whole, merged = Statistics.of(rows), parts[0]
    for part in parts[1:]:
        merged = merged + part
    assert merged.count == 60
    torch.testing.assert_close(merged.mean, whole.mean, rtol=1e-14, atol=0)
    torch.testing.assert_close(merged.covariance, whole.covariance, rtol=1e-8, atol=1e-8)


def test_float32_features_are_summed_in_float64() -> None:
    rows = features(50, 4).float()
    assert Statistics.of(rows).mean.dtype == torch.float64
    torch.testing.assert_close(Statistics.of(rows).covariance, Statistics.of(rows.double()).covariance)


def test_one_image_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="1 image has no covariance"):
        Normal.fitted(torch.zeros(1, 4))
    with pytest.raises(ValueError, match="1 image has no covariance"):
        _ = Statistics.of(torch.zeros(1, 4)).covariance
    with pytest.raises(ValueError, match="no features"):
        Statistics.of(torch.zeros(0, 4))


# ------------------------------------------------------------------------------ saved statistics


def test_saved_statistics_come_back_and_more_can_be_added(tmp_path: Path) -> None:
    rows = features(60, 5)
    Statistics.of(rows[:40]).save(tmp_path / "some.npz")
    both = Statistics.read(tmp_path / "some.npz") + Statistics.of(rows[40:])
    assert both.count == 60
    torch.testing.assert_close(both.covariance, Statistics.of(rows).covariance, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(both.mean, Statistics.of(rows).mean, rtol=1e-13, atol=0)


def test_the_file_is_as_others_write_and_read_it(tmp_path: Path) -> None:
    """pytorch-fid: the mean and numpy's covariance, without a count."""
    rows, other = features(40, 5), features(30, 5, seed=1)
    Statistics.of(rows).save(tmp_path / "ours.npz")
    with np.load(tmp_path / "ours.npz") as ours:
        np.testing.assert_allclose(ours["mu"], rows.numpy().mean(0), rtol=1e-12)
        np.testing.assert_allclose(ours["sigma"], np.cov(rows.numpy(), rowvar=False), rtol=1e-12)
    np.savez(tmp_path / "theirs.npz", mu=rows.numpy().mean(0), sigma=np.cov(rows.numpy(), rowvar=False))
    expected = Statistics.of(rows).frechet(Statistics.of(other))
    for name in ("ours", "theirs"):
        found = Normal.read(tmp_path / f"{name}.npz").distance(Statistics.of(other).normal)
        assert found == pytest.approx(expected, rel=1e-10)
    with pytest.raises(CheckpointError, match=r"theirs\.npz: holds no count of images"):
        Statistics.read(tmp_path / "theirs.npz")


def test_statistics_are_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    Statistics.of(features(9, 3)).save(path)
    with pytest.raises(OutputError, match=r"some\.npz exists"):
        Statistics.of(features(8, 3)).save(path)
    Statistics.of(features(8, 3)).save(path, overwrite=True)
    assert Statistics.read(path).count == 8
    assert list(tmp_path.iterdir()) == [path]


def test_what_are_no_statistics_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    with pytest.raises(CheckpointError, match=r"some\.npz: no such file; it is an \.npz with mu and sigma"):
        Normal.read(path)
    for stored, message in (
        ({"x": np.zeros(3)}, "this holds neither"),
        ({"mu": np.zeros(3)}, r"this holds mu \(3,\)"),
        ({"mu": np.zeros(3), "sigma": np.zeros((3, 4))}, r"this holds mu \(3,\), sigma \(3, 4\)"),
        ({"mu": np.zeros(1), "sigma": np.zeros((1, 1)), "count": np.zeros(2)}, r"count \(2,\)"),
        ({"mu": np.array(["a"]), "sigma": np.zeros((1, 1))}, "not an .npz of numbers"),
        ({"mu": np.array([None]), "sigma": np.zeros((1, 1))}, "not an .npz of numbers"),
    ):
        np.savez(path, **stored)
        with pytest.raises(CheckpointError, match=rf"some\.npz: .*{message}"):
            Normal.read(path)
    for content in (b"hello", b""):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"some\.npz: not an \.npz of numbers"):
            Normal.read(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(CheckpointError, match=r"one\.npy: not an \.npz of numbers"):
        Normal.read(tmp_path / "one.npy")
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive, archive.open("mu.npy", "w") as file:
        claimed = {"descr": "<f8", "fortran_order": False, "shape": (2**45,)}
        np.lib.format.write_array_header_1_0(file, claimed)
    with pytest.raises(CheckpointError, match=r"huge\.npz: .*Unable to allocate"):
        Normal.read(tmp_path / "huge.npz")


# ------------------------------------------------------------------------------ the network of features


class Means(nn.Module):
    """The mean and the largest value of each channel, as they are told: 0 to 255."""

    def forward(self, x: Tensor) -> Tensor:
        values = x.float().flatten(2)
        return torch.cat([values.mean(2), values.amax(2)], 1)


class Choosing(nn.Module):
    """As StyleGAN's: features only when asked for."""

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        means = x.float().mean((2, 3), keepdim=True)
        return means if return_features else means.sum()


class Whole(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.float()


class Floats(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def scripted(module: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module).save(str(path))
    return path


def test_a_network_is_given_the_levels_of_eight_bits(tmp_path: Path) -> None:
    made = Features(scripted(Means(), tmp_path / "means.pt"))
    images = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    levels = (images * 255).round()
    expected = torch.cat([levels.mean((2, 3)), levels.amax((2, 3))], 1).double()
    torch.testing.assert_close(made(images), expected, rtol=1e-6, atol=0)
    assert torch.equal(made(levels.byte()), made(images))
    assert made(images).dtype == torch.float64


def test_grey_is_shown_as_rgb_and_other_channels_are_not_guessed(tmp_path: Path) -> None:
    made = Features(scripted(Means(), tmp_path / "means.pt"))
    grey = torch.rand(1, 1, 4, 4)
    assert torch.equal(made(grey), made(grey.expand(-1, 3, -1, -1)))
    with pytest.raises(ValueError, match="not of 2 channels"):
        made(torch.rand(1, 2, 4, 4))


def test_a_network_that_must_be_asked_for_features_is_asked(tmp_path: Path) -> None:
    made = Features(scripted(Choosing(), tmp_path / "choosing.pt"))
    assert made(torch.ones(2, 3, 4, 4)).tolist() == [[255] * 3] * 2


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Whole(), r"whole\.pt: makes \(2, 3, 4, 5\) of 2 images; features are \(B, D\)"),
        (Floats(), r"floats\.pt: cannot be called with a uint8 batch \(2, 3, 4, 5\): .*type"),
    ],
    ids=["no rows", "no bytes"],
)
def test_a_network_that_makes_no_features_is_refused(tmp_path: Path, module: nn.Module, message: str) -> None:
    made = Features(scripted(module, tmp_path / f"{type(module).__name__.lower()}.pt"))
    with pytest.raises(CheckpointError, match=message):
        made(torch.zeros(2, 3, 4, 5))


def test_what_is_no_torchscript_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pt: no such file"):
        Features(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("hello")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.pth")
    for name in ("text.pt", "weights.pth"):
        with pytest.raises(CheckpointError, match=rf"{name}: not a TorchScript file: "):
            Features(tmp_path / name)
