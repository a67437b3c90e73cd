"""benchmarks/squeezenet.py: Caffe's file of SqueezeNet, written here byte by byte, as Caffe's has it."""

import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from squeezenets import squeezenet as made_up

from refinesr.metrics.perceptual import FEATURES, Perceptual

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import squeezenet


def varint(number):
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def chunk(number, content):
    """A field of the wire format of protocol buffers that has a length: text, a message, packed numbers."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(values):
    dims = b"".join(map(varint, values.shape))
    diff = struct.pack("<f", 9.0)  # gradients, which solvers may leave in the file
    return chunk(7, chunk(1, dims)) + chunk(5, values.astype("<f4").tobytes()) + chunk(6, diff)


def layer(name, *values):
    return chunk(
        100, chunk(1, name.encode()) + chunk(2, b"Convolution") + b"".join(chunk(7, blob(v)) for v in values)
    )


def caffemodel(weights):
    """Layers with weights, others without any, and the classifier that nobody asks for."""
    names = sorted({name.rpartition(".")[0] for name in weights})
    layers = [layer(n.replace(".", "/"), weights[f"{n}.weight"], weights[f"{n}.bias"]) for n in names]
    last = layer("conv10", np.ones((2, 512, 1, 1)), np.zeros(2))
    return chunk(1, b"SqueezeNet") + layer("data") + b"".join(layers) + last


def ran(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["squeezenet", *map(str, options)])
    squeezenet.main()


def test_the_distance_is_that_of_the_network_in_caffes_file(monkeypatch, tmp_path):
    network = made_up(tmp_path)
    high, other = torch.rand(2, 1, 3, 40, 40)
    expected = Perceptual(tmp_path)(high, other)
    (tmp_path / FEATURES).unlink()
    file = tmp_path / "squeezenet_v1.1.caffemodel"
    file.write_bytes(caffemodel({name: value.numpy() for name, value in network.state_dict().items()}))
    ran(monkeypatch, file, "-o", tmp_path)
    assert torch.equal(Perceptual(tmp_path)(high, other), expected)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xff\xff\xff", "no file of Caffe's weights"),
        (b"", "holds no weight and bias of 'conv1'; is it SqueezeNet 1.1?"),
        (layer("conv1", np.ones((2, 3))), "holds no weight and bias of 'conv1'"),
        (
            chunk(100, chunk(1, b"conv1") + 2 * chunk(7, chunk(7, chunk(1, b"\x05")) + chunk(5, bytes(8)))),
            r"conv1.weight: 2 numbers are none of shape \(5,\)",
        ),
    ],
)
def test_another_file_is_refused_by_name(monkeypatch, tmp_path, capsys, content, why):
    file = tmp_path / "some.caffemodel"
    file.write_bytes(content)
    with pytest.raises(SystemExit, match="2"):
        ran(monkeypatch, file, "-o", tmp_path)
    said = capsys.readouterr().err
    assert said.startswith(f"{file}: ")
    assert len(said.splitlines()) == 1
    assert re.search(why, said)
    assert not (tmp_path / FEATURES).exists()


def test_features_that_are_there_are_kept(monkeypatch, tmp_path, capsys):
    network = made_up(tmp_path)
    file = tmp_path / "squeezenet_v1.1.caffemodel"
    file.write_bytes(caffemodel({name: value.numpy() for name, value in network.state_dict().items()}))
    with pytest.raises(SystemExit, match="2"):
        ran(monkeypatch, file, "-o", tmp_path)
    assert capsys.readouterr().err == f"{tmp_path / FEATURES} exists; --overwrite replaces it\n"
