"""Make the network of a trained `photo-x4` wider or deeper; it answers as before, and can learn more.

    python benchmarks/grow.py SMALL -o grown.safetensors \
        --set 'network.widths=[64, 128, 256]' --set source.encoder.blocks=12

What is new begins at zero where it would be heard, and as drawn where it listens, so that it learns from the
first update on (Chen et al. 2016, "Net2Net", has the idea).  `refinesr train RECIPE --from grown.safetensors`
goes on.
"""

import argparse
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable
from dataclasses import replace
from math import sqrt
from operator import gt
from pathlib import Path

import torch
from torch import Tensor

from refinesr import load
from refinesr.checkpoint import save_stage
from refinesr.config import override
from refinesr.errors import ConfigError, RefineSRError
from refinesr.nets.packed_unet import PackedUNet
from refinesr.pretrained import new_model
from refinesr.sources import Encoded
from refinesr.stage import Stage


def grown(stage: Stage, *changes: str, seed: int = 0) -> Stage:
    """The same model with `changes` (FIELD=VALUE) of its method: of widths, and of numbers of blocks.

    Raises ConfigError for other networks, other changes, and if it would shrink.
    """
    network, source = stage.method.network, stage.method.source
    if not (isinstance(network, PackedUNet) and isinstance(source, Encoded)):
        raise ConfigError(f"model: {type(network).__name__} is not the network that this can make grow")
    method = override(stage.method, *changes)
    model = new_model(method, torch.device("cpu"), seed)
    old, new = stage.model.state_dict(), model.state_dict()
    if lost := sorted(old.keys() - new.keys()):
        raise ConfigError(f"--set: nothing is left of {lost[0]}; a network can only grow")
    for name in sorted(old):
        new[name] = larger(name, old[name], new[name])
    model.load_state_dict(new)
    return replace(stage, method=method, model=model)


def larger(name: str, old: Tensor, drawn: Tensor) -> Tensor:
    """Weights of the shape of `drawn` that do what the old ones did.  Raises ConfigError."""
    if old.shape == drawn.shape:
        return old.clone()
    if old.ndim != drawn.ndim or any(map(gt, old.shape, drawn.shape)):
        raise ConfigError(f"--set: {name} would shrink; a network can only grow")
    if ".embed." in name or (".stem." in name and old.shape[1:] != drawn.shape[1:]):
        raise ConfigError(f"--set: {name} cannot grow; widths and numbers of blocks can")
    return next(way for part, way in WAYS.items() if part in name)(old, drawn)


def of_a_norm(old: Tensor, drawn: Tensor) -> Tensor:
    """Channels that are zero make the root mean square smaller."""
    return laid(old, torch.ones_like(drawn)) * sqrt(len(old) / len(drawn))


def of_levels(old: Tensor, drawn: Tensor) -> Tensor:
    """Scales of all channels, then shifts of all."""
    halves = zip(old.chunk(2), drawn.chunk(2), strict=True)
    return torch.cat([laid(before, torch.zeros_like(now)) for before, now in halves])


def of_hidden(old: Tensor, drawn: Tensor) -> Tensor:
    """Nobody hears the new channels yet: `back` has zeros for them."""
    return laid(old, drawn.clone())


def of_back(old: Tensor, drawn: Tensor) -> Tensor:
    return laid(old, torch.zeros_like(drawn))


def of_others(old: Tensor, drawn: Tensor) -> Tensor:
    """New rows say nothing; new columns listen to channels that are zero."""
    rows = drawn.clone()
    rows[len(old) :] = 0
    return laid(old, rows)


WAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    ".norm.": of_a_norm,
    ".modulations.": of_levels,
    ".wide.": of_hidden,
    ".back.": of_back,
    "": of_others,
}
"""By a part of the name, the first that is found."""


def laid(old: Tensor, ground: Tensor) -> Tensor:
    """The old weights in the first corner of the ground, which is changed."""
    ground[tuple(slice(size) for size in old.shape)] = old
    return ground


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of the method")
    parser.add_argument("--seed", type=int, default=0, help="of the weights that are drawn")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    try:
        stage = load(args.model)
        large = grown(stage, *args.set, seed=args.seed)
        save_stage(large, args.output)
    except RefineSRError as error:
        raise SystemExit(str(error)) from error
    before, after = (sum(p.numel() for p in each.model.parameters()) / 1e6 for each in (stage, large))
    print(f"{args.output}: {after:.2f} M parameters, before {before:.2f} M")


if __name__ == "__main__":
    main()
