"""The protocol `bands` by a span: fields in units of their own, whatever methods make of them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from methods import packed, stage
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from refinesr.checkpoint import save_stage
from refinesr.cli import main
from refinesr.errors import ConfigError, InputError
from refinesr.evaluate.bands import DISPLAY, display_convention, span_convention, with_single_bands
from refinesr.evaluate.depths import AsStored, resized
from refinesr.evaluate.evaluation import eight_bit_rgb
from refinesr.evaluate.image_metrics import Case, sample_metrics
from refinesr.evaluate.pairs import LoadedPair
from refinesr.evaluate.protocols import BANDS, CLASSIC_Y, with_span
from refinesr.evaluate.saved_report import read_report
from refinesr.evaluate.upscalers import ModelUpscaler
from refinesr.images.io import read, write
from refinesr.images.picture import Picture
from refinesr.images.resize import PillowBicubic
from refinesr.images.span import Span
from refinesr.restore import Options

KELVIN, REFLECTANCE = Span((250.0,), (320.0,)), Span((0.0,), (10000.0,))
EACH = Span((250.0, 98000.0), (320.0, 104000.0))
Array = npt.NDArray[Any]


def field(bands: int = 1, seed: int = 0, height: int = 48, width: int = 40) -> Array:
    """Within the middle of [0, 1], smooth."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0.2, 0.8, (bands, height // 4, width // 4)).astype(np.float32)
    fine = [np.asarray(Image.fromarray(x).resize((width, height), Image.Resampling.BICUBIC)) for x in coarse]
    return np.stack(fine, 2)


def noisy(values: Array, seed: int = 1) -> Array:
    noise = np.random.default_rng(seed).normal(0.01, 0.04, values.shape)
    return (values + noise).astype(np.float32)


def units(values: Array, span: Span, kind: Any = np.float32) -> Array:
    found = np.array(span.low) + values.astype(np.float64) * np.array(span.width)
    return (found if kind is np.float32 else found.round()).astype(kind)


def measured(span: Span | None, high: Array, *results: Array) -> dict[str, float]:
    depth = AsStored(span)
    whole, *made = (depth.to_tensor(Picture(values, span=span), "it") for values in (high, *results))
    low = resized(whole, (whole.shape[2] // 4, whole.shape[3] // 4), PillowBicubic(), span)
    case = Case.of(LoadedPair("it", whole, low, "it", depth), made)
    protocol = BANDS if span is None else with_span(BANDS, span)
    metrics = with_single_bands(
        (*protocol.metrics(4), *sample_metrics(len(results), AsStored.unit_name)), high.shape[2]
    )
    scores = {metric.key: metric.measure(case) for metric in metrics}
    return {key: score for key, score in scores.items() if score is not None}


@pytest.mark.parametrize(("kind", "span"), [(np.float32, KELVIN), (np.uint16, REFLECTANCE)])
def test_numbers_of_one_band_are_numpys_and_scikit_images_on_the_files(kind: Any, span: Span) -> None:
    high, result = (units(x, span, kind) for x in (field(), noisy(field())))
    found = measured(span, high, result)
    one, other = (x.astype(np.float64)[..., 0] for x in (high, result))
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((other - one) ** 2)), rel=1e-9)
    assert found["bias"] == pytest.approx(np.mean(other - one), rel=1e-9)
    width = span.width[0]
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(one, other, data_range=width), rel=1e-9)
    asked: Any = {"data_range": width, "gaussian_weights": True, "use_sample_covariance": False}
    _, ssim = structural_similarity(one - span.low[0], other - span.low[0], full=True, **asked)
    assert found["ssim"] == pytest.approx(ssim[5:-5, 5:-5].mean(), rel=1e-6)


def test_numbers_do_not_depend_on_the_unit_but_for_those_that_are_in_it() -> None:
    high, results = field(2), [noisy(field(2), seed) for seed in (1, 2, 3)]
    plainly = measured(None, high, *results)
    found = measured(EACH, units(high, EACH), *(units(result, EACH) for result in results))
    assert plainly.keys() == found.keys()
    for key, score in found.items():
        name, _, band = key.partition(".")
        if name not in ("rmse", "bias", "sigma", "crps"):
            assert score == pytest.approx(plainly[key], rel=2e-5, abs=1e-3 * ("coverage" in name)), key
        elif band:
            width = EACH.width[int(band) - 1]
            assert score == pytest.approx(plainly[key] * width, rel=1e-4, abs=1e-6 * width), key
    for name in ("bias", "sigma", "crps"):
        assert found[name] == pytest.approx((found[f"{name}.1"] + found[f"{name}.2"]) / 2, rel=1e-9)
    squares = (found["rmse.1"] ** 2 + found["rmse.2"] ** 2) / 2
    assert found["rmse"] == pytest.approx(squares**0.5, rel=1e-9)


def test_what_is_reduced_stays_within_the_span() -> None:
    step = np.full((32, 32, 1), 250, np.float32)
    step[:, 15:] = 320
    low = resized(
        AsStored(KELVIN).to_tensor(Picture(step, span=KELVIN), "it"), (8, 8), PillowBicubic(), KELVIN
    )
    assert (low.amin(), low.amax()) == (250, 320)
    clip = np.asarray(Image.fromarray(step[..., 0]).resize((8, 8), Image.Resampling.BICUBIC)).clip(250, 320)
    np.testing.assert_allclose(low[0, 0], clip, rtol=1e-6)


def test_conventions_say_the_span_and_are_as_before_without() -> None:
    told = with_span(BANDS, KELVIN).conventions(4, False)
    assert span_convention(KELVIN) in told
    assert "250 to 320" in span_convention(KELVIN)
    assert display_convention(KELVIN) in told
    assert DISPLAY not in told
    assert any("only clipped to the span" in line for line in told)
    assert any(
        line.endswith("floats are not rounded, only clipped to 0 to 1")
        for line in BANDS.conventions(4, False)
    )
    assert DISPLAY in BANDS.conventions(4, False)
    with pytest.raises(
        ConfigError, match="protocol classic-y compares photos in 8 bits; use --protocol bands"
    ):
        with_span(CLASSIC_Y, KELVIN)


def test_networks_of_sets_see_the_span_in_eight_bits() -> None:
    values = units(field(3), REFLECTANCE, np.uint16)
    shown = eight_bit_rgb(torch.from_numpy(values.transpose(2, 0, 1)[None]), REFLECTANCE)
    np.testing.assert_array_equal(shown[0].permute(1, 2, 0), (values / 10000 * 255).round())


def test_a_span_of_other_bands_and_photos_in_eight_bits_are_refused() -> None:
    with pytest.raises(InputError, match=r"^it: has 1 bands, and the span is of 2$"):
        AsStored(EACH).to_tensor(Picture(units(field(), REFLECTANCE, np.uint16)), "it")
    method = replace(packed(2, 1), span=KELVIN)
    eight = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    with pytest.raises(ConfigError, match=r"^model: has a method\.span, 250 to 320"):
        ModelUpscaler(stage(method), Options()).check(LoadedPair("it", eight, eight, "it"), 1)


# ------------------------------------------------------------------------------- on the command line

Ran = Callable[..., tuple[int, str]]


@pytest.fixture
def evaluate(capsys: pytest.CaptureFixture[str]) -> Ran:
    def run(*words: object, protocol: str = "bands", output: str = "out") -> tuple[int, str]:
        given = ("--protocol", protocol, "--data", "data", "-o", output, "--device", "cpu", *words)
        code = main(["evaluate", *map(str, given)])
        told = capsys.readouterr()
        return code, told.out if code == 0 else told.err

    return run


def fields(span: Span, kind: Any = np.float32, bands: int = 1) -> None:
    Path("data").mkdir()
    for seed in range(2):
        write(Picture(units(field(bands, seed), span, kind), span=span), f"data/{seed}.tiff")


def saved(name: str, span: Span | None, bands: int = 1) -> str:
    save_stage(stage(replace(packed(4, bands), span=span)), f"{name}.safetensors")
    return f"{name}.safetensors"


def facts(folder: str = "out") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "report.json").read_text())
    return found


def test_models_tell_the_span_that_all_are_measured_by(evaluate: Ran) -> None:
    fields(KELVIN)
    code, said = evaluate("bicubic", f"ours={saved('ours', KELVIN)}", "--samples", 2)
    assert code == 0, said
    report = facts()
    assert report["protocol"]["span"] == {"low": [250], "high": [320]}
    assert span_convention(KELVIN) in report["protocol"]["conventions"]
    assert read_report(Path("out")).span == KELVIN
    scores = report["images"][0]["scores"]
    for name in ("bicubic", "ours"):
        made = read(f"out/pictures/{name}/0.tiff", span=KELVIN).pixels.astype(np.float64)
        assert 250 <= made.min() < made.max() <= 320
        error = made - read("data/0.tiff", span=KELVIN).pixels
        assert scores[name]["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-9)
        assert scores[name]["psnr"] == pytest.approx(20 * np.log10(70 / np.sqrt(np.mean(error**2))), rel=1e-9)
    assert "the span's ends as black to white" in Path("out/page.html").read_text()
    assert main(["compare", "out", "--methods", "bicubic", "ours", "-o", "apart.png"]) == 0
    before = (Path("out") / "report.json").read_bytes()
    assert evaluate("bicubic", "ours=ours.safetensors", "--samples", 2)[0] == 0
    assert (Path("out") / "report.json").read_bytes() == before
    code, said = evaluate("bicubic", "ours=ours.safetensors", "--samples", 2, "--span", 240, 330)
    assert code == 2
    assert "out" in said


def test_interpolation_alone_is_told_a_span(evaluate: Ran) -> None:
    fields(KELVIN)
    code, said = evaluate("bicubic", "lanczos", "nearest", "--scale", 4)
    assert code == 2
    assert "float pixels lie in [0, 1]; these go from" in said
    code, said = evaluate("bicubic", "lanczos", "nearest", "--scale", 4, "--span", 200, 400)
    assert code == 0, said
    assert facts()["protocol"]["span"] == {"low": [200], "high": [400]}
    code, said = evaluate("bicubic", "--scale", 4, "--span", 400, 200, output="other")
    assert (code, said.strip().splitlines()[-1]) == (2, "--span: high: 200 is not above low, 400")


def test_models_of_two_spans_and_photos_need_a_word(evaluate: Ran) -> None:
    fields(KELVIN)
    wide = Span((200.0,), (400.0,))
    both = f"a={saved('a', KELVIN)}", f"b={saved('b', wide)}"
    code, said = evaluate(*both)
    told = "--span: models have several, a has 250 to 320, b has 200 to 400; give --span LOW HIGH"
    assert (code, " ".join(said.split())) == (2, f"{told} to measure all by one")
    code, said = evaluate(*both, "--span", 250, 320)
    assert code == 0, said
    code, said = evaluate("a=a.safetensors", protocol="classic-y", output="photos")
    assert code == 2
    assert (
        "span: 250 to 320, a model's or asked for, is of values in units, and protocol classic-y compares"
        in said
    )
    code, said = evaluate("a=a.safetensors", f"plain={saved('plain', None)}", output="plainly")
    assert code == 2
    assert "float pixels lie in [0, 1]" in said


def test_reflectances_are_measured_beside_a_model_of_all_sixteen_bits(evaluate: Ran) -> None:
    fields(REFLECTANCE, np.uint16)
    code, said = evaluate(f"a={saved('a', REFLECTANCE)}", f"plain={saved('plain', None)}", "bicubic")
    assert code == 0, said
    assert facts()["protocol"]["span"] == {"low": [0], "high": [10000]}
    assert read("out/pictures/a/0.tiff").pixels.dtype == np.uint16


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_values_far_outside_are_refused_by_name_whatever_their_type(evaluate: Ran, kind: Any) -> None:
    """As in training and by `upscale`; as far as resampling overshoots they are taken."""
    Path("data").mkdir()
    for name, most in (("0", 1000), ("1", 1160), ("2", 1161)):
        values = np.full((32, 32, 1), 500, kind)
        values[5, 7] = most
        write(Picture(values, span=REFLECTANCE), f"data/{name}.tiff")
    code, said = evaluate("nearest", "--scale", 4, "--span", 0, 1000)
    assert code == 2
    told = "data/2.tiff: goes from 500 to 1161, more than 16 % outside the span 0 to 1000; 0 to 1161 would"
    assert said.strip().splitlines()[-1] == f"{told} hold it"
    Path("data/2.tiff").unlink()
    code, said = evaluate("nearest", "--scale", 4, "--span", 0, 1000)
    assert code == 0, said


def test_a_report_without_a_span_does_not_speak_of_any(evaluate: Ran) -> None:
    fields(REFLECTANCE, np.uint16)
    assert evaluate("bicubic", "--scale", 4)[0] == 0
    assert facts()["protocol"].keys() == {"name", "conventions"}
    assert json.loads(Path("out/pictures/high/evaluate.json").read_text()).keys() == {
        "format",
        "protocol",
        "scale",
    }
    assert read_report(Path("out")).span is None
