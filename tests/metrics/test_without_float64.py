"""MPS has no float64: what is exact is made on the CPU, and cast there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from methods import normal
from torch import Tensor
from torch.utils._pytree import tree_map_only

from refinesr.images.resize import PillowBicubic
from refinesr.metrics.classification import Classifier, ProbabilitySums, error_rates
from refinesr.metrics.fidelity import lr_psnr, lr_psnr_eight_bits
from refinesr.metrics.kid import KID, mmd
from refinesr.metrics.pixel import mse, to_float64
from refinesr.metrics.sets import Normal, Statistics
from refinesr.metrics.torchscript import ScriptNetwork


class OnMPS(Tensor):
    """Computes on the CPU, says it is on MPS, and is never float64."""

    inner: Tensor
    device = torch.device("mps")

    @staticmethod
    def __new__(cls, inner: Tensor) -> "OnMPS":
        if inner.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as MPS doesn't support float64")
        made = Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device="meta")
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, op: Any, kinds: Any, given: Any = (), named: Any = None) -> Any:
        named = named or {}
        inside = dict(named)
        leaves = str(inside.get("device")) == "cpu"
        if "device" in inside:
            inside["device"] = "cpu"
        if leaves and inside.get("dtype") == torch.float64:  # PyTorch casts first, and copies then
            OnMPS(torch.empty(0, dtype=torch.float64))
        given, inside = tree_map_only(OnMPS, lambda x: x.inner, (given, inside))
        made = op(*given, **inside)
        return made if leaves else tree_map_only(Tensor, OnMPS, made)


def rows(count: int = 6, seed: int = 0) -> Tensor:
    return normal(count, 4, seed=seed)


def script(made: Tensor) -> Tensor:
    """Without a file: TorchScript takes no subclasses of tensors."""
    network = object.__new__(ScriptNetwork)
    network.path, network.device, network.makes, network.options = Path("a.pt"), CPU, "features", {}
    network.module = lambda images: made
    return network(PICTURES)


def classified(made: Tensor) -> Tensor:
    return Classifier(lambda images: made, CPU, (0.0,) * 3, (1.0,) * 3, None, "known")(PICTURES)


CPU = torch.device("cpu")
PICTURES = normal(2, 3, 4, 4).sigmoid()
LARGE = normal(2, 3, 8, 8, seed=1).sigmoid()
ALL: dict[str, tuple[Callable[..., Any], list[Tensor]]] = {
    "Guesses": (lambda x: ProbabilitySums.of(x).total, [rows().softmax(1)]),
    "error_rates": (lambda x: torch.tensor(error_rates(x, torch.zeros(6).long(), top=(1, 2))), [rows()]),
    "mmd": (mmd, [rows(), rows(7, 1)]),
    "KID": (lambda *x: torch.tensor(KID(2, 4)(*x)), [rows(), rows(7, 1)]),
    "Normal.fitted": (lambda x: Normal.fitted(x).root, [rows()]),
    "Normal.of": (lambda *x: Normal.of(*x).root, [rows(1)[0], torch.eye(4)]),
    "Statistics": (lambda x: Statistics.of(x).scatter, [rows()]),
    "precise": (to_float64, [rows()]),
    "mse": (mse, [PICTURES, PICTURES.flip(0)]),
    "lr_psnr": (lambda *x: lr_psnr(*x, PillowBicubic()), [PICTURES, LARGE]),
    "lr_psnr_eight_bits": (lambda *x: lr_psnr_eight_bits(*x, PillowBicubic()), [PICTURES, LARGE]),
    "Script": (script, [rows(2)]),
    "Classifier": (classified, [rows(2)]),
}


@pytest.mark.parametrize("name", ALL)
def test_what_is_on_mps_is_measured_as_it_is_on_the_cpu(name: str) -> None:
    measure, given = ALL[name]
    found = measure(*map(OnMPS, given))
    assert found.device.type == "cpu"
    assert torch.equal(found, measure(*given))


def test_the_stand_in_is_as_awkward_as_mps() -> None:
    for refused in (lambda x: x.double(), lambda x: x.to("cpu", torch.float64)):
        with pytest.raises(TypeError, match="float64"):
            refused(OnMPS(rows()))
    assert OnMPS(rows()).cpu().double().dtype == torch.float64
    assert OnMPS(rows()).device.type == "mps"
