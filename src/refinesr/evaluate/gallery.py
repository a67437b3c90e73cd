"""The gallery of a page: for each image, the crop in which methods differ most, side by side."""

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
"""Largest number of images in the gallery."""

MAX_BYTES = 7 * 2**20
"""Largest total size of the crops, so that the page stays below 8 MiB."""


def gallery(report: SavedReport) -> str:
    """A section with as many images as fit, those on which methods differ most first."""
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
    """A sentence on how images and crops were chosen."""
    key, count = ranking_metric(report), len(report.images)
    several = len(report.methods) > 1
    chosen = "All pictures" if shown == count else f"{shown} of {count} pictures"
    if key is not None:
        title = escape(report.metrics[key].title)
        chosen += f", those {'between whose methods' if several else 'in which'} {title} "
        chosen += "differs most first" if several else "is worst first"
    part = "the methods differ most" if several else "the method is furthest from the truth"
    convention = display_convention(report.span)
    seen = f" For the eye, {convention}." if convention in report.conventions else ""
    return (
        f"{chosen}. Each crop is the square of at most {SIDE} px in which {part}. "
        f"Choose one to enlarge it and to compare it with another by a slider.{seen}"
    )


def ranking_metric(report: SavedReport) -> str | None:
    """The metric that images are ranked by: a perceptual one if available."""
    measured = {key for image in report.images for scores in image.scores.values() for key in scores}
    return next(
        (key for key in report.metrics_starting_with((*PERCEPTION, *DISTORTION)) if key in measured), None
    )


def ranked_images(report: SavedReport) -> list[ImageScores]:
    """Images by the largest difference between methods; with one method, the worst score first."""
    if (key := ranking_metric(report)) is None:
        return list(report.images)

    def rank(image: ImageScores) -> float:
        found = [scores[key] for scores in image.scores.values() if key in scores]
        if not (finite := [score for score in found if math.isfinite(score)]):
            return -math.inf
        if len(report.methods) > 1:
            return max(finite) - min(finite)
        return report.metrics[key].better.loss(finite[0]) or 0.0

    return sorted(report.images, key=rank, reverse=True)  # stable: ties keep their order


@dataclass(frozen=True)
class GalleryImage:
    """Pixels of an image: the truth and the input, if available, and the available results by method."""

    image: ImageScores
    truth: Colours | None
    input: Colours | None
    results: dict[str, Colours]

    @property
    def reference(self) -> Colours:
        return next(iter(self.results.values())) if self.truth is None else self.truth


def load_images(report: SavedReport, image: ImageScores) -> GalleryImage | None:
    """The pixels of an image; None without results.  Raises InputError for another size than the report's."""
    results, pictures = dict[str, Colours](), report.folder / "pictures"

    def load(folder: str) -> Colours | None:
        return load_picture(pictures / folder, image.name, span=report.span)

    for method in report.methods:
        name = f"{report.folder}: {image.name} by {method.name}"
        if (result := check_size(load(method.name), image.size, name)) is not None:
            results[method.name] = result
    if not results:
        return None
    truth = check_size(load("high"), image.size, f"{image.name}: the truth")
    return GalleryImage(image, truth, load("low"), results)


def article(report: SavedReport, image: ImageScores) -> str | None:
    """The HTML of one image; None without results."""
    loaded = load_images(report, image)
    if loaded is None:
        return None
    scale = integer_scale(loaded.reference.shape, loaded.input)
    box, _ = most_different_square(
        difference_map(list(loaded.results.values()), loaded.truth), step=scale or 4
    )
    tiles = "".join(figures(report, loaded, box, scale))
    height, width = image.size
    place = f"{box.side} px from ({box.left}, {box.top}) of {width} × {height}"
    title = tag("h3", escape(image.name) + tag("small", place))
    head = tag("div", framed_thumbnail(loaded, box) + title, class_="head")
    return tag("article", head + tag("div", tiles, class_="tiles")) + "\n"


def figures(report: SavedReport, loaded: GalleryImage, box: CropBox, scale: int | None) -> Iterator[str]:
    name = loaded.image.name
    if loaded.truth is not None:
        yield tile(name, "truth", "", box.of(loaded.truth))
    if loaded.input is not None and scale is not None:
        yield tile(name, "input", f"enlarged {scale} times", box.downscaled(scale).of(loaded.input))
    for method, result in loaded.results.items():
        yield tile(name, method, score_text(report, loaded.image, method), box.of(result))


def tile(name: str, what: str, caption: str, pixels: Colours) -> str:
    """A crop with its caption, as a button."""
    picture = (
        f'<img src="{lossless_uri(pixels)}" alt="{escape(f"{name}, {what}")}" width="{SIDE}" height="{SIDE}">'
    )
    button = tag("button", picture, type="button", data_what=what)
    small = tag("small", escape(caption)) if caption else ""
    return tag("figure", button + tag("figcaption", tag("b", escape(what)) + small))


def framed_thumbnail(loaded: GalleryImage, box: CropBox) -> str:
    """A thumbnail of the whole image with a frame around the crop."""
    height, width = loaded.reference.shape[:2]
    place = {"left": box.left / width, "top": box.top / height}
    place |= {"width": box.side / width, "height": box.side / height}
    style = ";".join(f"{key}:{100 * share:.2f}%" for key, share in place.items())
    alt = escape(f"{loaded.image.name}, the whole picture")
    picture = f'<img src="{thumbnail_uri(loaded.reference)}" alt="{alt}" width="{width}" height="{height}">'
    return tag("div", picture + tag("span", style=style), class_="framed")


def score_text(report: SavedReport, image: ImageScores, method: str) -> str:
    """The method's distortion and perceptual metric of this image, if available."""
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
