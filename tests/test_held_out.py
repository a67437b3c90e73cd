"""Pictures that nothing is learnt from: which parts, what they tell, and that they change nothing."""

import json
import math
import os
import shutil
import tarfile
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import skimage.data
import skimage.metrics
import torch
from methods import FewPairs, packed, plain, plan
from PIL import Image
from torch import Tensor

import refinesr.train
from refinesr import load
from refinesr.config import override
from refinesr.diffusion.levels import Independent, LogNormal, OneLevel, Stratified
from refinesr.diffusion.loops import last_of
from refinesr.diffusion.noise import NoiseField
from refinesr.diffusion.precond import Blind
from refinesr.errors import ConfigError, InputError, OutputError
from refinesr.fit import Report
from refinesr.held_out import HeldOutSet, check_disjoint, load_held_out
from refinesr.images.reduction import Bicubic
from refinesr.images.resize import PillowBicubic
from refinesr.measurements import (
    Measurement,
    lowest_loss,
    parse_measurement,
    read_measurements,
    read_valid_measurements,
)
from refinesr.method import Method
from refinesr.model import Model
from refinesr.monitoring import HeldOutEvaluator
from refinesr.pretrained import new_model
from refinesr.recipes import RECIPES, tiny
from refinesr.run import Run
from refinesr.stage import Stage
from refinesr.train import train

CPU = torch.device("cpu")
METHOD = replace(packed(2), degradation=Bicubic(2, PillowBicubic()))
BLIND = replace(METHOD, precond=Blind(), levels=OneLevel(1.0), sampling=replace(METHOD.sampling, steps=1))
PLAN = plan(steps=7, save_every=3, preview_every=5, measure_every=2)
RUN = Run("face-x2", METHOD, PLAN)
SIDE = 16


def drawing(path: Path, height: int, width: int, seed: int = 0) -> Path:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five parts of a photo, of odd sizes, and one that is too small."""
    place = tmp_path / "others"
    place.mkdir()
    cat = skimage.data.chelsea()
    for k in range(5):
        Image.fromarray(cat[40 * k : 40 * k + 21 + k, 60 : 60 + 30 - k]).save(place / f"{k}.png")
    drawing(place / "small.png", 15, 40)
    return place


def held(method: Method, folder: Path, **options: Any) -> HeldOutSet:
    return load_held_out(method, folder, size=SIDE, **options)


@pytest.fixture
def pictures(folder: Path) -> HeldOutSet:
    return held(METHOD, folder)


def ruler(method: Method, pictures: HeldOutSet, batch: int = 2) -> HeldOutEvaluator:
    return HeldOutEvaluator(method, pictures, replace(method, spread=Stratified()).objective(), batch)


def awake(method: Method) -> Model:
    """Fresh weights end in zeros, and would say nothing."""
    model = new_model(method, CPU, 0).eval()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=rng))
    return model


def test_of_each_picture_the_middle_is_kept_and_reduced_as_pillow_does(
    folder: Path, pictures: HeldOutSet
) -> None:
    """The corner is even, as the scale is; the picture of 15 pixels is counted.

    Pillow rounds between its two passes, too, which makes a level.
    """
    assert [Path(name).name for name in pictures.names] == [f"{k}.png" for k in range(5)]
    assert pictures.left_out == 1
    for k in range(5):
        with Image.open(folder / f"{k}.png") as image:
            left, top = ((side - SIDE) // 2 // 2 * 2 for side in image.size)
            crop = image.crop((left, top, left + SIDE, top + SIDE))
        small = crop.resize((SIDE // 2, SIDE // 2), Image.Resampling.BICUBIC)
        for made, image, most in ((pictures.high[k], crop, 0), (pictures.low[k], small, 1)):
            levels = ((made + 1) * 127.5).permute(1, 2, 0).numpy()
            assert np.abs(levels - np.asarray(image)).max() < most + 1e-3


def test_the_loss_of_a_regression_is_the_mean_square_of_its_error(folder: Path) -> None:
    """In numpy, one picture after the other; the estimate is asked for as sampling does, not as training."""
    pictures, model = held(BLIND, folder), awake(BLIND)
    losses = []
    for high, low in zip(pictures.high.split(1), pictures.low.split(1), strict=True):
        with torch.no_grad():
            base, x0 = model.base(low), model.denoiser(low)(torch.zeros_like(high), torch.tensor(1.0))
        error = x0.numpy().astype(np.float64) - 3.5 * (high - base).numpy()
        losses.append((error**2).mean())
    assert len({round(loss, 6) for loss in losses}) == 5
    assert ruler(BLIND, pictures).loss(model) == pytest.approx(np.mean(losses), rel=1e-5)


def test_psnr_is_that_of_pictures_as_sampled_one_by_one(pictures: HeldOutSet) -> None:
    """Three steps from the noise of the picture's place; by scikit-image, of a range of two."""
    model, found = awake(METHOD), []
    for k, (high, low) in enumerate(zip(pictures.high.split(1), pictures.low.split(1), strict=True)):
        made = last_of(Stage(METHOD, model)(low, NoiseField((k,)))).image.clamp(-1, 1)
        found.append(
            skimage.metrics.peak_signal_noise_ratio(
                high.numpy().astype(np.float64), made.numpy().astype(np.float64), data_range=2
            )
        )
    psnr, distance = ruler(METHOD, pictures).restoration(model)
    assert psnr == pytest.approx(np.mean(found), abs=1e-3)
    assert distance is None


def test_a_distance_is_of_pictures_between_0_and_1(pictures: HeldOutSet) -> None:
    seen = []

    def distance(high: Tensor, other: Tensor) -> Tensor:
        seen.extend([high, other])
        return (high - other).abs().mean((1, 2, 3))

    _, far = replace(ruler(METHOD, pictures), distance=distance).restoration(awake(METHOD))
    assert far is not None
    assert 0 < far < 0.5
    assert all(float(images.min()) >= 0 and float(images.max()) <= 1 for images in seen)


def test_levels_are_spread_evenly_over_all_pictures_whatever_training_does(folder: Path) -> None:
    """One in each fifth of the distribution, though training draws each by itself."""
    method = replace(METHOD, spread=Independent(), levels=LogNormal(0.3, 1.1))
    sigma, *_ = refinesr.train.build_evaluator(
        replace(RUN, method=method), held(method, folder), None, None, None
    ).drawn
    parts = 5 * torch.special.ndtr((sigma.log() - 0.3) / 1.1)
    assert sorted(parts.long().tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("batch", [1, 3, 5, 8])
def test_how_many_at_a_time_changes_nothing(pictures: HeldOutSet, batch: int) -> None:
    model = awake(METHOD)
    whole = ruler(METHOD, pictures, 5).measure(model, 1, restoring=True)
    parts = ruler(METHOD, pictures, batch).measure(model, 1, restoring=True)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    assert parts.psnr == pytest.approx(whole.psnr, abs=1e-3)


def test_what_is_measured_is_the_same_each_time_and_torchs_generator_is_untouched(
    pictures: HeldOutSet,
) -> None:
    model, measured = awake(METHOD), []
    torch.manual_seed(1)
    expected = torch.rand(2)
    for seed in (1, 2):
        torch.manual_seed(seed)
        measured.append(ruler(METHOD, pictures).measure(model, 1, restoring=True))
        if seed == 1:
            assert torch.equal(torch.rand(2), expected)
    assert measured[0] == measured[1]


@pytest.mark.slow
def test_levels_of_a_cascades_noise_travel_as_in_training(folder: Path) -> None:
    method = tiny(RECIPES["sr3-64-256-aug"]()).method
    pictures = held(method, folder)
    assert pictures.low.shape == (5, 4, SIDE // 4, SIDE // 4)
    assert len(set(pictures.low[:, 3, 0, 0].tolist())) == 5
    assert math.isfinite(
        ruler(method, pictures).measure(new_model(method, CPU, 0).eval(), 1, restoring=True).loss
    )


CLASSED = override(
    tiny(RECIPES["base-64-class"]()).method, "source.count=3", "network.vector=3", "sampling.steps=2"
)


def test_a_class_is_its_place_among_those_learnt(tmp_path: Path) -> None:
    """Of three classes two are held out; pictures from nothing have no PSNR."""
    for name in ("dogs", "birds"):
        drawing(tmp_path / name / "0.png", 20, 20)
    pictures = held(CLASSED, tmp_path, classes=("birds", "cats", "dogs"))
    assert pictures.low[:, -1].flatten(1).mean(1).tolist() == [0, 2]
    made = ruler(CLASSED, pictures).measure(new_model(CLASSED, CPU, 0).eval(), 1, restoring=True)
    assert math.isfinite(made.loss)
    assert made.psnr is None
    with pytest.raises(ConfigError) as caught:
        held(CLASSED, tmp_path, classes=("cats", "dogs"))
    assert str(caught.value) == "--held-out: birds is not a class of the photos learnt from (cats, dogs)"


def test_none_large_enough_is_an_error(tmp_path: Path) -> None:
    drawing(tmp_path / "small.png", 15, 40)
    with pytest.raises(InputError, match="no picture has 16 pixels a side"):
        held(METHOD, tmp_path)


# ----------------------------------------------------------------------------------- what is learnt from, too


@pytest.mark.parametrize("way", ["itself", "symbolic", "hard"])
def test_what_is_learnt_from_too_is_refused_by_whatever_name(tmp_path: Path, way: str) -> None:
    for k in range(4):
        drawing(tmp_path / f"photos/{k}.png", 20, 20, k)
    drawing(tmp_path / "held/a.png", 20, 20, 9)
    photos, place = tmp_path / "photos", tmp_path / "held"
    for k in (1, 3):
        match way:
            case "symbolic":
                (place / f"z{k}.png").symlink_to(photos / f"{k}.png")
            case "hard":
                os.link(photos / f"{k}.png", place / f"z{k}.png")
    named = [place]
    if way == "itself":
        named += [photos / "1.png", photos / "3.png"]
    with pytest.raises(ConfigError) as caught:
        check_disjoint(named, [photos])
    first = photos / "1.png" if way == "itself" else place / "z1.png"
    wrong = f"also learnt from: {first} and 1 more; hold out other pictures"
    assert str(caught.value) == f"--held-out: {wrong}"
    check_disjoint([place / "a.png"], [photos])


def test_members_of_one_tar_are_told_apart(tmp_path: Path) -> None:
    drawing(tmp_path / "in/0.png", 20, 20)
    drawing(tmp_path / "out/0.png", 20, 20)
    with tarfile.open(tmp_path / "one.tar", "w") as archive:
        archive.add(tmp_path / "in/0.png", "0.png")
    shutil.copy(tmp_path / "one.tar", tmp_path / "other.tar")
    check_disjoint([tmp_path / "other.tar", tmp_path / "out"], [tmp_path / "one.tar", tmp_path / "in"])
    with pytest.raises(ConfigError, match=r"also learnt from: .*one\.tar:0\.png; hold out"):
        check_disjoint([tmp_path / "one.tar"], [tmp_path / "in", tmp_path / "one.tar"])


# --------------------------------------------------------------------------------------------- while training


def training(
    folder: Path, run: Run = RUN, pairs: Any = None, **options: Any
) -> Generator[Report, None, None]:
    pairs = pairs or FewPairs(run.method, run.plan.batch)
    return cast("Generator[Report, None, None]", train(run, pairs, folder, device=CPU, **options))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "held_out.jsonl").read_text().splitlines()]


def files(folder: Path, *names: str) -> list[bytes]:
    return [(folder / name).read_bytes() for name in names]


def test_a_run_is_measured_at_its_beginning_now_and_then_and_at_its_end(
    tmp_path: Path, pictures: HeldOutSet
) -> None:
    """Restored at 5 and 7, when previews are made; reports tell what the file does."""
    reports = list(training(tmp_path / "run", held_out=pictures))
    found = lines(tmp_path / "run")
    assert [line["step"] for line in found] == [0, 2, 4, 5, 6, 7]
    assert [line["step"] for line in found if "psnr" in line] == [5, 7]
    assert all(set(line) - {"psnr"} == {"step", "loss", "pictures"} for line in found)
    told = [each for report in reports for each in report.measured]
    assert told == read_measurements(tmp_path / "run" / "held_out.jsonl")
    assert [[each.step for each in report.measured] for report in reports] == [
        [0], [2], [], [4], [5], [6], [7],
    ]  # fmt: skip
    assert str(tmp_path) not in (tmp_path / "run" / "held_out.jsonl").read_text()


def test_trained_weights_are_seen_restoring_before_the_first_update(
    tmp_path: Path, pictures: HeldOutSet
) -> None:
    first = Stage(METHOD, METHOD.build())
    *_, final = training(tmp_path / "run", held_out=pictures, start=first)
    told = read_measurements(tmp_path / "run" / "held_out.jsonl")
    assert [each.step for each in told if each.psnr is not None] == [0, 5, 7]
    assert told[0].psnr == pytest.approx(ruler(METHOD, pictures).restoration(first.model)[0], abs=1e-9)
    assert final.step == 7


def test_each_is_of_the_averaged_weights_of_its_update(tmp_path: Path, pictures: HeldOutSet) -> None:
    run, place = replace(RUN, plan=replace(PLAN, save_every=1)), tmp_path / "run"
    models = {}
    for report in training(place, run, held_out=pictures):
        models[report.step] = load(place).model
        best = min(lines(place), key=lambda line: line["loss"])["step"]
        if best:
            kept = load(place / "best.safetensors").model.state_dict()
            for name, tensor in models[best].state_dict().items():
                assert torch.equal(kept[name], tensor)
    for line in lines(place)[1:]:
        assert ruler(METHOD, pictures).loss(models[line["step"]]) == pytest.approx(line["loss"], rel=1e-6)
    told = load(place / "best.safetensors").card.training[-1]
    assert told.startswith("the least loss so far on 5 held-out pictures, 0.")


@pytest.mark.parametrize("stop", [None, 2, 3])
def test_training_is_the_same_to_the_bit_with_and_without(
    tmp_path: Path, pictures: HeldOutSet, stop: int | None
) -> None:
    """Also with dropout of nothing less than torch's own generator, and when a run is resumed."""
    for name, given in (("with", pictures), ("without", None)):
        torch.manual_seed(5)
        if stop is not None:
            with closing(training(tmp_path / name, held_out=given)) as walk:
                while next(walk).step < stop:
                    pass
        list(training(tmp_path / name, held_out=given, resume=stop is not None))
    names = "model.safetensors", "log.jsonl", "previews/0000007.png", "run.json"
    assert files(tmp_path / "with", *names) == files(tmp_path / "without", *names)
    extra = {path.name for path in (tmp_path / "with").iterdir()}
    assert extra - {path.name for path in (tmp_path / "without").iterdir()} == {
        "held_out.jsonl",
        "best.safetensors",
    }


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, HeldOutSet]:
    """What is on the disk after each update of a run, in a folder named by it; and its pictures."""
    folder = tmp_path_factory.mktemp("moments")
    high = torch.stack([FewPairs(METHOD, 1).at(100 + k)[0][0] for k in range(3)])
    low = METHOD.degradation(high, torch.Generator())
    pictures = HeldOutSet(("a", "b", "c"), high, low, fingerprint="0a1b2c3d")
    for report in training(folder / "run", held_out=pictures):
        shutil.copytree(folder / "run", folder / str(report.step))
    return folder, pictures


@pytest.mark.parametrize("step", [3, 4, 5, 6])
@pytest.mark.parametrize("damage", ["none", "lines too many", "half a line", "lost"])
def test_a_killed_run_goes_on_with_its_curve_and_its_best(
    moments: tuple[Path, HeldOutSet], tmp_path: Path, step: int, damage: str
) -> None:
    """Saved at 3 and 6; what was measured after that is measured again."""
    (folder, pictures), path = moments, tmp_path / "held_out.jsonl"
    shutil.copytree(folder / str(step), tmp_path, dirs_exist_ok=True)
    match damage:
        case "lines too many":
            shutil.copy(folder / "run" / "held_out.jsonl", path)
        case "half a line":
            path.write_text(path.read_text() + '{"step": 7, "lo')
        case "lost":
            path.unlink()
    list(training(tmp_path, held_out=pictures, resume=True))
    if damage == "lost":  # it begins where the state stands
        assert lines(tmp_path)[0]["step"] == step // 3 * 3
        assert lines(tmp_path)[1:] == [line for line in lines(folder / "run") if line["step"] > step // 3 * 3]
    else:
        names = "held_out.jsonl", "best.safetensors"
        assert files(tmp_path, *names) == files(folder / "run", *names)


def test_what_was_broken_off_while_it_was_measured_is_measured_when_the_run_goes_on(
    tmp_path: Path, pictures: HeldOutSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second Ctrl-C while pictures are restored, after the last save: nothing would be due any more."""
    list(training(tmp_path / "through", held_out=pictures))

    def breaking(*_: object) -> tuple[float, None]:
        raise KeyboardInterrupt

    walk = training(tmp_path / "broken", held_out=pictures)
    while next(walk).step < 6:
        pass
    with monkeypatch.context() as patch:
        patch.setattr(HeldOutEvaluator, "restoration", breaking)
        with pytest.raises(KeyboardInterrupt):
            next(walk)
    assert lines(tmp_path / "broken")[-1]["step"] == 6
    assert list(training(tmp_path / "broken", held_out=pictures, resume=True)) == []
    names = "held_out.jsonl", "best.safetensors", "model.safetensors"
    assert files(tmp_path / "broken", *names) == files(tmp_path / "through", *names)


def scripted(monkeypatch: pytest.MonkeyPatch, *losses: float) -> None:
    """What measurements give, one after the other."""
    values = iter(losses)
    monkeypatch.setattr(HeldOutEvaluator, "loss", lambda *_: next(values))


def test_the_best_is_the_first_of_the_least_and_a_resumed_run_knows_it(
    tmp_path: Path, pictures: HeldOutSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 2, of 7; and neither 4, equal to it, nor a better one than those after it, once resumed."""
    scripted(monkeypatch, 0.5, 0.2, 0.2, 0.3, 0.3)
    with closing(training(tmp_path, held_out=pictures)) as walk:
        while next(walk).step < 4:
            pass
    assert "2 of 7 updates" in load(tmp_path / "best.safetensors").card.training[0]
    before = files(tmp_path, "best.safetensors")
    scripted(monkeypatch, 0.4, 0.25, 0.3)
    list(training(tmp_path, held_out=pictures, resume=True))
    assert files(tmp_path, "best.safetensors") == before
    assert [line["loss"] for line in lines(tmp_path)] == [0.5, 0.2, 0.2, 0.4, 0.25, 0.3]


def test_a_loss_that_is_no_number_never_counts(
    tmp_path: Path, pictures: HeldOutSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON has no NaN either; the run goes on."""
    scripted(monkeypatch, math.nan, math.inf, 0.3, math.nan, 0.4, math.nan)
    list(training(tmp_path, held_out=pictures))
    assert [line["loss"] for line in lines(tmp_path)] == [None, None, 0.3, None, 0.4, None]
    assert "4 of 7 updates" in load(tmp_path / "best.safetensors").card.training[0]
    found = read_measurements(tmp_path / "held_out.jsonl")
    assert [math.isnan(each.loss) for each in found] == [True, True, False, True, False, True]
    assert lowest_loss(found) is found[2]


def test_a_run_of_nothing_but_nan_has_no_best(tmp_path: Path, pictures: HeldOutSet) -> None:
    """Of pictures with an infinite value, through all of the measuring."""
    high = pictures.high.clone()
    high[2, 0, 3, 3] = math.inf
    list(training(tmp_path, held_out=replace(pictures, high=high)))
    assert {line["loss"] for line in lines(tmp_path)} == {None}
    assert not (tmp_path / "best.safetensors").exists()


def test_nothing_is_kept_of_a_run_before_its_first_save_and_another_try_begins_anew(
    tmp_path: Path, pictures: HeldOutSet
) -> None:
    """A best without its state would be in the way, and is refused as a model is."""
    walk = training(tmp_path, held_out=pictures)
    while next(walk).step < 2:
        pass
    assert len(lines(tmp_path)) == 2
    assert not (tmp_path / "best.safetensors").exists()
    shutil.copytree(tmp_path, tmp_path / "killed")
    walk.close()
    list(training(tmp_path / "killed"))
    assert not (tmp_path / "killed" / "held_out.jsonl").exists()
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "state.pt").unlink()
    with pytest.raises(OutputError, match=r"best\.safetensors exists, without the state of its run"):
        next(training(tmp_path, held_out=pictures))


def test_a_run_can_be_measured_later_than_from_its_beginning(tmp_path: Path, pictures: HeldOutSet) -> None:
    with closing(training(tmp_path)) as walk:
        while next(walk).step < 3:
            pass
    list(training(tmp_path, held_out=pictures, resume=True))
    assert [line["step"] for line in lines(tmp_path)] == [3, 4, 5, 6, 7]
    list(training(tmp_path, held_out=pictures, resume=True))
    assert [line["step"] for line in lines(tmp_path)] == [3, 4, 5, 6, 7]


def test_a_finished_run_can_be_measured(tmp_path: Path, pictures: HeldOutSet) -> None:
    list(training(tmp_path))
    before = files(tmp_path, "model.safetensors", "log.jsonl")
    assert list(training(tmp_path, held_out=pictures, resume=True)) == []
    (line,) = lines(tmp_path)
    assert line["step"] == 7
    assert "psnr" in line
    assert (tmp_path / "best.safetensors").exists()
    assert files(tmp_path, "model.safetensors", "log.jsonl") == before


def test_a_run_is_not_measured_on_two_sets_of_pictures(
    tmp_path: Path, folder: Path, pictures: HeldOutSet
) -> None:
    list(training(tmp_path / "run", held_out=pictures))
    before = files(tmp_path / "run", "held_out.jsonl", "best.safetensors")
    (folder / "0.png").unlink()
    longer = replace(RUN, plan=replace(PLAN, steps=9))
    with pytest.raises(ConfigError) as caught:
        next(training(tmp_path / "run", longer, held_out=held(METHOD, folder), resume=True))
    given = "others by their names and sizes, or by plan.size, than the run was measured on"
    assert str(caught.value) == f"--held-out: {given}; give the same ones, or none"
    list(training(tmp_path / "run", longer, resume=True))
    assert files(tmp_path / "run", "held_out.jsonl", "best.safetensors") == before


def test_the_same_pictures_elsewhere_are_no_others(folder: Path, pictures: HeldOutSet) -> None:
    moved = folder.rename(folder.with_name("moved"))
    assert held(METHOD, moved).fingerprint == pictures.fingerprint
    drawing(moved / "0.png", 22, 30)
    assert held(METHOD, moved).fingerprint != pictures.fingerprint


def test_what_is_known_by_heart_is_seen_by_its_gap(tmp_path: Path) -> None:
    """One picture, 60 times, by regression: its loss ends far below that of other pictures."""

    class OnePicture(FewPairs):
        def at(self, step: int) -> tuple[Tensor, Tensor]:
            return super().at(0)

    method = replace(
        plain(2), precond=Blind(), levels=OneLevel(1.0), sampling=replace(plain(2).sampling, steps=1)
    )
    high = torch.stack([FewPairs(method, 1).at(100 + k)[0][0] for k in range(3)])
    pictures = HeldOutSet(("a", "b", "c"), high, method.degradation(high, torch.Generator()))
    few = replace(PLAN, steps=60, batch=1, measure_every=60, preview_every=60, rate=1e-2, halflife=5)
    reports = list(training(tmp_path, Run("one", method, few), OnePicture(method, 1), held_out=pictures))
    learnt = np.mean([float(report.loss) for report in reports[-10:]])
    first, end = (line["loss"] for line in lines(tmp_path))
    assert learnt < 0.1 * float(reports[0].loss)
    assert 2 * learnt < end < first


@pytest.mark.parametrize(
    "line",
    ["", "{", "[]", "3", '{"step": 1}', '{"loss": 1}', '{"step": -1, "loss": 1}', '{"step": true, "loss": 1}',
     '{"step": 1, "loss": "1"}', '{"step": 1, "loss": 1, "pictures": 3}', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_measurement_is_told(tmp_path: Path, line: str) -> None:
    with pytest.raises(ValueError, match=r"Expecting|not a "):
        parse_measurement(line)
    path = tmp_path / "held_out.jsonl"
    path.write_text(Measurement(0, 0.5).line() + "\n" + line + "\n" + Measurement(4, 0.4).line() + "\n")
    with pytest.raises(InputError) as caught:
        read_measurements(path)
    assert str(caught.value).startswith(f"{path}: line 2 is no measurement: ")
    assert [each.step for each in read_valid_measurements(path)] == [0, 4]


def test_a_line_tells_what_it_was_made_of() -> None:
    for made in (Measurement(3, 0.25, 28.5, 0.1, "0a"), Measurement(0, 0.5), Measurement(7, 1.0, None, 0.3)):
        assert parse_measurement(made.line()) == made
