"""Pages in a Chromium, used as people use them: run by `make browser`.

A page that says anything on the console, or asks another host for anything, fails its test.
"""

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    """Fails where there is none: who asks for these tests wants them to run."""
    if find_spec("playwright") is None:
        pytest.fail("playwright is not there: pip install -e '.[browser]'", pytrace=False)
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.fail(f"there is no Chromium: none of {', '.join(NAMES)} is on the PATH", pytrace=False)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def said() -> list[str]:
    """What `page` says on the console, and what its scripts throw; a test may expect it, and clear it."""
    return []


@pytest.fixture
def asked() -> list[str]:
    """Addresses that `page` asks for; likewise."""
    return []


@pytest.fixture
def page(chromium: "Browser", said: list[str], asked: list[str]) -> Iterator["Page"]:
    context = chromium.new_context(viewport={"width": 1000, "height": 900})
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    context.close()
    assert said == []
    assert {urlsplit(url).hostname for url in asked} <= {None, "127.0.0.1"}, asked
