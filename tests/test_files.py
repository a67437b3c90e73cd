"""Results appear whole or not at all, and what stands in the way is one line."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from refinesr.errors import OutputError
from refinesr.files import refuse_existing, replacing, writing


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_result_appears_when_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    with replacing(path, overwrite=False) as part:
        part.write_text("whole")
        assert names(tmp_path) == {"big.png.part"}
    assert names(tmp_path) == {"big.png"}
    assert path.read_text() == "whole"


def interrupted(path: Path, error: BaseException) -> None:
    with replacing(path, overwrite=True) as part:
        part.write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError("ours"), KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_whatever_goes_wrong_leaves_all_as_it_was(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "big.png"
    path.write_text("before")
    with pytest.raises(type(error)):
        interrupted(path, error)
    assert names(tmp_path) == {"big.png"}
    assert path.read_text() == "before"


def test_what_exists_is_replaced_only_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    path.write_text("before")
    with pytest.raises(OutputError) as caught, replacing(path, overwrite=False):
        pytest.fail("the body ran")
    assert str(caught.value) == f"{path} exists; --overwrite replaces it"
    with replacing(path, overwrite=True) as part:
        part.write_text("after")
    assert path.read_text() == "after"


def test_a_link_to_nowhere_exists(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="exists"):
        refuse_existing(tmp_path / "link", overwrite=False)


def refused(path: Path) -> str:
    with pytest.raises(OutputError) as caught, replacing(path, overwrite=True) as part:
        part.write_text("anything")
    return str(caught.value)


def test_places_where_nothing_can_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    reasons = {
        "none/a": "No such file or directory",
        "file/a": "Not a directory",
        "folder": "Is a directory",
        "x" * 300: "File name too long",
    }
    for name, reason in reasons.items():
        assert refused(tmp_path / name) == f"{tmp_path}/{name}: cannot be written: {reason}"
    assert names(tmp_path) == {"file", "folder"}


@pytest.fixture
def small_files() -> Iterator[None]:
    """Files may hold 1000 bytes: as good as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    with pytest.raises(OutputError, match="too large"), replacing(path, overwrite=False) as part:
        part.write_bytes(bytes(10_000))
    assert names(tmp_path) == set()


def test_errors_without_a_text_of_the_system_keep_their_own() -> None:
    with pytest.raises(OutputError, match="a: cannot be written: by no means"), writing(Path("a")):
        raise OSError("by no means")


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with replacing(tmp_path / "a", overwrite=False) as part:
            part.write_text("")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
