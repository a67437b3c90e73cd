"""The scripts of benchmarks/, run on next to nothing."""

import json
import math
import re
import subprocess
import sys
from importlib.resources import as_file, files
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from methods import packed, photo, stage
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from refinesr.errors import InputError
from refinesr.evaluate.crops import CropBox
from refinesr.evaluate.pairs import LoadedPair
from refinesr.evaluate.upscalers import GroundTruth, Interpolation

FOLDER = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(FOLDER))

import contact  # noqa: E402
import quality  # noqa: E402
import shared  # noqa: E402
import speed  # noqa: E402


@pytest.fixture
def photos(tmp_path):
    """Two pictures of 48 x 64 pixels."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, left in (("ear", 60), ("eye", 150)):
        Image.fromarray(photo(40, left, 48, 64).permute(1, 2, 0).numpy()).save(folder / f"{name}.png")
    return folder


def ran(monkeypatch, script, *options):
    monkeypatch.setattr(sys, "argv", [script.__name__, *map(str, options)])
    script.main()


# ------------------------------------------------------------------------------ shared


def test_a_table_is_even_and_has_all_cells():
    lines = shared.table(["", "PSNR"], [["bicubic", "28.4"], ["ours", "30.48"]]).splitlines()
    assert lines == [
        "|         |  PSNR |",
        "| ------- | ----- |",
        "| bicubic |  28.4 |",
        "| ours    | 30.48 |",
    ]


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the peak of a fork is told apart on Linux"
)
def test_the_peak_is_that_of_the_process_itself_and_remembers_what_was_freed():
    """Half of a block is far more than Python's own memory varies by."""
    block = 2**28
    held = np.ones(block, np.uint8)  # in the parent, which a child's getrusage would count
    program = "import sys; import shared; x = bytearray(int(sys.argv[1])); del x; print(shared.peak())"
    peaks = [
        int(subprocess.check_output([sys.executable, "-c", program, str(size)], cwd=FOLDER))
        for size in (0, block)
    ]
    assert peaks[0] < held.nbytes / 2
    assert abs(peaks[1] - peaks[0] - block) < block / 2


# ------------------------------------------------------------------------------ speed


def test_gflop_are_those_of_the_closed_forms():
    convolution, linear = nn.Conv2d(3, 8, 5, padding=2), nn.Linear(7, 11)
    x, q, rows = torch.rand(2, 3, 6, 10), torch.rand(1, 2, 9, 4), torch.rand(13, 7)
    assert speed.flop(lambda: convolution(x)) == 2 * (2 * 6 * 10) * (3 * 5 * 5) * 8
    assert speed.flop(lambda: linear(rows)) == 2 * 13 * 7 * 11
    # q k and its product with v: 9 x 9 numbers of 4 terms, twice, by two heads
    assert speed.flop(lambda: F.scaled_dot_product_attention(q, q, q)) == 2 * 2 * (2 * 9 * 9 * 4)


def test_seconds_are_the_encoder_once_and_all_calls_though_few_are_timed(monkeypatch):
    """By a clock that only encoder (5 s) and network (2 s) turn."""
    now = [0.0]
    work = speed.Work.of(stage(packed()), 32, "fp32", torch.device("cpu"))
    monkeypatch.setattr(speed.Work, "clock", lambda self: now[0])

    def takes(seconds):
        return lambda *_: now.__setitem__(0, now[0] + seconds)

    work.stage.model.source.register_forward_hook(takes(5.0))
    work.stage.model.network.register_forward_hook(takes(2.0))
    assert work.seconds(100, timed=3) == 5 + 100 * 2
    assert now[0] == 5 + 3 * 2


def test_flop_are_the_encoder_once_and_all_calls():
    work = speed.Work.of(stage(packed()), 32, "fp32", torch.device("cpu"))
    encoder, call = work.flop(0), work.flop(1) - work.flop(0)
    assert min(encoder, call) > 0
    assert work.flop(100) == encoder + 100 * call == speed.flop(lambda: work.run(100))


def test_a_ratio_is_taken_within_each_turn():
    """A machine that is ten times slower in the second turn changes no ratio."""
    ours = speed.Row(speed.OURS, 4, "fp32", 4, 0, 0.0, seconds=[1.0, 10.0, 1.0])
    row = speed.Row("another", 100, "fp32", 2, 0, 0.0, seconds=[30.0, 300.0, 33.0])
    other = speed.Row("another", 100, "bf16", 2, 0, 0.0, seconds=[1.0, 1.0, 1.0])
    assert speed.ratio(row, [ours, row]) == median([30.0, 30.0, 33.0])
    assert speed.ratio(other, [ours, row, other]) is None


def test_speed_writes_a_row_for_each_number_of_calls(monkeypatch, tmp_path, capsys):
    file = tmp_path / "speed.json"
    options = ("--only", "shipped", "--side", 32, "--precision", "fp32", "--repeats", 2, "--no-memory")
    ran(monkeypatch, speed, *options, "--json", file)
    found = json.loads(file.read_text())
    assert [row["calls"] for row in found["rows"]] == [1, 2, 4, 8]
    assert all(len(row["seconds"]) == len(row["upscale"]) == 2 for row in found["rows"])
    with as_file(files("refinesr") / "weights" / "photo-x4.safetensors") as path:
        weights = load_file(path)
    assert {row["parameters"] for row in found["rows"]} == {
        sum(weight.numel() for weight in weights.values())
    }
    assert found["machine"]["threads"] == torch.get_num_threads()
    assert len(re.findall(r"^\| photo-x4, shipped +\|", capsys.readouterr().out, re.MULTILINE)) == 4


# ------------------------------------------------------------------------------ quality


def test_faithfulness_is_counted_in_values_of_the_poor_picture():
    made = photo(0, 0, 32, 48)[None]
    pillow = Image.fromarray(made[0].permute(1, 2, 0).numpy()).resize((12, 8), Image.Resampling.BICUBIC)
    low = torch.from_numpy(np.array(pillow)).permute(2, 0, 1)[None]
    assert quality.faithful(low, made) == {"error": 0, "agreement": 1}
    low[0, 0, 0, 0] += 3
    one = 1 / low.numel()
    found = quality.faithful(low, made)
    assert found["agreement"] == pytest.approx(1 - one, abs=1e-12)
    assert found["error"] == pytest.approx(one * (3 / 255) ** 2, rel=1e-12)


def test_lr_psnr_is_of_the_mean_error_and_finite_though_one_picture_is_exact():
    high = photo(0, 0, 32, 32)[None]
    low = Interpolation("nearest")  # its result is not the truth's
    exact = torch.full_like(high, 77), torch.full((1, 3, 8, 8), 77, dtype=torch.uint8)
    pictures = [LoadedPair("exact", *exact), LoadedPair("other", high, torch.full_like(exact[1], 80))]
    row = quality.measured("truth", GroundTruth(), pictures, 4, (), 0)
    errors = [quality.faithful(each.low, each.high)["error"] for each in pictures]
    assert errors[0] == 0
    assert row.scores["lr_psnr"] == pytest.approx(-10 * math.log10(errors[1] / 2), abs=1e-12)
    assert quality.measured("", low, pictures[:1], 4, (), 0).scores["lr_psnr"] == math.inf


def test_quality_has_a_row_for_each_way_and_marks_what_was_published(monkeypatch, tmp_path, photos, capsys):
    file = tmp_path / "rows.json"
    ways = ("--calls", 1, 2, "--no-consistent", "--published", "Set5")
    ran(monkeypatch, quality, "--high", photos, *ways, "--regression", "own=photo-x4", "--json", file)
    rows = {row["name"]: row for row in json.loads(file.read_text())["rows"]}
    projected = ["photo-x4, 1 call", "photo-x4, 2 calls"]
    others = [f"{name}, not projected" for name in projected]
    assert list(rows) == ["bicubic", "own", *projected, *others, "IMDN, regression"]
    assert rows["own"]["psnr_y"] == rows["photo-x4, 1 call"]["psnr_y"]  # one call is its own choice
    assert min(rows[name]["agreement"] for name in projected) > 0.995 > rows[others[0]]["agreement"]
    assert [name for name, row in rows.items() if "published" in row] == ["IMDN, regression"]
    printed = capsys.readouterr().out
    assert "| IMDN, regression (published) " in printed
    assert "published, on other pictures" in printed


# ------------------------------------------------------------------------------ contact


def test_crops_are_given_by_name_and_corner():
    assert contact.Crop.of("a:b:12,8", 96) == contact.Crop("a:b", CropBox(top=8, left=12, side=96))
    assert contact.Crop.of("eye:12,8,40", 96).text == "eye:12,8,40"
    for wrong in ("eye", "eye:1", "eye:1,2,3,4", "eye:1,x", ":1,2"):
        with pytest.raises(InputError, match="is not NAME:LEFT,TOP"):
            contact.Crop.of(wrong, 96)


@pytest.mark.parametrize("text", ["nose:0,0,8", "eye:60,0,8", "eye:0,44,8"])
def test_a_crop_outside_every_picture_is_refused(text):
    shown = LoadedPair("eye", torch.zeros(1, 3, 48, 64), torch.zeros(1, 3, 12, 16))
    with pytest.raises(InputError, match="--crop"):
        contact.checked([contact.Crop.of(text, 8)], {"eye": shown})


def test_the_square_of_a_picture_is_where_most_was_lost():
    """All of a flat picture survives, but for one block of single pixels."""
    high = torch.full((1, 3, 96, 128), 90, dtype=torch.uint8)
    high[..., 32:64, 48:80] = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 255
    low = torch.full((1, 3, 24, 32), 90, dtype=torch.uint8)
    low[..., 8:16, 12:20] = 128
    assert contact.detailed(LoadedPair("block", high, low), 32) == contact.Crop("block", CropBox(32, 48, 32))


def test_a_sheet_shows_the_pixels_themselves_over_their_numbers():
    cells = {
        name: photo(0, left, 16, 16).permute(1, 2, 0).numpy() for name, left in (("input", 0), ("truth", 9))
    }
    crop = contact.Crop("eye", CropBox(8, 4, 16))
    rows = [contact.Row(crop, cells, {"input": {"psnr_y": 31.234, "perceptual": 0.0625}})] * 2
    assert [contact.label(rows[0], name) for name in cells] == ["31.23 dB, 0.062", "eye:4,8,16"]
    page, side = contact.sheet(rows, zoom=3), 48
    for row in range(2):
        for column, cell in enumerate(cells.values()):
            top = contact.GAP + contact.TEXT + row * (side + contact.TEXT + contact.GAP)
            left = contact.GAP + column * (side + contact.GAP)
            enlarged = cell.repeat(3, axis=0).repeat(3, axis=1)
            assert np.array_equal(page[top : top + side, left : left + side], enlarged)
            assert page[top + side : top + side + contact.TEXT, left : left + side].min() < 100  # ink


def test_contact_writes_the_same_sheet_as_png_and_webp(monkeypatch, tmp_path, photos):
    file, sheets = tmp_path / "crops.json", [tmp_path / "sheet.png", tmp_path / "sheet.webp"]
    for path in sheets:
        options = ("--calls", 1, 2, "--side", 32, "--json", file, "-o", path)
        ran(monkeypatch, contact, "--high", photos, *options)
    one, other = (np.array(Image.open(path).convert("RGB")) for path in sheets)
    assert np.array_equal(one, other)
    assert one.shape[1] == 5 * (64 + contact.GAP) + contact.GAP
    rows = json.loads(file.read_text())["rows"]
    assert [row["crop"].partition(":")[0] for row in rows] == ["ear", "eye"]
    assert list(rows[0]["scores"]) == ["input", "bicubic", "photo-x4, 1 call", "photo-x4, 2 calls"]
