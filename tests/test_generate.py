"""Cascades as files, pictures as functions of (seed, index), and folders of them that may grow."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cascades import BASE, FORGIVING, LARGER, PAGE, SIDE
from methods import packed, stage

from refinesr.album import SHOWN, Album
from refinesr.cascade import Cascade, Link
from refinesr.cascade_files import load_cascade, load_model
from refinesr.checkpoint import save_stage
from refinesr.diffusion.noise import NoiseField
from refinesr.errors import CheckpointError, ConfigError, OutputError
from refinesr.generate import generate_images, picture_seeds, pictures, settings, with_options
from refinesr.images.io import read, write
from refinesr.images.picture import Picture
from refinesr.model import with_plane

SMALL = Cascade((Link(BASE), Link(FORGIVING, level=0.2)))
FORMAT = "refinesr-cascade-1"
ON = {"device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models beside one another: base and page make pictures, the others enlarge."""
    path = tmp_path_factory.mktemp("cascade")
    for name, made in {"base": BASE, "page": PAGE, "forgiving": FORGIVING, "larger": LARGER}.items():
        save_stage(made, path / f"{name}.safetensors")
    (path / "tiles").mkdir()
    save_stage(stage(packed(2)), path / "tiles" / "model.safetensors")
    return path


def described(folder: Path, *stages: object, **more: object) -> Path:
    path = folder / "cascade.json"
    path.write_text(json.dumps({"format": FORMAT, "stages": stages, **more}))
    return path


# On disk


def test_a_file_names_stages_beside_it(folder: Path) -> None:
    first = {"model": "base.safetensors", "steps": 5, "guidance": 2.0}
    then = {"model": "forgiving.safetensors", "tile": 16, "level": 0.3}
    path = described(folder, first, then, {"model": "tiles"}, size=[6, 10])
    cascade = load_cascade(path)
    base, forgiving, tiles = cascade.links
    assert [link.stage.method for link in cascade.links] == [BASE.method, FORGIVING.method, packed(2)]
    assert base.effective_sampling == replace(BASE.method.sampling, steps=5, guidance=2.0)
    assert forgiving.effective_sampling == FORGIVING.method.sampling
    assert [(link.tile, link.level) for link in cascade.links] == [(0, 0.0), (16, 0.3), (384, 0.0)]
    assert (cascade.size, cascade.scale, cascade.steps) == ((6, 10), 4, 11)
    assert tiles.stage.model.state_dict().keys() == stage(packed(2)).model.state_dict().keys()


def test_what_is_left_out_is_the_models_choice_but_nothing_is_made_up_in_tiles(folder: Path) -> None:
    cascade = load_cascade(described(folder, {"model": "base.safetensors"}, {"model": "larger.safetensors"}))
    assert cascade.links[0].tile == 0 < BASE.method.tile
    assert cascade.links[1].tile == LARGER.method.tile
    assert [link.effective_sampling for link in cascade.links] == [
        BASE.method.sampling,
        LARGER.method.sampling,
    ]
    assert cascade.size is None


def test_a_folder_stands_for_its_cascade_json(folder: Path) -> None:
    path = described(folder, {"model": "page.safetensors"})
    assert load_cascade(folder).links[0].stage.method == load_cascade(path).links[0].stage.method


@pytest.mark.parametrize("name", ["page.safetensors", "tiles"])
def test_any_model_is_a_cascade_of_one(folder: Path, name: str) -> None:
    cascade = load_cascade(str(folder / name))
    assert len(cascade.links) == 1
    assert cascade.links[0].tile == (0 if name == "page.safetensors" else 384)


def test_a_shipped_model_may_be_a_stage(folder: Path) -> None:
    cascade = load_cascade(described(folder, {"model": "page.safetensors"}, {"model": "photo-x4"}))
    assert cascade.scale == 4


PAGES = {"model": "page.safetensors"}


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "stages: none are named; at least one is needed"),
        ([{"modle": "page.safetensors"}], "stages.0.modle: no such field of Entry; did you mean 'model'?"),
        ([PAGES, {**PAGES, "steps": 2.5}], "stages.1.steps: 2.5 is not an integer"),
        ([{**PAGES, "steps": 0}], "stages.0.steps: 0 is not positive"),
        ([{**PAGES, "guidance": 2.0}], "stages.0.guidance: the source has no class that could be withheld"),
        ([{**PAGES, "tile": -1}], "stages.0.tile: -1 is negative; 0 means no tiles"),
        ([PAGES, PAGES], "stages.1: generates images from noise; only the first stage may"),
        ([PAGES, {"model": "forgiving.safetensors", "level": 2}], "stages.1.level: 2 is above 0.5, the most"),
        (
            [PAGES, {"model": "tiles", "level": 0.1}],
            "stages.1.level: 0.1, but the stage was not trained with noise",
        ),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(
    folder: Path, stages: list[object], message: str
) -> None:
    path = described(folder, *stages)
    with pytest.raises(ConfigError) as caught:
        load_cascade(path)
    assert str(caught.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("{", ConfigError, "not valid JSON"),
        ("[]", ConfigError, "[] is not an object with the fields of CascadeFile"),
        ('{"format": "refinesr-2", "stages": []}', ConfigError, "format: 'refinesr-2' is not one of"),
        (f'{{"format": "{FORMAT}"}}', ConfigError, "stages: missing, and has no default"),
        (f'{{"format": "{FORMAT}", "stages": [{{"model": "no.pth"}}]}}', CheckpointError, "stages.0: "),
        (
            f'{{"format": "{FORMAT}", "stages": [{{"model": "no"}}]}}',
            CheckpointError,
            "stages.0: model: 'no' is",
        ),
        (
            f'{{"format": "{FORMAT}", "stages": [], "size": 64}}',
            ConfigError,
            "size: 64 is not a list; did you mean [64, 64]?",
        ),
        ("\udcff", CheckpointError, "cannot be read as text"),
    ],
)
def test_a_file_that_is_none_is_refused(
    tmp_path: Path, text: str, kind: type[Exception], message: str
) -> None:
    path = tmp_path / "faces.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(kind) as caught:
        load_cascade(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"faces\.json: no such file$"):
        load_cascade(tmp_path / "faces.json")
    with pytest.raises(CheckpointError, match=r"folder holds neither cascade\.json nor model\.safetensors$"):
        load_cascade(tmp_path)
    with pytest.raises(CheckpointError, match=r"stages\.0: .*gone\.safetensors: no such file$"):
        load_cascade(described(tmp_path, {"model": "gone.safetensors"}))


def test_what_is_no_name_of_a_file_is_no_cascade() -> None:
    with pytest.raises(CheckpointError, match="model: 'xxxx"):
        load_model("x" * 5000)


@pytest.mark.parametrize("name", ["sub/nix", "nix"])
def test_what_is_neither_beside_the_file_nor_elsewhere_is_said_to_be_at_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A name with a separator is asked of the Hub, too, whose answer is in the message."""

    def refused(repository: str) -> Path:
        raise CheckpointError(f"{repository}: the Hub has no such thing")

    monkeypatch.setattr("refinesr.shipped.download", refused)
    elsewhere = {"sub/nix": "sub/nix: the Hub has no such thing", "nix": "model: 'nix' is no shipped model"}
    with pytest.raises(CheckpointError) as caught:
        load_cascade(path := described(tmp_path, {"model": name}))
    assert str(caught.value).startswith(f"{path}: stages.0: {elsewhere[name]}")
    assert str(caught.value).endswith(f"; there is no {tmp_path / name} either")


def test_a_repository_of_the_hub_may_be_a_stage(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "refinesr.shipped.download", lambda name: folder / f"{name.split('/')[1]}.safetensors"
    )
    assert load_cascade(described(tmp_path, {"model": "owner/page"})).links[0].stage.method == PAGE.method


def test_steps_guidance_and_size_can_be_told() -> None:
    cascade = with_options(SMALL, steps=(7, 2), guidance=3.0, size=(4, 6))
    assert [link.steps for link in cascade.links] == [7, 2]
    assert [link.effective_sampling.guidance for link in cascade.links] == [3.0, 1.0]
    assert (cascade.size, cascade.links[1].level) == ((4, 6), 0.2)
    assert with_options(SMALL).links[0].effective_sampling == SMALL.links[0].effective_sampling
    with pytest.raises(ConfigError, match="steps: 3 numbers for 2 stages"):
        with_options(SMALL, steps=(1, 2, 3))


# Pictures


def made(cascade: Cascade, *indexes: int, **options: Any) -> list[np.ndarray[Any, Any]]:
    *_, last = generate_images(cascade, indexes, **ON, **options)
    return [picture.pixels for picture in pictures(last.image)]


def test_without_a_device_models_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = made(SMALL, 3, seed=5)
    monkeypatch.setattr("refinesr.generate.device_named", None)
    *_, last = generate_images(SMALL, [3], seed=5, precision="fp32")
    assert np.array_equal(pictures(last.image)[0].pixels, expected[0])


def test_a_picture_is_what_the_cascade_makes_of_its_class_and_noise() -> None:
    (picture,) = made(SMALL, 4, label=2, seed=9)
    low = with_plane(torch.zeros(1, 3, SIDE, SIDE), torch.tensor([2.0]))
    *_, last = SMALL(low, NoiseField((picture_seeds(9, 4)[0],)))
    expected = ((last.image[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    assert picture.shape == (2 * SIDE, 2 * SIDE, 3)
    assert np.array_equal(picture, expected)


def test_a_picture_depends_on_the_seed_and_its_index_alone() -> None:
    """Whatever is made beside it, up to one level of 8 bits."""
    three = dict(zip((7, 0, 3), made(SMALL, 7, 0, 3, seed=5), strict=True))
    for index, picture in three.items():
        (alone,) = made(SMALL, index, seed=5)
        assert np.abs(picture.astype(int) - alone).max() <= 1
    assert not np.array_equal(three[0], three[3])
    assert not np.array_equal(three[0], made(SMALL, 0, seed=6)[0])


def test_neighbouring_seeds_and_indexes_have_nothing_in_common() -> None:
    pairs = [picture_seeds(seed, index) for seed in range(60) for index in range(60)]
    assert len({number for pair in pairs for number in pair}) == 2 * len(pairs)


def test_a_seed_means_the_same_in_every_release() -> None:
    """Recorded with NumPy 2; it promises its SeedSequence for all releases."""
    assert picture_seeds(0, 0) == (8668861027912758289, 14584187760040447831)
    assert picture_seeds(1, 0) == (8431846347943309920, 5388939860413915384)
    assert picture_seeds(0, 1) == (4881901421217228719, 14018784465689921001)


def test_classes_are_drawn_evenly_and_by_index() -> None:
    """1500 draws of 3 classes: five standard deviations of a count are 91."""
    labels = [picture_seeds(0, index)[1] % 3 for index in range(1500)]
    assert all(abs(labels.count(label) - 500) < 91 for label in range(3))
    index = labels.index(2)
    assert np.array_equal(made(SMALL, index)[0], made(SMALL, index, label=2)[0])
    assert not np.array_equal(made(SMALL, index)[0], made(SMALL, index, label=1)[0])


def test_every_step_of_every_stage_is_seen() -> None:
    seen = list(generate_images(SMALL, [0, 1], **ON))
    assert [(p.done, p.total) for p in seen] == [(k, 6) for k in range(1, 7)]
    assert [p.image.shape for p in seen] == [(2, 3, 8, 8)] * 3 + [(2, 3, 16, 16)] * 3


def test_the_size_is_asked_for_or_as_trained() -> None:
    assert made(Cascade((Link(PAGE),)), 0)[0].shape == (SIDE, SIDE, 3)
    assert made(with_options(SMALL, size=(5, 7)), 0)[0].shape == (10, 14, 3)
    silent = replace(PAGE, method=replace(PAGE.method, tile=0))
    with pytest.raises(ConfigError, match="size: the first model does not say at what size"):
        made(Cascade((Link(silent),)), 0)


@pytest.mark.parametrize(
    ("cascade", "label", "message"),
    [
        (SMALL, 3, "class: 3 is not one of the model's, 0 to 2"),
        (SMALL, -1, "class: -1 is not one"),
        (Cascade((Link(PAGE),)), 0, "class: 0, but the model knows no classes"),
        (Cascade((Link(LARGER),)), None, "model: takes pictures and enlarges them; `refinesr upscale`"),
    ],
)
def test_what_cannot_be_made_is_refused(cascade: Cascade, label: int | None, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        made(cascade, 0, label=label)


def test_a_model_that_makes_nan_is_told() -> None:
    broken = stage(PAGE.method)
    for parameter in broken.model.parameters():
        parameter.fill_(torch.nan)
    with pytest.raises(CheckpointError, match="NaN or infinity; try --precision fp32"):
        made(Cascade((Link(broken),)), 0)


# A folder of them

ASKED = settings(SMALL, label=None, seed=1, precision="fp32")
OTHERS: dict[str, Callable[[], dict[str, Any]]] = {
    "seed 1, not 2": lambda: settings(SMALL, label=None, seed=2, precision="fp32"),
    "class None, not 0": lambda: settings(SMALL, label=0, seed=1, precision="fp32"),
    "precision fp32, not bf16": lambda: settings(SMALL, label=None, seed=1, precision="bf16"),
    "size.0 8, not 4": lambda: settings(
        with_options(SMALL, size=(4, 8)), label=None, seed=1, precision="fp32"
    ),
    "stages.1.sampling.steps 3, not 2": lambda: settings(
        with_options(SMALL, steps=(3, 2)), label=None, seed=1, precision="fp32"
    ),
    "stages.1.level 0.2, not 0.1": lambda: settings(
        Cascade((Link(BASE), Link(FORGIVING, level=0.1))), label=None, seed=1, precision="fp32"
    ),
    "stages.1.model not given, not ": lambda: settings(
        Cascade((*SMALL.links, Link(LARGER))), label=None, seed=1, precision="fp32"
    ),
    "stages.0.weights": lambda: settings(
        Cascade((Link(stage(BASE.method, seed=1)), SMALL.links[1])), label=None, seed=1, precision="fp32"
    ),
}


@pytest.mark.parametrize("words", OTHERS)
def test_a_folder_made_with_other_settings_is_refused(tmp_path: Path, words: str) -> None:
    album = Album(tmp_path)
    album.open(ASKED)
    album.open(json.loads(json.dumps(ASKED)))
    with pytest.raises(
        OutputError, match=f"{tmp_path}: was made with .*; --overwrite begins anew$"
    ) as caught:
        album.open(OTHERS[words]())
    if words != "stages.1.model not given, not ":
        assert words in str(caught.value)
    assert json.loads(album.settings.read_text()) == ASKED


def picture(value: int, side: int = 4) -> Picture:
    return Picture(np.full((side, side, 3), value, np.uint8))


def test_what_is_missing_is_what_is_not_there(tmp_path: Path) -> None:
    album = Album(tmp_path / "new" / "folder")
    assert album.missing(3) == [0, 1, 2]
    album.open(ASKED)
    assert album.write(1, picture(9)).name == "00001.png"
    assert album.missing(3) == [0, 2]
    assert album.missing(1) == [0]


def test_overwriting_removes_what_was_made_and_nothing_else(tmp_path: Path) -> None:
    album = Album(tmp_path)
    album.open(ASKED)
    for index in (0, 123456):
        album.write(index, picture(index % 200))
    write(picture(5), tmp_path / "mine.png")
    album.open({"seed": 2}, overwrite=True)
    assert album.missing(1) == [0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["generate.json", "mine.png"]


def test_photos_that_happen_to_be_numbered_are_never_touched(tmp_path: Path) -> None:
    write(picture(5), tmp_path / "00007.png")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"00007\.png exists, without generate\.json; choose another"):
            Album(tmp_path).open(ASKED, overwrite=overwrite)
    assert (tmp_path / "00007.png").exists()


def test_large_pictures_are_shown_smaller(tmp_path: Path) -> None:
    """By a whole factor: 600 pixels become 200, each the mean of nine."""
    values = np.random.default_rng(0).integers(0, 256, (600, 300, 3), np.uint8)
    album = Album(tmp_path)
    album.open(ASKED)
    album.write(0, Picture(values))
    album.write_grid(1)
    expected = values.reshape(200, 3, 100, 3, 3).mean((1, 3))
    assert np.abs(read(album.grid).pixels[:200, :100] - expected).max() <= 0.51


def test_an_uneven_grid_ends_in_white(tmp_path: Path) -> None:
    album = Album(tmp_path)
    album.open(ASKED)
    for index in range(3):
        album.write(index, picture(0))
    album.write_grid(3)
    assert read(album.grid).pixels[::8, ::8, 0].tolist() == [[0, 0], [0, 255]]


@pytest.mark.parametrize(("count", "across", "down"), [(1, 1, 1), (4, 2, 2), (5, 3, 2), (100, 8, 8)])
def test_the_grid_shows_the_first_row_by_row(tmp_path: Path, count: int, across: int, down: int) -> None:
    album = Album(tmp_path)
    album.open(ASKED)
    for index in range(count):
        album.write(index, picture(2 * index))
    album.write_grid(count)
    sheet = read(album.grid).pixels
    assert sheet.shape == (8 * down, 8 * across, 3)  # 4 pixels of picture, 4 of gap
    shown = sheet[::8, ::8, 0].flatten()[: min(count, SHOWN)]
    assert shown.tolist() == [2 * index for index in range(min(count, SHOWN))]
