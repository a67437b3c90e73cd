"""`refinesr compare` in this process, on small reports and folders."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import Command
from PIL import Image
from reports import Pixels, noisy, report_of, scene

from refinesr.images.io import read, write
from refinesr.images.picture import Picture
from refinesr.images.span import Span
from refinesr.metrics.sets import Statistics

TRUTHS = {str(k): scene(seed=k) for k in range(8)}
FEW = {name: noisy(truth, 4) for name, truth in TRUTHS.items()}
MANY = {name: noisy(truth, 20) for name, truth in TRUTHS.items()}

FORMAT = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


class Colours(torch.nn.Module):
    """Mean and deviation of each channel."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.double().flatten(2)
        return torch.cat([pixels.mean(2), pixels.std(2)], 1)


def rows(pictures: Mapping[str, Pixels]) -> torch.Tensor:
    stacks = (torch.tensor(pixels).permute(2, 0, 1)[None] for pixels in pictures.values())
    return torch.cat([Colours()(stack) for stack in stacks])


def save(folder: Path, pictures: Mapping[str, Pixels]) -> Path:
    folder.mkdir()
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def compare(refinesr: Command) -> Command:
    return lambda *words: refinesr("compare", *words)


@pytest.fixture
def report() -> Path:
    return report_of(Path("report"), TRUTHS, {"few": FEW, "many": MANY})


def test_two_methods_of_a_report_are_compared_in_words(compare: Command, report: Path) -> None:
    ran = compare(report, "--methods", "many", "few")
    assert (ran.code, ran.err) == (0, "")
    head, table, psnr, lpips, *notes = ran.out.splitlines()
    assert head == "classic-y on drawn: A is many, B is few, 8 pictures"
    assert re.split(r"  +", table) == ["metric", "A", "B", "B - A", "95 % interval", "p"]
    name, a, b, difference, interval, p, verdict = re.split(r"  +", psnr)
    assert (name, p, verdict) == ("PSNR (dB)", "0.0078", "few is better")  # 2 of 2**8 patterns
    assert float(b) - float(a) == pytest.approx(float(difference), abs=0.011)
    low, high = map(float, interval.split(" to "))
    assert low < float(difference) < high
    assert lpips.startswith("LPIPS ")
    assert lpips.endswith("few is better")
    assert [note.split(":")[0] for note in notes] == ["interval", "p"]


def test_where_there_is_no_choice_no_names_are_needed(compare: Command, report: Path) -> None:
    assert compare(report).out == compare(report, "--methods", "few", "many").out
    one, other = report_of(Path("a"), TRUTHS, {"few": FEW}), report_of(Path("b"), TRUTHS, {"many": MANY})
    assert compare(one, other).out == compare(report).out


def test_the_picture_and_the_numbers_are_written(compare: Command, report: Path) -> None:
    ran = compare(report, "-o", "apart.png", "--json", "apart.json")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "apart.png")
    height, width = read("apart.png").size
    assert (height, width) == (22 + 16 + 8 * (48 * 3 + 30), 8 + 4 * (48 * 3 + 8))
    facts = json.loads(Path("apart.json").read_text())
    assert [entry["key"] for entry in facts["metrics"]] == ["psnr", "lpips"]
    assert facts["metrics"][0]["p"] == 2 / 2**8
    assert [entry["better"] for entry in facts["metrics"]] == ["higher", "lower"]
    assert sorted(os.listdir()) == ["apart.json", "apart.png", "report"]
    assert compare(report, "-o", "apart.png").code == 2
    assert compare(report, "-o", "apart.png", "--overwrite").code == 0


def test_results_replace_neither_one_another_nor_a_report(compare: Command, report: Path) -> None:
    ran = compare(report, "-o", "apart.png", "--json", "apart.png", "--overwrite")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "--json: apart.png: is the file of --output, too; name another\n"
    before = (file := report / "report.json").read_bytes()
    ran = compare(report, "--json", file, "--overwrite")
    message = f"--json: {file}: belongs to the report {report}; choose another name\n"
    assert (ran.code, ran.err) == (2, message)
    assert file.read_bytes() == before


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("--output", "pictures/few/0.png"),
        ("--output", "pictures/high/0.png"),
        ("--output", "pictures/few/new.png"),  # else the next evaluation would take it for the method's
        ("--json", "images.csv"),
        ("--json", "table.md"),
        ("--json", "page.html"),
    ],
)
def test_no_result_replaces_a_file_of_a_report_or_joins_its_pictures(
    compare: Command, report: Path, option: str, name: str, overwrite: tuple[str, ...]
) -> None:
    other = report_of(Path("other"), TRUTHS, {"many": MANY})
    (report / "page.html").write_text("a page")
    Path("linked").symlink_to(report, target_is_directory=True)
    before = {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}
    for asked in ((report,), (other, report, "--methods", "many", "few")):
        for file in (report / name, Path("linked") / name):
            ran = compare(*asked, option, file, *overwrite)
            message = f"{option}: {file}: belongs to the report {report}; choose another name\n"
            assert (ran.code, ran.out, ran.err) == (2, "", message)
    assert {path: path.read_bytes() for path in report.rglob("*") if path.is_file()} == before


def test_a_result_may_lie_beside_the_files_of_a_report(compare: Command, report: Path) -> None:
    assert compare(report, "-o", report / "apart.png", "--json", report / "apart.json").code == 0


def test_no_result_replaces_a_picture_that_is_compared(compare: Command) -> None:
    for name, pictures in (("originals", TRUTHS), ("few", FEW), ("many", MANY)):
        save(Path(name), pictures)
    for folder, option in (("few", "-o"), ("many", "--json"), ("originals", "-o")):
        file = next(Path(folder).iterdir())
        before = file.read_bytes()
        ran = compare("few", "many", "--data", "originals", option, file, "--overwrite")
        message = f"{file}: the result would replace the input {file}; rename one\n"
        assert (ran.code, ran.out, ran.err) == (2, "", message)
        assert file.read_bytes() == before


@FORMAT
def test_sets_are_compared_by_the_features_of_their_pictures(compare: Command, report: Path) -> None:
    torch.jit.script(Colours()).save("colours.pt")
    ran = compare(report, "--features", "colours.pt", "--json", "apart.json")
    assert (ran.code, ran.err) == (0, "")
    sets = json.loads(Path("apart.json").read_text())["sets"]
    assert [(entry["key"], entry["count"]) for entry in sets] == [("fid", 8), ("kid", 8)]
    truth = Statistics.of(rows(TRUTHS))
    for side, pictures in (("a", FEW), ("b", MANY)):
        assert sets[0][side] == pytest.approx(Statistics.of(rows(pictures)).frechet(truth), rel=1e-6)
    assert "FID" in ran.out
    assert "random exchanges" in ran.out.splitlines()[-1]


@FORMAT
def test_sets_need_all_pictures_and_a_network(compare: Command, report: Path) -> None:
    ran = compare(report, "--features", "colours.pt")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("colours.pt: no such file; a TorchScript file that makes features is needed")
    torch.jit.script(Colours()).save("colours.pt")
    (report / "pictures" / "many" / "3.png").unlink()
    ran = compare(report, "--features", "colours.pt")
    message = "classic-y on drawn: the picture '3' of many is not kept; evaluate again\n"
    assert (ran.code, ran.out, ran.err) == (2, "", message)


def test_folders_are_compared_with_their_originals(compare: Command) -> None:
    for folder, pictures in (("originals", TRUTHS), ("few", FEW), ("many", MANY)):
        save(Path(folder), pictures)
    ran = compare("few", "many", "--data", "originals", "-o", "apart.webp")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "originals: A is few, B is many, 8 pictures"
    assert [line.split()[0] for line in lines[2:4]] == ["PSNR", "SSIM"]
    assert read("apart.webp").format == "WEBP"
    assert compare("few", "few", "--data", "originals").out.count("no significant difference") == 2


def test_folders_of_fields_are_compared_in_their_units_by_a_span(compare: Command) -> None:
    kelvin = Span((254.0,), (316.0,))
    field = 285 + 10 * np.random.default_rng(0).random((2, 24, 20, 1), np.float32)
    for folder, warmer in (("truth", 0), ("one", 1), ("two", -2)):
        Path(folder).mkdir()
        for number, values in enumerate(field):
            write(Picture(values + np.float32(warmer), span=kelvin), f"{folder}/{number}.tiff")
    words = ("one", "two", "--data", "truth", "--json", "apart.json")
    ran = compare(*words)
    assert (ran.code, ran.out) == (2, "")
    assert "float pixels lie in [0, 1]; these go from 28" in ran.err
    ran = compare(*words, "--span", 254, 316, "-o", "apart.png")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("truth, by the span 254 to 316: A is one, B is two, 2 pictures\n")
    found = {entry["key"]: entry for entry in json.loads(Path("apart.json").read_text())["metrics"]}
    assert (found["bias"]["a"], found["bias"]["b"]) == (pytest.approx(1, 1e-4), pytest.approx(-2, 1e-4))
    assert found["psnr"]["difference"] == pytest.approx(20 * np.log10(1 / 2), rel=1e-4)
    ran = compare(*words, "--span", 316, 254, "--overwrite")
    assert (ran.code, ran.err) == (2, "--span: high: 254 is not above low, 316\n")


def test_few_pictures_are_told(compare: Command) -> None:
    three = {name: TRUTHS[name] for name in "012"}
    report_of(Path("small"), three, {"few": {n: FEW[n] for n in three}, "many": {n: MANY[n] for n in three}})
    ran = compare("small")
    assert ran.out.count("too few pictures to tell") == 2
    assert "3 pictures cannot give a p below 0.25" in ran.out


def test_perfect_results_are_left_out_and_counted(compare: Command) -> None:
    mixed = FEW | {"3": TRUTHS["3"]}
    ran = compare(report_of(Path("mixed"), TRUTHS, {"mixed": mixed, "many": MANY}))
    assert ran.code == 0
    assert "PSNR: 1 picture left out, as the difference is infinite" in ran.out


def test_a_metric_with_no_finite_difference_is_named(compare: Command) -> None:
    ran = compare(report_of(Path("best"), TRUTHS, {"best": TRUTHS, "many": MANY}))
    assert ran.code == 0
    assert ran.out.splitlines()[-1] == "PSNR: all 8 pictures left out, as the difference is infinite"
    assert [line.split()[0] for line in ran.out.splitlines()[2:3]] == ["LPIPS"]
    one = {"0": TRUTHS["0"]}
    ran = compare(report_of(Path("one"), one, {"best": one, "many": {"0": MANY["0"]}}))
    assert ran.out.splitlines()[-1] == "PSNR: 1 picture left out, as the difference is infinite"


def test_infinite_means_are_texts_in_json(compare: Command) -> None:
    """Both methods are perfect on one picture."""
    few, many = FEW | {"3": TRUTHS["3"]}, MANY | {"3": TRUTHS["3"]}
    ran = compare(report_of(Path("mixed"), TRUTHS, {"few": few, "many": many}), "--json", "apart.json")
    assert (ran.code, ran.err) == (0, "")
    psnr = json.loads(Path("apart.json").read_text())["metrics"][0]
    assert (psnr["a"], psnr["b"], psnr["count"], psnr["left_out"]) == ("inf", "inf", 8, 0)
    assert psnr["interval"][0] < psnr["difference"] < psnr["interval"][1] <= 0


def test_a_metric_with_no_finite_difference_is_in_json_all_the_same(compare: Command) -> None:
    """As report.json has it: what cannot be compared is there, with the means of both, and no p."""
    report_of(Path("best"), TRUTHS, {"many": MANY, "best": TRUTHS})
    assert compare("best", "--json", "apart.json").code == 0
    psnr, lpips = json.loads(Path("apart.json").read_text())["metrics"]
    assert psnr.keys() == lpips.keys()
    (mean,) = {row["metrics"]["psnr"]["mean"] for row in methods(Path("best")) if row["name"] == "many"}
    assert psnr == {
        "key": "psnr",
        "a": mean,
        "b": "inf",
        "difference": "inf",
        "interval": None,
        "p": None,
        "count": 0,
        "left_out": 8,
        "distance": None,
        "better": "higher",
    }
    assert (lpips["count"], lpips["left_out"]) == (8, 0)


def methods(report: Path) -> list[Any]:
    found: list[Any] = json.loads((report / "report.json").read_text())["methods"]
    return found


def test_a_difference_of_two_infinite_means_is_null(compare: Command) -> None:
    """Each is perfect where the other is not."""
    two = {name: TRUTHS[name] for name in "01"}
    a, b = {"0": TRUTHS["0"], "1": FEW["1"]}, {"0": FEW["0"], "1": TRUTHS["1"]}
    assert compare(report_of(Path("each"), two, {"a": a, "b": b}), "--json", "apart.json").code == 0
    psnr = json.loads(Path("apart.json").read_text())["metrics"][0]
    assert (psnr["a"], psnr["b"], psnr["difference"], psnr["left_out"]) == ("inf", "inf", None, 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere",), "nowhere: no such folder"),
        (("empty",), "empty: holds no report.json; refinesr evaluate writes one"),
        (("report", "empty"), "empty: holds no report.json; refinesr evaluate writes one"),
        (
            ("empty", "empty"),
            "--data: missing; empty and empty are no reports, and pictures need their originals",
        ),
        (("report", "--data", "empty"), "--data: is for folders of pictures; a report has its originals"),
        (
            ("report", "--span", "0", "1"),
            "--span: is for folders of pictures; a report has its own",
        ),
        (("report", "--methods", "few", "x"), "report: has no method 'x', only few, many"),
        (("report", "report"), "--methods: missing; report has few, many"),
        (
            ("report", "-o", "a.gif"),
            "--output: a.gif: suffix '.gif' is not .png or .jpg or .jpeg or .webp or .tif or .tiff",
        ),
        (("report", "-o", "no/a.png"), "--output: no/a.png: there is no folder no"),
        (("report", "--json", "empty"), "--json: empty: is a folder; give a file's name"),
    ],
)
def test_what_the_user_can_mend_is_one_line(
    compare: Command, report: Path, words: tuple[str, ...], message: str
) -> None:
    Path("empty").mkdir()
    ran = compare(*words)
    assert (ran.code, ran.out, ran.err) == (2, "", message + "\n")


def test_progress_is_shown_on_a_terminal_alone(
    compare: Command, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests run without one; here it is feigned."""
    silent = compare(report, "-o", "apart.png")
    monkeypatch.setattr("refinesr.cli.bars.on_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    folders = [save(Path(name), pictures) for name, pictures in (("few", FEW), ("many", MANY), ("o", TRUTHS))]
    shown = compare(report, "-o", "apart.png", "--overwrite")
    assert (silent.err, shown.out) == ("", silent.out)
    assert re.search(r"comparing .*2/2", shown.err)
    assert re.search(r"reading pictures .*8/8", shown.err)
    assert re.search(r"measuring pictures .*8/8", compare(*folders[:2], "--data", folders[2]).err)
