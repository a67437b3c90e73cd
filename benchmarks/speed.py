"""What 512 x 512 pixels cost: seconds, GFLOP, parameters and memory of our networks, SRDiff's and SR3's.

    python benchmarks/speed.py --threads 2 [--precision fp32 bf16] [--repeats 5] [--json speed.json]
    python benchmarks/speed.py --only shipped srdiff --no-memory      # rows whose names hold one of these
    python benchmarks/speed.py --device cuda

All rows are timed in one run on one machine, in turns: each repetition times every row once.  Ratios are
taken within a repetition, so that what slows the machine down for a while slows both sides of them.
"""

import json
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

import shared
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import refinesr
from refinesr.devices import autocast_dtype, device_named, move_to
from refinesr.recipes import METHODS
from refinesr.stage import Stage

CONVENTIONS = (
    "one picture without tiles, x4; sr3-64-512 is x8: as large a result out of a smaller picture",
    "seconds: of networks alone, the encoder once + calls x the network; where fewer calls are timed than "
    "made, theirs are multiplied",
    "times ours: seconds / those of default-size photo-x4 at 4 calls in the same precision and turn; median",
    "upscale: least seconds of refinesr.upscale, projection and rounding included, where all calls are timed",
    "GFLOP: of convolutions, matrix products and attention of all calls; a multiply-add is 2",
    "peak: of a fresh process that loads the network and runs the encoder and up to two calls, Python and "
    "PyTorch included; on a GPU, what tensors take there",
    "weights are fresh but for the shipped model's, for speed does not depend on them; bf16 is autocast, "
    "weights are kept in float32",
)

ALL = 8
"""Up to so many calls all are timed."""


@dataclass(frozen=True)
class Candidate:
    """A network and the calls it is timed with."""

    name: str
    build: Callable[[], Stage]
    calls: tuple[int, ...]


def fresh(recipe: str) -> Stage:
    return Stage(METHODS[recipe], METHODS[recipe].build())


OURS = "photo-x4, default size"
CANDIDATES = (
    Candidate("photo-x4, shipped", partial(refinesr.load, "photo-x4"), (1, 2, 4, 8)),
    Candidate(OURS, partial(fresh, "photo-x4"), (1, 2, 4, 8)),
    Candidate("regression", partial(fresh, "regression"), (1,)),
    Candidate("srdiff-df2k-x4", partial(fresh, "srdiff-df2k-x4"), (100,)),
    Candidate("sr3-64-512", partial(fresh, "sr3-64-512"), (100,)),
)


@dataclass(frozen=True, eq=False)
class Work:
    """A network on a device, in a precision, with a picture to enlarge."""

    stage: Stage
    low: Tensor
    x: Tensor
    precision: str

    @staticmethod
    def of(stage: Stage, side: int, precision: str, device: torch.device) -> "Work":
        move_to(stage.model.eval(), device)
        rng = torch.Generator().manual_seed(0)
        small, channels = side // stage.scale, stage.method.channels
        low = torch.rand(1, channels, small, small, generator=rng) * 2 - 1
        x = torch.randn(1, channels, small * stage.scale, small * stage.scale, generator=rng)
        return Work(stage, low.to(device), x.to(device), precision)

    @torch.no_grad()
    def run(self, calls: int) -> tuple[float, float]:
        """Seconds of the encoder, and of all calls."""
        autocast = autocast_dtype(self.precision, self.low.device)
        levels = self.stage.method.sampling.levels()
        start = self.clock()
        denoise = self.stage.tiled_denoiser(self.low, 0, autocast)
        encoded = self.clock()
        for number in range(calls):
            denoise(self.x, levels[number % (len(levels) - 1)])
        return encoded - start, self.clock() - encoded

    def seconds(self, calls: int, timed: int) -> float:
        """Of the encoder and so many calls, of which `timed` are made."""
        encoder, made = self.run(timed)
        return encoder + made * calls / timed

    def upscale(self, calls: int) -> float:
        """Seconds from an image to an image."""
        image = ((self.low[0] + 1) * 127.5).byte().permute(1, 2, 0).cpu().numpy()
        device = self.low.device.type
        start = self.clock()
        refinesr.upscale(self.stage, image, steps=calls, tile=0, device=device, precision=self.precision)
        return self.clock() - start

    def clock(self) -> float:
        """Seconds, when everything asked for is done."""
        if self.low.device.type != "cpu":
            torch.accelerator.synchronize(self.low.device)
        return time.perf_counter()

    def flop(self, calls: int) -> int:
        """Of the encoder and so many calls."""
        encoder, both = flop(partial(self.run, 0)), flop(partial(self.run, 1))
        return encoder + (both - encoder) * calls


def flop(work: Callable[[], object]) -> int:
    """Attention as two products of matrices: its fused kernel on a CPU is not in PyTorch's list."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


@dataclass
class Row:
    """A network with a number of calls in a precision; lists have a number for each repetition."""

    name: str
    calls: int
    precision: str
    timed_calls: int
    parameters: int
    gflop: float
    seconds: list[float] = field(default_factory=list)
    upscale: list[float] = field(default_factory=list)
    ratio: float | None = None
    peak_bytes: int | None = None

    def time(self, work: Work) -> None:
        self.seconds.append(work.seconds(self.calls, self.timed_calls))
        if self.timed_calls == self.calls:
            self.upscale.append(work.upscale(self.calls))

    @property
    def cells(self) -> list[str]:
        whole = f"{min(self.upscale):.2f}" if self.upscale else ""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        peak = "" if self.peak_bytes is None else f"{self.peak_bytes / 2**20:.0f}"
        millions, gflop = f"{self.parameters / 1e6:.2f}", f"{self.gflop:.{self.gflop < 100:d}f}"
        timed = f"{self.timed_calls} of {self.calls}"
        times = f"{min(self.seconds):.2f}", f"{median(self.seconds):.2f}"
        return [self.name, self.precision, timed, millions, gflop, *times, ratio, whole, peak]


HEAD = (
    *("", "precision", "calls timed", "M parameters", "GFLOP"),
    *("seconds, least", "median", "times ours", "upscale", "peak MiB"),
)


def main() -> None:
    args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    device = device_named(args.device)
    if args.peak:
        print(json.dumps(peak(chosen(args.peak)[0], args.side, args.precision[0], device)))
        return
    rows = timed(chosen(*args.only), args, device)
    text = shared.table(HEAD, [row.cells for row in rows])
    size, threads = f"{args.side} x {args.side} pixels", f"{torch.get_num_threads()} threads"
    title = f"{size}, {device.type}, {threads}, {args.repeats} turns"
    facts = {"side": args.side, "device": str(device), "rows": [vars(row) for row in rows]}
    shared.report(args, title, text, CONVENTIONS, **facts)


def arguments() -> Namespace:
    parser = shared.parser(__doc__)
    parser.add_argument("--threads", type=int, help="of a CPU; default: PyTorch's choice")
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--timed-calls", type=int, default=2, help=f"in rows of more than {ALL} calls")
    parser.add_argument("--only", nargs="+", default=[""], metavar="NAME", help="rows whose names hold this")
    parser.add_argument("--side", type=int, default=512, help="of the result in pixels")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--peak", help="print the bytes of one network alone, for a parent that measures all")
    return parser.parse_args()


def chosen(*names: str) -> list[Candidate]:
    """ValueError if none is called so."""
    found = [candidate for candidate in CANDIDATES if any(name in candidate.name for name in names)]
    if not found:
        raise ValueError(f"--only: none of {', '.join(each.name for each in CANDIDATES)} is called {names}")
    return found


def timed(candidates: Sequence[Candidate], args: Namespace, device: torch.device) -> list[Row]:
    """Memory first, in processes of their own, while this one is small."""
    peaks = {} if args.no_memory else dict(peaks_of(candidates, args))
    pairs: list[tuple[Row, Work]] = []
    for candidate in candidates:
        stage = candidate.build()
        for precision in args.precision:
            work = Work.of(stage, args.side, precision, device)
            pairs += [(row, work) for row in rows_of(candidate, work, args.timed_calls)]
    for turn in range(1, args.repeats + 1):
        for row, work in pairs:
            print(f"turn {turn} of {args.repeats}: {row.name}, {row.precision}, {row.calls}", file=sys.stderr)
            row.time(work)
    rows = [row for row, _ in pairs]
    for row in rows:
        row.ratio, row.peak_bytes = ratio(row, rows), peaks.get((row.name, row.precision))
    return rows


def rows_of(candidate: Candidate, work: Work, timed_calls: int) -> Iterator[Row]:
    """Counting runs the network, which warms it up as well."""
    parameters = sum(weight.numel() for weight in work.stage.model.parameters())
    for calls in candidate.calls:
        made = calls if calls <= ALL else min(calls, timed_calls)
        yield Row(candidate.name, calls, work.precision, made, parameters, work.flop(calls) / 1e9)


def ratio(row: Row, rows: Sequence[Row]) -> float | None:
    """To ours at 4 calls; None if that was not timed."""
    for ours in rows:
        if (ours.name, ours.calls, ours.precision) == (OURS, 4, row.precision):
            return median(a / b for a, b in zip(row.seconds, ours.seconds, strict=True))
    return None


def peaks_of(candidates: Sequence[Candidate], args: Namespace) -> Iterator[tuple[tuple[str, str], int]]:
    """By name and precision."""
    for candidate in candidates:
        for precision in args.precision:
            asked: dict[str, Any] = {"peak": candidate.name, "precision": precision, "side": args.side}
            asked |= {"device": args.device, "threads": torch.get_num_threads()}
            options = [f"--{name}={value}" for name, value in asked.items()]
            command = [sys.executable, __file__, *options]
            told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            yield (candidate.name, precision), json.loads(told)


def peak(candidate: Candidate, side: int, precision: str, device: torch.device) -> int:
    """Bytes that this process, or what it has on a GPU, comes to."""
    Work.of(candidate.build(), side, precision, device).run(min(2, *candidate.calls))
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else shared.peak()


if __name__ == "__main__":
    main()
