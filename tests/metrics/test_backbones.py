"""The networks against torchvision's tables of parameters, and what is said of files that do not fit them."""

import dataclasses
import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from refinesr.errors import CheckpointError
from refinesr.metrics.backbones import ALEXNET, SQUEEZENET, VGG16, Backbone

ALL = pytest.mark.parametrize("backbone", [ALEXNET, VGG16, SQUEEZENET], ids=lambda b: b.title)

TINY = Backbone(
    "a toy", "toy.pth", lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2)), (1,), (4,), 3
)


def stored(path: Path, backbone: Backbone, **more: Tensor) -> dict[str, Tensor]:
    """A file as torchvision's, with made-up weights."""
    torch.manual_seed(0)
    held = {f"features.{name}": value for name, value in backbone.features().state_dict().items()}
    torch.save(held | more, path)
    return held


@ALL
def test_the_parameters_are_as_many_as_torchvisions(backbone: Backbone) -> None:
    """Of the whole networks 61,100,840, 138,357,544 and 1,235,496, less those of their classifiers."""
    classifier = {
        "AlexNet": (9216 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000,
        "VGG16": (25088 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000,
        "SqueezeNet 1.1": (512 + 1) * 1000,
    }
    whole = {"AlexNet": 61_100_840, "VGG16": 138_357_544, "SqueezeNet 1.1": 1_235_496}
    with torch.device("meta"):
        network = backbone.features()
    own = sum(values.numel() for values in network.state_dict().values())
    assert own == whole[backbone.title] - classifier[backbone.title]
    assert own == {"AlexNet": 2_469_696, "VGG16": 14_714_688, "SqueezeNet 1.1": 722_496}[backbone.title]


@pytest.mark.parametrize(
    ("backbone", "names"),
    [
        (ALEXNET, ["0.weight", "3.bias", "6.weight", "8.weight", "10.bias"]),
        (VGG16, [f"{k}.weight" for k in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)]),
        (SQUEEZENET, ["0.bias", "3.squeeze.weight", "6.expand1x1.bias", "12.expand3x3.weight"]),
    ],
    ids=["alex", "vgg", "squeeze"],
)
def test_names_are_torchvisions(backbone: Backbone, names: list[str]) -> None:
    with torch.device("meta"):
        assert set(names) <= backbone.features().state_dict().keys()


@ALL
def test_maps_are_positive_as_wide_as_they_say_and_need_no_more_pixels(backbone: Backbone) -> None:
    network, images = backbone.features(), torch.zeros(2, 3, backbone.least, backbone.least + 20)
    found = list(backbone.maps(network, images))
    assert [values.shape[1] for values in found] == list(backbone.widths)
    assert all(isinstance(network[tap], nn.ReLU) or "Fire" in repr(network[tap]) for tap in backbone.taps)
    with pytest.raises(ValueError, match=f"needs {backbone.least} pixels a side"):
        next(backbone.maps(network, images[:, :, 1:]))
    with pytest.raises(RuntimeError):  # by torch: the number is not larger than it must be
        list(dataclasses.replace(backbone, least=1).maps(network, images[:, :, 1:]))


def test_weights_are_read_and_the_rest_of_the_file_is_left_alone(tmp_path: Path) -> None:
    more = {"classifier.1.weight": torch.rand(5, 9)}
    held = stored(tmp_path / "all.pth", SQUEEZENET, **more)
    network = SQUEEZENET.read(tmp_path / "all.pth")
    own = network.state_dict()
    assert {f"features.{name}" for name in own} == held.keys()
    assert all(torch.equal(value, held[f"features.{name}"]) for name, value in own.items())
    assert not any(values.requires_grad for values in network.parameters())


def test_torchs_cache_is_where_weights_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    with pytest.raises(CheckpointError, match=r"toy\.pth: no such file; .* https://download\.pytorch\.org/"):
        TINY.read()
    folder.mkdir(parents=True)
    stored(folder / "toy.pth", TINY)
    assert TINY.cached() == folder / "toy.pth"
    assert len(list(TINY.read().parameters())) == 2


def test_a_name_that_carries_a_checksum_is_checked(tmp_path: Path) -> None:
    stored(tmp_path / "toy.pth", TINY)
    digest = hashlib.sha256((tmp_path / "toy.pth").read_bytes()).hexdigest()
    right, wrong = tmp_path / f"toy-{digest[:8]}.pth", tmp_path / "toy-0123abcd.pth"
    for path in (right, wrong):
        path.write_bytes((tmp_path / "toy.pth").read_bytes())
    TINY.read(right)
    with pytest.raises(CheckpointError, match=r"toy-0123abcd\.pth: its SHA-256 does not begin with 0123abcd"):
        TINY.read(wrong)
    theirs = dataclasses.replace(TINY, file=right.name)
    assert theirs.published(right)
    assert theirs.published(tmp_path / "toy.pth")
    assert not dataclasses.replace(TINY, file=wrong.name).published(tmp_path / "toy.pth")
    assert not TINY.published(right)


def test_files_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "some.pth"
    stored(path, TINY)
    with pytest.raises(
        CheckpointError, match=r"some\.pth: features\.0\.weight is \(4, 3, 3, 3\), not \(64, 3"
    ):
        ALEXNET.read(path)
    torch.save({"features.0.weight": torch.zeros(64, 3, 11, 11)}, path)
    with pytest.raises(CheckpointError, match=r"some\.pth: holds no 'features\.0\.bias'"):
        ALEXNET.read(path)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(CheckpointError, match=r"some\.pth: holds a list, not tensors by name"):
        TINY.read(path)


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run!",)


def test_files_are_not_run_and_damaged_ones_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "some.pth"
    torch.save({"features.0.weight": Trap()}, path)
    with pytest.raises(CheckpointError, match=r"some\.pth: damaged, or no file of torch\.save"):
        TINY.read(path)
    assert capsys.readouterr().out == ""
    stored(path, TINY)
    for damaged in (path.read_bytes()[:500], b"hello", b""):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"some\.pth: damaged, or no file of torch\.save"):
            TINY.read(path)


def test_the_older_format_of_torch_is_read_too(tmp_path: Path) -> None:
    """Torchvision's AlexNet and VGG16 are of before 2020."""
    held = stored(tmp_path / "new.pth", TINY)
    torch.save(held, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(TINY.read(tmp_path / "old.pth")[0].weight, held["features.0.weight"])
