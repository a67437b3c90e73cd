"""`--low` of `refinesr train`, `distill` and `search`: pairs that are given."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import Command, Ran
from methods import plain, stage
from PIL import Image

import refinesr as package
from refinesr.checkpoint import save_stage
from refinesr.images.degrade import Degradation, check_accepts_low
from refinesr.images.tasks import Grey, Inpainting, JpegRestoration, Uncropping

GIVEN = (
    "--low: method.degradation is Given, so it learns from given pairs; "
    "name the low-resolution images, for a resumed run as well"
)
MADE = "which makes low-resolution pictures itself; leave one of them out"
TINY = ("--tiny", "--set", "plan.steps=4", "--precision", "fp32")


def paired(good: str, poor: str, scale: int, *names: str) -> None:
    """Pictures, and their blocks' means upside down: no degradation of ours."""
    for seed, name in enumerate(names):
        high = np.random.default_rng(seed).integers(0, 256, (41, 50, 3), dtype=np.uint8)
        whole = high[: 41 // scale * scale, : 50 // scale * scale]
        low = 255 - whole.reshape(41 // scale, scale, 50 // scale, scale, 3).mean((1, 3))
        for folder, picture, mark in ((good, high, "_HR"), (poor, low, "_LR")):
            Path(folder).mkdir(exist_ok=True)
            Image.fromarray(picture.astype(np.uint8)).save(Path(folder, f"{name}{mark}.png"))


def size(name: str) -> tuple[int, int]:
    with Image.open(name) as image:
        return image.size


@pytest.fixture
def pairs() -> None:
    paired("good", "poor", 4, "a", "b", "c")


@pytest.fixture
def train(refinesr: Command, pairs: None) -> Command:
    return lambda *words: refinesr("train", "photo-x4", "--data", "good", *TINY, *words)


def test_a_run_on_pairs_leaves_a_model_that_is_used_as_any_other(train: Command, refinesr: Command) -> None:
    ran = train("--low", "poor", "-o", "run")
    assert (ran.code, ran.err) == (0, "")
    method = json.loads(Path("run/run.json").read_text())["method"]
    assert method["degradation"] == {"kind": "Given", "scale": 4}
    assert method["sampling"]["consistent"] is None
    assert package.load("run").method.sampling.consistent is None
    assert refinesr("upscale", "poor/a_LR.png", "-m", "run", "-o", "out.png").code == 0
    assert size("out.png") == (48, 40)
    assert refinesr("info", "run").code == 0
    measured = ("evaluate", "run", "--data", "good", "-o", "report", "--protocol", "classic-y")
    ran = refinesr(*measured)
    made = "run was trained on given pairs; without --low its inputs are made otherwise\n"
    assert (ran.code, ran.err) == (0, made)
    ran = refinesr(*measured, "--overwrite", "--via", 9)
    assert (ran.code, ran.err) == (0, made)
    ran = refinesr(*measured, "--low", "poor", "--overwrite")
    assert (ran.code, ran.err) == (0, "")


def test_the_poor_pictures_are_what_is_learnt_from(train: Command) -> None:
    losses = []
    for name, words in (("made", ()), ("given", ("--low", "poor"))):
        assert train(*words, "-o", name).code == 0
        losses.append([json.loads(line)["loss"] for line in Path(name, "log.jsonl").read_text().splitlines()])
    assert losses[0][0] != losses[1][0]


def test_set_has_the_last_word_of_consistency(train: Command) -> None:
    train("--low", "poor", "-o", "run", "--set", "method.sampling.consistent=PillowBicubic")
    method = json.loads(Path("run/run.json").read_text())["method"]
    assert method["sampling"]["consistent"] == {"kind": "PillowBicubic"}


@pytest.mark.slow
def test_at_scale_1_a_recipe_learns_whatever_its_pairs_show(refinesr: Command) -> None:
    paired("good", "poor", 1, "a", "b")
    words = ("--data", "good", "--low", "poor", *TINY, "--set", "plan.size=32", "-o", "run")
    ran = refinesr("train", "palette-jpeg", *words)
    assert (ran.code, ran.err) == (0, "")
    assert package.load("run").method.degradation.scale == 1
    assert refinesr("upscale", "poor/a_LR.png", "-m", "run", "--steps", 2, "-o", "out.png").code == 0
    assert size("out.png") == (50, 41)


def test_a_resumed_run_needs_its_poor_pictures_again_and_goes_on_exactly(train: Command) -> None:
    steady = ("--low", "poor", "--set", "plan.decay=Constant")
    train("-o", "whole", *steady)
    train("-o", "run", *steady, "--set", "plan.steps=2")
    ran = train("-o", "run", "--resume")
    assert (ran.code, ran.err) == (2, GIVEN + "\n")
    ran = train("-o", "run", "--resume", "--low", "poor", "--set", "plan.steps=4")
    assert (ran.code, ran.err) == (0, "")
    for name in ("log.jsonl", "model.safetensors"):
        assert Path("run", name).read_bytes() == Path("whole", name).read_bytes()


@pytest.mark.filterwarnings("default")
def test_other_poor_pictures_are_told_of_when_a_run_goes_on(train: Command) -> None:
    train("-o", "run", "--low", "poor")
    Path("poor/b_LR.png").rename("poor/bx4.png")
    ran = train("-o", "run", "--low", "poor", "--resume", "--set", "plan.steps=6")
    assert ran.code == 0
    assert ran.err.startswith("warning: data: not the photos that the run was saved with")


def test_a_run_that_makes_its_poor_pictures_goes_on_without_given_ones(train: Command) -> None:
    train("-o", "run")
    ran = train("-o", "run", "--resume", "--low", "poor")
    assert (ran.code, ran.err) == (2, f"--low: method.degradation is Photo, {MADE}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["photo-x4", "--low"], "--low: no folder given"),
        (["photo-x4", "--low", "none"], "none: no such file or folder"),
        (
            ["photo-x4", "--low", "poor", "--set", 'method.degradation={"kind": "Bicubic", "scale": 4}'],
            f"--low: method.degradation is Bicubic, {MADE}",
        ),
        (["photo-x4", "--set", 'method.degradation={"kind": "Given", "scale": 4}'], GIVEN),
        (
            ["base-64", "--low", "poor"],
            "--low: base-64 generates images from noise and has no low-resolution input",
        ),
        (
            ["photo-x4", "--low", "poor/a_LR.png", "poor/b_LR.png"],
            "good/c_HR.png: no low-resolution picture is called 'c' "
            "(suffix and marks such as _LR and x4 aside)",
        ),
        (
            ["photo-x4", "--low", "poor", "good/a_HR.png"],
            "poor/a_LR.png and good/a_HR.png: both are called 'a', and images are identified by their "
            "names without suffix (marks such as _LR and x4 aside); rename one, or leave it out",
        ),
        (
            ["srdiff-celeba-x8-encoder", "--low", "poor"],
            "poor/a_LR.png: 12 x 10 pixels; good/a_HR.png, 50 x 41 pixels, at scale 8 has 6 x 5; "
            "nor can poor/b_LR.png, poor/c_LR.png be used",
        ),
    ],
)
def test_what_is_wrong_is_one_line(refinesr: Command, pairs: None, words: list[str], message: str) -> None:
    recipe, *more = words
    ran = refinesr("train", recipe, "--data", "good", *more, "--tiny", "-o", "run")
    assert (ran.code, ran.out, ran.err) == (2, "", message + "\n")
    assert not Path("run").exists()


def test_another_number_of_channels_is_one_line(refinesr: Command, pairs: None) -> None:
    with Image.open("poor/b_LR.png") as image:
        grey = image.convert("L")
    grey.save("poor/b_LR.png")
    ran = refinesr("train", "photo-x4", "--data", "good", "--low", "poor", "--tiny", "-o", "run")
    message = "poor/b_LR.png: 1 channel; good/b_HR.png has 3, and both must have as many\n"
    assert (ran.code, ran.err) == (2, message)


def test_a_student_is_taught_on_pairs(train: Command, refinesr: Command) -> None:
    train("--low", "poor", "-o", "teacher")
    few = ("--set", "plan.steps=2", "--set", "plan.size=32", "--set", "plan.batch=2", "--precision", "fp32")

    def teach(*words: object) -> Ran:
        return refinesr("distill", "teacher", "--data", "good", *few, "-o", "student", *words)

    ran = teach()
    assert (ran.code, ran.err) == (2, GIVEN + "\n")
    ran = teach("--low", "poor")
    assert (ran.code, ran.err) == (0, "")
    ran = teach("--resume", "--set", "plan.steps=3")
    assert (ran.code, ran.err) == (2, GIVEN + "\n")
    ran = teach("--resume", "--set", "plan.steps=3", "--low", "poor")
    assert (ran.code, ran.err) == (0, "")
    assert refinesr("upscale", "poor/a_LR.png", "-m", "student", "-o", "out.png").code == 0


def test_a_student_may_learn_on_pairs_though_its_teacher_did_not(train: Command, refinesr: Command) -> None:
    train("-o", "teacher")
    few = ("--set", "plan.steps=2", "--set", "plan.size=32", "--set", "plan.batch=2", "--precision", "fp32")
    words = ("distill", "teacher", "--data", "good", *few, "-o", "student")
    assert refinesr(*words, "--low", "poor").code == 0
    method = package.load("student").method
    assert (type(method.degradation).__name__, method.sampling.consistent) == ("Given", None)
    ran = refinesr(*words, "--resume")
    assert (ran.code, ran.err) == (2, GIVEN + "\n")


def test_a_search_is_on_pairs(train: Command, refinesr: Command) -> None:
    train("--low", "poor", "-o", "run")
    words = ("search", "run", "--data", "good", "--steps", 2, "--candidates", 2, "--precision", "fp32")
    ran = refinesr(*words)
    why = "makes no low-resolution pictures; name those that are given (--low)"
    assert (ran.code, ran.err) == (2, f"method.degradation: Given: {why}\n")
    ran = refinesr(*words, "--low", "poor", "--json", "found.json")
    assert ran.code == 0
    found = json.loads(Path("found.json").read_text())
    assert (found["data"], found["low"], len(found["pictures"])) == ("good", ["poor"], 3)


@pytest.mark.parametrize("task", [Inpainting(), Uncropping(), Grey()])
def test_what_a_model_makes_itself_cannot_be_given(refinesr: Command, task: Degradation) -> None:
    """It would be shown pictures without the mask, or with the colour, that all it has learnt is about."""
    paired("good", "poor", 1, "a", "b")
    save_stage(stage(replace(plain(1), degradation=task)), "task.safetensors")
    words = ("task.safetensors", "--data", "good", "--low", "poor", "-o")
    makes = f"--low: method.degradation is {type(task).__name__}, which makes low-resolution pictures itself"
    for ran in (
        refinesr("search", *words, "found.safetensors", "--steps", 2, "--candidates", 1),
        refinesr("distill", *words, "student"),
    ):
        assert (ran.code, ran.out, ran.err) == (2, "", f"{makes}; leave --low out\n")
    assert not Path("found.safetensors").exists()
    assert not Path("student").exists()
    check_accepts_low(JpegRestoration())  # what a camera's own JPEG has lost is given as well as made
