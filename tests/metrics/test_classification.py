"""Inception Score and error rates against closed forms and scikit-like counting by hand."""

import math
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from torch import Tensor, nn

from refinesr.errors import CheckpointError
from refinesr.metrics.classification import (
    Classifier,
    Probabilities,
    ProbabilitySums,
    error_rates,
    inception_score,
    resized_to_cover,
    top_k_missed,
)


def chances(count: int, classes: int = 7, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), count))


def scripted(module: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module).save(str(path))
    return path


# ------------------------------------------------------------------------------ Inception Score


def test_a_classifier_that_cannot_tell_scores_1() -> None:
    assert inception_score(torch.full((20, 8), 1 / 8), splits=4) == (pytest.approx(1), pytest.approx(0))
    same = chances(1).repeat(12, 1)
    assert inception_score(same, splits=3).mean == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 10])
def test_one_that_is_sure_of_classes_of_one_size_scores_their_number(classes: int) -> None:
    sure = torch.eye(classes).repeat(6, 1)
    assert inception_score(sure, splits=3) == (pytest.approx(classes), pytest.approx(0, abs=1e-12))


def test_sure_of_classes_of_different_sizes_it_is_the_exponential_of_their_entropy() -> None:
    sure = torch.eye(2)[[0, 0, 0, 1]]
    expected = math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert inception_score(sure, splits=1).mean == pytest.approx(expected)


def test_it_is_the_exponential_of_the_mean_divergence_from_the_mean() -> None:
    given = chances(101)
    parts = np.split(given.numpy(), [101 * k // 4 for k in (1, 2, 3)])
    expected = [np.exp(np.mean([entropy(row, part.mean(0)) for row in part])) for part in parts]
    found = inception_score(given, splits=4)
    assert found.mean == pytest.approx(np.mean(expected), rel=1e-10)
    assert found.std == pytest.approx(np.std(expected), rel=1e-9)


def test_batches_of_any_sizes_give_the_same_score() -> None:
    given = chances(50)
    merged = ProbabilitySums.of(given[:1]) + ProbabilitySums.of(given[1:20]) + ProbabilitySums.of(given[20:])
    assert merged.count == 50
    assert merged.score == pytest.approx(inception_score(given, splits=1).mean, rel=1e-12)


def test_more_splits_than_images_are_refused() -> None:
    with pytest.raises(ValueError, match="10 splits of 9 images"):
        inception_score(chances(9))
    with pytest.raises(ValueError, match="0 splits of 9 images; there must be 1 to 9"):
        inception_score(chances(9), splits=0)
    with pytest.raises(ValueError, match="no probabilities"):
        ProbabilitySums.of(chances(5)[:0])


class Inception(nn.Module):
    """As StyleGAN's: probabilities, with the bias of its last layer or without."""

    def forward(self, x: Tensor, return_features: bool = False, no_output_bias: bool = False) -> Tensor:
        values = x.float().mean((2, 3)) / 255
        bias = torch.zeros(3) if no_output_bias else torch.tensor([0.0, 5.0, 0.0])
        return values if return_features else (values + bias).softmax(1)


class Logits(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.float().mean((2, 3))


def test_probabilities_are_made_without_the_last_bias(tmp_path: Path) -> None:
    made = Probabilities(scripted(Inception(), tmp_path / "inception.pt"))
    images = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    levels = (images * 255).round()
    expected = (levels / 255).mean((2, 3)).softmax(1).double()
    torch.testing.assert_close(made(images), expected, rtol=1e-6, atol=1e-7)
    assert torch.equal(made(levels.byte()), made(images))


def test_a_network_of_logits_makes_no_probabilities(tmp_path: Path) -> None:
    made = Probabilities(scripted(Logits(), tmp_path / "logits.pt"))
    with pytest.raises(CheckpointError, match=r"logits\.pt: makes rows that are no probabilities"):
        made(torch.rand(2, 3, 4, 5))
    with pytest.raises(CheckpointError, match=r"none\.pt: no such file; .* that makes class probabilities"):
        Probabilities(tmp_path / "none.pt")


# ------------------------------------------------------------------------------ classification accuracy


def test_error_rates_count_what_is_not_among_the_likeliest() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((200, 9)), rng.integers(0, 9, 200)
    order = np.argsort(-logits, 1)
    for k in (1, 2, 5, 9):
        expected = np.mean([label not in row[:k] for label, row in zip(labels, order, strict=True)])
        found = error_rates(torch.from_numpy(logits), torch.from_numpy(labels), top=(k,))
        assert found == pytest.approx((expected,))


def test_known_labels_are_right_and_others_wrong() -> None:
    logits = torch.tensor([[9.0, 1, 0, 2, 3, 4], [0, 1, 2, 3, 4, 5]])
    assert error_rates(logits, torch.tensor([0, 5])) == (0, 0)
    assert error_rates(logits, torch.tensor([5, 4])) == (1, 0)
    assert top_k_missed(logits, torch.tensor([2, 0])).tolist() == [[True, True], [True, True]]


def test_a_network_that_cannot_tell_is_wrong_and_so_is_one_of_nans() -> None:
    labels = torch.arange(6)
    assert error_rates(torch.zeros(6, 6), labels) == (1, 1)
    assert error_rates(torch.full((6, 6), math.nan), labels) == (1, 1)


def test_what_cannot_be_counted_is_refused() -> None:
    logits = torch.zeros(2, 4)
    with pytest.raises(ValueError, match=r"top \(1, 5\) of 4 classes"):
        error_rates(logits, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="labels are 0 to 3, not 1 to 4"):
        error_rates(logits, torch.tensor([1, 4]), top=(1,))
    with pytest.raises(ValueError, match="no images"):
        error_rates(logits[:0], torch.tensor([], dtype=torch.long), top=(1,))


def test_a_classifier_is_shown_imagenets_units(tmp_path: Path) -> None:
    classifier = Classifier.read(scripted(Logits(), tmp_path / "means.pt"))
    assert classifier(torch.zeros(1, 3, 2, 2)).tolist()[0] == pytest.approx(
        [-2.1179, -2.0357, -1.8044], abs=1e-4
    )
    assert classifier(torch.ones(1, 3, 2, 2)).tolist()[0] == pytest.approx([2.2489, 2.4286, 2.64], abs=1e-4)
    assert classifier(torch.zeros(1, 3, 2, 2)).dtype == torch.float64


def test_any_module_is_a_classifier_with_units_of_its_own() -> None:
    own = Classifier(Logits(), torch.device("cpu"), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    assert own(torch.ones(2, 3, 2, 2)).tolist() == [[1, 1, 1]] * 2


def test_a_classifiers_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"none\.pt: no such file; a TorchScript file that makes logits"
    ):
        Classifier.read(tmp_path / "none.pt")
    classifier = Classifier.read(scripted(nn.Conv2d(3, 4, 1), tmp_path / "maps.pt"))
    with pytest.raises(
        CheckpointError, match=r"maps\.pt: makes \(2, 4, 5, 5\) of 2 images; logits are \(B, D\)"
    ):
        classifier(torch.rand(2, 3, 5, 5))


class Tiny(nn.Module):
    """What timm's networks have; its logits are the means of the channels, and the number of pixels."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def forward(self, images: Tensor) -> Tensor:
        assert not self.training
        pixels = images.new_full((len(images), 1), images.shape[2] * 1000 + images.shape[3])
        return torch.cat([images.mean((2, 3)), pixels], 1)


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """It knows three networks: `tiny`, `headless` and `grey`."""

    def create_model(name: str, *, pretrained: bool) -> Tiny:
        assert pretrained
        if name not in ("tiny", "headless", "grey"):
            raise RuntimeError(f"Unknown model ({name})")
        model: Any = Tiny(0 if name == "headless" else 4)
        model.channels = 1 if name == "grey" else 3
        return model

    def wanted(model: Any) -> dict[str, Any]:
        size = (model.channels, 20, 30)
        return {"mean": (0.5, 0.25, 0), "std": (0.5, 0.25, 2), "input_size": size, "interpolation": "bicubic"}

    module: Any = ModuleType("timm")
    module.create_model, module.data = create_model, SimpleNamespace(resolve_model_data_config=wanted)
    monkeypatch.setitem(sys.modules, "timm", module)
    return module


@pytest.mark.usefixtures("timm")
def test_a_network_of_timms_is_shown_the_units_and_the_size_it_wants() -> None:
    classifier = Classifier.of_timm("tiny")
    colours = torch.tensor([1, 0.75, 0.5])[None, :, None, None]
    assert classifier(colours.expand(2, 3, 20, 30)).tolist() == [[1, 2, 0.25, 20030]] * 2
    assert classifier(colours.expand(1, 3, 50, 40))[0].tolist() == pytest.approx([1, 2, 0.25, 20030])
    assert classifier(colours.expand(1, 3, 8, 8))[0].tolist() == pytest.approx([1, 2, 0.25, 20030])
    for word in (
        "timm's tiny",
        "at 20 x 30 pixels",
        "less 0.500 0.250 0.000",
        "divided by 0.500 0.250 2.000",
    ):
        assert word in classifier.convention


def test_a_wanted_size_is_covered_and_its_middle_is_shown() -> None:
    """Of 50 x 40 pixels for 20 x 20 the shorter side becomes 20, and the middle of 25 is taken."""
    images = torch.from_numpy(np.random.default_rng(0).random((1, 3, 50, 40), np.float32))
    whole = nn.functional.interpolate(images, (25, 20), mode="bicubic", antialias=True).clamp(0, 1)
    assert torch.equal(resized_to_cover(images, (20, 20)), whole[..., 2:22, :])
    assert torch.equal(resized_to_cover(images, (50, 40)), images)
    assert torch.equal(resized_to_cover(images, (30, 40)), images[..., 10:40, :])


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("tynny", r"^timm:tynny: timm cannot make it: Unknown model \(tynny\)$"),
        ("headless", "^timm:headless: has 0 classes of 3 channels; a classifier of RGB images is needed$"),
        ("grey", "^timm:grey: has 4 classes of 1 channels; a classifier of RGB images is needed$"),
    ],
)
@pytest.mark.usefixtures("timm")
def test_what_timm_cannot_make_is_told(name: str, line: str) -> None:
    with pytest.raises(CheckpointError, match=line):
        Classifier.of_timm(name)


def test_without_timm_it_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    told = r"^timm:resnet50: needs timm: pip install 'refinesr\[classifiers\]' \(.+\)$"
    with pytest.raises(CheckpointError, match=told):
        Classifier.of_timm("resnet50")
