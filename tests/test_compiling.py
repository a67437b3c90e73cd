"""Networks compiled before they are trained: which, how they lie in memory, and that they answer alike."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

import refinesr
from refinesr.compiling import compile_networks
from refinesr.devices import move_to
from refinesr.model import Model
from refinesr.recipes import RECIPES, tiny

METHOD = tiny(RECIPES["photo-x4"]()).method
CPU = torch.device("cpu")


def test_only_networks_and_encoders_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source's tables are made with NumPy, which a compiler would trace for minutes."""
    done: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: done.append(self))
    model = METHOD.build()
    for device, triton in (("cpu", True), ("cuda", False), ("cuda", True)):
        assert done == []
        monkeypatch.setattr("refinesr.compiling.find_spec", lambda name, there=triton: there or None)
        compile_networks(model, torch.device(device))
    assert [name for name, module in model.named_modules() if module in done] == ["network", "source.encoder"]


def test_on_a_cpu_rows_are_contiguous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: None)
    model = METHOD.build()
    move_to(model, CPU)
    assert not any(weight.is_contiguous() for weight in kernels(model))
    compile_networks(model, CPU, wanted=True)
    assert all(weight.is_contiguous() for weight in kernels(model))


@pytest.mark.slow
@pytest.mark.parametrize("learning", [False, True])
def test_compiled_networks_answer_as_before_in_16_bits(learning: bool) -> None:
    """At this size, without gradients and with channels last, they answered with NaN.

    In a process of its own: what checks types in tests cannot be compiled.
    """
    ran = subprocess.run(
        [sys.executable, __file__, str(int(learning))], capture_output=True, text=True, timeout=280
    )
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout) < 0.02


def apart(learning: bool) -> float:
    """How far the compiled network's answer is from the plain one's, as a share of it."""
    stage = refinesr.load("photo-x4")
    model, rng = stage.model.float(), torch.Generator().manual_seed(0)
    move_to(model, CPU)
    x, features = torch.randn(4, 3, 128, 128, generator=rng), torch.randn(4, 64, 32, 32, generator=rng)

    def answer() -> Tensor:
        with torch.set_grad_enabled(learning), torch.autocast("cpu", torch.bfloat16):
            said: Tensor = model.network(5 * x, torch.linspace(-1, 2, 4), features=features)
        return said.detach().float()

    expected = answer()
    compile_networks(model, CPU, wanted=True)
    return float(torch.linalg.vector_norm(answer() - expected) / torch.linalg.vector_norm(expected))


def kernels(model: Model) -> list[Tensor]:
    """Weights whose layout can be told."""
    return [p for p in model.parameters() if p.ndim == 4 and min(p.shape) > 1]


if __name__ == "__main__":
    print(apart(bool(int(sys.argv[1]))))
