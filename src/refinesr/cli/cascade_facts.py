"""Facts about a cascade: each stage with its sampling there, and the cost of all of them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..cascade import Cascade, Link
from ..cascade_files import cascade_file, load_cascade, read_file, with_sampling_settings
from ..errors import ConfigError
from .facts import INPUT_SIDE, Facts, Subject, facts, sizes_text
from .messages import counted


@dataclass(frozen=True)
class CascadeFacts:
    """`models` are the stages' models as the cascade's file names them."""

    name: str
    cascade: Cascade
    models: tuple[str, ...]
    stages: tuple[Facts, ...]

    @property
    def parameters(self) -> int:
        return sum(stage.parameters for stage in self.stages)

    @property
    def calls(self) -> int:
        """Calls of all networks for one picture."""
        return sum(stage.sampling.calls for stage in self.stages)

    @property
    def gflop(self) -> float:
        """Of one picture, without the overlaps of tiles."""
        return sum(stage.gflop for stage in self.stages)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the first stage's input that costs are counted for."""
        return self.stages[0].size

    def data(self) -> dict[str, Any]:
        """All facts, for JSON.  A stage has the facts of a model, its model's name and its level of noise."""
        stages = zip(self.models, self.cascade.links, self.stages, strict=True)
        return {
            "name": self.name,
            "kind": "cascade",
            "stages": [{"model": model, "level": link.level, **each.data()} for model, link, each in stages],
            "parameters": self.parameters,
            "scale": self.cascade.scale,
            "steps": self.cascade.steps,
            "calls": self.calls,
            "gflop": self.gflop,
            "gflop_input_size": list(self.size),
        }

    def lines(self) -> Iterator[tuple[str, list[str]]]:
        """All facts as text: (name, lines)."""
        yield "cascade", [self.name]
        for number, (link, stage) in enumerate(zip(self.cascade.links, self.stages, strict=True)):
            yield "", [""]
            yield f"stage {number + 1}", [self.models[number], *link_lines(link)]
            yield from stage.lines()
        yield "", [""]
        yield from self.total_lines()

    def total_lines(self) -> Iterator[tuple[str, list[str]]]:
        cascade = self.cascade
        yield "total", [counted(len(self.stages), "stage")]
        yield "scale", [f"{cascade.scale}, {cascade.channels} channels"]
        yield "parameters", [f"{self.parameters / 1e6:.2f} M"]
        yield "steps", [f"{cascade.steps}: {counted(self.calls, 'call')} of the networks"]
        yield "cost", [f"{self.gflop:.1f} GFLOP, for {sizes_text(self.size, cascade.scale)}"]


def link_lines(link: Link) -> list[str]:
    """Settings that the stage has only in the cascade."""
    noise = f"its input gets noise of level {link.level:g}" if link.level else ""
    tiles = f"in tiles of {link.tile} pixels of its input" if link.tile else ""
    return [line for line in (noise, tiles) if line]


def cascade_facts(source: str, steps: int | None = None, settings: tuple[str, ...] = ()) -> CascadeFacts:
    """The facts of the cascade at `source`.  Raises CheckpointError; ConfigError, also for any `steps`."""
    if steps is not None:
        raise ConfigError("steps: each stage of a cascade has its own; its JSON file says them")
    path, cascade = cascade_file(source), with_sampling_settings(load_cascade(source), settings)
    models, size, known = [entry.model for entry in read_file(path).stages], input_size(cascade), []
    for model, link in zip(models, cascade.links, strict=True):
        known.append(facts(stage_subject(model, link), size=size))
        size = (size[0] * link.stage.scale, size[1] * link.stage.scale)
    return CascadeFacts(str(path), cascade, tuple(models), tuple(known))


def stage_subject(model: str, link: Link) -> Subject:
    """The stage with its sampling and tile size in the cascade."""
    method = replace(link.stage.method, sampling=link.effective_sampling, tile=link.tile)
    return Subject(link.stage.card.name or model, "stage", method, link.stage.card)


def input_size(cascade: Cascade) -> tuple[int, int]:
    """(height, width) of the cascade's input: its own, that of the first stage's training, or the default."""
    first = cascade.links[0]
    side = first.stage.tile if first.generates and first.stage.tile else INPUT_SIDE
    return cascade.size or (side, side)
