"""An image of the crops in which two methods differ most: truth, A, B, and their difference."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from refinesr.errors import InputError
from refinesr.evaluate.comparison import ComparedMethod, Comparison
from refinesr.evaluate.crops import Colours, CropBox, difference_map, most_different_square
from refinesr.images.picture import Picture, format_size

MAX_ROWS = 8
"""Largest number of images shown."""

ZOOM = 3
GAP = 8
TEXT = 22
"""Magnification of crops, and pixels between crops and of a line of text."""

MAX_GAIN = 16
"""Largest factor by which differences are amplified for display."""


@dataclass(frozen=True, eq=False)
class DifferingCrops:
    """The crop in which two results differ most, and their mean difference there, in levels of 255."""

    name: str
    box: CropBox
    difference: float
    crops: tuple[Colours, ...]
    """Crops of the truth, if available, of A and of B."""


def differing_crops(match: Comparison) -> Iterator[DifferingCrops]:
    """One for each image, in order.  Raises InputError for results that are missing or of another size."""
    for name in match.names:
        a, b = (load_result(match.context, side, name) for side in (match.a, match.b))
        if a.shape != b.shape:
            sizes = " and ".join(format_size(picture.shape[:2]) for picture in (a, b))
            raise InputError(
                f"{match.context}: '{name}' is of {sizes} pixels; both results must be of one size"
            )
        box, difference = most_different_square(difference_map([a, b]))
        truth = match.truth(name)
        whole = [truth, a, b] if truth is not None and truth.shape == a.shape else [a, b]
        # copies, as a view would keep the whole image in memory
        yield DifferingCrops(name, box, difference, tuple(box.of(picture).copy() for picture in whole))


def load_result(place: str, side: ComparedMethod, name: str) -> Colours:
    picture = side.picture(name)
    if picture is None:
        raise InputError(
            f"{place}: there is no result of '{side.name}' for '{name}'; evaluate makes it again"
        )
    return picture


def most_different(found: Iterator[DifferingCrops], rows: int = MAX_ROWS) -> list[DifferingCrops]:
    """The images that differ most, the largest difference first; ties keep their order."""
    return heapq.nlargest(rows, found, key=lambda place: place.difference)


def draw_sheet(match: Comparison, shown: Sequence[DifferingCrops]) -> Picture:
    """The image: a row for each crop under the names of the columns."""
    gain = display_gain(shown)
    drawn = [draw_row(place, gain) for place in shown]
    height = sum(part.height for part in drawn) + TEXT + 2 * GAP
    page = Pillow.new("RGB", (max(part.width for part in drawn), height), "white")
    draw, titles = ImageDraw.Draw(page), [match.a.name, match.b.name, f"|A - B| x {gain}"]
    width = max(place.box.side for place in shown) * ZOOM
    columns = titles if len(shown[0].crops) == 2 else ["truth", *titles]
    for column, title in enumerate(columns):
        draw_text_line(draw, (GAP + column * (width + GAP), GAP), title, width)
    top = TEXT + GAP
    for part in drawn:
        page.paste(part, (0, top))
        top += part.height
    return Picture(np.array(page), name="comparison")


def display_gain(shown: Sequence[DifferingCrops]) -> int:
    """The integer factor that brings all but 0.2 % of the differences to at most 255."""
    values = np.concatenate([absolute_difference(place).ravel() for place in shown])
    return max(1, min(MAX_GAIN, int(255 / max(float(np.quantile(values, 0.998)), 1.0))))


def absolute_difference(place: DifferingCrops) -> Colours:
    a, b = (crop.astype(np.int16) for crop in place.crops[-2:])
    return np.asarray(np.abs(a - b), np.uint8)


def draw_row(place: DifferingCrops, gain: int) -> Pillow.Image:
    """Crops of one image, magnified by nearest-neighbour interpolation, above a line with their position."""
    tiles = [
        *place.crops,
        np.minimum(absolute_difference(place).astype(np.int32) * gain, 255).astype(np.uint8),
    ]
    height, width = (ZOOM * side for side in tiles[0].shape[:2])
    page = Pillow.new("RGB", (GAP + len(tiles) * (width + GAP), height + TEXT + GAP), "white")
    for column, tile in enumerate(tiles):
        enlarged = Pillow.fromarray(tile).resize((width, height), Pillow.Resampling.NEAREST)
        page.paste(enlarged, (GAP + column * (width + GAP), 0))
    box, text = place.box, f"at ({place.box.left}, {place.box.top}), {place.box.side} px"
    line = f"{place.name}  {text}, on average {place.difference:.1f} of 255 apart"
    draw_text_line(ImageDraw.Draw(page), (GAP, ZOOM * box.side), line, page.width - 2 * GAP)
    return page


def draw_text_line(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, width: int) -> None:
    """Draw one line of text, shortened to `width` pixels."""
    font = ImageFont.load_default(15)
    line = " ".join(text.split())
    while line and draw.textlength(line, font) > width:
        line = line[:-2] + "…" if len(line) > 2 else ""
    draw.text(place, line, "black", font)
