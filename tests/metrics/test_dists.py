"""DISTS against its definition in NumPy, with the weights of toy networks."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refinesr.errors import CheckpointError
from refinesr.metrics.backbones import VGG16, Backbone
from refinesr.metrics.dists import DISTS, L2Pool


def layers() -> nn.Sequential:
    first, second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU())


TOY = Backbone("a toy", "toy.pth", layers, taps=(1, 4), widths=(4, 5), least=4)


def files(folder: Path, backbone: Backbone = TOY, total: int = 12) -> tuple[Path, Path]:
    """Weights and features, made up."""
    torch.manual_seed(0)
    torch.save({name: torch.rand(1, total, 1, 1) for name in ("alpha", "beta")}, folder / "weights.pt")
    features = backbone.features().state_dict()
    torch.save({f"features.{name}": value for name, value in features.items()}, folder / "f.pth")
    return folder / "weights.pt", folder / "f.pth"


def images(*size: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    one, other = torch.rand(2, 2, 3, *size, generator=torch.Generator().manual_seed(seed))
    return one, other


def pooled(x: np.ndarray) -> np.ndarray:
    """The root of the mean of squares under a Hann window: (0.25, 0.5, 0.25) both ways, 0 outside."""
    hann = np.hanning(5)[1:-1]
    window, padded = np.outer(hann, hann) / np.outer(hann, hann).sum(), np.pad(x, [(0, 0)] * 2 + [(1, 1)] * 2)
    found = np.zeros((*x.shape[:2], (x.shape[2] + 1) // 2, (x.shape[3] + 1) // 2))
    for row in range(found.shape[2]):
        for column in range(found.shape[3]):
            around = padded[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            found[:, :, row, column] = np.sqrt((around**2 * window).sum((2, 3)) + 1e-12)
    return found


def maps(x: Tensor, held: dict[str, Tensor]) -> list[np.ndarray]:
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    weights = [held[f"features.{name}"].double() for name in ("0.weight", "0.bias", "3.weight", "3.bias")]
    one = F.conv2d(((x - mean) / std).double(), *weights[:2], padding=1).relu()
    two = F.conv2d(torch.from_numpy(pooled(one.numpy())), *weights[2:], padding=1).relu()
    return [x.double().numpy(), one.numpy(), two.numpy()]


def test_it_is_one_less_the_weighted_similarities_of_the_paper(tmp_path: Path) -> None:
    weights, features = files(tmp_path)
    held, given = torch.load(features), torch.load(weights)
    one, other = images(9, 12)
    alpha, beta = (given[name].flatten().double().numpy() for name in ("alpha", "beta"))
    total, score, small = alpha.sum() + beta.sum(), np.zeros(2), 1e-6
    cuts = list(pairwise([0, 3, 7, 12]))
    for (a, b), x, y in zip(cuts, maps(one, held), maps(other, held), strict=True):
        mx, my = x.mean((2, 3)), y.mean((2, 3))
        covariance = (x * y).mean((2, 3)) - mx * my
        texture = (2 * mx * my + small) / (mx**2 + my**2 + small)
        structure = (2 * covariance + small) / (x.var((2, 3)) + y.var((2, 3)) + small)
        score += texture @ alpha[a:b] / total + structure @ beta[a:b] / total
    found = DISTS(weights, features, backbone=TOY)(one, other)
    np.testing.assert_allclose(found, 1 - score, rtol=1e-4)


def test_equal_images_are_at_0_and_it_is_symmetric(tmp_path: Path) -> None:
    distance = DISTS(*files(tmp_path), backbone=TOY)
    one, other = images(17, 20)
    assert distance(one, one).tolist() == [0, 0]
    torch.testing.assert_close(distance(one, other), distance(other, one))
    assert bool(((distance(one, other) > 0.01) & (distance(one, other) < 1)).all())


def test_means_alone_are_compared_where_beta_is_0(tmp_path: Path) -> None:
    """Flat grey images, only the image's own channels: 1 - 2ab / (a² + b²) is 0.2 for b = 2a."""
    _, features = files(tmp_path)
    alpha = torch.zeros(1, 12, 1, 1)
    alpha[:, :3] = 7
    torch.save({"alpha": alpha, "beta": torch.zeros(1, 12, 1, 1)}, tmp_path / "w.pt")
    distance = DISTS(tmp_path / "w.pt", features, backbone=TOY)
    grey = torch.ones(1, 3, 8, 8)
    assert distance(grey * 0.3, grey * 0.6).item() == pytest.approx(0.2, abs=1e-5)  # the paper's 1e-6


def test_pixels_may_change_places_where_alpha_is_all(tmp_path: Path) -> None:
    """Texture: the same values elsewhere are no difference of means, but one of structure."""
    _, features = files(tmp_path)
    only = torch.cat([torch.ones(3), torch.zeros(9)]).view(1, 12, 1, 1)
    one, _ = images(8, 8)
    moved = one.flip(3)
    for kind, expected in (("alpha", 0.0), ("beta", 1.0)):
        torch.save(
            {"alpha": torch.zeros_like(only), "beta": torch.zeros_like(only), kind: only}, tmp_path / "w"
        )
        found = DISTS(tmp_path / "w", features, backbone=TOY)(one, moved)
        assert bool(((found - expected).abs() < (1e-6 if kind == "alpha" else 0.5)).all())


def test_pooling_keeps_the_size_of_flat_maps_and_halves_their_sides() -> None:
    """Away from the border, outside which there is 0."""
    found = L2Pool()(torch.full((1, 2, 9, 11), 0.7))
    assert found.shape == (1, 2, 5, 6)
    torch.testing.assert_close(found[:, :, 1:-1, 1:-1], torch.full((1, 2, 3, 4), 0.7))


def test_it_runs_on_vgg16_with_one_weight_for_each_of_1475_channels(tmp_path: Path) -> None:
    weights, features = files(tmp_path, VGG16, 1475)
    distance = DISTS(weights, features)
    assert [len(values) for values in distance.alpha] == [3, 64, 128, 256, 512, 512]
    assert sum(isinstance(layer, L2Pool) for layer in distance.network) == 5
    one, other = images(16, 32)
    assert distance(one, other).shape == (2,)
    assert distance(one, one).tolist() == [0, 0]
    with pytest.raises(ValueError, match="VGG16 needs 16 pixels a side"):
        distance(one[..., :15], other[..., :15])


def test_files_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    weights, features = files(tmp_path)
    with pytest.raises(CheckpointError, match=r"none\.pt: no such file; it is .* weights\.pt of https://"):
        DISTS(tmp_path / "none.pt", features, backbone=TOY)
    with pytest.raises(CheckpointError, match=r"f\.pth: holds no 'alpha'"):
        DISTS(features, features, backbone=TOY)
    torch.save({name: torch.zeros(1, 12, 1, 1) for name in ("alpha", "beta")}, weights)
    with pytest.raises(CheckpointError, match=r"weights\.pt: alpha and beta add up to 0\.0"):
        DISTS(weights, features, backbone=TOY)
