"""The page of `refinesr serve`, at work with the shipped model."""

import base64
import io
import itertools
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from looking import LINE, divided, screen
from PIL import Image
from reports import scene
from serving import interrupt, serving

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Request, Route

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving("--no-browser") as (_, address):
        yield address


@pytest.fixture
def photo() -> Path:
    """40 pixels wide and 28 high."""
    return drawn("photo.png")


def drawn(name: str, height: int = 28, width: int = 40, seed: int = 0) -> Path:
    Image.fromarray(scene(height, width, seed)).save(name)
    return Path(name).absolute()


def upscaled(photo: Path, ext: str = "png", *words: str) -> bytes:
    """By the command line."""
    output = photo.with_name(f"by-upscale.{ext}")
    subprocess.run(
        [sys.executable, "-m", "refinesr", "upscale", str(photo), "-o", str(output), "--overwrite", *words],
        check=True,
    )
    return output.read_bytes()


def item(page: "Page", name: str) -> "Locator":
    return page.locator("#list li").filter(has_text=name)


def said(page: "Page", name: str, text: str) -> "Locator":
    """Of the photo, once its line holds `text`."""
    found = item(page, name).locator(".state").filter(has_text=text)
    found.wait_for()
    return found


def saved(page: "Page") -> tuple[str, bytes]:
    with page.expect_download() as download:
        page.locator("#save").click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


# -------------------------------------------------------------------------------------------- ways in and out


def chosen(page: "Page", *photos: Path) -> None:
    page.locator("#files").set_input_files(photos)


def given(kind: str) -> Callable[..., None]:
    script = """([kind, name, data]) => {
        const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
        const holder = new DataTransfer();
        holder.items.add(new File([bytes], name));
        const rest = { bubbles: true, cancelable: true };
        const event = kind === "drop"
            ? new DragEvent("drop", { dataTransfer: holder, ...rest })
            : new ClipboardEvent("paste", { clipboardData: holder, ...rest });
        document.querySelector("h1").dispatchEvent(event);
    }"""

    def give(page: "Page", photo: Path) -> None:
        page.evaluate(script, [kind, photo.name, base64.b64encode(photo.read_bytes()).decode()])

    return give


def test_photos_are_taken_as_soon_as_the_page_is_there(page: "Page", address: str, photo: Path) -> None:
    """Even where the program, at work, has not said yet what its model is."""
    page.route("**/model", lambda route: None)
    page.goto(address)
    given("drop")(page, photo)
    said(page, "photo.png", "160 × 112, ")


@pytest.mark.parametrize("give", [chosen, given("drop"), given("paste")], ids=["chosen", "dropped", "pasted"])
def test_a_photo_is_saved_as_upscale_makes_it(
    page: "Page", address: str, photo: Path, give: Callable[..., None]
) -> None:
    page.goto(address)
    give(page, photo)
    said(page, "photo.png", "160 × 112, ")
    assert saved(page) == ("photo-x4.png", upscaled(photo))
    assert "photo.png: 40 × 28 → 160 × 112, " in page.locator("#summary").inner_text()
    assert "100.00 % of its values" in page.locator("#summary").inner_text()


def test_what_is_set_is_what_is_made_and_another_sample_has_the_next_seed(
    page: "Page", address: str, photo: Path
) -> None:
    page.goto(address)
    page.get_by_text("Settings").click()
    page.get_by_label("Steps").select_option("2")
    page.get_by_label("Fidelity").select_option("0.5")
    page.get_by_label("Format").select_option("webp")
    page.get_by_label("Seed").fill("3")
    chosen(page, photo)
    words = ("--steps", "2", "--fidelity", "0.5")
    said(page, "photo.png", ", steps 2, fidelity 0.5, seed 3, as webp")
    page.locator("#save").wait_for()
    assert saved(page) == ("photo-x4.webp", upscaled(photo, "webp", *words, "--seed", "3"))
    page.get_by_role("button", name="Another sample").click()
    said(page, "photo.png", ", steps 2, fidelity 0.5, seed 4, as webp")
    page.locator("#save").wait_for()
    assert saved(page) == ("photo-x4.webp", upscaled(photo, "webp", *words, "--seed", "4"))
    assert page.get_by_label("Seed").input_value() == "4"


# ------------------------------------------------------------------------------------------------- the slider


def test_the_slider_parts_photo_and_result_by_keys_and_by_mouse(
    page: "Page", address: str, photo: Path
) -> None:
    page.goto(address)
    chosen(page, photo)
    page.locator("#save").wait_for()
    pair, slider = page.locator("#pair"), page.locator("#split")
    slider.focus()
    page.keyboard.press("End")
    before = screen(pair)
    page.keyboard.press("Home")
    after = screen(pair)
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert slider.input_value() == "3"
    box = pair.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 60, steps=4)
    assert float(slider.input_value()) == pytest.approx(60, abs=0.2)
    assert divided(screen(pair), before, after, 0.6)
    page.mouse.move(box["x"] + 2 * box["width"], box["y"] - 50, steps=4)  # beyond its edge
    page.mouse.up()
    assert slider.input_value() == "100"
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 50)  # let go
    assert slider.input_value() == "100"


def test_actual_pixels_are_those_of_the_file(page: "Page", address: str, photo: Path) -> None:
    page.goto(address)
    chosen(page, photo)
    page.locator("#save").wait_for()
    page.get_by_role("button", name="Actual pixels").click()
    page.locator("#split").focus()
    page.keyboard.press("Home")
    Path("saved.png").write_bytes(saved(page)[1])
    seen, made = screen(page.locator("#pair")), np.asarray(Image.open("saved.png"))
    assert np.array_equal(seen[:, LINE:], made[:, LINE:])


def test_the_slider_shows_that_it_has_the_focus(page: "Page", address: str, photo: Path) -> None:
    page.goto(address)
    chosen(page, photo)
    page.locator("#save").wait_for()
    page.locator("#frame").focus()
    before = screen(page.locator("#pair"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "split"
    changed = np.abs(screen(page.locator("#pair")).astype(int) - before).sum(2) > 30
    assert changed.any(1).all()  # along its whole line


# ------------------------------------------------------------------------------------------ what can go wrong


def test_what_a_result_cannot_say_is_shown_beneath_it(page: "Page", address: str) -> None:
    tags = [(42113, 2, None, "0", True)]
    tifffile.imwrite("scene.tif", scene(28, 40, 0), photometric="rgb", extratags=tags)
    page.goto(address)
    chosen(page, Path("scene.tif").absolute(), drawn("photo.png"))
    said(page, "scene.tif", ", with a warning")
    said(page, "photo.png", " s")
    item(page, "scene.tif").locator(".show").click()
    told = "Warning: only results in TIFF say where they lie and what is missing; choose TIFF as the format."
    assert page.locator("#warning").inner_text() == told
    item(page, "photo.png").locator(".show").click()
    assert page.locator("#warning").is_hidden()


def test_a_broken_file_says_one_line_and_can_be_tried_again_or_removed(page: "Page", address: str) -> None:
    Path("bad.png").write_bytes(b"not a picture")
    line = "bad.png: not a picture; PNG, JPEG, WebP, BMP, GIF and TIFF can be read"
    page.goto(address)
    chosen(page, Path("bad.png").absolute())
    assert said(page, "bad.png", line).inner_text() == line
    assert not page.locator("#save").is_visible()
    page.get_by_role("button", name="Refine again").click()
    page.locator("#list li.failed").nth(1).wait_for()
    for _ in range(2):
        page.get_by_role("button", name="Remove bad.png").first.click()
    assert page.locator("#list li").count() == 0
    assert not page.locator("#viewer").is_visible()


def test_what_failed_for_its_settings_is_tried_again_with_others(page: "Page", address: str) -> None:
    tifffile.imwrite("field.tif", np.random.default_rng(0).random((20, 24, 3), np.float32), photometric="rgb")
    page.goto(address)
    chosen(page, Path("field.tif").absolute())
    said(page, "field.tif", "field-x4.png: PNG cannot hold float pixels; use .tiff")
    page.get_by_text("Settings").click()
    page.get_by_label("Format").select_option("tiff")
    page.get_by_role("button", name="Refine again").click()
    page.locator("#save").wait_for()
    assert saved(page) == ("field-x4.tiff", upscaled(Path("field.tif").absolute(), "tiff"))


def test_a_setting_that_cannot_be_is_shown_and_nothing_is_sent(
    page: "Page", address: str, photo: Path
) -> None:
    page.goto(address)
    page.get_by_text("Settings").click()
    page.get_by_label("Seed").fill("-1")
    page.get_by_text("Settings").click()
    chosen(page, photo)
    assert page.get_by_label("Seed").is_visible()
    assert page.locator("#list li").count() == 0


def test_a_program_that_has_ended_is_told(page: "Page", said: list[str], photo: Path) -> None:
    with serving("--no-browser") as (process, address):
        page.goto(address)
        interrupt(process)
        chosen(page, photo)
        line = "the program does not answer; is it still running?"
        item(page, "photo.png").get_by_text(line, exact=True).wait_for()
    assert all("ERR_CONNECTION_REFUSED" in text for text in said)
    said.clear()


# --------------------------------------------------------------------------------------------- several photos


def gone(address: str, key: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}jobs/{key}"):
            return False
    except urllib.error.HTTPError as error:
        return error.code == 404


def keys(page: "Page") -> list[str]:
    """Of the photos that the page asks about from now on."""
    found: list[str] = []

    def heard(request: "Request") -> None:
        key = request.url.partition("/jobs/")[2]
        if key and "/" not in key and key not in found:
            found.append(key)

    page.on("request", heard)
    return found


def wait_until(page: "Page", holds: Callable[[], bool]) -> None:
    for _ in range(600):
        if holds():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it is not so after a minute")


def test_photos_are_refined_in_turn_and_one_that_is_removed_is_not(page: "Page", address: str) -> None:
    page.goto(address)
    sent = keys(page)
    photos = [drawn("large.png", 200, 300), drawn("b.png", seed=1), drawn("c.png", seed=2)]
    chosen(page, *photos)
    assert page.locator("#list .name").all_inner_texts() == ["large.png", "b.png", "c.png"]
    said(page, "c.png", "waiting, 2 before it")
    said(page, "large.png", " %")
    page.get_by_role("button", name="Remove large.png").click()
    for name in ("b", "c"):
        said(page, f"{name}.png", "160 × 112")
        item(page, f"{name}.png").locator(".show").click()
        assert saved(page) == (f"{name}-x4.png", upscaled(Path(f"{name}.png").absolute()))
    assert page.locator("#list .name").all_inner_texts() == ["b.png", "c.png"]
    wait_until(page, lambda: [gone(address, key) for key in sent] == [True, False, False])


def test_the_longer_a_photo_waits_the_less_is_asked(page: "Page", address: str, photo: Path) -> None:
    """With a program that never comes to an end."""
    asked, numbers = list[str](), itertools.count(1)

    def answer(route: "Route") -> None:
        key = route.request.url.partition("/jobs/")[2]
        asked.append(key)
        if key:
            route.fulfill(json={"state": "waiting", "ahead": int(key) ** 2 - 1})  # 0, 3, 8
        else:
            route.fulfill(status=201, json={"key": str(next(numbers))})

    page.route("**/jobs?*", answer)
    page.route("**/jobs/*", answer)
    page.goto(address)
    for number in (1, 2, 3):
        chosen(page, photo)
        wait_until(page, lambda number=number: page.locator("#list li").count() == number)
    asked.clear()
    page.wait_for_timeout(6000)
    first, second, third = (asked.count(key) for key in "123")
    assert first > 2 * second > 2 * third > 0


def test_a_photo_is_small_in_the_list(page: "Page", address: str) -> None:
    photo = drawn("photo.png", 224, 112)
    page.goto(address)
    chosen(page, photo)
    canvas = page.locator("#list canvas")
    canvas.wait_for()
    data = canvas.evaluate("canvas => canvas.toDataURL()")
    small = np.asarray(Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))).convert("RGB"))
    own = Image.open(photo).resize((56, 112), Image.Resampling.BOX)
    assert small.shape == (112, 56, 3)
    assert np.abs(small - np.asarray(own, float)).mean() < 2  # another filter than the browser's


def test_photos_are_forgotten_when_the_page_is_left(page: "Page", address: str, photo: Path) -> None:
    page.goto(address)
    sent = keys(page)
    chosen(page, photo)
    page.locator("#save").wait_for()
    assert [gone(address, key) for key in sent] == [False]
    page.goto("about:blank")
    wait_until(page, lambda: gone(address, sent[0]))
