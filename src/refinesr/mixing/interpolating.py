"""Interpolation between two pictures in latent space (SRDiff)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Unpack

import numpy as np
import torch

from refinesr.diffusion.loops import last_of
from refinesr.editing import interpolate_images, repeat_first_draw
from refinesr.errors import ConfigError, InputError
from refinesr.images.picture import Picture, format_size, from_tensor, split_alpha, to_tensor, with_span
from refinesr.mixing.redrawing import DEPTH, Redrawing, plan_redrawing
from refinesr.restore import (
    AnyImage,
    OptionFields,
    Source,
    check_representable,
    enlarged_alpha,
    image_like,
    opaque,
    picture_of,
    picture_progress,
    resolve_options,
    resolve_stage,
    restore_picture,
    with_colour_channels,
)
from refinesr.stage import Progress
from refinesr.validation import as_float, as_int, short_repr, type_error_text

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
SEEDS = (1, 2)

GAP = 4
"""Pixels between pictures that are put side by side."""

Pair = tuple[Picture, Picture]


def interpolate(
    model: Source,
    image: AnyImage,
    first: AnyImage | None = None,
    second: AnyImage | None = None,
    *,
    shares: Sequence[float] = SHARES,
    seeds: tuple[int, int] = SEEDS,
    depth: float = DEPTH,
    **options: Unpack[OptionFields],
) -> list[AnyImage]:
    """Interpolate between two high-resolution images of one low-resolution image.

    Returns an image for each share of the second.

    image          the low-resolution image, of any kind that `upscale` takes
    first, second  of `model.method.scale` times its size; without them, two samples with `seeds`
    depth          share of the sampling steps that are repeated, more than 0; 1 starts from noise
    options        fields of `Options`; without `steps`, or a `sampling` of as many as are wanted, at least 8

    Raises InputError, ConfigError or CheckpointError.
    """
    given = {"first": first, "second": second}
    stage = resolve_stage(model)
    ends = [picture_of(end, name, stage.span) for name, end in given.items() if end is not None]
    if len(ends) == 1:
        raise ConfigError("second: give two pictures to interpolate between, or none")
    check_shares(shares)
    check_seeds(seeds)
    redrawing = plan_redrawing(stage, resolve_options(model, options), depth)
    photo = picture_of(image, span=stage.span)
    check_representable(with_colour_channels(redrawing.stage, photo), image)
    one, two = ends or [last_of(sample_end(redrawing, photo, seed)).image for seed in seeds]
    return [
        image_like(last_of(interpolate_pictures(redrawing, photo, (one, two), share)).image, image)
        for share in shares
    ]


def check_shares(shares: Sequence[float]) -> None:
    """Raises ConfigError unless all shares are between 0 and 1."""
    if not isinstance(shares, Iterable):
        raise ConfigError(f"shares: {type_error_text(shares, 'a sequence of numbers')}")
    for share in shares:
        if not 0 <= as_float("shares", share) <= 1:
            raise ConfigError(f"shares: {share:g} is not between 0, the first picture, and 1, the second")


def check_seeds(seeds: Sequence[int]) -> None:
    """Raises ConfigError unless there are two integers; their range is checked by `Options`."""
    if not isinstance(seeds, Sequence) or len(seeds) != 2:
        raise ConfigError(f"seeds: {short_repr(seeds)} are not two; each of the pictures needs one")
    for seed in seeds:
        as_int("seeds", seed)


def sample_end(redrawing: Redrawing, photo: Picture, seed: int) -> Iterator[Progress[Picture]]:
    """Sample a picture to interpolate from: the result of `upscale` in as many steps."""
    yield from restore_picture(
        redrawing.stage, photo, replace(redrawing.options, seed=seed, steps=redrawing.sampling.steps)
    )


def interpolate_pictures(
    redrawing: Redrawing, photo: Picture, pair: Pair, share: float
) -> Iterator[Progress[Picture]]:
    """`interpolate` for two high-resolution `Picture`s of one photo and one share of the second.

    All shares use the same noise (Ho et al. 2020, section 4.3), and so do the two pictures
    (`repeat_first_draw`).
    """
    photo = with_colour_channels(redrawing.stage, with_span(photo, redrawing.stage.span))
    for picture in pair:
        check_size(redrawing, photo, picture)
    first, second = (redrawing.to_images(picture, photo.channels) for picture in pair)
    low = to_tensor(opaque(photo)).to(redrawing.device)
    alpha = None if photo.alpha is None else enlarged_alpha(photo, pair[0].size)
    noise = redrawing.noise(first)
    # a model that only inpaints gets a mask of everything: it would return known pixels unchanged
    given = redrawing.build_input(low, photo.name, noise, torch.ones(photo.size))
    noise = repeat_first_draw(noise)
    for progress in interpolate_images(
        redrawing.stage, given, first, second, noise, share=share, **redrawing.arguments()
    ):
        yield picture_progress(progress, low, redrawing.sampling.consistent, photo, alpha)


def check_size(redrawing: Redrawing, photo: Picture, large: Picture) -> None:
    """Raises InputError if the picture's size is not that of the photo enlarged."""
    scale = redrawing.stage.method.scale
    height, width = photo.size
    if large.size != (scale * height, scale * width):
        wanted = f"{photo.name} enlarged {scale} times has {format_size((scale * height, scale * width))}"
        raise InputError(f"{large.name}: has {format_size(large.size)} pixels, but {wanted}")


def side_by_side(pictures: Sequence[Picture]) -> Picture:
    """The pictures in a row, with a white gap between them, which is transparent if they have alpha."""
    bands = [picture.pixels_with_alpha() for picture in pictures]
    first, height = pictures[0], bands[0].shape[0]
    clear = None if first.alpha is None else np.zeros((height, GAP), first.alpha.dtype)
    gap = from_tensor(torch.ones(1, first.channels, height, GAP), first, clear).pixels_with_alpha()
    parts = [part for band in bands for part in (gap, band)][1:]
    pixels, alpha = split_alpha(np.concatenate(parts, 1), clear is not None)
    place = first.georeference if len(pictures) == 1 else None
    return replace(first, pixels=pixels, alpha=alpha, georeference=place)
