"""The page of `refinesr study`: whole sessions, and what `refinesr fool-rate` makes of them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from reports import noisy, report_of, scene

from refinesr.cli import main

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

SECONDS = 0.4
METHODS = {"few": 4, "many": 20}


@pytest.fixture
def html() -> Path:
    """Four pairs, of two methods."""
    truths = {f"picture {k}": scene(seed=k) for k in range(4)}
    results = {
        method: {name: noisy(truth, levels) for name, truth in truths.items()}
        for method, levels in METHODS.items()
    }
    report_of(Path("report"), truths, results)
    assert main(["study", "report", "-o", "study.html", "--seconds", str(SECONDS)]) == 0
    return Path("study.html").absolute()


def begun(page: "Page", html: Path) -> Any:
    """The data of the page, whose first pair is on its way."""
    page.goto(html.as_uri())
    page.get_by_role("button", name="Begin").click()
    return json.loads(page.locator("#study").text_content() or "")


def pair(page: "Page", study: Any, number: int) -> tuple[str, str, str]:
    """Once the pair has been seen and is hidden: its picture, its method, and the truth's side."""
    page.get_by_text(f"{number} of 4", exact=True).wait_for()
    page.locator("#trial.hidden").wait_for()
    assert not page.locator("#left img").is_visible()
    left, low, right = (
        page.locator(f"{part}").get_attribute("src") for part in ("#left img", "#low", "#right img")
    )
    (image,) = (image for image in study["images"] if image["truth"] in (left, right))
    assert low == image["low"]
    side = "left" if image["truth"] == left else "right"
    other = image["results"].index(right if side == "left" else left)
    return image["name"], study["methods"][other], side


def saved(page: "Page") -> tuple[Path, Any]:
    with page.expect_download() as download:
        page.get_by_text("Save the answers").click()
    path = Path(download.value.suggested_filename).absolute()
    download.value.save_as(path)
    return path, json.loads(path.read_text(encoding="utf-8"))


def rates(*answers: Path) -> dict[str, float]:
    assert main(["fool-rate", *map(str, answers), "--json", "rates.json", "--overwrite"]) == 0
    return {row["name"]: row["rate"] for row in json.loads(Path("rates.json").read_text())["methods"]}


@pytest.mark.parametrize("way", ["keys", "mouse"])
def test_a_session_is_counted_as_it_was_answered(page: "Page", html: Path, way: str) -> None:
    """`few` always fools this subject, `many` never does."""
    study, expected = begun(page, html), []
    for number in range(1, 5):
        image, method, truth = pair(page, study, number)
        other = "right" if truth == "left" else "left"
        side, chose = (other, "method") if method == "few" else (truth, "truth")
        if way == "keys":
            page.keyboard.press(f"Arrow{side.capitalize()}")
        else:
            page.locator(f"#{side}").click()
        expected.append({"image": image, "method": method, "chose": chose, "side": side})
    path, answers = saved(page)
    assert path.name == f"answers-{answers['subject']}.json"
    times = [answer.pop("milliseconds") for answer in answers["answers"]]
    assert answers["answers"] == expected
    assert all(1000 * SECONDS <= time < 60_000 for time in times)
    assert len({answer["image"] for answer in expected}) == 4
    assert rates(path) == {"few": 1.0, "many": 0.0}


def test_two_sessions_are_two_subjects_of_one_study(page: "Page", html: Path) -> None:
    files = []
    for _ in range(2):
        study = begun(page, html)
        for number in range(1, 5):
            pair(page, study, number)
            page.keyboard.press("ArrowLeft")
        files.append(saved(page)[0])
    assert set(rates(*files)) == set(METHODS)


def test_nothing_is_chosen_while_a_pair_is_shown_nor_by_a_key_held_down(page: "Page", html: Path) -> None:
    study = begun(page, html)
    page.locator("#trial.showing").wait_for()
    assert page.locator("#left img").is_visible()
    page.keyboard.press("ArrowLeft")
    page.locator("#right").click()
    pair(page, study, 1)
    page.keyboard.down("ArrowLeft")
    for _ in range(3):
        page.keyboard.down("ArrowLeft")  # held
    pair(page, study, 2)
    page.keyboard.down("ArrowLeft")
    page.keyboard.press("Control+ArrowRight")
    assert pair(page, study, 2)


def test_answers_are_not_lost_by_leaving_until_they_are_saved(page: "Page", html: Path) -> None:
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    study = begun(page, html)
    page.close(run_before_unload=True)
    for number in range(1, 5):
        pair(page, study, number)
        page.keyboard.press("ArrowLeft")
    assert asked == ["beforeunload"]
    saved(page)
    page.goto("about:blank")
    assert asked == ["beforeunload"]


def test_answers_can_be_copied(page: "Page", html: Path) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    study = begun(page, html)
    for number in range(1, 5):
        pair(page, study, number)
        page.keyboard.press("ArrowLeft")
    page.get_by_text("Copy them").click()
    page.get_by_text("Copied.").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert json.loads(copied) == saved(page)[1]


def test_where_the_browser_does_not_copy_it_is_told_what_does(
    page: "Page", html: Path, asked: list[str]
) -> None:
    """As it does not for pages that come from elsewhere by plain HTTP."""
    page.route("http://study.invalid/", lambda route: route.fulfill(path=html))
    page.goto("http://study.invalid/")
    assert asked.pop() == "http://study.invalid/"
    page.evaluate("end()")
    page.get_by_text("Copy them").click()
    page.get_by_text("Press Ctrl+C to copy them.").wait_for()
    assert page.evaluate("getSelection().toString()") == page.locator("#answers").input_value()


def test_pictures_that_find_no_room_are_reduced_alike_and_it_is_told(page: "Page", html: Path) -> None:
    page.goto(html.as_uri())
    warning = page.locator("#narrow")
    assert not warning.is_visible()
    page.set_viewport_size({"width": 200, "height": 900})  # (200 - 32 - 2 * 24) / 3 = 40 pixels each
    warning.wait_for()
    page.get_by_role("button", name="Begin").click()
    page.locator("#trial.showing").wait_for()
    for part in ("#left img", "#low", "#right img"):
        box = page.locator(part).bounding_box()
        assert box is not None
        assert (box["width"], box["height"]) == (40, 30)
