"""A model and photos so small that a command takes a fraction of a second; commands run in this process."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Command, Ran, picture
from methods import packed, stage

from refinesr.checkpoint import save_stage
from refinesr.cli import main


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths in a folder of its own, so that messages can be compared literally."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of a model of scale 4 with random weights."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_stage(stage(packed(scale=4)), path)
    return str(path)


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Ctrl-C is heard; a shell without job control starts what runs in the background deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def refinesr(capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*words: object) -> Ran:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def upscale(refinesr: Command, model: str) -> Command:
    return lambda *words: refinesr("upscale", "-m", model, *words)


@pytest.fixture
def photo() -> Path:
    """photo.png, 20 pixels wide and 12 high."""
    return picture("photo.png")


@pytest.fixture
def photos() -> Path:
    """A folder of three pictures of 40 x 48 pixels to learn from."""
    for number in range(3):
        picture(f"photos/{number}.png", 40, 48, seed=number)
    return Path("photos")
