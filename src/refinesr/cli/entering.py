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
    from ..evaluate.makers import Maker
    from ..evaluate.protocols import Protocol
    from ..evaluate.running import Entrant
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


def entered(things: Sequence[str], way: "Protocol", methods: Methods) -> "list[Entrant]":
    """In the order named, after the pictures themselves if the protocol wants them in the table.

    Raises ConfigError if there is nothing that --via is for.
    """
    from ..evaluate.detour import Detour
    from ..evaluate.makers import Truth
    from ..evaluate.running import Entrant

    named = [entrant(thing, way, methods) for thing in things]
    if methods.via is not None and not any(isinstance(each.maker, Detour) for each in named):
        raise ConfigError("--via: no model among the methods; it is for models")
    wanted = way.truth and not any(isinstance(each.maker, Truth) for each in named)
    return [Entrant("truth", Truth()), *named] if wanted else named


def entrant(thing: str, protocol: "Protocol", methods: Methods) -> "Entrant":
    """NAME=THING, or THING, which then is called as its file or folder."""
    from ..evaluate.running import Entrant

    name, mark, rest = thing.partition("=")
    if mark and not os.path.exists(thing) and not set(name) & set("/\\"):
        return Entrant(name, maker(rest, protocol, methods))
    bare, steps = with_steps(thing)
    path = Path(bare)
    called = path.resolve().name if path.is_dir() else path.stem if path.suffix else path.name
    return Entrant(called if steps is None else f"{called}@{steps}", maker(thing, protocol, methods))


def with_steps(thing: str) -> tuple[str, int | None]:
    """MODEL@STEPS in two, unless something is called so."""
    bare, mark, steps = thing.rpartition("@")
    if mark and steps.isdecimal() and not Path(thing).exists():
        return bare, int(steps)
    return thing, None


def maker(thing: str, protocol: "Protocol", methods: Methods) -> "Maker":
    from ..evaluate.detour import Detour
    from ..evaluate.makers import Folder, Truth, folder_like, interpolations

    plainly: dict[str, Maker] = {"truth": Truth(), **interpolations(protocol.kernel)}
    if thing in plainly:
        return plainly[thing]
    if folder_like(thing):
        return Folder.of(Path(thing), methods.samples)
    network = network_of(thing, methods)
    return network if methods.via is None else Detour(network, methods.via, protocol.kernel)


def network_of(thing: str, methods: Methods) -> "Maker":
    from ..chains import load_model, with_sampling_settings
    from ..devices import device_named
    from ..evaluate.foreign import Foreign, foreign_like
    from ..evaluate.makers import Restored
    from ..restore import Options

    if foreign_like(thing):
        return Foreign.read(Path(thing), device_named(methods.device))
    bare, own = with_steps(thing)
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
    except ConfigError as error:  # of several methods, which?
        raise ConfigError(f"{bare}: {error}") from error
    return Restored(model, options)


def span_of(entrants: "Sequence[Entrant]", asked: tuple[float, float] | None) -> "Span | None":
    """What is measured by: what is asked for, else the span of all models that have one.

    Raises ConfigError for models of several.
    """
    if asked is not None:
        return span_from_ends(asked)
    found = {span: entrant.name for entrant in entrants if (span := span_in(entrant.maker)) is not None}
    if len(found) > 1:
        told = ", ".join(f"{name} has {span}" for span, name in found.items())
        raise ConfigError(f"--span: models have several, {told}; give --span LOW HIGH to measure all by one")
    return next(iter(found), None)


def span_in(maker: "Maker") -> "Span | None":
    """Of a model; None of all else, which knows none."""
    from ..evaluate.detour import Detour
    from ..evaluate.makers import Restored

    if isinstance(maker, Detour):
        return span_in(maker.maker)
    return maker.model.span if isinstance(maker, Restored) else None


def of_given_pairs(maker: "Maker") -> bool:
    """Whether it is a model whose poor pictures were given, not made of good ones."""
    from ..evaluate.detour import Detour
    from ..evaluate.makers import Restored
    from ..images.degrade import Given

    if isinstance(maker, Detour):
        return of_given_pairs(maker.maker)
    return isinstance(maker, Restored) and isinstance(maker.links[0].stage.method.degradation, Given)


def scale_of(entrants: "Sequence[Entrant]", of_pictures: int | None) -> int:
    """Where the protocol takes any: a model's, else that of the pictures."""
    scales = [entrant.maker.scale for entrant in entrants if entrant.maker.scale is not None]
    scale = scales[0] if scales else of_pictures
    if scale is None:
        raise ConfigError("--scale: neither the protocol, nor a model, nor --low tells the scale; give one")
    return scale
