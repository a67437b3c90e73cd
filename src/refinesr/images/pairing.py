"""Pairs of given images: matching low- with high-resolution images by name, and checking their sizes."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from refinesr.errors import InputError
from refinesr.files import case_folded
from refinesr.images.crop_positions import Mask
from refinesr.images.entries import Entry
from refinesr.images.image_store import Raster
from refinesr.images.naming import IDENTIFIED_BY_NAME, without_marks
from refinesr.images.picture import Picture, format_size
from refinesr.images.span import Span


def pair_entries(high: Sequence[Entry], low: Sequence[Entry]) -> list[tuple[Entry, Entry]]:
    """Pairs of a high-resolution image and its low-resolution one, in the order of `high`; neither is empty.

    Images are a pair if they have the same relative path inside the sources, ignoring suffix, case, and
    folders that all images of a source share.  If that does not pair all, marks of data sets in the names are
    ignored as well: img_HR, img_LR, imgx4.  Raises InputError with the names of unpaired images, and of those
    whose names are not unique.
    """
    for normalise in (case_folded, without_marks):
        high_keys, low_keys = pairing_keys(high, normalise), pairing_keys(low, normalise)
        if set(high_keys) == set(low_keys) and len(set(high_keys)) == len(high_keys) == len(low_keys):
            low_by_key = dict(zip(low_keys, low, strict=True))
            return [(entry, low_by_key[key]) for entry, key in zip(high, high_keys, strict=True)]
    sides = (high, high_keys, low_keys, "low-resolution"), (low, low_keys, high_keys, "high-resolution")
    errors = [error for found, own, _, _ in sides for error in duplicate_names(found, own)]
    errors += [error for side in sides for error in unpaired(*side)]
    raise InputError.combine(errors)


def pairing_keys(found: Sequence[Entry], normalise: Callable[[str], str]) -> list[str]:
    """For each image its folders, except for those that all share, and its normalised name."""
    folders = [entry.relative_path.parent.parts for entry in found]
    steps = enumerate(zip(*folders, strict=False))
    shared = next((depth for depth, step in steps if len({*step}) > 1), min(map(len, folders)))
    return [
        "/".join((*map(case_folded, folder[shared:]), normalise(entry.relative_path.stem)))
        for folder, entry in zip(folders, found, strict=True)
    ]


def duplicate_names(found: Sequence[Entry], own: Sequence[str]) -> Iterator[tuple[str, InputError]]:
    """(name, error) of each image whose key is that of an image before it."""
    seen: dict[str, Entry] = {}
    for entry, key in zip(found, own, strict=True):
        first = seen.setdefault(key, entry)
        if first is not entry:
            both = f"{first.name} and {entry.name}: both are called '{key}', {IDENTIFIED_BY_NAME}"
            yield (
                entry.name,
                InputError(f"{both} (marks such as _LR and x4 aside); rename one, or leave it out"),
            )


def unpaired(
    found: Sequence[Entry], own: Sequence[str], other: Sequence[str], kind: str
) -> Iterator[tuple[str, InputError]]:
    """(name, error) of each image whose key is not among those of the other side, of the kind `kind`."""
    others = set(other)
    for entry, key in zip(found, own, strict=True):
        if key not in others:
            named = f"is called '{key}' (suffix and marks such as _LR and x4 aside)"
            yield entry.name, InputError(f"{entry.name}: no {kind} picture {named}")


def read_pair(
    pair: tuple[Entry, Entry], channels: int, scale: int, span: Span | None = None
) -> tuple[tuple[Raster, Raster], Mask | None]:
    """Both images decoded as `Entry.read_pixels` does, and the mask (h, w) of missing values, None if empty.

    Rows and columns of the high-resolution image beyond scale * low are cut off.  The mask is True where a
    value is missing in the low-resolution pixel or in one of the high-resolution pixels that it covers.
    Raises InputError, naming the images, for those that cannot be read, differ in channels or do not fit in
    size: the low-resolution image must have (rows // scale, columns // scale) pixels of the other.
    """
    high, low = (entry.read_picture(span) for entry in pair)
    high_name, low_name = (entry.name for entry in pair)
    if high.channels != low.channels:
        found = f"{low_name}: {channels_text(low)}; {high_name} has {high.channels}"
        raise InputError(f"{found}, and both must have as many")
    rows, columns = (side // scale for side in high.size)
    if low.size != (rows, columns):
        found, expected = format_size(low.size), format_size((rows, columns))
        whole = f"{high_name}, {format_size(high.size)} pixels"
        raise InputError(f"{low_name}: {found} pixels; {whole}, at scale {scale} has {expected}")
    high_pixels, low_pixels = (
        entry.to_raster(picture, channels) for entry, picture in zip(pair, (high, low), strict=True)
    )
    return (high_pixels[: rows * scale, : columns * scale], low_pixels), missing_in_pair(high, low, scale)


def missing_in_pair(high: Picture, low: Picture, scale: int) -> Mask | None:
    """The mask (h, w) of low-resolution pixels where a value of either picture is missing."""
    if high.any_band_missing is None:
        return low.any_band_missing
    rows, columns = low.size
    whole = high.any_band_missing[: rows * scale, : columns * scale]
    blocks: Mask = np.any(whole.reshape(rows, scale, columns, scale), axis=(1, 3))
    return blocks if low.any_band_missing is None else blocks | low.any_band_missing


def channels_text(picture: Picture) -> str:
    """The number of channels in words."""
    return f"{picture.channels} channel{'s' * (picture.channels != 1)}"
