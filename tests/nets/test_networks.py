"""What holds for every network: a frozen value that builds, any size, each image for itself, no chance."""

import dataclasses
import importlib
import inspect
import pkgutil
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import refinesr.nets
from refinesr.nets.adm_unet import ADMUNet
from refinesr.nets.packed_unet import PackedUNet
from refinesr.nets.rrdb import RRDB, RRDBNetwork
from refinesr.nets.sr3_unet import BigGAN, SR3UNet, TimeStep
from refinesr.nets.srdiff_unet import SRDiffUNet
from refinesr.nets.tiny import Tiny

SR3 = SR3UNet(width=8, multipliers=(1, 2, 2), blocks=1, attention=(4,), size=16, groups=4, dropout=0.2)
SMALL = [
    Tiny(),
    Tiny(image_channels=0, width=4),
    Tiny(features=5, scale=2),
    SR3,
    dataclasses.replace(SR3, image_channels=0),
    dataclasses.replace(SR3, embedding=TimeStep()),
    dataclasses.replace(SR3, layout=BigGAN(), vector=5),
    SRDiffUNet(features=5, width=4, multipliers=(1, 2, 2), scale=2),
    RRDBNetwork(RRDB(width=4, growth=2, blocks=2, scale=2)),
    ADMUNet(width=8, multipliers=(1, 2, 2), blocks=1, attention=(4,), head_channels=4, groups=4, dropout=0.2),
    ADMUNet(image_channels=0, width=8, multipliers=(1, 2), attention=(), head_channels=0, groups=4, vector=3),
    PackedUNet(scale=2, features=5, widths=(8, 8, 16), blocks=(1, 1, 1), embedding=8),
]
every_network = pytest.mark.parametrize("value", SMALL, ids=lambda value: type(value).__name__)


def built(value: Any, seed: int = 0) -> nn.Module:
    """With random weights, also where training begins at zero."""
    torch.manual_seed(seed)
    network: nn.Module = value.build().eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network


Arguments = dict[str, Tensor]


def called(value: Any, network: nn.Module, batch: int, height: int, width: int) -> tuple[Tensor, Arguments]:
    """The output and what it came from; sides are rounded up to multiples of the value's scale."""
    rng, scale = torch.Generator().manual_seed(height * 100 + width), getattr(value, "scale", 1)
    low = -(-height // scale), -(-width // scale)
    high = low[0] * scale, low[1] * scale
    arguments = {
        "x": torch.randn(batch, value.channels, *high, generator=rng),
        "label": torch.rand(batch, generator=rng),
    }
    if getattr(value, "image_channels", 0):
        arguments["image"] = torch.randn(batch, value.image_channels, *high, generator=rng)
    if getattr(value, "features", 0):
        arguments["features"] = torch.randn(batch, value.features, *low, generator=rng)
    if getattr(value, "vector", 0):
        arguments["vector"] = torch.randn(batch, value.vector, generator=rng)
    with torch.inference_mode():
        return network(**arguments), arguments


def values_in_nets() -> set[type]:
    """Every dataclass of the package that builds a denoiser: its module's forward takes a label."""
    names = [f"refinesr.nets.{module.name}" for module in pkgutil.iter_modules(refinesr.nets.__path__)]
    modules = [importlib.import_module(name) for name in names]
    classes = {c for module in modules for _, c in inspect.getmembers(module, inspect.isclass)}
    return {c for c in classes if dataclasses.is_dataclass(c) and hasattr(c, "build") and denoises(c)}


def denoises(value: type) -> bool:
    with torch.device("meta"):
        return "label" in inspect.signature(value().build().forward).parameters


def test_every_network_has_a_small_example_in_this_file() -> None:
    assert {value.__name__ for value in values_in_nets()} == {type(value).__name__ for value in SMALL}


@every_network
def test_a_network_is_a_frozen_value_that_builds_the_same_keys_each_time(value: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.channels = 1
    assert hash(value) == hash(dataclasses.replace(value))
    assert value.stride >= 1
    assert value.reach is None or value.reach >= 0
    assert list(value.build().state_dict()) == list(value.build().state_dict())


@every_network
@settings(max_examples=12, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_any_size_comes_back_as_it_went_in_and_finite(value: Any, height: int, width: int) -> None:
    y, arguments = called(value, built(value), 1, height, width)
    assert y.shape == arguments["x"].shape
    assert y.isfinite().all()


@every_network
def test_what_becomes_of_an_image_does_not_depend_on_the_others_in_its_batch(value: Any) -> None:
    """Up to the order of summation, which kernels choose by the size of the batch."""
    network = built(value)
    together, arguments = called(value, network, 3, 13, 18)
    with torch.inference_mode():
        alone = [network(**{name: a[i : i + 1] for name, a in arguments.items()}) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4 * float(together.abs().max()))
    assert not torch.equal(together[0], together[1])


@every_network
def test_the_default_type_of_tensors_is_not_the_networks(value: Any) -> None:
    network = built(value)
    expected, arguments = called(value, network, 1, 8, 9)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode():
            assert torch.equal(network(**arguments), expected)
    finally:
        torch.set_default_dtype(torch.float32)


@every_network
def test_the_same_call_gives_the_same_bits(value: Any) -> None:
    network = built(value)
    assert torch.equal(called(value, network, 2, 9, 14)[0], called(value, network, 2, 9, 14)[0])
    assert torch.equal(called(value, network, 2, 9, 14)[0], called(value, built(value), 2, 9, 14)[0])
