"""Pairs that are given: which poor picture belongs to which good one, and whether it can be one of it."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from refinesr.errors import InputError
from refinesr.files import caseless
from refinesr.images.crop_positions import Mask
from refinesr.images.entries import Entry
from refinesr.images.image_store import Raster
from refinesr.images.naming import TOLD_APART, without_marks
from refinesr.images.picture import Picture, format_size
from refinesr.images.span import Span


def pair_entries(high: Sequence[Entry], low: Sequence[Entry]) -> list[tuple[Entry, Entry]]:
    """Each good picture with its poor one, in the order of the good ones; at least one of each is given.

    They belong together if they lie at the same place inside what was named and are called the same, but for
    suffix and case.  Folders that all good ones, or all poor ones, lie in do not count.  If not all find a
    partner so, what data sets hang on names does not count either: img_HR, img_LR, imgx4.
    Raises InputError naming the pictures without a partner, and those of one name.
    """
    for named in (caseless, without_marks):
        good, poor = pairing_keys(high, named), pairing_keys(low, named)
        if set(good) == set(poor) and len(set(good)) == len(good) == len(poor):
            of = dict(zip(poor, low, strict=True))
            return [(entry, of[key]) for entry, key in zip(high, good, strict=True)]
    ways = (high, good, poor, "poor"), (low, poor, good, "good")
    bad = [each for found, own, _, _ in ways for each in duplicate_names(found, own)]
    bad += [each for way in ways for each in unpaired(*way)]
    raise InputError.combine(bad)


def pairing_keys(found: Sequence[Entry], named: Callable[[str], str]) -> list[str]:
    """Of each picture its folders, from where they part on, and its name without suffix."""
    folders = [entry.relative_path.parent.parts for entry in found]
    steps = enumerate(zip(*folders, strict=False))
    shared = next((depth for depth, step in steps if len({*step}) > 1), min(map(len, folders)))
    return [
        "/".join((*map(caseless, folder[shared:]), named(entry.relative_path.stem)))
        for folder, entry in zip(folders, found, strict=True)
    ]


def duplicate_names(found: Sequence[Entry], own: Sequence[str]) -> Iterator[tuple[str, InputError]]:
    seen: dict[str, Entry] = {}
    for entry, key in zip(found, own, strict=True):
        first = seen.setdefault(key, entry)
        if first is not entry:
            both = f"{first.name} and {entry.name}: both are called '{key}', {TOLD_APART}"
            yield (
                entry.name,
                InputError(f"{both} (marks such as _LR and x4 aside); rename one, or leave it out"),
            )


def unpaired(
    found: Sequence[Entry], own: Sequence[str], other: Sequence[str], kind: str
) -> Iterator[tuple[str, InputError]]:
    there = set(other)
    for entry, key in zip(found, own, strict=True):
        if key not in there:
            named = f"is called '{key}' (suffix and marks such as _LR and x4 aside)"
            yield entry.name, InputError(f"{entry.name}: no {kind} picture {named}")


def read_pair(
    pair: tuple[Entry, Entry], channels: int, scale: int, span: Span | None = None
) -> tuple[tuple[Raster, Raster], Mask | None]:
    """Both decoded as `Entry.pixels` does; rows and columns of the good one beyond scale * low are cut off.

    And of each pixel of the poor one whether a value is missing in it or in the good one's pixels that lie
    there, (h, w); None if that is nowhere.
    Raises InputError for what cannot be read, naming it, and naming both for a poor one that has not
    (rows // scale, columns // scale) of the good one, or another number of channels.
    """
    high, low = (entry.read_picture(span) for entry in pair)
    good, poor = (entry.name for entry in pair)
    if high.channels != low.channels:
        have = f"{poor}: {bands(low)}; {good} has {high.channels}"
        raise InputError(f"{have}, and both must have as many")
    rows, columns = (side // scale for side in high.size)
    if low.size != (rows, columns):
        found = (
            f"{format_size(low.size)} pixels; {good}, {format_size(high.size)} pixels, at scale {scale} has "
        )
        raise InputError(f"{poor}: {found}{format_size((rows, columns))}")
    one, other = (entry.to_raster(each, channels) for entry, each in zip(pair, (high, low), strict=True))
    return (one[: rows * scale, : columns * scale], other), missing_in_pair(high, low, scale)


def missing_in_pair(high: Picture, low: Picture, scale: int) -> Mask | None:
    if high.any_band_missing is None:
        return low.any_band_missing
    rows, columns = low.size
    whole = high.any_band_missing[: rows * scale, : columns * scale]
    blocks: Mask = np.any(whole.reshape(rows, scale, columns, scale), axis=(1, 3))
    return blocks if low.any_band_missing is None else blocks | low.any_band_missing


def bands(picture: Picture) -> str:
    return f"{picture.channels} channel{'s' * (picture.channels != 1)}"
