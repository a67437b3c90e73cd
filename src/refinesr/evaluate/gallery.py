"""Crops side by side: for each picture the square in which methods differ most."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from refinesr.evaluate.bands import shown_as
from refinesr.evaluate.crops import (
    SIDE,
    Colours,
    Square,
    differences,
    largest,
    lossless,
    picture_in,
    scale_of,
    sized,
    thumbnail,
)
from refinesr.evaluate.plots import tag
from refinesr.evaluate.reading import DISTORTION, PERCEPTION, Report
from refinesr.evaluate.running import Measured

PICTURES = 24
"""Pictures that are shown, at most."""

BYTES = 7 * 2**20
"""All crops together, at most; the page is then under 8 MiB."""


def gallery(report: Report) -> str:
    """A section with as many pictures as there is room for, those that methods differ most on first."""
    shown: list[str] = []
    size = 0
    for image in ranked(report):
        if len(shown) == PICTURES:
            break
        figure = row(report, image)
        if figure is None:
            continue
        size += len(figure.encode())
        if size > BYTES:
            break
        shown.append(figure)
    if not shown:
        return ""
    return tag("section", tag("h2", "Crops") + tag("p", told(report, len(shown))) + "".join(shown)) + ENLARGED


def told(report: Report, shown: int) -> str:
    """How the pictures were chosen."""
    key, count = judged_by(report), len(report.images)
    several = len(report.methods) > 1
    chosen = "All pictures" if shown == count else f"{shown} of {count} pictures"
    if key is not None:
        title = escape(report.metrics[key].title)
        chosen += f", those {'between whose methods' if several else 'in which'} {title} "
        chosen += "differs most first" if several else "is worst first"
    part = "the methods differ most" if several else "the method is furthest from the truth"
    way = shown_as(report.span)
    seen = f" For the eye, {way}." if way in report.conventions else ""
    return (
        f"{chosen}. Each crop is the square of at most {SIDE} px in which {part}. "
        f"Choose one to enlarge it and to compare it with another by a slider.{seen}"
    )


def judged_by(report: Report) -> str | None:
    """The metric that pictures are ranked by: a perceptual one where pictures have one."""
    measured = {key for image in report.images for scores in image.scores.values() for key in scores}
    return next((key for key in report.like((*PERCEPTION, *DISTORTION)) if key in measured), None)


def ranked(report: Report) -> list[Measured]:
    """By the largest difference between methods, or from the worst number if there is one method only."""
    if (key := judged_by(report)) is None:
        return list(report.images)

    def rank(image: Measured) -> float:
        found = [scores[key] for scores in image.scores.values() if key in scores]
        if not (finite := [score for score in found if math.isfinite(score)]):
            return -math.inf
        if len(report.methods) > 1:
            return max(finite) - min(finite)
        return report.metrics[key].better.loss(finite[0]) or 0.0

    return sorted(report.images, key=rank, reverse=True)  # equal ones as they come


@dataclass(frozen=True)
class Taken:
    """What there is of one picture; of the methods those whose result is there."""

    image: Measured
    truth: Colours | None
    input: Colours | None
    results: dict[str, Colours]

    @property
    def whole(self) -> Colours:
        return next(iter(self.results.values())) if self.truth is None else self.truth


def taken(report: Report, image: Measured) -> Taken | None:
    """Raises InputError for a picture of another size than the report's."""
    results, pictures = dict[str, Colours](), report.folder / "pictures"

    def found(folder: str) -> Colours | None:
        return picture_in(pictures / folder, image.name, span=report.span)

    for method in report.methods:
        name = f"{report.folder}: {image.name} by {method.name}"
        if (result := sized(found(method.name), image.size, name)) is not None:
            results[method.name] = result
    if not results:
        return None
    truth = sized(found("high"), image.size, f"{image.name}: the truth")
    return Taken(image, truth, found("low"), results)


def row(report: Report, image: Measured) -> str | None:
    """One picture's figures, or None if no result of it is there."""
    there = taken(report, image)
    if there is None:
        return None
    scale = scale_of(there.whole.shape, there.input)
    box, _ = largest(differences(list(there.results.values()), there.truth), step=scale or 4)
    tiles = "".join(figures(report, there, box, scale))
    height, width = image.size
    place = f"{box.side} px from ({box.left}, {box.top}) of {width} × {height}"
    title = tag("h3", escape(image.name) + tag("small", place))
    head = tag("div", whole(there, box) + title, class_="head")
    return tag("article", head + tag("div", tiles, class_="tiles")) + "\n"


def figures(report: Report, there: Taken, box: Square, scale: int | None) -> Iterator[str]:
    name = there.image.name
    if there.truth is not None:
        yield tile(name, "truth", "", box.of(there.truth))
    if there.input is not None and scale is not None:
        yield tile(name, "input", f"enlarged {scale} times", box.reduced(scale).of(there.input))
    for method, result in there.results.items():
        yield tile(name, method, scores(report, there.image, method), box.of(result))


def tile(name: str, what: str, caption: str, pixels: Colours) -> str:
    """A crop that can be chosen."""
    picture = (
        f'<img src="{lossless(pixels)}" alt="{escape(f"{name}, {what}")}" width="{SIDE}" height="{SIDE}">'
    )
    button = tag("button", picture, type="button", data_what=what)
    small = tag("small", escape(caption)) if caption else ""
    return tag("figure", button + tag("figcaption", tag("b", escape(what)) + small))


def whole(there: Taken, box: Square) -> str:
    """The picture small, with a frame round the crop."""
    height, width = there.whole.shape[:2]
    place = {"left": box.left / width, "top": box.top / height}
    place |= {"width": box.side / width, "height": box.side / height}
    style = ";".join(f"{key}:{100 * share:.2f}%" for key, share in place.items())
    alt = escape(f"{there.image.name}, the whole picture")
    picture = f'<img src="{thumbnail(there.whole)}" alt="{alt}" width="{width}" height="{height}">'
    return tag("div", picture + tag("span", style=style), class_="framed")


def scores(report: Report, image: Measured, method: str) -> str:
    """Its distortion and its perceptual distance, as far as pictures have them."""
    found = image.scores.get(method, {})
    keys = [
        next((key for key in report.like(kind) if key in found), None) for kind in (DISTORTION, PERCEPTION)
    ]
    parts = []
    for key in keys:
        if key is not None:
            metric = report.metrics[key]
            decimals = 2 if metric.unit == "dB" else 3
            parts.append(f"{metric.title} {found[key]:.{decimals}f}".replace("inf", "∞"))
    return " · ".join(parts)


ENLARGED = """
<dialog aria-label="two crops compared">
<div class="stage"><img class="right" alt=""><img class="left" alt=""><span class="cut"></span></div>
<input type="range" min="0" max="100" value="50" aria-label="where the left picture ends">
<form method="dialog">
<label>left <select name="left"></select></label>
<label>right <select name="right"></select></label>
<button>close</button>
</form>
</dialog>
"""
