"""Pictures between two: SRDiff's latent-space interpolation."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Unpack

import numpy as np
import torch

from refinesr.diffusion.walking import last
from refinesr.editing import interpolate_images, repeat_first_draw
from refinesr.errors import ConfigError, InputError
from refinesr.images.picture import Picture, format_size, from_tensor, split_alpha, to_tensor, with_span
from refinesr.mixing.walk import DEPTH, Redrawing, plan_redrawing
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
"""Pixels between the pictures of a strip."""

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
    """Pictures between two good ones of the same small image, one for each share of the second.

    image          the small one, of any kind that `upscale` takes
    first, second  `model.method.scale` times its size; without them, two samples with `seeds`
    depth          share of the steps that are walked again, more than 0; 1 begins at noise
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
    walk, photo = (
        plan_redrawing(stage, resolve_options(model, options), depth),
        picture_of(image, span=stage.span),
    )
    check_representable(with_colour_channels(walk.stage, photo), image)
    one, two = ends or [last(sample_end(walk, photo, seed)).image for seed in seeds]
    return [
        image_like(last(interpolate_pictures(walk, photo, (one, two), share)).image, image)
        for share in shares
    ]


def check_shares(shares: Sequence[float]) -> None:
    """Raises ConfigError."""
    if not isinstance(shares, Iterable):
        raise ConfigError(f"shares: {type_error_text(shares, 'a sequence of numbers')}")
    for share in shares:
        if not 0 <= as_float("shares", share) <= 1:
            raise ConfigError(f"shares: {share:g} is not between 0, the first picture, and 1, the second")


def check_seeds(seeds: Sequence[int]) -> None:
    """Raises ConfigError; what each may be is for `Options` to say."""
    if not isinstance(seeds, Sequence) or len(seeds) != 2:
        raise ConfigError(f"seeds: {short_repr(seeds)} are not two; each of the pictures needs one")
    for seed in seeds:
        as_int("seeds", seed)


def sample_end(walk: Redrawing, photo: Picture, seed: int) -> Iterator[Progress[Picture]]:
    """An end to interpolate from: what `upscale` makes in as many steps."""
    yield from restore_picture(walk.stage, photo, replace(walk.options, seed=seed, steps=walk.sampling.steps))


def interpolate_pictures(
    walk: Redrawing, photo: Picture, pair: Pair, share: float
) -> Iterator[Progress[Picture]]:
    """`share` of the second of two large pictures of one small photo, the rest of the first.

    All shares have the same noise (Ho et al. 2020, section 4.3), and so have the two (`repeat_first_draw`).
    """
    photo = with_colour_channels(walk.stage, with_span(photo, walk.stage.span))
    for picture in pair:
        check_size(walk, photo, picture)
    first, second = (walk.spread(picture, photo.channels) for picture in pair)
    low = to_tensor(opaque(photo)).to(walk.device)
    alpha = None if photo.alpha is None else enlarged_alpha(photo, pair[0].size)
    noise = walk.noise(first)
    # to a model that fills holes all of it is one: else it would be told what it is to make up
    given = walk.given(low, photo.name, noise, torch.ones(photo.size))
    noise = repeat_first_draw(noise)
    for progress in interpolate_images(walk.stage, given, first, second, noise, share=share, **walk.how()):
        yield picture_progress(progress, low, walk.sampling.consistent, photo, alpha)


def check_size(walk: Redrawing, photo: Picture, large: Picture) -> None:
    """Raises InputError for pictures that cannot be the photo enlarged."""
    scale = walk.stage.method.scale
    height, width = photo.size
    if large.size != (scale * height, scale * width):
        wanted = f"{photo.name} enlarged {scale} times has {format_size((scale * height, scale * width))}"
        raise InputError(f"{large.name}: has {format_size(large.size)} pixels, but {wanted}")


def side_by_side(pictures: Sequence[Picture]) -> Picture:
    """Side by side, a white gap between them; clear where they can be."""
    bands = [picture.pixels_with_alpha() for picture in pictures]
    first, height = pictures[0], bands[0].shape[0]
    clear = None if first.alpha is None else np.zeros((height, GAP), first.alpha.dtype)
    gap = from_tensor(torch.ones(1, first.channels, height, GAP), first, clear).pixels_with_alpha()
    parts = [part for band in bands for part in (gap, band)][1:]
    pixels, alpha = split_alpha(np.concatenate(parts, 1), clear is not None)
    place = first.georeference if len(pictures) == 1 else None
    return replace(first, pixels=pixels, alpha=alpha, georeference=place)
