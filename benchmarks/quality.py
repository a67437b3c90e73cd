"""What a number of network calls buys: PSNR, perceptual distance, faithfulness and seconds, on a folder.

    python benchmarks/quality.py --high DIR [--low DIR] [--perceptual DIR] [--calls 1 2 4 8 16]

Conventions: low is `--low` (same order of names) or high reduced by Pillow's bicubic; PSNR is of MATLAB's Y
with `scale` pixels of border cut, of 8-bit results; LR-PSNR and agreement compare the result, reduced by
Pillow's bicubic, with low (RGB, 8 bit).  The perceptual distance is LPIPS-like (SqueezeNet), see
refinesr/metrics/perceptual.py; its weights are in the folder given.  Seconds are those of `refinesr.upscale`
an image, reading and writing files left out.
"""

import argparse
import json
import math
import time
from argparse import RawDescriptionHelpFormatter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

import refinesr
from refinesr.config import override
from refinesr.images.io import pictures_in
from refinesr.metrics.perceptual import Perceptual
from refinesr.metrics.pixel import luma, psnr


@dataclass(frozen=True)
class Row:
    name: str
    psnr_y: float
    perceptual: float | None
    lr_psnr: float
    agreement: float
    seconds: float


def main() -> None:
    args = arguments()
    model = refinesr.load(args.model)
    model = replace(model, method=override(model.method, *args.set))
    pairs = [pair(path, low, model.method.scale) for path, low in zip(*folders(args), strict=True)]
    distance = Perceptual(args.perceptual) if args.perceptual else None
    rows = [measured("bicubic", pairs, lambda low: bicubic(low, model.method.scale), distance)]
    for calls in args.calls:

        def restore(low: Image.Image, steps: int = calls) -> Image.Image:
            return refinesr.upscale(model, low, steps=steps, seed=args.seed, precision=args.precision)

        rows.append(measured(f"{args.model}, {counted(calls)}", pairs, restore, distance))
    Console().print(table(rows, f"{args.high} ({len(pairs)} pictures)"))
    if args.json:
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--high", type=Path, required=True)
    parser.add_argument("--low", type=Path)
    parser.add_argument("--model", default="photo-x4")
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--perceptual", type=Path, help="folder with squeezenet11.npz and the linear layers")
    parser.add_argument("--set", action="append", default=[], metavar="sampling.sampler=DPM2M")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def counted(calls: int) -> str:
    return "1 call" if calls == 1 else f"{calls} calls"


def folders(args: argparse.Namespace) -> tuple[list[Path], list[Path | None]]:
    high = pictures_in(args.high)
    return high, list(pictures_in(args.low)) if args.low else [None] * len(high)


def pair(path: Path, low: Path | None, scale: int) -> tuple[Image.Image, Image.Image]:
    """(high, low), high cut to a multiple of scale."""
    high = Image.open(path).convert("RGB")
    width, height = (side // scale for side in high.size)
    high = high.crop((0, 0, scale * width, scale * height))
    if low:
        return high, Image.open(low).convert("RGB")
    return high, high.resize((width, height), Image.Resampling.BICUBIC)


def bicubic(low: Image.Image, scale: int) -> Image.Image:
    return low.resize((scale * low.width, scale * low.height), Image.Resampling.BICUBIC)


def measured(name, pairs, restore, distance) -> Row:  # type: ignore[no-untyped-def]
    """Means over the pictures; LR-PSNR of the mean error, since one exact picture has an infinite one."""
    rows = []
    for high, low in pairs:
        start = time.perf_counter()
        result = restore(low)
        seconds = time.perf_counter() - start
        one, other = tensor(high), tensor(result)
        again = np.array(result.resize(low.size, Image.Resampling.BICUBIC), dtype=float) - np.array(low)
        rows.append(
            (
                psnr(luma(one), luma(other), border=high.width // low.width).item(),
                distance(one, other).item() if distance else math.nan,
                (again**2).mean(),
                (again == 0).mean(),
                seconds,
            )
        )
    y, perceptual, error, agreement, seconds = (fmean(column) for column in zip(*rows, strict=True))
    lr_psnr = 10 * math.log10(255**2 / error) if error else math.inf
    return Row(name, y, perceptual if distance else None, lr_psnr, agreement, seconds)


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def table(rows: list[Row], title: str) -> Table:
    made = Table("", "PSNR-Y", "LPIPS-like", "LR-PSNR", "agreement", "seconds", title=title)
    for row in rows:
        distance = "" if row.perceptual is None else f"{row.perceptual:.4f}"
        kept = f"{row.lr_psnr:.1f}", f"{row.agreement:.2%}"
        made.add_row(row.name, f"{row.psnr_y:.2f}", distance, *kept, f"{row.seconds:.2f}")
    return made


if __name__ == "__main__":
    main()
