"""Names of devices and precisions: what they mean here, and what is said of those that mean nothing."""

import pytest
import torch

from refinesr.devices import DEVICES, PRECISIONS, autocast_dtype, device_named, put_on
from refinesr.errors import ConfigError

CPU = torch.device("cpu")


def test_auto_is_a_device_that_works() -> None:
    assert torch.ones(2, device=device_named("auto")).sum() == 2


def test_a_module_put_on_a_device_has_its_channels_last() -> None:
    module = torch.nn.Conv2d(3, 4, 3)
    put_on(module, CPU)
    assert module.weight.is_contiguous(memory_format=torch.channels_last)


def test_auto_prefers_cuda_then_mps_then_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device_named("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_named("auto").type == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert device_named("auto").type == "cpu"


@pytest.mark.parametrize("name", ["gpu", "", "meta", "cuda:999", "CPU"])
def test_a_device_that_is_not_there_is_refused_with_those_that_may_be(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        device_named(name)
    text = str(caught.value)
    assert text.startswith(f"device: '{name}' cannot be used here; one of {', '.join(DEVICES)}")
    assert "\n" not in text


def test_precisions_are_dtypes_of_autocast() -> None:
    assert autocast_dtype("fp32", CPU) is None
    assert autocast_dtype("bf16", CPU) is torch.bfloat16
    assert autocast_dtype("auto", CPU) in (None, torch.bfloat16)
    assert autocast_dtype("auto", torch.device("mps")) is None


@pytest.mark.parametrize(("known", "dtype"), [({}, None), ({"amx_bf16": True}, torch.bfloat16)])
def test_auto_is_bf16_where_the_processor_multiplies_in_it(
    monkeypatch: pytest.MonkeyPatch, known: dict[str, bool], dtype: torch.dtype | None
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    assert autocast_dtype("auto", CPU) is dtype


@pytest.mark.parametrize(("capability", "dtype"), [((7, 5), None), ((8, 0), torch.bfloat16)])
def test_auto_is_bf16_on_gpus_since_ampere(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype | None
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert autocast_dtype("auto", torch.device("cuda")) is dtype


def test_fp16_is_not_offered() -> None:
    with pytest.raises(ConfigError) as caught:
        autocast_dtype("fp16", CPU)
    assert str(caught.value) == f"precision: 'fp16' is not one of {', '.join(PRECISIONS)}"
