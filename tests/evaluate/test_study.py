"""The page of a study: what it asks, holds and draws."""

import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image
from reports import noisy, report_of, row, scene
from test_page import EVIL, Read, pixels_of

from refinesr.errors import ConfigError, InputError
from refinesr.evaluate.answers import FORMAT
from refinesr.evaluate.document import ASSETS
from refinesr.evaluate.questions import BETTER, CAMERA, TASKS, TaskName
from refinesr.evaluate.saved_report import read_report
from refinesr.evaluate.study import Study, methods_to_judge

METHODS = ("net@1", "net@4")


def made(folder: Path, names: tuple[str, ...] = ("a", "b", "c"), methods: tuple[str, ...] = METHODS) -> Study:
    truths = {name: scene(seed=k) for k, name in enumerate(names)}
    results = {
        method: {name: noisy(truth, 9, seed=k) for name, truth in truths.items()}
        for k, method in enumerate(methods)
    }
    return Study(read_report(report_of(folder, truths, results)), BETTER, methods)


def text_of(study: Study) -> str:
    return study.page(list(study.pictures()))


class Page(Read):
    """With the data that its script reads."""

    def __init__(self, study: Study) -> None:
        self.kept = ""
        super().__init__(text_of(study))
        self.data = json.loads(self.kept)

    def handle_data(self, data: str) -> None:
        super().handle_data(data)
        if self.elements and self.elements[-1] == ("script", {"type": "application/json", "id": "study"}):
            self.kept += data if self.open and self.open[-1] == "script" else ""


def test_it_asks_the_papers_questions_and_holds_what_is_asked(tmp_path: Path) -> None:
    study = made(tmp_path)
    assert (BETTER.shows_low, CAMERA.shows_low) == (True, False)
    for task in TASKS.values():
        there = Page(replace(study, task=task))
        assert there.said.count(task.question) == 2  # in the introduction and over the pair
        assert [("low" in found.values()) for found in there.all("img")] == [False] + [
            True
        ] * task.shows_low + [False]
        kept = {key: value for key, value in there.data.items() if key not in ("images", "study")}
        expected = {"format": FORMAT, "task": task.name, "seconds": 3.0, "trials": 3, "methods": [*METHODS]}
        assert kept == expected
        assert re.fullmatch("[0-9a-f]{64}", there.data["study"])
    assert set(TASKS) == set(get_args(TaskName))


def test_there_are_no_more_trials_than_asked_for_nor_than_pictures(tmp_path: Path) -> None:
    study = made(tmp_path)
    assert [Page(replace(study, trials=count)).data["trials"] for count in (1, 2, 3, 50)] == [1, 2, 3, 3]


def test_the_page_has_every_part_that_its_script_and_its_style_name(tmp_path: Path) -> None:
    study = made(tmp_path)
    there = Page(study)
    script, style = (ASSETS.joinpath(name).read_text(encoding="utf-8") for name in ("study.js", "study.css"))
    ids = [found["id"] for _, found in there.elements if "id" in found]
    assert len(set(ids)) == len(ids)
    named = {
        *re.findall(r'part\("(\w+)"\)', script),
        *re.findall(r"#(?![\da-f]{6}\b|[\da-f]{3}\b)(\w+)", style),
    }
    assert named <= set(ids)
    assert {"introduction", "trial", "end", "left", "right", "low"} <= named
    classes = {name for _, found in there.elements for name in (found.get("class") or "").split()}
    assert {"question", "warning", "row", "button"} <= classes


def test_it_says_how_many_pairs_there_are_and_for_how_long(tmp_path: Path) -> None:
    study = made(tmp_path)
    for changes, words in (
        ({}, ("see 3 pairs of images. Between the two stands the low", "shown for 3 seconds.")),
        ({"trials": 1, "seconds": 1.0}, ("see one pair of images. Between", "shown for one second.")),
        ({"trials": 2, "seconds": 0.5, "task": CAMERA}, ("see 2 pairs of images.", "shown for 0.5 seconds.")),
        ({"seconds": 3600.0}, ("shown for 3600 seconds.",)),
    ):
        there = Page(replace(study, **changes))
        assert all(text in there.text for text in words)
        assert ("Between the two" in there.text) == ("task" not in changes)
        assert there.said.count("Which image?") == 2  # the title, and the heading


def test_the_pictures_are_the_reports_own_pixels(tmp_path: Path) -> None:
    study = made(tmp_path)
    images = Page(study).data["images"]
    assert [image["name"] for image in images] == ["a", "b", "c"]
    for image in images:
        assert (image["width"], image["height"]) == (64, 48)
        uris = [image["truth"], image["low"], *image["results"]]
        for folder, uri in zip(("high", "low", *METHODS), uris, strict=True):
            own = np.asarray(Image.open(tmp_path / "pictures" / folder / f"{image['name']}.png"))
            assert np.array_equal(pixels_of(uri), own)
    without = Page(replace(study, task=CAMERA)).data["images"]
    assert [image["low"] for image in without] == [None] * 3


def test_nothing_is_asked_for_from_anywhere(tmp_path: Path) -> None:
    study = made(tmp_path)
    there, text = Page(study), text_of(study)
    assert [found for _, found in there.elements if {"src", "href"} & set(found)] == []
    assert re.findall(r"https?:|url\(|@import|<link|fetch\(|XMLHttp|sendBeacon|WebSocket", text) == []
    (policy,) = [found for found in there.all("meta") if found.get("http-equiv")]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert (policy["content"] or "").startswith("default-src 'none'; img-src data:;")
    uris = [
        uri for image in there.data["images"] for uri in (image["truth"], image["low"], *image["results"])
    ]
    assert all(uri.startswith("data:image/webp;base64,") for uri in uris)


def test_names_neither_end_the_script_nor_are_on_the_screen(tmp_path: Path) -> None:
    names, method = ("<script><!--", EVIL.replace("/", ""), "it's a \u2028 truth"), "</script><!--"
    study = made(tmp_path, names, (method,))  # in the folder script><!-- of the folder <
    there = Page(study)
    assert [image["name"] for image in there.data["images"]] == [*names]
    assert there.data["methods"] == [method]
    assert len(there.all("script")) == 2
    assert not any("onclick" in found for _, found in there.elements)
    assert not any(name in there.text for name in (*names, method, "truth"))


def test_the_same_report_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = (text_of(made(tmp_path / name)) for name in ("one", "other"))
    assert one == other


def test_whatever_is_shown_otherwise_is_another_study(tmp_path: Path) -> None:
    study = made(tmp_path)
    others = [
        study,
        replace(study, task=CAMERA),
        replace(study, seconds=2.5),
        replace(study, trials=2),
        replace(study, methods=METHODS[:1]),
        replace(study, methods=METHODS[::-1]),
    ]
    found = [Page(other).data["study"] for other in others]
    for folder in ("high", "low", METHODS[1]):
        path = tmp_path / "pictures" / folder / "b.png"
        pixels = np.array(Image.open(path))
        pixels[0, 0, 0] ^= 1
        Image.fromarray(pixels).save(path)
        found.append(Page(study).data["study"])
    assert len(set(found)) == len(found) == 9


def test_the_truth_is_no_method(tmp_path: Path) -> None:
    study = made(tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    report["methods"].append(row(METHODS[0], report["images"]) | {"name": "truth", "kind": "truth"})
    (tmp_path / "report.json").write_text(json.dumps(report))
    there = read_report(tmp_path)
    assert methods_to_judge(there) == METHODS
    with pytest.raises(ConfigError, match=r"^--methods: 'truth' is not one of net@1, net@4$"):
        replace(study, report=there, methods=("truth",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "--trials: 0 is not positive"),
        ({"seconds": 0.0}, "--seconds: 0 is not above 0, and an hour at most"),
        ({"seconds": float("nan")}, "--seconds: nan is not above 0, and an hour at most"),
        ({"seconds": float("inf")}, "--seconds: inf is not above 0, and an hour at most"),
        ({"methods": ("net@2",)}, "--methods: 'net@2' is not one of net@1, net@4"),
        ({"methods": ("net@1", "net@1")}, "--methods: 'net@1' is given twice"),
        ({"methods": ()}, "--methods: there is none in .* but the truth"),
    ],
)
def test_what_cannot_be_asked_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    study = made(tmp_path)
    with pytest.raises(ConfigError, match=f"^{message}$"):
        replace(study, **changes)


def test_reports_of_no_pictures_or_of_one_name_twice_are_refused(tmp_path: Path) -> None:
    study = made(tmp_path)
    with pytest.raises(InputError, match=r": there are no pictures in the report$"):
        replace(study, report=replace(study.report, images=()))
    with pytest.raises(InputError, match=r": two pictures are called 'a'$"):
        replace(study, report=replace(study.report, images=study.report.images[:1] * 2))


@pytest.mark.parametrize("folder", ["high", "low", "net@4"])
def test_a_picture_that_is_not_there_is_named(tmp_path: Path, folder: str) -> None:
    study = made(tmp_path)
    (tmp_path / "pictures" / folder / "b.png").unlink()
    with pytest.raises(
        InputError, match=rf"/pictures/{folder}: b: is not there; refinesr evaluate makes it$"
    ):
        text_of(study)
    if folder == "low":
        text_of(replace(study, task=CAMERA))  # where it is not shown


@pytest.mark.parametrize("folder", ["high", "net@4"])
def test_a_picture_of_another_size_is_named(tmp_path: Path, folder: str) -> None:
    study = made(tmp_path)
    Image.fromarray(scene(32, 32)).save(tmp_path / "pictures" / folder / "b.png")
    message = rf"/pictures/{folder}: b: is 32 x 32, and the report is of 64 x 48 pixels$"
    with pytest.raises(InputError, match=message):
        text_of(study)


def test_a_picture_too_large_to_be_kept_is_named(tmp_path: Path) -> None:
    truth = {"long": np.zeros((4, 16384, 3), np.uint8)}
    study = Study(read_report(report_of(tmp_path, truth, {"net": truth})), CAMERA, ("net",))
    with pytest.raises(InputError, match=r"high: long: is 16384 x 4; 16383 pixels a side can be shown$"):
        text_of(study)


# ------------------------------------------------------------------------------------- what the script draws

NODE = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def scripted(expression: str) -> Any:
    """The value of what is asked of draw.js, with its own chance from Math.random."""
    below = "const below = (number) => Math.floor(Math.random() * number);"
    script = ASSETS.joinpath("draw.js").read_text(encoding="utf-8")
    code = f"{script}\n{below}\nconsole.log(JSON.stringify({expression}));"
    ran = subprocess.run(["node", "-e", code], check=True, capture_output=True, text=True)
    return json.loads(ran.stdout)


@NODE
@pytest.mark.parametrize(
    ("images", "methods", "count"), [(100, 3, 50), (100, 1, 50), (6, 4, 6), (5, 2, 5), (9, 7, 3)]
)
def test_no_picture_comes_twice_and_methods_are_balanced(images: int, methods: int, count: int) -> None:
    for trials in scripted(f"Array.from({{length: 200}}, () => drawn({images}, {methods}, {count}, below))"):
        assert len(trials) == count
        shown = [trial["image"] for trial in trials]
        assert len(set(shown)) == count
        assert set(shown) <= set(range(images))
        uses = Counter(trial["method"] for trial in trials)
        times = [uses[method] for method in range(methods)]
        assert sum(times) == count
        assert max(times) - min(times) <= 1


@NODE
def test_pictures_methods_and_sides_are_drawn_evenly_and_apart() -> None:
    """Of 4000 subjects with 2 trials of 4 pictures by 3 methods; 5 standard errors of a share."""
    subjects = scripted("Array.from({length: 4000}, () => drawn(4, 3, 2, below))")
    for place in range(2):
        seen = Counter(
            (trial[place]["image"], trial[place]["method"], trial[place]["truth"]) for trial in subjects
        )
        assert len(seen) == 24
        assert max(abs(count / 4000 - 1 / 24) for count in seen.values()) < 5 * (1 / 24 / 4000) ** 0.5
    sides = Counter((first["truth"], second["truth"]) for first, second in subjects)
    assert max(abs(count / 4000 - 1 / 4) for count in sides.values()) < 5 * (3 / 16 / 4000) ** 0.5


@NODE
def test_an_answer_says_what_was_chosen() -> None:
    study = '{"images": [{"name": "a"}, {"name": "b"}], "methods": ["x", "y"]}'
    for truth in ("left", "right"):
        for side in ("left", "right"):
            trial = json.dumps({"image": 1, "method": 0, "truth": truth})
            assert scripted(f"answer({study}, {trial}, '{side}', 3456.7)") == {
                "image": "b",
                "method": "x",
                "chose": "truth" if side == truth else "method",
                "side": side,
                "milliseconds": 3457,
            }


@NODE
@pytest.mark.parametrize(
    ("width", "height", "share"),
    [(848, 256, 1), (2000, 2000, 1), (816, 256, 1), (432, 300, 0.5), (900, 64, 0.25)],
)
def test_pictures_are_reduced_alike_where_there_is_no_room(width: int, height: int, share: float) -> None:
    room = f"{{width: {width}, height: {height}}}"
    assert scripted(f"reduction({{width: 256, height: 256}}, 3, 24, {room})") == share
