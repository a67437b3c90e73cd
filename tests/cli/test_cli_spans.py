"""From files in Kelvin to results in Kelvin, by the commands people type."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from commands import Command
from PIL import Image

from refinesr.images.io import read, write
from refinesr.images.picture import Picture
from refinesr.images.span import Span

KELVIN = Span((254.0,), (316.0,))
BAND = [
    word
    for field in (
        "method.channels=1",
        "method.network.channels=1",
        "method.source.encoder.channels=1",
        "method.degradation.eight_bit=false",
        "plan.size=32",
        "plan.steps=2",
    )
    for word in ("--set", field)
]
SPAN = ["--set", 'method.span={"low": [254], "high": [316]}']

Array = npt.NDArray[Any]


def field(seed: int, height: int, width: int) -> Array:
    """Smooth, from 260 to 310 K; (H, W, 1)."""
    coarse = np.random.default_rng(seed).uniform(265, 305, (6, 6)).astype(np.float32)
    fine = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    return fine.clip(260, 310)[..., None]


def small(values: Array, height: int, width: int) -> Array:
    return np.asarray(Image.fromarray(values[..., 0]).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def kelvin() -> str:
    Path("fields").mkdir()
    for seed in range(3):
        write(Picture(field(seed, 48, 40), span=KELVIN), f"fields/{seed}.tiff")
    write(Picture(field(7, 12, 16), span=KELVIN), "low.tiff")
    return "fields"


def test_temperatures_are_learnt_and_restored_in_kelvin(refinesr: Command, kelvin: str) -> None:
    train = ("train", "photo-x4-small", "--tiny", "--data", kelvin, "--device", "cpu", *BAND)
    refused = refinesr(*train, "-o", "no")
    assert refused.code == 2
    assert "float pixels lie in [0, 1]; these go from 2" in " ".join(refused.err.split())
    assert refinesr(*train, "-o", "run", *SPAN).code == 0
    assert len(list(Path("run/previews").iterdir())) == 1

    made = refinesr("upscale", "low.tiff", "-m", "run", "-o", "large.tiff", "--json", "--precision", "fp32")
    assert made.code == 0, made.err
    low, large = (read(name, span=KELVIN).pixels for name in ("low.tiff", "large.tiff"))
    assert (large.shape, large.dtype) == ((48, 64, 1), np.float32)
    assert abs(small(large, 12, 16) - low[..., 0]).max() < 2e-3
    assert json.loads(made.out)["agreement"] == 1
    again = refinesr(
        "upscale", "low.tiff", "-m", "run", "-o", "wide.tiff", "-s", "2.5", "--precision", "fp32"
    )
    assert again.code == 0, again.err
    assert read("wide.tiff", span=KELVIN).pixels.min() >= 254

    told = refinesr("info", "run")
    assert "span        254 to 316" in told.out
    assert json.loads(refinesr("info", "run", "--json").out)["method"]["span"] == {
        "low": [254],
        "high": [316],
    }

    write(Picture(field(8, 12, 16) - 100, span=Span((0.0,), (400.0,))), "cold.tiff")
    cold = refinesr("upscale", "cold.tiff", "-m", "run", "-o", "no.tiff")
    assert cold.code == 2
    said = " ".join(cold.err.split())
    assert said.startswith("cold.tiff: goes from 1")
    assert "more than 16 % outside the span 254 to 316" in said
    assert not Path("no.tiff").exists()


def test_a_run_keeps_its_span(refinesr: Command, kelvin: str) -> None:
    train = ("train", "photo-x4-small", "--tiny", "--data", kelvin, "-o", "run", "--device", "cpu", *BAND)
    assert refinesr(*train, *SPAN).code == 0
    on = refinesr(*train, *SPAN, "--resume", "--set", "plan.steps=3")
    assert on.code == 0, on.err
    wide = ("--set", 'method.span={"low": [200], "high": [400]}')
    other = refinesr(*train, *wide, "--resume")
    assert other.code == 2
    assert "holds a run of another method.span; --resume may only change the plan" in " ".join(
        other.err.split()
    )
    begun = refinesr(*train[: -len(BAND) - 4], "-o", "next", "--device", "cpu", *BAND, *wide, "--from", "run")
    assert begun.code == 2
    assert "its method.span is 254 to 316, this run's is 200 to 400" in " ".join(begun.err.split())


@pytest.mark.parametrize(("words", "said"), [
    ('{"low": [254], "high": [200]}', "--set: method.span.high: 200 is not above low, 254"),
    ('{"low": [254, 0], "high": [316, 1]}', "--set: method.span: has 2 numbers each, and channels is 1"),
    ("[254, 316]", "--set: method.span: [254, 316] is not one of Span, null"),
])  # fmt: skip
def test_spans_without_a_meaning_are_refused(refinesr: Command, kelvin: str, words: str, said: str) -> None:
    ran = refinesr("train", "photo-x4-small", "--tiny", "--data", kelvin, "-o", "run", *BAND, "--set",
                   f"method.span={words}")  # fmt: skip
    assert (ran.code, len(ran.err.strip().splitlines())) == (2, 1)
    assert ran.err.startswith(said)
    assert not Path("run").exists()


def test_evaluate_names_no_option_of_training(refinesr: Command, kelvin: str) -> None:
    words = ("evaluate", "bicubic", "--data", kelvin, "-o", "report", "--protocol", "bands", "--scale", 4)
    ran = refinesr(*words)
    assert ran.code == 2
    assert "or train with a method.span, and evaluate with --span" in ran.err
    ran = refinesr(*words, "--span", 0, 5)
    assert ran.code == 2
    assert "more than 16 % outside the span 0 to 5; 0 to 3" in ran.err
    assert "method" not in ran.err
