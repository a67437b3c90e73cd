"""What stands in the table of `refinesr evaluate`, and how it is run."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ..errors import ConfigError
from .options import Device, Precision, SamplingSettings, span_from_ends

if TYPE_CHECKING:
    from ..evaluate.evaluation import EvaluatedMethod
    from ..evaluate.protocols import Protocol
    from ..evaluate.upscalers import Upscaler
    from ..images.span import Span


@Parameter(name="*", group="Methods")
@dataclass(frozen=True)
class Methods:
    """How methods are run."""

    scale: Annotated[int | None, Parameter(name=("--scale", "-s"))] = None
    """Scale factor; default: that of the protocol, of a model, or of the low-resolution pictures."""

    steps: int | None = None
    """Number of sampling steps of models without @STEPS; default: each model's own."""

    seed: int = 0
    """Seed of the noise, from which the seed of each sample of each picture is derived."""

    samples: int = 1
    """Number of samples of each picture by each model.  With 2 or more, their spread and its calibration are
    measured too; all other metrics are measured on the first sample."""

    fidelity: float | None = None
    """From 0, a sample, to 1, an estimate of the posterior mean; below 0: beyond the sample; default: each
    model's own."""

    orientations: Literal[1, 2, 4, 8] | None = None
    """Geometric self-ensemble: average each estimate over this many flips and rotations; default: each
    model's own."""

    settings: SamplingSettings = ()

    batch: int = 1
    """Number of pictures that a model restores at once, if they have the same size."""

    via: int | None = None
    """For models of one fixed input size: resize the inputs by bicubic interpolation so that their shorter
    side has this many pixels, and resize the results back."""

    tile: Annotated[int | None, Parameter(name=("--tile", "-t"))] = None
    """Work in square tiles with sides of this many input pixels; 0: no tiles; default: each model's own."""

    device: Device = "auto"
    precision: Precision = "auto"


def load_methods(things: Sequence[str], protocol: "Protocol", methods: Methods) -> "list[EvaluatedMethod]":
    """The methods in the order given, after the originals if the protocol includes them in the table.

    Raises ConfigError if --via is given without a model.
    """
    from ..evaluate.evaluation import EvaluatedMethod
    from ..evaluate.trained_size import AtTrainedSize
    from ..evaluate.upscalers import GroundTruth

    named = [load_method(thing, protocol, methods) for thing in things]
    if methods.via is not None and not any(isinstance(each.upscaler, AtTrainedSize) for each in named):
        raise ConfigError("--via: no model among the methods; it is for models")
    wanted = protocol.includes_truth and not any(isinstance(each.upscaler, GroundTruth) for each in named)
    return [EvaluatedMethod("truth", GroundTruth()), *named] if wanted else named


def load_method(thing: str, protocol: "Protocol", methods: Methods) -> "EvaluatedMethod":
    """The method NAME=METHOD, or METHOD, which is then named after its file or folder."""
    from ..evaluate.evaluation import EvaluatedMethod

    name, separator, rest = thing.partition("=")
    if separator and not os.path.exists(thing) and not set(name) & set("/\\"):
        return EvaluatedMethod(name, load_upscaler(rest, protocol, methods))
    bare, steps = split_steps(thing)
    path = Path(bare)
    name_of_file = path.resolve().name if path.is_dir() else path.stem if path.suffix else path.name
    return EvaluatedMethod(
        name_of_file if steps is None else f"{name_of_file}@{steps}", load_upscaler(thing, protocol, methods)
    )


def split_steps(thing: str) -> tuple[str, int | None]:
    """MODEL and STEPS of MODEL@STEPS, unless a file of this name exists."""
    bare, separator, steps = thing.rpartition("@")
    if separator and steps.isdecimal() and not Path(thing).exists():
        return bare, int(steps)
    return thing, None


def load_upscaler(thing: str, protocol: "Protocol", methods: Methods) -> "Upscaler":
    from ..evaluate.trained_size import AtTrainedSize
    from ..evaluate.upscalers import GroundTruth, ResultFolder, interpolations, is_result_folder

    by_name: dict[str, Upscaler] = {"truth": GroundTruth(), **interpolations(protocol.kernel)}
    if thing in by_name:
        return by_name[thing]
    if is_result_folder(thing):
        return ResultFolder.of(Path(thing), methods.samples)
    network = load_network(thing, methods)
    return network if methods.via is None else AtTrainedSize(network, methods.via, protocol.kernel)


def load_network(thing: str, methods: Methods) -> "Upscaler":
    from ..cascade_files import load_model, with_sampling_settings
    from ..devices import device_named
    from ..evaluate.external import ExternalNetwork, is_external_weights
    from ..evaluate.upscalers import ModelUpscaler
    from ..restore import Options

    if is_external_weights(thing):
        return ExternalNetwork.read(Path(thing), device_named(methods.device))
    bare, own = split_steps(thing)
    steps = methods.steps if own is None else own
    options = Options(
        steps=steps,
        tile=methods.tile,
        device=methods.device,
        precision=methods.precision,
        fidelity=methods.fidelity,
        orientations=methods.orientations,
    )
    model = load_model(bare)
    try:
        model = with_sampling_settings(model, methods.settings)
        options.check(model)
    except ConfigError as error:  # name the method, as there may be several
        raise ConfigError(f"{bare}: {error}") from error
    return ModelUpscaler(model, options)


def common_span(methods: "Sequence[EvaluatedMethod]", asked: tuple[float, float] | None) -> "Span | None":
    """The span for metrics: the given one, else the common span of all models that have one.

    Raises ConfigError if models have different spans.
    """
    if asked is not None:
        return span_from_ends(asked)
    found = {span: method.name for method in methods if (span := model_span(method.upscaler)) is not None}
    if len(found) > 1:
        spans = ", ".join(f"{name} has {span}" for span, name in found.items())
        raise ConfigError(f"--span: models have several, {spans}; give --span LOW HIGH to measure all by one")
    return next(iter(found), None)


def model_span(upscaler: "Upscaler") -> "Span | None":
    """The span of a model; None for other upscalers."""
    from ..evaluate.trained_size import AtTrainedSize
    from ..evaluate.upscalers import ModelUpscaler

    if isinstance(upscaler, AtTrainedSize):
        return model_span(upscaler.upscaler)
    return upscaler.model.span if isinstance(upscaler, ModelUpscaler) else None


def trained_on_given_pairs(upscaler: "Upscaler") -> bool:
    """Whether it is a model trained on given low-resolution images, not on a degradation."""
    from ..evaluate.trained_size import AtTrainedSize
    from ..evaluate.upscalers import ModelUpscaler
    from ..images.degrade import Given

    if isinstance(upscaler, AtTrainedSize):
        return trained_on_given_pairs(upscaler.upscaler)
    return isinstance(upscaler, ModelUpscaler) and isinstance(
        upscaler.links[0].stage.method.degradation, Given
    )


def scale_of(methods: "Sequence[EvaluatedMethod]", of_pictures: int | None) -> int:
    """The scale if the protocol has none: that of the first model, else that of the images."""
    scales = [method.upscaler.scale for method in methods if method.upscaler.scale is not None]
    scale = scales[0] if scales else of_pictures
    if scale is None:
        raise ConfigError("--scale: missing, and neither the protocol nor a model nor --low determines it")
    return scale
