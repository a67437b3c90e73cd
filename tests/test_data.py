import errno
import os
import shutil
import tarfile
import warnings
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from refinesr.data import Pairs, load_photos, loading_photos
from refinesr.errors import ConfigError, InputError
from refinesr.images.degrade import Bicubic, Photo
from refinesr.images.entries import list_entries
from refinesr.images.image_store import CropBatch, store_images
from refinesr.images.io import write
from refinesr.images.picture import Picture
from refinesr.stepwise import finish

CPU = torch.device("cpu")
SIZES = {"a cat.png": (40, 50), "Straße/日本 2.png": (33, 64), "b.jpg": (80, 32), "Straße/c.PNG": (32, 32)}


def drawn(size, channels=3, dtype=np.uint8, seed=0):
    """Smooth colours under some noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((size[0] // 8 + 1, size[1] // 8 + 1, channels)).repeat(8, 0).repeat(8, 1)
    values = 0.8 * coarse[: size[0], : size[1]] + 0.2 * rng.random((*size, channels))
    peak = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[dtype]
    return (values * peak).astype(dtype)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    write(Picture(pixels), path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Names with spaces and letters of all kinds, any sizes, notes and hidden files in between."""
    folder = tmp_path / "photos of mine"
    for seed, (name, size) in enumerate(SIZES.items()):
        save(folder / name, drawn(size, seed=seed))
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"no picture either")
    return folder


def in_tar(folder, path, reverse=False):
    with tarfile.open(path, "w") as archive:
        for each in sorted(folder.rglob("*"), reverse=reverse):
            archive.add(each, each.relative_to(folder).as_posix(), recursive=False)
    return path


def load(source, smallest=32, **options):
    return load_photos(source, CPU, smallest=smallest, **options)


def on_demand(source, smallest=32, **options):
    with pytest.warns(UserWarning, match="each batch is decoded anew"):
        return load(source, smallest, budget_bytes=0, **options)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def crops(photos, count=64, size=16, seed=0):
    return photos.store.crop(photos.draw(count, size, seeded(seed)), size)


def as_signal(pixels, peak=255):
    """(H, W, C) -> (C, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels.astype(np.float32)).movedim(-1, 0) / (peak / 2) - 1


def upright(draw):
    """The same places, neither turned nor flipped."""
    no = torch.zeros(len(draw), dtype=torch.bool)
    return CropBatch(draw.picture, draw.top, draw.left, no, no, no)


# Crops


def test_crops_are_the_windows_they_are_said_to_be_turned_and_flipped(folder):
    photos = load(folder)
    draw = photos.draw(200, 16, seeded())
    pictures = [as_signal(entry.read_pixels(3)) for entry in list_entries(folder)]
    for number, crop in enumerate(photos.store.crop(draw, 16)):
        top, left = int(draw.top[number]), int(draw.left[number])
        wanted = pictures[int(draw.picture[number])][:, top : top + 16, left : left + 16]
        if draw.transpose[number]:
            wanted = wanted.mT
        axes = [axis for axis, flip in ((1, draw.flip_y), (2, draw.flip_x)) if flip[number]]
        assert torch.equal(crop, wanted.flip(axes))


def test_all_eight_ways_up_all_places_and_all_pictures_are_drawn(folder):
    photos = load(folder)
    draw = photos.draw(4000, 30, seeded())
    ways = draw.transpose * 4 + draw.flip_y * 2 + draw.flip_x
    assert (torch.bincount(ways) > 4000 / 8 * 0.8).all()
    tall = draw.picture == photos.sizes.index((80, 32))
    assert draw.top[tall].unique().tolist() == list(range(80 - 30 + 1))
    assert draw.left[tall].unique().tolist() == [0, 1, 2]


def test_upright_crops_are_the_same_places_mirrored_at_most(folder):
    photos = load(folder)
    draw, plain = photos.draw(400, 30, seeded(), upright=True), photos.draw(400, 30, seeded())
    assert not draw.transpose.any()
    assert not draw.flip_y.any()
    assert 150 < draw.flip_x.sum() < 250
    assert all(torch.equal(getattr(draw, part), getattr(plain, part)) for part in ("picture", "top", "left"))


@pytest.mark.parametrize("load_photos", [load, lambda folder: on_demand(folder)])
def test_the_pairs_of_an_upright_plan_are_upright(tmp_path, load_photos):
    ramp = np.linspace(0, 255, 32, dtype=np.uint8)[:, None, None].repeat(32, 1).repeat(3, 2)
    save(tmp_path / "sky.png", ramp)  # dark above
    pairs = Pairs(load_photos(tmp_path), Bicubic(4), 32, 16, upright=True)
    high, _ = pairs.at(0)
    assert (high.diff(dim=2) > 0).all()
    assert not (Pairs(load_photos(tmp_path), Bicubic(4), 32, 16).at(0)[0].diff(dim=2) > 0).all()


def test_pictures_are_drawn_by_their_pixels_up_to_64_crops(tmp_path):
    for name, size in (("small.png", (8, 8)), ("twice.png", (16, 8)), ("vast.png", (256, 256))):
        save(tmp_path / name, drawn(size))
    counts = torch.bincount(load(tmp_path, smallest=8).draw(20000, 8, seeded()).picture).tolist()
    assert [round(count / 20000 * 67) for count in counts] == [1, 2, 64]


def test_crops_are_floats_in_range_channels_last(folder):
    images = crops(load(folder))
    assert images.shape == (64, 3, 16, 16)
    assert images.dtype == torch.float32
    assert -1 <= images.min() < -0.5 < 0.5 < images.max() <= 1
    assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("dtype", "last"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
def test_black_and_white_are_exactly_one_below_and_above_zero(dtype, last):
    pictures = [np.full((4, 4, 1), level, dtype) for level in (0, last)]
    zero, no = torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.bool)
    images = store_images(pictures, CPU).crop(CropBatch(torch.arange(2), zero, zero, no, no, no), 4)
    assert images.flatten(1).unique(dim=1).tolist() == [[-1.0], [1.0]]


@pytest.mark.parametrize("size", [0, 33])
def test_crops_larger_than_what_was_kept_are_a_mistake(folder, size):
    with pytest.raises(ValueError, match=rf"size is {size}; it must be in \[1, 32\]"):
        crops(load(folder), size=size)


# Where they come from


@pytest.mark.parametrize("reverse", [False, True])
def test_a_tar_of_a_folder_is_the_folder(folder, tmp_path, reverse):
    photos, packed = load(folder), load(in_tar(folder, tmp_path / "shard.tar", reverse))
    assert photos.sizes == packed.sizes
    assert torch.equal(crops(photos), crops(packed))


def test_tars_folders_and_files_can_be_mixed(folder, tmp_path):
    shard = in_tar(folder, tmp_path / "shard.tar")
    mixed = load([shard, folder, folder / "b.jpg"])
    assert len(mixed) == 2 * len(SIZES) + 1
    assert mixed.names[0] == f"{shard}:Straße/c.PNG"
    shutil.move(shard, folder)
    assert len(load(folder)) == 2 * len(SIZES)


def test_depths_are_kept_and_mix(tmp_path):
    kinds = {"1.png": np.uint8, "2.png": np.uint16, "3.tif": np.float32, "4.tif": np.uint16}
    made = [drawn((32, 40), dtype=kind, seed=seed) for seed, kind in enumerate(kinds.values())]
    for name, pixels in zip(kinds, made, strict=True):
        save(tmp_path / name, pixels)
    photos = load(tmp_path)
    draw = upright(photos.draw(40, 32, seeded()))
    for number, crop in enumerate(photos.store.crop(draw, 32)):
        pixels, left = made[int(draw.picture[number])], int(draw.left[number])
        peak = {"u1": 255, "u2": 65535, "f4": 1}[pixels.dtype.str[1:]]
        torch.testing.assert_close(crop, as_signal(pixels, peak)[:, :, left : left + 32], rtol=0, atol=2e-7)
    assert sorted(bank.element_size() for bank in photos.store.banks) == [1, 2, 4]
    assert torch.equal(crops(photos), crops(on_demand(tmp_path)))


def test_a_sub_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    """What lies in it would not be learnt, without a word; what is hidden is nobody's business."""
    for place in ("", "closed", ".hidden"):
        (tmp_path / place).mkdir(exist_ok=True)
        save(tmp_path / place / "photo.png", drawn((32, 32), 3))
    scan, closed = os.scandir, {".hidden"}

    def scandir(path):
        if Path(path).name in closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert len(list_entries(tmp_path)) == 2
    closed.add("closed")
    with pytest.raises(InputError, match="closed: cannot be listed: Permission denied"):
        list_entries(tmp_path)


def test_grey_is_repeated_alpha_dropped_and_colour_made_luma(tmp_path):
    grey, colour = drawn((32, 32), 1), drawn((32, 32), 3)
    opaque = np.full((32, 32, 1), 7, np.uint8)
    save(tmp_path / "grey.png", grey)
    Image.fromarray(np.dstack([colour, opaque])).save(tmp_path / "rgba.png")
    Image.fromarray(np.dstack([grey, opaque]), "LA").save(tmp_path / "la.png")
    found = {Path(entry.name).stem: entry for entry in list_entries(tmp_path)}
    for name in ("grey", "la"):
        np.testing.assert_array_equal(found[name].read_pixels(3), grey.repeat(3, axis=2))
        np.testing.assert_array_equal(found[name].read_pixels(1), grey)
    np.testing.assert_array_equal(found["rgba"].read_pixels(3), colour)
    by_pillow = np.asarray(Image.fromarray(colour).convert("L")).astype(int)
    assert np.abs(found["rgba"].read_pixels(1)[:, :, 0] - by_pillow).max() <= 1
    assert crops(load(tmp_path, channels=1), 2, 8).shape == (2, 1, 8, 8)


def test_other_numbers_of_channels_train_alone_but_do_not_mix(tmp_path):
    save(tmp_path / "five.tif", drawn((32, 32), 5))
    assert crops(load(tmp_path, channels=5)).shape == (64, 5, 16, 16)
    with pytest.raises(InputError, match=r"five\.tif: has 5 channels and cannot be made into 3"):
        load(tmp_path)


def test_floats_that_overshoot_are_clipped_and_others_refused(tmp_path):
    pixels = drawn((32, 32), dtype=np.float32) * 1.2 - 0.1
    save(tmp_path / "bright.tif", pixels)
    images = crops(load(tmp_path), size=32)
    assert (images.min(), images.max()) == (-1, 1)
    pixels[3, 3] = np.inf
    save(tmp_path / "broken.tif", pixels)
    with pytest.raises(InputError, match=r"broken\.tif: holds infinite values; .* from 0 to 1$"):
        load(tmp_path)
    save(tmp_path / "broken.tif", drawn((32, 32), dtype=np.float32) * 60 + 255)
    with pytest.raises(InputError, match=r"broken\.tif: float pixels lie in \[0, 1\]; these go from 255"):
        load(tmp_path)


# What is wrong with them


@pytest.mark.parametrize(
    ("names", "others"),
    [
        (["m"], ""),
        (["m", "n"], r"; nor can [^,]*n\.png be used"),
        (list("mnopqrst"), r"; nor can ([^,]*[n-r]\.png(, )?){5} and 2 more be used"),
    ],
)
def test_bad_pictures_are_named_and_the_first_explained(
    folder: Path, tmp_path: Path, names: list[str], others: str
) -> None:
    whole = (folder / "a cat.png").read_bytes()
    for name in names:
        (folder / f"{name}.png").write_bytes(whole[: len(whole) // 2])
    for source in (folder, in_tar(folder, tmp_path / "shard.tar")):
        with pytest.raises(InputError, match=rf"m\.png: .*{others}$") as caught:
            load(source)
        assert str(source) in str(caught.value)
        assert ("nor can" in str(caught.value)) == bool(others)


def test_small_pictures_are_left_out_and_counted(folder):
    photos = load(folder, smallest=33)
    assert (len(photos), photos.left_out) == (2, 2)
    assert all(min(size) >= 33 for size in photos.sizes)
    with pytest.raises(
        InputError, match=r"no picture has 90 pixels a side, .* the first of 4 is .*c\.PNG \(32 x 32\)"
    ):
        load(folder, smallest=90)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "missing: no such file or folder"),
        (lambda folder: folder.mkdir(), "no pictures in .*missing"),
        (lambda folder: folder.with_suffix(".tar").write_bytes(b"zip"), "missing.tar: not a plain tar"),
    ],
)
def test_sources_without_pictures_are_named(tmp_path, make, message):
    source = tmp_path / "missing"
    make(source)
    packed = source.with_suffix(".tar")
    with pytest.raises(InputError, match=message):
        load(packed if packed.exists() else source)


def test_a_compressed_tar_is_no_plain_one(folder, tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w:gz") as archive:
        archive.add(folder, "photos")
    with pytest.raises(InputError, match=r"shard\.tar: not a plain tar file.*must be unpacked"):
        load(tmp_path / "shard.tar")


# Memory


def test_pictures_that_do_not_fit_in_memory_give_the_same_batches(folder):
    resident, decoded = load(folder), on_demand(folder)
    assert (resident.resident, decoded.resident) == (True, False)
    for seed in range(3):
        assert torch.equal(crops(resident, seed=seed), crops(decoded, seed=seed))


def test_the_budget_is_in_bytes_of_decoded_pixels(folder):
    needed = sum(height * width * 3 for height, width in SIZES.values())
    assert load(folder, budget_bytes=needed).resident
    with pytest.warns(UserWarning, match="may be used"):
        assert not load(folder, budget_bytes=needed - 1).resident


def test_decoding_ahead_changes_no_batch_and_reads_nothing_twice(folder):
    pairs, plain = (Pairs(photos, Photo(4), 16, 8) for photos in (on_demand(folder), load(folder)))
    for step in (0, 1, 2, 7, 8, 3):
        assert all(map(torch.equal, pairs.at(step), plain.at(step)))
    reads = []
    pairs.photos.store.ahead.clear()
    kept = pairs.photos.store._window
    object.__setattr__(pairs.photos.store, "_window", lambda *key: (reads.append(key), kept(*key))[1])
    for step in range(4):
        pairs.at(step)
    pairs.photos.store.pool.shutdown()
    assert len(reads) == len(set(reads))


def test_a_picture_that_shrinks_during_a_run_is_named(folder):
    photos = on_demand(folder)
    for name in SIZES:
        if not name.endswith("jpg"):
            save(folder / name, drawn((8, 8)))
    with pytest.raises(InputError, match="changed its size since the run began"):
        crops(photos)


def test_loading_tells_how_far_it_is(folder):
    states: list[tuple[int, int]] = []
    photos = finish(loading_photos(folder, CPU, smallest=32), lambda *state: states.append(state))
    assert states == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert photos.names == load_photos(folder, CPU, smallest=32).names


# Pairs


def test_a_batch_depends_on_seed_and_step_alone(folder):
    pairs = Pairs(load(folder), Photo(4), 32, 4, seed=3)
    straight = list(islice(pairs.starting_at(0), 6))
    torch.manual_seed(99)
    resumed = islice(Pairs(load(folder), Photo(4), 32, 4, seed=3).starting_at(3), 3)
    for before, after in zip(straight[3:], resumed, strict=True):
        assert all(map(torch.equal, before, after))


def test_other_steps_and_other_seeds_give_other_batches(folder):
    photos = load(folder)
    batches = [Pairs(photos, Bicubic(4), 16, 2, seed).at(step)[0] for seed in (0, 1) for step in (-1, 0, 1)]
    for first in range(6):
        assert not any(torch.equal(batches[first], other) for other in batches[first + 1 :])


def test_all_bits_of_a_seed_count(folder):
    """torch's generator on a CPU takes the lower 32 alone."""
    photos = load(folder)
    seeds = (1, 1 + 2**32, 1 + 2**62, 2**63 - 1)
    batches = [Pairs(photos, Bicubic(4), 16, 2, seed).at(7)[0] for seed in seeds]
    assert not any(torch.equal(one, other) for one, other in combinations(batches, 2))


@pytest.mark.parametrize(
    ("seed", "step", "number"),
    [(0, 0, 0), (0, 5, 3423425485), (7, 0, 1733237950), (2**32 - 1, 12, 760669876)],
)
def test_runs_that_were_begun_go_on_with_their_batches(folder, seed, step, number):
    """Recorded: the finaliser of MurmurHash3, of the step and the seed's own."""
    assert Pairs(load(folder), Bicubic(4), 16, 2, seed)._rng(step).initial_seed() == number


def test_pairs_match(folder):
    high, low = Pairs(load(folder), Bicubic(4), 32, 5).at(0)
    assert (high.shape, low.shape) == ((5, 3, 32, 32), (5, 3, 8, 8))
    assert torch.equal(low, Bicubic(4)(high, seeded()))


def test_sizes_that_cannot_be_are_refused(folder):
    photos = load(folder)
    with pytest.raises(ConfigError, match="size: 30 is not a multiple of scale 4"):
        Pairs(photos, Bicubic(4), 30, 2)
    with pytest.raises(ConfigError, match="size: 64 is above 32"):
        Pairs(photos, Bicubic(4), 64, 2)


def test_loading_leaves_the_warning_filters_alone(folder):
    before = list(warnings.filters)
    load(folder)
    assert warnings.filters == before


def test_the_class_of_a_photo_is_the_outermost_folder_it_lies_in(tmp_path):
    for name in ("tree/a.png", "cat/b.png", "cat/young/c.png", "dog/d.png"):
        save(tmp_path / "photos" / name, drawn((33, 33)))
    for source in (tmp_path / "photos", in_tar(tmp_path / "photos", tmp_path / "shard.tar")):
        photos = load(source)
        assert photos.classes == ("cat", "dog", "tree")
        assert photos.labels.tolist() == [0, 0, 1, 2]
    assert load(tmp_path / "photos" / "dog" / "d.png").classes == ("",)


def test_low_tells_the_class_of_its_crop(tmp_path):
    """Each folder has a brightness of its own, so that a crop shows where it is from."""
    for place, name in enumerate(("a", "b", "c")):
        for k in range(2):
            save(tmp_path / name / f"{k}.png", np.full((32, 40, 3), 100 * place, np.uint8))
    photos = load(tmp_path)
    pairs = Pairs(photos, Bicubic(4), size=16, batch=40, seed=1, classes=3)
    high, low = pairs.at(0)
    assert low.shape == (40, 4, 4, 4)
    brightness = (high.mean((1, 2, 3)) + 1) * 127.5
    torch.testing.assert_close(low[:, 3], (brightness / 100).round()[:, None, None].expand(-1, 4, 4))
    assert set(low[:, 3, 0, 0].tolist()) == {0, 1, 2}
    plain = Pairs(photos, Bicubic(4), size=16, batch=40, seed=1)
    assert torch.equal(plain.at(0)[0], high)
    assert torch.equal(plain.at(0)[1], low[:, :3])


def test_as_many_classes_as_the_model_has_are_needed(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / name / "0.png", drawn((32, 32)))
    with pytest.raises(ConfigError, match=r"count: 3 classes, but the photos lie in 2 folders \(a, b\)"):
        Pairs(load(tmp_path), Bicubic(4), size=16, batch=4, classes=3)


def test_which_number_a_class_has_does_not_depend_on_what_is_left_out(tmp_path):
    """But a class that nothing is left of is not learnt in silence."""
    for name, side in {"a": 32, "b": 20, "c": 32}.items():
        save(tmp_path / name / "0.png", drawn((side, side)))
    photos = load(tmp_path)
    assert photos.classes == ("a", "b", "c")
    assert photos.labels.tolist() == [0, 2]
    with pytest.raises(ConfigError, match="data: no photo in b has 32 pixels a side, the size of a crop"):
        Pairs(photos, Bicubic(4), size=16, batch=4, classes=3)
    assert Pairs(photos, Bicubic(4), size=16, batch=4).at(0)[1].shape == (4, 3, 4, 4)


def test_a_batch_may_lack_a_depth(tmp_path):
    """Of a folder of photos and one deep picture most do."""
    for number in range(3):
        save(tmp_path / f"{number}.png", drawn((32, 32), 3))
    save(tmp_path / "deep.tif", drawn((32, 32), 3).astype(np.uint16) * 257)
    photos, rng = load(tmp_path), torch.Generator().manual_seed(0)
    assert len(photos.store.banks) == 2
    for _ in range(20):
        assert photos.store.crop(photos.draw(1, 16, rng), 16).shape == (1, 3, 16, 16)
