"""The distance against a SqueezeNet written with torch's own layers, both with the same made-up weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from squeezenets import squeezenet
from torch import Tensor, nn

from refinesr.errors import CheckpointError
from refinesr.metrics.perceptual import FEATURES, LINEAR, Perceptual


@pytest.fixture
def net(tmp_path: Path) -> nn.ModuleDict:
    return squeezenet(tmp_path)


def expected(net: nn.ModuleDict, linear: dict[str, Tensor], one: Tensor, other: Tensor) -> Tensor:
    pool, mean = nn.MaxPool2d(3, 2, ceil_mode=True), torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    stages = [
        [],
        [pool, "fire2", "fire3"],
        [pool, "fire4", "fire5"],
        [pool, "fire6"],
        ["fire7"],
        ["fire8"],
        ["fire9"],
    ]
    maps = [net["conv1"](image[:, [2, 1, 0]] * 255 - mean).relu() for image in (one, other)]
    total = torch.zeros(len(one))
    for number, stage in enumerate(stages):
        for layer in stage:
            maps = [(net[layer] if isinstance(layer, str) else layer)(x) for x in maps]
        a, b = (nn.functional.normalize(x, dim=1) for x in maps)
        total += ((a - b) ** 2 * linear[f"lin{number}.model.1.weight"]).sum(1).mean((1, 2))
    return total


@torch.no_grad()
def test_the_distance_is_that_of_torchs_own_layers(net: nn.ModuleDict, tmp_path: Path) -> None:
    one, other = torch.rand(2, 2, 3, 47, 64)
    linear = torch.load(tmp_path / LINEAR, weights_only=True)
    distance = Perceptual(tmp_path)
    torch.testing.assert_close(distance(one, other), expected(net, linear, one, other), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(distance(one, other), distance(other, one))
    assert distance(one, one).tolist() == [0, 0]


def test_gradients_reach_the_picture_and_nothing_else(net: nn.ModuleDict, tmp_path: Path) -> None:
    """As torch's own layers give them, to a thousandth of the largest."""
    distance, linear = Perceptual(tmp_path), torch.load(tmp_path / LINEAR, weights_only=True)
    one, other = torch.rand(2, 2, 3, 40, 48)
    net.requires_grad_(False)
    theirs, ours = (other.clone().requires_grad_(True) for _ in range(2))
    expected(net, linear, one, theirs).sum().backward()
    distance(one, ours).sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-3 * float(theirs.grad.abs().max()))
    assert not any(weight.requires_grad for weight in (*distance.weights.values(), *distance.linear))


def test_in_sixteen_bits_it_is_as_far(net: nn.ModuleDict, tmp_path: Path) -> None:
    """Networks may run in bf16, of 8 binary digits; maps are compared in float32."""
    distance = Perceptual(tmp_path)
    one, other = torch.rand(2, 2, 3, 40, 48)
    with torch.autocast("cpu", torch.bfloat16):
        rough = distance(one, other)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, distance(one, other), rtol=0.05, atol=0)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"squeezenet11\.npz: no such file"):
        Perceptual(tmp_path)


def test_files_that_do_not_fit_are_refused_by_name(net: nn.ModuleDict, tmp_path: Path) -> None:
    stored = {name: value.numpy() for name, value in net.state_dict().items()}
    linear = torch.load(tmp_path / LINEAR)
    torch.save({**linear, "lin3.model.1.weight": torch.ones(1, 5, 1, 1)}, tmp_path / LINEAR)
    with pytest.raises(CheckpointError, match=r"linear\.pth: lin3\.model\.1\.weight is \(1, 5, 1, 1\), not"):
        Perceptual(tmp_path)
    (tmp_path / LINEAR).write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match=r"linear\.pth: damaged"):
        Perceptual(tmp_path)
    del stored["fire9.expand3x3.bias"]
    np.savez(tmp_path / FEATURES, **stored)
    with pytest.raises(CheckpointError, match=r"squeezenet11\.npz: holds no 'fire9\.expand3x3\.bias'"):
        Perceptual(tmp_path)
    (tmp_path / FEATURES).write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match=r"squeezenet11\.npz: not an \.npz of numbers"):
        Perceptual(tmp_path)
