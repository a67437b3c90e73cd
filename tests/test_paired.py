"""Pairs that are given: the same crops of both, and refusals of what is none."""

import tarfile
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from methods import packed, plain, plan
from numpy.typing import NDArray
from torch import Tensor

from refinesr.data import Pairs, Photos, load_photos
from refinesr.errors import ConfigError, InputError
from refinesr.images.degrade import Bicubic, Given, Photo
from refinesr.images.io import write
from refinesr.images.picture import Picture
from refinesr.images.span import Span
from refinesr.method import Method
from refinesr.recipes import RECIPES, paired
from refinesr.run import Run, training_pairs
from refinesr.search import load_search_set
from refinesr.train import train

CPU = torch.device("cpu")
SIZES = {"a": (40, 52), "deep/b": (67, 33), "c": (35, 46), "deep/er/d": (32, 32)}
"""Two of them no multiple of 4 or 3."""


def blocks(pixels: NDArray[np.generic], scale: int) -> NDArray[np.float64]:
    """The mean of each whole block of scale x scale pixels."""
    height, width = pixels.shape[0] // scale, pixels.shape[1] // scale
    whole = pixels[: height * scale, : width * scale].astype(np.float64)
    return whole.reshape(height, scale, width, scale, -1).mean((1, 3))


def save(path: Path, pixels: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(Picture(pixels), path)


def given(folder: Path, scale: int, channels: int = 3, dtype: type = np.uint16, suffix: str = ".png") -> None:
    """Pictures whose blocks have means that their type holds exactly, and these means as the poor ones."""
    for seed, (name, size) in enumerate(SIZES.items()):
        steps = np.random.default_rng(seed).integers(0, 4096, (*size, channels))
        high = (steps / 4096).astype(dtype) if dtype == np.float32 else (steps // 64 * scale**2).astype(dtype)
        save(folder / f"good/{name}_HR{suffix}", high)
        save(folder / f"poor/{name}x{scale}{suffix}", blocks(high, scale).astype(dtype))


def load(folder: Path, scale: int, **options) -> Photos:
    options = {"smallest": 16, **options}
    return load_photos(folder / "good", CPU, low=folder / "poor", scale=scale, **options)


def means(high: Tensor, scale: int) -> NDArray[np.float64]:
    """Of each crop, (B, C, h, w), by numpy."""
    pictures = high.numpy().transpose(0, 2, 3, 1)
    return np.stack([blocks(picture, scale) for picture in pictures]).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("budget", [None, 0])
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.filterwarnings("ignore:the photos need")
def test_the_poor_crop_is_the_box_mean_of_the_good_one_in_all_eight_ways(
    tmp_path: Path, scale: int, budget: int | None
) -> None:
    given(tmp_path, scale)
    photos = load(tmp_path, scale, budget_bytes=budget)
    assert photos.resident == (budget is None)
    pairs = Pairs(photos, Given(scale), 4 * scale, 32)
    ways, places = set(), set()
    for step in range(4):
        high, low = pairs.at(step)
        assert low.shape == (32, 3, 4, 4)
        np.testing.assert_allclose(low.numpy(), means(high, scale), rtol=0, atol=2e-7)
        draw = pairs._draw(pairs._rng(step))
        ways |= {
            *zip(
                draw.transpose.tolist(),
                draw.flip_y.tolist(),
                draw.flip_x.tolist(),
                strict=True,
            )
        }
        places |= {*zip(draw.picture.tolist(), draw.top.tolist(), draw.left.tolist(), strict=True)}
    assert len(ways) == 8
    assert {top % scale for _, top, _ in places} == {left % scale for _, _, left in places} == {0}
    assert {picture for picture, _, _ in places} == {0, 1, 2, 3}


def test_all_places_of_whole_blocks_are_drawn_and_no_other(tmp_path: Path) -> None:
    """67 rows of scale 4 are 16 blocks, and of these 13 places hold 4; 3 rows beyond them are not used."""
    given(tmp_path, 4)
    photos = load(tmp_path, 4)
    draw = photos.draw(4000, 16, torch.Generator().manual_seed(0))
    tall = draw.picture == photos.sizes.index((64, 32))
    assert draw.top[tall].unique().tolist() == list(range(0, 49, 4))
    assert draw.left[tall].unique().tolist() == list(range(0, 17, 4))


def test_upright_pairs_are_mirrored_at_most(tmp_path: Path) -> None:
    ramp = np.arange(32, dtype=np.uint8)[:, None, None].repeat(32, 1).repeat(3, 2) * 8  # dark above
    save(tmp_path / "good/sky.png", ramp)
    save(tmp_path / "poor/sky.png", blocks(ramp, 2).astype(np.uint8))
    high, low = Pairs(load(tmp_path, 2), Given(2), 8, 32, upright=True).at(0)
    assert (high.diff(dim=2) > 0).all()
    assert (low.diff(dim=2) > 0).all()
    _, turned = Pairs(load(tmp_path, 2), Given(2), 8, 32).at(0)
    assert not (turned.diff(dim=2) > 0).all()


@pytest.mark.parametrize(
    ("channels", "dtype", "suffix"),
    [(1, np.uint16, ".png"), (7, np.uint16, ".tif"), (3, np.float32, ".tif"), (5, np.float32, ".tif")],
)
def test_bands_of_any_number_and_depth_are_paired(
    tmp_path: Path, channels: int, dtype: type, suffix: str
) -> None:
    given(tmp_path, 4, channels, dtype, suffix)
    high, low = Pairs(load(tmp_path, 4, channels=channels), Given(4), 16, 16).at(3)
    assert high.shape == (16, channels, 16, 16)
    np.testing.assert_allclose(low.numpy(), means(high, 4), rtol=0, atol=2e-7)


def test_depths_of_a_pair_may_differ(tmp_path: Path) -> None:
    """A camera's 8 bits beside 16 of a better one."""
    grey = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    save(tmp_path / "good/a.png", grey.astype(np.uint16) * 257)
    save(tmp_path / "poor/a.png", grey)
    high, low = Pairs(load(tmp_path, 1), Given(1), 16, 16).at(0)
    torch.testing.assert_close(low, high, rtol=0, atol=2e-7)


@pytest.mark.parametrize("budget", [None, 0])
@pytest.mark.filterwarnings("ignore:the photos need")
def test_at_scale_1_any_task_is_learnt_such_as_inverting(tmp_path: Path, budget: int | None) -> None:
    for seed, (name, size) in enumerate(SIZES.items()):
        high = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        save(tmp_path / f"good/{name}.png", high)
        save(tmp_path / f"poor/{name}.png", 255 - high)
    high, low = Pairs(load(tmp_path, 1, smallest=32, budget_bytes=budget), Given(1), 31, 16).at(0)
    torch.testing.assert_close(low, -high, rtol=0, atol=2e-7)
    assert high.std() > 0.3


def in_tar(folder: Path, top: str = "") -> None:
    with tarfile.open(folder.with_suffix(".tar"), "w") as archive:
        archive.add(folder, top)


@pytest.mark.parametrize("tops", [("", ""), ("DIV2K_train_HR", "DIV2K_train_LR/X4")])
def test_tar_files_are_paired_as_folders_are_whatever_all_of_one_lie_in(
    tmp_path: Path, tops: tuple[str, str]
) -> None:
    given(tmp_path, 4)
    for name, top in zip(("good", "poor"), tops, strict=True):
        in_tar(tmp_path / name, top)
    packed_up = load_photos(tmp_path / "good.tar", CPU, low=tmp_path / "poor.tar", scale=4, smallest=16)
    mixed = load_photos(tmp_path / "good.tar", CPU, low=[tmp_path / "poor"], scale=4, smallest=16)
    for photos in (packed_up, mixed):
        for one, other in zip(
            Pairs(photos, Given(4), 16, 8).at(5), Pairs(load(tmp_path, 4), Given(4), 16, 8).at(5), strict=True
        ):
            assert torch.equal(one, other)


def test_a_batch_depends_on_seed_and_step_alone_and_not_on_where_it_is_decoded(tmp_path: Path) -> None:
    given(tmp_path, 4)
    pairs = Pairs(load(tmp_path, 4), Given(4), 16, 4, seed=3)
    with pytest.warns(UserWarning, match="each batch is decoded anew"):
        decoded = Pairs(load(tmp_path, 4, budget_bytes=0), Given(4), 16, 4, seed=3)
    for step, batch in enumerate(islice(pairs.starting_at(0), 5)):
        assert all(map(torch.equal, batch, decoded.at(step)))
        assert all(map(torch.equal, batch, pairs.at(step)))
    assert not torch.equal(pairs.at(0)[1], pairs.at(1)[1])


def test_the_budget_counts_good_and_poor_pictures(tmp_path: Path) -> None:
    given(tmp_path, 4)
    whole = [(height // 4, width // 4) for height, width in SIZES.values()]
    needed = sum(height * width * 17 * 3 * 2 for height, width in whole)
    assert load(tmp_path, 4, budget_bytes=needed).resident
    with pytest.warns(UserWarning, match="may be used"):
        assert not load(tmp_path, 4, budget_bytes=needed - 1).resident


def test_decoding_ahead_reads_nothing_twice(tmp_path: Path) -> None:
    given(tmp_path, 2)
    with pytest.warns(UserWarning, match="may be used"):
        photos = load(tmp_path, 2, budget_bytes=0)
    pairs, reads = Pairs(photos, Given(2), 8, 4), []

    def noting(window):
        def noted(*key):
            reads.append((window, key))
            return window(*key)

        return noted

    for store in (photos.store, photos.low):
        object.__setattr__(store, "_window", noting(store._window))
    for step in range(4):
        pairs.at(step)
    for store in (photos.store, photos.low):
        store.pool.shutdown()
    assert len(reads) == len(set(reads)) == 2 * 4 * 5


def test_classes_come_beside_given_pictures(tmp_path: Path) -> None:
    for place, name in enumerate(("cats", "dogs", "owls")):
        high = np.full((32, 40, 3), 80 * place, np.uint8)
        save(tmp_path / f"good/{name}/0.png", high)
        save(tmp_path / f"poor/{name}/0.png", 255 - high)
    high, low = Pairs(load(tmp_path, 1), Given(1), 16, 40, classes=3).at(0)
    assert low.shape == (40, 4, 16, 16)
    torch.testing.assert_close(low[:, :3], -high, rtol=0, atol=2e-7)
    torch.testing.assert_close(low[:, 3], ((high[:, 0] + 1) * 127.5 / 80).round())
    assert set(low[:, 3, 0, 0].tolist()) == {0, 1, 2}


def test_without_poor_pictures_crops_are_drawn_as_they_were(tmp_path: Path) -> None:
    """The rule of runs begun before pairs could be given, in other words."""
    given(tmp_path, 4)
    photos = load_photos(tmp_path / "good", CPU, smallest=16)
    draw = photos.draw(500, 13, torch.Generator().manual_seed(5))
    rng = torch.Generator().manual_seed(5)
    counts = np.array([min(height * width, 64 * 16**2) for height, width in photos.sizes])
    number = torch.randint(int(counts.sum()), (500,), generator=rng).numpy()
    picture = np.searchsorted(counts.cumsum(), number, side="right")
    part, ways = torch.rand(500, 2, generator=rng), torch.randint(2, (3, 500), generator=rng)
    room = torch.tensor([photos.sizes[k] for k in picture]) - 12
    assert draw.picture.tolist() == picture.tolist()
    assert torch.stack((draw.top, draw.left), 1).tolist() == (part * room).floor().long().tolist()
    assert torch.equal(torch.stack((draw.transpose, draw.flip_y, draw.flip_x)), ways.bool())
    high, low = Pairs(photos, Photo(4), 16, 4, seed=2).at(1)
    pairs = Pairs(photos, Photo(4), 16, 4, seed=2)
    rng = pairs._rng(1)
    cut = photos.store.crop(photos.draw(4, 16, rng), 16)
    assert torch.equal(high, cut)
    assert torch.equal(low, Photo(4)(cut, rng))


# What tells photos from others


def test_the_listing_covers_both(tmp_path: Path) -> None:
    given(tmp_path, 4)
    first = load(tmp_path, 4).listing
    alone = load_photos(tmp_path / "good", CPU, smallest=16).listing
    (tmp_path / "poor").rename(tmp_path / "moved")
    moved = load_photos(tmp_path / "good", CPU, low=tmp_path / "moved", scale=4, smallest=16)
    assert first == moved.listing != alone
    (tmp_path / "moved" / "cx4.png").rename(tmp_path / "moved" / "c_LR.png")
    other = load_photos(tmp_path / "good", CPU, low=tmp_path / "moved", scale=4, smallest=16)
    assert other.listing != first


# Refusals


def refused(folder: Path, scale: int = 4, **options) -> str:
    with pytest.raises(InputError) as caught:
        load(folder, scale, **options)
    return str(caught.value).replace(f"{folder}/", "")


def test_pictures_without_a_partner_are_named(tmp_path: Path) -> None:
    given(tmp_path, 4)
    (tmp_path / "poor/cx4.png").unlink()
    aside = "(suffix and marks such as _LR and x4 aside)"
    assert refused(tmp_path) == f"good/c_HR.png: no low-resolution picture is called 'c' {aside}"
    (tmp_path / "good/deep/b_HR.png").unlink()
    first = f"good/c_HR.png: no low-resolution picture is called 'c' {aside}"
    assert refused(tmp_path) == f"{first}; nor can poor/deep/bx4.png be used"


def test_pictures_at_another_place_are_no_partners(tmp_path: Path) -> None:
    given(tmp_path, 4)
    (tmp_path / "poor/deep/bx4.png").rename(tmp_path / "poor/bx4.png")
    assert refused(tmp_path).startswith("good/deep/b_HR.png: no low-resolution picture is called 'deep/b' (")


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    given(tmp_path, 4)
    save(tmp_path / "poor/c_LR.png", np.zeros((8, 11, 3), np.uint8))
    told = "poor/c_LR.png and poor/cx4.png: both are called 'c', and images are identified by their names"
    assert refused(tmp_path).startswith(told)


def test_names_that_differ_by_a_mark_alone_are_no_one_name_where_both_sides_have_them(tmp_path: Path) -> None:
    """Tiles are called by their place: x1 is no scale there."""
    for k, name in enumerate(("tile_y0_x1", "tile_y0_x2", "TILE_y1_x1")):
        for side in ("good", "poor"):
            save(tmp_path / side / f"{name}.png", np.full((32, 32, 3), 60 * k, np.uint8))
    high, low = Pairs(load(tmp_path, 1), Given(1), 16, 32).at(0)
    assert torch.equal(high, low)
    assert len(high[:, 0, 0, 0].unique()) == 3


@pytest.mark.parametrize(("height", "width"), [(8, 12), (9, 11), (35, 46)])
def test_another_size_is_refused_with_all_sizes(tmp_path: Path, height: int, width: int) -> None:
    given(tmp_path, 4)
    save(tmp_path / "poor/cx4.png", np.zeros((height, width, 3), np.uint8))
    right = "good/c_HR.png, 46 x 35 pixels, at scale 4 has 11 x 8"
    assert refused(tmp_path) == f"poor/cx4.png: {width} x {height} pixels; {right}"


def test_another_number_of_channels_is_refused(tmp_path: Path) -> None:
    given(tmp_path, 4)
    save(tmp_path / "poor/cx4.png", np.zeros((8, 11, 1), np.uint8))
    right = "good/c_HR.png has 3, and both must have as many"
    assert refused(tmp_path) == f"poor/cx4.png: 1 channel; {right}"


def test_bad_pairs_are_listed_together_by_what_is_bad_of_them(tmp_path: Path) -> None:
    given(tmp_path, 4)
    save(tmp_path / "poor/ax4.png", np.zeros((8, 11, 3), np.uint8))
    (tmp_path / "good/c_HR.png").write_bytes((tmp_path / "good/c_HR.png").read_bytes()[:900])
    (tmp_path / "poor/deep/bx4.png").write_bytes(b"no picture")
    told = refused(tmp_path)
    assert told.startswith("poor/ax4.png: 11 x 8 pixels; ")
    assert told.endswith("; nor can good/c_HR.png, poor/deep/bx4.png be used")


def test_pairs_with_small_good_pictures_are_left_out_and_counted(tmp_path: Path) -> None:
    given(tmp_path, 4)
    photos = load(tmp_path, 4, smallest=36)
    # 35 x 46 pixels are 32 x 44 in whole blocks
    assert (len(photos), photos.left_out) == (1, 3)
    assert photos.sizes == ((40, 52),)


def test_pairs_are_made_or_given(tmp_path: Path) -> None:
    given(tmp_path, 4)
    both, alone = load(tmp_path, 4), load_photos(tmp_path / "good", CPU, smallest=16)
    with pytest.raises(ConfigError, match=r"^method\.degradation: Given: makes no low-resolution pictures"):
        Pairs(alone, Given(4), 16, 2)
    message = r"^method\.degradation: Bicubic, but low-resolution images are given"
    with pytest.raises(ConfigError, match=message):
        Pairs(both, Bicubic(4), 16, 2)
    with pytest.raises(ConfigError, match=r"^method\.degradation\.scale: 2, but .* loaded for scale 4"):
        Pairs(both, Given(2), 16, 2)
    with pytest.raises(ConfigError, match="size: 18 is not a multiple of scale 4"):
        Pairs(load(tmp_path, 4, smallest=20), Given(4), 18, 2)
    with pytest.raises(ConfigError, match=r"name those that are given \(--low\)$"):
        Given(4)(torch.zeros(1, 3, 8, 8), torch.Generator())
    with pytest.raises(ConfigError, match="scale: 0 must lie in"):
        Given(0)


# Runs


def test_a_paired_run_makes_and_keeps_nothing() -> None:
    for name, recipe in RECIPES.items():
        run = recipe()
        if run.method.generates or name == "sr3-64-256-aug":
            with pytest.raises(ConfigError, match=r"^--low: "):
                paired(run)
            continue
        method = paired(run).method
        assert (method.degradation, method.sampling.consistent) == (Given(run.method.scale), None)
        kept = replace(method.sampling, consistent=run.method.sampling.consistent)
        assert replace(method, degradation=run.method.degradation, sampling=kept) == run.method
        own = replace(run, method=replace(method, sampling=run.method.sampling))
        assert paired(own) is own  # whoever has chosen otherwise is left alone


def trained(run: Run, folder: Path, name: str, stop: int | None = None, resume: bool = False) -> None:
    pairs = training_pairs(run, load(folder, run.method.scale))
    with closing(train(run, pairs, folder / name, device=CPU, resume=resume)) as steps:
        assert list(islice(steps, stop))


@pytest.mark.parametrize("method", [packed(4), plain(1)], ids=["x4", "x1"])
def test_a_run_that_was_stopped_makes_the_same_updates(tmp_path: Path, method: Method) -> None:
    scale = method.scale
    given(tmp_path, scale)
    run = paired(Run("few", method, plan(upright=True)))
    trained(run, tmp_path, "whole")
    trained(run, tmp_path, "run", stop=3)
    assert len((tmp_path / "run/log.jsonl").read_text().splitlines()) == 3
    trained(run, tmp_path, "run", resume=True)
    for name in ("log.jsonl", "model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


# Searches, and pictures out of place


@pytest.mark.parametrize("size", [None, 16])
def test_held_out_pairs_are_the_middles_of_both(tmp_path: Path, size: int | None) -> None:
    given(tmp_path, 4)
    method = paired(Run("few", packed(4), plan())).method
    held = load_search_set(method, tmp_path / "good", low=tmp_path / "poor", size=size, limit=3)
    assert held.high.shape == (3, 3, 32 if size is None else size, 32 if size is None else size)
    np.testing.assert_allclose(held.low.numpy(), means(held.high, 4), rtol=0, atol=2e-7)
    with pytest.raises(ConfigError, match=r"^method\.degradation: Given: makes no low-resolution pictures"):
        load_search_set(method, tmp_path / "good")
    others = load_search_set(packed(4), tmp_path / "good", low=tmp_path / "poor", size=size, limit=3)
    assert torch.equal(others.low, held.low)  # as shown to a model that makes its own in training
    with pytest.raises(InputError, match=r"c_HR\.png: 44 x 32 pixels do not hold a crop of size 36"):
        load_search_set(method, tmp_path / "good", low=tmp_path / "poor", size=36)


def test_the_first_picture_that_is_out_of_place_is_told_with_how_many(tmp_path: Path) -> None:
    cat = skimage.data.chelsea()[:256, :256]
    for number, moved in enumerate((0, 1, 2)):
        save(tmp_path / f"good/{number}.png", cat)
        save(tmp_path / f"poor/{number}.png", np.roll(blocks(cat, 4), moved, 1).astype(np.uint8))
    place = "its content lies \\+1 pixels to the right and \\+0 down of where .*good/1.png has it"
    with pytest.warns(UserWarning, match=rf"poor/1\.png: {place}.* \(2 of 3 pairs are shifted\)$"):
        load(tmp_path, 4)
    for number in (1, 2):
        save(tmp_path / f"poor/{number}.png", blocks(cat, 4).astype(np.uint8))
    load(tmp_path, 4)


def test_a_search_tells_of_pictures_out_of_place(tmp_path: Path) -> None:
    cat = skimage.data.chelsea()[:256, :256]
    for number, moved in enumerate((0, 2)):
        save(tmp_path / f"good/{number}.png", cat)
        save(tmp_path / f"poor/{number}.png", np.roll(blocks(cat, 4), moved, 0).astype(np.uint8))
    method = paired(Run("few", packed(4), plan())).method
    place = r"its content lies \+0 pixels to the right and \+2 down of where .*good/1.png has it"
    with pytest.warns(UserWarning, match=rf"poor/1\.png: {place}"):
        held = load_search_set(method, tmp_path / "good", low=tmp_path / "poor")
    assert len(held) == 2
    load_search_set(method, tmp_path / "good", low=tmp_path / "poor", limit=1)  # the other one alone


def in_kelvin(folder: Path) -> Span:
    """Three pairs, the poor ones of 1 and 2 in Celsius, and a span that holds both."""
    span = Span((-60.0,), (330.0,))
    for number, offset in enumerate((0, 273, 273)):
        rows = np.linspace(270, 300 + number, 64, dtype=np.float32)
        field = np.add.outer(rows, np.linspace(0, 9, 64, dtype=np.float32))[..., None]
        for name, pixels in (("good", field), ("poor", blocks(field, 4).astype(np.float32) - offset)):
            (folder / name).mkdir(exist_ok=True)
            write(Picture(pixels, span=span), folder / f"{name}/{number}.tif")
    return span


def test_the_first_pair_in_two_units_is_told_with_how_many(tmp_path: Path) -> None:
    span = in_kelvin(tmp_path)
    values = r"its values are -2.+ to 36.+ where .*good/1\.tif has 271 to 309, as if in another unit"
    told = rf"poor/1\.tif: {values}; bring both into one"
    with pytest.warns(UserWarning, match=rf"{told} \(2 of 3 pairs are so\)$"):
        photos = load(tmp_path, 4, channels=1, span=span)
    assert len(photos) == 3  # learnt all the same
    method = replace(paired(Run("few", packed(4, 1), plan())).method, span=span)
    with pytest.warns(UserWarning, match=f"{told} "):
        load_search_set(method, tmp_path / "good", low=tmp_path / "poor")
    load_search_set(method, tmp_path / "good", low=tmp_path / "poor", limit=1)
