"""The page of a report: crops enlarged, two at a time."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from looking import divided, screen
from reports import noisy, report_of, scene

from refinesr.evaluate.page import write_page

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser

WHATS = ["truth", "input", "few", "many"]


@pytest.fixture
def report(page: "Page") -> "Page":
    """Open; two pictures by two methods."""
    truths = {name: scene(seed=k) for k, name in enumerate("ab")}
    results = {
        method: {name: noisy(truth, levels) for name, truth in truths.items()}
        for method, levels in {"few": 10, "many": 40}.items()
    }
    page.goto(write_page(report_of(Path("report").absolute(), truths, results)).as_uri())
    return page


def crop(report: "Page", picture: str, what: str) -> "Locator":
    return report.get_by_role("button", name=f"{picture}, {what}", exact=True)


def compared(report: "Page") -> tuple[str | None, str | None]:
    """The words of the pictures on the left and on the right; the pixels are the crops' own."""
    words = []
    for side in ("left", "right"):
        image = report.locator(f".stage .{side}")
        own = report.get_by_role("button").get_by_alt_text(image.get_attribute("alt") or "", exact=True)
        if image.get_attribute("src") != own.get_attribute("src"):
            return None, None
        words.append(image.get_attribute("alt"))
    return words[0], words[1]


def drag(report: "Page", *shares: tuple[float, float]) -> None:
    """Over the stage, from one place to the others."""
    box = report.locator(".stage").bounding_box()
    assert box is not None
    for x, y in shares:
        report.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        if (x, y) == shares[0]:
            report.mouse.down()
    report.mouse.up()


@pytest.mark.parametrize(
    ("what", "other"), [("truth", "input"), ("input", "input"), ("few", "few"), ("many", "many")]
)
def test_a_crop_is_shown_beside_the_truth_and_the_truth_beside_the_next(
    report: "Page", what: str, other: str
) -> None:
    crop(report, "b", what).click()
    assert compared(report) == ("b, truth", f"b, {other}")
    assert report.locator("select[name=left]").locator("option").all_inner_texts() == WHATS


def test_others_are_chosen_by_name(report: "Page") -> None:
    crop(report, "a", "few").click()
    report.locator("select[name=left]").select_option("many")
    report.locator("select[name=right]").select_option("truth")
    assert compared(report) == ("a, many", "a, truth")


def test_the_slider_parts_the_two_by_keys_and_by_mouse(report: "Page") -> None:
    crop(report, "a", "many").click()
    stage, slider = report.locator(".stage"), report.get_by_label("where the left picture ends")
    assert slider.input_value() == "50"
    report.keyboard.press("End")  # it has the focus
    left = screen(stage)
    report.keyboard.press("Home")
    right = screen(stage)
    report.keyboard.press("ArrowRight")
    assert slider.input_value() == "1"
    drag(report, (0.2, 0.5), (0.7, 0.6))
    assert slider.input_value() == "70"
    assert divided(screen(stage), left, right, 0.7)
    drag(report, (0.3, 0.5))
    report.mouse.move(5, 5)  # let go
    assert slider.input_value() == "30"
    assert not np.array_equal(left, right)


def test_a_crop_opens_by_key_and_escape_the_button_and_a_click_beside_close_it(report: "Page") -> None:
    dialog = report.locator("dialog")
    for close in (
        lambda: report.keyboard.press("Escape"),
        lambda: report.get_by_role("button", name="close").click(),
        lambda: report.mouse.click(5, 5),
    ):
        crop(report, "a", "few").focus()
        report.keyboard.press("Enter")
        dialog.wait_for()
        close()
        dialog.wait_for(state="hidden")
        assert crop(report, "a", "few").evaluate("crop => crop === document.activeElement")


@pytest.mark.parametrize("beyond", [(3.0, 0.5), (-3.0, 0.5), (0.5, 3.0)])
def test_a_slider_dragged_beyond_the_edge_stays_open(report: "Page", beyond: tuple[float, float]) -> None:
    crop(report, "a", "few").click()
    drag(report, (0.6, 0.5), beyond)
    assert report.locator("dialog").is_visible()
    expected = str(round(100 * min(max(beyond[0], 0), 1)))
    assert report.get_by_label("where the left picture ends").input_value() == expected
