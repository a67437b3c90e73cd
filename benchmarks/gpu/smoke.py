"""A short check of every part of a training on a new machine, some seconds each.

A failure is printed with its traceback, and the other checks still run.
"""

import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

import refinesr
from gpu.measuring import Evaluator
from gpu.pace import TimeBudget
from gpu.pieces import join
from gpu.prefetching import PrefetchedBatches
from gpu.profiling import measured_peaks
from gpu.training import Job, Tell, train_for, with_distance
from gpu.transfer import load_transfer
from refinesr.compiling import compile_networks
from refinesr.config import override
from refinesr.data import Photos
from refinesr.devices import autocast_dtype, move_to
from refinesr.diffusion.noise import NoiseField
from refinesr.folder import RunFolder
from refinesr.images.degrade import Photo
from refinesr.images.jpeg import jpeg_roundtrip
from refinesr.images.reduction import downsampled
from refinesr.images.resize import PillowBicubic
from refinesr.pretrained import new_model
from refinesr.recipes import RECIPES, tiny
from refinesr.recipes.distilled import student_of
from refinesr.run import Run, training_pairs
from refinesr.train import build_objective, prepare_run

SECONDS = 5.0
"""Of each small training, when everything is compiled."""


@dataclass
class Smoke:
    """The checks, in their order; each leaves in the folder what the next ones need."""

    photos: Photos
    pictures: Path
    perceptual: Path | None
    folder: Path
    tell: Tell = print
    seconds: float = SECONDS
    recipe: str = "photo-x4"
    autocast: torch.dtype | None = field(init=False)

    def __post_init__(self) -> None:
        self.autocast = autocast_dtype("auto", self.device)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def device(self) -> torch.device:
        return self.photos.device

    @property
    def run(self) -> Run:
        small = tiny(RECIPES[self.recipe]())
        return override(small, "plan.batch=8", "plan.size=64", "plan.rate=1e-3")

    def checks(self) -> Iterator[tuple[str, Callable[[], object]]]:
        yield "ceilings", lambda: measured_peaks(self.device)
        yield "degradations as on the CPU", self.degraded
        yield "the loss as on the CPU", self.losses
        yield "a training", lambda: self.training(self.run, "run")
        yield "it goes on", lambda: self.training(self.run, "run", resume=True)
        yield "pieces", self.pieces
        yield "a picture", self.picture
        yield "measuring", self.measured
        yield "a student", self.distillation
        if self.perceptual is not None:
            yield "a perceptual loss", self.perceptual_loss
        if self.device.type == "cuda":
            yield "batches ahead", self.ahead

    def run_checks(self) -> list[str]:
        """The names of what failed."""
        failed = []
        for name, check in self.checks():
            begun_at = time.perf_counter()
            try:
                found = check()
                self.tell(f"ok   {name}: {found}  ({time.perf_counter() - begun_at:.1f} s)")
            except Exception:
                self.tell(f"FAIL {name}\n{traceback.format_exc()}")
                failed.append(name)
        return failed

    def degraded(self) -> str:
        """Apart by rounding, which JPEG may turn into a step of its quantisation, but seldom does."""
        batch = training_pairs(self.run, self.photos).at(0)
        here, there = degraded_pair(*batch), degraded_pair(*(images.cpu() for images in batch))
        reduction, jpeg = (255 * (one.cpu() - other).abs() for one, other in zip(here, there, strict=True))
        share = float(jpeg.gt(0.5).float().mean())
        told = f"reduced {reduction.max():.5f} levels of 255 apart, JPEG in {share:.2%} of values"
        if reduction.max() > 0.01 or share > 0.01:
            raise ValueError(told)
        made = Photo(4)(batch[0], torch.Generator(self.device).manual_seed(1))
        return f"{told}; {tuple(made.shape)} on {made.device}"

    def losses(self) -> str:
        """Of fresh weights shaken up: float32 here and on the CPU, and in training's precision, compiled."""
        run, objective = self.run, self.run.method.objective()
        high, low = training_pairs(run, self.photos).at(0)
        sigma, eps = objective.draw(high, 0)
        model = new_model(run.method, self.device, 0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.02 * torch.randn_like(parameter)
        there = [t.cpu() for t in (high, low, sigma, eps)]
        plain = objective.loss(model, high, low, sigma, eps).mean().item()
        compile_networks(model, self.device)
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            mean = objective.loss(model, high, low, sigma, eps).mean()
        mean.backward()
        fast = mean.item()
        copy = new_model(run.method, torch.device("cpu"), 0)
        copy.load_state_dict({name: tensor.cpu() for name, tensor in model.state_dict().items()})
        other = objective.loss(copy, *there).mean().item()
        if not abs(plain - other) < 1e-2 * other or not abs(fast - other) < 5e-2 * other:
            raise ValueError(f"CPU {other}, here {plain}, compiled {fast}")
        return f"CPU {other:.5f}, here {plain:.5f}, compiled {fast:.5f}"

    def training(self, run: Run, name: str, *, resume: bool = False, teacher: str = "") -> str:
        model = None
        if teacher:
            run, model = student_of(teacher, steps=4)
            run = override(run, "plan.batch=8", "plan.size=64")
            move_to(model.model, self.device)
        run, distance = with_distance(run, self.perceptual, self.device)
        pairs, place = training_pairs(run, self.photos), RunFolder(self.folder / name)
        objective = build_objective(run, model, distance)
        state = prepare_run(run, place, self.device, resume, model)
        for each in (state.model, *([model.model] if model else [])):
            compile_networks(each, self.device)
        job = Job(run, place.path, self.autocast, out=self.folder / "out", from_first=True)
        done = train_for(job, pairs, state, objective, TimeBudget(self.seconds), lambda text: None)
        return f"{done.updates} updates, loss {done.loss:.4f}, {done.crops:.0f} crops/s"

    def pieces(self) -> str:
        files = join(self.folder / "out", self.folder / "joined")
        state = prepare_run(
            replace(self.run, seed=1), RunFolder(self.folder / "from"), self.device, resume=False
        )
        load_transfer(state, self.folder / "joined")
        return ", ".join(f"{file.name} {file.stat().st_size}" for file in files)

    def picture(self) -> str:
        stage = refinesr.load(self.folder / "joined")
        low = torch.rand(3, 37, 41)
        large = refinesr.upscale(stage, low, device=self.device.type, seed=1)
        return f"{tuple(large.shape)}, from {large.min():.2f} to {large.max():.2f}"

    def measured(self) -> dict[str, float]:
        stage = refinesr.load(self.folder / "run")
        move_to(stage.model, self.device)
        bench = Evaluator.of(stage, self.pictures, self.perceptual, self.autocast, limit=2, size=128)
        sampling = replace(stage.method.sampling, steps=2)
        *_, last = stage(bench.held.low, NoiseField((0, 1)), sampling=sampling)
        return bench.scores(stage, sampling) | {"largest": float(last.image.abs().max())}

    def distillation(self) -> str:
        return self.training(self.run, "student", teacher=str(self.folder / "run"))

    def perceptual_loss(self) -> str:
        """A training by a perceptual distance, of states of the network's own making."""
        run = override(self.run, "method.perception=Perception", "method.rollout=Rollout")
        return self.training(run, "looks")

    def ahead(self) -> str:
        pairs = training_pairs(self.run, self.photos)
        walk = PrefetchedBatches(pairs)
        for step in (0, 1, 2, 7):
            for one, other in zip(walk.at(step), pairs.at(step), strict=True):
                if not torch.equal(one, other):
                    raise ValueError(f"batch {step} is another one")
        return "the same batches"


def degraded_pair(high: torch.Tensor, low: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """high reduced, and low as JPEG of several qualities."""
    quality = torch.linspace(60, 95, len(low), device=low.device)
    halved = torch.arange(len(low), device=low.device) % 2 == 0
    return downsampled(high, 4, PillowBicubic()), jpeg_roundtrip((low + 1) / 2, quality, halved)
