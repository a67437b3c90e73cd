"""`refinesr search` in this process, with a tiny model on three pictures."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import Command, missing, picture
from methods import packed, plain, stage
from PIL import Image
from torch import Tensor, nn

import refinesr.search as searching
from refinesr.checkpoint import load_stage, read_safetensors, save_stage
from refinesr.cli.drawing import matplotlib_figure, save_figure
from refinesr.config import from_data
from refinesr.diffusion.levels import OneLevel
from refinesr.diffusion.precond import Blind
from refinesr.diffusion.schedule import Explicit, GridChoice, Karras
from refinesr.metrics.perceptual import FEATURES, LINEAR
from refinesr.nets.tiny import Tiny
from refinesr.search import Psnr, SearchPlan, SearchProgress, Trial, load_search_set, ranked, search
from refinesr.sources import Blank

FAST = ("--steps", 2, "--candidates", 4, "--precision", "fp32")


@pytest.fixture
def seek(refinesr: Command, model: str, photos: Path) -> Command:
    return lambda *words: refinesr("search", model, "--data", photos, *FAST, *words)


def test_the_table_says_what_each_grid_scored_against_the_models_own(seek: Command, model: str) -> None:
    ran = seek()
    lines = ran.out.splitlines()
    assert (ran.code, ran.err) == (0, "")
    assert lines[0].split() == ["rank", "grid", "PSNR", "against", "own", "pictures"]
    assert lines[1].startswith("own   Karras(low=0.05, high=20.0, rho=7.0) ")
    assert [line.split()[0] for line in lines[2:-1]] in (["1", "2", "3", "4"], ["2", "3", "4", "5"])
    assert lines[-1].startswith("PSNR, higher is better: ")
    made = load_stage(Path(model))
    held = load_search_set(made.method, Path("photos"))
    found = [s.trial for s in search(made, held, Psnr(), SearchPlan(2, candidates=4)) if s.trial]
    order = ranked(found, Psnr())
    others = [trial for trial in order if trial.sampling != found[0].sampling]
    for line, trial in zip(lines[2:-1], others, strict=True):
        difference, error = trial.difference(found[0])
        assert str(trial.sampling.grid) in line
        assert f"{trial.score:.4g} ± {trial.error:.2g}" in line
        assert f"{difference:+.3g} ± {error:.2g}" in line
        assert line.endswith(" 3")


def test_the_winner_is_stored_in_a_copy_that_is_used_at_once(
    seek: Command, refinesr: Command, model: str
) -> None:
    ran = seek("-o", "better.safetensors", "--json", "report.json")
    report = json.loads(Path("report.json").read_text())
    old, new = load_stage(Path(model)), load_stage(Path("better.safetensors"))
    grid = from_data(GridChoice, report["best"]["grid"], "report")
    assert ran.out.splitlines()[-1] == f"better.safetensors  {grid}"
    assert new.method == replace(
        old.method, sampling=replace(old.method.sampling, grid=grid, steps=report["best"]["steps"])
    )
    for name, tensor in old.model.state_dict().items():
        assert torch.equal(tensor, new.model.state_dict()[name])
    assert new.card.figures[-1].startswith("grid for 2 steps searched: PSNR ")
    assert refinesr("upscale", "photos/0.png", "-m", "better.safetensors", "-o", "out.png").code == 0


def test_the_report_holds_all_it_takes_to_repeat_the_search(seek: Command, model: str) -> None:
    seek("--json", "a.json", "--seed", 3)
    seek("--json", "b.json", "--seed", 3)
    report = json.loads(Path("a.json").read_text())
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()
    assert report["pictures"] == [f"photos/{number}.png" for number in range(3)]
    expected = {"model": model, "data": "photos", "size": [40, 40], "metric": "PSNR"}
    expected |= {"higher_is_better": True, "steps": 2, "candidates": 4, "seed": 3, "batch": 8}
    assert {name: report[name] for name in expected} == expected
    scores = [trial["score"] for trial in report["trials"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 5
    assert report["best"].items() >= report["trials"][0].items()
    assert report["best"]["levels"][-1] == 0
    assert report["own"]["against_own"] is None


def test_sixteen_bit_weights_stay_so_and_lose_nothing(refinesr: Command, photos: Path) -> None:
    save_stage(stage(packed()), Path("half.safetensors"), dtype=torch.bfloat16)
    refinesr("search", "half.safetensors", "--data", photos, *FAST, "-o", "new.safetensors")
    old, new = (read_safetensors(Path(name))[0] for name in ("half.safetensors", "new.safetensors"))
    assert {tensor.dtype for tensor in new.values()} == {torch.bfloat16}
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_a_plot_is_a_picture_in_either_format(seek: Command) -> None:
    pytest.importorskip("matplotlib")
    assert seek("--plot", "a.png").code == 0
    assert seek("--plot", "a.svg").code == 0
    assert np.asarray(Image.open("a.png").convert("L")).std() > 10
    assert ElementTree.parse("a.svg").getroot().tag.endswith("}svg")


def test_a_drawing_is_the_same_file_each_time(tmp_path: Path) -> None:
    """Also where parts of it are named, as clipped lines and colours of a scatter are."""
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        figure = matplotlib_figure("--plot", 12, 5)
        figure.subplots().scatter([0.1, 1], [1, 2], 60, [1, 2])
        save_figure(figure, tmp_path / name, "svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_without_matplotlib_a_plot_is_refused_before_any_work(
    seek: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing(monkeypatch, "matplotlib")
    monkeypatch.setattr(searching, "loading_search_set", None)
    ran = seek("--plot", "a.png")
    assert (ran.code, ran.err) == (2, "--plot: needs matplotlib: pip install 'refinesr[plot]'\n")


NEEDED = "--features: --metric"
REPLACES = "the result would replace the input"
LPIPS, FID = ("--metric", "perceptual", "--features"), ("--metric", "fid", "--features")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "model.pth"], "--store: model.pth: suffix '.pth' is not .safetensors"),
        (["--plot", "a.gif"], "--plot: a.gif: suffix '.gif' is not .png or .svg"),
        (["--json", "no/a.json"], "--json: no/a.json: there is no folder no"),
        (["--json", "photos", "--overwrite"], "--json: photos: is a folder; give a file's name"),
        (["--plot", "a.png", "--json", "./a.png"], "--json: a.png: is the file of --plot, too; name another"),
        (["--json", "photos/0.png"], f"photos/0.png: {REPLACES} photos/0.png; rename one"),
        (["--metric", "perceptual"], f"{NEEDED} perceptual needs a folder with {FEATURES} and {LINEAR}"),
        ([*LPIPS, "."], f"{FEATURES}: no such file; the perceptual distance needs it"),
        (["--metric", "fid"], f"{NEEDED} fid needs a TorchScript file like inception-2015-12-05.pt"),
        ([*FID, "no.pt"], "no.pt: no such file; a TorchScript file that makes features is needed"),
        (["--features", "."], "--features: . has no use for --metric psnr; name another metric"),
        (["--seed", "-1"], "seed: -1 is not between 0 and 2**63 - 1"),
        (["--size", "42"], "size: 42 is not a positive multiple of scale 4"),
        (["--size", "48"], "photos/0.png: 48 x 40 pixels do not hold a crop of size 48"),
        (["--limit", "1"], "data: 1 are too few pictures for PSNR, at least 2"),
    ],
)
def test_what_cannot_be_is_one_line(seek: Command, words: list[str], message: str) -> None:
    ran = seek(*words)
    assert (ran.code, ran.out, ran.err) == (2, "", message + "\n")


def test_no_result_replaces_the_model(refinesr: Command, model: str, photos: Path) -> None:
    Path("run").mkdir()
    Path("run/model.safetensors").write_bytes(before := Path(model).read_bytes())
    Path("link.safetensors").symlink_to("run/model.safetensors")
    for name, source in (("run", "run/model.safetensors"), ("link.safetensors", "link.safetensors")):
        for option in ("--store", "--json"):
            words = ("--data", photos, *FAST, option, "run/model.safetensors", "--overwrite")
            ran = refinesr("search", name, *words)
            message = f"run/model.safetensors: the result would replace the input {source}; rename one\n"
            assert (ran.code, ran.out, ran.err) == (2, "", message)
    assert Path("run/model.safetensors").read_bytes() == before


def test_no_result_replaces_a_picture_or_features(refinesr: Command, model: str, photos: Path) -> None:
    """Nor one that is reached by a link, or a tar of them; beside them it may lie."""
    with tarfile.open("photos/more.tar", "w") as tar:
        tar.add("photos/0.png")
    Path("photos/link.png").symlink_to(picture("far.png", 40, 48).absolute())
    Path("lpips").mkdir()
    Path("lpips", LINEAR).write_bytes(b"weights")
    words = ("--data", photos, *FAST, *LPIPS, "lpips", "--overwrite")
    for source in ("photos/1.png", "photos/more.tar", "photos/link.png", f"lpips/{LINEAR}"):
        path = os.path.relpath(os.path.realpath(source))
        before = Path(path).read_bytes()
        ran = refinesr("search", model, *words, "--json", path)
        message = f"{path}: {REPLACES} {source}; rename one\n"
        assert (ran.code, ran.out, ran.err) == (2, "", message)
        assert Path(path).read_bytes() == before
    words = ("--data", photos, *FAST, "--json", "photos/found.json")
    assert refinesr("search", model, *words).code == 0
    assert refinesr("search", model, *words).err == "photos/found.json exists; --overwrite replaces it\n"
    assert refinesr("search", model, *words, "--overwrite").code == 0


def test_each_spacing_needs_a_candidate(refinesr: Command, model: str, photos: Path) -> None:
    ran = refinesr("search", model, "--data", photos, "--steps", 3, "--candidates", 2)
    assert (ran.code, ran.err) == (2, "candidates: 2 is too few; there are 3 spacings to try\n")


def test_a_regression_has_nothing_to_search(refinesr: Command, photos: Path) -> None:
    method = packed()
    sampling = replace(method.sampling, grid=Explicit((1.0,)), steps=1)
    method = replace(method, precond=Blind(), levels=OneLevel(1.0), sampling=sampling)
    save_stage(stage(method), Path("regression.safetensors"))
    ran = refinesr("search", "regression.safetensors", "--data", photos, *FAST)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "a Blind model makes one call" in ran.err


class Levels(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.float().mean((2, 3))


def test_a_model_without_a_condition_is_searched_by_fid(refinesr: Command, photos: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Levels()).save("levels.pt")
    method = replace(plain(2), source=Blank(), network=Tiny(3, image_channels=0, width=4, blocks=1))
    save_stage(stage(method), Path("blank.safetensors"))
    common = ("search", "blank.safetensors", "--data", photos, *FAST)
    ran = refinesr(*common, "--metric", "fid", "--features", "levels.pt")
    assert ran.code == 0
    assert ran.out.splitlines()[-1].startswith("FID, lower is better: ")
    refused = refinesr(*common)
    message = "metric: PSNR compares with a picture that the model is not shown; use fid\n"
    assert (refused.code, refused.err) == (2, message)


@pytest.mark.parametrize(("number", "code", "word"), [(signal.SIGINT, 130, "interrupted")])
def test_a_signal_ends_the_search_with_what_is_known_and_stores_nothing(
    seek: Command, monkeypatch: pytest.MonkeyPatch, number: int, code: int, word: str
) -> None:
    real = searching.search

    def stopping(*args: Any) -> Iterator[SearchProgress]:
        for count, state in enumerate(real(*args)):
            if count == 6:
                os.kill(os.getpid(), number)
            yield state

    monkeypatch.setattr(searching, "search", stopping)
    ran = seek("-o", "better.safetensors", "--json", "a.json")
    assert (ran.code, ran.err) == (code, f"{word} after 2 trials; nothing is stored\n")
    assert ran.out.startswith("rank  grid ")
    assert not Path("better.safetensors").exists()
    assert not Path("a.json").exists()


def test_too_little_memory_is_told_with_what_to_do(seek: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> Iterator[SearchProgress]:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        yield

    monkeypatch.setattr(searching, "search", full)
    ran = seek()
    assert (ran.code, ran.err) == (2, "not enough memory for 8 x 40 x 40 pixels; use --batch 4\n")
    assert seek("--batch", 1).err == "not enough memory for 1 x 40 x 40 pixels; use a smaller --size\n"


def test_a_difference_within_two_errors_is_said_to_be_chance_perhaps() -> None:
    from refinesr.cli.ranking import Ranking

    sampling = packed().sampling

    def judged(low: float, *parts: float) -> Trial:
        return Trial(replace(sampling, grid=Karras(low, 20.0)), 4, sum(parts) / 4, parts)

    own, sure, unsure = (
        judged(0.1, 1.0, 2.0, 3.0, 4.0),
        judged(0.2, 2.0, 3.0, 4.0, 5.1),
        judged(0.3, 0.0, 2.0, 3.0, 6.0),
    )
    assert "may be chance" not in Ranking(Psnr(), (own, sure)).summary()
    assert Ranking(Psnr(), (own, unsure)).summary().endswith("the same 4 pictures, which may be chance")
    assert (
        Ranking(Psnr(), (sure, own)).summary().endswith("nothing that was tried beats the model's own grid")
    )


def test_the_best_has_the_steps_that_were_asked_for() -> None:
    """A grid that lists its levels can be had in no other number, and more steps are no fair rival."""
    from refinesr.cli.ranking import Ranking

    sampling = packed().sampling

    def judged(grid: GridChoice, steps: int, *parts: float) -> Trial:
        return Trial(replace(sampling, grid=grid, steps=steps), 2, sum(parts) / 2, parts)

    own = judged(Explicit((9.0, 3.0, 1.0)), 3, 8.0, 9.0)
    searched = judged(Karras(0.1, 20.0), 2, 2.0, 4.0), judged(Karras(0.2, 20.0), 2, 1.0, 4.0)
    ranking = Ranking(Psnr(), (own, *searched))
    assert ranking.best == searched[0]
    assert "5.5 ± 0.5 worse than the model's own grid in 3 steps" in ranking.summary()
    assert Ranking(Psnr(), (own,)).best == own


def test_a_long_list_of_levels_is_shown_by_its_ends() -> None:
    """The table stays narrow."""
    from refinesr.cli.ranking import Ranking

    sampling, ladder = packed().sampling, Explicit(tuple(float(level) for level in range(100, 0, -1)))
    own, other = (
        Trial(replace(sampling, grid=grid, steps=100), 2, 1.0 + place, (1.0, 1.0 + 2 * place))
        for place, grid in enumerate((ladder, Karras(0.1, 20.0)))
    )
    table = list(Ranking(Psnr(), (own, other)).lines())
    assert table[1].startswith("own   Explicit(100, 99, 98, 97, ..., 4, 3, 2, 1)  1 ± ")
    assert max(map(len, table[:-1])) < 100


def test_help_waits_for_nothing_heavy() -> None:
    code = "import sys; from refinesr.cli import main; main(['search', '--help']); "
    code += "sys.exit(bool({'torch', 'matplotlib', 'numpy'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "--metric" in ran.stdout


def test_pictures_of_subfolders_are_found(refinesr: Command, model: str) -> None:
    for number in range(2):
        picture(f"more/inside/{number}.png", 40, 40)
    assert refinesr("search", model, "--data", "more", *FAST).code == 0
