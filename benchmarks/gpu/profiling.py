"""Where the time of an update goes, and what the card could do."""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

import torch

from gpu.training import Tell, flops, memory
from refinesr.compiling import compile_networks
from refinesr.data import Pairs, Photos
from refinesr.fit import State, update_average
from refinesr.objective import Distance
from refinesr.pretrained import new_model
from refinesr.run import Run, training_pairs

PARTS = ("data", "forward", "backward", "optimiser", "average")


def synchronized(device: torch.device) -> float:
    """The time, once everything that was asked for is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def timed(work: Callable[[], object], device: torch.device, repeat: int = 10) -> float:
    """Seconds of one, the median."""
    work()
    found = []
    for _ in range(repeat):
        begun = synchronized(device)
        work()
        found.append(synchronized(device) - begun)
    return median(found)


def measured_peaks(device: torch.device) -> dict[str, float]:
    """Measured, on random numbers: TFLOP/s of a matrix product in bf16, TB/s of a copy, read and written."""
    side = 8192 if device.type == "cuda" else 512
    a, b = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    product = timed(lambda: a @ b, device)
    source = torch.randn(2**28 if device.type == "cuda" else 2**22, device=device)
    aim = torch.empty_like(source)
    copy = timed(lambda: aim.copy_(source), device)
    return {"TFLOP/s": 2 * side**3 / product / 1e12, "TB/s": 2 * 4 * source.numel() / copy / 1e12}


@dataclass
class Update:
    """The parts of an update of `train.fit`, one after the other."""

    run: Run
    pairs: Pairs
    state: State
    autocast: torch.dtype | None
    distance: Distance | None = None

    def parts(self, step: int) -> Iterator[str]:
        """Each part's name, when it has been asked for."""
        objective, state, plan = self.run.method.objective(self.distance), self.state, self.run.plan
        high, low = self.pairs.at(step)
        yield "data"
        kind = torch.autocast(high.device.type, self.autocast) if self.autocast else nullcontext()
        with kind:
            loss = objective.loss(state.model, high, low, *objective.draw(high, 0, step)).mean()
        yield "forward"
        loss.backward()
        yield "backward"
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), plan.clip)
        state.optimizer.step()
        state.optimizer.zero_grad()
        yield "optimiser"
        update_average(state.average, state.model, float(plan.halflife))
        yield "average"

    def seconds(self, repeat: int) -> dict[str, float]:
        """Of each part, the median, the device waited for after each; and of an update as in training."""
        device, found = self.pairs.photos.device, []
        for step in range(repeat):
            times = [synchronized(device), *(synchronized(device) for _ in self.parts(step))]
            found.append([after - before for before, after in pairwise(times)])
        each = dict(zip(PARTS, map(median, zip(*found, strict=True)), strict=True))
        return each | {"together": timed(self.whole, device, 1)}

    def whole(self, updates: int = 5) -> None:
        for step in range(updates):
            list(self.parts(step))


@dataclass(frozen=True)
class Profile:
    """What is measured."""

    run: Run
    photos: Photos
    autocast: torch.dtype | None
    repeat: int = 10
    distance: Distance | None = None

    @property
    def device(self) -> torch.device:
        return self.photos.device

    def update(self, batch: int, compiling: bool) -> Update:
        run = replace(self.run, plan=replace(self.run.plan, batch=batch, accumulate=1))
        model = new_model(run.method, self.device, 0)
        state = State(model, run.plan)
        if compiling:
            compile_networks(model, self.device)
        state.model.train()
        return Update(run, training_pairs(run, self.photos), state, self.autocast, self.distance)

    def row(self, batch: int, *, compiling: bool) -> dict[str, float]:
        """Milliseconds of each part, seconds until the first update was made, crops a second."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        update, begun = self.update(batch, compiling), synchronized(self.device)
        update.whole(2)
        first = synchronized(self.device) - begun
        found = update.seconds(self.repeat)
        whole = found.pop("together") / 5
        numbers = {f"{name} ms": 1e3 * seconds for name, seconds in found.items()}
        return numbers | {
            "update ms": 1e3 * whole,
            "crops/s": batch / whole,
            "TFLOP/s": batch * flops(self.run) / whole / 1e12,
            "first s": first,
        }

    def kernels(self, batch: int, tell: Tell) -> None:
        """The kinds of kernels that take the time of a compiled update."""
        from torch.profiler import ProfilerActivity, profile

        update = self.update(batch, True)
        update.whole(2)
        cuda = self.device.type == "cuda"
        with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as seen:
            update.whole(3)
            synchronized(self.device)
        name = "self_device_time_total" if cuda else "self_cpu_time_total"
        rows = sorted(seen.key_averages(), key=lambda row: -getattr(row, name))
        total = sum(getattr(row, name) for row in rows) or 1
        for kind, share in kinds((row.key, getattr(row, name)) for row in rows).items():
            tell(f"{share / total:6.1%}  {kind}")
        for row in rows[:12]:
            tell(f"{getattr(row, name) / 3e3:8.2f} ms  {row.count // 3:4d} x  {row.key[:90]}")


def kinds(rows: Iterator[tuple[str, float]]) -> dict[str, float]:
    """Time by what a kernel is: products and convolutions, what the compiler made, the rest."""
    found = {"convolutions and products": 0.0, "compiled for pixels": 0.0, "all else": 0.0}
    for name, spent in rows:
        low = name.lower()
        products = ("gemm", "conv", "cudnn", "cutlass", "xmma", "nvjet", "wgrad", "dgrad", "implicit")
        if low.startswith("triton_") and "conv" not in low.split("_")[1]:
            found["compiled for pixels"] += spent
        elif any(mark in low for mark in products):
            found["convolutions and products"] += spent
        else:
            found["all else"] += spent
    return found


def print_bottleneck(row: dict[str, float], peak: dict[str, float], tell: Tell) -> None:
    """What holds it back, in words."""
    share = row["TFLOP/s"] / peak["TFLOP/s"]
    parts = {name: row[f"{name} ms"] for name in PARTS}
    slowest, waited = max(parts, key=lambda name: parts[name]), sum(parts.values())
    tell(f"{share:.1%} of the measured peak; the largest part is {slowest}, {parts[slowest] / waited:.0%}")
    data = parts["data"] / waited
    tell(f"data {data:.1%} of an update" + ("; --ahead makes it beside the network" if data > 0.1 else ""))
    if waited > 1.15 * row["update ms"]:
        tell(f"waiting between parts costs {waited - row['update ms']:.1f} ms: many small kernels")
    elif share < 0.4:
        tell("parts do not overlap, so the device is busy: kernels for pixels (memory) or narrow products")


def print_row(name: str, row: dict[str, float], tell: Tell) -> None:
    tell(f"{name}: " + "  ".join(f"{key} {value:.1f}" for key, value in row.items()) + memory())
