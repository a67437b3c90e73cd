"""`refinesr train` by several processes, which torchrun starts, as a user would."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest
import torch
from commands import Command, picture
from safetensors.torch import load_file

TINY = ("--tiny", "--precision", "fp32", "--device", "cpu", "--data", "photos")


def command(processes: int, *words: str) -> list[str]:
    """The command line, by torchrun if there are several."""
    alone = [sys.executable, "-m"]
    together = [*alone, "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    return [*(together if processes > 1 else alone), "refinesr", "train", "photo-x4-small", *TINY, *words]


def train(folder: Path, processes: int, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(processes, *words), cwd=folder, env=one_thread(), text=True, capture_output=True, timeout=300
    )


def one_thread() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


def lines(run: Path) -> list[dict[str, float]]:
    log = run / "log.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in lines(run)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photos, and a run of six updates by one process."""
    place = tmp_path_factory.mktemp("team")
    for number in range(4):
        picture(str(place / f"photos/{number}.png"), 80, 96, seed=number)
    assert train(place, 1, "-o", "one", "--set", "plan.steps=6").returncode == 0
    return place


@pytest.mark.slow
def test_two_processes_make_the_run_of_one(folder: Path) -> None:
    """Weights of float32 after six updates, and every loss; the first speaks and the other is silent."""
    ran = train(folder, 2, "-o", "two", "--set", "plan.steps=6")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("two/model.safetensors  6 updates") == 1
    assert len(ran.stdout.splitlines()) == 1
    one, two = (load_file(folder / name / "model.safetensors") for name in ("one", "two"))
    for name, values in one.items():
        torch.testing.assert_close(two[name], values, rtol=0, atol=1e-5)
    for first, second in zip(lines(folder / "one"), lines(folder / "two"), strict=True):
        assert second == pytest.approx(first, rel=1e-4)
    assert sorted(os.listdir(folder / "two")) == sorted(os.listdir(folder / "one"))


@pytest.mark.slow
def test_the_first_of_two_measures_held_out_pictures_alone(folder: Path) -> None:
    """What one process would measure, to rounding; what is learnt is the same."""
    for number in range(3):
        picture(str(folder / f"held/{number}.png"), 80, 90, seed=10 + number)
    words = ("--held-out", "held", "--set", "plan.steps=6", "--set", "plan.measure_every=2")
    found = []
    for name, processes in (("measured", 1), ("together", 2)):
        ran = train(folder, processes, "-o", name, *words)
        assert ran.returncode == 0, ran.stderr
        assert ran.stderr.count("update 0: held-out loss ") == ran.stderr.count("update 6: ") == 1
        text = (folder / name / "held_out.jsonl").read_text()
        found.append([json.loads(line) for line in text.splitlines()])
        assert (folder / name / "best.safetensors").exists()
    for one, two in zip(*found, strict=True):
        assert two.pop("pictures") == one.pop("pictures")
        assert two == pytest.approx(one, rel=1e-4)
    assert losses(folder / "measured") == losses(folder / "one")


@pytest.mark.slow
def test_a_signal_stops_all_after_the_same_update_and_one_goes_on(folder: Path) -> None:
    """The first to write knows of as many updates as its state; nobody is left at work."""
    words = ("-o", "stopped", "--set", "plan.steps=100000", "--set", "plan.save_every=100000")
    running = subprocess.Popen(
        command(2, *words), cwd=folder, env=one_thread(), stderr=subprocess.PIPE, text=True
    )
    try:
        until(lambda: losses(folder / "stopped"))
    finally:  # whatever happens, no process goes on for ever
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=120)
    assert said.count("the same command with --resume goes on") == 1
    made = len(losses(folder / "stopped"))
    assert f"terminated after update {made} of 100000" in said
    more = ("--resume", "--set", f"plan.steps={made + 2}", "--set", "plan.decay=Constant")
    copytree(folder / "stopped", folder / "copied")
    for name, processes in (("stopped", 1), ("copied", 2)):
        again = train(folder, processes, "-o", name, *more)
        assert again.returncode == 0, again.stderr
    one, two = (losses(folder / name) for name in ("stopped", "copied"))
    assert len(one) == made + 2
    assert two == pytest.approx(one, rel=1e-4)


@pytest.mark.slow
def test_what_one_process_finds_wrong_ends_all(folder: Path) -> None:
    """A batch that has no equal shares, said by each; the folder is not made."""
    ran = train(folder, 2, "-o", "odd", "--set", "plan.batch=3")
    assert ran.returncode == 1  # torchrun's own
    line = "plan.batch: 3 cannot be shared evenly among 2 processes in 1 parts each"
    assert line in ran.stderr
    assert not (folder / "odd").exists()


def until(true: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_compiling_needs_a_compiler(refinesr: Command, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "nothing-like-it")
    ran = refinesr("train", "photo-x4-small", *TINY, "--compile", "-o", "run")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "--compile: needs a C++ compiler, and there is no nothing-like-it\n"
    assert not Path("run").exists()


@pytest.mark.slow
def test_compiled_updates_are_the_same_updates(folder: Path) -> None:
    """To rounding, by kernels of another make: six updates of Muon's in float32."""
    ran = train(folder, 1, "-o", "compiled", "--compile", "--set", "plan.steps=6")
    assert ran.returncode == 0, ran.stderr
    assert losses(folder / "compiled") == pytest.approx(losses(folder / "one"), rel=1e-3)
