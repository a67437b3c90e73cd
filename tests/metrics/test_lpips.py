"""LPIPS against its definition in NumPy, with made-up weights in the published layout."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from refinesr.errors import CheckpointError
from refinesr.metrics.lpips import ALEX, LPIPS, SQUEEZE, VGG, Variant
from refinesr.metrics.perceptual import LINEAR

BOTH = pytest.mark.parametrize("variant", [ALEX, SQUEEZE], ids=lambda v: v.name)


def files(folder: Path, variant: Variant) -> tuple[Path, Path]:
    """Linear layers and features with made-up weights."""
    torch.manual_seed(0)
    features = variant.backbone.features().state_dict()
    widths = enumerate(variant.backbone.widths)
    torch.save(
        {f"lin{k}.model.1.weight": torch.rand(1, width, 1, 1) for k, width in widths}, folder / "l.pth"
    )
    torch.save({f"features.{name}": value for name, value in features.items()}, folder / "f.pth")
    return folder / "l.pth", folder / "f.pth"


def images(*size: int) -> Tensor:
    return torch.rand(2, 2, 3, *size, generator=torch.Generator().manual_seed(1))


def alexnet(x: Tensor, held: dict[str, Tensor]) -> list[Tensor]:
    """As in the paper's figure, by functions: convolution, maximum, and so on."""
    found = []
    for number, stride, padding in ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)):
        if number in (3, 6):
            x = F.max_pool2d(x, 3, 2)
        weight, bias = held[f"features.{number}.weight"], held[f"features.{number}.bias"]
        x = F.conv2d(x, weight, bias, stride, padding).relu()
        found.append(x)
    return found


def test_it_is_the_definition(tmp_path: Path) -> None:
    linear, features = files(tmp_path, ALEX)
    held, weights = torch.load(features), torch.load(linear)
    one, other = images(63, 80)
    # ImageNet's statistics, which the authors round to three digits once they are of [-1, 1]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    mean, std = ((2 * mean - 1).round(decimals=3), (2 * std).round(decimals=3))
    given = [alexnet((2 * x - 1 - mean.view(3, 1, 1)) / std.view(3, 1, 1), held) for x in (one, other)]
    expected = np.zeros(2)
    for number, maps in enumerate(zip(*given, strict=True)):
        a, b = (x.double().numpy() for x in maps)
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
        weight = weights[f"lin{number}.model.1.weight"].double().numpy()
        expected += ((a - b) ** 2 * weight).sum(1).mean((1, 2))
    np.testing.assert_allclose(LPIPS(ALEX, linear, features)(one, other), expected, rtol=1e-4)


@BOTH
def test_equal_images_are_at_0_and_it_is_symmetric(variant: Variant, tmp_path: Path) -> None:
    distance = LPIPS(variant, *files(tmp_path, variant))
    one, other = images(40, 33)
    assert distance(one, one).tolist() == [0, 0]
    torch.testing.assert_close(distance(one, other), distance(other, one))
    assert bool((distance(one, other) > 1e-3).all())


@BOTH
def test_an_image_is_compared_as_in_a_batch_of_its_own(variant: Variant, tmp_path: Path) -> None:
    distance = LPIPS(variant, *files(tmp_path, variant))
    one, other = images(40, 33)
    alone = torch.cat([distance(a[None], b[None]) for a, b in zip(one, other, strict=True)])
    torch.testing.assert_close(distance(one, other), alone, rtol=1e-4, atol=1e-7)


def test_made_up_files_are_not_called_published(tmp_path: Path) -> None:
    assert not LPIPS(SQUEEZE, *files(tmp_path, SQUEEZE)).published


def test_lpips_is_published_if_both_files_are_those(tmp_path: Path) -> None:
    linear, features = files(tmp_path, SQUEEZE)
    lines, sums = (hashlib.sha256(file.read_bytes()).hexdigest() for file in (linear, features))
    theirs = replace(SQUEEZE.backbone, file=f"squeezenet1_1-{sums[:8]}.pth")
    for backbone, checksum, published in (
        (theirs, lines, True),
        (theirs, SQUEEZE.linear, False),
        (SQUEEZE.backbone, lines, False),
    ):
        found = LPIPS(Variant("squeeze", backbone, checksum), linear, features)
        assert found.published == published
        assert found.title.endswith("not of the published weights") != published


def test_missing_files_are_named_with_where_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linear, features = files(tmp_path, ALEX)
    with pytest.raises(
        CheckpointError, match=r"none\.pth: no such file; .* vgg\.pth of https://github\.com/rich"
    ):
        LPIPS(VGG, tmp_path / "none.pth", features)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        CheckpointError, match=r"alexnet-owt-7be5be79\.pth: no such file; .* of AlexNet, https"
    ):
        LPIPS(ALEX, linear)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    linear, features = files(tmp_path, ALEX)
    with pytest.raises(
        CheckpointError, match=r"l\.pth: lin1\.model\.1\.weight is \(1, 192, 1, 1\), not \(1, 128"
    ):
        LPIPS(SQUEEZE, linear, features)
    (tmp_path / "other").mkdir()
    other, _ = files(tmp_path / "other", SQUEEZE)
    with pytest.raises(CheckpointError, match=r"f\.pth: features\.0\.weight is"):
        LPIPS(SQUEEZE, other, features)


def test_another_file_under_torchvisions_name_is_refused(tmp_path: Path) -> None:
    linear, features = files(tmp_path, ALEX)
    named = features.rename(tmp_path / ALEX.backbone.file)
    with pytest.raises(CheckpointError, match=r"its SHA-256 does not begin with 7be5be79"):
        LPIPS(ALEX, linear, named)


@pytest.mark.skipif("REFINESR_PERCEPTUAL" not in os.environ, reason="folder of perceptual weights not given")
def test_the_published_linear_layers_are_known_by_their_checksum(tmp_path: Path) -> None:
    _, features = files(tmp_path, SQUEEZE)
    distance = LPIPS(SQUEEZE, Path(os.environ["REFINESR_PERCEPTUAL"]) / LINEAR, features)
    assert min(weight.min().item() for weight in distance.weights) >= 0
    assert not distance.published  # the features are not
