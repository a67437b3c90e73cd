"""The search on data whose exact denoiser is known: what each grid must score follows from closed forms."""

import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.metrics
import torch
from methods import normal, packed, plain, stage
from PIL import Image
from torch import Tensor, nn

import refinesr
from refinesr.checkpoint import save_stage
from refinesr.diffusion.diagnostics import result_moments
from refinesr.diffusion.labels import LogSigma
from refinesr.diffusion.levels import Continuous, LogNormal, OneLevel
from refinesr.diffusion.noise import NoiseField
from refinesr.diffusion.precond import Blind, Clean
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Even, Explicit, Karras, Linear, LogSNR
from refinesr.errors import CheckpointError, ConfigError, InputError
from refinesr.images.augment import CascadeAugmented
from refinesr.images.degrade import GaussianBlurred, Photo
from refinesr.images.resize import MatlabBicubic, PillowBicubic, resize
from refinesr.images.tasks import Inpainting
from refinesr.method import Method, Sampling
from refinesr.metrics.perceptual import Perceptual
from refinesr.metrics.sets import Features, Normal
from refinesr.model import Model
from refinesr.nets.sr3_unet import SR3UNet
from refinesr.nets.tiny import Tiny
from refinesr.objective import Perception
from refinesr.search import (
    FrechetDistance,
    HeldOutSet,
    LogEven,
    Metric,
    NewTable,
    Power,
    Psnr,
    SearchPlan,
    SearchProgress,
    Trial,
    load_search_set,
    ranked,
    search,
    trained_range,
    with_sampling,
)
from refinesr.search.metrics import Distance
from refinesr.search.space import Point, lattice
from refinesr.sources import Augmented, Blank, Labelled
from refinesr.stage import Stage

MEAN, STD = 0.3, 0.15


class Exact(nn.Module):
    """E[x0 | x] for pixels N(MEAN, STD²), behind `Clean` and `LogSigma`; NaN where sigma is below `least`."""

    def __init__(self, least: float = 0.0) -> None:
        super().__init__()
        self.mean, self.least = nn.Parameter(torch.tensor(MEAN), requires_grad=False), least
        self.seen = 0

    def forward(self, x: Tensor, label: Tensor, **inputs: Tensor) -> Tensor:
        self.seen += len(x)
        sigma = (4 * label).exp()[:, None, None, None]
        x = x * (1 + sigma**2).sqrt()
        mean = (STD**2 * x + sigma**2 * self.mean) / (STD**2 + sigma**2)
        return torch.where(sigma < self.least, torch.nan, mean)


def exact(sampling: Sampling, least: float = 0.0, **changes: object) -> Stage:
    method = replace(plain(2), sampling=sampling, precond=Clean(), label=LogSigma(), **changes)
    source = method.source.build(method.scale, method.channels)
    return Stage(method, Model(Exact(least), source, method.precond, method.label))


def drawn(count: int, side: int = 32) -> HeldOutSet:
    high = MEAN + STD * normal(count, 3, side, side, seed=5)
    return HeldOutSet(tuple(map(str, range(count))), high, torch.zeros(count, 3, side // 2, side // 2))


def trials(made: Stage, held: HeldOutSet, metric: Metric, plan: SearchPlan) -> list[Trial]:
    return [state.trial for state in search(made, held, metric, plan) if state.trial]


DDIM = Sampling(Ancestral(0.0), Karras(0.05, 20.0), steps=6)


# ------------------------------------------------------------------------------------ against closed forms


def expected_psnr(sampling: Sampling) -> float:
    """The picture and the result are independent, given an input that says nothing."""
    mean, std = result_moments(sampling.sampler, sampling.levels(), MEAN, STD)
    return -10 * math.log10(((mean - MEAN) ** 2 + std**2 + STD**2) / 4)


def test_scores_are_what_each_grid_must_come_to_and_the_best_grid_is_found() -> None:
    """PSNR is highest where bias and spread of the results are least.  Errors: of the mean of 12 pictures of
    3072 pixels, and 8 bits."""
    metric = Psnr()
    found = trials(exact(DDIM), drawn(12), metric, SearchPlan(6, candidates=30))
    for trial in found:
        assert trial.score == pytest.approx(expected_psnr(trial.sampling), abs=5 * trial.error + 0.01)
    order = ranked(found, metric)
    whole = [trial for trial in order if trial.images == 12]
    best = max(expected_psnr(trial.sampling) for trial in found)
    assert expected_psnr(order[0].sampling) > best - 0.02
    assert 20 < len({trial.sampling for trial in found}) <= 31
    assert len(whole) > 5


def visited(sampling: Sampling) -> tuple[float, ...]:
    """Levels, to what is told apart by more than rounding."""
    return tuple(float(f"{level:.6g}") for level in sampling.levels().tolist())


@pytest.mark.parametrize(("steps", "least"), [(1, 15), (2, 20)])
def test_no_grid_of_few_steps_is_tried_twice_whatever_its_spacing_is_called(steps: int, least: int) -> None:
    """A grid of one step is its high end, one of two steps its ends, for all spacings."""
    held, metric = drawn(4, 16), Psnr()
    found = trials(exact(replace(DDIM, steps=steps)), held, metric, SearchPlan(steps, candidates=48))
    tried = {trial.sampling for trial in found}
    assert len({visited(sampling) for sampling in tried}) == len(tried)
    assert least <= len(tried) <= 49
    best = max(expected_psnr(trial.sampling) for trial in found)
    assert expected_psnr(ranked(found, metric)[0].sampling) > best - 0.05


class Moments(nn.Module):
    """Mean and standard deviation of each picture's levels."""

    def forward(self, x: Tensor) -> Tensor:
        values = x.float().flatten(1)
        return torch.stack([values.mean(1), values.std(1)], 1)


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> Features:
    path = tmp_path_factory.mktemp("features") / "moments.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Moments()).save(str(path))
    return Features(path)


def test_a_grid_with_a_colour_cast_loses(moments: Features) -> None:
    """A first level far below the trained range makes dark, noisy pictures.  By Frechet's distance of means
    and deviations the winner's data come as near to what they should be as the best of many grids could make
    them, to the search's last step and what 32 pictures tell.
    """
    own = replace(DDIM, grid=Karras(0.01, 0.8))
    mean, std = result_moments(own.sampler, own.levels(), MEAN, STD)
    assert min(MEAN - mean, std - STD) > 0.04
    held = drawn(32, 16)
    metric = FrechetDistance.of(moments, held)
    found = trials(exact(own), held, metric, SearchPlan(6, candidates=30))
    first, best = found[0], ranked(found, metric)[0]
    assert first.sampling == own
    assert first.score == pytest.approx(127.5**2 * distance(own), rel=0.05)
    difference, error = best.difference(first)
    assert difference < -10 * error
    ends = itertools.product(np.geomspace(0.006, 0.9, 8).tolist(), np.geomspace(1.1, 49, 8).tolist())
    least = min(distance(replace(own, grid=LogSNR(low, high))) for low, high in ends)
    assert distance(best.sampling) < 1.2 * least < 0.3 * distance(own)


def distance(sampling: Sampling) -> float:
    """Frechet's, of a pixel that comes out from one of the data."""
    mean, std = result_moments(sampling.sampler, sampling.levels(), MEAN, STD)
    return (mean - MEAN) ** 2 + (std - STD) ** 2


@pytest.mark.filterwarnings("ignore:the grid starts:UserWarning")
def test_what_is_stored_gives_exactly_the_score_that_was_found(tmp_path: Path) -> None:
    """Through a file, `refinesr.load` and scikit-image's PSNR of 8-bit pictures."""
    made = stage(packed(4))
    held = load_search_set(made.method, photos(tmp_path / "photos", 3), size=32)
    best = ranked(found := trials(made, held, Psnr(), SearchPlan(2, candidates=6, seed=9, batch=1)), Psnr())[
        0
    ]
    assert best.score >= found[0].score
    save_stage(with_sampling(made, best), tmp_path / "better.safetensors")
    loaded, values = refinesr.load(tmp_path / "better.safetensors"), []
    assert loaded.method.sampling == best.sampling
    assert loaded.method.sampling.steps == 2
    for place in range(3):
        low, high = held.low[place : place + 1], held.high[place]
        *_, last = loaded(low, NoiseField((9 + place,)), tile=loaded.method.tile)
        values.append(skimage.metrics.peak_signal_noise_ratio(eight_bits(high), eight_bits(last.image[0])))
    assert np.mean(values) == pytest.approx(best.score, abs=1e-5)  # pixels in [0, 1] are float32


def eight_bits(image: Tensor) -> np.ndarray:
    return ((image.clamp(-1, 1) + 1) * 127.5).round().byte().numpy()


# -------------------------------------------------------------------------------- how the search goes about


def states(made: Stage, held: HeldOutSet, plan: SearchPlan) -> list[SearchProgress]:
    return list(search(made, held, Psnr(), plan))


def test_the_first_trial_is_of_the_models_own_grid_and_a_trained_table_is_respaced() -> None:
    """On all pictures, as the winner is."""
    table = Linear(1e-4, 0.09, 50)
    made = exact(replace(DDIM, grid=LogSNR(0.1, 5.0)), levels=Continuous(table))
    found = trials(made, drawn(8), Psnr(), SearchPlan(6, candidates=8))
    own, respaced = (replace(made.method.sampling, grid=grid) for grid in (LogSNR(0.1, 5.0), Even(table)))
    assert [(trial.sampling, trial.images) for trial in found[:2]] == [(own, 8), (respaced, 8)]
    assert ranked(found, Psnr())[0].score >= max(trial.score for trial in found[:2])
    assert any(isinstance(t.sampling.grid, Even) and t.sampling.grid.table != table for t in found)


def test_a_grid_that_has_no_other_number_of_steps_keeps_its_own() -> None:
    made = exact(replace(DDIM, grid=Explicit((5.0, 1.0, 0.1)), steps=3))
    found = trials(made, drawn(4), Psnr(), SearchPlan(6, candidates=3))
    assert found[0].sampling == made.method.sampling
    assert {trial.sampling.steps for trial in found[1:]} == {6}


def test_a_third_goes_on_to_twice_the_pictures_and_the_rest_is_judged_on_all() -> None:
    plan = SearchPlan(3, candidates=36)
    images = [state.trial.images for state in states(exact(DDIM), drawn(16, 8), plan) if state.trial]
    assert images[:41] == [16, *[4] * 27, *[8] * 9, *[16] * 4]
    assert set(images[41:]) == {16}
    assert 0 < len(images[41:]) <= 36 - 27


def test_few_pictures_are_not_divided() -> None:
    found = trials(exact(DDIM), drawn(7, 8), Psnr(), SearchPlan(2, candidates=12))
    assert {trial.images for trial in found} == {7}


def test_no_picture_is_restored_twice_and_the_bar_counts_every_step() -> None:
    made = exact(DDIM)
    seen = states(made, drawn(16, 8), SearchPlan(3, candidates=20, batch=5))
    network = made.model.network
    assert isinstance(network, Exact)
    images = {trial.sampling: trial.images for trial in ranked([s.trial for s in seen if s.trial], Psnr())}
    assert network.seen == 3 * sum(images.values()) == seen[-1].done
    assert all(state.done <= state.total == seen[0].total for state in seen)
    assert [state.done for state in seen] == sorted(state.done for state in seen)


def test_the_same_plan_gives_the_same_trials_and_another_seed_another_noise() -> None:
    held, metric = drawn(4, 8), Psnr()
    first, again, other = (
        trials(exact(DDIM), held, metric, SearchPlan(2, candidates=6, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first[0].sampling == other[0].sampling
    assert first[0].score != other[0].score


def test_batches_change_nothing() -> None:
    held, metric = drawn(5, 8), Psnr()
    one, four = (
        trials(exact(DDIM), held, metric, SearchPlan(2, candidates=4, batch=batch)) for batch in (1, 4)
    )
    assert one == four


def test_odd_grids_are_tried_without_warnings() -> None:
    """Warnings are errors in tests; the own grid here draws one wherever it is used."""
    made = exact(replace(DDIM, grid=Karras(0.01, 0.5)))
    assert trials(made, drawn(4, 8), Psnr(), SearchPlan(2, candidates=3))
    with pytest.warns(UserWarning, match="the grid starts at gamma"):
        list(made(torch.zeros(1, 3, 4, 4), NoiseField((0,))))


def test_grids_that_make_no_numbers_come_last_and_a_model_that_makes_none_is_refused() -> None:
    metric = Psnr()
    found = trials(exact(DDIM, least=0.02), drawn(4, 8), metric, SearchPlan(4, candidates=12))
    order = ranked(found, metric)
    bad = [float(trial.sampling.levels()[-2]) < 0.02 for trial in order]
    assert any(bad)
    assert bad == sorted(bad)
    assert [math.isnan(trial.score) for trial in order] == bad
    with pytest.raises(CheckpointError, match="NaN or infinity"):
        trials(exact(DDIM, least=1e9), drawn(4, 8), metric, SearchPlan(4, candidates=12))


# ------------------------------------------------------------------------------------------------- judging


def trial(images: int, score: float, parts: Sequence[float] = (0.0, 0.0), low: float = 0.1) -> Trial:
    return Trial(replace(DDIM, grid=Karras(low, 20.0)), images, float(score), tuple(map(float, parts)))


def test_ranks_are_by_pictures_then_by_score_in_the_metrics_direction() -> None:
    better, worse, early = trial(8, 30, low=0.1), trial(8, 20, low=0.2), trial(4, 40, low=0.3)
    nothing, before = trial(8, math.nan, low=0.4), trial(4, 10, low=0.1)
    given = [nothing, before, early, worse, better]
    assert ranked(given, Psnr()) == [better, worse, nothing, early]
    lower = ranked(given, FrechetDistance.__new__(FrechetDistance))
    assert lower == [worse, better, nothing, early]


def test_errors_are_those_of_a_mean_and_of_a_paired_difference() -> None:
    hard = np.array([0.0, 10, 20, 30])
    more = hard + np.array([1, 2, 1, 2])
    one, other = trial(4, 16, more), trial(4, 14.5, hard)
    assert one.error == pytest.approx(more.std(ddof=1) / 2)
    assert one.difference(other) == pytest.approx((1.5, math.sqrt(1 / 3) / 2))
    with pytest.raises(ValueError, match="4 and 8 images cannot be paired"):
        one.difference(trial(8, 15))


def test_the_error_of_a_frechet_distance_is_how_much_it_varies(moments: Features) -> None:
    """Over 300 sets of 100 rows: the mean of the jackknife's variances is the variance, to 20 %: with ten
    groups each of them is uncertain by half, their mean by 3 %; the rest is bias."""
    rng = torch.Generator().manual_seed(0)
    metric = FrechetDistance(moments, Normal.fitted(torch.randn(5000, 3, generator=rng, dtype=torch.float64)))
    sets = [0.5 + 1.2 * torch.randn(100, 3, generator=rng, dtype=torch.float64) for _ in range(300)]
    verdicts = [metric.score(rows) for rows in sets]
    scores = np.array([score for score, _ in verdicts])
    variances = [float(parts.var()) / len(parts) for _, parts in verdicts]
    assert np.mean(variances) == pytest.approx(scores.var(ddof=1), rel=0.2)
    unbiased = np.mean([float(parts.mean()) for _, parts in verdicts])
    exactly = Normal.of(torch.full((3,), 0.5), 1.44 * torch.eye(3)).distance(metric.real)
    assert abs(unbiased - exactly) < abs(scores.mean() - exactly) / 2
    assert len(verdicts[0][1]) == 10


def test_equal_pictures_count_as_a_hundred_decibels() -> None:
    image = torch.rand(2, 3, 8, 8)
    assert Psnr().score(Psnr().measure(image, image))[0] == 100


# ---------------------------------------------------------------------------------------------- the places


def test_all_grids_lie_in_the_trained_range_and_have_the_ends_asked_for() -> None:
    method = replace(plain(2), levels=Continuous(Linear(1e-6, 1e-2, 2000)))
    span = trained_range(method)  # a thousandth of 2000 rows is two, whose betas are 1e-6 and 6e-6
    assert (span.lowest, span.highest) == pytest.approx((math.sqrt(7e-6), 150.97), rel=1e-3)
    for place in lattice((Power(), LogEven(), NewTable()), 3):
        low, high = span.ends(place.low, place.high)
        for steps in (2, 5, 100):
            grid = place.grid(span, steps)
            assert grid is not None
            levels = grid.grid(steps)
            assert levels[-2] == pytest.approx(low, rel=1e-3)
            assert levels[0] == pytest.approx(high, rel=0.02)
            assert span.lowest * 0.999 <= levels[-2] < levels[0] <= span.highest * 1.001


def test_a_new_table_is_the_betas_of_its_paper() -> None:
    """Given the ends of DDPM's table, linear betas from 1e-4 to 0.02 in 1000 rows, it is found again."""
    levels = Even(Linear(1e-4, 0.02, 1000)).grid(1000)
    grid = NewTable().grid(float(levels[-2]), float(levels[0]), 1000)
    assert isinstance(grid, Even)
    assert isinstance(grid.table, Linear)
    assert (grid.table.first, grid.table.last) == pytest.approx((1e-4, 0.02), rel=2e-3)
    assert grid.table.rows == 1000


def test_there_is_no_new_table_where_its_first_beta_alone_is_too_much() -> None:
    assert NewTable().grid(0.9, 1.0, 100) is None


def test_one_step_has_one_end() -> None:
    for spacing in (Power(), LogEven(), NewTable()):
        grid = spacing.grid(0.1, 20.0, 1)
        assert grid is not None
        assert grid.grid(1).tolist() == pytest.approx([20, 0], rel=2e-3)


def test_neighbours_are_one_step_away_and_stay_inside() -> None:
    places = list(Point(Power(7.0), 0.0, 1.0).neighbours(0.1))
    assert {(place.low, round(place.high, 9)) for place in places} == {(0, 1), (0.1, 1), (0, 0.9)}
    assert {place.spacing for place in places} == {Power(7.0), Power(9.8), Power(5.0)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precond": Blind()}, r"method\.precond: a Blind model makes one call"),
        ({"levels": OneLevel(1.0)}, r"method\.levels: OneLevel\(sigma=1\.0\) is one level and no range"),
    ],
    ids=["regression", "one level"],
)
def test_where_there_is_nothing_to_search_it_is_said(changes: dict[str, object], message: str) -> None:
    made = exact(DDIM)
    made = replace(made, method=replace(made.method, **changes))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=message):
        next(search(made, drawn(4), Psnr(), SearchPlan(4)))


def test_levels_far_from_one_are_split_in_their_middle() -> None:
    method = replace(plain(2), levels=LogNormal(5.0, 0.5))
    span = trained_range(method)
    assert span.middle == pytest.approx(math.sqrt(span.lowest * span.highest))


# --------------------------------------------------------------------------------- what does not fit a metric


def blank(channels: int = 3) -> Stage:
    network = Tiny(channels, image_channels=0, width=4, blocks=1)
    return stage(replace(plain(2, channels), source=Blank(), network=network))


def test_a_model_that_is_shown_nothing_is_judged_by_sets_only(moments: Features) -> None:
    held = drawn(4)
    with pytest.raises(ConfigError, match="PSNR compares with a picture that the model is not shown"):
        next(search(blank(), held, Psnr(), SearchPlan(2)))
    found = trials(blank(), held, FrechetDistance.of(moments, held), SearchPlan(2, candidates=3))
    assert all(math.isfinite(trial.score) for trial in found)


def test_metrics_of_rgb_refuse_other_channels_and_small_crops(moments: Features) -> None:
    held = HeldOutSet(tuple("abcd"), torch.zeros(4, 2, 16, 16), torch.zeros(4, 2, 8, 8))
    metric = FrechetDistance(moments, Normal.fitted(torch.randn(5, 2)))
    with pytest.raises(ConfigError, match="FID is of grey or RGB, the model has 2 channels; use psnr"):
        next(search(stage(plain(2, 2)), held, metric, SearchPlan(2)))
    distance = Distance(Perceptual.__new__(Perceptual))
    with pytest.raises(ConfigError, match="LPIPS-like needs crops of 32 pixels a side; these have 16"):
        next(search(stage(plain(2)), drawn(4, 16), distance, SearchPlan(2)))
    with pytest.raises(ConfigError, match="1 are too few pictures for PSNR, at least 2"):
        next(search(stage(plain(2)), drawn(1), Psnr(), SearchPlan(2)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps: 0 is not positive"),
        ({"candidates": 0}, "candidates: 0 is not positive"),
        ({"batch": 0}, "batch: 0 is not positive"),
        ({"seed": -1}, "seed: -1 is not between 0 and"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SearchPlan(**({"steps": 4} | changes))


def test_each_spacing_needs_a_candidate() -> None:
    with pytest.raises(ConfigError, match="candidates: 2 is too few; there are 3 spacings to try"):
        next(search(exact(DDIM), drawn(4), Psnr(), SearchPlan(4, candidates=2)))


# --------------------------------------------------------------------------------------------- the pictures


def photos(folder: Path, count: int, size: tuple[int, int] = (40, 48), start: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        values = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{number}.png")
    return folder


def task(method: Method, **changes: object) -> Method:
    return replace(method, **changes)  # type: ignore[arg-type]


def test_the_middle_of_each_picture_is_taken_as_large_as_all_have(tmp_path: Path) -> None:
    folder = photos(tmp_path, 2, (43, 51))
    photos(tmp_path, 1, (64, 38), start=2)
    held = load_search_set(packed(4), str(folder))
    assert held.high.shape == (3, 3, 36, 36)
    whole = np.asarray(Image.open(folder / "0.png"))[3:39, 7:43]
    found = ((held.high[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(found, whole)
    assert load_search_set(packed(4), folder, size=8).high.shape == (3, 3, 8, 8)


def test_large_pictures_are_cut_to_256(tmp_path: Path) -> None:
    assert load_search_set(packed(4), photos(tmp_path, 1, (300, 270))).high.shape == (1, 3, 256, 256)


def test_a_limit_spreads_over_the_names(tmp_path: Path) -> None:
    held = load_search_set(packed(4), photos(tmp_path, 9), limit=3)
    assert [Path(name).stem for name in held.names] == ["0", "3", "6"]


@pytest.mark.parametrize(
    ("degradation", "kept", "kernel"),
    [
        (Photo(4), PillowBicubic(), PillowBicubic()),
        (Photo(4), None, MatlabBicubic()),
        (GaussianBlurred(4, MatlabBicubic(), most=3.0), None, MatlabBicubic()),
    ],
    ids=["kept", "photo", "blurred"],
)
def test_reductions_are_exact(
    tmp_path: Path, degradation: Photo | GaussianBlurred, kept: PillowBicubic | None, kernel: object
) -> None:
    """To the 256 levels of the input."""
    method = packed(4)
    method = task(method, degradation=degradation, sampling=replace(method.sampling, consistent=kept))
    held = load_search_set(method, photos(tmp_path, 2), size=40)
    reduced = resize(held.high, (10, 10), kernel)  # type: ignore[arg-type]
    expected = ((reduced.clamp(-1, 1) + 1) * 127.5).round()
    torch.testing.assert_close((held.low + 1) * 127.5, expected, rtol=0, atol=1e-4)


def test_random_tasks_follow_from_the_seed_and_the_place(tmp_path: Path) -> None:
    method = task(plain(1), degradation=Inpainting())
    folder = photos(tmp_path, 3, (64, 64))
    one, again, other = (load_search_set(method, folder, seed=seed) for seed in (1, 1, 2))
    assert one.low.shape == (3, 4, 64, 64)
    assert torch.equal(one.low, again.low)
    assert not torch.equal(one.low, other.low)
    assert not torch.equal(one.low[0, 3], one.low[1, 3])
    assert torch.equal(load_search_set(method, folder, limit=1, seed=1).low, one.low[:1])


def test_planes_say_the_class_and_that_no_noise_was_added(tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        photos(tmp_path / name, 2)
    network = SR3UNet(
        image_channels=0, width=8, multipliers=(1, 2), blocks=1, attention=(), groups=4, vector=2
    )
    labelled = task(plain(2), source=Labelled(2), network=network)
    held = load_search_set(labelled, tmp_path)
    assert held.low[:, 3, 0, 0].tolist() == [0, 0, 1, 1]
    with pytest.raises(ConfigError, match=r"model has 3 classes and the folders are 2 \(cats, dogs\)"):
        load_search_set(task(plain(2), source=Labelled(3), network=replace(network, vector=3)), tmp_path)
    network = replace(network, image_channels=3, vector=8)
    augmented = task(
        plain(2), source=Augmented(width=8), network=network, degradation=CascadeAugmented(2, noise=9.0)
    )
    low = load_search_set(augmented, tmp_path).low
    assert low.shape[1] == 4
    assert float(low[:, 3].abs().max()) == 0
    assert float(low[:, :3].abs().max()) <= 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"size": 42}, ConfigError, "size: 42 is not a positive multiple of scale 4"),
        ({"limit": 0}, ConfigError, "limit: 0 is not positive"),
        ({"size": 44}, InputError, r"0\.png: 48 x 40 pixels do not hold a crop of size 44"),
    ],
)
def test_wrong_sizes_are_refused(
    tmp_path: Path, options: dict[str, int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load_search_set(packed(4), photos(tmp_path, 1), **options)


def test_pictures_smaller_than_a_low_pixel_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"0\.png: 9 x 3 pixels do not hold a crop of size 4$"):
        load_search_set(packed(4), photos(tmp_path, 1, (3, 9)))


def test_what_is_made_from_nothing_is_judged_as_it_is_made(tmp_path: Path, moments: Features) -> None:
    """Whole, and as large as in training: of tiles each would be of a mind of its own."""
    made = stage(replace(plain(1), network=Tiny(image_channels=0, width=8, blocks=1), source=Blank(), tile=8))
    for number in range(4):
        Image.fromarray(np.full((24, 20, 3), 60 * number, np.uint8)).save(tmp_path / f"{number}.png")
    assert load_search_set(made.method, tmp_path).high.shape[-2:] == (8, 8)
    held, seen = load_search_set(made.method, tmp_path, size=20), set()
    made.model.network.register_forward_pre_hook(lambda _, given: seen.add(given[0].shape[-2:]))
    trials(made, held, FrechetDistance.of(moments, held), SearchPlan(2, candidates=3))
    assert seen == {(20, 20)}


def test_where_no_level_that_is_tried_has_a_mean_that_is_said_in_one_line() -> None:
    """The model's own grid begins above what was learnt, and the search does not."""
    wide = Sampling(Ancestral(0.0), Karras(0.05, 60.0), 2, fidelity=0.5)
    learnt = LogNormal(0.0, 0.7)
    below = (learnt.highest() + 60) / 2
    made = exact(wide, levels=learnt, perception=Perception(below=below))
    with pytest.raises(
        ConfigError, match=r"sampling\.fidelity: no level tried gives an estimate of the posterior mean"
    ):
        trials(made, drawn(4), Psnr(), SearchPlan(2))
