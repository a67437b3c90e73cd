"""Average the weights of several trained models of one method, as one model.

    python benchmarks/average.py RUN_A RUN_B:0.4 -o averaged.safetensors

`MODEL:SHARE` gives a model its share; those without one divide the rest equally.  Models that one
training passed through, or that began with the same weights, often lie in one basin of the loss, and their
average is better than each (Izmailov et al. 2018, "Averaging weights leads to wider optima"; Wortsman et al.
2022, "Model soups").  Measure it: the average of unrelated models is worthless.
"""

import argparse
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from math import isclose
from pathlib import Path

import torch

from refinesr import load
from refinesr.checkpoint import save_stage
from refinesr.errors import ConfigError, RefineSRError
from refinesr.pretrained import check_compatible
from refinesr.stage import Stage


def averaged(stages: Sequence[Stage], shares: Sequence[float], names: Sequence[str]) -> Stage:
    """The first stage, its weights replaced by the weighted mean of all, summed in float64.

    Raises ConfigError, with the name of the model, if one is of another method than the first.
    """
    first = stages[0]
    for stage, name in zip(stages[1:], names[1:], strict=True):
        check_compatible(first.method, stage, name)
    states = [stage.model.state_dict() for stage in stages]
    for key, value in states[0].items():
        values = torch.stack([state[key].double() for state in states])
        value.copy_(torch.tensordot(torch.tensor(shares, dtype=torch.float64), values, dims=1))
    return first


def shares_of(given: Sequence[float | None]) -> list[float]:
    """All shares, which sum to 1.  Raises ConfigError if those given leave nothing, or too much."""
    total, missing = sum(share for share in given if share is not None), given.count(None)
    if not (total < 1 if missing else isclose(total, 1, abs_tol=1e-6)):
        raise ConfigError(f"shares: those given sum to {total:g}; all together sum to 1")
    return [(1 - total) / missing if share is None else share for share in given]


def named(text: str) -> tuple[str, float | None]:
    """'MODEL:SHARE' or 'MODEL'."""
    name, _, share = text.rpartition(":")
    try:
        return (name, float(share)) if name else (text, None)
    except ValueError:  # a colon of the path, as after a drive
        return text, None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument(
        "models", nargs="+", metavar="MODEL[:SHARE]", help="runs, files, or names of shipped models"
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    names, given = zip(*map(named, args.models), strict=True)
    try:
        shares = shares_of(given)
        save_stage(averaged([load(name) for name in names], shares, names), args.output)
    except RefineSRError as error:
        raise SystemExit(str(error)) from error
    print(
        f"{args.output}: "
        + " + ".join(f"{share:.4g} {name}" for share, name in zip(shares, names, strict=True))
    )


if __name__ == "__main__":
    main()
