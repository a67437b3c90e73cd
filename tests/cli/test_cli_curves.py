"""`refinesr curves`: folders of runs in, one picture out."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from commands import Command, missing
from PIL import Image

from refinesr.cli.loss_curves import RunHistory, differences, read_history, smoothing_window
from refinesr.config import override, to_data
from refinesr.recipes import RECIPES, tiny
from refinesr.run import Run

pytest.importorskip("matplotlib")

RUN = tiny(RECIPES["photo-x4-small"]())
Make = Callable[..., Path]


@pytest.fixture
def made() -> Make:
    """A folder as a run leaves it: so many updates of falling losses, and what was measured."""

    def make(name: str, updates: int = 300, measured: str = "", run: Run = RUN) -> Path:
        folder = Path(name)
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps(to_data(run)))
        lines = [
            {"step": k, "loss": 1 / k + 0.01 * (k % 3), "gradient": 1.0, "rate": 1e-3}
            for k in range(1, updates + 1)
        ]
        (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        if measured:
            (folder / "held_out.jsonl").write_text(measured)
        return folder

    return make


def held(pictures: str = "0a", **more: float) -> str:
    lines = [{"step": k, "loss": loss} for k, loss in ((0, 0.9), (100, 0.2), (200, 0.1), (300, 0.15))]
    lines[-1] |= more
    return "".join(json.dumps(line | {"pictures": pictures}) + "\n" for line in lines)


def words(path: str) -> list[str]:
    """The texts of an SVG, which matplotlib keeps as comments beside their outlines."""
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", Path(path).read_text(), re.DOTALL)]


def test_runs_are_drawn_in_either_format_and_the_window_is_told(refinesr: Command, made: Make) -> None:
    made("a", measured=held(psnr=28.0, distance=0.2))
    made("b")
    for name in ("curves.svg", "curves.png"):
        ran = refinesr("curves", "a", "b", "-o", name)
        line = f"{name}  2 runs, training loss in means of 60 updates\n"
        assert (ran.code, ran.out, ran.err) == (0, line, "")
    assert np.asarray(Image.open("curves.png").convert("L")).std() > 10
    assert ElementTree.parse("curves.svg").getroot().tag.endswith("}svg")
    found = words("curves.svg")
    for text in ("a", "b", "loss", "update", "PSNR in dB, held-out", "distance, held-out",
                 "training, means of 60 updates", "least held-out loss"):  # fmt: skip
        assert text in found


def test_runs_without_held_out_pictures_have_losses_alone(refinesr: Command, made: Make) -> None:
    made("a")
    assert refinesr("curves", "a", "-o", "a.svg", "--window", 1).code == 0
    found = words("a.svg")
    assert "training" in found
    assert not any("held-out" in text or "PSNR" in text for text in found)


def test_a_drawing_is_the_same_file_each_time_and_is_not_replaced(refinesr: Command, made: Make) -> None:
    made("a", measured=held())
    refinesr("curves", "a", "-o", "a.svg")
    refinesr("curves", "a", "-o", "b.svg")
    assert Path("a.svg").read_bytes() == Path("b.svg").read_bytes()
    ran = refinesr("curves", "a", "-o", "a.svg")
    assert (ran.code, ran.err) == (2, "a.svg exists; --overwrite replaces it\n")
    assert refinesr("curves", "a", "-o", "a.svg", "--overwrite").code == 0


@pytest.mark.parametrize("window", [1, 7, 100])
def test_means_are_those_of_numpy_at_the_middle_of_their_updates(made: Make, window: int) -> None:
    found = read_history(made("a", 100))
    steps, means = found.smoothed(window)
    expected = np.convolve(found.losses, np.full(window, 1 / window), "valid")
    np.testing.assert_allclose(means, expected, rtol=1e-9)
    np.testing.assert_allclose(steps, np.arange(len(expected)) + (window + 1) / 2)


def test_long_lines_are_thinned_and_keep_their_ends(made: Make) -> None:
    steps, means = read_history(made("a", 5000)).smoothed(100)
    assert len(steps) == len(means) == 1000
    assert (steps[0], steps[-1]) == (50.5, 4950.5)


@pytest.mark.parametrize(
    ("lengths", "window"),
    [
        ([20], 4),
        ([300], 60),
        ([5000], 100),
        ([20_000], 400),
        ([20_000, 50], 25),
        ([1], 1),
        ([0], 1),
        ([0, 300], 60),
    ],
)
def test_the_window_is_as_long_as_all_runs_bear(lengths: list[int], window: int) -> None:
    runs = [RunHistory(str(n), RUN, np.arange(n) + 1.0, np.ones(n), ()) for n in lengths]
    assert smoothing_window(runs, None) == window


def test_a_run_at_work_may_have_half_a_line_and_nan_is_no_point(refinesr: Command, made: Make) -> None:
    made("a", measured='{"step": 0, "loss": null}\n{"step": 50, "loss": 0.3}\n')
    with Path("a/log.jsonl").open("a") as file:
        file.write('{"step": 301, "lo')
    assert len(read_history(Path("a")).losses) == 300
    assert refinesr("curves", "a", "-o", "a.svg").code == 0


def test_losses_that_do_not_compare_are_told_in_the_picture_too(refinesr: Command, made: Make) -> None:
    """Another network learns the same; another precond, or another picture, does not."""
    made("a", measured=held())
    made("deeper", run=override(RUN, "method.network.widths=[16, 16, 16]"), measured=held())
    assert refinesr("curves", "a", "deeper", "-o", "alike.svg").err == ""
    made("other", run=override(RUN, "method.precond=Velocity", "method.p=1"), measured=held("ff"))
    ran = refinesr("curves", "a", "other", "-o", "other.svg")
    apart = "losses of different objectives do not compare; the runs differ in method.precond, method.p"
    pictures = "the runs were measured on different held-out pictures; these numbers do not compare"
    assert (ran.code, ran.err) == (0, f"warning: {apart}\nwarning: {pictures}\n")
    assert {apart, pictures} <= set(words("other.svg"))
    assert list(differences([read_history(Path("a"))])) == []
    wide = override(RUN, 'method.span={"low": [0], "high": [10000]}')
    made("wide", run=wide, measured=held())
    ran = refinesr("curves", "a", "wide", "-o", "wide.svg")
    assert ran.err.endswith("; the runs differ in method.span\n")


def test_names_are_shown_as_they_are(refinesr: Command, made: Make) -> None:
    """Dollars are no formula, and what begins with _ is not left out."""
    made("_a$x^2$")
    assert refinesr("curves", "_a$x^2$", "-o", "a.svg").code == 0
    assert any("a" in text and "x^2" in text for text in words("a.svg"))


def spoilt(file: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_text(text) and None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "log.jsonl").unlink(), "a: holds no run; there is no log.jsonl"),
        (lambda folder: (folder / "run.json").unlink(), "a: holds no run; there is no run.json"),
        (spoilt("log.jsonl", ""), "a: its run has made no update yet"),
        (spoilt("log.jsonl", '{"step": 1}\n'), "a/log.jsonl: line 1 is not of an update: '{\"step\": 1}'"),
        (spoilt("log.jsonl", "\x00\xff\n{}\n"), "a/log.jsonl: line 1 is not of an update: "),
        (spoilt("held_out.jsonl", "{}\n"), "a/held_out.jsonl: line 1 is no measurement: '{}'"),
        (spoilt("run.json", "{"), "a/run.json: not valid JSON"),
    ],
)
def test_what_is_no_run_or_damaged_is_one_line(
    refinesr: Command, made: Make, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(made("a"))
    ran = refinesr("curves", "a", "-o", "a.svg")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(message)
    assert len(ran.err.splitlines()) == 1
    assert not Path("a.svg").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("nowhere", "-o", "a.svg"), "nowhere: no such folder"),
        (("a/log.jsonl", "-o", "a.svg"), "a/log.jsonl: is a file, not the folder of a run"),
        (("a", "-o", "a.pdf"), "-o: a.pdf: suffix '.pdf' is not .png or .svg"),
        (("a", "-o", "no/a.svg"), "-o: no/a.svg: there is no folder no"),
        (("a", "-o", "a.svg", "--window", 301), "--window: 301 is more than the 300 updates of a"),
        (("a", "-o", "a.svg", "--window", 0), "--window: 0 is not positive"),
    ],
)
def test_what_is_asked_for_wrongly_is_one_line(
    refinesr: Command, made: Make, given: tuple[object, ...], message: str
) -> None:
    made("a")
    ran = refinesr("curves", *given)
    assert (ran.code, ran.out, ran.err) == (2, "", message + "\n")


def test_without_matplotlib_it_says_what_to_install(
    refinesr: Command, made: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made("a")
    missing(monkeypatch, "matplotlib")
    ran = refinesr("curves", "a", "-o", "a.svg")
    assert (ran.code, ran.err) == (2, "curves: needs matplotlib: pip install 'refinesr[plot]'\n")


def test_what_a_training_leaves_can_be_drawn(refinesr: Command, photos: Path) -> None:
    words = ("--tiny", "--precision", "fp32", "--set", "plan.steps=4", "--held-out", "photos/2.png")
    data = ("--data", "photos/0.png", "photos/1.png")
    assert refinesr("train", "photo-x4", *data, *words, "-o", "run").code == 0
    ran = refinesr("curves", "run", "-o", "run.png")
    assert (ran.code, ran.err) == (0, "")
