"""User studies as one HTML file: two-alternative forced choice between originals and results.

Follows Saharia et al. 2022.  The file fetches nothing.  Each subject opens it anew: its script draws the
images, methods and sides at random.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from refinesr.errors import ConfigError, InputError
from refinesr.evaluate.answers import FORMAT
from refinesr.evaluate.crops import check_size, load_picture, lossless_uri
from refinesr.evaluate.document import document
from refinesr.evaluate.evaluation import ImageScores
from refinesr.evaluate.plots import tag
from refinesr.evaluate.questions import Task
from refinesr.evaluate.saved_report import SavedReport
from refinesr.images.picture import format_size

MAX_SIDE = 16383
"""Largest side of an image in pixels, a limit of WebP."""


@dataclass(frozen=True)
class Study:
    """A study: `trials` pairs for each subject, at most one per image, each shown for `seconds`."""

    report: SavedReport
    task: Task
    methods: tuple[str, ...]
    trials: int = 50
    seconds: float = 3.0

    def __post_init__(self) -> None:
        """Raises ConfigError for invalid settings, InputError for an unsuitable report."""
        if self.trials < 1:
            raise ConfigError(f"--trials: {self.trials} is not positive")
        if not 0 < self.seconds <= 3600:
            raise ConfigError(f"--seconds: {self.seconds:g} is not above 0, and an hour at most")
        if not self.methods:
            raise ConfigError(f"--methods: there is none in {self.report.folder} but the truth")
        there = methods_to_judge(self.report)
        for name in self.methods:
            if name not in there:
                raise ConfigError(f"--methods: '{name}' is not one of {', '.join(there)}")
        if twice := first_duplicate(self.methods):
            raise ConfigError(f"--methods: '{twice}' is given twice")
        if not self.report.images:
            raise InputError(f"{self.report.folder}: there are no pictures in the report")
        if twice := first_duplicate(image.name for image in self.report.images):
            raise InputError(f"{self.report.folder}: two pictures are called '{twice}'")

    def pictures(self) -> Iterator["StudyImage"]:
        """The report's images, read one by one.

        Raises InputError for an image that is missing or of another size than the report's.
        """
        return (study_image(self.report, image, self.methods, self.task) for image in self.report.images)

    def page(self, pictures: Sequence["StudyImage"]) -> str:
        """The HTML of the study, from all images that `pictures` yields."""
        settings: dict[str, Any] = {
            "task": self.task.name,
            "seconds": self.seconds,
            "trials": min(self.trials, len(pictures)),
            "methods": self.methods,
        }
        sums = [{"name": picture.name, "sha256": picture.sha256} for picture in pictures]
        name = hashlib.sha256(json.dumps(settings | {"images": sums}, sort_keys=True).encode()).hexdigest()
        images = [picture.data for picture in pictures]
        return study_html(self.task, settings | {"format": FORMAT, "study": name, "images": images})


def methods_to_judge(report: SavedReport) -> tuple[str, ...]:
    """Names of the report's methods except the truth."""
    return tuple(row.name for row in report.methods if row.kind != "truth")


def first_duplicate(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)


@dataclass(frozen=True)
class StudyImage:
    """An image in the page's format, `data`, and the checksum of the pixels of all its versions."""

    name: str
    data: dict[str, Any]
    sha256: str


def study_image(report: SavedReport, image: ImageScores, methods: Sequence[str], task: Task) -> StudyImage:
    """Read an image, its low-resolution image if shown, and the methods' results.  Raises InputError."""
    pictures, checksum = report.folder / "pictures", hashlib.sha256()

    def shown(folder: str, size: tuple[int, int] | None) -> str:
        name = f"{pictures / folder}: {image.name}"
        pixels = load_picture(pictures / folder, image.name, span=report.span)
        if pixels is None:
            raise InputError(f"{name}: is not there; refinesr evaluate makes it")
        if size is not None:
            check_size(pixels, size, name)
        if max(pixels.shape) > MAX_SIDE:
            raise InputError(
                f"{name}: is {format_size(pixels.shape[:2])}; {MAX_SIDE} pixels a side can be shown"
            )
        checksum.update(np.array(pixels.shape, "<i8").tobytes() + pixels.tobytes())
        return lossless_uri(pixels)

    height, width = image.size
    data = {"name": image.name, "width": width, "height": height, "truth": shown("high", image.size)}
    data["low"] = shown("low", None) if task.shows_low else None
    data["results"] = [shown(method, image.size) for method in methods]
    return StudyImage(image.name, data, checksum.hexdigest())


def study_html(task: Task, data: dict[str, Any]) -> str:
    body = "\n".join((introduction(task, data), trial(task), END))
    held = f'<script type="application/json" id="study">{script_json(data)}</script>\n'
    return document("Which image?", body, "study.css", ("draw.js", "study.js"), held)


def script_json(data: object) -> str:
    """JSON in ASCII without "<", so that no text in it can end the script element."""
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c")


def introduction(task: Task, data: dict[str, Any]) -> str:
    pairs = "one pair of images" if data["trials"] == 1 else f"{data['trials']} pairs of images"
    seconds = "one second" if data["seconds"] == 1 else f"{data['seconds']:g} seconds"
    middle = " Between the two stands the low resolution image, enlarged." if task.shows_low else ""
    steps = [
        f"You will see {pairs}.{middle}",
        f"A pair is shown for {seconds}. Then it is hidden, and you choose one of the two: click on its "
        "place, or press the left or the right arrow key. The next pair follows at once.",
        "If you are not sure, guess.",
        "Make the window as large as you can, and set the browser's zoom to 100 %.",
        "At the end you save your answers in a file. Nothing is sent anywhere, nothing else is asked.",
    ]
    listed = tag("ul", "".join(tag("li", text) for text in steps))
    parts = tag("h1", "Which image?") + tag("p", escape(task.question), class_="question") + listed
    narrow = '<p id="narrow" class="warning" hidden>The window is too small: images will be reduced.</p>'
    script = "<noscript><p>This page needs JavaScript.</p></noscript>"
    button = tag("button", "Begin", type="button", id="begin")
    return tag("section", parts + narrow + script + button, id="introduction")


def trial(task: Task) -> str:
    head = tag("p", escape(task.question), class_="question")
    left, right = (
        tag("button", f'<img alt="{side} image">', type="button", id=side, aria_label=f"{side} image")
        for side in ("left", "right")
    )
    middle = '<img id="low" alt="low resolution image">' if task.shows_low else ""
    row = tag("div", left + middle + right, class_="row")
    foot = tag("p", "", id="hint", role="status") + tag("p", "", id="progress")
    return f'<section id="trial" hidden>{head}{row}{foot}</section>'


END = """<section id="end" hidden>
<h1>Thank you</h1>
<p>Please save your answers, and give the file to whoever asked you. It holds what you chose and when, and a
random name.</p>
<p><a id="save" class="button">Save the answers</a> <button type="button" id="copy">Copy them</button>
<span id="copied" role="status"></span></p>
<textarea id="answers" readonly rows="12" spellcheck="false" aria-label="answers"></textarea>
</section>"""
