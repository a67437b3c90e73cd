"""Variants of a run, trained for the same time one after the other and measured: for choosing."""

import gc
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gpu.measuring import Evaluator, cost
from gpu.pace import TimeBudget
from gpu.training import Job, Tell, train_for, with_distance
from refinesr.compiling import compile_networks
from refinesr.config import override
from refinesr.data import Photos
from refinesr.errors import ConfigError, RefineSRError
from refinesr.folder import RunFolder
from refinesr.recipes import RECIPES
from refinesr.run import Run, training_pairs
from refinesr.stage import Stage
from refinesr.train import prepare_run

TITLES = {"psnr_y": "PSNR-Y", "perceptual": "LPIPS-like"}


@dataclass(frozen=True)
class Variant:
    """One entry of the file: {"name": ..., "recipe": ..., "set": ["plan.batch=256", ...]}."""

    name: str
    run: Run


def variants(path: Path, *settings: str) -> list[Variant]:
    """Those of a JSON file; `settings` come before each one's own.  Raises ConfigError."""
    entries = json.loads(path.read_text())
    return [variant(path, entry, settings) for entry in entries]


def variant(path: Path, entry: Mapping[str, Any], settings: tuple[str, ...]) -> Variant:
    unknown = set(entry) - {"name", "recipe", "set"}
    if unknown or "name" not in entry:
        raise ConfigError(f"{path}: an entry has a name, a recipe and a list called set, not {sorted(entry)}")
    recipe = entry.get("recipe", "photo-x4")
    if recipe not in RECIPES:
        raise ConfigError(f"{path}: {entry['name']}: recipe: {recipe!r} is not one of {', '.join(RECIPES)}")
    return Variant(entry["name"], override(RECIPES[recipe](), *settings, *entry.get("set", [])))


@dataclass(frozen=True)
class TrialSettings:
    """Where and how all variants are trained and measured."""

    photos: Photos
    folder: Path
    autocast: torch.dtype | None
    seconds: float
    steps: tuple[int, ...]
    pictures: Path
    perceptual: Path | None
    limit: int = 32
    size: int | None = None

    @property
    def device(self) -> torch.device:
        return self.photos.device

    def rows(self, chosen: list[Variant], tell: Tell = print) -> Iterator[tuple[str, dict[str, float]]]:
        """(name, numbers) of each.  One that fails is told of and left out."""
        for each in chosen:
            tell(f"--- {each.name}")
            try:
                yield each.name, self.row(each, tell)
            except (RefineSRError, RuntimeError) as error:
                tell(f"{each.name}: {type(error).__name__}: {error}")
            self.cleared()

    def row(self, each: Variant, tell: Tell) -> dict[str, float]:
        run, distance = with_distance(each.run, self.perceptual, self.device)
        folder = self.folder / each.name
        shutil.rmtree(folder, ignore_errors=True)
        pairs = training_pairs(run, self.photos)
        state = prepare_run(run, RunFolder(folder), self.device, resume=False)
        compile_networks(state.model, self.device)
        budget = TimeBudget(self.seconds, every=float("inf"))
        job = Job(run, folder, self.autocast, from_first=True)
        done = train_for(job, pairs, state, run.method.objective(distance), budget, tell)
        stage = Stage(run.method, state.average)
        numbers = {"updates": float(done.updates), "crops/s": done.crops, "loss": done.loss}
        return numbers | self.measured(stage, tell)

    def measured(self, stage: Stage, tell: Tell) -> dict[str, float]:
        of = self.pictures, self.perceptual, self.autocast
        bench = Evaluator.of(stage, *of, limit=self.limit, size=self.size)
        numbers = {}
        for steps in self.steps:
            sampling = override(stage.method, f"sampling.steps={steps}").sampling
            scores = bench.scores(stage, sampling)
            numbers |= {f"{TITLES[key]} {steps}": scores[key] for key in TITLES if key in scores}
            tell(f"measured in {cost(sampling)}")
        return numbers

    def cleared(self) -> None:
        """The next variant has all memory; what was compiled is kept, and is of use to networks alike."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
