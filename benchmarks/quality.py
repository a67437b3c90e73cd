"""What a number of network calls buys on a folder: distortion, perception, faithfulness and seconds.

    python benchmarks/quality.py --high DIR [--low DIR] [--perceptual DIR] [--calls 1 2 4 8 16]
    python benchmarks/quality.py ... --model photo-x4 mine=runs/mine --regression regression=runs/regression
    python benchmarks/quality.py ... --no-consistent                  # rows without projection besides
    python benchmarks/quality.py ... --set sampling.fidelity=0.5      # any field of the models' methods
    python benchmarks/quality.py ... --published Set5                 # somebody else's numbers on that set

Prints a table and with `--json FILE` writes its numbers.  `refinesr evaluate` measures as papers do, with
intervals; this table is of our models' choices, in the conventions printed below it.
"""

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import shared

from refinesr.evaluate.depths import Levels
from refinesr.evaluate.image_metrics import Case, Metric, psnr_metric, ssim_metric, y
from refinesr.evaluate.pairs import LoadedPair
from refinesr.evaluate.protocols import SR3_NATURAL, SRDIFF_GENERAL, Published
from refinesr.evaluate.upscalers import Upscaler
from refinesr.images.eight_bits import resize_eight_bits
from refinesr.images.resize import PillowBicubic

CONVENTIONS = (
    "low-resolution images: of --low, else by Pillow's bicubic from pictures cut to a multiple of the scale",
    "bicubic: Pillow's; results rounded to 8 bits; means over pictures",
    "PSNR-Y and SSIM-Y (11 x 11 Gaussian): of MATLAB's Y, not rounded, `scale` pixels of border cut",
    "LPIPS-like: LPIPS 0.1's linear layers on Caffe's SqueezeNet 1.1, not the published LPIPS; low is good",
    "LR-PSNR and agreement: the result reduced by Pillow's bicubic in 8 bits against the low one, RGB: "
    "of the mean squared error over all pictures, inf if every value is equal; the share of equal values",
    "seconds a picture, of `refinesr.upscale`: reading, writing and measuring left out",
)


def imdn(psnr_y: float, perceptual: float, lr_psnr: float) -> Published:
    """Hui et al. 2019, 0.7 M parameters: what regression reaches."""
    source = (
        "Hui et al. 2019, arXiv 1909.11856, results of the published network measured in these conventions"
    )
    besides = f"; LR-PSNR as the mean of decibels, not comparable with the column: {lr_psnr}"
    return Published("IMDN, regression", source + besides, {"psnr_y": psnr_y, "perceptual": perceptual})


PUBLISHED = {
    "Set5": imdn(32.21, 0.107, 55.0),
    "Set14": imdn(28.59, 0.184, 52.3),
    "BSD100-first-40": imdn(27.57, 0.221, 51.5),
    "Urban100-first-20": imdn(25.53, 0.169, 52.3),
}
"""x4, low by MATLAB's bicubic.  Rows of one set stand in its table; those below it are of other pictures."""

ELSEWHERE = (*SRDIFF_GENERAL.published, *SR3_NATURAL.published)

COLUMNS = {
    "psnr_y": ("PSNR-Y", "{:.2f}"),
    "ssim_y": ("SSIM-Y", "{:.4f}"),
    "perceptual": ("LPIPS-like", "{:.4f}"),
    "lr_psnr": ("LR-PSNR", "{:.1f}"),
    "agreement": ("agreement", "{:.3%}"),
    "seconds": ("seconds", "{:.2f}"),
}


@dataclass(frozen=True)
class Row:
    """Means over pictures; `published` says where numbers are from that were not measured here."""

    name: str
    scores: dict[str, float]
    published: str = ""

    @property
    def cells(self) -> list[str]:
        found = ((self.scores.get(key), form) for key, (_, form) in COLUMNS.items())
        numbers = ("" if value is None else form.format(value) for value, form in found)
        return [self.name + " (published)" * bool(self.published), *numbers]

    @property
    def facts(self) -> dict[str, Any]:
        return {"name": self.name, **self.scores, **({"published": self.published} if self.published else {})}


def main() -> None:
    args = arguments()
    made = shared.methods(args, not_projected=args.no_consistent)
    scale = shared.scale_of(made)
    metrics = (psnr_metric(y, scale), ssim_metric(y, scale), *shared.perceptual(args))
    pictures = shared.shown(args, scale)
    rows = [measured(name, maker, pictures, scale, metrics, args.seed) for name, maker in made.items()]
    rows += [Row(p.name, dict(p.metrics), p.source) for p in map(PUBLISHED.__getitem__, args.published)]
    text = shared.table(["", *(title for title, _ in COLUMNS.values())], [row.cells for row in rows])
    size = f"{len(pictures)} pictures, x{scale}, seed {args.seed}"
    title = ", ".join([f"{args.high}: {size}", *args.set])
    facts = {"rows": [row.facts for row in rows], "elsewhere": [vars(each) for each in ELSEWHERE]}
    shared.report(args, title, text, (*CONVENTIONS, *noted(rows)), **facts)


def arguments() -> argparse.Namespace:
    parser = shared.picture_parser(__doc__, calls=(1, 2, 4, 8, 16))
    parser.add_argument("--no-consistent", action="store_true", help="rows without projection besides")
    parser.add_argument("--published", nargs="+", default=[], choices=PUBLISHED, help="what --high is")
    return parser.parse_args()


def noted(rows: Sequence[Row]) -> list[str]:
    """Where published numbers are from, and those that belong into no row, for they are of other pictures."""
    here = dict.fromkeys(f"published: {row.name}: {row.published}" for row in rows if row.published)
    numbers = (
        (each, ", ".join(f"{key} {value:g}" for key, value in each.metrics.items())) for each in ELSEWHERE
    )
    return [
        *here,
        *(
            f"published, on other pictures, of RGB: {each.name} ({each.source}): {text}"
            for each, text in numbers
        ),
    ]


def measured(
    name: str,
    maker: Upscaler,
    pictures: Sequence[LoadedPair],
    scale: int,
    metrics: Sequence[Metric],
    seed: int,
) -> Row:
    found = [scored(maker, picture, scale, metrics, seed) for picture in pictures]
    means = {key: fmean(scores[key] for scores in found) for key in found[0]}
    error = means.pop("error")
    return Row(name, means | {"lr_psnr": -10 * math.log10(error) if error else math.inf})


def scored(
    maker: Upscaler, picture: LoadedPair, scale: int, metrics: Sequence[Metric], seed: int
) -> dict[str, float]:
    start = time.perf_counter()
    made = shared.result(maker, picture, scale, seed)
    seconds = time.perf_counter() - start
    case = Case.of(picture, [made])
    scores = {metric.key: metric.measure(case) for metric in metrics}
    return {**scores, **faithful(picture.low, made), "seconds": seconds}


def faithful(low: Levels, made: Levels) -> dict[str, float]:
    """The squared error of the reduced result, values in [0, 1], and the share of equal values."""
    again = resize_eight_bits(made, (low.shape[-2], low.shape[-1]), PillowBicubic())
    apart = (again.double() - low.double()) / 255
    return {"error": apart.square().mean().item(), "agreement": (apart == 0).double().mean().item()}


if __name__ == "__main__":
    main()
