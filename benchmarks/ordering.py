"""SR3's table 1 in kind: bicubic, regression, SR3 and our few-step model on aligned faces, 16 -> 128 pixels.

    python benchmarks/ordering.py --train FACES... --test FACES --perceptual DIR -o FOLDER [--share 0.01]

FACES are folders or tar files of aligned faces of 128 x 128 pixels. The three networks are tiny and learn
for about as long, 2400 seconds of one core of a Zen-4 server each: 2400 updates of 8 faces for SR3's U-Net
and its regression baseline, which is the same network, 4000 of 32 for ours, which runs at the small
picture's size. Prints the table of `refinesr evaluate --protocol sr3-faces` with LPIPS-like and with
Frechet and kernel distances on SqueezeNet's features (benchmarks/features.py); FOLDER/report has its page.
What was stopped goes on where it was. `--share` takes that part of the updates, to try it.
"""

import argparse
import subprocess
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from refinesr import load
from refinesr.checkpoint import save_stage
from refinesr.images.resize import PillowBicubic

UNET = (
    "method.network.width=16",
    "method.network.multipliers=[1,2,4,4,8]",
    "method.network.blocks=1",
    "method.network.groups=4",
    "method.network.dropout=0",
    "plan.batch=8",
)
"""Of 3.2 M parameters, in the paper's layout."""

PACKED = (
    "method.scale=8",
    "method.network.scale=8",
    "method.network.features=64",
    "method.network.widths=[128,192,256]",
    "method.network.blocks=[2,2,3]",
    "method.network.embedding=128",
    "method.source.encoder.width=64",
    "method.source.encoder.blocks=6",
    'method.degradation={"kind":"Bicubic","scale":8}',
    "method.target.gain=2.0",
    "plan.size=128",
    "plan.upright=true",
    "plan.batch=32",
)
"""Of 6.0 M parameters."""

PLAN = (
    "plan.rate=1e-3",
    "plan.warmup=200",
    "plan.halflife=200",
    'plan.decay={"kind":"CosineDecay"}',
    "plan.save_every=200",
    "plan.preview_every=1000",
)
"""For thousands of updates instead of a million; of all three."""


@dataclass(frozen=True)
class Training:
    name: str
    recipe: str
    steps: int
    changes: tuple[str, ...]


TRAININGS = (
    Training("regression", "sr3-16-128-regression", 2400, UNET),
    Training("sr3", "sr3-16-128", 2400, UNET),
    Training("ours", "photo-x4", 4000, PACKED),
)

ROWS = (
    "bicubic",
    "regression={}/regression",
    "SR3={}/sr3@100",
    "SR3-projected={}/sr3-projected.safetensors@100",
    *(f"ours@{calls}={{}}/ours@{calls}" for calls in (1, 2, 3, 4, 8)),
)


def main() -> None:
    args = arguments()
    for training in TRAININGS:
        folder = args.output / training.name
        steps = max(1, round(args.share * training.steps))
        settings = [*PLAN, *training.changes, f"plan.steps={steps}"]
        refinesr(
            "train", training.recipe, "--data", *args.train, "-o", folder, *flags(settings), *again(folder)
        )
    projected(args.output / "sr3", args.output / "sr3-projected.safetensors")
    features = args.output / "squeezenet-features.pt"
    script = Path(__file__).parent / "features.py"
    run(sys.executable, script, args.perceptual, "-o", features)
    rows = [row.format(args.output) for row in ROWS]
    given = ("--data", args.test, "--protocol", "sr3-faces", "--batch", "10")
    weights = ("--features", features, "--perceptual", args.perceptual)
    refinesr("evaluate", *rows, *given, *weights, "-o", args.output / "report")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, nargs="+", required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--perceptual", type=Path, required=True, help="folder with squeezenet11.npz")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--share", type=float, default=1.0)
    return parser.parse_args()


def projected(model: Path, path: Path) -> None:
    """The same weights, sampled with every estimate projected, as ours are."""
    stage = load(model)
    sampling = replace(stage.method.sampling, consistent=PillowBicubic())
    save_stage(replace(stage, method=replace(stage.method, sampling=sampling)), path, overwrite=True)


def flags(settings: list[str]) -> Iterator[str]:
    for setting in settings:
        yield from ("--set", setting)


def again(folder: Path) -> tuple[str, ...]:
    return ("--resume",) if (folder / "state.pt").exists() else ()


def refinesr(*words: object) -> None:
    run(sys.executable, "-m", "refinesr", *words)


def run(*words: object) -> None:
    """Ends this program as the other one ends, if that fails."""
    done = subprocess.run([str(word) for word in words], check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
