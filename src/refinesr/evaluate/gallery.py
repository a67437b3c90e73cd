"""Crops side by side: for each picture the square in which methods differ most."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from refinesr.evaluate.bands import display_convention
from refinesr.evaluate.crops import (
    SIDE,
    Colours,
    CropBox,
    check_size,
    difference_map,
    integer_scale,
    load_picture,
    lossless_uri,
    most_different_square,
    thumbnail_uri,
)
from refinesr.evaluate.evaluation import ImageScores
from refinesr.evaluate.plots import tag
from refinesr.evaluate.saved_report import DISTORTION, PERCEPTION, SavedReport

MAX_PICTURES = 24
"""Pictures that are shown, at most."""

MAX_BYTES = 7 * 2**20
"""All crops together, at most; the page is then under 8 MiB."""


def gallery(report: SavedReport) -> str:
    """A section with as many pictures as there is room for, those that methods differ most on first."""
    shown: list[str] = []
    size = 0
    for image in ranked_images(report):
        if len(shown) == MAX_PICTURES:
            break
        figure = article(report, image)
        if figure is None:
            continue
        size += len(figure.encode())
        if size > MAX_BYTES:
            break
        shown.append(figure)
    if not shown:
        return ""
    return (
        tag("section", tag("h2", "Crops") + tag("p", selection_text(report, len(shown))) + "".join(shown))
        + COMPARE_DIALOG
    )


def selection_text(report: SavedReport, shown: int) -> str:
    """How the pictures were chosen."""
    key, count = ranking_metric(report), len(report.images)
    several = len(report.methods) > 1
    chosen = "All pictures" if shown == count else f"{shown} of {count} pictures"
    if key is not None:
        title = escape(report.metrics[key].title)
        chosen += f", those {'between whose methods' if several else 'in which'} {title} "
        chosen += "differs most first" if several else "is worst first"
    part = "the methods differ most" if several else "the method is furthest from the truth"
    way = display_convention(report.span)
    seen = f" For the eye, {way}." if way in report.conventions else ""
    return (
        f"{chosen}. Each crop is the square of at most {SIDE} px in which {part}. "
        f"Choose one to enlarge it and to compare it with another by a slider.{seen}"
    )


def ranking_metric(report: SavedReport) -> str | None:
    """The metric that pictures are ranked by: a perceptual one where pictures have one."""
    measured = {key for image in report.images for scores in image.scores.values() for key in scores}
    return next(
        (key for key in report.metrics_starting_with((*PERCEPTION, *DISTORTION)) if key in measured), None
    )


def ranked_images(report: SavedReport) -> list[ImageScores]:
    """By the largest difference between methods, or from the worst number if there is one method only."""
    if (key := ranking_metric(report)) is None:
        return list(report.images)

    def rank(image: ImageScores) -> float:
        found = [scores[key] for scores in image.scores.values() if key in scores]
        if not (finite := [score for score in found if math.isfinite(score)]):
            return -math.inf
        if len(report.methods) > 1:
            return max(finite) - min(finite)
        return report.metrics[key].better.loss(finite[0]) or 0.0

    return sorted(report.images, key=rank, reverse=True)  # equal ones as they come


@dataclass(frozen=True)
class GalleryImage:
    """What there is of one picture; of the methods those whose result is there."""

    image: ImageScores
    truth: Colours | None
    input: Colours | None
    results: dict[str, Colours]

    @property
    def reference(self) -> Colours:
        return next(iter(self.results.values())) if self.truth is None else self.truth


def load_images(report: SavedReport, image: ImageScores) -> GalleryImage | None:
    """Raises InputError for a picture of another size than the report's."""
    results, pictures = dict[str, Colours](), report.folder / "pictures"

    def found(folder: str) -> Colours | None:
        return load_picture(pictures / folder, image.name, span=report.span)

    for method in report.methods:
        name = f"{report.folder}: {image.name} by {method.name}"
        if (result := check_size(found(method.name), image.size, name)) is not None:
            results[method.name] = result
    if not results:
        return None
    truth = check_size(found("high"), image.size, f"{image.name}: the truth")
    return GalleryImage(image, truth, found("low"), results)


def article(report: SavedReport, image: ImageScores) -> str | None:
    """One picture's figures, or None if no result of it is there."""
    there = load_images(report, image)
    if there is None:
        return None
    scale = integer_scale(there.reference.shape, there.input)
    box, _ = most_different_square(difference_map(list(there.results.values()), there.truth), step=scale or 4)
    tiles = "".join(figures(report, there, box, scale))
    height, width = image.size
    place = f"{box.side} px from ({box.left}, {box.top}) of {width} × {height}"
    title = tag("h3", escape(image.name) + tag("small", place))
    head = tag("div", framed_thumbnail(there, box) + title, class_="head")
    return tag("article", head + tag("div", tiles, class_="tiles")) + "\n"


def figures(report: SavedReport, there: GalleryImage, box: CropBox, scale: int | None) -> Iterator[str]:
    name = there.image.name
    if there.truth is not None:
        yield tile(name, "truth", "", box.of(there.truth))
    if there.input is not None and scale is not None:
        yield tile(name, "input", f"enlarged {scale} times", box.downscaled(scale).of(there.input))
    for method, result in there.results.items():
        yield tile(name, method, score_text(report, there.image, method), box.of(result))


def tile(name: str, what: str, caption: str, pixels: Colours) -> str:
    """A crop that can be chosen."""
    picture = (
        f'<img src="{lossless_uri(pixels)}" alt="{escape(f"{name}, {what}")}" width="{SIDE}" height="{SIDE}">'
    )
    button = tag("button", picture, type="button", data_what=what)
    small = tag("small", escape(caption)) if caption else ""
    return tag("figure", button + tag("figcaption", tag("b", escape(what)) + small))


def framed_thumbnail(there: GalleryImage, box: CropBox) -> str:
    """The picture small, with a frame round the crop."""
    height, width = there.reference.shape[:2]
    place = {"left": box.left / width, "top": box.top / height}
    place |= {"width": box.side / width, "height": box.side / height}
    style = ";".join(f"{key}:{100 * share:.2f}%" for key, share in place.items())
    alt = escape(f"{there.image.name}, the whole picture")
    picture = f'<img src="{thumbnail_uri(there.reference)}" alt="{alt}" width="{width}" height="{height}">'
    return tag("div", picture + tag("span", style=style), class_="framed")


def score_text(report: SavedReport, image: ImageScores, method: str) -> str:
    """Its distortion and its perceptual distance, as far as pictures have them."""
    found = image.scores.get(method, {})
    keys = [
        next((key for key in report.metrics_starting_with(kind) if key in found), None)
        for kind in (DISTORTION, PERCEPTION)
    ]
    parts = []
    for key in keys:
        if key is not None:
            metric = report.metrics[key]
            decimals = 2 if metric.unit == "dB" else 3
            parts.append(f"{metric.title} {found[key]:.{decimals}f}".replace("inf", "∞"))
    return " · ".join(parts)


COMPARE_DIALOG = """
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
