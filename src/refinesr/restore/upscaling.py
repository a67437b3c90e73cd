"""The public functions `upscale` and `refine`, for PIL images, arrays and tensors."""

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Literal, Unpack, overload

from refinesr.cascade import Cascade
from refinesr.cascade_files import load_model
from refinesr.diffusion.loops import last_of
from refinesr.errors import ConfigError
from refinesr.images.masks import AnyMask
from refinesr.images.picture import Picture
from refinesr.restore.conversion import AnyImage, check_representable, image_like, optional_mask, picture_of
from refinesr.restore.options import OptionFields, Options
from refinesr.restore.pictures import with_colour_channels
from refinesr.restore.restoring import restore_picture, shared_preparation
from refinesr.shipped import check_source, load
from refinesr.stage import Progress, Stage
from refinesr.validation import as_int

Source = Stage | str | Path

Several = Literal[2, 3, 4, 5, 6, 7, 8]
"""Numbers of samples for which type checkers infer a list."""


@overload
def upscale(
    model: Source | Cascade,
    image: AnyImage,
    *,
    samples: Literal[1] = 1,
    mask: AnyMask | None = None,
    scale: float | None = None,
    **options: Unpack[OptionFields],
) -> AnyImage: ...


@overload
def upscale(
    model: Source | Cascade,
    image: AnyImage,
    *,
    samples: Several,
    mask: AnyMask | None = None,
    scale: float | None = None,
    **options: Unpack[OptionFields],
) -> list[AnyImage]: ...


@overload
def upscale(
    model: Source | Cascade,
    image: AnyImage,
    *,
    samples: int,
    mask: AnyMask | None = None,
    scale: float | None = None,
    **options: Unpack[OptionFields],
) -> AnyImage | list[AnyImage]: ...


def upscale(
    model: Source | Cascade,
    image: AnyImage,
    *,
    samples: int = 1,
    mask: AnyMask | None = None,
    scale: float | None = None,
    **options: Unpack[OptionFields],
) -> AnyImage | list[AnyImage]:
    """Restore an image; returns one `model.scale` times larger, or `scale` times, of the same kind.

    model    what `load` or `load_cascade` returns, or the name or path that they take
    image    a PIL image (grey, RGB, with or without alpha, 8 bit or grey of 16; profile and EXIF are kept),
             an array (H, W) or (H, W, C) of uint8, uint16 or floats in [0, 1], or a tensor (C, H, W) of them;
             for models with a `method.span` values are in its units, and so are the result's.  NaN is a
             missing value, and missing in the result
    samples  number of images to draw, with seeds seed, seed + 1, ...; returns a list if more than 1
    mask     of the image's size, of any kind: what is white or True is filled in, the rest stays unchanged;
             for models of scale 1
    scale    if it is not the model's, the result is resampled by bicubic; above 1 it is made consistent
             again if the model is: downsampled, it is the image
    options  fields of `refinesr.restore.Options`: steps, seed, tile, consistent, device, precision, fidelity,
             orientations, sampling.  Without a `device` the model computes where its weights are; one that
             is given by name or path is put on 'auto'

    Raises InputError, ConfigError or CheckpointError.
    """
    count, chosen = as_int("samples", samples), resolve_options(model, options)
    if count < 1:
        raise ConfigError(f"samples: {count} is not positive")
    choices = [replace(chosen, seed=chosen.seed + k) for k in range(count)]
    loaded, hidden = resolve_model(model), optional_mask(mask)
    picture = picture_of(image, span=loaded.span)
    check_representable(with_result_channels(loaded, picture), image)
    prepare = shared_preparation(picture, count, hidden)
    walks = [restore_picture(loaded, picture, each, hidden, scale=scale, prepare=prepare) for each in choices]
    results = [image_like(last_of(walk).image, image) for walk in walks]
    return results if count > 1 else results[0]


def refine(
    model: Source | Cascade,
    image: AnyImage,
    *,
    mask: AnyMask | None = None,
    scale: float | None = None,
    **options: Unpack[OptionFields],
) -> Iterator[Progress[AnyImage]]:
    """Restore an image step by step: yields a `Progress` after each, with an image of the kind given.

    Takes the parameters of `upscale` except `samples`.  The last image is what `upscale` returns.
    """
    chosen, loaded = resolve_options(model, options), resolve_model(model)
    picture = picture_of(image, span=loaded.span)
    check_representable(with_result_channels(loaded, picture), image)
    for progress in restore_picture(loaded, picture, chosen, optional_mask(mask), scale=scale, watched=True):
        yield Progress(progress.done, progress.total, image_like(progress.image, image))


def resolve_options(model: object, options: OptionFields) -> Options:
    """The options as a value; the device of a model given by name or path is 'auto' unless given."""
    chosen = Options(**options)
    named = isinstance(model, str | Path)
    return replace(chosen, device="auto") if named and chosen.device is None else chosen


def with_result_channels(model: Stage | Cascade, picture: Picture) -> Picture:
    """The picture with as many channels as the result has."""
    stages = [model] if isinstance(model, Stage) else [link.stage for link in model.links]
    return reduce(lambda made, stage: with_colour_channels(stage, made), stages, picture)


def resolve_model(model: Source | Cascade) -> Stage | Cascade:
    """The model, loaded if it is a name or a path.

    Raises ConfigError for any other type, CheckpointError for what cannot be loaded.
    """
    if isinstance(model, Stage | Cascade):
        return model
    check_source(model, "a Stage, a Cascade, a name or a path")
    return load_model(model)


def resolve_stage(model: Source) -> Stage:
    """`resolve_model` for functions that take one stage and no cascade."""
    if isinstance(model, Stage):
        return model
    check_source(model, "one Stage, a name or a path")
    return load(model)
