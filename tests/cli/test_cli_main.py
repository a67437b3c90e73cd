"""How the command line answers, whatever the verb."""

import io
import json
import os
import signal
import sys
import warnings
from pathlib import Path

import pytest
from commands import Command

from refinesr import __version__
from refinesr.cli import app, main
from refinesr.cli.messages import print_message, print_result, robust_streams, warnings_as_lines
from refinesr.cli.recipes import suggestion
from refinesr.errors import RefineSRError
from refinesr.memory import is_out_of_memory, out_of_memory_as
from refinesr.recipes import RECIPES


def test_no_arguments_show_help(refinesr: Command) -> None:
    ran = refinesr()
    assert (ran.code, ran.err) == (0, "")
    assert all(verb in ran.out for verb in ("Usage: refinesr COMMAND", "upscale", "train", "info"))


def test_version(refinesr: Command) -> None:
    assert refinesr("--version").out == f"refinesr {__version__}\n"


@pytest.mark.parametrize("verb", ["upscale", "train", "info"])
def test_each_command_has_help_with_usage_and_examples(refinesr: Command, verb: str) -> None:
    ran = refinesr(verb, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: refinesr {verb} ")
    assert f" refinesr {verb} photo-x4" in ran.out or " refinesr upscale photo.jpg" in ran.out


def test_the_help_of_train_lists_the_recipes(refinesr: Command) -> None:
    words = refinesr("train", "--help").out.replace(",", " ").replace(";", " ").split()
    assert set(RECIPES) <= set(words)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["upscale", "a.png", "--stesp", "3"], ["--stesp", "Did you mean --steps?"]),
        (["upscale", "a.png", "--device", "cudda"], ["cudda", "cpu", "cuda", "mps"]),
        (["upscale", "a.png", "--seed", "x"], ["--seed", '"x"', "int"]),
        (["upscale"], ["INPUT"]),
        (["upscale", "a.png", "-o"], ["-o"]),
        (["train", "photo-x4", "-o", "run"], ["--data"]),
        (["upscal", "a.png"], ["upscal", "upscale"]),
        (["--verison"], ["--verison"]),
    ],
)
def test_mistakes_in_the_arguments_are_one_line_with_a_hint(
    refinesr: Command, words: list[str], parts: list[str]
) -> None:
    """The words are those of cyclopts."""
    ran = refinesr(*words)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert [part for part in parts if part not in ran.err] == []


def test_an_os_error_is_one_line(refinesr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_command(tokens: list[str]) -> int:
        raise OSError(28, "No space left on device", "run/log.jsonl")

    monkeypatch.setattr(app, "run_command", run_command)
    ran = refinesr("train")
    assert (ran.code, ran.err) == (2, "run/log.jsonl: No space left on device\n")


def test_running_out_of_memory_is_one_line(refinesr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_command(tokens: list[str]) -> int:
        raise MemoryError

    monkeypatch.setattr(app, "run_command", run_command)
    ran = refinesr("info")
    assert (ran.code, ran.err) == (2, "not enough memory\n")


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_command(tokens: list[str]) -> int:
        raise RuntimeError("a bug")

    monkeypatch.setattr(app, "run_command", run_command)
    with pytest.raises(RuntimeError, match="a bug"):
        main([])


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_is_reported_whatever_a_library_turns_it_into(
    refinesr: Command, monkeypatch: pytest.MonkeyPatch, number: int, code: int, word: str
) -> None:
    """NumPy, interrupted in its import, was an AttributeError of torch."""

    def run_command(tokens: list[str]) -> int:
        try:
            os.kill(os.getpid(), number)
        except BaseException as error:
            raise AttributeError("module 'numpy' has no attribute 'iterable'") from error
        return 0

    monkeypatch.setattr(app, "run_command", run_command)
    ran = refinesr("info")
    assert (ran.code, ran.out, ran.err) == (code, "", f"{word}\n")


def test_pytorch_says_out_of_memory_with_a_runtime_error() -> None:
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert not is_out_of_memory(RuntimeError("expected 3 channels"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_only_errors_of_memory_get_the_advice() -> None:
    with pytest.raises(RefineSRError, match="buy some") as told, out_of_memory_as("buy some"):
        raise MemoryError
    assert isinstance(told.value.__cause__, MemoryError)
    with pytest.raises(RuntimeError, match="shapes"), out_of_memory_as("buy some"):
        raise RuntimeError("shapes do not match")


@pytest.mark.filterwarnings("default")
def test_warnings_are_one_line_each_and_once(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings_as_lines():
        for _ in range(2):
            warnings.warn("the grid\nstarts low", stacklevel=1)
        warnings.warn("another", stacklevel=1)
    assert capsys.readouterr().err == "warning: the grid starts low\nwarning: another\n"


def test_only_similar_names_are_suggested() -> None:
    assert suggestion("zzz", ["photo-x4"]) == ""
    assert suggestion("photo", ["photo-x4"]) == "; did you mean 'photo-x4'?"


@pytest.mark.parametrize(("encoding", "shown"), [("latin-1", "\\u65e5 \xe9"), ("utf-8", "日 é")])
def test_characters_that_stdout_cannot_encode_are_escaped(
    monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str
) -> None:
    """A batch must not end because of a name."""
    file = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(file, encoding=encoding))
    with robust_streams():
        print_result("日 é")
    assert file.getvalue().decode(encoding) == shown + "\n"


def test_messages_are_one_line_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    """Names of files are whatever their sender likes; narrow spaces are in those of screenshots."""
    name = "a\nb\x1b[2J\x9b2J\x7f 9\u202f41\u202fAM.png"
    print_result(json.dumps({"name": name}, ensure_ascii=False))
    print_result(name)
    print_message(name)
    ran = capsys.readouterr()
    first, second = ran.out.splitlines()
    assert json.loads(first) == {"name": name}
    assert second == "a\\u000ab\\u001b[2J\\u009b2J\\u007f 9\u202f41\u202fAM.png"
    assert ran.err == "a b\\u001b[2J\\u009b2J\\u007f 9 41 AM.png\n"


def test_help_is_shown_on_a_narrow_terminal_whose_encoding_lacks_its_dots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(file, encoding="ascii"))
    monkeypatch.setenv("COLUMNS", "20")
    assert main(["--help"]) == 0
    assert b"\\u2026" in file.getvalue()


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has /dev/full")
def test_a_message_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with FULL.open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stderr", full)
        with robust_streams():  # else closing the file would fail
            for _ in range(2):
                print_message("a picture is damaged")
