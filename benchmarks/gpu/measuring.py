"""How good a model is on held-out pictures in each number of calls, in batches: for choosing, not for papers.

PSNR-Y: of MATLAB's Y, `scale` pixels of border cut.  LPIPS-like: `refinesr.metrics.perceptual`.  Results are
simply rounded to 8 bits; pictures are the middles of files, made small as the search of grids does it.
"""

import itertools
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from refinesr.config import override
from refinesr.diffusion.noise import NoiseField
from refinesr.errors import ConfigError
from refinesr.method import Sampling
from refinesr.metrics.perceptual import Perceptual
from refinesr.metrics.pixel import luma, psnr
from refinesr.search import HeldOutSet, load_search_set
from refinesr.shapes import Noise
from refinesr.stage import Stage

CHUNK = 16
"""Pictures at once."""


@dataclass
class Draws:
    """Standard normal noise that is made once and given again to every way of sampling."""

    seeds: tuple[int, ...]
    made: list[Tensor] = field(default_factory=list)

    def again(self) -> Noise:
        source, number = NoiseField(self.seeds), itertools.count()

        def noise(like: Tensor) -> Tensor:
            place = next(number)
            while len(self.made) <= place:
                source.draw = len(self.made)
                self.made.append(source(like))
            return self.made[place]

        return noise


@dataclass(frozen=True)
class Evaluator:
    """Pictures on the device, and what results are compared by."""

    held: HeldOutSet
    distance: Perceptual | None
    autocast: torch.dtype | None
    draws: tuple[Draws, ...]

    @staticmethod
    def of(
        stage: Stage,
        pictures: Path,
        perceptual: Path | None,
        autocast: torch.dtype | None,
        *,
        limit: int = 32,
        size: int | None = None,
    ) -> "Evaluator":
        """The pictures go where the model is."""
        device = next(stage.model.parameters()).device
        found = load_search_set(stage.method, pictures, limit=limit, size=size)
        held = replace(found, high=found.high.to(device), low=found.low.to(device))
        seeds = [tuple(range(k, min(k + CHUNK, len(held)))) for k in range(0, len(held), CHUNK)]
        distance = Perceptual(perceptual, device) if perceptual else None
        return Evaluator(held, distance, autocast, tuple(map(Draws, seeds)))

    def scores(self, stage: Stage, sampling: Sampling) -> dict[str, float]:
        """Means over the pictures; seconds of one, without measuring."""
        rows, seconds = [], 0.0
        for draws in self.draws:
            high, low = (images[list(draws.seeds)] for images in (self.held.high, self.held.low))
            begun = time.perf_counter()
            made = self.restored(stage, low, sampling, draws.again())
            seconds += time.perf_counter() - begun
            rows += self.measured((high + 1) / 2, made, stage.scale)
        means = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
        return {**means, "seconds": seconds / len(rows)}

    def restored(self, stage: Stage, low: Tensor, sampling: Sampling, noise: Noise) -> Tensor:
        """(B, C, H, W) in [0, 1], in the levels of 8 bits."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # odd grids are tried on purpose
            *_, last = stage(low, noise, sampling=sampling, autocast=self.autocast)
        result = ((last.image.float().clamp(-1, 1) + 1) * 127.5).round() / 255
        float(result.sum())  # waits for the device
        return result

    def measured(self, high: Tensor, result: Tensor, border: int) -> list[dict[str, float]]:
        """A row for each picture."""
        with exact():
            colour = high.shape[1] == 3
            one, other = (luma(high), luma(result)) if colour else (high, result)
            found = {"psnr_y": psnr(one, other, border=border)}
            if self.distance is not None:
                found["perceptual"] = self.distance(*(x.expand(-1, 3, -1, -1) for x in (high, result)))
        columns = (values.tolist() for values in found.values())
        return [dict(zip(found, row, strict=True)) for row in zip(*columns, strict=True)]


class exact:  # noqa: N801  (a context, as torch's own are called)
    """No convolutions in TF32: distances are compared with those of other machines."""

    def __enter__(self) -> None:
        self.before = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = False

    def __exit__(self, *error: object) -> None:
        torch.backends.cudnn.allow_tf32 = self.before


def samplings(stage: Stage, counts: Sequence[int], over: Sequence[str]) -> Iterator[tuple[str, Sampling]]:
    """Every way of sampling: each number of steps with all values of each `FIELD=[VALUE, ...]`, by its cost.

    What fits together in no method is left out.  Raises ConfigError if nothing is left.
    """
    choices = [list(values(text)) for text in over]
    found = 0
    for steps, *chosen in itertools.product(counts, *choices):
        settings = [f"sampling.steps={steps}", *chosen]
        try:
            method = override(stage.method, *settings)
            method.sampling.levels()
        except ConfigError:
            continue
        found += 1
        told = (text.removeprefix("sampling.") for text in chosen)
        yield ", ".join([cost(method.sampling), *told]), method.sampling
    if not found:
        raise ConfigError(f"--over: {'; '.join(over)} fits no number of steps of {list(counts)}")


def values(text: str) -> Iterator[str]:
    """FIELD=[A, B] as FIELD=A and FIELD=B."""
    name, equals, listed = text.partition("=")
    try:
        found = json.loads(listed)
    except ValueError:
        found = None
    if not equals or not isinstance(found, list):
        raise ConfigError(f"--over: {text} is not of the form FIELD=[VALUE, VALUE] in JSON")
    return (f"{name}={value if isinstance(value, str) else json.dumps(value)}" for value in found)


def cost(sampling: Sampling) -> str:
    """In network calls; with the steps that they make, where these are not as many."""
    calls, steps = sampling.calls, sampling.steps
    told = "1 call" if calls == 1 else f"{calls} calls"
    return told if calls == steps else f"{told} (steps={steps})"


def table(rows: Mapping[str, Mapping[str, float]], tell: Callable[[str], None] = print) -> None:
    """One line a row; all have the same columns."""
    heads = list(next(iter(rows.values())))
    width = max(len(name) for name in rows)
    tell(" ".join([" " * width, *(f"{head:>14}" for head in heads)]))
    for name, row in rows.items():
        tell(" ".join([f"{name:{width}}", *(f"{row[head]:14.4f}" for head in heads)]))
