"""Weights to begin with: fresh ones, a trained model's, or those of its encoder (SRDiff, section 3.3)."""

from pathlib import Path

import torch
from torch import nn

from refinesr.devices import fold_seed, move_to, seeded_generators
from refinesr.errors import ConfigError
from refinesr.method import Method
from refinesr.model import Model
from refinesr.nets.rrdb import RRDBNetwork
from refinesr.shipped import load
from refinesr.sources import Encoded, Encoder
from refinesr.stage import Stage


def fresh(method: Method, device: torch.device, seed: int) -> Model:
    """The same weights for the same seed, on every device; the caller's random numbers are untouched."""
    cpu = torch.device("cpu")  # whatever the caller's default is: every device draws other numbers
    with seeded_generators(cpu, fold_seed(seed)), cpu:
        model = method.build()
    move_to(model, device)
    return model


def begin_with(model: Model, method: Method, trained: Path | Stage | None) -> None:
    """Give `model`, of `method`, the encoder of the model in a file or folder, if one is named.

    Of a stage all weights are taken, which have to fit.
    Raises ConfigError if the method has no encoder, another one, or one that is frozen and nothing is named:
    features of random weights would be learnt from without a word.  Raises CheckpointError as `load` does.
    """
    if isinstance(trained, Stage):
        model.load_state_dict(trained.model.state_dict())
        return
    source = method.source
    if trained is None:
        if isinstance(source, Encoded) and source.frozen:
            raise ConfigError(
                "method.source.frozen: the encoder is not trained here; name a model that has been with "
                "--encoder, or train it too with --set method.source.frozen=false"
            )
        return
    if not isinstance(source, Encoded):
        raise ConfigError(f"--encoder: the method has no encoder that {trained} could give its weights to")
    value, module = encoder_of(load(trained), trained)
    if value != source.encoder:
        raise ConfigError(f"--encoder: {trained}: holds {value}, but the method has {source.encoder}")
    model.source.get_submodule("encoder").load_state_dict(module.state_dict())


def check_start(method: Method, start: Stage, name: str) -> None:
    """Raises ConfigError if the weights of `start` mean something else to `method`; levels, sampling and
    degradation are free.
    """
    for field in ("scale", "channels", "network", "source", "precond", "label", "target", "span"):
        given, wanted = getattr(start.method, field), getattr(method, field)
        if given != wanted:
            raise ConfigError(f"--from: {name}: its method.{field} is {given}, this run's is {wanted}")


def encoder_of(stage: Stage, name: Path) -> tuple[Encoder, nn.Module]:
    """That of a model which was trained for the encoder's sake, or which has one."""
    method = stage.method
    if isinstance(method.network, RRDBNetwork):
        return method.network.rrdb, stage.model.network.get_submodule("rrdb")
    if isinstance(method.source, Encoded):
        return method.source.encoder, stage.model.source.get_submodule("encoder")
    raise ConfigError(f"--encoder: {name}: has no encoder; its network is {method.network}")
