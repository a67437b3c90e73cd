"""Pictures that a model was not trained on, and the poor ones it is to restore."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor

from refinesr.errors import ConfigError, InputError
from refinesr.held_out import HeldOut, degraded, with_planes
from refinesr.images import shifts, units
from refinesr.images.augment import CascadeAugmented
from refinesr.images.degrade import NOTHING_MAKES_THEM, Degradation, Given, Photo, check_given
from refinesr.images.partners import matched, partners
from refinesr.images.picture import Picture, to_tensor
from refinesr.images.reduction import Bicubic, GaussianBlurred
from refinesr.images.shards import Entry, classes_of, entries
from refinesr.images.shifts import Shift, shift
from refinesr.images.span import Span
from refinesr.images.stock import Raster
from refinesr.images.units import Unlike, unlike
from refinesr.method import Method
from refinesr.sources import Labelled

LARGEST = 256
"""Pixels a side of the crops, at most, if nobody says; if made from nothing, as many as in training."""


@dataclass(frozen=True)
class Reading:
    """`done` of `total` pictures are read; the last one has them all."""

    done: int
    total: int
    held: HeldOut | None = None


class Choice(TypedDict, total=False):
    """What `reading` may be told besides."""

    limit: int
    size: int | None
    seed: int
    low: Path | Sequence[Path] | None


def held_out(method: Method, source: str | Path, **choice: Unpack[Choice]) -> HeldOut:
    """See `reading`, which this waits for."""
    *_, last = reading(method, source, **choice)
    assert last.held is not None
    return last.held


def reading(
    method: Method,
    source: str | Path,
    *,
    limit: int = 64,
    size: int | None = None,
    seed: int = 0,
    low: Path | Sequence[Path] | None = None,
) -> Iterator[Reading]:
    """The middles of `limit` pictures of a folder, evenly spread over its names, and what a model is given.

    `size` is the side of the crops, a multiple of the scale; by default the largest that all pictures have,
    `LARGEST` at most.  Nothing is random that need not be: see `plain`; what is, follows from `seed` and the
    picture's place.  Channels are made the model's as in training.  `low` are the poor pictures of all, if
    they are given (`images.partners`); warnings say so if one is shifted, or seems to be in another unit.
    Raises ConfigError, and InputError for pictures that cannot be read, are too small or are no pairs.
    """
    check_low(method, low)
    if limit < 1 or (size is not None and (size < 1 or size % method.scale)):
        of = f"size: {size} is not a positive multiple of scale {method.scale}"
        raise ConfigError(f"limit: {limit} is not positive" if limit < 1 else of)
    found = entries(Path(source))
    picked = [found[k * len(found) // limit] for k in range(limit)] if len(found) > limit else found
    most = method.tile * method.scale if method.generates and method.tile else LARGEST
    poor = {} if low is None else dict(partners(found, entries(low)))
    crops: list[Tensor] = []
    given: list[Tensor] = []
    shifted: list[tuple[Sequence[Entry], Shift]] = []
    apart: list[tuple[Sequence[Entry], Unlike]] = []
    for done, entry in enumerate(picked, start=1):
        if low is None:
            crops.append(crop(entry, method, size, most))
        else:
            pair = both(entry, poor[entry], method, size, most)
            crops.append(pair.high)
            given.append(pair.low)
            shifted += [] if pair.shift is None else [((entry, poor[entry]), pair.shift)]
            apart += [] if pair.unlike is None else [((entry, poor[entry]), pair.unlike)]
        yield Reading(done, len(picked))
    if shifted:
        warnings.warn(shifts.told(shifted, len(picked)), stacklevel=2)
    if apart:
        warnings.warn(units.told(apart, len(picked)), stacklevel=2)
    side = size or min(min(image.shape[-2:]) for image in crops) // method.scale * method.scale
    if side == 0:
        raise InputError(f"{source}: a picture has less than {method.scale} pixels a side, the scale")
    high = torch.cat([middle(image, side, method.scale if given else 1) for image in crops])
    if given:
        shown = with_planes(method, torch.cat([middle(image, side // method.scale) for image in given]))
    else:
        shown = degraded(plain(method), method, high, seed, classes(method, found, picked))
    yield Reading(len(picked), len(picked), HeldOut(tuple(entry.name for entry in picked), high, shown))


def check_low(method: Method, low: object) -> None:
    """Raises ConfigError for a model that wants poor pictures and has none, or has no use for given ones."""
    if low is None and isinstance(method.degradation, Given):
        raise ConfigError(NOTHING_MAKES_THEM)
    if low is not None and method.generates:
        raise ConfigError("--low: the model makes pictures from nothing, and looks at no poor ones")
    if low is not None:
        check_given(method.degradation)


def crop(entry: Entry, method: Method, size: int | None, most: int) -> Tensor:
    """(1, C, H, W) in [-1, 1]: size x size, or as much as there is of `most`."""
    pixels = entry.pixels(method.channels, method.span)
    return middle(fitting(pixels, entry.name, method.span, size), size or most)


@dataclass(frozen=True, eq=False)
class Both:
    """Crops of a pair, (1, C, H, W) in [-1, 1]; how far out of place the poor one is, or of another unit."""

    high: Tensor
    low: Tensor
    shift: Shift | None
    unlike: Unlike | None


def both(high: Entry, low: Entry, method: Method, size: int | None, most: int) -> Both:
    """As `crop`, at a place that is a multiple of the scale, and the same part of the poor picture."""
    one, other = matched((high, low), method.channels, method.scale, method.span)
    side = (size or most) // method.scale
    good = middle(fitting(one, high.name, method.span, size), side * method.scale, method.scale)
    poor = middle(fitting(other, low.name, method.span), side)
    return Both(good, poor, shift(one, other), unlike(one, other, method.span))


def fitting(pixels: Raster, name: str, span: Span | None, size: int | None = None) -> Tensor:
    """(1, C, H, W) in [-1, 1].  Raises InputError if it does not hold size x size pixels."""
    image = to_tensor(Picture(np.ascontiguousarray(pixels), name=name, span=span)).clamp_(-1, 1)
    height, width = image.shape[-2:]
    if size is not None and min(height, width) < size:
        raise InputError(f"{name}: {width} x {height} pixels do not hold a crop of size {size}")
    return image


def middle(image: Tensor, side: int, step: int = 1) -> Tensor:
    """A copy, so that the rest need not be kept; it begins at multiples of `step`."""
    height, width = image.shape[-2:]
    top, left = (max(0, length - side) // 2 // step * step for length in (height, width))
    return image[..., top : top + side, left : left + side].clone()


def plain(method: Method) -> Degradation:
    """What makes held-out inputs: the training's, but of a reduction with random blur, noise and JPEG about
    it the reduction alone, by the kernel that the model promises to keep, else the first it was trained with.

    So numbers are about the task of the papers, and few pictures tell more.
    """
    match method.degradation:
        case (
            Photo(scale=scale, kernels=(kernel, *_), eight_bit=eight_bit)
            | GaussianBlurred(scale=scale, kernel=kernel, eight_bit=eight_bit)
            | CascadeAugmented(scale=scale, kernel=kernel, eight_bit=eight_bit)
        ):
            return Bicubic(scale, method.sampling.consistent or kernel, eight_bit)
        case degradation:
            return degradation


def classes(method: Method, found: list[Entry], picked: list[Entry]) -> list[int]:
    """Of each picked picture: the place of its folder among all, sorted, where the model knows classes."""
    if not isinstance(method.source, Labelled):
        return []
    names = classes_of(found)
    if len(names) != method.source.count:
        shown = f"{len(names)} ({', '.join(names)[:60]})"
        raise ConfigError(f"data: the model has {method.source.count} classes and the folders are {shown}")
    return [names.index(entry.group) for entry in picked]
