"""`refinesr train --held-out`, in this process, with --tiny."""

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from commands import Command, picture
from methods import packed, stage
from squeezenets import squeezenet

from refinesr import load
from refinesr.checkpoint import save_stage
from refinesr.monitoring import HeldOutEvaluator

TINY = ("--tiny", "--set", "plan.steps=6", "--precision", "fp32")
OFTEN = ("--set", "plan.measure_every=2", "--set", "plan.preview_every=4")


@pytest.fixture
def held() -> str:
    """A folder of two pictures to measure on, and one that is too small."""
    for number, height in enumerate((40, 45, 31)):
        picture(f"held/{number}.png", height, 50, seed=10 + number)
    return "held"


@pytest.fixture
def train(refinesr: Command, photos: Path) -> Command:
    return lambda *words: refinesr("train", "photo-x4", "--data", photos, *TINY, *OFTEN, *words)


def lines(folder: str = "run") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(folder, "held_out.jsonl").read_text().splitlines()]


def test_a_run_tells_what_its_held_out_pictures_tell(train: Command, held: str) -> None:
    ran = train("-o", "run", "--held-out", held)
    assert ran.code == 0
    said = ran.err.splitlines()
    assert [int(re.findall(r"\d+", line)[0]) for line in said] == [0, 2, 4, 6]
    loss = r"held-out loss \d+\.\d+ \((the best|best \d+\.\d+ at \d)\)"
    for number, line in enumerate(said):
        restored = r", \d+\.\d\d dB" * (number > 1)
        assert re.fullmatch(rf"update {2 * number}: {loss}{restored}", line)
    assert [line["step"] for line in lines()] == [0, 2, 4, 6]
    assert ran.out.splitlines()[0].endswith("  (1 of 3 held-out pictures left out: a side below 32 pixels)")
    assert "on 2 held-out pictures, " in load("run/best.safetensors").card.training[-1]


def test_the_summary_names_the_best_weights_if_they_are_not_the_last(
    train: Command, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([0.5, 0.25, 0.375, 0.3125, 0.5, 0.4, 0.3, 0.2])
    monkeypatch.setattr(HeldOutEvaluator, "loss", lambda *_: next(values))
    monkeypatch.setattr(HeldOutEvaluator, "restoration", lambda *_: (28.305, None))
    ran = train("-o", "run", "--held-out", held)
    assert ran.err.splitlines() == [
        "update 0: held-out loss 0.5 (the best)",
        "update 2: held-out loss 0.25 (the best)",
        "update 4: held-out loss 0.375 (best 0.25 at 2), 28.30 dB",
        "update 6: held-out loss 0.3125 (best 0.25 at 2), 28.30 dB",
    ]
    last = "run/best.safetensors  held-out loss 0.25 at update 2; the last is 0.3125 at 6"
    assert ran.out.splitlines()[1:] == [last]
    ran = train("-o", "other", "--held-out", held)
    assert len(ran.out.splitlines()) == 1


def test_a_finished_run_can_be_measured(train: Command, held: str) -> None:
    train("-o", "run")
    ran = train("-o", "run", "--resume", "--held-out", held)
    assert (ran.code, ran.err) == (0, "")
    whole, measured = ran.out.splitlines()
    assert whole.startswith("run/model.safetensors  has made all its updates already")
    assert re.fullmatch(r"update 6: held-out loss \d+\.\d+ \(the best\), \d+\.\d\d dB", measured)
    assert [line["step"] for line in lines()] == [6]


def test_photos_and_held_out_pictures_that_are_left_out_are_told_apart(train: Command, held: str) -> None:
    picture("photos/small.png", 20, 60)
    ran = train("-o", "run", "--held-out", held)
    left = "(1 of 4 photos, 1 of 3 held-out pictures left out: a side below 32 pixels)"
    assert ran.out.splitlines()[0].endswith(f"  {left}")


def test_a_run_that_goes_on_without_them_says_so(train: Command, held: str) -> None:
    train("-o", "run", "--held-out", held)
    ran = train("-o", "run", "--resume", "--set", "plan.steps=8")
    assert (ran.code, ran.err) == (0, "no --held-out is given: from here on nothing is measured\n")
    assert [line["step"] for line in lines()] == [0, 2, 4, 6]
    ran = train("-o", "run", "--resume", "--set", "plan.steps=10", "--held-out", held)
    assert ran.code == 0
    assert [line["step"] for line in lines()] == [0, 2, 4, 6, 8, 10]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere",), "nowhere: no such file or folder"),
        (
            ("held", "photos"),
            "--held-out: also learnt from: photos/0.png and 3 more; hold out other pictures",
        ),
        (
            ("held/2.png",),
            "--held-out: no picture has 32 pixels a side, the size of a crop; the first of 1 is held/2.png "
            "(50 x 31)",
        ),
        (("held/bad.png",), "--held-out: held/bad.png: "),
    ],
)
def test_what_cannot_be_held_out_is_one_line_before_any_photo_is_decoded(
    train: Command, held: str, words: tuple[str, ...], message: str
) -> None:
    Path("held/bad.png").write_text("no picture")
    Path("photos/bad.png").write_text("no picture either")
    ran = train("-o", "run", "--held-out", *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(message)
    assert len(ran.err.splitlines()) == 1
    assert not Path("run").exists()


def test_a_member_of_a_tar_that_is_learnt_from_is_refused(refinesr: Command, photos: Path) -> None:
    with tarfile.open("one.tar", "w") as archive:
        archive.add("photos", "photos")
    Path("link.tar").symlink_to("one.tar")
    ran = refinesr("train", "photo-x4", "--data", "one.tar", *TINY, "-o", "run", "--held-out", "link.tar")
    message = "--held-out: also learnt from: link.tar:photos/0.png and 2 more; hold out other pictures\n"
    assert (ran.code, ran.err) == (2, message)


def test_other_pictures_than_before_are_refused_before_any_photo_is_decoded(
    train: Command, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    train("-o", "run", "--held-out", held)
    picture("held/3.png", 40, 40)
    monkeypatch.setattr("refinesr.cli.train.load_pairs", None)
    ran = train("-o", "run", "--held-out", held, "--resume", "--set", "plan.steps=8")
    given = "others by their names and sizes, or by plan.size, than the run was measured on"
    assert (ran.code, ran.err) == (2, f"--held-out: {given}; give the same ones, or none\n")


@pytest.mark.parametrize("value", [0, -5])
def test_how_often_is_positive(train: Command, value: int) -> None:
    ran = train("-o", "run", "--set", f"plan.measure_every={value}")
    assert (ran.code, ran.err) == (2, f"--set: plan.measure_every: {value} is not positive\n")


def test_classes_are_those_of_the_photos(refinesr: Command) -> None:
    for number, name in enumerate(("cats", "dogs")):
        picture(f"animals/{name}/0.png", 64, 64, seed=number)
        picture(f"others/{name}/0.png", 64, 64, seed=2 + number)
    picture("more/birds/0.png", 64, 64, seed=5)
    classes = ("--set", "method.source.count=2", "--set", "method.network.vector=2")
    classes += ("--set", "method.sampling.steps=2")
    words = ("train", "base-64-class", "--data", "animals", *TINY, *classes, "-o", "run")
    ran = refinesr(*words, "--held-out", "more")
    wrong = "birds is not a class of the photos learnt from (cats, dogs)"
    assert (ran.code, ran.err) == (2, f"--held-out: {wrong}\n")
    assert refinesr(*words, "--held-out", "others/dogs/0.png").code == 2  # it lies in no folder
    ran = refinesr(*words, "--held-out", "others")
    assert ran.code == 0
    assert all("psnr" not in line for line in lines())


def test_a_distance_that_is_learnt_by_is_measured_too(train: Command, held: str) -> None:
    Path("judge").mkdir()
    squeezenet(Path("judge"))
    ran = train(
        "-o", "run", "--held-out", held, "--perceptual", "judge", "--set", "method.perception=Perception"
    )
    assert ran.code == 0
    assert ["distance" in line for line in lines()] == [False, False, True, True]
    assert all(0 < line["distance"] < 100 for line in lines()[2:])
    assert re.search(r" dB, distance \d+\.\d+\n$", ran.err)


def test_a_student_is_measured_by_its_lesson(refinesr: Command, photos: Path, held: str) -> None:
    save_stage(stage(packed()), Path("teacher.safetensors"))
    few = [f"plan.{each}" for each in ("steps=4", "batch=2", "size=32", "measure_every=2", "preview_every=4")]
    sets = [word for each in few for word in ("--set", each)]
    words = ("distill", "teacher.safetensors", "--data", photos, "-o", "run", "--precision", "fp32", *sets)
    ran = refinesr(*words, "--held-out", held)
    assert ran.code == 0
    assert [(line["step"], "psnr" in line) for line in lines()] == [(0, True), (2, False), (4, True)]
    assert lines()[0]["loss"] > 0
    assert any("distilled from teacher" in line for line in load("run/best.safetensors").card.training)


@pytest.mark.parametrize("option", ["--held-out", "--held-out-low"])
def test_an_option_that_names_nothing_is_no_run_without_it(train: Command, option: str) -> None:
    """As where a shell's variable is empty."""
    ran = train(option, "-o", "run")
    assert (ran.code, ran.err) == (2, f"{option}: no folder given\n")
    assert not Path("run").exists()
