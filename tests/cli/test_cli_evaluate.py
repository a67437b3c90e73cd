"""`refinesr evaluate`: tables beside the papers', what goes on where it was stopped, and what is refused."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from commands import Command, Ran, picture
from methods import packed, stage
from PIL import Image

import refinesr.cli.app
import refinesr.cli.evaluate
import refinesr.evaluate.page
import refinesr.evaluate.upscalers
from refinesr.checkpoint import save_stage
from refinesr.diffusion.precond import Blind
from refinesr.diffusion.samplers import Ancestral, Heun
from refinesr.diffusion.schedule import Explicit
from refinesr.errors import OutputError
from refinesr.evaluate.evaluation import Evaluation
from refinesr.files import check_unlocked, locked
from refinesr.method import Sampling

FORMAT = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
"""Of files of other people, deprecated for new ones."""


class Means(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().mean((2, 3))


class Certain(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.eye(7)[2].expand(len(images), 7)


@pytest.fixture
def data() -> Path:
    """A folder of three photos of 64 x 80 pixels."""
    Path("data").mkdir()
    for number, left in enumerate((100, 180, 260)):
        Image.fromarray(skimage.data.chelsea()[60:124, left : left + 80]).save(f"data/{number}.png")
    return Path("data")


@pytest.fixture
def evaluate(refinesr: Command, data: Path) -> Command:
    """On the folder, into `out`, by classic-y unless another protocol is named."""

    def run(*words: object) -> Ran:
        protocol = () if "--protocol" in words else ("--protocol", "classic-y")
        return refinesr("evaluate", *words, "--data", data, *protocol, "-o", "out", "--device", "cpu")

    return run


def report() -> dict[str, Any]:
    return json.loads(Path("out/report.json").read_text())


def low(scale: int = 4) -> Path:
    Path("low").mkdir()
    for path in Path("data").iterdir():
        image = Image.open(path)
        size = (image.width // scale, image.height // scale)
        image.resize(size, Image.Resampling.BICUBIC).save(f"low/{path.stem}x{scale}.png")
    return Path("low")


def test_several_methods_make_one_table(evaluate: Command, model: str) -> None:
    ran = evaluate("bicubic", "nearest", f"ours={model}", "same=data")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "# classic-y: data, 3 pictures"
    assert [line.split(" ")[1] for line in lines[4:8]] == ["bicubic", "nearest", "ours", "same"]
    assert lines[7].split(" | ")[1:3] == ["inf", "1.0000 ± 0.0000"]
    assert sorted(path.name for path in Path("out").iterdir()) == [
        ".lock",
        "images.csv",
        "page.html",
        "pictures",
        "report.json",
        "table.md",
    ]
    told = report()
    assert [row["calls"] for row in told["methods"]] == [0, 0, 3, None]
    assert Path("out/table.md").read_text().rstrip() == ran.out.rstrip()


def test_the_report_is_held_until_its_page_is_written(
    evaluate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = refinesr.evaluate.page.write_page

    def asking(output: Path) -> Path:
        with pytest.raises(OutputError, match="another process is at work in this folder"):
            check_unlocked(output)
        return page(output)

    monkeypatch.setattr(refinesr.evaluate.page, "write_page", asking)
    assert evaluate("bicubic", "--scale", 4).code == 0
    check_unlocked(Path("out"))


def test_a_report_that_is_held_is_refused_before_anything_is_read(
    evaluate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refinesr.cli.evaluate, "plan_evaluation", None)
    with locked(Path("out")):
        ran = evaluate("bicubic", "--scale", 4)
    wait = "wait until it is done, or choose another folder"
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"out: another process is at work in this folder; {wait}\n"


def test_a_model_may_stand_in_several_rows_by_its_steps(evaluate: Command) -> None:
    """And the page draws quality against calls."""
    ran = evaluate("photo-x4@1", "photo-x4@2", "mine=photo-x4@2")
    assert ran.code == 0
    rows = {each["name"]: each for each in report()["methods"]}
    assert {name: row["calls"] for name, row in rows.items()} == {
        "photo-x4@1": 1,
        "photo-x4@2": 2,
        "mine": 2,
    }
    assert rows["mine"]["metrics"] == rows["photo-x4@2"]["metrics"] != rows["photo-x4@1"]["metrics"]
    assert "alls against" in Path("out/page.html").read_text()


def test_the_method_that_refuses_an_option_is_named(evaluate: Command) -> None:
    blind = replace(packed(4), precond=Blind(), sampling=Sampling(Ancestral(0.0), Explicit((1.0,)), 1))
    save_stage(stage(blind), Path("blind.safetensors"))
    ran = evaluate("bicubic", "photo-x4@2", "blind.safetensors@2")
    message = "blind.safetensors: steps: 2 is not possible; the grid lists 1 level\n"
    assert (ran.code, ran.err) == (2, message)


def test_how_models_are_run_is_told(evaluate: Command) -> None:
    told = "models are run with fidelity 1 (--fidelity)"
    assert evaluate("photo-x4", "--fidelity", 1, "--limit", 1).code == 0
    assert told in report()["protocol"]["conventions"]
    assert f"- {told}\n" in Path("out/table.md").read_text()
    assert told in Path("out/page.html").read_text()
    ran = evaluate("photo-x4", "--orientations", 2, "--steps", 1, "--limit", 1, "--overwrite")
    assert "models are run with orientations 2 (--orientations)" in ran.out
    assert report()["methods"][0]["calls"] == 2
    setting = "sampling.sampler=Heun"
    ran = evaluate("photo-x4@2", "bicubic", "--set", setting, "--limit", 1, "--overwrite")
    assert f"models are run with {setting} (--set)" in ran.out
    assert report()["methods"][0]["calls"] == Heun().calls(2) == 3
    ran = evaluate("photo-x4", "--set", "scale=2", "--limit", 1, "--overwrite")
    assert (ran.code, ran.err.split(";")[0]) == (2, "photo-x4: --set: 'scale' is no field of sampling")
    evaluate("photo-x4", "--via", 12, "--limit", 1, "--steps", 1, "--overwrite")
    shown, *rest = (text for text in report()["protocol"]["conventions"] if text.startswith("models are"))
    assert "a shorter side of 12 pixels" in shown
    assert rest == []


def test_json_is_the_report(evaluate: Command) -> None:
    ran = evaluate("bicubic", "--scale", 4, "--json")
    assert json.loads(ran.out) == report()
    assert report()["methods"][0]["metrics"]["psnr_y"]["count"] == 3


def test_the_papers_rows_stand_beside_those_measured(evaluate: Command) -> None:
    ran = evaluate("bicubic", "--protocol", "srdiff-general")
    assert "| SRDiff (published) | 27.41 | 0.79 | 55.21 |" in ran.out.splitlines()
    assert ran.err.startswith("LPIPS is not measured, which the paper reports; --lpips takes alex.pth")


def test_the_scale_is_the_models_or_that_of_the_poor_pictures(evaluate: Command, model: str) -> None:
    evaluate("bicubic", model)
    assert report()["protocol"]["conventions"][0] == "scale 4"
    Path("out").rename("first")
    ran = evaluate("lanczos", "--low", low(2))
    assert (ran.code, ran.err) == (0, "")
    assert "scale 2" in report()["protocol"]["conventions"]


def test_without_anything_that_tells_the_scale_it_is_asked_for(evaluate: Command) -> None:
    ran = evaluate("bicubic")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "--scale: missing, and neither the protocol nor a model nor --low determines it\n"


def test_scales_that_do_not_fit_are_refused(evaluate: Command, model: str) -> None:
    ran = evaluate("bicubic", model, "--protocol", "sr3-faces")
    assert (ran.code, ran.err) == (2, "tiny: has scale 4, not 8\n")
    for scale in (2, 0):
        ran = evaluate("bicubic", "--protocol", "srdiff-general", "--scale", scale)
        line = f"scale: {scale} is not that of protocol srdiff-general, 4"
        assert (ran.code, ran.err.splitlines()[-1]) == (2, line)


def test_stopped_by_ctrl_c_it_goes_on_to_the_same_bytes(
    evaluate: Command, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("bicubic", model, "--samples", 2)
    whole = Evaluation.run

    def stopping(*given: Any, **named: Any) -> Iterator[Any]:
        for at in whole(*given, **named):
            if at.image and at.done == 2:
                raise KeyboardInterrupt
            yield at

    monkeypatch.setattr(Evaluation, "run", stopping)
    assert evaluate(*words).code == 130
    assert not Path("out/report.json").exists()
    assert Path("out/pictures/tiny/samples/1-2.png").exists()
    monkeypatch.setattr(Evaluation, "run", whole)
    evaluate(*words)
    resumed = Path("out/report.json").read_bytes()
    Path("out").rename("first")
    evaluate(*words)
    assert Path("out/report.json").read_bytes() == resumed


def test_a_model_that_has_made_all_is_not_asked_again(
    evaluate: Command, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(model)
    first = Path("out/report.json").read_bytes()

    def refused(*given: Any) -> Iterator[Any]:
        raise AssertionError

    monkeypatch.setattr(refinesr.evaluate.upscalers.ModelUpscaler, "upscale", refused)
    assert evaluate(model, "bicubic").code == 0
    assert evaluate(model).code == 0
    assert Path("out/report.json").read_bytes() == first


def test_other_settings_are_refused_until_overwritten(evaluate: Command, model: str) -> None:
    evaluate(model)
    ran = evaluate(model, "--steps", 2)
    expected = "out/pictures/tiny: was made with stages.0.sampling.steps 3, not 2; --overwrite begins anew\n"
    assert (ran.code, ran.out, ran.err) == (2, "", expected)
    assert evaluate(model, "--steps", 2, "--overwrite").code == 0
    assert report()["methods"][0]["calls"] == 2


def test_samples_tell_their_spread(evaluate: Command, model: str) -> None:
    evaluate(model, "bicubic", "--samples", 3)
    ours, plain = report()["methods"]
    assert {"sigma", "crps", "coverage_50"} <= ours["metrics"].keys()
    assert ours["metrics"]["sigma"]["mean"] > 0
    assert "sigma" not in plain["metrics"]
    assert (ours["samples"], plain["samples"]) == (3, 1)


NAMED = [
    (["--perceptual", "none"], "none/squeezenet11.npz: no such file; the perceptual distance needs it"),
    (["--lpips", "none.pth"], "none.pth: no such file; the file's name determines the network of LPIPS"),
    (["--lpips", "alex.pth"], "alex.pth: no such file; it is the linear layers of LPIPS"),
    (["--dists", "none.pt"], "none.pt: no such file; it is the weights of DISTS"),
    (["--niqe", "none.npz"], "none.npz: no such file; it is the parameters of NIQE"),
    (["--features", "none.pt"], "none.pt: no such file; a TorchScript file that makes features"),
    (["--probabilities", "none.pt"], "none.pt: no such file; a TorchScript file that makes class"),
    (["--classifier", "none.pt", "--labels", "data.csv"], "none.pt: no such file; a TorchScript file"),
    (["--perceptual", "bad"], "bad/squeezenet11.npz: not an .npz of numbers"),
    (["--lpips", "bad/vgg.pth"], "bad/vgg.pth: damaged, or no file of torch.save"),
    (["--dists", "bad/weights.pt"], "bad/weights.pt: damaged, or no file of torch.save"),
    (["--niqe", "bad/squeezenet11.npz"], "bad/squeezenet11.npz: not an .npz of numbers"),
    (["--features", "bad/weights.pt"], "bad/weights.pt: not a TorchScript file"),
    (["--lpips", "good/squeeze.pth", "--backbone", "none.pth"], "none.pth: no such file; it is the weights"),
    (["--backbone", "none.pth"], "--backbone: none.pth has no use without --lpips or --dists"),
]


def files_of_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged ones, and a good one of LPIPS' linear layers; torch's cache is empty."""
    monkeypatch.setenv("TORCH_HOME", "cache")
    for name in ("squeezenet11.npz", "lpips-v0.1-squeeze-linear.pth", "vgg.pth", "weights.pt"):
        Path("bad").mkdir(exist_ok=True)
        Path("bad", name).write_bytes(b"nothing of the kind")
    widths = (64, 128, 256, 384, 384, 512, 512)
    linear = {f"lin{k}.model.1.weight": torch.ones(1, width, 1, 1) for k, width in enumerate(widths)}
    Path("good").mkdir()
    torch.save(linear, "good/squeeze.pth")
    Path("data.csv").write_text("0,2\n1,2\n2,5\n")


@pytest.mark.parametrize(("words", "line"), NAMED, ids=[" ".join(words) for words, _ in NAMED])
def test_a_file_that_is_named_and_cannot_be_used_is_an_error_before_any_work(
    evaluate: Command, words: list[str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files_of_metrics(monkeypatch)
    ran = evaluate("bicubic", "-s", 4, *words)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert ran.err.startswith(line)
    assert not Path("out").exists()


def test_weights_that_torchs_cache_lacks_are_told_and_the_rest_is_measured(
    evaluate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    files_of_metrics(monkeypatch)
    ran = evaluate("bicubic", "-s", 4, "--lpips", "good/squeeze.pth")
    assert ran.code == 0
    assert ran.err.startswith("cache/hub/checkpoints/squeezenet1_1-b8a52dc0.pth: no such file; it is the")
    assert "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth" in ran.err
    assert ran.err.endswith("; not measured\n")
    assert list(report()["metrics"]) == ["psnr_y", "ssim_y", "lr_psnr"]


def more(folder: str = "more") -> Path:
    """Other pictures of other names."""
    for number, top in enumerate((60, 130)):
        Path(folder).mkdir(exist_ok=True)
        Image.fromarray(skimage.data.astronaut()[top : top + 64, 180:260]).save(f"{folder}/a{number}.png")
    return Path(folder)


def test_a_report_of_other_pictures_is_refused_until_overwritten(
    evaluate: Command, refinesr: Command, model: str
) -> None:
    words = ("--data", more(), "--protocol", "classic-y", "-o", "out", "--device", "cpu")
    assert evaluate("bicubic", "nearest", model).code == 0
    first = Path("out/report.json").read_bytes()
    ran = refinesr("evaluate", "bicubic", "-s", 4, *words)
    assert (ran.code, ran.out) == (2, "")
    advice = "choose another folder, or --overwrite begins anew"
    assert ran.err == f"out: the report there is of '0', too; {advice}\n"
    assert Path("out/report.json").read_bytes() == first
    assert refinesr("evaluate", "bicubic", "-s", 4, *words, "--overwrite").code == 0
    names = sorted(path.relative_to("out").as_posix() for path in Path("out/pictures").rglob("*.png"))
    folders = ("bicubic", "high", "low")
    assert names == [f"pictures/{folder}/a{k}.png" for folder in folders for k in (0, 1)]
    assert [image["name"] for image in report()["images"]] == ["a0", "a1"]


def test_a_report_is_refused_even_where_its_pictures_are_gone(evaluate: Command, refinesr: Command) -> None:
    evaluate("bicubic", "-s", 4)
    shutil.rmtree("out/pictures")
    words = ("--data", more(), "--protocol", "classic-y", "-o", "out", "--device", "cpu")
    ran = refinesr("evaluate", "bicubic", "-s", 4, *words)
    assert (ran.code, report()["data"]) == (2, "data")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--protocol", "srdiff-general"], "is of classic-y, not of srdiff-general"),
        (["--scale", 2], "says 'scale 4', which is not so now"),
        (["--low", "low"], "says 'the low-resolution images are made by MATLAB's bicubic"),
    ],
)
def test_other_conventions_are_refused_until_overwritten(
    evaluate: Command, words: list[object], line: str
) -> None:
    low()
    assert evaluate("bicubic", "-s", 4).code == 0
    ran = evaluate("bicubic", *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-1].startswith(f"out: the report there {line}")
    assert evaluate("bicubic", *words, "--overwrite").code == 0


def test_stopped_while_it_begins_anew_no_older_report_is_left(
    evaluate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate("bicubic", "-s", 4)

    def stopping(*given: Any, **named: Any) -> Iterator[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Evaluation, "run", stopping)
    assert evaluate("bicubic", "-s", 4, "--overwrite").code == 130
    assert not {"report.json", "images.csv", "table.md", "page.html"} & {
        p.name for p in Path("out").iterdir()
    }


def test_which_seeds_models_have_is_among_the_conventions(evaluate: Command, model: str) -> None:
    """And a report of before that was said is gone on with."""
    told = "models' noise: each sample of each picture has a seed of its own, which follows from the seed"
    assert evaluate(model).code == 0
    assert told in Path("out/table.md").read_text()
    older = report()
    older["protocol"]["conventions"] = [
        line for line in older["protocol"]["conventions"] if not line.startswith(told)
    ]
    Path("out/report.json").write_text(json.dumps(older))
    assert evaluate(model, "bicubic").code == 0
    assert any(line.startswith(told) for line in report()["protocol"]["conventions"])


@FORMAT
def test_networks_of_files_are_asked(evaluate: Command) -> None:
    for name, network in (("means", Means()), ("certain", Certain())):
        torch.jit.script(network).save(f"{name}.pt")
    Path("labels.csv").write_text("0,2\n1,2\n2,5\n")
    seen = ("--features", "means.pt", "--probabilities", "certain.pt")
    named = ("--classifier", "certain.pt", "--labels", "labels.csv")
    ran = evaluate("bicubic", "same=data", "-s", 4, *seen, *named)
    assert (ran.code, ran.err) == (0, "")
    bicubic, same = (row["metrics"] for row in report()["methods"])
    assert same["fid"]["mean"] == pytest.approx(0, abs=1e-6)
    assert bicubic["fid"]["mean"] > 0
    assert same["is"]["mean"] == pytest.approx(1)
    assert same["top1"]["mean"] == pytest.approx(1 / 3)
    assert same["kid"]["mean"] < bicubic["kid"]["mean"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("0,2\n1,two\n", "labels.csv: line 2: '1,two' is not NAME,CLASS"),
        ("0,2\n2,2\n", "labels.csv: has no class of '1', which is data/1.png"),
    ],
)
@FORMAT
def test_labels_that_cannot_be_used_are_told(evaluate: Command, text: str, line: str) -> None:
    torch.jit.script(Certain()).save("certain.pt")
    Path("labels.csv").write_text(text)
    ran = evaluate("bicubic", "-s", 4, "--classifier", "certain.pt", "--labels", "labels.csv")
    assert (ran.code, ran.err) == (2, line + "\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["bicubic", "--limit", 0], "--limit: 0 is not positive"),
        (["bicubic", "--samples", 0], "samples: 0 is not positive"),
        (["bicubic", "bicubic"], "bicubic: two methods of one name; give NAME=... to one of them"),
        (["high=bicubic"], "'high' cannot be a method's name, which is a folder's; give NAME=..."),
        (["bicubic", "--reference", "a.npz"], "--reference: a.npz has no use without --features"),
        (["bicubic", "--labels", "a.csv"], "--classifier and --labels: one needs the other"),
        (["bicubic", "--via", 8], "--via: no model among the methods; it is for models"),
        (["empty"], "no pictures in empty"),
    ],
)
def test_nonsense_is_refused_before_any_work(evaluate: Command, words: list, line: str) -> None:
    Path("empty").mkdir()
    ran = evaluate(*words, "-s", 4)
    assert (ran.code, ran.out, ran.err) == (2, "", line + "\n")
    assert not Path("out").exists()


def test_pictures_that_do_not_fit_are_refused_before_any_work(evaluate: Command, model: str) -> None:
    for number in range(3):
        picture(f"made/{number}.png", 64, 80 - number)
    ran = evaluate(model, "made")
    assert ran.code == 2
    assert (
        "made/0.png: is shifted" in ran.err or "made/1.png: 79 x 64 pixels; data/1.png has 80 x 64" in ran.err
    )
    assert not Path("out").exists()


def test_a_poor_folder_without_a_partner_is_refused(evaluate: Command) -> None:
    (low() / "1x4.png").unlink()
    ran = evaluate("bicubic", "--low", "low")
    assert (ran.code, ran.err) == (2, "data/1.png: no picture in low has this name\n")


def test_numbers_are_those_of_the_pictures_written(evaluate: Command) -> None:
    """By numpy alone."""
    evaluate("bicubic", "--protocol", "srdiff-general")
    for image in report()["images"]:
        one, other = (
            np.asarray(Image.open(f"out/pictures/{folder}/{image['name']}.png"), dtype=float)
            for folder in ("high", "bicubic")
        )
        expected = 10 * np.log10(255**2 / ((one - other) ** 2).mean())
        assert image["scores"]["bicubic"]["psnr"] == pytest.approx(expected, rel=1e-9)


def test_names_that_are_too_long_are_found_out_before_any_work(evaluate: Command, data: Path) -> None:
    """Those of results, at the depth of bands, end in .tiff."""
    long = 251 * "x"
    words = "bicubic", "--protocol", "bands", "--scale", 4
    (data / "0.png").rename(data / f"{long}.png")
    for more in ((), ("--overwrite",)):
        ran = evaluate(*words, *more)
        told = f"out/pictures/bicubic/{long}.tiff: cannot be written: File name too long\n"
        assert (ran.code, ran.err, Path("out").exists()) == (2, told, False)
    (data / f"{long}.png").rename(data / f"{long[1:]}.png")
    assert evaluate(*words).code == 0
    ran = evaluate(f"{256 * 'y'}=bicubic", *words[1:])
    assert ran.err == f"out/pictures/{256 * 'y'}: cannot be written: File name too long\n"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are text there")
def test_a_folder_whose_name_is_no_text_is_shown_with_escapes(refinesr: Command, data: Path) -> None:
    named = data.rename(os.fsdecode(b"caf\xe9"))
    words = "--protocol", "classic-y", "--scale", 4, "-o", "out"
    ran = refinesr("evaluate", "bicubic", "--data", named, *words)
    assert (ran.code, ran.err) == (0, "")
    assert report()["data"] == "caf\\udce9"
