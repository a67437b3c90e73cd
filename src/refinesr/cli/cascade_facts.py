"""What is to be known of a cascade: each stage as it samples there, and what all of them cost."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..cascade import Cascade, Link
from ..chains import cascade_file, load_cascade, read_file, with_sampling_settings
from ..errors import ConfigError
from .facts import SIDE, Facts, Found, enlarging, facts
from .messages import counted


@dataclass(frozen=True)
class CascadeFacts:
    """`models` are the stages' names in the cascade's file."""

    name: str
    cascade: Cascade
    models: tuple[str, ...]
    stages: tuple[Facts, ...]

    @property
    def parameters(self) -> int:
        return sum(stage.parameters for stage in self.stages)

    @property
    def calls(self) -> int:
        """Of all networks, for one picture."""
        return sum(stage.sampling.calls for stage in self.stages)

    @property
    def gflop(self) -> float:
        """Of one picture, without what tiles do twice."""
        return sum(stage.gflop for stage in self.stages)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the first stage's input that costs are counted for."""
        return self.stages[0].size

    def data(self) -> dict[str, Any]:
        """For JSON; a stage has what a model has, and its place in the cascade."""
        places = zip(self.models, self.cascade.links, self.stages, strict=True)
        return {
            "name": self.name,
            "kind": "cascade",
            "stages": [{"model": model, "level": link.level, **each.data()} for model, link, each in places],
            "parameters": self.parameters,
            "scale": self.cascade.scale,
            "steps": self.cascade.steps,
            "calls": self.calls,
            "gflop": self.gflop,
            "gflop_input_size": list(self.size),
        }

    def lines(self) -> Iterator[tuple[str, list[str]]]:
        """For people: (name, lines)."""
        yield "cascade", [self.name]
        for number, (link, stage) in enumerate(zip(self.cascade.links, self.stages, strict=True)):
            yield "", [""]
            yield f"stage {number + 1}", [self.models[number], *told(link)]
            yield from stage.lines()
        yield "", [""]
        yield from self.total()

    def total(self) -> Iterator[tuple[str, list[str]]]:
        cascade = self.cascade
        yield "total", [counted(len(self.stages), "stage")]
        yield "scale", [f"{cascade.scale}, {cascade.channels} channels"]
        yield "parameters", [f"{self.parameters / 1e6:.2f} M"]
        yield "steps", [f"{cascade.steps}: {counted(self.calls, 'call')} of the networks"]
        yield "cost", [f"{self.gflop:.1f} GFLOP, for {enlarging(self.size, cascade.scale)}"]


def told(link: Link) -> list[str]:
    """What it does not say of itself."""
    noise = f"given its input with noise of level {link.level:g}" if link.level else ""
    tiles = f"in tiles of {link.tile} pixels of its input" if link.tile else ""
    return [word for word in (noise, tiles) if word]


def cascade_facts(source: str, steps: int | None = None, settings: tuple[str, ...] = ()) -> CascadeFacts:
    """Raises ConfigError, also if `steps` are given, and CheckpointError."""
    if steps is not None:
        raise ConfigError("steps: each stage of a cascade has its own; its JSON file says them")
    path, cascade = cascade_file(source), with_sampling_settings(load_cascade(source), settings)
    models, size, known = [entry.model for entry in read_file(path).stages], input_size(cascade), []
    for model, link in zip(models, cascade.links, strict=True):
        known.append(facts(placed(model, link), size=size))
        size = (size[0] * link.stage.scale, size[1] * link.stage.scale)
    return CascadeFacts(str(path), cascade, tuple(models), tuple(known))


def placed(model: str, link: Link) -> Found:
    """The stage, with the sampling and the tile that it has in the cascade."""
    method = replace(link.stage.method, sampling=link.effective_sampling, tile=link.tile)
    return Found(link.stage.card.name or model, "stage", method, link.stage.card)


def input_size(cascade: Cascade) -> tuple[int, int]:
    """What is given, or what the first stage was trained to make; else what costs of models are for."""
    first = cascade.links[0]
    side = first.stage.tile if first.generates and first.stage.tile else SIDE
    return cascade.size or (side, side)
