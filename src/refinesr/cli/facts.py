"""Facts about a model and the cost of running it, without loading its weights into memory."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..config import to_data
from ..diffusion import diagnostics
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

INPUT_SIDE = 128
"""Pixels a side of the input that costs are counted for by default."""


@dataclass(frozen=True)
class Subject:
    """The model or recipe that a name stands for.

    `kind` is 'shipped model', 'file', 'recipe' or, in a cascade, 'stage'.
    """

    name: str
    kind: str
    method: Method
    card: Card


def subject_named(name: str) -> Subject:
    """The shipped model, model file or recipe called `name`.  Raises CheckpointError or ConfigError."""
    path = Path(name)
    if name.startswith(PREFIX):
        return recipe_subject(name)
    if path.exists() or path.suffix or "/" in name:
        stage = load(name)
        return Subject(stage.card.name or path.name, "file", stage.method, stage.card)
    if name in shipped_names():
        stage = load(name)
        return Subject(name, "shipped model", stage.method, stage.card)
    if name in RECIPES:
        return recipe_subject(name)
    names = list(dict.fromkeys([*shipped_names(), *RECIPES]))
    hint = suggestion(name, names) or f"; there are {', '.join(names)}"
    raise CheckpointError(f"model: '{name}' is no shipped model, file, folder or recipe{hint}")


def recipe_subject(name: str) -> Subject:
    run = recipe_named(name)
    return Subject(run.name, "recipe", run.method, run.card)


@dataclass(frozen=True)
class Costs:
    """GFLOP of one network call, and of encoding the input once."""

    call: float
    encoder: float


@dataclass(frozen=True)
class Facts:
    """Facts about a model with one sampling, and what it costs for an input of `size`, (height, width)."""

    subject: Subject
    sampling: Sampling
    grid: Grid
    parameters: int
    costs: Costs
    size: tuple[int, int]

    @property
    def complaints(self) -> list[str]:
        """Problems of the noise levels that the model samples at."""
        problems = diagnostics.grid_findings(self.sampling.sampler, self.grid, self.subject.method.levels)
        label = self.sampling.label
        if label is not None:
            problems.append(
                f"the network is given {label}, not the label it was trained with: expect noise; grids "
                "that `refinesr search` finds use the trained one"
            )
        return problems

    @property
    def bias(self) -> diagnostics.Moments | None:
        """Mean and std of samples of Gaussian data (`diagnostics.MEAN`, `STD`) with the exact denoiser.

        None for models that do not estimate the posterior mean of a noisy x: regressions, distilled models
        and models trained with a perceptual loss.
        """
        method = self.subject.method
        if isinstance(method.precond, Blind) or isinstance(self.sampling.sampler, Renoised):
            return None
        if method.perception is not None:
            return None
        return diagnostics.result_moments(self.walk, self.grid)

    def walk(self, denoise: Denoiser, x: Images, grid: Grid, noise: Noise) -> Iterator[Images]:
        """The sampling, from a start of standard noise."""
        sampling = replace(self.sampling, mean=None)  # whose level need not be in the grid
        return sampling.estimates(denoise, sampling.temperature * x, grid, noise)

    @property
    def gflop(self) -> float:
        """Of one picture, without the overlaps of tiles."""
        return self.sampling.calls * self.costs.call + self.encodings * self.costs.encoder

    @property
    def encodings(self) -> int:
        return self.subject.method.encoder_runs(self.sampling, math.prod(self.size))

    def data(self) -> dict[str, Any]:
        """All facts, for JSON.

        `grid` is sigma, down to 0.  `reach` and `stride` are in input pixels; a null `reach` is unlimited.
        `bias` is for Gaussian data with the exact denoiser, in units of x0; null if unknown.
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
            "bias": bias and bias._asdict() | {"of_mean": diagnostics.MEAN, "of_std": diagnostics.STD},
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
        """All facts as text: (name, lines)."""
        yield from self.identity_lines()
        yield from self.method_lines()
        yield from self.sampling_lines()
        yield from self.training_lines()

    def identity_lines(self) -> Iterator[tuple[str, list[str]]]:
        subject = self.subject
        yield "name", [f"{subject.name} ({subject.kind})"]
        if subject.kind == "shipped model" and subject.name in RECIPES:
            yield "recipe", [f"`refinesr info {PREFIX}{subject.name}` describes the recipe of this name"]
        if subject.card.summary:
            yield "summary", [subject.card.summary]

    def method_lines(self) -> Iterator[tuple[str, list[str]]]:
        method = self.subject.method
        yield "scale", [f"{method.scale}, {method.channels} channels"]
        if method.span is not None:
            yield "span", [f"{method.span}: values in files that are -1 and 1 to the network"]
        yield "parameters", [f"{self.parameters / 1e6:.2f} M"]
        yield "network", [str(method.network)]
        yield "condition", [str(method.source)]
        yield "predicts", [f"{method.precond} of {method.target}, loss |error|**{method.p}"]
        yield "label", [str(method.label)]
        also = [f"also by {more}" for more in (method.rollout, method.perception) if more is not None]
        yield "trained at", [f"{method.levels}, {method.spread}", *also]
        reach = "the whole tile" if method.reach is None else f"{method.reach} pixels of the input"
        yield "reach", [reach]

    def sampling_lines(self) -> Iterator[tuple[str, list[str]]]:
        sampling = self.sampling
        guided = f"guidance {sampling.guidance:g}" if sampling.guidance != 1 else ""
        consistent = f"consistent with the input by {sampling.consistent}" if sampling.consistent else ""
        clipped = "clipped" if sampling.clip else ""
        temperature = f"temperature {sampling.temperature:g}" if sampling.temperature != 1 else ""
        fidelity = f"fidelity {sampling.fidelity:g}" if sampling.fidelity else ""
        if sampling.fidelity and sampling.mean is not None:
            fidelity += f", mean estimated at sigma {sampling.mean:g}"
        ensemble = f"mean of {sampling.orientations} orientations" if sampling.orientations > 1 else ""
        changes = filter(None, (guided, clipped, consistent, temperature, fidelity, ensemble))
        estimates = f"estimates: {'; '.join(changes) or 'unchanged'}"
        yield "sampling", [f"{sampling.sampler}, {grid_name(sampling.grid)}", estimates]
        yield "steps", [f"{sampling.steps}: {counted(sampling.calls, 'call')} of the network"]
        yield "sigma", [levels_text(self.grid.tolist())]
        yield "gamma", [levels_text(gamma_of(self.grid).tolist())]
        yield "check", self.complaints or ["no problems found"]
        yield "bias", self.bias_lines()
        times = "once" if self.encodings == 1 else f"{self.encodings} times"
        cost = f"{self.costs.call:.1f} GFLOP a call and {self.costs.encoder:.1f} {times}, to encode"
        yield "cost", [f"{cost}, for {sizes_text(self.size, self.subject.method.scale)}"]

    def bias_lines(self) -> list[str]:
        if (bias := self.bias) is None:
            return [f"none: {self.why_no_bias()}"]
        came = f"would come out as mean {bias.mean:.3f}, std {bias.std:.3f}"
        return [
            f"Gaussian data of mean {diagnostics.MEAN:.2f} and std {diagnostics.STD:.2f} {came}",
            "(in units of what is diffused, where images are in [-1, 1]; perfect network, no clipping)",
        ]

    def why_no_bias(self) -> str:
        method = self.subject.method
        if method.perception is not None:
            return "with a perceptual loss a network does not estimate the mean"
        student = isinstance(self.sampling.sampler, Renoised)
        return "a distilled model is no denoiser" if student else "a regression does not depend on the noise"

    def training_lines(self) -> Iterator[tuple[str, list[str]]]:
        card = self.subject.card
        for name in ("data", "training", "figures"):
            if lines := getattr(card, name):
                yield name, list(lines)
        unknown = "no weights, no licence" if self.subject.kind == "recipe" else "not stated"
        yield "licence", [card.licence or unknown]


def facts(
    subject: Subject, steps: int | None = None, size: tuple[int, int] = (INPUT_SIDE, INPUT_SIDE)
) -> Facts:
    """The facts, for an input of `size`; `steps` replaces the model's own number of steps.

    Raises ConfigError for `steps` that the grid does not allow.
    """
    sampling = subject.method.sampling
    if steps is not None:
        sampling = replace(sampling, steps=steps)
    with torch.device("meta"):
        model = subject.method.build()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    counts = costs(model, subject.method, size)
    return Facts(subject, sampling, sampling.levels(), parameters, counts, size)


def costs(model: Model, method: Method, size: tuple[int, int] = (INPUT_SIDE, INPUT_SIDE)) -> Costs:
    """Counted on the meta device, which infers shapes and computes nothing."""
    high = [method.scale * side for side in size]
    low = torch.empty(1, method.channels + method.source.planes, *size, device="meta")
    base = torch.empty(1, method.channels, *high, device="meta")
    # upsampling costs next to nothing, and cannot run on the meta device
    model.source.__dict__["base"] = lambda low: base
    with torch.no_grad():
        encoder = gflop(lambda: model.condition(low))
        denoise = model.denoiser(low)
        return Costs(gflop(lambda: denoise(base, torch.tensor(1.0, dtype=torch.float64))), encoder)


def gflop(work: Callable[[], object]) -> float:
    """GFLOP of matrix products and convolutions; a multiply-add counts as 2, as in PyTorch."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops()) / 1e9


def sizes_text(size: tuple[int, int], scale: int) -> str:
    """Such as "128 x 96 -> 512 x 384 pixels", width first; `size` is (height, width)."""
    height, width = size
    return f"{width} x {height} -> {scale * width} x {scale * height} pixels"
