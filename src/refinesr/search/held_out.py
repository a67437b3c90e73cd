"""Pictures that a model was not trained on, and the poor ones it is to restore."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from refinesr.errors import ConfigError, InputError
from refinesr.held_out import ENDLESS, HeldOut, Reading, cut
from refinesr.images.augment import CascadeAugmented
from refinesr.images.degrade import NEEDS_GIVEN_LOW, Degradation, Given, Photo, check_accepts_low
from refinesr.images.entries import Entry, class_names, list_entries
from refinesr.images.loader import ImageLoader, ItemReader, list_items
from refinesr.images.picture import format_size
from refinesr.images.reduction import Bicubic, GaussianBlurred
from refinesr.method import Method
from refinesr.sources import Labelled

LARGEST = 256
"""Pixels a side of the crops, at most, if nobody says; if made from nothing, as many as in training."""


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
    `LARGEST` at most.  Where values are missing in the middle, the nearest part that has them all is taken.
    Nothing is random that need not be: see `plain`; what is, follows from `seed` and the picture's place.
    Channels are made the model's as in training.  `low` are the poor pictures of all, if they are given
    (`images.pairing`); warnings say so if one is shifted, or seems to be in another unit.  Raises
    ConfigError, and InputError for pictures that cannot be read, are too small, miss values everywhere or are
    no pairs.
    """
    check_low(method, low)
    if limit < 1 or (size is not None and (size < 1 or size % method.scale)):
        of = f"size: {size} is not a positive multiple of scale {method.scale}"
        raise ConfigError(f"limit: {limit} is not positive" if limit < 1 else of)
    found = list_entries(Path(source))
    items = list_items(found, low)
    picked = [items[k * len(items) // limit] for k in range(limit)] if len(items) > limit else items
    most = size or (method.tile * method.scale if method.generates and method.tile else LARGEST)
    # a middle that has no poor picture may begin anywhere
    scale = 1 if low is None else method.scale
    loader = ImageLoader(ItemReader(method.channels, scale, method.span, size or method.scale, most), ENDLESS)
    for done in loader.read(picked):
        yield Reading(done, len(picked))
    check_all(loader, most)
    side = min(map(min, loader.sizes)) // method.scale * method.scale
    labels = classes(method, found, [entry for entry, *_ in picked])
    yield Reading(len(picked), len(picked), cut(method, loader, side, plain(method), seed, labels))


def check_all(loader: ImageLoader, most: int) -> None:
    """Raises InputError for a picture that was left out."""
    for (entry, *_), outcome in loader.skipped:
        whole = outcome.sizes[0]
        size, without = loader.reader.smallest, ""
        if outcome.has_holes:
            size, without = min(most, *whole), " without missing values"
        raise InputError(
            f"{entry.name}: {format_size(whole)} pixels do not hold a crop of size {size}{without}"
        )


def check_low(method: Method, low: object) -> None:
    """Raises ConfigError for a model that wants poor pictures and has none, or has no use for given ones."""
    if low is None and isinstance(method.degradation, Given):
        raise ConfigError(NEEDS_GIVEN_LOW)
    if low is not None and method.generates:
        raise ConfigError("--low: the model makes pictures from nothing, and looks at no poor ones")
    if low is not None:
        check_accepts_low(method.degradation)


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
    names = class_names(found)
    if len(names) != method.source.count:
        shown = f"{len(names)} ({', '.join(names)[:60]})"
        raise ConfigError(f"data: the model has {method.source.count} classes and the folders are {shown}")
    return [names.index(entry.group) for entry in picked]
