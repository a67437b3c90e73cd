"""The distance against a SqueezeNet written with torch's own layers, both with the same made-up weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from refinesr.errors import CheckpointError
from refinesr.metrics.perceptual import FEATURES, LINEAR, Perceptual

FIRES = {"fire2": (64, 16, 64), "fire3": (128, 16, 64), "fire4": (128, 32, 128), "fire5": (256, 32, 128)}
FIRES |= {"fire6": (256, 48, 192), "fire7": (384, 48, 192), "fire8": (384, 64, 256), "fire9": (512, 64, 256)}


class Fire(nn.Module):
    def __init__(self, width: int, few: int, wide: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(width, few, 1)
        self.expand1x1 = nn.Conv2d(few, wide, 1)
        self.expand3x3 = nn.Conv2d(few, wide, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze1x1(x).relu()
        return torch.cat([self.expand1x1(x), self.expand3x3(x)], 1).relu()


@pytest.fixture
def net(tmp_path: Path) -> nn.ModuleDict:
    torch.manual_seed(0)
    net = nn.ModuleDict(
        {"conv1": nn.Conv2d(3, 64, 3, 2), **{name: Fire(*sizes) for name, sizes in FIRES.items()}}
    )
    np.savez(tmp_path / FEATURES, **{name: value.numpy() for name, value in net.state_dict().items()})
    widths = [64, *(2 * FIRES[name][2] for name in ("fire3", "fire5", "fire6", "fire7", "fire8", "fire9"))]
    linear = {f"lin{k}.model.1.weight": torch.rand(1, width, 1, 1) for k, width in enumerate(widths)}
    torch.save(linear, tmp_path / LINEAR)
    return net


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
