"""`refinesr upscale` in this process, with a model of random weights: faithful it is all the same."""

import errno
import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from commands import Command, picture
from methods import packed, stage
from PIL import Image
from rich.progress import Progress

import refinesr.cli.upscale
import refinesr.images.io
import refinesr.restore
from refinesr.checkpoint import save_stage
from refinesr.diffusion.precond import Blind
from refinesr.diffusion.samplers import DPM2M
from refinesr.diffusion.schedule import Karras
from refinesr.images.io import write
from refinesr.images.picture import Picture
from refinesr.restore.memory import device_memory

SIGNALS = [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]


NOT_SET = "is no field of sampling; only these can be set here, such as sampling.sampler"


def pixels(name: str) -> Any:
    return np.asarray(Image.open(name))


def test_the_result_is_beside_the_photo_by_default(upscale: Command, photo: Path) -> None:
    ran = upscale(photo)
    assert (ran.code, ran.err) == (0, "")
    pattern = r"photo\.png -> photo-x4\.png  20 x 12 -> 80 x 48  \d+\.\d s\n"
    assert re.fullmatch(pattern, ran.out)
    assert pixels("photo-x4.png").shape == (48, 80, 3)
    assert sorted(os.listdir()) == ["photo-x4.png", "photo.png"]


def test_json_is_one_line_per_result(upscale: Command, photo: Path) -> None:
    ran = upscale(photo, "--json", "--samples", 2, "--seed", 5, "--steps", 2, "-o", "out")
    first, second = (json.loads(line) for line in ran.out.splitlines())
    assert first.pop("seconds") > 0
    assert first == {
        "input": "photo.png",
        "output": "out/photo-x4-1.png",
        "input_size": [12, 20],
        "output_size": [48, 80],
        "steps": 2,
        "seed": 5,
        "fidelity": 0.0,
        "orientations": 1,
        "lr_psnr": 200.0,
        "agreement": 1.0,
    }
    assert (second["seed"], second["output"]) == (6, "out/photo-x4-2.png")


def test_fidelity_goes_from_the_sample_to_the_mean_which_takes_one_step(
    upscale: Command, photo: Path
) -> None:
    words = "--json", "--overwrite", "--steps", 3, "--no-consistent"
    made = {}
    for share in ("0", "0.5", "1"):
        told = json.loads(upscale(photo, *words, "--fidelity", share).out)
        made[share] = pixels("photo-x4.png").astype(int)
        assert (told["fidelity"], told["steps"]) == (float(share), 1 if share == "1" else 3)
    inside = (np.minimum(made["0"], made["1"]) > 0) & (np.maximum(made["0"], made["1"]) < 255)
    assert np.abs(made["0"] - made["1"]).max() > 4
    assert np.abs(made["0.5"] - (made["0"] + made["1"]) / 2)[inside].max() <= 1


def test_orientations_are_as_in_python(upscale: Command, photo: Path, model: str) -> None:
    small = Image.open(photo)
    by_one, by_eight = (refinesr.upscale(model, small, orientations=ways) for ways in (1, 8))
    ran = upscale("photo.png", "--orientations", "8", "-o", "large.png", "--json")
    assert (ran.code, json.loads(ran.out)["orientations"]) == (0, 8)
    assert np.array_equal(pixels("large.png"), np.asarray(by_eight))
    assert np.any(np.asarray(by_one) != np.asarray(by_eight))
    refused = upscale("photo.png", "--orientations", "3", "-o", "other.png")
    assert refused.code == 2
    assert "orientations" in refused.err.lower()
    assert not Path("other.png").exists()


def test_a_sampling_is_set_as_in_python(upscale: Command, photo: Path, model: str) -> None:
    """Options of their own, --steps here, come on top, and tiles and orientations are of what is set."""
    own = refinesr.load(model).method.sampling
    asked = replace(own, sampler=DPM2M(), grid=Karras(0.1, 40.0), temperature=0.5, steps=2)
    small, shared = Image.open(photo), {"orientations": 2, "tile": 8}
    wanted = refinesr.upscale(model, small, sampling=asked, **shared)
    sets = [
        "sampling.sampler=DPM2M",
        'sampling.grid={"kind": "Karras", "low": 0.1, "high": 40.0}',
        "sampling.temperature=0.5",
        "sampling.steps=9",
    ]
    words = [word for each in sets for word in ("--set", each)]
    words += ["--steps", "2", "--orientations", "2", "--tile", "8"]
    assert upscale(photo, *words, "-o", "large.png").code == 0
    assert np.array_equal(pixels("large.png"), np.asarray(wanted))
    assert np.any(np.asarray(refinesr.upscale(model, small, steps=2, **shared)) != np.asarray(wanted))


def test_json_measures_what_the_file_holds(upscale: Command, photo: Path) -> None:
    """A JPEG of low quality is not what was written into it."""
    kept = json.loads(upscale(photo, "--json", "--ext", "jpg", "--quality", 30).out)
    assert kept["agreement"] < 0.9
    assert kept["lr_psnr"] < 50


def test_samples_are_those_of_the_next_seeds(upscale: Command, photo: Path) -> None:
    upscale(photo, "--samples", 3, "--seed", 1)
    upscale(photo, "--seed", 2, "-o", "two.png")
    first, second = pixels("photo-x4-1.png"), pixels("photo-x4-2.png")
    assert (second == pixels("two.png")).all()
    assert (first != second).any()
    assert Path("photo-x4-3.png").exists()


def test_tiles_change_nothing_but_rounding(upscale: Command) -> None:
    photo = picture("wide.png", 20, 100)
    for tile in (0, 24):
        upscale(photo, "-t", tile, "--precision", "fp32", "-o", f"{tile}.png")
    assert np.abs(pixels("0.png").astype(int) - pixels("24.png")).max() <= 1


def test_no_consistent_gives_the_unprojected_result(upscale: Command, photo: Path) -> None:
    kept = json.loads(upscale(photo, "--json").out)
    free = json.loads(upscale(photo, "--json", "--no-consistent", "--overwrite").out)
    assert kept["agreement"] == 1
    assert free["agreement"] < 0.5


@pytest.mark.parametrize(
    ("scale", "shape", "words"),
    [
        (0.5, (6, 10, 3), ()),
        (1, (12, 20, 3), ()),
        (2.5, (30, 50, 3), ("--no-consistent",)),
        (6, (72, 120, 3), ("--no-consistent",)),
    ],
)
def test_any_scale_is_resampled_from_the_models(
    upscale: Command, photo: Path, scale: float, shape: tuple[int, ...], words: tuple[str, ...]
) -> None:
    upscale(photo, "-s", scale, "-o", "any.png", *words)
    upscale(photo, *words)
    assert pixels("any.png").shape == shape
    expected = Image.open("photo-x4.png").resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    # Pillow rounds and clips between its two passes
    assert np.abs(pixels("any.png").astype(int) - np.asarray(expected)).mean() < 0.5


@pytest.mark.parametrize("scale", [1.5, 2.5, 6.0])
def test_at_any_larger_scale_the_downsampled_result_equals_the_input(
    upscale: Command, photo: Path, model: str, scale: float
) -> None:
    """And it is what Python's `upscale` makes."""
    kept = json.loads(upscale(photo, "-s", scale, "-o", "any.png", "--json").out)
    plain = json.loads(upscale(photo, "-s", scale, "-o", "free.png", "--no-consistent", "--json").out)
    assert kept["output_size"] == [round(12 * scale), round(20 * scale)]
    small = Image.open("any.png").resize((20, 12), Image.Resampling.BICUBIC)
    assert (np.asarray(small) == pixels("photo.png")).mean() == pytest.approx(kept["agreement"])
    assert kept["agreement"] > 0.95  # the photo is noise, the hardest there is
    assert plain["agreement"] < 0.5
    large = refinesr.upscale(model, Image.open(photo), scale=scale)
    assert np.array_equal(np.asarray(large), pixels("any.png"))


def test_a_result_smaller_than_its_input_is_not_measured(upscale: Command, photo: Path) -> None:
    kept = json.loads(upscale(photo, "-s", 0.5, "--json").out)
    assert (kept["lr_psnr"], kept["agreement"], kept["output"]) == (None, None, "photo-x0.5.png")


def test_alpha_is_resampled_with_the_colours(upscale: Command) -> None:
    upscale(picture("clear.png", mode="RGBA"), "-s", 3)
    assert pixels("clear-x3.png").shape == (36, 60, 4)


def test_frame_picks_one_of_several(upscale: Command) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save("cat.gif", save_all=True, append_images=frames[1:])
    assert upscale("cat.gif").err == "cat.gif has 2 frames, not one; upscale picks one with --frame\n"
    assert upscale("cat.gif", "--frame", 1).code == 0
    assert pixels("cat-x4.png")[16, 16].tolist() == [0, 0, 255]


def test_a_suffix_may_begin_with_a_hyphen(upscale: Command) -> None:
    assert upscale(picture("cat.png"), "--suffix", "-large").code == 0
    assert Path("cat-large.png").exists()


def test_names_need_not_be_text(upscale: Command) -> None:
    ran = upscale(picture("\udcff.png"))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("\\udcff.png -> \\udcff-x4.png  ")


@pytest.mark.parametrize("name", ["[1] cat.png", "[red]", '["other.png"]'])
def test_names_may_begin_with_a_bracket(upscale: Command, name: str) -> None:
    """They are no list of names in JSON."""
    picture("other.png")
    Path("other.png").rename(name)
    assert upscale(name, "-o", "large.png").code == 0


def test_a_bad_file_does_not_stop_the_others(upscale: Command) -> None:
    for name in ("in/a.png", "in/c.png"):
        picture(name)
    Path("in/b.png").write_text("no picture")
    ran = upscale("in", "missing.jpg", "-o", "out")
    assert ran.code == 1
    assert sorted(os.listdir("out")) == ["a-x4.png", "c-x4.png"]
    assert len(ran.out.splitlines()) == 2
    assert ran.err.splitlines() == [
        "in/b.png: not a picture; PNG, JPEG, WebP, BMP, GIF and TIFF can be read",
        "missing.jpg: no such file",
        "2 of 4 files done, 2 failed",
    ]


def disk_of(monkeypatch: pytest.MonkeyPatch, room: int, number: int) -> list[str]:
    """The folder `out` has room for so many files, then the system says `as_float`; what comes to it."""
    write_bytes, encode = Path.write_bytes, refinesr.images.io.encode
    tried: list[str] = []

    def written(path: Path, data: bytes) -> int:
        if path.parent.name != "out" or len(os.listdir("out")) <= room:  # this one is there, empty
            return write_bytes(path, data)
        write_bytes(path, data[:100])
        raise OSError(number, os.strerror(number), str(path))

    def encoded(picture: Picture, form: str, quality: int = 95) -> bytes:
        tried.append(picture.name)
        return encode(picture, form, quality)

    monkeypatch.setattr(Path, "write_bytes", written)
    monkeypatch.setattr(refinesr.images.io, "encode", encoded)
    return tried


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize(("room", "code"), [(0, 2), (1, 1)])
def test_nothing_more_is_tried_on_a_full_disk(
    upscale: Command, monkeypatch: pytest.MonkeyPatch, number: int, room: int, code: int
) -> None:
    for name in "abcd":
        picture(f"in/{name}.png")
    tried = disk_of(monkeypatch, room, number)
    ran = upscale("in", "-o", "out")
    names = [f"{name}-x4.png" for name in "abcd"]
    assert (ran.code, sorted(os.listdir("out"))) == (code, names[:room])
    assert [Path(name).name for name in tried] == names[: room + 1]
    assert ran.err.splitlines() == [
        f"{Path('out', names[room])}: cannot be written: {os.strerror(number)}",
        f"{room} of 4 files done, 1 failed, {3 - room} not tried: no room there",
    ]


def test_a_folder_for_which_there_is_no_room_undoes_nothing(
    upscale: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("in/a.png", "in/sub/b.png"):
        picture(name)
    mkdir = Path.mkdir

    def made(path: Path, *args: Any, **options: Any) -> None:
        if path.name == "sub":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        mkdir(path, *args, **options)

    monkeypatch.setattr(Path, "mkdir", made)
    ran = upscale("in", "--recursive", "-o", "out")
    assert (ran.code, os.listdir("out")) == (1, ["a-x4.png"])
    reason = os.strerror(errno.ENOSPC)
    assert ran.err == f"{Path('out/sub')}: cannot be written: {reason}\n1 of 2 files done, 1 failed\n"


def test_other_errors_of_the_disk_do_not_stop_the_others(
    upscale: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        picture(f"in/{name}.png")
    tried = disk_of(monkeypatch, 1, errno.EIO)
    ran = upscale("in", "-o", "out")
    assert (ran.code, len(tried), ran.err.splitlines()[-1]) == (1, 3, "1 of 3 files done, 2 failed")


def test_a_full_disk_does_not_stop_what_goes_to_another(
    upscale: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("out/a.png", "out/b.png", "other/c.png"):
        picture(name)

    def nearest(folder: Path) -> Any:
        """Each folder is a disk of its own."""
        return SimpleNamespace(stat=lambda: SimpleNamespace(st_dev=folder.name))

    monkeypatch.setattr(refinesr.cli.upscale, "nearest_existing", nearest)
    tried = disk_of(monkeypatch, 2, errno.ENOSPC)
    ran = upscale("out/a.png", "out/b.png", "other/c.png")
    assert (ran.code, [Path(name).name for name in tried]) == (1, ["a-x4.png", "c-x4.png"])
    assert Path("other/c-x4.png").exists()


def test_a_sub_folder_that_is_closed_does_not_stop_the_others(
    upscale: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("in/a.png", "in/closed/b.png"):
        picture(name)
    listing = os.scandir

    def scandir(folder: str | Path) -> Any:
        if Path(folder).name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return listing(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    ran = upscale("in", "--recursive", "-o", "out")
    assert (ran.code, os.listdir("out")) == (1, ["a-x4.png"])
    assert ran.err.splitlines()[0] == "in/closed: cannot be listed: Permission denied"


def test_a_name_that_is_too_long_is_found_out_before_the_work(
    upscale: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the others are done."""
    long = 249 * "a"
    for name in (long, "short"):
        picture(f"in/{name}.png")
    monkeypatch.setattr(
        refinesr.restore, "restore_picture", only_of("short.png", refinesr.restore.restore_picture)
    )
    ran = upscale("in", "-o", "out")
    assert (ran.code, os.listdir("out")) == (1, ["short-x4.png"])
    assert ran.err.splitlines()[0] == f"out/{long}-x4.png: cannot be written: File name too long"


def only_of(name: str, restored: Any) -> Any:
    def checked(model: Any, picture: Picture, *rest: Any, **named: Any) -> Any:
        assert picture.name.endswith(name)
        return restored(model, picture, *rest, **named)

    return checked


def test_running_out_of_memory_for_one_does_not_stop_the_others(
    upscale: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it lacks: in reading, too."""
    for name in ("a.png", "b.png"):
        picture(name)

    def read(path: Path, frame: int | None = None, **more: Any) -> Picture:
        if path.name == "a.png":
            raise MemoryError
        return reading(path, frame, **more)

    reading = refinesr.images.io.read
    monkeypatch.setattr(refinesr.images.io, "read", read)
    ran = upscale("a.png", "b.png", "-o", "out")
    assert (ran.code, os.listdir("out")) == (1, ["b-x4.png"])
    assert ran.err.splitlines()[0] == "a.png: not enough memory"


@pytest.mark.parametrize("option", ["--steps", "--seed", "--samples", "--tile", "--quality"])
def test_whole_numbers_are_not_rounded_for_the_user(upscale: Command, photo: Path, option: str) -> None:
    """1.9 would be 2: another seed, another picture."""
    ran = upscale(photo, option, "1.9")
    assert (ran.code, ran.out, os.listdir()) == (2, "", ["photo.png"])
    assert "\n" not in ran.err.rstrip("\n")
    assert option in ran.err
    assert "1.9" in ran.err


def test_the_exit_code_is_2_if_nothing_could_be_done(upscale: Command) -> None:
    Path("bad.png").touch()
    one, both = upscale("bad.png"), upscale("bad.png", "no.png")
    assert (one.code, one.err) == (2, "bad.png: the file is empty\n")
    assert (both.code, both.err.splitlines()[-1]) == (2, "0 of 2 files done, 2 failed")


def test_what_a_format_cannot_hold_is_an_error_before_the_work(
    upscale: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refinesr.restore, "restore_picture", None)
    ran = upscale(picture("clear.png", mode="RGBA"), "--ext", "jpg")
    assert (ran.code, ran.err) == (2, "clear-x4.jpg: JPEG cannot hold transparency; use PNG or WebP\n")


def test_existing_results_stop_everything_before_any_work(upscale: Command, photo: Path) -> None:
    picture("photo-x4.png", 2, 2)
    ran = upscale(picture("first.png"), photo)
    message = "photo-x4.png exists; --overwrite replaces it, --skip-existing keeps it\n"
    assert (ran.code, ran.out, ran.err) == (2, "", message)
    assert not Path("first-x4.png").exists()
    assert upscale(photo, "--overwrite").code == 0
    assert pixels("photo-x4.png").shape == (48, 80, 3)


def test_a_mask_is_never_replaced(upscale: Command, photo: Path) -> None:
    mask = picture("mask.png", mode="L")
    ran = upscale(photo, "--mask", mask, "-o", mask, "--overwrite")
    message = "mask.png: the result would replace the input mask.png; rename one\n"
    assert (ran.code, ran.out, ran.err) == (2, "", message)


def test_skip_existing_completes_a_folder(upscale: Command) -> None:
    for name in ("in/a.png", "in/b.png"):
        picture(name)
    picture("out/a-x4.png", 2, 2)
    ran = upscale("in", "-o", "out", "--skip-existing")
    assert (ran.code, ran.err) == (0, "kept: 1 of 2 results\n")
    assert [line.split("  ")[0] for line in ran.out.splitlines()] == ["in/b.png -> out/b-x4.png"]
    assert pixels("out/a-x4.png").shape == (2, 2, 3)
    again = upscale("in", "-o", "out", "--skip-existing")
    assert (again.code, again.out, again.err) == (0, "", "kept: 2 of 2 results\n")


def test_skip_existing_makes_the_missing_samples_with_their_own_seeds(upscale: Command, photo: Path) -> None:
    upscale(photo, "--samples", 3, "--seed", 4)
    made = pixels("photo-x4-2.png")
    Path("photo-x4-2.png").unlink()
    ran = upscale(photo, "--samples", 3, "--seed", 4, "--skip-existing", "--json")
    assert [json.loads(line)["seed"] for line in ran.out.splitlines()] == [5]
    assert (pixels("photo-x4-2.png") == made).all()


def test_a_folder_can_be_completed_in_place(upscale: Command) -> None:
    for name in ("in/a.png", "in/b.png"):
        picture(name)
    assert upscale("in").code == 0
    picture("in/c.png")
    ran = upscale("in", "--skip-existing")
    message = "skipped: 2 results of earlier runs\nkept: 2 of 3 results\n"
    assert (ran.code, ran.err) == (0, message)
    names = ("a-x4.png", "a.png", "b-x4.png", "b.png", "c-x4.png", "c.png")
    assert sorted(os.listdir("in")) == list(names)


def test_sub_folders_are_skipped_with_a_message_or_included(upscale: Command) -> None:
    for name in ("in/a.png", "in/sub/b.png"):
        picture(name)
    Path("in/IMG_1.HEIC").write_text("")
    message = "skipped: 1 folder (--recursive includes it), 1 file of another type\n"
    assert upscale("in", "-o", "out").err == message
    ran = upscale("in", "-o", "out", "--recursive", "--skip-existing")
    assert (ran.code, ran.err) == (0, "skipped: 1 file of another type\nkept: 1 of 2 results\n")
    assert pixels("out/sub/b-x4.png").shape == (48, 80, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "samples of one step differ little; with --steps 4 --fidelity 0 they differ more\n"),
        (
            ["--steps", 2],
            "samples differ little at a fidelity of 0.7; with --fidelity 0 they differ more\n",
        ),
        (["--steps", 2, "--fidelity", 0], ""),
        (["--fidelity", 0.7], ""),
    ],
)
def test_similar_samples_get_a_hint_unless_fidelity_is_given(
    refinesr: Command, photo: Path, options: list[object], message: str
) -> None:
    """Of a model that mixes its mean into results; the shipped one mixes nothing, and nothing is said."""
    method = packed(4)
    sampling = replace(method.sampling, fidelity=0.7, steps=1)
    save_stage(stage(replace(method, sampling=sampling)), Path("mixing.safetensors"))
    mixing = "-m", "mixing.safetensors"
    assert refinesr("upscale", photo, *mixing, "--samples", 2, *options).err == message
    assert refinesr("upscale", photo, *mixing, *options).err == ""
    assert refinesr("upscale", photo, "--samples", 2, "-o", "shipped", *options).err == ""


def test_equal_samples_get_a_message(refinesr: Command, photo: Path) -> None:
    save_stage(stage(replace(packed(4), precond=Blind())), Path("blind.safetensors"))
    message = "all samples will be the same: this result does not depend on the seed\n"
    for options in (["-m", "blind.safetensors", "--steps", 1], ["--fidelity", 1]):
        assert refinesr("upscale", photo, *options, "--samples", 2, "--overwrite").err == message
        assert variety("photo-x4-1.png", "photo-x4-2.png") == 0
        assert refinesr("upscale", photo, *options, "--overwrite").err == ""


def variety(*names: str) -> float:
    """The standard deviation over pictures, in levels."""
    return float(np.stack([pixels(name).astype(float) for name in names]).std(0).mean())


@pytest.mark.parametrize("steps", [1, 4])
def test_samples_differ_more_as_the_hint_says(refinesr: Command, photo: Path, steps: int) -> None:
    """The shipped model's mean is one for all seeds, so 0.7 of it leaves 0.3 of the spread, and rounding."""
    spread = []
    for share in (0.7, 0):
        refinesr("upscale", photo, "--samples", 3, "--overwrite", "--steps", steps, "--fidelity", share)
        spread.append(variety(*(f"photo-x4-{k}.png" for k in (1, 2, 3))))
    assert spread[1] > 1.5 * spread[0]


@pytest.mark.parametrize("deep", [False, True])
def test_json_measures_deep_pictures_in_their_depth(upscale: Command, deep: bool) -> None:
    values = np.random.default_rng(0).uniform(0.2, 0.8, (12, 20, 3))
    kind = (
        (values.astype(np.float32), "deep.tif", "tiff")
        if deep
        else ((values * 65535).astype(np.uint16), "deep.png", "png")
    )
    write(Picture(kind[0]), kind[1])
    kept = json.loads(upscale(kind[1], "--json", "--ext", kind[2]).out)
    assert kept["agreement"] == 1
    assert kept["lr_psnr"] > 70


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--overwrite", "--skip-existing"],
            "--skip-existing keeps what --overwrite replaces; give one of the two",
        ),
        (["-s", "0"], "--scale: 0 is not a positive number"),
        (["-s", "nan"], "--scale: nan is not a positive number"),
        (["--samples", "0"], "--samples: 0 is not positive"),
        (["--quality", "101"], "--quality: 101 is not between 1 and 100"),
        (["--seed", "-1"], "seed: -1 is not between 0 and 2**63 - 1"),
        (["--seed", 2**63 - 1, "--samples", 2], f"seed: {2**63} is not between 0 and 2**63 - 1"),
        (["--tile", "-1"], "tile: -1 is negative; 0 means no tiles"),
        (["--steps", "0"], "steps: 0 is not positive"),
        (["--set", "precond=EDM"], f"--set: 'precond' {NOT_SET}"),
        (["--set", "method.sampling.steps=2"], f"--set: 'method.sampling.steps' {NOT_SET}"),
        (["--set", "samplings.steps=2"], f"--set: 'samplings.steps' {NOT_SET}"),
        (["--set", "sampling.steps"], "--set: 'sampling.steps' is not of the form field=value"),
        (
            ["--set", "sampling.temperature=-1"],
            "--set: sampling.temperature: -1 is not between 0 (no noise) and 1 (all)",
        ),
        (
            ["--set", "sampling.guidance=2"],
            "--set: sampling.guidance: the source has no class that could be withheld; use 1",
        ),
        (["--fidelity", "2"], "fidelity: 2 is not between -1 (as far beyond the sample) and 1 (the mean)"),
    ],
)
def test_values_that_make_no_sense_are_one_line(
    upscale: Command, photo: Path, options: list[object], message: str
) -> None:
    ran = upscale(photo, *options)
    assert (ran.code, ran.out, ran.err) == (2, "", message + "\n")
    assert os.listdir() == ["photo.png"]


def test_a_missing_model_is_one_line(refinesr: Command, photo: Path) -> None:
    ran = refinesr("upscale", photo, "-m", "no.safetensors")
    assert (ran.code, ran.err) == (2, "no.safetensors: no such file\n")


def fails_with(error: BaseException) -> Any:
    def restored(*_: object, **__: object) -> Iterator[object]:
        raise error
        yield

    return restored


@pytest.mark.parametrize(
    ("error", "options", "hint"),
    [
        (MemoryError(), ["-t", 512], "use --tile 64"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 1 byte"), ["-t", 96], "use --tile 32"),
        (RuntimeError("CUDA out of memory. Tried"), [], "use --tile 64"),
        (RuntimeError("MPS backend out of memory"), ["-t", 0], "use --tile 64"),
        (MemoryError(), ["-t", 32], "not even its result fits; cut it into parts"),
    ],
)
def test_too_little_memory_is_one_line_with_a_smaller_tile(
    upscale: Command, monkeypatch: pytest.MonkeyPatch, error: Exception, options: list[object], hint: str
) -> None:
    monkeypatch.setattr(refinesr.restore, "restore_picture", fails_with(error))
    ran = upscale(picture("photo.png", 100, 130), *options)
    assert (ran.code, ran.err) == (2, f"photo.png: not enough memory for a 130 x 100 picture; {hint}\n")


@pytest.mark.parametrize("name", ["ulimit_memory", "container_limit"])
def test_no_tile_is_advised_where_the_result_alone_does_not_fit(
    upscale: Command, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """85 bytes for each of 400 x 520 pixels are 16.9 MiB."""
    monkeypatch.setattr(refinesr.restore, "restore_picture", fails_with(MemoryError()))
    said = "photo.png: not enough memory for a 130 x 100 picture; "
    for mebibytes, hint in ((16, CUT), (18, "use --tile 32")):
        monkeypatch.setattr(f"refinesr.memory.{name}", lambda limit=mebibytes: limit * 2**20)
        ran = upscale(picture("photo.png", 100, 130), "-t", 64)
        assert (ran.code, ran.err) == (2, f"{said}{hint}\n")


CUT = "its result needs about 0.0165 GiB for any tile, of 0.0156 GiB: cut it into parts"


def test_available_memory_is_the_least_of_system_shell_and_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refinesr.memory.GROUPS", (str(tmp_path / "none"), str(tmp_path / "max")))
    (tmp_path / "max").write_text("max\n")
    whole = device_memory(torch.device("cpu"))
    assert whole is not None
    (tmp_path / "max").write_text("1234567\n")
    assert device_memory(torch.device("cpu")) == 1234567 < whole
    resource = pytest.importorskip("resource")  # not on Windows
    limits = {resource.RLIMIT_AS: 123456, resource.RLIMIT_DATA: resource.RLIM_INFINITY}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limits[kind], resource.RLIM_INFINITY))
    assert device_memory(torch.device("cpu")) == 123456


def test_other_runtime_errors_are_bugs(
    upscale: Command, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refinesr.restore, "restore_picture", fails_with(RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes"):
        upscale(photo)


@pytest.mark.parametrize(("number", "code", "word"), SIGNALS)
def test_a_signal_while_writing_leaves_no_partial_file(
    upscale: Command, photo: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int, word: str
) -> None:
    seen = []

    def replace(source: Path, target: Path) -> None:
        seen.extend(os.listdir())
        os.kill(os.getpid(), number)

    monkeypatch.setattr(os, "replace", replace)
    ran = upscale(photo)
    assert (ran.code, ran.out, ran.err) == (code, "", word + "\n")
    assert any(name.endswith(".part") for name in seen)
    assert os.listdir() == ["photo.png"]


def test_a_terminal_shows_the_progress_of_files(
    upscale: Command, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refinesr.cli.bars.on_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    ran = upscale(photo, picture("more.png"))
    assert all(word in ran.err for word in ("2 files", "photo.png", "more.png", "50%", "100%"))
    assert [line.split()[0] for line in ran.out.splitlines()] == ["photo.png", "more.png"]


def test_progress_of_a_file_covers_all_its_samples(
    upscale: Command, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing goes back, and nothing is over, with no time left, while samples are still to be made."""
    seen: list[tuple[tuple[float, float], bool]] = []

    class Watched(Progress):
        def update(self, *words: Any, **named: Any) -> None:
            super().update(*words, **named)
            files, at_work = self.tasks
            seen.append(((files.percentage, at_work.percentage), files.finished))

    monkeypatch.setattr("rich.progress.Progress", Watched)
    upscale(photo, "--samples", 3, "-o", "large")
    os.remove("large/photo-x4-2.png")
    seen.clear()
    Path("bad.png").write_bytes(b"")
    upscale("bad.png", photo, picture("more.png"), "--samples", 3, "--skip-existing", "-o", "large")
    files, at_work = zip(*(each for each, _ in seen), strict=True)
    assert list(files) == sorted(files)
    assert [over for _, over in seen].index(True) == len(seen) - 1
    ninths = {round(9 * share / 100, 6) for share in files}
    assert ninths >= {0, 3, 6, 7, 8, 9}, "two of the samples of photo.png are there already"
    assert sum(later < sooner for sooner, later in pairwise(at_work)) == 1, "the next file alone begins anew"


def test_a_cascade_enlarges_by_all_of_its_stages(refinesr: Command, photo: Path) -> None:
    """`photo-x4` twice, by one file and no weights of its own."""
    entry = {"model": "photo-x4", "steps": 1}
    Path("twice.json").write_text(json.dumps({"format": "refinesr-cascade-1", "stages": [entry, entry]}))
    Path("folder").mkdir()
    Path("folder/cascade.json").write_text(Path("twice.json").read_text())
    for name in ("twice.json", "folder"):
        ran = refinesr("upscale", photo, "-m", name, "--overwrite")
        assert (ran.code, ran.err) == (0, "")
        assert "photo.png -> photo-x16.png  20 x 12 -> 320 x 192" in ran.out
    kept = json.loads(refinesr("upscale", photo, "-m", "folder", "--json", "--overwrite").out)
    assert (kept["steps"], kept["fidelity"]) == (2, None)  # each stage has its own
    assert kept["lr_psnr"] > 40  # not all: made small in one step of 16, and not two of 4
    ran = refinesr("upscale", photo, "-m", "folder", "--steps", 3, "--overwrite")
    message = "steps: each stage of a cascade has its own; its JSON file says them\n"
    assert (ran.code, ran.err) == (2, message)


def test_a_cascade_given_as_a_model_is_explained(refinesr: Command) -> None:
    Path("folder").mkdir()
    Path("folder/cascade.json").write_text("{}")
    ran = refinesr("search", "folder", "--data", "none", "--steps", 2)
    assert (ran.code, ran.err) == (2, "folder: holds a cascade, not a model; load_cascade loads it\n")
