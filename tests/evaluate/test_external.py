"""Networks of other projects, read by a stand-in for spandrel, and by itself where it is installed."""

import sys
import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from methods import packed, stage
from photographs import opened, save, saved, shown
from safetensors.torch import save_file
from torch import Tensor

from refinesr.checkpoint import save_stage
from refinesr.cli import main
from refinesr.errors import CheckpointError, ConfigError, InputError
from refinesr.evaluate.external import ExternalNetwork, is_external_weights
from refinesr.evaluate.pairs import LoadedPair

CPU = torch.device("cpu")


class Nearest:
    """What spandrel's `ImageModelDescriptor` is to be called with, and what it has."""

    scale, input_channels, output_channels, purpose = 4, 3, 3, "SR"

    def __init__(self, **facts: object) -> None:
        self.__dict__.update(facts)

    def eval(self) -> "Nearest":
        return self

    def __call__(self, image: Tensor) -> Tensor:
        assert image.shape[:2] == (1, self.input_channels)
        assert image.dtype == torch.float32
        assert 0 <= image.min() < image.max() <= 1
        return image.repeat_interleave(4, 2).repeat_interleave(4, 3) * 1.5


class Failing(Nearest):
    def __call__(self, image: Tensor) -> Tensor:
        raise RuntimeError("CUDA out of memory.\nTried to allocate 3 GiB")


class Broken(Nearest):
    def __call__(self, image: Tensor) -> Tensor:
        return super().__call__(image) / 0


KINDS: dict[str, Any] = {
    "mask": object(),
    "same size": Nearest(scale=1, purpose="Restoration"),
    "grey": Nearest(input_channels=1, output_channels=1),
    "transparent": Nearest(input_channels=4, output_channels=4),
    "failing": Failing(),
    "broken": Broken(),
}
"""What the stand-in finds in a file, by its text; in other texts a network of colours."""


@pytest.fixture
def spandrel(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    class Loader:
        def __init__(self, device: torch.device) -> None: ...

        def load_from_file(self, path: Path) -> Any:
            if not (text := path.read_text()):
                raise RuntimeError  # it has no words for an architecture it does not know
            if text == "evil":
                raise RuntimeError("Global 'os.system'\nis forbidden")
            warnings.warn("in an upcoming release", UserWarning, stacklevel=1)
            return KINDS.get(text, Nearest())

    module: Any = ModuleType("spandrel")
    module.ModelLoader, module.ImageModelDescriptor = Loader, Nearest
    monkeypatch.setitem(sys.modules, "spandrel", module)
    return module


def network(text: str) -> ExternalNetwork:
    Path("net.pth").write_text(text)
    return ExternalNetwork.read(Path("net.pth"), CPU)


def result(network: ExternalNetwork, picture: LoadedPair) -> Tensor:
    *_, last = network.upscale([picture], 4, [0], 0)
    return last.image[0]


@pytest.mark.usefixtures("spandrel")
@pytest.mark.parametrize(("text", "grey"), [("weights", False), ("weights", True), ("grey", True)])
def test_it_is_shown_floats_and_its_result_is_clipped_and_rounded(text: str, grey: bool) -> None:
    foreign, picture = network(text), shown(grey=grey)
    expected = picture.low.double().mul(1.5).clamp(max=255)
    expected = expected.repeat_interleave(4, 2).repeat_interleave(4, 3)
    made = result(foreign, picture)
    assert made.shape == expected.shape
    assert (made.double() - expected).abs().max() <= 0.5 + 1e-3
    assert (foreign.scale, foreign.calls, foreign.sampled) == (4, 1, False)


@pytest.mark.usefixtures("spandrel")
def test_colours_are_not_made_grey_unasked() -> None:
    foreign = network("grey")
    foreign.check(shown(grey=True), 1)
    with pytest.raises(InputError, match=r"^nose\.png: has colours, and net\.pth takes grey pictures; "):
        foreign.check(shown(), 1)


@pytest.mark.usefixtures("spandrel")
def test_other_weights_are_other_facts() -> None:
    assert network("one").settings() != network("two").settings()


@pytest.mark.usefixtures("spandrel")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not one of our models, and spandrel cannot read it: no architecture it knows; .* convert`$"),
        ("evil", ".* spandrel cannot read it: Global 'os.system' is forbidden; .* convert`$"),
        ("mask", "takes more than a picture"),
        ("same size", "enlarges nothing; spandrel has it as a network of restoration$"),
        ("transparent", "takes 4 channels and makes 4, not 3 of 3 or 1 of 1$"),
    ],
)
def test_what_it_cannot_read_is_named(text: str, words: str) -> None:
    with pytest.raises(CheckpointError, match=rf"^net\.pth: {words}"):
        network(text)


@pytest.mark.usefixtures("spandrel")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "failing",
            r"fails on nose\.png, 10 x 12 pixels at once: CUDA out of memory\. Tried to allocate 3 GiB$",
        ),
        ("broken", r"makes NaN or infinity of nose\.png$"),
    ],
)
def test_what_fails_while_it_runs_names_the_picture(text: str, words: str) -> None:
    with pytest.raises(CheckpointError, match=rf"^net\.pth: {words}"):
        result(network(text), shown())


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
def test_a_file_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(CheckpointError, match=rf"^{name}: no such file$"):
        ExternalNetwork.read(Path(name), CPU)


def test_without_spandrel_it_is_said_what_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(ConfigError, match=r"^net\.pth: not one of our models; .* 'refinesr\[foreign\]'"):
        network("weights")


def test_a_torchvision_of_another_torch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its import raises RuntimeError."""
    Path("spandrel.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.delitem(sys.modules, "spandrel", raising=False)
    monkeypatch.syspath_prepend(Path.cwd())
    with pytest.raises(ConfigError, match=r"^net\.pth: spandrel is .*nms does not exist; its torchvision"):
        network("weights")


def test_files_of_weights_that_are_not_ours_are_told_from_ours() -> None:
    save_stage(stage(packed(scale=4)), Path("ours.safetensors"))
    weights = {"conv.weight": torch.zeros(2)}
    save_file(weights, "theirs.safetensors")
    save_file(weights, "named.safetensors", {"format": "pt"})  # as others' libraries say it
    save_file(weights, "newer.safetensors", {"format": "refinesr-2"})
    Path("broken.safetensors").write_text("nothing")
    theirs = ["theirs.safetensors", "named.safetensors", "net.pth", "net.ckpt"]
    rest = [
        "ours.safetensors",
        "newer.safetensors",
        "broken.safetensors",
        "none.safetensors",
        "photo-x4",
        ".",
    ]
    assert [is_external_weights(name) for name in theirs + rest] == [True] * 4 + [False] * 6


# -------------------------------------------------------------------------------------------- spandrel itself


@pytest.fixture
def real() -> Any:
    return pytest.importorskip("spandrel")


quiet = pytest.mark.filterwarnings("ignore")


def written(architecture: str, name: str, half: bool = False, **sizes: Any) -> Path:
    """A file of random weights of one of its architectures."""
    torch.manual_seed(0)
    module = getattr(import_module(f"spandrel.architectures.{architecture}"), architecture)(**sizes)
    weights = {key: value.half() if half else value for key, value in module.state_dict().items()}
    if name.endswith(".safetensors"):
        save_file({key: value.contiguous() for key, value in weights.items()}, name)
    else:
        torch.save({"params_ema": weights}, name)
    return Path(name)


def esrgan(name: str, channels: int = 3, scale: int = 4, half: bool = False) -> Path:
    sizes = {"in_nc": channels, "out_nc": channels, "num_filters": 8, "num_blocks": 1, "scale": scale}
    return written("ESRGAN", name, half, **sizes)


def by_hand(file: Path, low: np.ndarray) -> np.ndarray:
    """What spandrel makes of a picture of uint8 (h, w, 3)."""
    import spandrel

    image = torch.from_numpy(low.copy()).permute(2, 0, 1)[None].float() / 255
    made = spandrel.ModelLoader().load_from_file(file)(image)
    return (made * 255).round().byte()[0].permute(1, 2, 0).numpy()


@pytest.mark.usefixtures("real")
@quiet
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("architecture", ["ESRGAN", "SwinIR"])
def test_a_table_is_of_what_spandrel_makes(architecture: str, suffix: str) -> None:
    """SwinIR's windows are of 8 pixels and it wants 16: these are 12 x 9 and 13 x 21."""
    if architecture == "ESRGAN":
        file = esrgan(f"net{suffix}")
    else:
        sizes = {"img_size": 16, "window_size": 8, "embed_dim": 12, "depths": [1], "num_heads": [2]}
        sizes |= {"mlp_ratio": 2, "upscale": 4, "upsampler": "pixelshuffledirect"}
        file = written("SwinIR", f"net{suffix}", **sizes)
    saved("photos", "nose", height=48, width=36)
    saved("photos", "ear", height=52, width=84)
    assert main(["evaluate", str(file), "bicubic", "--data=photos", "--protocol=classic-y", "-o=rep"]) == 0
    for name in ("nose", "ear"):
        low = opened(f"rep/pictures/low/{name}.png")
        made = opened(f"rep/pictures/net/{name}.png")
        assert np.unique(made).size > 20  # random weights make neither black nor white
        assert (made == by_hand(file, low)).all()


@pytest.mark.usefixtures("real")
@quiet
def test_weights_of_16_bits_are_run_in_32() -> None:
    foreign = ExternalNetwork.read(esrgan("half.pth", half=True), CPU)
    assert foreign.network.dtype == torch.float32
    apart = (
        result(foreign, shown()).int() - result(ExternalNetwork.read(esrgan("net.pth"), CPU), shown()).int()
    )
    assert apart.abs().max() <= 1


@pytest.mark.usefixtures("real")
@quiet
def test_grey_pictures_are_run_by_networks_of_grey_and_of_colours() -> None:
    for channels in (1, 3):
        foreign = ExternalNetwork.read(esrgan("net.pth", channels), CPU)
        foreign.check(shown(grey=True), 1)
        assert result(foreign, shown(grey=True)).shape == (1, 1, 48, 40)


@pytest.mark.usefixtures("real")
@quiet
@pytest.mark.parametrize(
    ("file", "message"),
    [
        (lambda: esrgan("net.pth", 1), "photos/nose.png: has colours, and net.pth takes grey pictures"),
        (lambda: esrgan("net.pth", 3, 1), "net.pth: enlarges nothing; spandrel has it as a network of"),
        (
            lambda: esrgan("net.pth", 3, 2),
            "low/nose.png: 10 x 12 pixels; photos/nose.png, 40 x 48 pixels",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(file: Any, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    saved("photos", "nose")
    save("low/nose.png", opened("photos/nose.png")[::4, ::4])
    words = ["--data=photos", "--low=low", "--protocol=classic-y", "-o=rep"]
    assert main(["evaluate", str(file()), *words]) == 2
    assert capsys.readouterr().err.startswith(message)


@pytest.mark.usefixtures("real")
@quiet
def test_weights_of_no_architecture_are_told() -> None:
    save_file({"conv.weight": torch.zeros(2)}, "net.safetensors")
    with pytest.raises(CheckpointError, match=r"^net\.safetensors: .* no architecture it knows; "):
        ExternalNetwork.read(Path("net.safetensors"), CPU)
