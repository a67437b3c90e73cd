"""`refinesr generate`: folders of pictures that may grow, and what is refused before any work."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cascades import BASE, FORGIVING, LARGER, PAGE
from commands import Command, picture

import refinesr.generate
from refinesr.checkpoint import save_stage
from refinesr.images.io import read


@pytest.fixture
def cascade() -> str:
    """The folder of a base of three classes and a stage of scale 2: 16 pixels a side."""
    Path("small").mkdir()
    save_stage(BASE, Path("small/base.safetensors"))
    save_stage(FORGIVING, Path("small/more.safetensors"))
    stages = [{"model": "base.safetensors"}, {"model": "more.safetensors", "level": 0.2}]
    Path("small/cascade.json").write_text(json.dumps({"format": "refinesr-cascade-1", "stages": stages}))
    return "small"


@pytest.fixture
def generate(refinesr: Command, cascade: str) -> Command:
    return lambda *words: refinesr("generate", cascade, "-o", "out", "--device", "cpu", *words)


def files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path("out").iterdir()}


def test_pictures_are_numbered_and_shown_in_a_grid(generate: Command) -> None:
    ran = generate("-n", 3)
    assert (ran.code, ran.err) == (0, "")
    assert sorted(files()) == [".lock", "00000.png", "00001.png", "00002.png", "generate.json", "grid.png"]
    assert read("out/00002.png").size == (16, 16)
    assert read("out/grid.png").size == (40, 40)  # two by two, each with a gap of 4
    *lines, last = ran.out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [f"out/0000{k}.png" for k in range(3)]
    assert all(line.split("  ")[1] in ("class 0", "class 1", "class 2") for line in lines)
    assert last.startswith("out/grid.png  3 pictures  ")


def test_existing_pictures_are_kept_and_deleted_ones_made_again(generate: Command) -> None:
    generate("-n", 3, "--batch", 1)
    first = files()
    Path("out/00001.png").unlink()
    stamp = os.stat("out/00000.png").st_mtime_ns
    ran = generate("-n", 4, "--batch", 1)
    assert ran.code == 0
    assert [line.split("  ")[0] for line in ran.out.splitlines()] == [
        "out/00001.png",
        "out/00003.png",
        "out/grid.png",
    ]
    assert ran.out.splitlines()[-1].startswith("out/grid.png  4 pictures, 2 of them kept  ")
    assert os.stat("out/00000.png").st_mtime_ns == stamp
    after = files()
    assert [name for name in first if name.startswith("0000") and first[name] != after[name]] == []


def test_only_what_is_finished_is_made_into_pictures(
    generate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each batch, not after each of its six steps: a GPU would wait for it."""
    whole, sizes = refinesr.generate.pictures, []
    monkeypatch.setattr(
        refinesr.generate, "pictures", lambda image: sizes.append(tuple(image.shape)) or whole(image)
    )
    assert generate("-n", 3, "--batch", 2).code == 0
    assert sizes == [(2, 3, 16, 16), (1, 3, 16, 16)]


def test_a_sampling_is_set_in_every_stage_and_is_one_of_the_settings(generate: Command) -> None:
    assert generate("-n", 1, "--set", "sampling.sampler=Heun", "--steps", "2,1", "--guidance", 2).code == 0
    held = json.loads(Path("out/generate.json").read_text())["stages"]
    assert [(each["sampling"]["sampler"]["kind"], each["sampling"]["steps"]) for each in held] == [
        ("Heun", 2),
        ("Heun", 1),
    ]
    assert [each["sampling"]["guidance"] for each in held] == [2.0, 1.0]
    ran = generate("-n", 1, "--steps", "2,1", "--guidance", 2)
    assert ran.code == 2
    assert "stages.0.sampling.sampler" in ran.err


def test_with_nothing_to_do_nothing_is_made(generate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    generate("-n", 2)
    monkeypatch.setattr(refinesr.generate, "generate_images", fails_with(AssertionError()))
    ran = generate("-n", 1)
    assert (ran.code, len(ran.out.splitlines())) == (0, 1)


def test_other_settings_are_refused_until_overwritten(generate: Command) -> None:
    generate("-n", 2)
    before = files()
    ran = generate("-n", 2, "--seed", 4)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "out: was made with seed 0, not 4; --overwrite begins anew\n"
    assert files() == before
    assert generate("-n", 1, "--seed", 4, "--overwrite").code == 0
    assert sorted(files()) == [".lock", "00000.png", "generate.json", "grid.png"]
    assert files()["00000.png"] != before["00000.png"]


def test_two_processes_never_mix_their_pictures(generate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one is refused as long as the first is at work, even where it would begin anew."""
    whole, seen = refinesr.generate.generate_images, []

    def generated(*given: Any, **options: Any) -> Iterator[object]:
        before = files()
        monkeypatch.setattr(refinesr.generate, "generate_images", whole)
        seen.append(generate("-n", 3, "--seed", 4, "--overwrite"))
        assert files() == before
        return whole(*given, **options)

    monkeypatch.setattr(refinesr.generate, "generate_images", generated)
    assert generate("-n", 2).code == 0
    (second,) = seen
    wait = "wait until it is done, or choose another folder"
    message = f"out: another process is at work in this folder; {wait}\n"
    assert (second.code, second.out, second.err) == (2, "", message)
    assert generate("-n", 3, "--seed", 4, "--overwrite").code == 0


def test_the_given_class_is_generated(generate: Command) -> None:
    ran = generate("-n", 2, "--class", 1)
    assert [line.split("  ")[1] for line in ran.out.splitlines()[:2]] == ["class 1", "class 1"]
    assert json.loads(Path("out/generate.json").read_text())["class"] == 1


def test_steps_guidance_and_size_are_applied(generate: Command) -> None:
    words = ["--steps", "4,2", "--guidance", 2.5, "--size", "6,10", "--precision", "fp32"]
    assert generate("-n", 1, *words).code == 0
    told = json.loads(Path("out/generate.json").read_text())
    assert [stage["sampling"]["steps"] for stage in told["stages"]] == [4, 2]
    assert [stage["sampling"]["guidance"] for stage in told["stages"]] == [2.5, 1.0]
    assert (told["size"], told["precision"]) == ([6, 10], "fp32")
    assert read("out/00000.png").size == (12, 20)


def test_a_single_model_is_a_cascade_of_one(refinesr: Command) -> None:
    save_stage(PAGE, Path("page.safetensors"))
    ran = refinesr("generate", "page.safetensors", "-n", 1, "-o", "out", "--size", 5)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0] == "out/00000.png"
    assert read("out/00000.png").size == (5, 5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-n", 0], "-n: 0 is not positive"),
        (["-n", 1, "--seed", -1], "--seed: -1 is not between 0 and 2**63 - 1"),
        (["-n", 1, "--batch", 0], "--batch: 0 is not positive"),
        (["-n", 1, "--class", 3], "class: 3 is not one of the model's, 0 to 2"),
        (["-n", 1, "--steps", "5"], "steps: 1 numbers for 2 stages; one each is needed"),
        (["-n", 1, "--steps", "5,x"], "--steps: '5,x' is not STEPS,..."),
        (["-n", 1, "--steps", "5,0"], "steps: 0 is not positive"),
        (["-n", 1, "--size", "5,6,7"], "--size: '5,6,7' is not HEIGHT,WIDTH"),
        (["-n", 1, "--size", "x"], "--size: 'x' is not SIDE"),
        (["-n", 1, "--size", "0"], "size: (0, 0) is no size; (height, width) in pixels"),
        (["-n", 1, "--guidance", "-1"], "guidance: -1 is negative; 1 is none, 0 ignores the class"),
    ],
)
def test_an_error_is_one_line_and_leaves_no_files(
    generate: Command, words: list[object], message: str
) -> None:
    ran = generate(*words)
    assert (ran.code, ran.out, ran.err) == (2, "", message + "\n")
    assert not Path("out").exists()


def test_models_that_need_an_input_are_refused(refinesr: Command) -> None:
    save_stage(LARGER, Path("larger.safetensors"))
    ran = refinesr("generate", "larger.safetensors", "-n", 1, "-o", "out")
    message = "model: takes pictures and enlarges them; `refinesr upscale` is for it\n"
    assert (ran.code, ran.err) == (2, message)
    save_stage(PAGE, Path("page.safetensors"))
    ran = refinesr("generate", "page.safetensors", "-n", 1, "-o", "out", "--class", 0)
    assert (ran.code, ran.err) == (2, "class: 0, but the model knows no classes; leave it out\n")
    assert not Path("out").exists()


def test_a_folder_of_photos_is_left_alone(generate: Command) -> None:
    photo = picture("out/00000.png")
    before = photo.read_bytes()
    ran = generate("-n", 2, "--overwrite")
    message = "out/00000.png exists, without generate.json; choose another folder\n"
    assert (ran.code, ran.err) == (2, message)
    assert files() == {"00000.png": before}


def fails_with(error: BaseException) -> Callable[..., Iterator[object]]:
    def generated(*_: object, **__: object) -> Iterator[object]:
        raise error
        yield

    return generated


@pytest.mark.parametrize(
    ("count", "hint"),
    [
        (4, "4 pictures at once; use --batch 2"),
        (1, "1 picture at once; give its stages a smaller tile in cascade.json"),
    ],
)
def test_too_little_memory_is_one_line_with_a_smaller_batch(
    generate: Command, monkeypatch: pytest.MonkeyPatch, count: int, hint: str
) -> None:
    monkeypatch.setattr(refinesr.generate, "generate_images", fails_with(MemoryError()))
    ran = generate("-n", count)
    assert (ran.code, ran.err) == (2, f"not enough memory for {hint}\n")


def test_ctrl_c_keeps_finished_pictures(generate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = refinesr.generate.generate_images

    def generated(cascade: Any, indexes: list[int], **options: Any) -> Iterator[object]:
        if 2 in indexes:
            raise KeyboardInterrupt
        return whole(cascade, indexes, **options)

    monkeypatch.setattr(refinesr.generate, "generate_images", generated)
    ran = generate("-n", 4, "--batch", 2)
    assert (ran.code, ran.err) == (130, "interrupted\n")
    assert sorted(files()) == [".lock", "00000.png", "00001.png", "generate.json"]


def test_a_terminal_shows_pictures_and_steps_of_all_stages(
    generate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refinesr.cli.bars.on_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    ran = generate("-n", 2, "--batch", 1)
    assert all(word in ran.err for word in ("pictures", "1/2", "steps", "6/6"))
