"""What is to be known of a model, and what it costs, without its weights taking memory."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..config import to_data
from ..diffusion import doctor
from ..diffusion.precond import Blind
from ..diffusion.samplers import Renoised
from ..diffusion.schedule import gamma_of
from ..errors import CheckpointError
from ..method import Method, Sampling
from ..model import Model
from ..recipes import RECIPES
from ..shapes import Denoiser, Grid, Images, Noise
from ..shipped import load, shipped_names
from ..stage import Card
from .grids import grid_name, levels_text
from .messages import counted
from .recipes import PREFIX, recipe_named, suggestion

SIDE = 128
"""Pixels a side of the input that costs are counted for, if none is given."""


@dataclass(frozen=True)
class Found:
    """What a name stands for: `kind` is 'shipped model', 'file' or 'recipe'."""

    name: str
    kind: str
    method: Method
    card: Card


def found(name: str) -> Found:
    """Raises CheckpointError or ConfigError if the name stands for nothing."""
    path = Path(name)
    if name.startswith(PREFIX):
        return of_recipe(name)
    if path.exists() or path.suffix or "/" in name:
        stage = load(name)
        return Found(stage.card.name or path.name, "file", stage.method, stage.card)
    if name in shipped_names():
        stage = load(name)
        return Found(name, "shipped model", stage.method, stage.card)
    if name in RECIPES:
        return of_recipe(name)
    names = list(dict.fromkeys([*shipped_names(), *RECIPES]))
    hint = suggestion(name, names) or f"; there are {', '.join(names)}"
    raise CheckpointError(f"model: '{name}' is no shipped model, file, folder or recipe{hint}")


def of_recipe(name: str) -> Found:
    run = recipe_named(name)
    return Found(run.name, "recipe", run.method, run.card)


@dataclass(frozen=True)
class Costs:
    """GFLOP of each call, and of encoding the input once."""

    call: float
    encoder: float


@dataclass(frozen=True)
class Facts:
    subject: Found
    sampling: Sampling
    grid: Grid
    parameters: int
    costs: Costs
    size: tuple[int, int]
    """(height, width) of the input that costs are counted for."""

    @property
    def complaints(self) -> list[str]:
        found = doctor.findings(self.sampling.sampler, self.grid, self.subject.method.levels)
        label = self.sampling.label
        if label is not None:
            found.append(
                f"the network is told {label}, which is not what it was taught: expect noise; grids that "
                "`refinesr search` finds tell it what it was"
            )
        return found

    @property
    def bias(self) -> doctor.Moments | None:
        """What the sampling makes of data of `doctor.MEAN` and `doctor.STD`.

        None for a network that does not look at x, for a student, which says where a walk ends, and for one
        that has learnt looks: its answers are no means.
        """
        method = self.subject.method
        if isinstance(method.precond, Blind) or isinstance(self.sampling.sampler, Renoised):
            return None
        if method.perception is not None:
            return None
        return doctor.bias(self.walk, self.grid)

    def walk(self, denoise: Denoiser, x: Images, grid: Grid, noise: Noise) -> Iterator[Images]:
        """The sampling, from a start that is standard noise."""
        # exact denoisers of other levels than the grid's are not asked for
        return replace(self.sampling, mean=None).walk(denoise, self.sampling.temperature * x, grid, noise)

    @property
    def gflop(self) -> float:
        """Of one picture, without what tiles do twice."""
        return self.sampling.calls * self.costs.call + self.encodings * self.costs.encoder

    @property
    def encodings(self) -> int:
        return self.subject.method.encodings(self.sampling, math.prod(self.size))

    def data(self) -> dict[str, Any]:
        """For JSON.  `grid` is sigma, down to 0; `reach` and `stride` are in low pixels, null is all.

        `bias` is for Gaussian data with their exact denoiser, in the units of x0; null where it is unknown.
        """
        subject, method, bias = self.subject, self.subject.method, self.bias
        return {
            "name": subject.name,
            "kind": subject.kind,
            "parameters": self.parameters,
            "scale": method.scale,
            "method": to_data(method),
            "grid": self.grid.tolist(),
            "gamma": gamma_of(self.grid).tolist(),
            "complaints": self.complaints,
            "bias": bias and bias._asdict() | {"of_mean": doctor.MEAN, "of_std": doctor.STD},
            "steps": self.sampling.steps,
            "calls": self.sampling.calls,
            "gflop_per_call": self.costs.call,
            "gflop_encoder": self.costs.encoder,
            "gflop_input_size": list(self.size),
            "reach": method.reach,
            "stride": method.stride,
            "tile": method.tile,
            "licence": subject.card.licence,
            "card": asdict(subject.card),
        }

    def lines(self) -> Iterator[tuple[str, list[str]]]:
        """For people: (name, lines)."""
        yield from self.identity()
        yield from self.method()
        yield from self.work()
        yield from self.training()

    def identity(self) -> Iterator[tuple[str, list[str]]]:
        subject = self.subject
        yield "name", [f"{subject.name} ({subject.kind})"]
        if subject.kind == "shipped model" and subject.name in RECIPES:
            yield "recipe", [f"`refinesr info {PREFIX}{subject.name}` describes the recipe of this name"]
        if subject.card.summary:
            yield "summary", [subject.card.summary]

    def method(self) -> Iterator[tuple[str, list[str]]]:
        method = self.subject.method
        yield "scale", [f"{method.scale}, {method.channels} channels"]
        if method.span is not None:
            yield "span", [f"{method.span}: files' own numbers, which are -1 and 1 to the network"]
        yield "parameters", [f"{self.parameters / 1e6:.2f} M"]
        yield "network", [str(method.network)]
        yield "condition", [str(method.source)]
        yield "predicts", [f"{method.precond} of {method.target}, |error|**{method.p}"]
        yield "label", [str(method.label)]
        besides = [f"besides by {more}" for more in (method.rollout, method.perception) if more is not None]
        yield "trained at", [f"{method.levels}, {method.spread}", *besides]
        reach = "everything in its tile" if method.reach is None else f"{method.reach} low pixels"
        yield "sees", [reach]

    def work(self) -> Iterator[tuple[str, list[str]]]:
        sampling = self.sampling
        led = f"guidance {sampling.guidance:g}" if sampling.guidance != 1 else ""
        kept = f"consistent with the input by {sampling.consistent}" if sampling.consistent else ""
        done = "clipped" if sampling.clip else ""
        cool = f"temperature {sampling.temperature:g}" if sampling.temperature != 1 else ""
        mixed = f"fidelity {sampling.fidelity:g}" if sampling.fidelity else ""
        if sampling.fidelity and sampling.mean is not None:
            mixed += f" with the mean asked for at {sampling.mean:g}"
        turned = f"mean of {sampling.orientations} orientations" if sampling.orientations > 1 else ""
        around = "; ".join(word for word in (led, done, kept, cool, mixed, turned) if word) or "as they are"
        yield "sampling", [f"{sampling.sampler}, {grid_name(sampling.grid)}", f"estimates: {around}"]
        yield "steps", [f"{sampling.steps}: {counted(sampling.calls, 'call')} of the network"]
        yield "sigma", [levels_text(self.grid.tolist())]
        yield "gamma", [levels_text(gamma_of(self.grid).tolist())]
        yield "check", self.complaints or ["nothing odd"]
        yield "bias", self.predicted()
        often = "once" if self.encodings == 1 else f"{self.encodings} times"
        cost = f"{self.costs.call:.1f} GFLOP a call and {self.costs.encoder:.1f} {often}, to encode"
        yield "cost", [f"{cost}, for {enlarging(self.size, self.subject.method.scale)}"]

    def predicted(self) -> list[str]:
        if (bias := self.bias) is None:
            return [f"none: {self.unknown()}"]
        came = f"would come out as mean {bias.mean:.3f}, std {bias.std:.3f}"
        return [
            f"Gaussian data of mean {doctor.MEAN:.2f} and std {doctor.STD:.2f} {came}",
            "(of what is diffused, where images span -1 to 1; by a perfect network, nothing clipped)",
        ]

    def unknown(self) -> str:
        """Why no bias can be told."""
        method = self.subject.method
        if method.perception is not None:
            return "what is learnt by its looks is no mean"
        student = isinstance(self.sampling.sampler, Renoised)
        return "a student is no denoiser" if student else "a regression does not look at noise"

    def training(self) -> Iterator[tuple[str, list[str]]]:
        card = self.subject.card
        for name in ("data", "training", "figures"):
            if lines := getattr(card, name):
                yield name, list(lines)
        unknown = "no weights, no licence" if self.subject.kind == "recipe" else "not stated"
        yield "licence", [card.licence or unknown]


def facts(subject: Found, steps: int | None = None, size: tuple[int, int] = (SIDE, SIDE)) -> Facts:
    """Raises ConfigError for `steps` that the sampler's grid cannot have."""
    sampling = subject.method.sampling
    if steps is not None:
        sampling = replace(sampling, steps=steps)
    with torch.device("meta"):
        model = subject.method.build()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    counts = costs(model, subject.method, size)
    return Facts(subject, sampling, sampling.levels(), parameters, counts, size)


def costs(model: Model, method: Method, size: tuple[int, int] = (SIDE, SIDE)) -> Costs:
    """Counted on the meta device: shapes are followed, nothing is computed."""
    high = [method.scale * side for side in size]
    low = torch.empty(1, method.channels + method.source.planes, *size, device="meta")
    base = torch.empty(1, method.channels, *high, device="meta")
    # plain enlarging is not the network's work, and has no meta version
    model.source.__dict__["base"] = lambda low: base
    with torch.no_grad():
        encoder = gflop(lambda: model.condition(low))
        denoise = model.denoiser(low)
        return Costs(gflop(lambda: denoise(base, torch.tensor(1.0, dtype=torch.float64))), encoder)


def gflop(work: Callable[[], object]) -> float:
    """GFLOP of matrix products and convolutions, 2 for a multiplication with addition, as PyTorch counts."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops()) / 1e9


def enlarging(size: tuple[int, int], scale: int) -> str:
    """As people say it: width first."""
    height, width = size
    return f"{width} x {height} -> {scale * width} x {scale * height} pixels"
