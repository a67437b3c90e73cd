"""Where a model comes from: the package, a file, a folder, the Hub."""

import sys
from importlib.resources.abc import Traversable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from methods import packed, stage

from refinesr import shipped
from refinesr.cascade_files import load_cascade
from refinesr.checkpoint import save_stage
from refinesr.errors import CheckpointError
from refinesr.shipped import load

META = torch.device("meta")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and a package that ships two models."""
    package, work = tmp_path / "package", tmp_path / "work"
    package.mkdir()
    work.mkdir()
    for name in ("photo-x4", "face-x2"):
        save_stage(stage(packed(4 if name == "photo-x4" else 2)), package / f"{name}.safetensors")
    (package / "README.md").write_text("cards")
    monkeypatch.setattr(shipped, "weights_folder", lambda: package)
    monkeypatch.chdir(work)
    return work


def refused(source: str | Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_shipped_is_listed_and_loaded_by_name(here: Path) -> None:
    assert shipped.shipped_names() == ["face-x2", "photo-x4"]
    assert load("photo-x4").method.scale == 4
    assert load("face-x2").method.scale == 2


def test_a_model_is_loaded_onto_the_device_that_is_asked_for(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refinesr.shipped.device_named", {"cpu": torch.device("cpu"), "mps": META}.get)
    assert load("photo-x4").device == torch.device("cpu")
    assert load("photo-x4", device="mps").device == META
    (link,) = load_cascade("photo-x4", device="mps").links
    assert link.stage.device == META


def test_a_file_or_the_folder_of_a_run_is_loaded_by_its_path(here: Path) -> None:
    file = here / "run" / "model.safetensors"
    file.parent.mkdir()
    save_stage(stage(packed(2)), file)
    for source in (file, str(file), file.parent, "run", "run/model.safetensors"):
        assert load(source).method == packed(2)


def test_a_folder_that_happens_to_have_a_shipped_name_does_not_hide_it(here: Path) -> None:
    """But a model in it is meant."""
    (here / "photo-x4").mkdir()
    assert load("photo-x4").method.scale == 4
    save_stage(stage(packed(2)), here / "photo-x4" / "model.safetensors")
    assert load("photo-x4").method.scale == 2


def test_a_misspelt_name_is_answered_by_the_nearest(here: Path) -> None:
    known = "is no shipped model, file or folder"
    assert refused("phot-x4") == f"model: 'phot-x4' {known}; did you mean 'photo-x4'?"
    assert refused("zzz") == f"model: 'zzz' {known}; shipped are: face-x2, photo-x4"


def test_the_empty_name_is_not_this_folder(here: Path) -> None:
    save_stage(stage(packed(2)), here / "model.safetensors")
    assert refused("").startswith("model: '' is no shipped model")
    assert load(".").method == load(Path()).method == packed(2)
    with pytest.raises(CheckpointError, match=r"^model: '' is no shipped model"):
        load_cascade("")


def test_what_is_not_there_is_named(here: Path) -> None:
    (here / "empty").mkdir()
    assert refused("none.safetensors") == "none.safetensors: no such file"
    assert refused("none.pth") == "none.pth: no such file"
    assert refused("empty") == "empty/model.safetensors: no such file"
    assert refused("x" * 5000).startswith("model: 'xxxx")
    assert refused("a\nb").startswith(r"model: 'a\nb' is no shipped model")
    assert refused("../a/b").startswith("model: '../a/b' is no shipped model")


def test_any_other_file_is_opened_and_refused(here: Path) -> None:
    (here / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    assert refused("photo.jpg").startswith("photo.jpg: not a safetensors file")


def hub(monkeypatch: pytest.MonkeyPatch, answer: Path | Exception) -> list[tuple[str, str]]:
    """A Hub that answers so; what it was asked for."""
    asked: list[tuple[str, str]] = []

    def download(repository: str, file: str) -> str:
        asked.append((repository, file))
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    fake = ModuleType("huggingface_hub")
    fake.__dict__["hf_hub_download"] = download
    fake.__dict__["logging"] = SimpleNamespace(
        get_verbosity=lambda: 30,
        set_verbosity=lambda level: asked.append(("verbosity", str(level))),
        set_verbosity_error=lambda: asked.append(("verbosity", "error")),
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    return asked


def test_owner_and_name_are_a_repository_of_the_hub(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = here / "cached"
    save_stage(stage(packed(2)), cached)
    asked = hub(monkeypatch, cached)
    assert load("owner/photo-x4.v2").method == packed(2)
    quietly = [("verbosity", "error"), ("owner/photo-x4.v2", "model.safetensors"), ("verbosity", "30")]
    assert asked == quietly


@pytest.mark.parametrize("kind", [OSError, type("ProxyError", (Exception,), {})])
def test_what_the_hub_has_not_is_one_line(
    here: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    """Whatever library it asks the network by."""
    hub(monkeypatch, kind("no network\nand a long explanation"))
    nothing = "owner/name: no such file or folder, and no model.safetensors to be had from the Hub: "
    assert refused("owner/name") == nothing + "no network and a long explanation"


def test_without_its_library_the_hub_is_an_extra(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    message = refused("owner/name")
    assert message.startswith("owner/name: no such file or folder")
    assert message.endswith("pip install 'refinesr[hub]'")


def test_the_packages_own_folder_can_be_listed() -> None:
    assert isinstance(shipped.weights_folder(), Traversable)
    assert all("/" not in name for name in shipped.shipped_names())
