"""What only a process of its own can show: signals, pipes, and what is imported."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from methods import packed, stage
from PIL import Image
from safetensors.torch import load_file

from refinesr.checkpoint import save_stage
from refinesr.cli import main

REFINESR = [sys.executable, "-m", "refinesr"]
STEPS = ("--tiny", "--precision", "fp32", "--set", "plan.steps=30", "--set", "plan.save_every=4")


def started(*words: object) -> subprocess.Popen[str]:
    """With Ctrl-C enabled: a test run in the background has it ignored, and so would this child."""

    def hear() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # as many threads as here: sums in another order are other sums
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*REFINESR, *map(str, words)], preexec_fn=hear, env=environment, **pipes)


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save_noise(tmp_path / "photo.png", 60, 80)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(2):
        save_noise(tmp_path / "photos" / f"{number}.png", 40, 40, number)
    return tmp_path / "photos"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_stage(stage(packed()), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def save_noise(path: Path, height: int, width: int, seed: int = 0) -> Path:
    path.parent.mkdir(exist_ok=True)
    values = np.random.default_rng(seed).integers(30, 220, (height, width, 3), dtype=np.uint8)
    Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize("words", [["--help"], ["upscale", "--help"], ["--version"], ["upscale", "--stpes"]])
def test_help_and_wrong_options_do_not_wait_for_pytorch(words: list[str]) -> None:
    code = f"import sys; from refinesr.cli import main; main({words!r}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_pipe_sees_results_and_no_bar(photo: Path, model: Path) -> None:
    code, out, err = finished(started("upscale", photo, "-m", model))
    assert (code, err) == (0, "")
    assert out.startswith(f"{photo} -> {photo.with_name('photo-x4.png')}  80 x 60 -> 320 x 240  ")
    assert out.count("\n") == 1


def test_ctrl_c_stops_a_batch_and_leaves_whole_results_only(tmp_path: Path, model: Path) -> None:
    for number in range(40):
        save_noise(tmp_path / "in" / f"{number}.png", 60, 80)
    process = started("upscale", tmp_path / "in", "-m", model, "-o", tmp_path / "out", "--steps", 4)
    wait_for(tmp_path / "out" / "0-x4.png", process)
    process.send_signal(signal.SIGINT)
    code, out, err = finished(process)
    assert (code, err) == (130, "interrupted\n")
    made = sorted((tmp_path / "out").iterdir())
    assert 0 < len(made) < 40
    assert len(made) - out.count("\n") in (0, 1)  # one may be written and not yet told
    for path in made:
        assert path.suffix == ".png"
        with Image.open(path) as image:
            assert image.size == (320, 240)


PRESSED = """
import os, runpy, signal, sys

class Pressing:
    def find_spec(self, name, *rest):
        if name == "refinesr.cli.app":
            os.kill(os.getpid(), int(sys.argv[1]))

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Pressing())
runpy.run_module("refinesr", run_name="__main__")
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_there_is_work_has_the_exit_code_of_later_ones(number: int, code: int) -> None:
    """The verbs alone take a second to be imported.  There is no traceback, either."""
    words = [sys.executable, "-c", PRESSED, str(int(number))]
    ran = subprocess.run(words, check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (code, "", "")


def test_who_stops_reading_our_output_gets_no_traceback(photo: Path, model: Path) -> None:
    process = started("upscale", photo, "-m", model)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(60) == 1
    assert photo.with_name("photo-x4.png").exists()


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_model_as_one_left_alone(tmp_path: Path, photos: Path) -> None:
    words = "train", "photo-x4", "--data", photos, *STEPS, "--set", "plan.steps=120"
    assert main([*map(str, words), "-o", str(tmp_path / "whole")]) == 0
    killed = started(*words, "-o", tmp_path / "killed")
    wait_for(tmp_path / "killed" / "state.pt", killed)
    killed.kill()
    assert finished(killed)[0] == -signal.SIGKILL
    code, out, err = finished(started(*words, "-o", tmp_path / "killed", "--resume"))
    assert (code, err) == (0, "")
    assert 0 < int(out.split()[1]) < 120
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all((one[name] == other[name]).all() for name in one)
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "killed")]
    assert logs[0] == logs[1]


def test_sigterm_saves_a_run(tmp_path: Path, photos: Path) -> None:
    words = "train", "photo-x4", "--data", photos, *STEPS, "--set", "plan.steps=3000", "-o", tmp_path / "run"
    process = started(*words)
    wait_for(tmp_path / "run" / "state.pt", process)
    process.terminate()
    code, out, err = finished(process)
    assert (code, out) == (143, "")
    steps = len((tmp_path / "run" / "log.jsonl").read_text().splitlines())
    assert err == f"terminated after update {steps} of 3000; the same command with --resume goes on\n"
    assert [path.name for path in (tmp_path / "run").iterdir() if path.suffix == ".part"] == []


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def refused(folder: Path) -> tuple[int, str, str]:
    wait = "wait until it is done, or choose another folder"
    return 2, "", f"{folder}: another process is at work in this folder; {wait}\n"


@pytest.mark.slow
def test_a_second_training_in_a_folder_is_refused_until_the_first_is_killed(
    tmp_path: Path, photos: Path
) -> None:
    run = tmp_path / "run"
    words = "train", "photo-x4", "--data", photos, *STEPS, "--set", "plan.steps=3000", "-o", run
    first = started(*words)
    wait_for(run / "state.pt", first)
    first.send_signal(signal.SIGSTOP)  # so that what changes is the second's doing
    before = contents(run)
    assert finished(started(*words, "--resume")) == refused(run)
    assert contents(run) == before
    first.kill()
    assert finished(first)[0] == -signal.SIGKILL
    made = torch.load(run / "state.pt", weights_only=True)["step"]
    code, out, err = finished(started(*words, "--resume", "--set", f"plan.steps={made}"))
    assert (code, out, err) == (0, f"{run}/model.safetensors  has made all its updates already\n", "")


@pytest.mark.slow
def test_a_second_evaluation_into_a_report_is_refused_until_the_first_is_killed(
    tmp_path: Path, photos: Path, model: Path
) -> None:
    report = tmp_path / "report"
    words = "evaluate", model, "--data", photos, "--protocol", "classic-y", "-o", report, "--device", "cpu"
    slow = started(*words, "--steps", 100, "--samples", 100)
    wait_for(report / "pictures" / "low" / "0.png", slow)
    slow.send_signal(signal.SIGSTOP)
    before = contents(report)
    assert finished(started(*words, "--overwrite")) == refused(report)
    assert contents(report) == before
    slow.kill()
    assert finished(slow)[0] == -signal.SIGKILL
    code, _, err = finished(started(*words, "--overwrite"))
    assert (code, err) == (0, "")


def in_shell(redirected: str, *words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """With streams as the shell's redirections say."""
    line = f'exec "$@" {redirected}'
    command = ["sh", "-c", line, "sh", *REFINESR, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


@pytest.mark.parametrize(
    "redirected", [*(pytest.param(one, marks=pytest.mark.slow) for one in (">&-", "2>&-")), "<&- >&- 2>&-"]
)
def test_closed_streams_are_no_reason_to_fail(photo: Path, model: Path, redirected: str) -> None:
    ran = in_shell(redirected, "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    ran = in_shell(redirected, "upscale", photo, "-m", model, "--overwrite")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert photo.with_name("photo-x4.png").exists()


FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")


@FULL
def test_mistakes_that_cannot_be_told_have_their_exit_code(tmp_path: Path, model: Path) -> None:
    ran = in_shell("2>/dev/full", "upscale", tmp_path / "nope.png", "-m", model)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", "")


@FULL
def test_a_batch_goes_on_where_nobody_can_be_told_of_a_damaged_picture(
    tmp_path: Path, photo: Path, model: Path
) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    ran = in_shell("2>/dev/full", "upscale", tmp_path / "bad.png", photo, "-m", model)
    assert (ran.returncode, ran.stdout.count("\n"), ran.stderr) == (1, 1, "")
    assert photo.with_name("photo-x4.png").exists()


def test_a_batch_goes_on_when_nobody_hears_of_a_damaged_picture(
    tmp_path: Path, photo: Path, model: Path
) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    process = started("upscale", tmp_path / "bad.png", photo, "-m", model)
    assert process.stderr is not None
    process.stderr.close()
    assert process.stdout is not None
    assert process.stdout.read().count("\n") == 1
    process.stdout.close()
    assert process.wait(60) == 1


@FULL
def test_results_that_cannot_be_told_are_one_line() -> None:
    ran = in_shell(">/dev/full", "info", "photo-x4")
    assert (ran.returncode, ran.stderr) == (2, "output: No space left on device\n")


@FULL
def test_a_search_stores_what_it_found_where_nobody_can_be_told(
    tmp_path: Path, photos: Path, model: Path
) -> None:
    """Hours of work, and `| head -1`."""
    found, told = tmp_path / "found.safetensors", tmp_path / "found.json"
    words = "search", model, "--data", photos, "--steps", 2, "--candidates", 2, "-o", found, "--json", told
    ran = in_shell(">/dev/full", *words)
    assert (ran.returncode, ran.stderr) == (2, "output: No space left on device\n")
    assert main(["info", str(found)]) == 0
    assert told.exists()
