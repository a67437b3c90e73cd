"""`refinesr train` in this process, with --tiny."""

import json
import os
import re
import signal
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Command, picture
from safetensors.torch import load_file

import refinesr.train
from refinesr.cli.signals import signals_recorded
from refinesr.fit import Report
from refinesr.process_group import ProcessGroup

SIGNALS = [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
TINY = ("--tiny", "--set", "plan.steps=6", "--precision", "fp32")


@pytest.fixture
def train(refinesr: Command, photos: Path) -> Command:
    return lambda *words: refinesr("train", "photo-x4", "--data", photos, *TINY, *words)


def log(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(folder, "log.jsonl").read_text().splitlines()]


def test_a_run_leaves_a_model_a_log_and_a_preview(train: Command) -> None:
    ran = train("-o", "run")
    assert (ran.code, ran.err) == (0, "")
    pattern = r"run/model\.safetensors  6 updates, loss \d\.\d{4}, [\d.]+ images/s, [\d.]+ s\n"
    assert re.fullmatch(pattern, ran.out)
    assert [line["step"] for line in log("run")] == [1, 2, 3, 4, 5, 6]
    assert os.listdir("run/previews") == ["0000006.png"]


def test_the_model_can_be_used_at_once(train: Command, refinesr: Command) -> None:
    train("-o", "run")
    assert refinesr("upscale", "photos/0.png", "-m", "run", "-o", "out.png").code == 0


def test_the_seed_decides_everything(train: Command) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train("-o", name, "--seed", seed)
    weights = [load_file(f"{name}/model.safetensors")["network.stem.weight"] for name in "abc"]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert log("a") == log("b")


def test_tiny_comes_before_set(train: Command) -> None:
    train("-o", "run", "--set", "plan.batch=2", "--set", "method.precond=Velocity")
    run = json.loads(Path("run/run.json").read_text())
    assert (run["plan"]["batch"], run["plan"]["steps"], run["plan"]["size"]) == (2, 6, 32)
    assert run["method"]["precond"] == {"kind": "Velocity"}


def test_several_folders_follow_data(refinesr: Command, photos: Path) -> None:
    ran = refinesr("train", "photo-x4", "--data", photos, photos, *TINY, "-o", "run")
    assert ran.code == 0


def test_photos_left_out_are_told(train: Command) -> None:
    ran = train("-o", "run", "--set", "plan.size=40")
    assert "left out" not in ran.out
    picture("photos/small.png", 39, 100)
    ran = train("-o", "more", "--set", "plan.size=40")
    assert ran.out.endswith("(1 of 4 photos left out: a side below 40 pixels)\n")


def stopping_after(updates: int, number: int) -> Any:
    """`refinesr.train.train`, in whose course a signal comes."""
    real = refinesr.train.train

    def train(*args: Any, **options: Any) -> Iterator[Report]:
        for report in real(*args, **options):
            if report.step == updates:
                os.kill(os.getpid(), number)
            yield report

    return train


@pytest.mark.parametrize(("number", "code", "word"), SIGNALS)
def test_a_signal_ends_the_update_and_saves_and_resume_goes_on(
    train: Command, monkeypatch: pytest.MonkeyPatch, number: int, code: int, word: str
) -> None:
    train("-o", "whole")
    with monkeypatch.context() as patch:
        patch.setattr(refinesr.train, "train", stopping_after(3, number))
        ran = train("-o", "run")
    message = f"{word} after update 3 of 6; the same command with --resume goes on\n"
    assert (ran.code, ran.out, ran.err) == (code, "", message)
    assert [line["step"] for line in log("run")] == [1, 2, 3]
    assert train("-o", "run", "--resume").out.startswith("run/model.safetensors  3 updates, loss ")
    assert log("run") == log("whole")
    assert Path("run/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()


def added() -> None:
    picture("photos/3.png", 40, 48)


def renamed() -> None:
    Path("photos/1.png").rename("photos/4.png")


def of_another_size() -> None:
    picture("photos/1.png", 40, 49)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("change", [added, renamed, of_another_size])
def test_a_run_that_goes_on_with_other_photos_says_so_once(
    train: Command, change: Callable[[], None]
) -> None:
    train("-o", "run")
    change()
    ran = train("-o", "run", "--resume", "--set", "plan.steps=8")
    message = (
        "warning: data: not the photos that the run was saved with, by their names and sizes; "
        "it goes on with these, and other updates than it would have made\n"
    )
    assert (ran.code, ran.err) == (0, message)
    ran = train("-o", "run", "--resume", "--set", "plan.steps=9")
    assert (ran.code, ran.err) == (0, "")


def test_the_same_photos_elsewhere_or_in_a_tar_are_no_others(train: Command, refinesr: Command) -> None:
    train("-o", "run")
    Path("photos").rename("moved")
    with tarfile.open("shard.tar", "w") as archive:
        for number in (2, 0, 1):
            archive.add(f"moved/{number}.png", f"{number}.png")
    for steps, data in ((8, "moved"), (10, "shard.tar")):
        more = "-o", "run", "--resume", "--set", f"plan.steps={steps}"
        ran = refinesr("train", "photo-x4", "--data", data, *TINY, *more)
        assert (ran.code, ran.err) == (0, "")


def test_a_state_that_does_not_tell_of_its_photos_goes_on(train: Command) -> None:
    """As those of earlier versions, which kept no more than these four."""
    train("-o", "run")
    state = torch.load("run/state.pt", weights_only=True)
    kept = {name: state[name] for name in ("step", "model", "average", "optimizer")}
    torch.save(kept, "run/state.pt")
    added()
    ran = train("-o", "run", "--resume", "--set", "plan.steps=8")
    assert (ran.code, ran.err) == (0, "")


def test_a_finished_run_has_no_use_for_photos_and_says_nothing_of_them(train: Command) -> None:
    train("-o", "run")
    added()
    ran = train("-o", "run", "--resume")
    assert (ran.code, ran.err) == (0, "")


def test_a_signal_at_the_last_update_is_no_failure(train: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refinesr.train, "train", stopping_after(6, signal.SIGINT))
    assert train("-o", "run").code == 0


def test_a_finished_run_has_nothing_to_resume(train: Command) -> None:
    train("-o", "run")
    ran = train("-o", "run", "--resume")
    assert (ran.code, ran.out) == (0, "run/model.safetensors  has made all its updates already\n")


def test_nor_is_a_signal_that_comes_to_it_a_failure(train: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was told as interrupted after update 0."""
    train("-o", "run")
    real = refinesr.train.train

    def pressed(*words: Any, **named: Any) -> Iterator[Report]:
        os.kill(os.getpid(), signal.SIGINT)
        yield from real(*words, **named)

    monkeypatch.setattr(refinesr.train, "train", pressed)
    ran = train("-o", "run", "--resume")
    assert (ran.code, ran.out) == (0, "run/model.safetensors  has made all its updates already\n")
    assert ran.err == ""


def test_the_folder_is_checked_before_photos_are_read(
    train: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    train("-o", "run")
    monkeypatch.setattr("refinesr.data.loading_photos", None)
    again, resumed = train("-o", "run"), train("-o", "new", "--resume")
    assert (again.code, again.err) == (2, "run: holds a run already; --resume continues it\n")
    assert (resumed.code, resumed.err) == (2, "new: no run to resume here; start one without --resume\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["phot-x4", "--data", "photos"],
            "recipe: 'phot-x4' is none; did you mean 'photo-x4'?",
        ),
        (["photo-x4", "--data"], "--data: no folder given"),
        (["photo-x4", "--data", "none"], "none: no such file or folder"),
        (["photo-x4", "--data", "photos", "--seed", -1], "seed: -1 is not between 0 and 2**63 - 1"),
        (
            ["photo-x4", "--data", "photos", "--set", "plan.stps=3"],
            "--set: plan.stps: no such field of Plan; did you mean 'steps'?",
        ),
        (
            ["photo-x4", "--data", "photos", "--set", "plan.steps=x"],
            "--set: plan.steps: 'x' is not an integer",
        ),
        (
            ["photo-x4", "--data", "photos", "--set", "plan.steps"],
            "--set: 'plan.steps' is not of the form field=value",
        ),
    ],
)
def test_what_is_wrong_is_one_line(
    refinesr: Command, photos: Path, words: list[object], message: str
) -> None:
    ran = refinesr("train", *words, "-o", "run")
    assert (ran.code, ran.out, ran.err) == (2, "", message + "\n")
    assert not Path("run").exists()


@pytest.fixture
def by_class(refinesr: Command) -> Command:
    """Learns the classes of two folders of photos."""
    for number, name in enumerate(("cats", "dogs")):
        picture(f"animals/{name}/0.png", 64, 64, seed=number)
    return lambda *words: refinesr("train", "base-64-class", "--data", "animals", "-o", "run", *words)


@pytest.mark.parametrize("words", [(), ("--tiny",)])
def test_a_wrong_number_of_classes_is_told_before_a_photo_is_decoded(
    by_class: Command, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr("refinesr.data.loading_photos", None)
    ran, folders = by_class(*words), "the photos lie in 2 folders (cats, dogs), each a class"
    right = "--set method.source.count=2 --set method.network.vector=2"
    assert (ran.code, ran.err) == (2, f"method.source.count: 1000 classes, but {folders}; use {right}\n")
    assert not Path("run").exists()


def test_what_is_said_to_be_right_is_right(by_class: Command) -> None:
    said = by_class("--tiny").err.partition("; use ")[2].split()
    ran = by_class(*TINY, *said, "--set", "method.sampling.steps=2")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(Path("run/run.json").read_text())["method"]["source"]["count"] == 2


@pytest.mark.parametrize(("batch", "hint"), [(4, "plan.accumulate=2"), (5, "plan.batch=2")])
def test_too_little_memory_is_one_line(
    train: Command, monkeypatch: pytest.MonkeyPatch, batch: int, hint: str
) -> None:
    def lacking(*_: object, **__: object) -> Iterator[Report]:
        raise RuntimeError("CUDA out of memory")
        yield

    monkeypatch.setattr(refinesr.train, "train", lacking)
    ran = train("-o", "run", "--set", f"plan.batch={batch}")
    assert (ran.code, ran.err) == (2, f"not enough memory for a batch of {batch}; use --set {hint}\n")


def test_a_terminal_sees_the_loss_the_speed_and_the_time_left(
    train: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("bars", "meter"):
        monkeypatch.setattr(f"refinesr.cli.{module}.on_terminal", lambda: True)
    monkeypatch.setattr("refinesr.cli.meter.LOSS_INTERVAL", 0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    ran = train("-o", "run")
    assert all(word in ran.err for word in ("photo-x4", "6/6", "loss ", "images/s", "0:00:00"))
    assert ran.out.startswith("run/model.safetensors  6 updates")


def weights(folder: str) -> dict[str, torch.Tensor]:
    return load_file(f"{folder}/model.safetensors")


def apart(one: str, other: str) -> float:
    """The maximum difference between two models' weights."""
    return max(float((value - weights(other)[name]).abs().max()) for name, value in weights(one).items())


def test_a_run_can_begin_with_another_models_weights(train: Command) -> None:
    still = ("--set", "plan.steps=1", "--set", "plan.rate=1e-30")
    train("-o", "first")
    assert train("--from", "first", "-o", "tuned", *still, "--seed", 5).code == 0
    assert train("-o", "fresh", *still, "--seed", 5).code == 0
    assert apart("tuned", "first") < 1e-6 < apart("fresh", "first")
    told = refinesr.load("tuned").card.training[-1]
    assert re.search(r"begun with the weights of first \(SHA-256 [0-9a-f]{64}\)$", told)


def test_a_model_of_another_kind_is_nothing_to_begin_with(train: Command) -> None:
    train("-o", "first", "--set", "method.precond=Velocity")
    for words, message in (
        (("--from", "first"), "--from: first: its method.precond is Velocity(), this run's is Clean()\n"),
        (
            ("--from", "first", "--encoder", "first"),
            "--encoder: --from brings an encoder along; give one of them\n",
        ),
    ):
        ran = train(*words, "-o", "run")
        assert (ran.code, ran.out, ran.err) == (2, "", message)
    assert not Path("run").exists()


def test_a_resumed_run_is_as_it_was_started_but_for_what_is_set_now(
    refinesr: Command, train: Command, photos: Path
) -> None:
    train("-o", "run", "--set", "plan.rate=2e-4", "--set", "plan.batch=2", "--set", "method.p=1")
    again = ("train", "photo-x4", "--data", photos, "-o", "run", "--resume", "--precision", "fp32")
    assert refinesr(*again, "--set", "plan.steps=8").code == 0
    run = json.loads(Path("run/run.json").read_text())
    plan = run["plan"]
    assert (plan["rate"], plan["batch"], plan["steps"], run["method"]["p"]) == (2e-4, 2, 8, 1)
    assert [line["step"] for line in log("run")] == list(range(1, 9))
    other = refinesr("train", "photo-x4-small", *again[2:])
    assert (other.code, other.err) == (2, "run: holds a run of photo-x4, not of photo-x4-small\n")


def test_a_run_with_a_name_of_its_own_goes_on_by_the_same_command(train: Command) -> None:
    named = ("-o", "run", "--set", "name=mine")
    train(*named)
    assert train(*named, "--resume", "--set", "plan.steps=8").code == 0
    assert json.loads(Path("run/run.json").read_text())["name"] == "mine"
    other = train("-o", "run", "--resume", "--set", "name=yours")
    assert (other.code, other.err) == (2, "run: holds a run of mine, not of yours\n")


def test_a_resumed_run_keeps_its_seed_and_another_is_refused(
    refinesr: Command, train: Command, photos: Path
) -> None:
    """Else it would go on with other crops, levels and noise, without a word."""
    steady = ("--seed", 5, "--set", "plan.decay=Constant")
    train("-o", "run", *steady)
    again = ("train", "photo-x4", "--data", photos, "-o", "run", "--resume", "--precision", "fp32")
    other = refinesr(*again, "--seed", 6, "--set", "plan.steps=8")
    assert (other.code, other.err) == (2, "run: holds a run of seed 5; --resume may not change it\n")
    assert refinesr(*again, "--set", "plan.steps=8").code == 0
    assert json.loads(Path("run/run.json").read_text())["seed"] == 5
    train("-o", "straight", *steady, "--set", "plan.steps=8")
    losses = [[line["loss"] for line in log(name)] for name in ("run", "straight")]
    assert losses[0] == losses[1]


def test_a_signal_that_comes_while_processes_talk_is_heard_after_the_next_update(
    train: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    talked: list[int] = []

    def maximum(team: ProcessGroup, number: int) -> int:
        talked.append(number)
        if len(talked) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return number

    monkeypatch.setattr(ProcessGroup, "maximum", maximum)
    ran = train("-o", "run")
    assert (ran.code, talked) == (143, [0, 0, signal.SIGTERM])
    assert "terminated after update 3 of 6" in ran.err


@pytest.mark.parametrize(
    ("setting", "option"),
    [("start=photo-x4", "--from"), ("distance=LPIPS", "--perceptual or --lpips")],
)
def test_what_a_card_tells_cannot_be_made_up(train: Command, setting: str, option: str) -> None:
    name = setting.partition("=")[0]
    ran = train("-o", "run", "--set", setting)
    assert (ran.code, ran.err) == (2, f"--set: {name}: cannot be set; use {option}\n")


def test_the_second_ctrl_c_does_not_wait() -> None:
    """For a preview, say, that takes minutes."""
    with signals_recorded() as notice:
        os.kill(os.getpid(), signal.SIGINT)
        assert notice.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
