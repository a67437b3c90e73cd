"""A contact sheet: crops of pictures side by side, as methods make them, with numbers of each crop.

    python benchmarks/contact.py --high DIR -o sheet.png [--low DIR] [--perceptual DIR] [--limit 8]
    python benchmarks/contact.py --high DIR -o sheet.webp --crop 1025469:120,64 --crop 159550:300,200,64
    python benchmarks/contact.py ... --model photo-x4 --calls 1 4 8 --regression regression=runs/regression

Columns: the low-resolution image in its own pixels, bicubic, regression models, models in each number
of calls, the original.  Rows: the crops given (NAME:LEFT,TOP or NAME:LEFT,TOP,SIDE in pixels of the picture),
or of each picture the square that lies farthest from its bicubic enlargement: where most was lost.  Prints
the numbers that stand under the crops; `--json FILE` writes them.
"""

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import shared
import torch
from PIL import Image, ImageDraw

from refinesr.errors import InputError
from refinesr.evaluate.crops import SIDE, Colours, CropBox, difference_map, most_different_square, rgb_array
from refinesr.evaluate.difference_sheet import GAP, TEXT, draw_text_line
from refinesr.evaluate.image_metrics import Case, Metric, psnr_metric, y
from refinesr.evaluate.pairs import LoadedPair
from refinesr.evaluate.upscalers import Upscaler, interpolations
from refinesr.images.io import write as saved
from refinesr.images.picture import Picture
from refinesr.images.resize import PillowBicubic

CONVENTIONS = (
    "low-resolution images: those of --low, else by Pillow's bicubic; results rounded to 8 bits",
    "crops are enlarged by the nearest pixel, and measured alone, without a border cut: PSNR of MATLAB's Y",
    "LPIPS-like: LPIPS 0.1's linear layers on Caffe's SqueezeNet 1.1, not the published LPIPS; low is good",
)

INPUT, TRUTH = "input", "truth"
FORMS = {"psnr_y": "{:.2f} dB", "perceptual": "{:.3f}"}
WORDS = {"psnr_y": "PSNR-Y of the crop", "perceptual": "LPIPS-like distance, low is good"}


@dataclass(frozen=True)
class Crop:
    """A square of a picture."""

    name: str
    box: CropBox

    @staticmethod
    def of(text: str, side: int) -> "Crop":
        """NAME:LEFT,TOP or NAME:LEFT,TOP,SIDE.  Raises InputError."""
        name, _, place = text.rpartition(":")
        numbers = [int(number) for number in place.split(",") if number.strip().isdecimal()]
        if not name or len(numbers) not in (2, 3) or len(numbers) != place.count(",") + 1:
            raise InputError(f"--crop: '{text}' is not NAME:LEFT,TOP or NAME:LEFT,TOP,SIDE")
        left, top, *own = numbers
        return Crop(name, CropBox(top, left, own[0] if own else side))

    @property
    def text(self) -> str:
        return f"{self.name}:{self.box.left},{self.box.top},{self.box.side}"


@dataclass(frozen=True, eq=False)
class Row:
    """A crop by every method, and the numbers of each."""

    crop: Crop
    cells: Mapping[str, Colours]
    scores: Mapping[str, Mapping[str, float]]


def main() -> None:
    args = arguments()
    columns = shared.methods(args)
    scale = shared.scale_of(columns)
    columns = {INPUT: interpolations(PillowBicubic())["nearest"], **columns}
    pictures = {picture.name: picture for picture in shared.shown(args, scale)}
    metrics = (psnr_metric(y), *shared.perceptual(args))
    given = [Crop.of(text, args.side) for text in args.crop]
    crops = checked(given, pictures) if given else [detailed(each, args.side) for each in pictures.values()]
    rows = list(made(crops, pictures, columns, scale, metrics, args.seed))
    saved(Picture(sheet(rows, args.zoom)), args.output, quality=100)
    report(args, rows, metrics)
    print(f"\n{args.output}")


def arguments() -> Namespace:
    parser = shared.picture_parser(__doc__, calls=(1, 4, 8))
    parser.add_argument("-o", "--output", type=Path, required=True, help="PNG or WebP")
    parser.add_argument("--crop", action="append", default=[], metavar="NAME:LEFT,TOP[,SIDE]")
    parser.add_argument("--side", type=int, default=SIDE, help="of crops, in pixels of the good picture")
    parser.add_argument("--zoom", type=int, default=2, help="pixels of the sheet for one of a crop, a side")
    return parser.parse_args()


# ------------------------------------------------------------------------------ which crops


def detailed(picture: LoadedPair, side: int) -> Crop:
    """The square in which bicubic enlarging is farthest from the truth; always the same one."""
    scale = picture.high.shape[-1] // picture.low.shape[-1]
    plain = interpolations(PillowBicubic())["bicubic"].upscaled(picture.low, scale)
    box, _ = most_different_square(
        difference_map([rgb_array(picture.high), rgb_array(plain)]), side, step=scale
    )
    return Crop(picture.name, box)


def checked(crops: Sequence[Crop], pictures: Mapping[str, LoadedPair]) -> Sequence[Crop]:
    """Raises InputError for what lies in no picture."""
    for crop in crops:
        if crop.name not in pictures:
            raise InputError(f"--crop: no picture is called '{crop.name}'; there are {', '.join(pictures)}")
        height, width = pictures[crop.name].high.shape[-2:]
        box = crop.box
        if box.side < 1 or box.left + box.side > width or box.top + box.side > height:
            raise InputError(f"--crop: {crop.text} lies outside the picture, {width} x {height} pixels")
    return crops


# ------------------------------------------------------------------------------ what is in them


def made(
    crops: Sequence[Crop],
    pictures: Mapping[str, LoadedPair],
    columns: Mapping[str, Upscaler],
    scale: int,
    metrics: Sequence[Metric],
    seed: int,
) -> Iterator[Row]:
    """Whole pictures are restored, each once."""
    results: dict[str, dict[str, torch.Tensor]] = {}
    for crop in crops:
        picture = pictures[crop.name]
        if crop.name not in results:
            makers = columns.items()
            results[crop.name] = {name: shared.result(each, picture, scale, seed) for name, each in makers}
        parts = {name: part(image, crop.box) for name, image in results[crop.name].items()}
        truth = LoadedPair(picture.name, part(picture.high, crop.box), picture.low)
        scores = {name: scored(truth, image, metrics) for name, image in parts.items()}
        yield Row(
            crop, {name: rgb_array(image) for name, image in {**parts, TRUTH: truth.high}.items()}, scores
        )


def part(image: torch.Tensor, box: CropBox) -> torch.Tensor:
    return image[..., box.top : box.top + box.side, box.left : box.left + box.side]


def scored(truth: LoadedPair, image: torch.Tensor, metrics: Sequence[Metric]) -> dict[str, float]:
    case = Case.of(truth, [image])
    return {metric.key: value for metric in metrics if (value := metric.measure(case)) is not None}


# ------------------------------------------------------------------------------ how it is shown


def sheet(rows: Sequence[Row], zoom: int) -> Colours:
    """Columns' names, rows of crops over their numbers and where they are from, and what that is."""
    names = list(rows[0].cells)
    width = zoom * max(row.crop.box.side for row in rows)
    heights = [zoom * row.crop.box.side + TEXT + GAP for row in rows]
    size = GAP + len(names) * (width + GAP), 2 * (GAP + TEXT) + sum(heights)
    page = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(page)
    for column, name in enumerate(names):
        left, top = GAP + column * (width + GAP), GAP + TEXT
        draw_text_line(draw, (left, GAP), name, width)
        for row, height in zip(rows, heights, strict=True):
            side = zoom * row.crop.box.side
            tile = Image.fromarray(np.ascontiguousarray(row.cells[name]))
            page.paste(tile.resize((side, side), Image.Resampling.NEAREST), (left, top))
            draw_text_line(draw, (left, top + side), label(row, name), width)
            top += height
    draw_text_line(draw, (GAP, page.height - GAP - TEXT), legend(rows[0]), page.width - 2 * GAP)
    return np.array(page)


def legend(row: Row) -> str:
    numbers = ", ".join(WORDS[key] for key in row.scores[INPUT])
    return f"under crops: {numbers}; under the truth: NAME:LEFT,TOP,SIDE in its pixels"


def label(row: Row, name: str) -> str:
    """The numbers under a crop, or the place of the truth."""
    numbers = row.scores.get(name, {})
    return ", ".join(FORMS[key].format(value) for key, value in numbers.items()) if numbers else row.crop.text


def report(args: Namespace, rows: Sequence[Row], metrics: Sequence[Metric]) -> None:
    names = list(rows[0].scores)
    lines = [[row.crop.text, *(label(row, name) for name in names)] for row in rows]
    means = {
        name: {each.key: fmean(row.scores[name][each.key] for row in rows) for each in metrics}
        for name in names
    }
    mean = Row(Crop("mean", CropBox(0, 0, 0)), {}, means)
    lines.append(["mean", *(label(mean, name) for name in names)])
    found = [{"crop": row.crop.text, "scores": row.scores} for row in rows]
    title = f"{args.high}: {len(rows)} crops, seed {args.seed}"
    shared.report(args, title, shared.table(["", *names], lines), CONVENTIONS, rows=found)


if __name__ == "__main__":
    main()
