"""Results appear whole or not at all, what stands in the way is one line, and a folder has one worker."""

import ast
import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import pytest

from refinesr.errors import OutputError
from refinesr.files import (
    LOCK,
    case_folded,
    check_name,
    check_unlocked,
    is_case_sensitive,
    is_utf8,
    locked,
    refuse_existing,
    replacing,
    writing,
)

SOURCE = Path(__file__).parents[1] / "src" / "refinesr"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_result_appears_when_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    with replacing(path, overwrite=False) as part:
        part.write_text("whole")
        assert names(tmp_path) == {part.name}
        assert part.name.startswith(".")  # those who list pictures pass it over
    assert names(tmp_path) == {"big.png"}
    assert path.read_text() == "whole"


def test_two_writers_of_one_result_are_in_nobodys_way(tmp_path: Path) -> None:
    """The last to end is there, whole; and what others have called NAME.part stays theirs."""
    path = tmp_path / "big.png"
    (tmp_path / "theirs").write_text("theirs")
    path.with_name("big.png.part").symlink_to(tmp_path / "theirs")
    with replacing(path, overwrite=True) as one:
        one.write_text("one")
        with replacing(path, overwrite=True) as other:
            other.write_text("other, longer")
        assert path.read_text() == "other, longer"
    assert path.read_text() == "one"
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert names(tmp_path) == {"big.png", "big.png.part", "theirs"}


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    with replacing(tmp_path / ("x" * 255), overwrite=False) as part:
        part.write_text("")
    assert names(tmp_path) == {"x" * 255}


def test_a_name_that_is_too_long_is_found_out_before_its_folder_is_there(tmp_path: Path) -> None:
    check_name(tmp_path / "none" / "more" / ("x" * 255))
    for name in ("none/more/" + "x" * 256, "x" * 256):
        with pytest.raises(OutputError, match="File name too long"):
            check_name(tmp_path / name)


def test_names_that_some_file_systems_take_for_one() -> None:
    assert case_folded("Caf\u00e9.PNG") == case_folded("cafe\u0301.png") != case_folded("cafe.png")


def test_names_that_are_no_text() -> None:
    assert is_utf8("日本 é")
    assert not is_utf8(os.fsdecode(b"caf\xe9"))


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


@contextmanager
def small_files() -> Iterator[None]:
    """Files may hold 1000 bytes: as good as a full disk."""
    resource = pytest.importorskip("resource")  # not on Windows
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:  # before anything is told of the test, which may go into a larger file
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    with (
        small_files(),
        pytest.raises(OutputError, match="too large"),
        replacing(path, overwrite=False) as part,
    ):
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


HOLDING = """
import sys
from pathlib import Path
from refinesr.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    input()
print("free", flush=True)
input()
"""


@contextmanager
def holding(folder: Path, code: str = HOLDING) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a folder until it is sent a line, and ends after a second one."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], **pipes)  # type: ignore[call-overload]
    assert heard(process) == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def kept_out(folder: Path) -> str:
    with pytest.raises(OutputError) as caught, locked(folder):
        pytest.fail("two at once")
    return str(caught.value)


def test_a_folder_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    wait = "wait until it is done, or choose another folder"
    with holding(tmp_path) as process:
        assert kept_out(tmp_path) == f"{tmp_path}: another process is at work in this folder; {wait}"
        with pytest.raises(OutputError, match="another process is at work"):
            check_unlocked(tmp_path)
        go_on(process)
        assert heard(process) == "free\n"
        with locked(tmp_path):
            pass


def test_a_killed_process_is_in_nobodys_way(tmp_path: Path) -> None:
    with holding(tmp_path) as process:
        process.kill()
        process.wait()
        assert names(tmp_path) == {LOCK}
        with locked(tmp_path):
            pass


def test_children_that_were_forked_meanwhile_do_not_keep_it(tmp_path: Path) -> None:
    """Those of a loader, say: they have the same open file, which is what is locked."""
    child = "    import os\n    os.fork() or os._exit(len(sys.stdin.read()))\n"  # lives until stdin is closed
    with holding(tmp_path, HOLDING.replace("    input()\n", child)) as process:
        assert heard(process) == "free\n"
        with locked(tmp_path):
            pass


def test_one_process_does_not_hold_a_folder_twice_either(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert "another process is at work" in kept_out(tmp_path)
    with locked(tmp_path), locked(tmp_path / "other"):
        pass


def test_an_error_frees_the_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), locked(tmp_path):
        raise KeyboardInterrupt
    check_unlocked(tmp_path)


def test_holding_makes_the_folder_and_asking_makes_nothing(tmp_path: Path) -> None:
    check_unlocked(tmp_path / "a" / "b")
    assert names(tmp_path) == set()
    with locked(tmp_path / "a" / "b"):
        assert names(tmp_path / "a" / "b") == {LOCK}
    assert (tmp_path / "a" / "b" / LOCK).read_bytes() == b""


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_of_and_worked_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Lustre without its option, NFS without its daemon, some others: as what they say is simulated here."""

    def lacking(*_: object, **__: object) -> bool:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(filelock, "lock_descriptor", lacking)
    monkeypatch.setattr(filelock, "unlock_descriptor", lacking)
    said = f"the file system has no locks .{os.strerror(code)}.: nothing keeps a second process"
    with pytest.warns(UserWarning, match=said), locked(tmp_path):
        (tmp_path / "result").write_text("")


def test_folders_that_cannot_be_held_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert kept_out(tmp_path / "file") == f"{tmp_path}/file: cannot be written: File exists"
    (tmp_path / "folder" / LOCK).mkdir(parents=True)
    assert kept_out(tmp_path / "folder") == f"{tmp_path}/folder/.lock: cannot be written: Is a directory"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert kept_out(tmp_path) == f"{tmp_path}/.lock: cannot be written: Permission denied"


def reads_or_writes_text(node: ast.AST) -> bool:
    """A call of `read_text` or `write_text`, or of `open` in a text mode, whatever they are methods of."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    mode = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
    opens = node.func.attr == "open" and (not node.args or mode in ("r", "w", "a", "x", "r+", "w+"))
    return opens or node.func.attr in ("read_text", "write_text")


def test_text_is_of_one_encoding_wherever_it_is_read() -> None:
    """Never of the system's default."""
    lacking = [
        f"{file.relative_to(SOURCE)}:{node.lineno}"
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if reads_or_writes_text(node) and "encoding" not in {word.arg for word in node.keywords}
    ]
    assert lacking == []


def test_cases_are_told_apart_by_the_nearest_folder_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "Letters" / "7"
    folder.mkdir(parents=True)
    own = is_case_sensitive(folder)
    (tmp_path / "lETTERS").mkdir(exist_ok=True)  # another folder of that name is no sign, the same one is
    assert is_case_sensitive(folder / "not there yet") is own
    if own:
        monkeypatch.setattr("os.path.samefile", lambda one, other: True)
        assert not is_case_sensitive(folder)
