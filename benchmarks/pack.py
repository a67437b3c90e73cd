"""Make a run into a model to ship: its averaged weights in 16 bits, and a card.

    python benchmarks/pack.py RUN CARD.json -o src/refinesr/weights/photo-x4.safetensors

`--set sampling.steps=2` and the like store what the measurements of docs/photo_x4.md chose.
"""

import argparse
from argparse import RawDescriptionHelpFormatter
from dataclasses import replace
from pathlib import Path

import torch

from refinesr import load
from refinesr.checkpoint import save_stage
from refinesr.config import from_data, override, parse
from refinesr.stage import Card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("card", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of the method")
    args = parser.parse_args()
    stage = load(args.run)
    method = override(stage.method, *args.set)
    card = from_data(Card, parse(args.card.read_text(), str(args.card)), str(args.card))
    save_stage(replace(stage, method=method, card=card), args.output, dtype=torch.float16, overwrite=True)
    print(f"{args.output}: {args.output.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
