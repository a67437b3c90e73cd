"""Initial weights: random ones, those of a trained model, or those of its encoder (SRDiff, section 3.3)."""

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


def new_model(method: Method, device: torch.device, seed: int) -> Model:
    """A model with random weights, the same for the same seed on every device.

    The caller's random number generators are left as they were.
    """
    cpu = torch.device("cpu")  # whatever the caller's default is, as random numbers depend on the device
    with seeded_generators(cpu, fold_seed(seed)), cpu:
        model = method.build()
    move_to(model, device)
    return model


def load_pretrained(model: Model, method: Method, pretrained: Path | Stage | None) -> None:
    """Load pretrained weights into `model`, of `method`; None leaves it as it is.

    From a stage all weights are taken; from a file or folder only those of the encoder.
    Raises ConfigError if the method has no encoder or another one, and for None if its encoder is frozen: its
    weights would stay random.  Raises CheckpointError as `load` does.
    """
    if isinstance(pretrained, Stage):
        model.load_state_dict(pretrained.model.state_dict())
        return
    source = method.source
    if pretrained is None:
        if isinstance(source, Encoded) and source.frozen:
            raise ConfigError(
                "method.source.frozen: the encoder is not trained here; name a model that has been with "
                "--encoder, or train it too with --set method.source.frozen=false"
            )
        return
    if not isinstance(source, Encoded):
        raise ConfigError(f"--encoder: the method has no encoder that {pretrained} could give its weights to")
    encoder, module = encoder_of(load(pretrained), pretrained)
    if encoder != source.encoder:
        raise ConfigError(f"--encoder: {pretrained}: holds {encoder}, but the method has {source.encoder}")
    model.source.get_submodule("encoder").load_state_dict(module.state_dict())


def check_compatible(method: Method, start: Stage, name: str) -> None:
    """Raise ConfigError if the weights of `start` would mean something else in `method`.

    Levels, sampling and degradation may differ.
    """
    for field in ("scale", "channels", "network", "source", "precond", "label", "target", "span"):
        given, wanted = getattr(start.method, field), getattr(method, field)
        if given != wanted:
            raise ConfigError(f"--from: {name}: its method.{field} is {given}, this run's is {wanted}")


def encoder_of(stage: Stage, name: Path) -> tuple[Encoder, nn.Module]:
    """The encoder of a model that has one, or of a model that pretrains one, and its module."""
    method = stage.method
    if isinstance(method.network, RRDBNetwork):
        return method.network.rrdb, stage.model.network.get_submodule("rrdb")
    if isinstance(method.source, Encoded):
        return method.source.encoder, stage.model.source.get_submodule("encoder")
    raise ConfigError(f"--encoder: {name}: has no encoder; its network is {method.network}")
