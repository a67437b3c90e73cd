"""`refinesr evaluate --protocol sr3-classification`: error rates known beforehand, and what is refused."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from commands import Command, Ran
from PIL import Image

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
"""Of files of other people, deprecated for new ones."""

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


class Greys(torch.nn.Module):
    """Seven classes, of the levels 0, 40, 80, ... 240: likelier, the nearer the mean of the red is."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        red = (images[:, 0].mean((1, 2)) * 0.229 + 0.485) * 255
        return -(red[:, None] - 40 * torch.arange(7)).abs()


class Random(torch.nn.Module):
    """Seven classes of nothing in particular."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = torch.nn.Conv2d(3, 7, 5, stride=4)
        torch.manual_seed(0)
        torch.nn.init.normal_(self.seen.weight)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.seen(images).relu().mean((2, 3))


def grey(path: str, level: int) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (224, 224), (level, level, level)).save(path)


def photo() -> None:
    """A picture in place of the three."""
    for name in "bc":
        Path(f"data/{name}.png").unlink()
    Image.fromarray(skimage.data.chelsea()[:224, 100:324]).save("data/a.png")


@pytest.fixture
def data() -> Path:
    """Three pictures of level 10, for which the order of the classes is 0 to 6."""
    for name in "abc":
        grey(f"data/{name}.png", 10)
    torch.jit.script(Greys()).save("greys.pt")
    return Path("data")


@pytest.fixture
def evaluate(refinesr: Command, data: Path) -> Command:
    def run(*words: object) -> Ran:
        named = ("--protocol", "sr3-classification", "-o", "out", "--device", "cpu")
        return refinesr("evaluate", *words, "--data", data, *named)

    return run


def told() -> dict[str, Any]:
    return json.loads(Path("out/report.json").read_text())


def errors() -> dict[str, tuple[float, float]]:
    return {
        row["name"]: tuple(row["metrics"][key]["mean"] for key in ("top1", "top5"))
        for row in told()["methods"]
    }


def test_error_rates_are_those_counted_by_hand(evaluate: Command) -> None:
    """Of level 10 the classes 0, 3, 6 are first, fourth, last; of 240 they are last, fourth, first."""
    Path("labels.csv").write_text("a,0\nb,3\nc,6\n")
    for name, level in (("a", 240), ("b", 240), ("c", 10)):
        grey(f"theirs/{name}.png", level)
    ran = evaluate("theirs", "bicubic", "--classifier", "greys.pt", "--labels", "labels.csv")
    assert (ran.code, ran.err) == (0, "")
    assert errors() == {
        "truth": pytest.approx((2 / 3, 1 / 3)),
        "theirs": pytest.approx((1, 2 / 3)),
        "bicubic": pytest.approx((2 / 3, 1 / 3)),
    }
    lines = ran.out.splitlines()
    assert lines[2] == "| method | PSNR (dB) ↑ | SSIM ↑ | top-1 error ↓ | top-5 error ↓ |"
    assert lines[4].startswith("| truth | inf | 1.0000 ± 0.0000 | 0.6667 +")
    assert "| Baseline (published) |  |  | 0.252 | 0.08 |" in lines
    assert "| SR3 (published) |  |  | 0.317 | 0.12 |" in lines
    assert "class is not among the 5 likeliest of 7; greys.pt, shown RGB at the size they have" in ran.out


def test_the_page_calls_no_picture_itself_the_best_method(evaluate: Command) -> None:
    photo()
    evaluate("bicubic", "nearest")
    page = Path("out/page.html").read_text()
    assert [name for name in ("truth", "bicubic", "nearest") if best(page, name)] == ["bicubic"]


def best(page: str, method: str) -> bool:
    row = next(row for row in page.split("<tr>") if f'scope="row">{method}<' in row)
    return 'class="best"' in row.split("</tr>")[0]


def test_truth_is_the_classifier_run_by_hand_on_the_middle_of_photos(evaluate: Command) -> None:
    """By Pillow and numpy: the shorter side of 300 x 451 and 512 x 512 made 256, and the middle."""
    photos = {"a": skimage.data.chelsea(), "b": skimage.data.astronaut(), "c": skimage.data.coffee()}
    network, order = Random(), {}
    torch.jit.script(network).save("random.pt")
    for name, pixels in photos.items():
        Image.fromarray(pixels).save(f"data/{name}.png")
        height, width = pixels.shape[:2]
        size = 256 * width // min(height, width), 256 * height // min(height, width)
        large = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
        left, top = (size[0] - 224) // 2, (size[1] - 224) // 2
        middle = (large[top : top + 224, left : left + 224] / 255 - MEAN) / STD
        with torch.no_grad():
            logits = network(torch.tensor(middle, dtype=torch.float32).permute(2, 0, 1)[None])[0]
        order[name] = logits.argsort(descending=True).tolist()
    Path("labels.txt").write_text(f"a.png {order['a'][0]}\nb.png {order['b'][4]}\nc.png {order['c'][5]}\n")
    evaluate("bicubic", "--classifier", "random.pt", "--labels", "labels.txt")
    found = {each["name"]: each["scores"]["truth"] for each in told()["images"]}
    expected = {"a": (0, 0), "b": (1, 0), "c": (1, 1)}
    assert {name: (scores["top1"], scores["top5"]) for name, scores in found.items()} == expected
    assert {(each["height"], each["width"]) for each in told()["images"]} == {(224, 224)}


def test_without_a_classifier_it_says_which_options_give_one(evaluate: Command) -> None:
    ran = evaluate("bicubic")
    assert ran.code == 0
    assert ran.err.startswith("top-1 and top-5 error are not measured, which the paper reports; --classifier")
    assert list(told()["metrics"]) == ["psnr", "ssim"]
    assert "published rows are left out, of what was not measured here (top1, top5)" in ran.out


def test_truth_named_is_not_there_twice_and_others_may_have_it_too(
    evaluate: Command, refinesr: Command
) -> None:
    evaluate("bicubic", "baseline=truth")
    assert [row["name"] for row in told()["methods"]] == ["bicubic", "baseline"]
    refinesr("evaluate", "truth", "--data", "data", "--protocol", "classic-y", "-s", 4, "-o", "classic")
    (row,) = json.loads(Path("classic/report.json").read_text())["methods"]
    assert (row["kind"], row["calls"], row["metrics"]["psnr_y"]["mean"]) == ("truth", 0, "inf")


def test_folders_of_classes_are_labels(evaluate: Command) -> None:
    """Seven, for the classifier has seven."""
    for number in range(7):
        Path(f"classes/n{number}").mkdir(parents=True)
    for name, number in zip("abc", (0, 3, 6), strict=True):
        Path(f"data/{name}.png").rename(f"classes/n{number}/{name}.png")
    Path("data").rmdir()
    Path("classes").rename("data")
    assert evaluate("bicubic", "--classifier", "greys.pt", "--labels", "data").code == 0
    assert errors()["truth"] == pytest.approx((2 / 3, 1 / 3))
    Path("data/n4").rmdir()
    ran = evaluate("bicubic", "--classifier", "greys.pt", "--labels", "data")
    assert (ran.code, ran.err.split(";")[0]) == (2, "data: 6 folders, of the classifier's 7 classes")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a,1\nb,2\nc,7\n", "labels.csv: class 7 of 'c'; those of the classifier are 0 to 6"),
        ("a,1\nc,6\n", "labels.csv: has no class of 'b', which is data/b.png"),
    ],
)
def test_classes_that_cannot_be_are_refused_before_any_work(evaluate: Command, text: str, line: str) -> None:
    Path("labels.csv").write_text(text)
    ran = evaluate("bicubic", "--classifier", "greys.pt", "--labels", "labels.csv")
    assert (ran.code, ran.out, ran.err) == (2, "", line + "\n")
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("classifier", "line"),
    [
        ("timm:resnet50.a1_in1k", "timm:resnet50.a1_in1k: needs timm: pip install 'refinesr[classifiers]'"),
        ("resnet50", "resnet50: no such file; a TorchScript file, or a network of timm's"),
    ],
)
def test_a_classifier_that_lacks_is_an_error_before_any_work(
    evaluate: Command, monkeypatch: pytest.MonkeyPatch, classifier: str, line: str
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    Path("labels.csv").write_text("a,0\nb,3\nc,6\n")
    ran = evaluate("bicubic", "--classifier", classifier, "--labels", "labels.csv")
    assert (ran.code, ran.err.startswith(line), len(ran.err.splitlines())) == (2, True, 1)
    assert not Path("out").exists()


def test_models_may_be_shown_the_size_they_know(evaluate: Command, model: str) -> None:
    photo()
    assert evaluate(model, "bicubic", "--via", 64).code == 0
    first = told()
    assert "64 pixels by bicubic, and their results are resized back" in first["protocol"]["conventions"][-1]
    ran = evaluate(model, "bicubic")
    assert (ran.code, "out: the report there says 'models are shown" in ran.err) == (2, True)
    assert evaluate(model, "bicubic", "--overwrite").code == 0
    ours, plain = (told()["methods"][row]["metrics"] == first["methods"][row]["metrics"] for row in (1, 2))
    assert (ours, plain) == (False, True)
