"""`refinesr distill` in this process, of a narrow model with random weights."""

import hashlib
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Command
from methods import FewPairs, packed, stage

import refinesr.run
import refinesr.train
from refinesr import load
from refinesr.checkpoint import save_stage
from refinesr.diffusion.levels import Few
from refinesr.diffusion.samplers import Renoised
from refinesr.diffusion.schedule import Leading
from refinesr.errors import ConfigError
from refinesr.fit import Plan, Report

SHORT = ("steps=4", "batch=2", "size=32", "preview_every=4")
SET = [word for change in SHORT for word in ("--set", f"plan.{change}")]


@pytest.fixture
def distill(refinesr: Command, photos: Path, model: str) -> Command:
    shutil.copy(model, "teacher.safetensors")
    words = ("distill", "teacher.safetensors", "--data", photos, *SET, "--precision", "fp32")
    return lambda *more: refinesr(*words, *more)


def log(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(folder, "log.jsonl").read_text().splitlines()]


def run_of(folder: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(Path(folder, "run.json").read_text())
    return data


def test_a_run_leaves_a_student_of_one_call(distill: Command, refinesr: Command) -> None:
    ran = distill("-o", "run")
    assert (ran.code, ran.err) == (0, "")
    assert re.fullmatch(r"run/model\.safetensors  4 updates, loss \d\.\d{4}, .*\n", ran.out)
    assert [line["step"] for line in log("run")] == [1, 2, 3, 4]
    assert os.listdir("run/previews") == ["0000004.png"]
    sampling = load("run").method.sampling
    assert (sampling.sampler, sampling.grid, sampling.calls) == (Renoised(), Leading((20.0,)), 1)
    assert sampling.consistent == packed(4).sampling.consistent
    assert refinesr("upscale", "photos/0.png", "-m", "run", "-o", "out.png").code == 0


def test_a_student_of_two_calls_can_be_asked_for_one(distill: Command, refinesr: Command) -> None:
    distill("-o", "run", "--calls", 2)
    assert load("run").method.levels == Few((20.0, 0.488))
    for steps in (1, 2):
        assert (
            refinesr("upscale", "photos/0.png", "-m", "run", "--steps", steps, "-o", f"{steps}.png").code == 0
        )
    assert Path("1.png").read_bytes() != Path("2.png").read_bytes()
    ran = refinesr("upscale", "photos/0.png", "-m", "run", "--steps", 3, "-o", "3.png")
    assert (ran.code, ran.err) == (2, "steps: 3 is not possible; there are levels for 1 to 2\n")


def test_it_is_told_how_the_student_was_made(distill: Command, refinesr: Command) -> None:
    words = ("--levels", 20, 1, "--teacher-steps", 5, "--set", "lesson.sampler=DPM2M")
    distill("-o", "run", *words)
    data, checksum = run_of("run"), hashlib.sha256(Path("teacher.safetensors").read_bytes()).hexdigest()
    taught = {
        "teacher": "teacher.safetensors",
        "checksum": checksum,
        "steps": 5,
        "sampler": {"kind": "DPM2M"},
    }
    assert data["lesson"] == taught
    assert data["method"]["levels"] == {"kind": "Few", "levels": [20.0, 1.0]}
    assert (data["name"], str(Path.cwd()) in json.dumps(data)) == ("teacher-in-2", False)
    card = load("run").card
    assert card.name == "teacher-in-2"
    assert card.training == (
        f"distilled from teacher.safetensors (SHA-256 {checksum}), sampled in 5 steps of DPM2M()",
        "teacher-in-2: 4 of 4 updates of 2 crops of 32 x 32 pixels",
    )
    told = refinesr("info", "run").out
    assert "Renoised(), Leading(20, 1)" in told
    assert "none: a distilled model is no denoiser" in told


def test_a_teachers_card_is_kept_but_for_its_figures(refinesr: Command, photos: Path) -> None:
    refinesr("distill", "photo-x4", "--data", photos, "-o", "run", *SET, "--set", "plan.steps=1")
    teacher, card = load("photo-x4").card, load("run").card
    assert (card.licence, card.data, card.figures) == (teacher.licence, teacher.data, ())
    assert card.training[:-2] == teacher.training


def test_a_student_begins_as_its_teacher(distill: Command) -> None:
    """With a rate of next to nothing it stays so: each weight to four digits or 1e-6."""
    distill("-o", "run", "--set", "plan.rate=1e-9")
    ours, theirs = (load(name).model.state_dict() for name in ("run", "teacher.safetensors"))
    for name, tensor in theirs.items():
        assert ours[name].allclose(tensor, rtol=1e-4, atol=1e-6)


def test_the_same_command_makes_the_same_bytes_and_the_seed_others(distill: Command) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        distill("-o", name, "--calls", 2, "--seed", seed)
    first, second, other = (Path(name, "model.safetensors").read_bytes() for name in "abc")
    assert first == second
    assert first != other
    assert log("a") == log("b")


def stopping_after(updates: int) -> Any:
    """`refinesr.train.train`, in whose course Ctrl-C comes."""
    real = refinesr.train.train

    def train(*args: Any, **options: Any) -> Iterator[Report]:
        for report in real(*args, **options):
            if report.step == updates:
                os.kill(os.getpid(), signal.SIGINT)
            yield report

    return train


def test_a_resumed_run_is_the_run_that_was_not_stopped(
    distill: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    distill("-o", "whole", "--calls", 2)
    with monkeypatch.context() as patch:
        patch.setattr(refinesr.train, "train", stopping_after(2))
        ran = distill("-o", "run", "--calls", 2)
    said = "interrupted after update 2 of 4; the same command with --resume goes on\n"
    assert (ran.code, ran.err) == (130, said)
    assert distill("-o", "run", "--calls", 2, "--resume").out.startswith("run/model.safetensors  2 updates")
    assert log("run") == log("whole")
    assert Path("run/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()


def test_a_resumed_run_keeps_its_plan_but_for_what_is_set_now(
    distill: Command, refinesr: Command, photos: Path
) -> None:
    distill("-o", "run", "--set", "plan.rate=2e-4")
    again = (
        "distill",
        "teacher.safetensors",
        "--data",
        photos,
        "-o",
        "run",
        "--resume",
        "--precision",
        "fp32",
    )
    assert refinesr(*again, "--set", "plan.steps=5").code == 0
    plan = run_of("run")["plan"]
    assert (plan["steps"], plan["rate"], plan["batch"], plan["size"]) == (5, 2e-4, 2, 32)
    assert [line["step"] for line in log("run")] == [1, 2, 3, 4, 5]


def test_another_teacher_is_not_resumed(distill: Command) -> None:
    distill("-o", "run", "--set", "plan.steps=2")
    save_stage(stage(packed(scale=4), seed=9), Path("teacher.safetensors"), overwrite=True)
    ran = distill("-o", "run", "--resume")
    assert (ran.code, ran.err) == (
        2,
        "run: holds a run of another lesson; --resume may only change the plan\n",
    )


def test_a_student_teaches_nobody_and_has_no_grid_to_search(distill: Command, refinesr: Command) -> None:
    distill("-o", "run", "--calls", 2)
    ran = refinesr("distill", "run", "--data", "photos", "-o", "more", *SET)
    said = "method.sampling.sampler: Renoised: a distilled student cannot be a teacher\n"
    assert (ran.code, ran.err) == (2, said)
    ran = refinesr("search", "run", "--data", "photos", "--steps", 2)
    said = "method.levels: Few(levels=(20.0, 0.488)) are few levels and no range: nothing to search\n"
    assert (ran.code, ran.err) == (2, said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--calls", 0], "calls: 0 is not positive"),
        (["--calls", 2, "--levels", 20], "calls: 2 is not the number of levels, 1"),
        (["--levels", 1, 20], "levels: (1.0, 20.0) must be at least one, descend and stay above 0"),
        (["--levels", 30], "levels: 30 is not above 0.05 and up to 20, as in the teacher's grid of 8 steps"),
        (["--teacher-steps", 1], "steps: 1 of a teacher leave nothing to distil; at least 2"),
        (
            ["--set", 'lesson.sampler={"kind": "Ancestral", "eta": 1.0}'],
            "--set: lesson.sampler: Ancestral(eta=1.0) draws noise; use Ancestral(0.0), Heun() or DPM2M()",
        ),
        (["--set", "lesson=null"], "lesson: a student needs one, and no other run has a teacher"),
        (
            ["--set", "method.levels=LogNormal"],
            "method.levels: LogNormal(mean=-1.2, std=1.2) are not the Few that a student is asked at",
        ),
        (
            ["--set", "method.source.encoder.blocks=3"],
            "method: source.encoder.blocks.2.norm.weight is not as in the teacher, "
            "whose copy the student begins as",
        ),
        (
            ["--set", "method.precond=Eps"],
            "method.precond: of predicted noise an error counts 20 times in the picture; "
            "use --set method.precond=Velocity; the network learns what its numbers mean anew",
        ),
    ],
)
def test_what_is_wrong_is_one_line(
    distill: Command, monkeypatch: pytest.MonkeyPatch, words: list[object], said: str
) -> None:
    """Before any photo is read."""
    monkeypatch.setattr("refinesr.data.loading_photos", None)
    ran = distill("-o", "run", *words)
    assert (ran.code, ran.out, ran.err) == (2, "", said + "\n")
    assert not Path("run").exists()


def test_a_teacher_that_is_not_there_is_named(refinesr: Command, photos: Path) -> None:
    ran = refinesr("distill", "none.safetensors", "--data", photos, "-o", "run")
    assert (ran.code, ran.err) == (2, "none.safetensors: no such file\n")


def test_a_run_and_its_teacher_come_together(tmp_path: Path) -> None:
    run = refinesr.run.Run("x", packed(4), Plan(1))
    walk = refinesr.train.train(
        run, FewPairs(run.method), tmp_path / "run", device=torch.device("cpu"), teacher=stage(packed(4))
    )
    with pytest.raises(ConfigError, match="lesson: a student needs one, and no other run has a teacher"):
        next(iter(walk))
