"""Networks of other projects, read by a stand-in for spandrel."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from photographs import shown
from torch import Tensor

from refinesr.errors import CheckpointError, ConfigError
from refinesr.evaluate.foreign import Foreign

CPU = torch.device("cpu")


class Nearest:
    """What spandrel's `ImageModelDescriptor` is to be called with, and what it has."""

    scale, input_channels = 4, 3

    def eval(self) -> "Nearest":
        return self

    def __call__(self, image: Tensor) -> Tensor:
        assert image.shape[:2] == (1, 3)
        assert image.dtype == torch.float32
        assert 0 <= image.min() < image.max() <= 1
        return image.repeat_interleave(4, 2).repeat_interleave(4, 3) * 1.5


@pytest.fixture
def spandrel(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """It finds a network in files that are not empty; "mask" makes it one that is not of single pictures."""

    class Loader:
        def __init__(self, device: torch.device) -> None: ...

        def load_from_file(self, path: Path) -> Any:
            text = path.read_text()
            if not text:
                raise RuntimeError("unsupported architecture")
            return object() if text == "mask" else Nearest()

    module: Any = ModuleType("spandrel")
    module.ModelLoader, module.ImageModelDescriptor = Loader, Nearest
    monkeypatch.setitem(sys.modules, "spandrel", module)
    return module


@pytest.mark.usefixtures("spandrel")
@pytest.mark.parametrize("grey", [False, True])
def test_it_is_shown_floats_and_its_result_is_clipped_and_rounded(grey: bool) -> None:
    Path("net.pth").write_text("weights")
    network, picture = Foreign.read(Path("net.pth"), CPU), shown(grey=grey)
    *_, last = network.make([picture], 4, [0], 0)
    expected = picture.low.double().mul(1.5).clamp(max=255)
    expected = expected.repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert (last.image[0].double() - expected).abs().max() <= 0.5 + 1e-3
    assert (network.scale, network.calls, network.random) == (4, 1, False)


@pytest.mark.usefixtures("spandrel")
def test_other_weights_are_other_facts() -> None:
    facts = []
    for text in ("one", "two"):
        Path("net.pth").write_text(text)
        facts.append(Foreign.read(Path("net.pth"), CPU).facts())
    assert facts[0] != facts[1]


@pytest.mark.usefixtures("spandrel")
@pytest.mark.parametrize(
    ("text", "words"), [("", "spandrel cannot read it: unsupported"), ("mask", "takes more than a picture")]
)
def test_what_it_cannot_read_is_named(text: str, words: str) -> None:
    Path("net.pth").write_text(text)
    with pytest.raises(CheckpointError, match=rf"^net\.pth: {words}"):
        Foreign.read(Path("net.pth"), CPU)


@pytest.mark.usefixtures("spandrel")
def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"^net\.pth: no such file$"):
        Foreign.read(Path("net.pth"), CPU)


def test_without_spandrel_it_is_said_what_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(ConfigError, match=r"^net\.pth: not one of our models; .* pip install spandrel"):
        Foreign.read(Path("net.pth"), CPU)
