"""Training by the minute: updates fitted to the time, files in pieces, what is carried, what is measured."""

import itertools
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from methods import normal, packed, photo, plan, stage
from PIL import Image
from squeezenets import squeezenet
from torch import Tensor, nn

import refinesr.fit
from refinesr import load
from refinesr.checkpoint import save_stage
from refinesr.decays import Constant, CosineDecay
from refinesr.diffusion.noise import NoiseField
from refinesr.diffusion.samplers import Heun
from refinesr.errors import CheckpointError, ConfigError, InputError
from refinesr.fit import Plan, Report, State, fit, update_average
from refinesr.folder import RunFolder
from refinesr.log import DivergedError
from refinesr.metrics.pixel import luma, psnr
from refinesr.optimizers import Adam, Muon
from refinesr.pretrained import new_model
from refinesr.recipes import RECIPES, tiny
from refinesr.run import Run
from refinesr.search import load_search_set
from refinesr.sources import LabelledModule
from refinesr.train import prepare_run

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import train_on_gpu
from gpu import measuring, pace, pieces, training, transfer, trial
from gpu.pace import TimeBudget, train_in_stretches

CPU = torch.device("cpu")
METHOD = packed(4)
STEADY = plan(steps=1000, decay=Constant(), warmup=0)
RUN = Run("small", METHOD, STEADY)


# ------------------------------------------------------------------------------ updates fitted to the time


class Clock:
    """Stands still but for what is said to take time."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@dataclass
class Made:
    """What `train_in_stretches` did where an update takes `cost(seconds since the start)`."""

    rates: list[float]
    times: list[float]
    plans: list[Plan]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Made]:
    clock = Clock()

    def run(
        cost: Callable[[float], float], watch: TimeBudget, few: Plan, step: int = 0, **options: Any
    ) -> Made:
        state, made = SimpleNamespace(step=step), Made([], [], [])
        begin = clock.time

        def updates(state: Any, pairs: Any, objective: Any, plan: Plan, **_: Any) -> Iterator[Report]:
            while state.step < plan.steps:
                clock.time += cost(clock.time - begin)
                made.rates.append(plan.rate_at(state.step))
                made.times.append(clock.time - begin)
                state.step += 1
                yield Report(state.step, torch.zeros(()), torch.zeros(()), made.rates[-1])

        monkeypatch.setattr(pace, "fit", updates)
        watch.now, watch.start = clock, clock.time
        for stretch in train_in_stretches(state, None, None, few, watch, seed=0, autocast=None, **options):
            made.plans.append(stretch.plan)
        return made

    return run


PLAN = Plan(steps=300_000, rate=1.0, warmup=2000, decay=CosineDecay())


@pytest.mark.parametrize(
    "cost",
    [
        pytest.param(lambda at: 0.1, id="steady"),
        pytest.param(lambda at: 0.1 if at < 50 else 0.2, id="half as fast from the middle on"),
        pytest.param(lambda at: 0.2 if at < 50 else 0.1, id="twice as fast from the middle on"),
        pytest.param(lambda at: 40.0 if at == 0 else 0.1, id="compiled at first"),
        pytest.param(lambda at: 2.0, id="slow"),
    ],
)
def test_whatever_the_speed_the_decay_ends_with_the_time(
    machine: Callable[..., Made], cost: Callable[[float], float]
) -> None:
    """At most one update of the time is left over; the last one's share is 1 - 1 / steps, so its rate is
    about (pi / 2 / steps)² of the highest."""
    watch = TimeBudget(mine=100.0, reserve=4.0)
    made = machine(cost, watch, PLAN)
    assert 96 - 2 * cost(99.0) <= made.times[-1] <= 96 + 1e-6
    assert made.rates[-1] <= 1.5 * (math.pi / 2 / len(made.rates)) ** 2 + 1e-12
    assert max(made.rates) > 0.9


def test_the_rate_of_a_steady_machine_is_a_cosine_of_time(machine: Callable[..., Made]) -> None:
    """But for the warm-up, and the six updates after which the speed is known."""
    made = machine(lambda at: 0.1, TimeBudget(mine=100.0, reserve=0.0), PLAN)
    late = [(at, rate) for at, rate in zip(made.times, made.rates, strict=True) if at > 10]
    assert len(made.rates) == pytest.approx(1000, abs=1)
    assert all(rate == pytest.approx(0.5 + 0.5 * math.cos(math.pi * at / 100), abs=5e-3) for at, rate in late)


def test_a_warm_up_is_a_twentieth_at_most_and_else_the_plans(machine: Callable[..., Made]) -> None:
    long, short = (
        machine(lambda at: 0.1, TimeBudget(mine=100.0, reserve=0.0), replace(PLAN, warmup=warmup)).plans[-1]
        for warmup in (2000, 10)
    )
    assert long.warmup == 50
    assert short.warmup == 10


def test_saving_takes_of_the_time_before_not_after(machine: Callable[..., Made]) -> None:
    """Two saves of 5 seconds fit into the 100; the updates are fitted to the 90 that are left."""
    made = machine(lambda at: 0.1, TimeBudget(mine=100.0, reserve=0.0, saving=5.0, every=40.0), PLAN)
    assert made.plans[2].steps == pytest.approx(900, abs=10)


def test_commands_that_share_a_training_share_its_decay(machine: Callable[..., Made]) -> None:
    first = machine(lambda at: 0.1, TimeBudget(mine=50.0, whole=100.0, reserve=0.0), PLAN)
    assert first.times[-1] <= 50
    assert first.rates[-1] == pytest.approx(0.5, abs=0.01)
    known = replace(PLAN, steps=first.plans[-1].steps)
    watch = TimeBudget(mine=50.0, whole=100.0, before=50.0, reserve=0.0)
    second = machine(lambda at: 0.1, watch, known, step=len(first.rates))
    assert second.rates[0] == pytest.approx(0.5, abs=0.01)
    assert second.rates[-1] < 1e-4


def test_the_time_may_begin_when_everything_is_compiled(machine: Callable[..., Made]) -> None:
    made = machine(
        lambda at: 40.0 if at == 0 else 0.1, TimeBudget(mine=100.0, reserve=0.0), PLAN, from_first=True
    )
    assert made.times[-1] == pytest.approx(140, abs=0.5)


def test_without_time_only_the_first_updates_are_made(machine: Callable[..., Made]) -> None:
    assert len(machine(lambda at: 5.0, TimeBudget(mine=3.0), PLAN).rates) == pace.FIRST


# ------------------------------------------------------------------------------ pieces


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two files of 1000 and 2500 bytes, which nothing compresses."""
    rng = np.random.default_rng(0)
    made = [tmp_path / name for name in ("model.safetensors", "weights.safetensors")]
    for file, size in zip(made, (1000, 2500), strict=True):
        file.write_bytes(rng.bytes(size))
    return made


def test_pieces_are_small_and_come_together_again(files: list[Path], tmp_path: Path) -> None:
    pieces.cut(files, tmp_path / "out", size=1000)
    found = {file.name: file.stat().st_size for file in (tmp_path / "out").iterdir()}
    assert found.pop(pieces.INDEX)
    assert found == {
        "model.safetensors.00": 1000,
        "weights.safetensors.00": 1000,
        "weights.safetensors.01": 1000,
        "weights.safetensors.02": 500,
    }
    joined = pieces.join(tmp_path / "out", tmp_path / "joined")
    assert [file.read_bytes() for file in joined] == [file.read_bytes() for file in files]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda piece: piece.write_bytes(b"x" + piece.read_bytes()[1:]), "weights.safetensors.01: damaged"),
        (lambda piece: piece.write_bytes(piece.read_bytes()[:-1]), "weights.safetensors.01: damaged"),
        (lambda piece: piece.unlink(), "weights.safetensors.01: this piece is missing"),
    ],
)
def test_a_piece_that_suffered_is_named_and_nothing_is_made_of_it(
    files: list[Path], tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    pieces.cut(files, tmp_path / "out", size=1000)
    damage(tmp_path / "out" / "weights.safetensors.01")
    with pytest.raises(CheckpointError, match=message):
        pieces.join(tmp_path / "out", tmp_path / "joined")
    assert {file.name for file in (tmp_path / "joined").iterdir()} == {"model.safetensors"}


def test_a_smaller_file_leaves_no_pieces_of_the_larger_one(files: list[Path], tmp_path: Path) -> None:
    pieces.cut(files, tmp_path / "out", size=1000)
    files[1].write_bytes(b"less")
    pieces.cut(files, tmp_path / "out", size=1000)
    assert len(list((tmp_path / "out").iterdir())) == 3
    pieces.join(tmp_path / "out", tmp_path / "joined")
    assert (tmp_path / "joined" / files[1].name).read_bytes() == b"less"


def test_a_folder_without_an_index_holds_no_pieces(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no pieces\.json"):
        pieces.join(tmp_path, tmp_path)


def test_files_of_several_loads_come_together_and_are_checked(files: list[Path], tmp_path: Path) -> None:
    sums = tmp_path / "SHA256SUMS"
    sums.write_text("".join(f"{pieces.checksum_of(file)}  there/{file.name}\n" for file in files))
    folder = tmp_path / "data"
    assert pieces.collect(files[:1], folder, sums) == ["weights.safetensors"]
    assert pieces.collect(files[1:], folder, sums) == []
    files[0].write_bytes(b"else")
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged"):
        pieces.collect(files[:1], folder, sums)


# ------------------------------------------------------------------------------ a training


class Timed:
    """Pairs out of noise.  Three seconds pass whenever a batch is asked for, and never else."""

    def __init__(self) -> None:
        self.clock = Clock()

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        if step < training.FAR:
            self.clock.time += 3.0
        high = normal(4, 3, 16, 16, seed=step).tanh()
        return high, METHOD.degradation(high, torch.Generator())


def train(
    folder: Path, run: Run = RUN, pairs: Timed | None = None, seconds: float = 30.0, **options: Any
) -> State:
    """A training of so many seconds; the state it ends in."""
    resume, pairs = options.pop("resume", False), pairs or Timed()
    state = prepare_run(run, RunFolder(folder), CPU, resume)
    job = training.Job(run, folder, **options)
    watch = TimeBudget(seconds, now=pairs.clock, every=12.0)
    training.train_for(job, pairs, state, run.method.objective(), watch, lambda text: None)
    return state


def logged(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]


def weights(model: nn.Module) -> list[Tensor]:
    return [tensor.clone() for tensor in model.state_dict().values()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_training_leaves_a_run_and_pieces_of_its_model(tmp_path: Path) -> None:
    state = train(tmp_path / "run", out=tmp_path / "out")
    assert logged(tmp_path / "run") == list(range(1, state.step + 1))
    assert same(weights(load(tmp_path / "run").model), weights(state.average))
    model, raw = pieces.join(tmp_path / "out", tmp_path / "joined")
    halves = [tensor.half().float() for tensor in weights(state.average)]
    assert same(weights(load(model).model), halves)
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        *(f"{file.name}.00" for file in (model, raw)),
        pieces.INDEX,
        "log.jsonl",
        "preview.png",
    }
    with Image.open(tmp_path / "out" / "preview.png") as image:
        assert image.size == (3 * 20, 4 * 20)  # crops of 16 pixels, and gaps of 4


def test_what_goes_on_is_what_would_have_been(tmp_path: Path) -> None:
    """The rate being constant, updates in two commands are those of one `fit`."""
    first = train(tmp_path / "run").step
    state = train(tmp_path / "run", resume=True)
    assert state.step > first
    through = State(new_model(METHOD, CPU, 0), STEADY)
    few = replace(STEADY, steps=state.step)
    pairs = Timed()
    list(fit(through, pairs, METHOD.objective(), few, seed=0, autocast=None))
    assert same(weights(through.model), weights(state.model))
    assert same(weights(through.average), weights(state.average))
    assert logged(tmp_path / "run") == list(range(1, state.step + 1))


class Failing(Timed):
    """Has no batch after some."""

    def __init__(self, last: int, error: BaseException) -> None:
        super().__init__()
        self.last, self.error = last, error

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        if self.last <= step < training.FAR:
            raise self.error
        return super().at(step)


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), SystemExit(143), KeyboardInterrupt()])
def test_whatever_ends_a_training_leaves_what_it_learnt(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        train(tmp_path / "run", pairs=Failing(5, error), out=tmp_path / "out")
    kept = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert kept["step"] == 5
    assert logged(tmp_path / "run") == [1, 2, 3, 4, 5]
    pieces.join(tmp_path / "out", tmp_path / "joined")
    stored = weights(load(tmp_path / "joined").model)
    assert same(stored, [tensor.half().float() for tensor in kept["average"].values()])


def test_what_ends_in_the_middle_of_a_stretch_and_goes_on_has_a_whole_log(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        train(tmp_path / "run", pairs=Failing(5, SystemExit(143)))
    state = train(tmp_path / "run", resume=True)
    assert logged(tmp_path / "run") == list(range(1, state.step + 1))


def test_half_an_update_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal comes in the fifth update, when the weights have changed; the first two make a stretch."""
    calls = itertools.count(1)

    def breaking(*given: Any) -> None:
        if next(calls) == 5:
            raise SystemExit(143)
        update_average(*given)

    monkeypatch.setattr(refinesr.fit, "update_average", breaking)
    with pytest.raises(SystemExit):
        train(tmp_path / "run")
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["step"] == 2
    assert logged(tmp_path / "run") == [1, 2]
    state = train(tmp_path / "run", resume=True)
    assert logged(tmp_path / "run") == list(range(1, state.step + 1))


class Diverging(Timed):
    def at(self, step: int) -> tuple[Tensor, Tensor]:
        high, low = super().at(step)
        return (high * math.nan, low) if 5 <= step < training.FAR else (high, low)


def test_a_loss_that_is_no_number_spoils_no_save(tmp_path: Path) -> None:
    with pytest.raises(DivergedError):
        train(tmp_path / "run", pairs=Diverging(), out=tmp_path / "out")
    kept = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert 0 < kept["step"] <= 5
    assert all(bool(tensor.isfinite().all()) for tensor in kept["model"].values())
    pieces.join(tmp_path / "out", tmp_path / "joined")
    load(tmp_path / "joined")


def test_weights_that_are_not_averaged_stay_behind_if_there_is_no_room(tmp_path: Path) -> None:
    state = learnt(STEADY)
    (tmp_path / "run").mkdir()
    files = transfer.save_transfer(RUN, state, tmp_path / "carried")
    needed = sum(file.stat().st_size for file in files)
    for room, count in ((needed, 2), (needed - 1, 1)):
        training.export(RUN, state, tmp_path / "run", tmp_path / "out", room)
        joined = pieces.join(tmp_path / "out", tmp_path / "joined")
        assert [file.name for file in joined] == [file.name for file in files[:count]]


def test_operations_of_an_update_are_about_three_times_a_forward_pass() -> None:
    """Counted by hooks: a multiplication and an addition for each weight and place.  Backwards the same again
    for the weights and for the inputs, but for those of the first layers."""
    run = tiny(RECIPES["photo-x4"]())
    model, side = run.method.build(), run.plan.size
    found = []

    def count(module: nn.Module, inputs: Any, out: Tensor) -> None:
        places = out.numel() // out.shape[1] if out.ndim == 4 else len(out)
        found.append(2 * module.weight.numel() * places)  # type: ignore[union-attr,operator]

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    inputs = model.condition(torch.zeros(1, 3, side // 4, side // 4)).inputs()
    model.network(torch.zeros(1, 3, side, side), torch.ones(1), **inputs)
    assert 2.6 < training.flops(run) / sum(found) <= 3


# ------------------------------------------------------------------------------ what is carried


def learnt(plan: Plan, steps: int = 3) -> State:
    state = State(new_model(METHOD, CPU, 0), plan)
    few = replace(plan, steps=steps)
    list(fit(state, Timed(), METHOD.objective(), few, seed=0, autocast=None))
    return state


@pytest.mark.parametrize("moments", [False, True])
@pytest.mark.parametrize("optimizer", [Adam(), Muon()])
def test_a_training_begins_with_what_was_carried(
    tmp_path: Path, moments: bool, optimizer: Adam | Muon
) -> None:
    """bfloat16 has 8 bits of each number and float16 11: relative errors of 2**-8 and 2**-11 at most."""
    plan = replace(STEADY, optimizer=optimizer)
    state, other = learnt(plan), State(new_model(METHOD, CPU, 1), plan)
    transfer.save_transfer(RUN, state, tmp_path, moments=moments)
    transfer.load_transfer(other, tmp_path)
    for name, bits in (("model", 8), ("average", 11)):
        pairs = zip(weights(getattr(state, name)), weights(getattr(other, name)), strict=True)
        for before, after in pairs:
            torch.testing.assert_close(after, before, rtol=2.0**-bits, atol=2.0**-25)
    assert other.step == 0
    for mine, its in zip(state.model.parameters(), other.model.parameters(), strict=True):
        if not moments:
            assert its not in other.optimizer.state
            continue
        kept, own = other.optimizer.state[its], state.optimizer.state[mine]
        assert kept.keys() == own.keys()
        assert float(kept["step"]) == 3
        for key in kept.keys() - {"step"}:
            torch.testing.assert_close(kept[key], own[key], rtol=2.0**-8, atol=1e-38)
    list(fit(other, Timed(), METHOD.objective(), replace(plan, steps=1), seed=0, autocast=None))


def test_a_model_file_alone_is_a_beginning(tmp_path: Path) -> None:
    save_stage(stage(METHOD), tmp_path / "model.safetensors")
    state = State(new_model(METHOD, CPU, 1), STEADY)
    transfer.load_transfer(state, tmp_path / "model.safetensors")
    for model in (state.model, state.average):
        assert same(weights(model), weights(stage(METHOD).model))
    assert all(parameter.requires_grad for parameter in state.model.parameters())


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_stage(stage(packed(2)), tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="weights of another network"):
        transfer.load_transfer(State(new_model(METHOD, CPU, 1), STEADY), tmp_path)


# ------------------------------------------------------------------------------ what is measured


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        image = photo(20 * number, 60, 64, 64).permute(1, 2, 0).numpy()
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def test_noise_is_made_once_and_is_that_of_every_walk() -> None:
    draws = measuring.Draws((3, 4))
    like = torch.zeros(2, 3, 8, 8)
    field, first, second = NoiseField((3, 4)), draws.again(), draws.again()
    for _ in range(2):
        expected = field(like)
        assert torch.equal(first(like), expected)
        assert torch.equal(second(like), expected)
    assert len(draws.made) == 2


def test_scores_are_means_over_pictures_in_any_chunks(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: a picture at a time, from the same noise."""
    made = stage(METHOD)
    held, found = load_search_set(METHOD, pictures), []
    for number in range(3):
        *_, last = made(held.low[number : number + 1], NoiseField((number,)))
        result = ((last.image.clamp(-1, 1) + 1) * 127.5).round() / 255
        high = (held.high[number : number + 1] + 1) / 2
        found.append(psnr(luma(high), luma(result), border=4).item())
    for chunk in (2, 16):
        monkeypatch.setattr(measuring, "CHUNK", chunk)
        bench = measuring.Evaluator.of(made, pictures, None, None)
        scores = bench.scores(made, METHOD.sampling)
        assert scores["psnr_y"] == pytest.approx(sum(found) / 3, abs=1e-3)


def test_all_ways_that_fit_are_tried() -> None:
    made = stage(METHOD)
    over = ["sampling.sampler.eta=[0, 1]", 'sampling.consistent=[null, "PillowBicubic"]']
    ways = dict(measuring.samplings(made, [1, 2], over))
    assert len(ways) == 8
    chosen = ways["2 calls, sampler.eta=0, consistent=null"]
    assert (chosen.steps, chosen.sampler.eta, chosen.consistent) == (2, 0.0, None)
    grid = ['sampling.grid=[{"kind": "Explicit", "levels": [20.0]}]']
    assert len(dict(measuring.samplings(made, [1, 2], grid))) == 1  # one level is for one call
    with pytest.raises(ConfigError, match="fits no number of steps"):
        list(measuring.samplings(made, [2], grid))
    with pytest.raises(ConfigError, match="is not of the form"):
        list(measuring.samplings(made, [2], ["sampling.steps=3"]))


def test_variants_are_recipes_with_settings(tmp_path: Path) -> None:
    file = tmp_path / "variants.json"
    file.write_text(json.dumps([{"name": "a"}, {"name": "b", "set": ["method.precond=EDM", "plan.batch=3"]}]))
    plain, other = trial.variants(file, "plan.batch=5")
    assert (plain.run.plan.batch, other.run.plan.batch) == (5, 3)
    assert type(other.run.method.precond).__name__ == "EDM"
    for entry, message in (({"name": "a", "recipe": "photo"}, "'photo' is not one of"), ({}, "has a name")):
        file.write_text(json.dumps([entry]))
        with pytest.raises(ConfigError, match=message):
            trial.variants(file)


# ------------------------------------------------------------------------------ the commands


def ran(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["train_on_gpu.py", *map(str, arguments)])
    monkeypatch.setattr(train_on_gpu.gpu, "START", train_on_gpu.time.perf_counter())
    monkeypatch.setattr(train_on_gpu.signal, "signal", lambda *_: None)
    train_on_gpu.main()


def test_the_commands_from_photos_to_a_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--data", pictures, "--device", "cpu", "--precision", "fp32"]
    quick = ["--minutes", 0.1, "--set", "plan.batch=2"]
    run, back = tmp_path / "run", tmp_path / "back"
    ran(monkeypatch, "train", "photo-x4", "--tiny", *small, *quick, "-o", run, "--out", back)
    ran(monkeypatch, "train", "photo-x4", "--tiny", *small, *quick, "-o", run, "--resume")
    ran(monkeypatch, "join", back, "-o", tmp_path / "models")
    ran(monkeypatch, "pieces", run, "-o", tmp_path / "later", "--moments")
    ran(
        monkeypatch,
        "distil",
        tmp_path / "models",
        *small,
        *quick,
        "--set",
        "plan.size=32",
        "-o",
        tmp_path / "s",
    )
    table = tmp_path / "table.json"
    ran(
        monkeypatch,
        "measure",
        tmp_path / "s",
        "--high",
        pictures,
        "--steps",
        1,
        "--json",
        table,
        "--device",
        "cpu",
    )
    assert list(json.loads(table.read_text())) == ["1 call"]
    told = capsys.readouterr().out
    assert "saved after update" in told
    assert load(tmp_path / "s").method.sampling.steps == 1


def test_a_training_by_looks_takes_the_folder_that_judges(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: Path
) -> None:
    looks = ["--set", "method.perception=Perception", "--set", "method.rollout=Rollout"]
    small = ["--data", pictures, "--device", "cpu", "--precision", "fp32", "--minutes", 0.1]
    small += ["--set", "plan.batch=2", *looks, "--tiny"]
    with pytest.raises(SystemExit, match="a distance to learn by; add --perceptual") as left:
        ran(monkeypatch, "train", "photo-x4", *small, "-o", tmp_path / "run")
    assert "\n" not in str(left.value)
    squeezenet(tmp_path)
    ran(monkeypatch, "train", "photo-x4", *small, "-o", tmp_path / "run", "--perceptual", tmp_path)
    assert "by LPIPS 0.1's linear layers" in load(tmp_path / "run").card.training[-1]


def test_what_begins_with_a_model_is_like_it_and_its_card_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: Path
) -> None:
    """Weights of equal shape mean something else to another method."""
    small = ["--data", pictures, "--device", "cpu", "--precision", "fp32", "--tiny", "--set", "plan.batch=2"]
    first = tmp_path / "first"
    ran(monkeypatch, "train", "photo-x4", *small, "--minutes", 0.1, "-o", first)
    begin = [*small, "--minutes", 0.1, "--from", first]
    with pytest.raises(SystemExit, match=r"--from: .*first: its method\.precond is Clean"):
        ran(monkeypatch, "train", "photo-x4", *begin, "--set", "method.precond=EDM", "-o", tmp_path / "other")
    ran(monkeypatch, "train", "photo-x4", *begin, "-o", tmp_path / "tuned", "--seed", 3)
    assert "begun with the weights of first (SHA-256 " in load(tmp_path / "tuned").card.training[-1]
    ran(monkeypatch, "train", "photo-x4", *small, "--minutes", 0.1, "--resume", "-o", tmp_path / "tuned")
    assert "begun with the weights of first (SHA-256 " in load(tmp_path / "tuned").card.training[-1]
    assert json.loads((tmp_path / "tuned" / "run.json").read_text())["seed"] == 3


def test_a_frozen_encoder_comes_from_the_model_that_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: Path
) -> None:
    small = ["--data", pictures, "--device", "cpu", "--precision", "fp32", "--tiny", "--minutes", 0.1]
    small += ["--set", "plan.batch=2"]
    with pytest.raises(SystemExit, match="name a model that has been with --encoder"):
        ran(monkeypatch, "train", "srdiff-df2k-x4", *small, "-o", tmp_path / "without")
    ran(monkeypatch, "train", "srdiff-df2k-x4-encoder", *small, "-o", tmp_path / "encoder")
    with_one = ["-o", tmp_path / "run", "--encoder", tmp_path / "encoder"]
    ran(monkeypatch, "train", "srdiff-df2k-x4", *small, *with_one)
    frozen, given = (load(tmp_path / name).model for name in ("run", "encoder"))
    name = "encoder.conv_first.weight"
    assert torch.equal(frozen.source.state_dict()[name], given.network.rrdb.state_dict()["conv_first.weight"])


@pytest.mark.slow
def test_classes_are_learnt_from_the_folders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: Path
) -> None:
    for place, file in enumerate(sorted(pictures.iterdir())[:2]):
        (tmp_path / "data" / str(place)).mkdir(parents=True)
        (tmp_path / "data" / str(place) / file.name).write_bytes(file.read_bytes())
    seen: list[Tensor] = []

    def one_hot(module: LabelledModule, label: Tensor) -> Tensor:
        known = label[label >= 0]  # pictures are made without one, too
        seen.append(known)
        return F.one_hot(label.long().clamp(min=0), 2).to(label.dtype)

    monkeypatch.setattr(LabelledModule, "one_hot", one_hot)
    words = ["--tiny", "--set", "method.source.count=2", "--set", "method.network.vector=2"]
    words += ["--data", tmp_path / "data", "--device", "cpu", "--precision", "fp32", "--minutes", 0.1]
    ran(monkeypatch, "train", "base-64-class", *words, "-o", tmp_path / "run")
    assert set(torch.cat(seen).tolist()) == {0.0, 1.0}


@pytest.mark.slow
def test_what_is_trained_by_looks_can_be_profiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: Path
) -> None:
    words = ["photo-x4", "--tiny", "--data", pictures, "--device", "cpu", "--precision", "fp32", "--eager"]
    words += ["--set", "method.perception=Perception", "--batches", 2, "--repeat", 1]
    with pytest.raises(SystemExit, match="a distance to learn by; add --perceptual"):
        ran(monkeypatch, "profile", *words)
    squeezenet(tmp_path)
    ran(monkeypatch, "profile", *words, "--perceptual", tmp_path, "--json", tmp_path / "table.json")
    assert json.loads((tmp_path / "table.json").read_text())["rows"]["batch 2, eager"]["crops/s"] > 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "2 calls"),
        ({"sampler": Heun()}, "3 calls (steps=2)"),
        ({"orientations": 4}, "8 calls (steps=2)"),
        ({"fidelity": 1.0}, "1 call (steps=2)"),
    ],
)
def test_ways_are_told_by_what_they_cost(changes: dict[str, Any], told: str) -> None:
    assert measuring.cost(replace(METHOD.sampling, steps=2, **changes)) == told


def test_mistakes_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="'photo-x5' is not one of") as left:
        ran(monkeypatch, "train", "photo-x5", "--data", tmp_path, "--minutes", 1, "-o", tmp_path / "run")
    assert "\n" not in str(left.value)


def test_every_command_of_the_head_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    named = {
        line.split("train_on_gpu.py ")[1].split()[0]
        for line in (train_on_gpu.__doc__ or "").splitlines()
        if "train_on_gpu.py " in line
    }
    assert named == set(train_on_gpu.COMMANDS)
