"""Peak memory of `refinesr upscale` by the size of the result: a process of its own for each.

    python benchmarks/memory.py [--tile 64] [--precision fp32]

Prints MiB at the peak (the program and its libraries included) and, from one size to the next, bytes for
every pixel more of the result.  Pictures are drawn.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import shared
from PIL import Image

SIDES = (256, 512, 1024)  # of the input; the result has 16 times the pixels: 1, 4 and 16 MiPixel


def main() -> None:
    parser = shared.parser(__doc__)
    parser.add_argument("--tile", default="64")
    parser.add_argument("--precision", default="fp32")
    args = parser.parse_args()
    peaks = {side: peak(side, "--tile", args.tile, "--precision", args.precision) for side in SIDES}
    rows, before = [], None
    for side, bytes_used in peaks.items():
        slope = "" if before is None else f"{(bytes_used - peaks[before]) / 16 / (side**2 - before**2):.0f}"
        rows.append([f"{4 * side} x {4 * side}", f"{bytes_used / 2**20:.0f}", slope])
        before = side
    text = shared.table(["result", "peak MiB", "bytes a pixel more"], rows)
    title, facts = f"refinesr upscale --tile {args.tile} --precision {args.precision}", {"bytes": peaks}
    shared.report(args, title, text, ("Python and PyTorch included",), **facts)


def peak(side: int, *options: str) -> int:
    """Bytes at the peak of one `refinesr upscale`; the largest child so far, so sizes have to ascend."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "drawn.png"
        Image.fromarray(waves(side)).save(picture)
        command = [sys.executable, "-m", "refinesr", "upscale", str(picture), *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return shared.most_of(resource.RUSAGE_CHILDREN)


def waves(side: int) -> np.ndarray:
    """(side, side, 3) uint8: waves of all lengths and directions."""
    row, column = np.mgrid[:side, :side] / side
    channels = [np.sin(40 * k * row * column + 9 * k * row) for k in (1, 2, 3)]
    return ((np.stack(channels, -1) + 1) * 127.5).astype(np.uint8)


if __name__ == "__main__":
    main()
