"""What a training leaves in its folder, whatever ends it."""

import io
import itertools
import json
import math
import shutil
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from methods import FewPairs, packed, plan
from PIL import Image
from torch import Tensor

import refinesr.fit
import refinesr.train
from refinesr import load
from refinesr.config import from_data, override
from refinesr.errors import CheckpointError, ConfigError, OutputError
from refinesr.files import check_unlocked, new_partial_file
from refinesr.fit import Report, State, fit, update_average
from refinesr.folder import RunFolder, check_folder
from refinesr.log import DivergedError, TrainingLog
from refinesr.pretrained import new_model
from refinesr.run import Run
from refinesr.stage import Card
from refinesr.train import train

CPU = torch.device("cpu")
PLAN = plan(steps=6, save_every=2, preview_every=3)
RUN = Run("face-x2", packed(2), PLAN)
EVERYTHING = {"run.json", "model.safetensors", "state.pt", "log.jsonl", "previews", ".lock"}


def training(
    folder: Path, run: Run = RUN, pairs: Any = None, **options: Any
) -> Generator[Report, None, None]:
    pairs = pairs or FewPairs(run.method, run.plan.batch)
    return cast("Generator[Report, None, None]", train(run, pairs, folder, device=CPU, **options))


def whole(folder: Path, run: Run = RUN, **options: Any) -> list[dict[str, float]]:
    """Train to the end; what was reported."""
    return [
        {"step": r.step, "loss": float(r.loss), "gradient": float(r.gradient), "rate": r.rate}
        for r in training(folder, run, **options)
    ]


def log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def saved(folder: Path) -> int:
    return int(torch.load(folder / "state.pt", weights_only=True)["step"])


def test_a_run_leaves_what_is_documented_and_nothing_else(tmp_path: Path) -> None:
    reports = whole(tmp_path / "a" / "run")
    folder = tmp_path / "a" / "run"
    assert {path.name for path in folder.iterdir()} == EVERYTHING
    assert log(folder) == reports
    assert [report["step"] for report in reports] == [1, 2, 3, 4, 5, 6]
    assert saved(folder) == 6
    assert {path.name for path in (folder / "previews").iterdir()} == {"0000003.png", "0000006.png"}


def test_the_run_is_kept_as_a_value(tmp_path: Path) -> None:
    whole(tmp_path)
    data = json.loads((tmp_path / "run.json").read_text())
    assert from_data(Run, data, "run.json") == RUN
    assert str(tmp_path) not in json.dumps(data)


def test_the_model_is_the_average_and_loads_by_the_folder(tmp_path: Path) -> None:
    whole(tmp_path)
    stage = load(tmp_path)
    assert stage.method == RUN.method
    average = torch.load(tmp_path / "state.pt", weights_only=True)["average"]
    for name, tensor in stage.model.state_dict().items():
        assert torch.equal(tensor, average[name])


def test_a_card_tells_how_much_training_there_was(tmp_path: Path) -> None:
    whole(tmp_path / "a")
    assert load(tmp_path / "a").card.training == ("face-x2: 6 of 6 updates of 4 crops of 16 x 16 pixels",)
    whole(tmp_path / "b", replace(RUN, card=Card("name", training=("on a laptop",))))
    assert load(tmp_path / "b").card == Card("name", training=("on a laptop",))


def test_the_same_seed_makes_the_same_model_byte_by_byte(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        torch.rand(5)
        whole(tmp_path / name, replace(RUN, seed=seed))
    first, second, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert first == second
    assert first != other


def test_fresh_weights_are_the_seeds_and_torchs_generator_is_untouched() -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    first, second = (new_model(RUN.method, CPU, 2**63 - 1).state_dict() for _ in range(2))
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_weights_of_a_short_seed_are_those_torch_draws(seed: int) -> None:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        expected = RUN.method.build().state_dict()
    found = new_model(RUN.method, CPU, seed).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_all_bits_of_a_seed_count_for_the_weights() -> None:
    """torch's generator on a CPU takes the lower 32 alone."""
    seeds = (1, 1 + 2**32, 1 + 2**62)
    drawn = [
        torch.cat([p.flatten() for p in new_model(RUN.method, CPU, seed).parameters()]) for seed in seeds
    ]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(drawn, 2))


def test_weights_are_drawn_on_the_cpu_whatever_the_callers_default() -> None:
    expected = new_model(RUN.method, CPU, 3).state_dict()
    with torch.device("meta"):
        found = new_model(RUN.method, CPU, 3).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_preview_shows_low_estimate_and_truth(tmp_path: Path) -> None:
    """Four rows of three columns of 16 pixels, each with a gap of 4; the last column is the truth."""
    whole(tmp_path)
    with Image.open(tmp_path / "previews" / "0000006.png") as image:
        sheet = np.asarray(image)
    assert sheet.shape == (4 * 20, 3 * 20, 3)
    high, _ = FewPairs(RUN.method).at(PLAN.steps)
    truth = ((high[1] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(sheet[20:36, 40:56], truth)
    assert len(np.unique(sheet[:16, 20:36])) > 50


def test_grey_previews_are_grey(tmp_path: Path) -> None:
    whole(tmp_path, replace(RUN, method=packed(2, 1)))
    with Image.open(tmp_path / "previews" / "0000006.png") as image:
        assert (np.ptp(np.asarray(image), axis=2) == 0).all()


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_whoever_closes_a_run_can_resume_it_and_nothing_is_lost(tmp_path: Path, stop: int) -> None:
    reports = whole(tmp_path / "through")
    with closing(training(tmp_path / "parts")) as walk:
        for report in walk:
            if report.step == stop:
                break
    assert saved(tmp_path / "parts") == stop
    assert log(tmp_path / "parts") == reports[:stop]
    whole(tmp_path / "parts", resume=True)
    assert log(tmp_path / "parts") == reports
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("through", "parts")]
    assert models[0] == models[1]


def test_an_exception_in_the_callers_loop_saves_as_well(tmp_path: Path) -> None:
    walk = training(tmp_path)
    for _ in range(3):
        next(walk)
    with pytest.raises(KeyboardInterrupt):
        walk.throw(KeyboardInterrupt())
    assert saved(tmp_path) == 3


@pytest.mark.parametrize("place", ["before the average", "after it", "before anybody is told"])
def test_half_an_update_is_never_saved_and_the_last_save_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Ctrl-C in Python, or memory that lacks for the optimiser, in the fifth update: the fourth is kept."""
    reports, calls = whole(tmp_path / "through"), itertools.count(1)

    def breaking(*given: Any) -> None:
        fifth = next(calls) == 5
        if not fifth or place == "after it":
            update_average(*given)
        if fifth:
            raise KeyboardInterrupt

    def late(*given: Any, **named: Any) -> Iterator[Report]:
        for report in fit(*given, **named):
            if report.step == 5:
                raise KeyboardInterrupt
            yield report

    with monkeypatch.context() as patch:
        if place == "before anybody is told":
            patch.setattr(refinesr.train, "fit", late)
        else:
            patch.setattr(refinesr.fit, "update_average", breaking)
        with pytest.raises(KeyboardInterrupt):
            whole(tmp_path / "broken")
    assert saved(tmp_path / "broken") == 4
    assert log(tmp_path / "broken") == reports[:4]
    whole(tmp_path / "broken", resume=True)
    assert log(tmp_path / "broken") == reports
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("through", "broken")]
    assert models[0] == models[1]


def test_an_exception_between_updates_saves_all_that_were_made(tmp_path: Path) -> None:
    """Before the weights of the sixth change, five are whole."""

    class Ending(FewPairs):
        def at(self, step: int) -> tuple[Tensor, Tensor]:
            if step == 5:
                raise MemoryError
            return super().at(step)

    with pytest.raises(MemoryError):
        whole(tmp_path, pairs=Ending(RUN.method))
    assert saved(tmp_path) == len(log(tmp_path)) == 5


def test_a_log_that_is_broken_in_upon_has_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n')
    report = Report(2, torch.zeros(()), torch.zeros(()), 0.1)
    kept = TrainingLog(path, [report])

    class Breaking(io.TextIOWrapper):
        def write(self, text: str) -> int:
            super().write(text[:5])
            raise KeyboardInterrupt

    def open_breaking(self: Path, mode: str, **named: Any) -> Breaking:
        return Breaking(io.BufferedWriter(io.FileIO(self, mode)), **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_breaking)
        with pytest.raises(KeyboardInterrupt):
            kept.write()
    assert path.read_text() == '{"step": 1}\n'
    kept.write()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is on the disk after each update of a run, in a folder with the update's number: what a kill
    leaves, as nobody closes anything."""
    folder = tmp_path_factory.mktemp("moments")
    for report in training(folder / "run"):
        shutil.copytree(folder / "run", folder / str(report.step))
    return folder


@pytest.mark.parametrize("step", [3, 4, 5])
@pytest.mark.parametrize("damage", ["none", "half a line", "lines too many", "each twice", "nested", "lost"])
def test_a_killed_run_goes_on_from_its_last_save_with_one_line_an_update(
    moments: Path, tmp_path: Path, step: int, damage: str
) -> None:
    """Whatever the log was left with: half a line, or lines of updates that the state does not know."""
    shutil.copytree(moments / str(step), tmp_path, dirs_exist_ok=True)
    assert saved(tmp_path) == step // 2 * 2
    text, all_of_it = ((folder / "log.jsonl").read_text() for folder in (tmp_path, moments / "run"))
    damaged = {
        "none": text,
        "half a line": text + all_of_it.splitlines()[-1][:20],
        "lines too many": all_of_it,
        "each twice": "".join(line + line for line in all_of_it.splitlines(keepends=True)),
        "nested": text + "[" * 100_000 + "\n",
        "lost": "",
    }
    (tmp_path / "log.jsonl").write_text(damaged[damage])
    whole(tmp_path, resume=True)
    lost = step // 2 * 2 if damage == "lost" else 0
    assert log(tmp_path) == log(moments / "run")[lost:]
    models = [(folder / "model.safetensors").read_bytes() for folder in (tmp_path, moments / "run")]
    assert models[0] == models[1]


def test_what_a_killed_run_left_half_written_is_gone_when_it_goes_on(tmp_path: Path) -> None:
    """Under a hidden name and as large as a state: nobody would look for it."""
    whole(tmp_path, override(RUN, "plan.steps=2"))
    new_partial_file(tmp_path).write_bytes(b"half a state")
    (tmp_path / ".mine.part").write_text("")
    whole(tmp_path, override(RUN, "plan.steps=4"), resume=True)
    assert [path.name for path in tmp_path.glob(".*.part")] == [".mine.part"]


def test_a_run_killed_before_its_first_save_starts_again(moments: Path, tmp_path: Path) -> None:
    shutil.copytree(moments / "1", tmp_path, dirs_exist_ok=True)
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "log.jsonl", ".lock"}
    with pytest.raises(OutputError, match="no run to resume here; start one without --resume"):
        whole(tmp_path, resume=True)
    whole(tmp_path)
    assert log(tmp_path) == log(moments / "run")


def test_lines_are_written_now_and_then_between_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For whoever follows the file, and to notice a loss that is no number."""
    monkeypatch.setattr(refinesr.train, "LOG_INTERVAL", 2)
    with closing(training(tmp_path, replace(RUN, plan=plan(steps=6)))) as walk:
        lines = [len(log(tmp_path)) for _ in walk]
    assert lines == [0, 2, 2, 4, 4, 6]


def test_a_folder_with_a_run_is_refused_without_resume(tmp_path: Path) -> None:
    whole(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(OutputError) as caught:
        whole(tmp_path)
    assert str(caught.value) == f"{tmp_path}: holds a run already; --resume continues it"
    assert {path: path.read_bytes() for path in before} == before
    check_folder(RunFolder(tmp_path), resume=True)


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("updates", [1, 3])
@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_in_which_a_run_is_at_work_is_refused_and_stays_as_it_is(
    tmp_path: Path, updates: int, resume: bool
) -> None:
    """Before its first save as after it."""
    walk = training(tmp_path)
    for _ in range(updates):
        next(walk)
    before = contents(tmp_path)
    with pytest.raises(OutputError) as caught:
        whole(tmp_path, resume=resume)
    wait = "wait until it is done, or choose another folder"
    assert str(caught.value) == f"{tmp_path}: another process is at work in this folder; {wait}"
    assert contents(tmp_path) == before
    walk.close()
    assert [report["step"] for report in whole(tmp_path, resume=True)] == list(range(updates + 1, 7))


def test_one_that_came_and_went_while_the_weights_were_made_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is looked at before weights are made and again when it is held."""
    make = refinesr.train.initial_model

    def slow(*given: Any) -> Any:
        monkeypatch.undo()
        whole(tmp_path)
        return make(*given)

    monkeypatch.setattr(refinesr.train, "initial_model", slow)
    with pytest.raises(OutputError, match="holds a run already"):
        whole(tmp_path)
    assert len(log(tmp_path)) == 6


def test_however_a_run_ends_the_folder_is_free(tmp_path: Path) -> None:
    closed, thrown, dropped = (training(tmp_path / name) for name in ("closed", "thrown", "dropped"))
    for walk in (closed, thrown, dropped):
        next(walk)
    closed.close()
    with pytest.raises(KeyboardInterrupt):
        thrown.throw(KeyboardInterrupt())
    del walk, dropped
    whole(tmp_path / "exhausted")
    with pytest.raises(DivergedError):
        list(training(tmp_path / "diverged", RUN, Poisoned(RUN.method)))
    for name in ("closed", "thrown", "dropped", "exhausted", "diverged"):
        check_unlocked(tmp_path / name)
        assert len(whole(tmp_path / name, resume=True)) <= 6


def test_a_model_that_lies_there_alone_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("precious")
    with pytest.raises(OutputError, match="exists, without the state of its run; choose another folder"):
        whole(tmp_path)
    assert (tmp_path / "model.safetensors").read_text() == "precious"


def test_a_finished_run_resumed_makes_no_update_and_changes_nothing(tmp_path: Path) -> None:
    reports = whole(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    for there in (True, False):  # a process may have been killed after its last state, before the model
        if not there:
            (tmp_path / "model.safetensors").unlink()
        assert whole(tmp_path, resume=True) == []
        assert log(tmp_path) == reports
        assert (tmp_path / "model.safetensors").read_bytes() == before


def test_a_run_can_be_made_longer(tmp_path: Path) -> None:
    whole(tmp_path)
    longer = override(RUN, "plan.steps=8")
    assert [report["step"] for report in whole(tmp_path, longer, resume=True)] == [7, 8]
    assert from_data(Run, json.loads((tmp_path / "run.json").read_text()), "run.json") == longer


def test_the_state_of_another_network_is_refused(tmp_path: Path) -> None:
    whole(tmp_path)
    (tmp_path / "run.json").unlink()  # which would tell
    with pytest.raises(CheckpointError, match=r"state\.pt: not the state of this run"):
        whole(tmp_path, replace(RUN, method=packed(4)), resume=True)


@pytest.mark.parametrize("damaged", [b"\xe9", b"{"])
def test_a_run_that_cannot_be_read_is_named(tmp_path: Path, damaged: bytes) -> None:
    whole(tmp_path)
    (tmp_path / "run.json").write_bytes(damaged)
    with pytest.raises(ConfigError, match=r"run\.json: not valid JSON"):
        whole(tmp_path, resume=True)


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(OutputError) as caught:
            whole(place)
        assert str(caught.value).startswith(f"{place}: cannot be written: ")


def test_sampling_that_cannot_be_is_found_before_anything_is_written(tmp_path: Path) -> None:
    """Not at the first preview, thousands of updates later."""
    wrong = override(RUN, "method.sampling.grid=" + json.dumps({"kind": "Explicit", "levels": [1.0]}))
    with pytest.raises(ConfigError, match="steps: 3 is not possible"):
        whole(tmp_path / "run", wrong)
    assert not (tmp_path / "run").exists()


class Poisoned(FewPairs):
    """From the fifth batch on, one value is infinite."""

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        high, low = super().at(step)
        if step >= 4:
            high[0, 0, 0, 0] = math.inf
        return high, low


def test_a_loss_that_is_no_number_stops_the_run_and_the_last_save_is_from_before(tmp_path: Path) -> None:
    long = replace(RUN, plan=replace(PLAN, steps=20))
    with pytest.raises(DivergedError) as caught:
        for _ in training(tmp_path, long, Poisoned(RUN.method)):
            pass
    text = "the loss is inf at step 5; try a smaller plan.rate or --precision fp32"
    assert str(caught.value) in (text, text.replace("inf", "nan"))
    assert saved(tmp_path) == 4
    assert all(bool(tensor.isfinite().all()) for tensor in load(tmp_path).model.state_dict().values())
    assert [entry["step"] for entry in log(tmp_path)] == [1, 2, 3, 4]


def test_a_gradient_that_is_none_stops_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finite loss with an infinite gradient leaves no finite weights: it is noticed before a save."""
    clip = torch.nn.utils.clip_grad_norm_
    norms: Iterator[float] = iter([1.0, 1.0, 1.0, math.inf])
    monkeypatch.setattr(
        torch.nn.utils, "clip_grad_norm_", lambda *given: clip(*given) * next(norms, math.inf)
    )
    with pytest.raises(DivergedError, match="the gradient is inf at step 4"):
        whole(tmp_path)
    assert saved(tmp_path) == 2


@contextmanager
def small_files() -> Iterator[None]:
    """Files may hold 20 000 bytes: as good as a full disk."""
    resource = pytest.importorskip("resource")  # not on Windows
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        yield
    finally:  # before anything is told of the test, which may go into a larger file
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    with small_files(), pytest.raises(OutputError) as caught:
        whole(tmp_path)
    assert str(caught.value) == f"{tmp_path}/state.pt: cannot be written: File too large"
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "log.jsonl", ".lock"}
    assert [entry["step"] for entry in log(tmp_path)] == [1, 2]


def test_a_run_that_learnt_nothing_is_in_nobodys_way(tmp_path: Path) -> None:
    class Broken:
        def at(self, step: int) -> tuple[Tensor, Tensor]:
            raise MemoryError

    with suppress(MemoryError):
        list(training(tmp_path, RUN, Broken()))
    assert len(whole(tmp_path)) == 6


def test_bf16_can_be_asked_for(tmp_path: Path) -> None:
    whole(tmp_path, autocast=torch.bfloat16)
    assert {tensor.dtype for tensor in load(tmp_path).model.state_dict().values()} == {torch.float32}


def test_a_state_is_ready_for_what_the_plan_says() -> None:
    (group,) = State(new_model(RUN.method, CPU, 0), PLAN).optimizer.param_groups
    assert (group["betas"], group["lr"]) == (PLAN.betas, PLAN.rate)


def test_another_optimizer_is_not_resumed(tmp_path: Path) -> None:
    """It could not go on with the other's moments."""
    muon = override(RUN, "plan.steps=2", "plan.optimizer=Muon")
    whole(tmp_path, muon)
    with pytest.raises(ConfigError, match=r"with plan\.optimizer=Muon; --resume may not change it"):
        whole(tmp_path, override(RUN, "plan.steps=4"), resume=True)
    rest = override(muon, "plan.steps=4", "plan.optimizer.momentum=0.9")
    assert [report["step"] for report in whole(tmp_path, rest, resume=True)] == [3, 4]


def test_another_method_is_not_resumed(tmp_path: Path) -> None:
    """Weights of equal shape would load, and two methods be mixed."""
    whole(tmp_path, override(RUN, "plan.steps=2"))
    other = override(RUN, "plan.steps=4", "method.p=1" if RUN.method.p == 2 else "method.p=2")
    with pytest.raises(
        ConfigError, match=r"holds a run of another method\.p; --resume may only change the plan"
    ):
        whole(tmp_path, other, resume=True)


def test_a_run_keeps_its_seed(tmp_path: Path) -> None:
    steady = override(RUN, "plan.decay=Constant", "seed=5")
    whole(tmp_path, override(steady, "plan.steps=2"))
    with pytest.raises(ConfigError, match="holds a run of seed 5; --resume may not change it"):
        whole(tmp_path, replace(steady, seed=0), resume=True)
    rest = whole(tmp_path, steady, resume=True)
    assert [each["step"] for each in rest] == [3, 4, 5, 6]
    assert rest == whole(tmp_path / "straight", steady)[2:]
    assert rest != whole(tmp_path / "other", replace(steady, seed=0))[2:]


def test_a_plan_that_ends_before_the_run_has_come_is_refused(tmp_path: Path) -> None:
    """Its card would tell of 6 of 4 updates."""
    whole(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in ("run.json", "model.safetensors")}
    with pytest.raises(ConfigError, match=r"plan\.steps: 4, but the run has made 6 updates already"):
        whole(tmp_path, override(RUN, "plan.steps=4"), resume=True)
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_is_a_number_that_all_parts_can_use(seed: int) -> None:
    with pytest.raises(ConfigError, match=rf"seed: {seed} is not between 0 and 2\*\*63 - 1"):
        replace(RUN, seed=seed)
