"""Train on a GPU that is rented by the minute, on a machine without a network.

    python benchmarks/train_on_gpu.py collect SHARD.tar... -o DATA --sums SHA256SUMS
    python benchmarks/train_on_gpu.py check --data DATA --high PICTURES -o CHECK
    python benchmarks/train_on_gpu.py profile photo-x4 --data DATA --set plan.batch=256
    python benchmarks/train_on_gpu.py trial VARIANTS.json --data DATA --minutes 0.7 --high PICTURES -o TRIAL
    python benchmarks/train_on_gpu.py train photo-x4 --data DATA --minutes 9 --of 18 -o RUN --out BACK
    python benchmarks/train_on_gpu.py train photo-x4 --data DATA --minutes 9 --resume -o RUN --out BACK
    python benchmarks/train_on_gpu.py distil RUN --data DATA --minutes 4 -o STUDENT --out BACK
    python benchmarks/train_on_gpu.py measure RUN --high PICTURES --perceptual DIR --over 'FIELD=[A, B]'
    python benchmarks/train_on_gpu.py pieces RUN -o BACK
    python benchmarks/train_on_gpu.py join BACK -o MODELS                # at home, afterwards

It is `refinesr train` with a clock: what is learnt, from what, and what a run's folder holds are the same.
The plan's number of updates is fitted to the minutes while it trains, warm-up and decay with it.  `--of` is
the length of the whole training where several commands share it; the later ones `--resume`.
Everything is saved about once a minute; `--out` gets pieces of at most 15 MiB with checksums, from which
`join` makes a model file, and with which `--from` begins another training elsewhere.  Needs torch, NumPy,
Pillow, safetensors, jaxtyping, attrs and cattrs alone; with PYTHONPATH=src nothing has to be installed.
"""

import json
import os
import signal
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from types import FrameType

import gpu
import torch
from gpu import measuring, options, pieces, profiling, training, transfer
from gpu.pace import TimeBudget
from gpu.smoke import Smoke
from gpu.trial import TrialSettings, variants

import refinesr
from refinesr.compiling import compile_networks
from refinesr.config import from_data, override, parse
from refinesr.data import Photos, load_photos
from refinesr.devices import autocast_dtype, device_named, move_to
from refinesr.errors import ConfigError, RefineSRError
from refinesr.fit import State
from refinesr.folder import RunFolder
from refinesr.pretrained import new_model
from refinesr.recipes import RECIPES, tiny
from refinesr.recipes.distilled import student_of
from refinesr.run import Run, load_run, training_pairs, with_start
from refinesr.stage import Stage
from refinesr.train import build_objective, prepare_run

LAST = 5.0
"""Seconds of a command's minutes that are kept free for leaving."""


def say(text: str) -> None:
    print(text, flush=True)


def spent() -> float:
    return time.perf_counter() - gpu.START


# ------------------------------------------------------------------------------ the commands


def collect(args: Namespace) -> None:
    missing = pieces.collect(args.files, args.output, args.sums)
    held = sum(1 for _ in args.output.iterdir())
    say(f"{args.output}: {held} files" + (f"; missing: {', '.join(missing)}" if missing else ""))


def check(args: Namespace) -> None:
    device, _ = computing(args)
    photos = load_photos(args.data, device, smallest=64)
    failed = Smoke(photos, args.high, args.perceptual, args.output, say, args.seconds).run_checks()
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def profile(args: Namespace) -> None:
    run, (device, autocast) = recipe(args), computing(args)
    run, distance = training.with_distance(run, args.perceptual, device)
    view = profiling.Profile(run, loaded(args, device, run), autocast, args.repeat, distance)
    peak, rows = profiling.measured_peaks(device), {}
    say(
        f"{training.flops(run) / 1e9:.1f} GFLOP a crop; " + ", ".join(f"{v:.2f} {k}" for k, v in peak.items())
    )
    batches = args.batches or [run.plan.batch]
    for batch in batches:
        for compiling in (False, True):
            name = f"batch {batch}, {'compiled' if compiling else 'eager'}"
            rows[name] = view.row(batch, compiling=compiling)
            profiling.print_row(name, rows[name], say)
            written(args.json, {"peak": peak, "rows": rows})
        profiling.print_bottleneck(rows[name], peak, say)
    view.kernels(batches[-1], say)


def trial(args: Namespace) -> None:
    chosen, (device, autocast) = variants(args.variants, *args.set), computing(args, forgiving=True)
    photos = loaded(args, device, *(each.run for each in chosen))
    measured = args.high, args.perceptual, args.limit, args.size
    trying = TrialSettings(photos, args.output, autocast, 60 * args.minutes, tuple(args.steps), *measured)
    rows = {}
    for name, numbers in trying.rows(chosen, say):
        rows[name] = numbers
        written(args.json, rows)
    if rows:
        measuring.table(rows, say)


def train(args: Namespace) -> None:
    fitted(args, recipe(args), encoder=args.encoder)


def distil(args: Namespace) -> None:
    levels = tuple(args.levels) or None
    run, teacher = student_of(args.teacher, None if levels else args.calls, levels, args.teacher_steps)
    fitted(args, override(run, *args.set), teacher)


def measure(args: Namespace) -> None:
    device, autocast = computing(args)
    stage = refinesr.load(args.model)
    move_to(stage.model, device)
    bench = measuring.Evaluator.of(
        stage, args.high, args.perceptual, autocast, limit=args.limit, size=args.size
    )
    rows = {name: bench.scores(stage, way) for name, way in measuring.samplings(stage, args.steps, args.over)}
    if args.perceptual:
        rows = dict(sorted(rows.items(), key=lambda row: row[1]["perceptual"]))
    measuring.table(rows, say)
    written(args.json, rows)


def cut(args: Namespace) -> None:
    place = RunFolder(args.run)
    run = from_data(Run, parse(place.run.read_text(), str(place.run)), str(place.run))
    run = training.with_planned_steps(run, args.run)
    state = State(new_model(run.method, torch.device("cpu"), 0), run.plan)
    state.load(place.state)
    training.export(run, state, args.run, args.output, args.room * 2**20, moments=args.moments)
    say(f"{args.output}: {', '.join(sorted(file.name for file in args.output.iterdir()))}")


def join(args: Namespace) -> None:
    for file in pieces.join(args.folder, args.output):
        told = "; ".join(refinesr.load(file).card.training) if file.name == transfer.MODEL else ""
        say(f"{file}: {file.stat().st_size / 2**20:.1f} MiB  {told}")


COMMANDS = {
    "collect": collect,
    "check": check,
    "profile": profile,
    "trial": trial,
    "train": train,
    "distil": distil,
    "measure": measure,
    "pieces": cut,
    "join": join,
}

# ------------------------------------------------------------------------------ what they share


def fitted(args: Namespace, run: Run, teacher: Stage | None = None, encoder: Path | None = None) -> None:
    """A training of so many minutes, these counted from the start of the program."""
    device, autocast = computing(args, forgiving=True)
    before = load_run(RunFolder(args.output)) if args.resume else None
    start = None
    if before is not None:
        run = replace(run, start=before.start, seed=before.seed)
    elif args.begin:
        run, start = with_start(run, args.begin)
    run = run if args.seed is None else replace(run, seed=args.seed)
    run, distance = training.with_distance(run, args.perceptual, device)
    if teacher is not None:
        move_to(teacher.model, device)
    objective = build_objective(run, teacher, distance)
    state = prepare_run(run, RunFolder(args.output), device, args.resume, teacher or start or encoder)
    if start:
        transfer.load_transfer(state, args.begin)
    photos = loaded(args, device, run)
    for model in (state.model, *([teacher.model] if teacher else [])):
        compile_networks(model, device)
    pairs = training_pairs(run, photos)
    back = args.out, args.room * 2**20
    job = training.Job(run, args.output, autocast, *back, ahead=args.ahead)
    done = training.train_for(job, pairs, state, objective, time_budget(args), say)
    crops = f"{done.updates} updates, loss {done.loss:.4f}, {done.crops:.0f} crops/s"
    say(f"{args.output}: {crops}, {spent():.0f} s")


def time_budget(args: Namespace) -> TimeBudget:
    """From the start of the program; a run that goes on knows what has been spent on it."""
    told = args.output / training.SPENT
    before = json.loads(told.read_text())["seconds"] if args.resume and told.exists() else 0.0
    whole = None if args.of is None else 60 * args.of
    return TimeBudget(60 * args.minutes - LAST, whole, before, args.save_every, start=gpu.START)


def recipe(args: Namespace) -> Run:
    if args.recipe not in RECIPES:
        raise ConfigError(f"recipe: {args.recipe!r} is not one of {', '.join(RECIPES)}")
    run = RECIPES[args.recipe]()
    return override(tiny(run) if args.tiny else run, *args.set)


def loaded(args: Namespace, device: torch.device, *runs: Run) -> Photos:
    """Photos for all the runs.  Raises ConfigError."""
    channels, *others = {run.method.channels for run in runs}
    if others:
        raise ConfigError("method.channels: variants of several cannot share their photos")
    photos = load_photos(args.data, device, channels=channels, smallest=max(run.plan.size for run in runs))
    if not photos.resident:  # half of the free memory is theirs
        raise ConfigError(f"--data: {args.data} does not fit in memory, and decoding is dear by the minute")
    say(f"{len(photos)} photos, {photos.left_out} left out, after {spent():.1f} s")
    return photos


def computing(args: Namespace, *, forgiving: bool = False) -> tuple[torch.device, torch.dtype | None]:
    """The device, and the dtype of autocast; what cannot be compiled runs as it is, if `forgiving`."""
    device = device_named(args.device)
    torch.backends.cudnn.benchmark = (
        True  # all batches have one size, so the best algorithm is looked for once
    )
    torch._dynamo.config.disable = args.eager
    torch._dynamo.config.suppress_errors = forgiving
    torch._dynamo.config.recompile_limit = 64  # networks of several shapes, with gradients and without
    return device, autocast_dtype(args.precision, device)


def written(path: Path | None, data: object) -> None:
    if path:
        path.write_text(json.dumps(data, indent=1) + "\n")


def left(number: int, frame: FrameType | None) -> None:
    """Who ends the program gently still gets what was learnt."""
    raise SystemExit(128 + number)


def main() -> None:
    args = options.parser(__doc__, COMMANDS).parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a mistyped folder is not looked for on the network
    signal.signal(signal.SIGTERM, left)
    try:
        args.command(args)
    except RefineSRError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error


if __name__ == "__main__":
    main()
