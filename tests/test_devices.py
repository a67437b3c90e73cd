"""Names of devices and precisions: what they mean, and what is said of those that mean nothing; seeds."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import torch

from refinesr.devices import (
    DEVICES,
    PRECISIONS,
    autocast_dtype,
    device_named,
    fold_seed,
    move_to,
    seeded_generators,
)
from refinesr.errors import ConfigError

CPU = torch.device("cpu")


def test_auto_is_a_device_that_works() -> None:
    assert torch.ones(2, device=device_named("auto")).sum() == 2


def test_a_module_put_on_a_device_has_its_channels_last() -> None:
    module = torch.nn.Conv2d(3, 4, 3)
    move_to(module, CPU)
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


class Generators:
    """Stands in for `torch.cuda` or `torch.mps`: a number for each device."""

    def __init__(self) -> None:
        self.states = {0: 10, 1: 11}
        self.current = 0

    def get_rng_state(self, device: torch.device) -> int:
        return self.states[device.index or 0]

    def set_rng_state(self, state: int, device: torch.device) -> None:
        self.states[device.index or 0] = state

    def manual_seed(self, seed: int) -> None:
        self.states[self.current] = seed

    def manual_seed_all(self, seed: int) -> None:
        self.states = dict.fromkeys(self.states, seed)

    @contextmanager
    def device(self, device: torch.device) -> Iterator[None]:
        before, self.current = self.current, device.index or 0
        yield
        self.current = before


@pytest.fixture
def generators(monkeypatch: pytest.MonkeyPatch) -> dict[str, Generators]:
    """Of devices that are not there."""
    made = {"cuda": Generators(), "mps": Generators()}
    for name, module in made.items():
        for part in ("get_rng_state", "set_rng_state", "manual_seed", "device"):
            monkeypatch.setattr(getattr(torch, name), part, getattr(module, part), raising=False)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", made["cuda"].manual_seed_all)
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: False)
    return made


@pytest.mark.parametrize(
    ("device", "cuda", "mps"),
    [
        ("cpu", {0: 10, 1: 11}, {0: 10, 1: 11}),
        ("meta", {0: 10, 1: 11}, {0: 10, 1: 11}),
        ("cuda", {0: 5, 1: 11}, {0: 10, 1: 11}),
        ("cuda:1", {0: 10, 1: 5}, {0: 10, 1: 11}),
        ("mps", {0: 10, 1: 11}, {0: 5, 1: 11}),
    ],
)
@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_generators_are_lent_and_put_back_and_no_others_touched(
    generators: dict[str, Generators],
    device: str,
    cuda: dict[int, int],
    mps: dict[int, int],
    error: type[BaseException] | None,
) -> None:
    torch.manual_seed(1)
    for module in generators.values():
        module.states = {0: 10, 1: 11}
    mine = torch.get_rng_state()
    with suppress(KeyboardInterrupt), seeded_generators(torch.device(device), 5):
        drawn = torch.rand(3)
        assert (generators["cuda"].states, generators["mps"].states) == (cuda, mps)
        if error:
            raise error
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(5)))
    assert torch.equal(torch.get_rng_state(), mine)
    assert all(module.states == {0: 10, 1: 11} for module in generators.values())


def test_folded_seeds_have_32_bits_of_all_they_had() -> None:
    assert [fold_seed(seed) for seed in (0, 1, 2**32 - 1)] == [0, 1, 2**32 - 1]
    long = [fold_seed(place + 2**bit) for place in (0, 1, 5) for bit in range(32, 63)]
    assert len(set(long)) == len(long)
    assert all(0 <= seed < 2**32 for seed in long)
