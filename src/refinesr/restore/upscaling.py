"""Images in, images out: what `refinesr upscale` does, for PIL images, arrays and tensors too."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from refinesr.cascade import Cascade
from refinesr.chains import load_any
from refinesr.errors import ConfigError
from refinesr.images.masks import AnyMask, mask_of
from refinesr.restore.kinds import AnyImage, alike, picture_of
from refinesr.restore.options import Options
from refinesr.restore.restoring import restored
from refinesr.shipped import load
from refinesr.stage import Progress, Stage

Source = Stage | str | Path


def upscale(
    model: Source | Cascade,
    image: AnyImage,
    *,
    steps: int | None = None,
    seed: int = 0,
    samples: int = 1,
    tile: int | None = None,
    consistent: bool | None = None,
    device: str = "auto",
    precision: str = "auto",
    fidelity: float | None = None,
    mask: AnyMask | None = None,
) -> AnyImage | list[AnyImage]:
    """The image `model.scale` times larger, of the kind that was given.

    model   what `load` or `load_cascade` returned, or what they would be given
    image   a PIL image (grey, RGB, with or without alpha, 8 bit or grey of 16; profile and EXIF are kept), an
            array (H, W) or (H, W, C) of uint8, uint16 or floats in [0, 1], or a tensor (C, H, W) of the same
    samples images to draw, with seeds seed, seed + 1, ...; a list of them if more than 1
    mask    of the image's size, of any kind: what is white or True is made up, the rest stays as it is; for
            models of scale 1

    The others are fields of `Options`.  Raises InputError, ConfigError or CheckpointError.
    """
    if samples < 1:
        raise ConfigError(f"samples: {samples} is not positive")
    first = Options(steps, seed, tile, consistent, device, precision, fidelity)
    choices = [replace(first, seed=seed + k) for k in range(samples)]
    whole, picture, made = model_of(model), picture_of(image), []
    hidden = None if mask is None else mask_of(mask)
    for options in choices:
        *_, last = restored(whole, picture, options, hidden)
        made.append(alike(last.image, image))
    return made if samples > 1 else made[0]


def refine(
    model: Source | Cascade, image: AnyImage, *, mask: AnyMask | None = None, **options: Any
) -> Iterator[Progress[AnyImage]]:
    """Watch the refinement: a `Progress` after each step, whose image is of the kind that was given.

    Takes the fields of `Options` by name.  The last image is what `upscale` returns.
    """
    hidden = None if mask is None else mask_of(mask)
    for progress in restored(model_of(model), picture_of(image), Options(**options), hidden):
        yield Progress(progress.done, progress.total, alike(progress.image, image))


def model_of(model: Source | Cascade) -> Stage | Cascade:
    return model if isinstance(model, Stage | Cascade) else load_any(model)


def stage_of(model: Source) -> Stage:
    return model if isinstance(model, Stage) else load(model)
