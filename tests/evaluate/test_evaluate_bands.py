"""The protocol `bands`: fields of any number of bands and any depth, in their own units."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from methods import packed, stage
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from refinesr.checkpoint import load_stage, save_stage
from refinesr.cli import main
from refinesr.errors import InputError
from refinesr.evaluate.bands import with_single_bands
from refinesr.evaluate.crops import load_picture, rgb_pixels
from refinesr.evaluate.depths import AsStored, resized, to_type
from refinesr.evaluate.evaluation import eight_bit_rgb as seen
from refinesr.evaluate.external import ExternalNetwork
from refinesr.evaluate.image_metrics import Case, sample_metrics
from refinesr.evaluate.pairs import LoadedPair, find_pairs
from refinesr.evaluate.protocols import BANDS
from refinesr.evaluate.saved_report import read_report
from refinesr.evaluate.store import Store, derived_seed
from refinesr.evaluate.upscalers import interpolations
from refinesr.images.io import read, write
from refinesr.images.picture import Picture
from refinesr.images.resize import PillowBicubic
from refinesr.restore import upscale

FORMAT = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
"""Of files of other people, deprecated for new ones."""

KINDS = {np.uint8: 255, np.uint16: 65535, np.float32: 1}


def field(kind: Any = np.uint16, bands: int = 5, seed: int = 0, height: int = 48, width: int = 40) -> Any:
    """Smooth, each band another, within the middle half of the type's range; (H, W, bands)."""
    rng, size = np.random.default_rng(seed), (width, height)
    coarse = rng.uniform(0.3, 0.7, (bands, height // 4, width // 4)).astype(np.float32)
    fine = [np.asarray(Image.fromarray(band).resize(size, Image.Resampling.BICUBIC)) for band in coarse]
    return typed(np.stack(fine, 2) * KINDS[kind], kind)


def typed(values: Any, kind: Any) -> Any:
    return values.astype(kind) if kind is np.float32 else values.round().astype(kind)


def noisy(values: Any, seed: int = 1) -> Any:
    peak = KINDS[values.dtype.type]
    noise = np.random.default_rng(seed).normal(0.01, 0.04, values.shape) * peak
    return typed(values + noise, values.dtype.type)


def stored(values: Any) -> torch.Tensor:
    return AsStored().to_tensor(Picture(values), "it")


def case(high: Any, *results: Any) -> Case:
    whole = stored(high)
    low = resized(whole, (whole.shape[2] // 4, whole.shape[3] // 4), PillowBicubic())
    return Case.of(LoadedPair("it", whole, low, "it", AsStored()), [stored(result) for result in results])


def measured(high: Any, *results: Any) -> dict[str, float]:
    metrics = with_single_bands(
        (*BANDS.metrics(4), *sample_metrics(len(results), AsStored.unit_name)), high.shape[2]
    )
    scores = {metric.key: metric.measure(case(high, *results)) for metric in metrics}
    return {key: score for key, score in scores.items() if score is not None}


def in_floats(values: Any, size: tuple[int, int], way: Image.Resampling) -> Any:
    """Each band by Pillow in its mode F."""
    return in_planes(values.astype(np.float32), size, way)


def in_planes(values: Any, size: tuple[int, int], way: Image.Resampling) -> Any:
    planes = [Image.fromarray(band).resize(size[::-1], way) for band in values.transpose(2, 0, 1)]
    return np.stack([np.asarray(plane) for plane in planes], 2)


# -------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("kind", KINDS)
def test_psnr_and_ssim_are_scikit_images(kind: Any) -> None:
    """Of all bands, of each, and at the range of the type."""
    high = field(kind)
    made, peak = noisy(high), KINDS[kind]
    scores = measured(high, made)
    high, made = (x.astype(np.float64) for x in (high, made))
    way: dict[str, Any] = {"gaussian_weights": True, "use_sample_covariance": False, "data_range": peak}
    assert scores["psnr"] == pytest.approx(peak_signal_noise_ratio(high, made, data_range=peak), rel=1e-12)
    expected = structural_similarity(high, made, channel_axis=2, **way)
    assert scores["ssim"] == pytest.approx(expected, abs=1e-9)
    for band in range(5):
        one, other = high[..., band], made[..., band]
        expected = peak_signal_noise_ratio(one, other, data_range=peak)
        assert scores[f"psnr.{band + 1}"] == pytest.approx(expected, rel=1e-12)
        assert scores[f"ssim.{band + 1}"] == pytest.approx(structural_similarity(one, other, **way), abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_error_and_bias_are_in_the_files_units(kind: Any) -> None:
    high = field(kind)
    made = noisy(high)
    scores, error = measured(high, made), made.astype(np.float64) - high
    assert scores["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-12)
    assert scores["bias"] == pytest.approx(error.mean(), rel=1e-9)
    for band in range(5):
        assert scores[f"rmse.{band + 1}"] == pytest.approx(np.sqrt((error[..., band] ** 2).mean()), rel=1e-12)
        assert scores[f"bias.{band + 1}"] == pytest.approx(error[..., band].mean(), rel=1e-9)


@pytest.mark.parametrize(
    ("kind", "offsets"), [(np.uint8, (0, 1, -2, 3, -7)), (np.uint16, (0, 1, -300, 37, 9000))]
)
def test_a_constant_offset_is_the_bias_exactly(kind: Any, offsets: tuple[int, ...]) -> None:
    high = field(kind)
    scores = measured(high, (high + np.array(offsets)).astype(kind))
    assert [scores[f"bias.{band}"] for band in range(1, 6)] == list(offsets)
    assert [scores[f"rmse.{band}"] for band in range(1, 6)] == [abs(offset) for offset in offsets]
    assert scores["bias"] == pytest.approx(np.mean(offsets), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bands", [1, 2, 3, 5])
def test_equal_pictures(kind: Any, bands: int) -> None:
    scores = measured(field(kind, bands), field(kind, bands))
    assert (scores["psnr"], scores["rmse"], scores["bias"]) == (np.inf, 0, 0)
    assert scores["ssim"] == pytest.approx(1, abs=1e-12)
    assert ("rmse.1" in scores, f"rmse.{bands + 1}" in scores) == (bands not in (1, 3), False)


@pytest.mark.parametrize("kind", KINDS)
def test_consistency_is_of_full_depth(kind: Any) -> None:
    """Pillow reduces floats in double precision and keeps them in float32."""
    high = field(kind)
    made, peak = noisy(high), KINDS[kind]
    reduced = in_floats(made, (12, 10), Image.Resampling.BICUBIC)
    low = case(high, made).low[0].permute(1, 2, 0).numpy()
    expected = ((reduced / peak - low) ** 2).mean() * 1e5
    assert measured(high, made)["consistency"] == pytest.approx(expected, rel=1e-3)


def test_ensembles_are_measured_in_the_files_units() -> None:
    """300 above and 300 below the truth: sigma 300, CRPS 300 - 600 / 2 = 0, and the truth is between."""
    high = field(np.uint16)
    scores = measured(high, high + np.uint16(300), high - np.uint16(300))
    assert scores["sigma"] == pytest.approx(300, rel=1e-12)
    assert scores["crps"] == pytest.approx(0, abs=1e-9)
    both_above = measured(high, high + np.uint16(300), high + np.uint16(300))
    assert both_above["crps"] == pytest.approx(300, rel=1e-12)
    assert both_above["crps.4"] == pytest.approx(300, rel=1e-12)
    samples = [high + np.uint16(k) for k in (10, 20, 30)] + [high - np.uint16(k) for k in (10, 20)]
    assert measured(high, *samples)["coverage_50"] == pytest.approx(1)


# ------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("kind", KINDS)
def test_poor_pictures_are_pillows_rounded_once(kind: Any) -> None:
    high = field(kind)
    low = resized(stored(high), (12, 10), PillowBicubic())[0].permute(1, 2, 0).numpy()
    assert low.dtype == kind
    if kind is np.uint8:
        np.testing.assert_array_equal(low, in_planes(high, (12, 10), Image.Resampling.BICUBIC))
        return
    expected = in_floats(high, (12, 10), Image.Resampling.BICUBIC)
    # a half by rounding, and what Pillow's float32 leaves
    assert np.abs(low - expected).max() <= (1e-6 if kind is np.float32 else 0.51)


@pytest.mark.parametrize("name", ["lanczos", "nearest", "bicubic"])
@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_interpolation_is_pillows_at_full_depth(name: str, kind: Any) -> None:
    low = field(kind, 2, height=12, width=16)
    shown = LoadedPair("it", torch.zeros(1, 2, 48, 64), stored(low), "it", AsStored())
    *_, made = interpolations(PillowBicubic())[name].upscale([shown], 4, [0], 0)
    values = made.image[0][0].permute(1, 2, 0).numpy()
    expected = in_floats(low, (48, 64), Image.Resampling[name.upper()])
    assert values.dtype == kind
    assert np.abs(values - expected).max() <= (1e-6 if kind is np.float32 else 0.51)


def test_what_overshoots_is_clipped_to_the_types_range() -> None:
    values = torch.tensor([-0.2, 0.3, 1.2]).reshape(1, 1, 1, 3)
    assert to_type(values, torch.float32).flatten().tolist() == pytest.approx([0, 0.3, 1])
    assert to_type(65535 * values, torch.uint16).flatten().tolist() == [0, 19660, 65535]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5])
def test_a_store_keeps_depth_and_bands(kind: Any, bands: int) -> None:
    Path("made").mkdir()
    store, values = Store(Path("made"), AsStored()), stored(field(kind, bands))
    store.write("it", 1, values, "sum")
    again = store.read("it", 1)
    assert (again.dtype, Path("made/samples/it-2.tiff").is_file()) == (values.dtype, True)
    assert torch.equal(again, values)
    store.remove()
    assert not Path("made").exists()


@pytest.mark.parametrize(("bands", "first"), [(1, (0, 0, 0)), (2, (0, 0, 0)), (3, (0, 1, 2)), (5, (0, 1, 2))])
def test_pages_show_the_first_bands(bands: int, first: tuple[int, ...]) -> None:
    values = field(np.uint16, bands)
    write(Picture(values), "it.tiff")
    expected = (values[..., list(first)] / 257).round()
    np.testing.assert_array_equal(load_picture(Path(), "it"), expected)
    np.testing.assert_array_equal(rgb_pixels(Picture(values)), expected)


def test_networks_of_sets_see_eight_bits() -> None:
    values = field(np.uint16, 3)
    np.testing.assert_array_equal(seen(stored(values))[0].permute(1, 2, 0), (values / 257).round())


# --------------------------------------------------------------------------------------- on the command line


def fields(folder: str, kind: Any = np.uint16, bands: int = 5, count: int = 2) -> Path:
    Path(folder).mkdir()
    for number in range(count):
        write(Picture(field(kind, bands, number)), f"{folder}/{number}.tiff")
    return Path(folder)


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of five bands and scale 4 with random weights."""
    path = tmp_path_factory.mktemp("model") / "five.safetensors"
    save_stage(stage(packed(4, channels=5)), path)
    return path


class Means(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert images.dtype == torch.uint8
        return images.float().mean((2, 3))


Ran = Callable[..., tuple[int, str]]


@pytest.fixture
def evaluate(capsys: pytest.CaptureFixture[str]) -> Ran:
    def run(*words: object, output: str = "out") -> tuple[int, str]:
        protocol = () if "--protocol" in words else ("--protocol", "bands")
        given = (*protocol, "--data", "data", "-o", output, "--device", "cpu", *words)
        code = main(["evaluate", *map(str, given)])
        told = capsys.readouterr()
        return code, told.out if code == 0 else told.err

    return run


def text(folder: str) -> str:
    return (Path(folder) / "report.json").read_text()


@pytest.mark.slow
def test_a_model_of_five_bands_is_measured_and_resumed(evaluate: Ran, five: Path) -> None:
    fields("data")
    asked = ("truth", f"ours={five}", "--samples", 2, "--precision", "fp32")
    code, table = evaluate(*asked)
    assert code == 0, table
    head = next(line for line in table.splitlines() if line.startswith("| method"))
    assert "RMSE" in head
    assert "band" not in head
    report = json.loads(text("out"))
    ours = report["images"][0]["scores"]["ours"]
    assert {f"{key}.{band}" for key in ("psnr", "rmse", "crps") for band in range(1, 6)} <= ours.keys()
    assert report["metrics"]["rmse.5"]["band"] == 5
    assert "rmse.5" in Path("out/images.csv").read_text().splitlines()[0].split(",")
    assert report["methods"][0]["metrics"]["psnr"]["mean"] == "inf"
    # results are those of `upscale`: to one level of 65535, for where weights lie may decide a last bit
    low, made = (read(f"out/pictures/{name}/1.tiff").pixels for name in ("low", "ours"))
    expected = upscale(load_stage(five), low, seed=derived_seed(0, "1", 0), device="cpu", precision="fp32")
    assert made.dtype == np.uint16
    np.testing.assert_allclose(made, expected.astype(np.float64), rtol=0, atol=1)
    np.testing.assert_array_equal(read("out/pictures/truth/1.tiff").pixels, field(seed=1))

    assert evaluate(*asked, "--limit", 1, output="again")[0] == 0
    Path("again/pictures/ours/samples/0-2.tiff").unlink()
    assert evaluate(*asked, output="again")[0] == 0
    assert text("again") == text("out")
    assert {key for key in read_report(Path("out")).metrics if "." in key} == set()


def test_the_page_says_what_it_shows(evaluate: Ran) -> None:
    fields("data")
    assert evaluate("bicubic", "nearest", "--scale", 4)[0] == 0
    page = Path("out/page.html").read_text()
    assert page.count("first three bands as red, green and blue") == 2  # conventions, crops
    assert page.count("data:image/webp") >= 2 * 5
    assert main(["compare", "out", "--methods", "bicubic", "nearest", "-o", "apart.png"]) == 0


def test_floats_stay_floats(evaluate: Ran) -> None:
    fields("data", np.float32, 2)
    shutil.copytree("data", "made")
    assert evaluate("bicubic", "same=made", "--scale", 2)[0] == 0
    made = read("out/pictures/bicubic/0.tiff").pixels
    assert (made.dtype, made.shape) == (np.float32, (48, 40, 2))
    assert len(np.unique(made)) > 256
    scores = json.loads(text("out"))["images"][0]["scores"]
    error = made.astype(np.float64) - field(np.float32, 2)
    assert scores["bicubic"]["bias.2"] == pytest.approx(error[..., 1].mean(), rel=1e-9)
    assert (scores["same"]["psnr"], scores["same"]["rmse.1"]) == ("inf", 0)


def test_poor_pictures_may_be_given(evaluate: Ran) -> None:
    fields("data")
    Path("low").mkdir()
    for number in range(2):
        low = resized(stored(field(seed=number)), (12, 10), PillowBicubic())
        write(Picture(np.ascontiguousarray(low[0].permute(1, 2, 0))), f"low/{number}.tiff")
    assert evaluate("nearest", "--low", "low")[0] == 0
    given = json.loads(text("out"))
    assert evaluate("nearest", "--scale", 4, output="made")[0] == 0
    assert given["images"] == json.loads(text("made"))["images"]


@pytest.mark.parametrize("option", ["perceptual", "lpips", "dists", "niqe", "features", "probabilities"])
def test_judges_of_three_bands_are_refused(evaluate: Ran, option: str) -> None:
    fields("data")
    words = f"--{option}: judges pictures of 3 bands, and protocol bands has 5 of them here; leave it out"
    code, told = evaluate("bicubic", "--scale", 4, f"--{option}", "nowhere")
    assert (code, told.strip()) == (2, words)
    assert not Path("out/pictures").exists()


def test_a_model_of_other_channels_is_refused(evaluate: Ran, five: Path) -> None:
    fields("data", bands=1)
    code, told = evaluate(five)
    wrong = "data/0.tiff: has 1 channels; the model restores pictures of 5"
    assert (code, told.strip()) == (2, f"{wrong}; nor can data/1.tiff be used")
    assert not Path("out/pictures").exists()


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (field(np.uint16, 4), "of 4 bands of 16 bits"),
        (field(np.uint8), "of 5 bands of 8 bits"),
        (field(np.float32), "of 5 bands of floats"),
    ],
)
def test_pictures_of_one_set_are_of_one_mode(evaluate: Ran, odd: Any, words: str) -> None:
    fields("data")
    write(Picture(odd), "data/1.tiff")
    code, told = evaluate("bicubic", "--scale", 4)
    both = f"data/1.tiff is {words} and data/0.tiff is of 5 bands of 16 bits; both must be of one mode"
    assert (code, told.strip()) == (2, both)


@pytest.mark.parametrize("folder", ["low", "made"])
@pytest.mark.parametrize(
    ("bands", "kind", "height", "words"),
    [
        (4, np.uint16, 0, "of 4 bands of 16 bits"),
        (5, np.float32, 0, "of 5 bands of floats"),
        (5, np.uint16, 4, "pixels; "),
    ],
)
def test_partners_are_of_one_mode_and_size(
    evaluate: Ran, folder: str, bands: int, kind: Any, height: int, words: str
) -> None:
    fields("data", count=1)
    Path(folder).mkdir()
    scale = 4 if folder == "low" else 1
    odd = field(kind, bands, height=48 // scale + height, width=40 // scale)
    write(Picture(odd), f"{folder}/0.tiff")
    asked = ("bicubic", "--low", "low") if folder == "low" else ("made",)
    code, told = evaluate(*asked, "--scale", 4)
    assert code == 2
    assert f"{folder}/0.tiff" in told
    assert "data/0.tiff" in told
    assert words in told


def test_transparency_and_nan_are_refused_by_name(evaluate: Ran) -> None:
    fields("data", np.float32, 2, 1)
    values = field(np.float32, 2)
    values[3, 4, 1] = np.nan
    write(Picture(values), "data/1.tiff")
    code, told = evaluate("bicubic", "--scale", 4)
    assert (code, told.split(":")[0]) == (2, "data/1.tiff")
    write(Picture(field(np.float32, 2), field(np.float32, 1)[..., 0]), "data/1.tiff")
    code, told = evaluate("bicubic", "--scale", 4)
    assert (code, "data/1.tiff: is transparent in parts" in told) == (2, True)


def test_other_protocols_still_refuse_bands() -> None:
    fields("data", count=1)
    with pytest.raises(
        InputError, match=r"^data/0\.tiff: has 5 channels; grey and RGB pictures are compared"
    ):
        find_pairs(Path("data"))[0].load(BANDS.crop, 4, BANDS.kernel)


class Enlarging:
    """What spandrel says of a network of RGB."""

    scale, input_channels = 4, 3

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return images.repeat_interleave(4, 2).repeat_interleave(4, 3)


def test_networks_of_other_projects_know_three_bands() -> None:
    """At full depth; float32 holds all of 16 bits."""
    network = ExternalNetwork(Path("net.pth"), Enlarging(), torch.device("cpu"))
    low = field(np.uint16, 3, height=12, width=16)
    shown = LoadedPair("it", torch.zeros(1, 3, 48, 64), stored(low), "it.tiff", AsStored())
    network.check(shown, 1)
    np.testing.assert_array_equal(
        network.upscaled(shown)[0].permute(1, 2, 0), low.repeat(4, axis=0).repeat(4, axis=1)
    )
    five = LoadedPair("it", stored(field()), stored(field()), "it.tiff", AsStored())
    with pytest.raises(
        InputError, match=r"^it\.tiff: has 5 bands, and net\.pth takes 3; they must be as many$"
    ):
        network.check(five, 1)


@FORMAT
def test_sets_of_fields_are_not_compared_as_colours(
    evaluate: Ran, capsys: pytest.CaptureFixture[str]
) -> None:
    fields("data")
    assert evaluate("bicubic", "nearest", "--scale", 4)[0] == 0
    torch.jit.script(Means()).save("means.pt")
    assert main(["compare", "out", "--methods", "bicubic", "nearest", "--features", "means.pt"]) == 2
    told = "bands on data: has pictures of 5 bands, and --features judges RGB"
    assert capsys.readouterr().err.strip().splitlines()[-1] == told


@FORMAT
def test_another_protocol_begins_anew(evaluate: Ran) -> None:
    """Nothing of the one before is left; sets of RGB are judged at 16 bits, too."""
    fields("data", bands=3)
    torch.jit.script(Means()).save("means.pt")
    assert evaluate("bicubic", "truth", "--scale", 4, "--features", "means.pt")[0] == 0
    methods = json.loads(text("out"))["methods"]
    assert methods[0]["metrics"]["fid"]["mean"] > methods[1]["metrics"]["fid"]["mean"] >= 0
    code, told = evaluate("bicubic", "--scale", 4, "--protocol", "classic-y")
    assert (code, "not of classic-y" in told) == (2, True)
    assert evaluate("bicubic", "--scale", 4, "--protocol", "classic-y", "--overwrite")[0] == 0
    assert {path.suffix for path in Path("out/pictures").rglob("*.*")} == {".png", ".json", ".csv"}
