"""What the scripts of this folder share; not a script itself.

Pictures, methods and numbers of single pictures are those of `refinesr evaluate`, so one code measures.
Nothing that imports torch is imported at the top: who measures children's memory has to be small.
"""

import argparse
import json
import platform
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from refinesr.evaluate.image_metrics import Metric
    from refinesr.evaluate.pairs import LoadedPair
    from refinesr.evaluate.upscalers import Upscaler
    from refinesr.stage import Stage


# ------------------------------------------------------------------------------ every script


def parser(description: str | None) -> ArgumentParser:
    """Shows the script's docstring as it is written."""
    made = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    made.add_argument("--json", type=Path, help="write all numbers, the conventions and the machine")
    return made


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown with columns that are even: for people and for documents.  Numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *rest = zip(cells, widths, strict=True)
        return " | ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)])

    ruled = " | ".join("-" * width for width in widths)
    return "\n".join(f"| {text} |" for text in (line(head), ruled, *map(line, rows)))


def report(args: argparse.Namespace, title: str, text: str, conventions: Sequence[str], **facts: Any) -> None:
    """Print the table under its title, over its conventions; write `facts` besides to `--json`."""
    from refinesr.evaluate.report import json_numbers

    print(f"\n{title}\n\n{text}\n", *(f"- {line}" for line in conventions), sep="\n", flush=True)
    if args.json:
        whole = {"title": title, "conventions": conventions, "machine": machine(), **facts}
        args.json.write_text(json.dumps(json_numbers(whole), indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """What speed depends on."""
    import torch

    cards = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    return {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "cards": cards,
        "torch": torch.__version__,
    }


def processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def peak() -> int:
    """Bytes this process has held at most.

    Linux's VmHWM begins anew with the program; getrusage's also knows what the process was forked from.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    import resource

    return most_of(resource.RUSAGE_SELF)


def most_of(whom: int) -> int:
    """Bytes that this process (RUSAGE_SELF) or the largest of its children (RUSAGE_CHILDREN) has held."""
    import resource

    used = resource.getrusage(whom).ru_maxrss
    return used if platform.system() == "Darwin" else 1024 * used


# ------------------------------------------------------------------------------ pictures and methods


def picture_parser(description: str | None, calls: Sequence[int]) -> ArgumentParser:
    """With what `shown`, `methods` and `metrics` read."""
    made = parser(description)
    made.add_argument("--high", type=Path, required=True, help="folder (or tar file) of good pictures")
    made.add_argument(
        "--low",
        type=Path,
        help="folder of the low-resolution images; default: made of the others",
    )
    made.add_argument("--limit", type=int, help="the first so many pictures only, by name")
    made.add_argument("--perceptual", type=Path, help="folder with squeezenet11.npz and LPIPS' linear layers")
    made.add_argument("--model", nargs="+", default=["photo-x4"], metavar="[NAME=]MODEL")
    made.add_argument(
        "--regression", nargs="+", default=[], metavar="[NAME=]MODEL", help="sampled in its own steps"
    )
    made.add_argument(
        "--calls", type=int, nargs="+", default=list(calls), help="sampling steps of each --model"
    )
    made.add_argument(
        "--set", action="append", default=[], metavar="sampling.fidelity=1", help="of each --model"
    )
    made.add_argument("--seed", type=int, default=0, help="of each picture's noise")
    made.add_argument("--precision", default="auto")
    made.add_argument("--device", default="auto")
    return made


def shown(args: argparse.Namespace, scale: int) -> "list[LoadedPair]":
    """Pictures cut to a multiple of the scale, and their low-resolution images: given, or by bicubic."""
    from refinesr.evaluate.cropping import ModCrop
    from refinesr.evaluate.pairs import find_pairs
    from refinesr.images.resize import PillowBicubic

    return [
        pair.load(ModCrop(), scale, PillowBicubic()) for pair in find_pairs(args.high, args.low, args.limit)
    ]


def methods(args: argparse.Namespace, *, not_projected: bool = False) -> "dict[str, Upscaler]":
    """By the rows' names: bicubic, regression models, models in each number of calls, these not projected."""
    from refinesr.evaluate.upscalers import ModelUpscaler, interpolations
    from refinesr.images.resize import PillowBicubic
    from refinesr.restore import Options

    made: dict[str, Upscaler] = {"bicubic": interpolations(PillowBicubic())["bicubic"]}
    place = {"device": args.device, "precision": args.precision}
    for text in args.regression:
        name, stage = loaded(text)
        made[name] = ModelUpscaler(stage, Options(**place))
    for text in args.model:
        name, stage = loaded(text, *args.set)
        for consistent in (None, False) if not_projected else (None,):
            for steps in args.calls:
                maker = ModelUpscaler(stage, Options(steps, consistent=consistent, **place))
                made[row_name(name, maker.calls, consistent)] = maker
    return made


def loaded(text: str, *settings: str) -> "tuple[str, Stage]":
    """NAME=MODEL, or MODEL, which then is called as it is given."""
    from dataclasses import replace

    import refinesr
    from refinesr.config import override

    name, mark, model = text.partition("=")
    stage = refinesr.load(model if mark else text)
    return name, replace(stage, method=override(stage.method, *settings)) if settings else stage


def row_name(model: str, calls: int, consistent: bool | None) -> str:
    return f"{model}, {counted(calls)}" + (", not projected" if consistent is False else "")


def counted(calls: int) -> str:
    return "1 call" if calls == 1 else f"{calls} calls"


def scale_of(made: "Mapping[str, Upscaler]") -> int:
    """The one that all models have.  ValueError if there are several."""
    scales = {maker.scale for maker in made.values()} - {None}
    if len(scales) != 1:
        raise ValueError(f"models of scales {sorted(map(str, scales))}; they must have one")
    return scales.pop()


def perceptual(args: argparse.Namespace) -> "tuple[Metric, ...]":
    """The LPIPS-like distance, if there is the folder it needs."""
    import torch

    from refinesr.evaluate import pretrained_metrics

    return (pretrained_metrics.perceptual(args.perceptual, torch.device("cpu")),) if args.perceptual else ()


def result(maker: "Upscaler", picture: "LoadedPair", scale: int, seed: int) -> "torch.Tensor":
    """(1, C, H, W) uint8."""
    *_, last = maker.upscale([picture], scale, [seed], 0)
    return last.image[0]
