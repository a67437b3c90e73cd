"""How to sample in so many network calls: sampler, levels, temperature, fidelity and projection, searched.

    python benchmarks/calls.py --high DIR --perceptual DIR [--model photo-x4] [--calls 1 2 4 8]
    python benchmarks/calls.py ... --together     # one rule for all numbers of calls

Pictures, noise and successive halving are those of `refinesr search`, which searches the levels alone.  From
the model's own sampling one choice at a time is changed, all its values tried, and the best kept, until none
is better.  What wins was chosen on these pictures: measure it on others, with `quality.py --set`.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import shared
import torch
from torch import Tensor

from refinesr.cli.grids import grid_name
from refinesr.config import to_data
from refinesr.devices import autocast_dtype, device_named, move_to
from refinesr.diffusion.samplers import DPM2M, Ancestral, Heun, Renoised, Sampler
from refinesr.diffusion.schedule import Karras
from refinesr.errors import ConfigError
from refinesr.method import Method, Sampling
from refinesr.metrics.perceptual import Perceptual
from refinesr.metrics.pixel import luma, psnr
from refinesr.search import SearchPlan, Trial, load_search_set, trained_range
from refinesr.search.trials import REDUCTION, Evaluator

CONVENTIONS = (
    "the middle of each picture, `--size` pixels; made small by the kernel that the model keeps",
    "results simply rounded to 8 bits; means over pictures",
    "PSNR-Y: of MATLAB's Y, not rounded, `scale` pixels of border cut",
    "LPIPS-like: LPIPS 0.1's linear layers on Caffe's SqueezeNet 1.1, not the published LPIPS; low is good",
    "front: no other of these ways in as few calls is better in one number and as good in the other",
)

SAMPLERS: tuple[Sampler, ...] = (Ancestral(1.0), Ancestral(0.5), Ancestral(0.0), DPM2M(), Heun(), Renoised())
LOWS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
HIGHS = (10.0, 20.0, 40.0, 80.0)
RHOS = (1.0, 2.0, 4.0, 7.0, 14.0)
TEMPERATURES = (0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)
FIDELITIES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)

LEAST = 1e-4
"""Of the perceptual distance: below that, nothing is better."""

Scored = Callable[[Sampling, int], float]
"""A rule and a number of pictures -> how bad it is."""


@dataclass(frozen=True, eq=False)
class Both:
    """The perceptual distance, by which ways of sampling are ordered; and PSNR-Y beside it."""

    perceptual: Perceptual
    border: int

    title: ClassVar[str] = "LPIPS-like"
    higher_is_better: ClassVar[bool] = False
    min_images: ClassVar[int] = 4

    def measure(self, high: Tensor, result: Tensor) -> Tensor:
        """(B, 2): distance, PSNR-Y."""
        y = psnr(luma(high.cpu()), luma(result.cpu()), border=self.border)
        return torch.stack((self.perceptual(high, result).cpu().double(), y.double()), 1)

    def score(self, rows: Tensor) -> tuple[float, Tensor]:
        return float(rows[:, 0].mean()), rows[:, 0]


@dataclass(frozen=True)
class Choices:
    """What may be chosen, around a rule: a `Sampling` whose steps follow from the calls it is given."""

    method: Method
    pinned: frozenset[str] = frozenset()

    def around(self, rule: Sampling) -> Iterator[Sampling]:
        """One choice changed, to each of its values."""
        for name, values in self.values(rule).items():
            if name not in self.pinned:
                yield from (replace(rule, **{name: value}) for value in values)

    def values(self, rule: Sampling) -> dict[str, list[object]]:
        kept = self.method.sampling.consistent
        return {
            "sampler": list(SAMPLERS),
            "grid": list(self.grids(rule)),
            "temperature": list(TEMPERATURES),
            "fidelity": list(FIDELITIES) if self.mixes(rule) else [],
            "consistent": [None, kept] if kept else [],
        }

    def grids(self, rule: Sampling) -> Iterator[Karras]:
        """Within the trained levels; around what is no `Karras` grid, such a one with its upper end."""
        span, first = trained_range(self.method), float(rule.grid.grid(rule.steps)[0])
        own = rule.grid if isinstance(rule.grid, Karras) else Karras(LOWS[1], min(first, span.highest))
        ends = [(low, own.high) for low in LOWS] + [(own.low, high) for high in HIGHS]
        for low, high in ends:
            if span.lowest <= low < high <= span.highest:
                yield Karras(low, high, own.rho)
        yield from (replace(own, rho=rho) for rho in RHOS)

    def mixes(self, rule: Sampling) -> bool:
        """Whether the posterior mean is estimated without an extra call."""
        return rule.mean is None and self.fits(replace(rule, fidelity=0.5))

    def fits(self, rule: Sampling) -> bool:
        try:
            replace(self.method, sampling=rule)
        except ConfigError:
            return False
        return True


def in_calls(rule: Sampling, calls: int) -> Sampling:
    """With as many steps as these calls allow, and without a mean that takes one more than there are."""
    fitting = [n for n in range(1, calls + 1) if replace(rule, steps=n).calls <= calls]
    if not fitting and rule.mean_calls and rule.fidelity < 1:
        return in_calls(replace(rule, fidelity=0.0), calls)
    return replace(rule, steps=max(fitting, default=1))


@dataclass(eq=False)
class Tried:
    """All that was measured, by number of calls and way of sampling."""

    evaluator: Evaluator
    found: dict[tuple[int, Sampling], Trial] = field(default_factory=dict)

    def scored(self, calls: Sequence[int]) -> Scored:
        """The mean over these numbers of calls."""

        def score(rule: Sampling, images: int) -> float:
            trials = [self.tried(rule, count, images) for count in calls]
            return sum(trial.score for trial in trials) / len(trials)

        return score

    def tried(self, rule: Sampling, calls: int, images: int) -> Trial:
        sampling = in_calls(rule, calls)
        known = self.found.get((calls, sampling))
        if known is None or known.images < images:
            *_, last = self.evaluator.evaluate(sampling, images)
            self.found[calls, sampling] = last.trial
        return self.found[calls, sampling]

    def numbers(self, sampling: Sampling, images: int) -> tuple[float, float]:
        """PSNR-Y and distance."""
        distance, y = torch.stack(self.evaluator.rows[sampling][:images]).mean(0).tolist()
        return y, distance

    def front(self, calls: int) -> list[Sampling]:
        """Of what was judged on all pictures, by falling PSNR-Y: what nothing beats in both numbers."""
        images = len(self.evaluator.held_out)
        whole = [
            way for (count, way), trial in self.found.items() if (count, trial.images) == (calls, images)
        ]
        front, best = [], math.inf
        for way in sorted(
            whole, key=lambda way: (-self.numbers(way, images)[0], self.numbers(way, images)[1])
        ):
            if self.numbers(way, images)[1] < best:
                best = self.numbers(way, images)[1]
                front.append(way)
        return front


def descended(
    start: Sampling, choices: Choices, rungs: Sequence[int], score: Scored, rounds: int
) -> Sampling:
    """The best that single changes lead to."""
    best = start
    for _ in range(rounds):
        near = list(dict.fromkeys(way for way in choices.around(best) if way != best))
        winner = halved(near, rungs, score)
        print(f"  {score(winner, rungs[-1]):.4f}  {described(winner)}", flush=True)
        if score(winner, rungs[-1]) > score(best, rungs[-1]) - LEAST:
            return best
        best = winner
    return best


def halved(ways: Sequence[Sampling], rungs: Sequence[int], score: Scored) -> Sampling:
    """The best of them on all pictures; on fewer before, the worse two thirds are given up."""
    left = list(ways)
    for images in rungs:
        left = sorted(left, key=lambda way: score(way, images))
        left = left[: math.ceil(len(left) / REDUCTION)]
    return left[0]


def described(way: Sampling) -> str:
    words = [str(way.sampler), grid_name(way.grid), f"temperature {way.temperature:g}"]
    words += [f"fidelity {way.fidelity:g}", "projected" if way.consistent else "not projected"]
    return ", ".join(words)


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads or torch.get_num_threads())
    name, stage = shared.loaded(args.model, *args.set)
    held = load_search_set(stage.method, args.high, limit=args.limit, size=args.size)
    device = device_named(args.device)
    move_to(stage.model, device)
    metric = Both(Perceptual(args.perceptual, device), stage.method.scale)
    plan, autocast = SearchPlan(1, seed=args.seed, batch=args.batch), autocast_dtype(args.precision, device)
    tried = Tried(Evaluator(stage, held, metric, plan, autocast))
    choices, own = Choices(stage.method, frozenset(args.keep)), stage.method.sampling
    best, rungs = {}, tried.evaluator.rungs
    for calls in [args.calls] if args.together else [[calls] for calls in args.calls]:
        score = tried.scored(calls)
        start = min([own, *best.values()], key=lambda way: score(way, rungs[-1]))  # or what fewer calls like
        print(f"{', '.join(map(shared.counted, calls))}: {score(start, rungs[-1]):.4f}", flush=True)
        found = descended(start, choices, rungs, score, args.rounds)
        best |= dict.fromkeys(calls, found)
        for share in FIDELITIES:  # the road from the sample to the mean
            if choices.fits(way := replace(found, fidelity=share)):
                score(way, rungs[-1])
    told(args, name, tried, best, own)


def told(args: argparse.Namespace, name: str, tried: Tried, best: dict[int, Sampling], own: Sampling) -> None:
    """Of each number of calls: the model's own way, the best, and the front."""
    images = len(tried.evaluator.held_out)
    rows, trials = [], []
    for calls, rule in best.items():
        tried.tried(own, calls, images)
        named = {"own": in_calls(own, calls), "best": in_calls(rule, calls)}
        for kind, way in [*named.items(), *(("front", way) for way in tried.front(calls))]:
            y, distance = tried.numbers(way, images)
            rows.append([f"{shared.counted(calls)}, {kind}", f"{y:.2f}", f"{distance:.4f}", described(way)])
    for (calls, way), trial in tried.found.items():
        y, distance = tried.numbers(way, trial.images)
        row = {"calls": calls, "sampling": to_data(way), "pictures": trial.images}
        trials.append(row | {"psnr_y": y, "perceptual": distance})
    text = shared.table(["", "PSNR-Y", "LPIPS-like", "sampling"], rows)
    title = f"{name}, {args.high}, {images} pictures of {tried.evaluator.held_out.high.shape[-1]} pixels"
    winners = {calls: to_data(in_calls(rule, calls)) for calls, rule in best.items()}
    shared.report(args, title, text, CONVENTIONS, best=winners, trials=trials, seed=args.seed)


def arguments() -> argparse.Namespace:
    parser = shared.parser(__doc__)
    parser.add_argument("--high", type=Path, required=True, help="folder of pictures not trained on")
    parser.add_argument(
        "--perceptual", type=Path, required=True, help="folder with squeezenet11.npz and so on"
    )
    parser.add_argument("--model", default="photo-x4", metavar="[NAME=]MODEL")
    parser.add_argument(
        "--set", action="append", default=[], metavar="sampling.steps=4", help="where to begin"
    )
    parser.add_argument(
        "--keep", nargs="+", default=[], metavar="FIELD", help="of Sampling, not to be changed"
    )
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--together", action="store_true", help="one rule, by the mean over --calls")
    parser.add_argument("--rounds", type=int, default=6, help="choices changed one after the other, at most")
    parser.add_argument("--limit", type=int, default=32, help="pictures")
    parser.add_argument("--size", type=int, default=128, help="pixels a side of their middle")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of the CPU; default: all")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
