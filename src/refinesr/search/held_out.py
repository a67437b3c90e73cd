"""Pictures to search grids on, and the low-resolution images that a model restores them from."""

from collections.abc import Sequence
from pathlib import Path

from refinesr.errors import ConfigError, InputError
from refinesr.held_out import UNLIMITED, HeldOutSet, centre_crops
from refinesr.images.augment import CascadeAugmented
from refinesr.images.degrade import NEEDS_GIVEN_LOW, Degradation, Given, Photo, check_accepts_low
from refinesr.images.entries import Entry, class_names, list_entries
from refinesr.images.loader import ImageLoader, ItemReader, list_items
from refinesr.images.picture import format_size
from refinesr.images.reduction import Bicubic, GaussianBlurred
from refinesr.method import Method
from refinesr.sources import Labelled
from refinesr.stepwise import Steps, at_once

LARGEST = 256
"""Default limit of the crops' side in pixels; generative models use the side they were trained at."""


def loading_search_set(
    method: Method,
    source: str | Path,
    *,
    limit: int = 64,
    size: int | None = None,
    seed: int = 0,
    low: Path | Sequence[Path] | None = None,
) -> Steps[HeldOutSet]:
    """The central crops of `limit` pictures, evenly spread over a folder's sorted names, and their inputs.

    size  side of the crops, a multiple of the scale; by default the largest that all pictures hold, at most
          `LARGEST`
    low   sources of given low-resolution pictures (`images.pairing`); warnings tell of one that is shifted,
          or seems to be in another unit

    Where the central crop misses values, the nearest one without missing values is taken.  Inputs are
    degraded by `plain_degradation`; a random one depends on `seed` and on the picture's position in the
    list.  Channels are converted as in training.

    Yields (done, total) as pictures are read.  Raises ConfigError, and InputError for pictures that cannot be
    read, are too small, have missing values everywhere or lack a partner.
    """
    check_low(method, low)
    if limit < 1:
        raise ConfigError(f"limit: {limit} is not positive")
    if size is not None and (size < 1 or size % method.scale):
        raise ConfigError(f"size: {size} is not a positive multiple of scale {method.scale}")
    found = list_entries(Path(source))
    items = list_items(found, low)
    picked = [items[k * len(items) // limit] for k in range(limit)] if len(items) > limit else items
    most = size or (method.tile * method.scale if method.generates and method.tile else LARGEST)
    # without given low-resolution pictures the crop may begin at any pixel
    scale = 1 if low is None else method.scale
    loader = ImageLoader(
        ItemReader(method.channels, scale, method.span, size or method.scale, most), UNLIMITED
    )
    for done in loader.read(picked):
        yield done, len(picked)
    check_none_left_out(loader, most)
    side = min(map(min, loader.sizes)) // method.scale * method.scale
    labels = class_labels(method, found, [entry for entry, *_ in picked])
    return centre_crops(method, loader, side, plain_degradation(method), seed, labels)


load_search_set = at_once(loading_search_set)


def check_none_left_out(loader: ImageLoader, most: int) -> None:
    """Raise InputError for a picture that was left out."""
    for (entry, *_), outcome in loader.skipped:
        full_size = outcome.sizes[0]
        size, without = loader.reader.smallest, ""
        if outcome.has_holes:
            size, without = min(most, *full_size), " without missing values"
        raise InputError(
            f"{entry.name}: {format_size(full_size)} pixels do not hold a crop of size {size}{without}"
        )


def check_low(method: Method, low: object) -> None:
    """Raise ConfigError for a model that needs given low-resolution pictures, or has no use for them."""
    if low is None and isinstance(method.degradation, Given):
        raise ConfigError(NEEDS_GIVEN_LOW)
    if low is not None and method.generates:
        raise ConfigError("--low: the model generates images from noise and has no low-resolution input")
    if low is not None:
        check_accepts_low(method.degradation)


def plain_degradation(method: Method) -> Degradation:
    """The training degradation; of one with random blur, noise and JPEG, only its reduction.

    The reduction's kernel is the one that the method's sampling is consistent with, else the first of the
    training.  So results are about the task of the papers, and have less variance.
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


def class_labels(method: Method, found: list[Entry], picked: list[Entry]) -> list[int]:
    """For a class-conditional model, the label of each picked picture: the index of its folder."""
    if not isinstance(method.source, Labelled):
        return []
    names = class_names(found)
    if len(names) != method.source.count:
        shown = f"{len(names)} ({', '.join(names)[:60]})"
        raise ConfigError(f"data: the model has {method.source.count} classes and the folders are {shown}")
    return [names.index(entry.group) for entry in picked]
