"""Pictures to learn from as they are read: kept while they fit in memory, checked, and told from others."""

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from refinesr.errors import InputError
from refinesr.images import shifts, units
from refinesr.images.decoder import Decoder, in_order, threads
from refinesr.images.partners import matched, partners
from refinesr.images.picture import format_size
from refinesr.images.places import Mask, Places, places
from refinesr.images.shards import Entry, entries
from refinesr.images.shifts import Shift, shift
from refinesr.images.span import Span
from refinesr.images.stock import Raster, Stock, stocked
from refinesr.images.units import Unlike, unlike

Item = tuple[Entry, ...]
"""A picture, or a good one and the poor one that is given with it."""

Size = tuple[int, int]
"""(height, width)."""


def items_of(found: Sequence[Entry], low: Path | Sequence[Path] | None = None) -> list[Item]:
    """The pictures, with the poor ones if they are given (see `partners`)."""
    return [(entry,) for entry in found] if low is None else [*partners(found, entries(low))]


def held_by(side: int, holed: int) -> str:
    """What a picture must have to be of use; `holed` is how many have it, but for missing values."""
    return f"{side} x {side} pixels without missing values" if holed else f"{side} pixels a side"


@dataclass(frozen=True, eq=False)
class Opened:
    """An item as it has been read."""

    sizes: tuple[Size, ...]
    """Of the whole pictures."""
    rasters: tuple[Raster, ...] = ()
    """What is kept of them; nothing if no crop fits,"""
    holed: bool = False
    """be it that one would, but for missing values."""
    places: Places | None = None
    """Where crops fit, in pixels of the last picture; None: anywhere."""
    shift: Shift | None = None
    """How far the poor one of a pair is out of place,"""
    unlike: Unlike | None = None
    """and in another unit, if that is plain to see."""


@dataclass(frozen=True)
class Reader:
    """Reads items; may be called from several threads.

    channels  what pictures are made to have, as `Entry.pixels` does
    scale     pixels of a good picture per pixel of its poor one, a side; middles begin at multiples of it
    smallest  pixels a side of the crops that a picture must hold, free of missing values
    most      only the middle is kept, of so many pixels a side or all that there are; where it misses values,
              the nearest part that has them all.  None: the whole picture is kept
    """

    channels: int
    scale: int
    span: Span | None
    smallest: int
    most: int | None = None

    def __call__(self, item: Item) -> Opened | InputError:
        """What has been read, pairs as `matched` gives them, or what is wrong."""
        try:
            rasters, lost = self.taken(item)
        except InputError as error:
            return error
        sizes = tuple((each.shape[0], each.shape[1]) for each in rasters)
        if min(sizes[0]) < self.smallest:
            return Opened(sizes)
        part = self.part(sizes)
        found = None if lost is None else places(lost, *part)
        if found is not None and not found.count:
            return Opened(sizes, holed=True)
        middle = self.middle(rasters, part, found)
        opened = Opened(sizes, rasters, places=found)
        if len(item) > 1:
            high, low = rasters if found is None else middle  # what is missing correlates with nothing
            opened = replace(opened, shift=shift(high, low), unlike=unlike(high, low, self.span))
        if self.most is None:
            return opened
        # views would keep the whole pictures
        return replace(opened, rasters=tuple(each.copy() for each in middle), places=None)

    def part(self, sizes: tuple[Size, ...]) -> Size:
        """What must miss no value, in pixels of the last picture: a crop, or the middle that is kept."""
        unit = self.scale if len(sizes) > 1 else 1
        if self.most is None:
            return (-(-self.smallest // unit),) * 2
        height, width = (min(self.most // unit, length) for length in sizes[-1])
        return height, width

    def middle(self, rasters: tuple[Raster, ...], part: Size, found: Places | None) -> tuple[Raster, ...]:
        """That part of each picture: the middle, or of the places that are found the one nearest to it."""
        unit = self.scale if len(rasters) > 1 else 1
        step, (rows, columns) = self.scale // unit, part
        top, left = (
            (length - side) // 2 // step * step
            for length, side in zip(rasters[-1].shape[:2], part, strict=True)
        )
        if found is not None:
            top, left = found.nearest(top, left)
        return tuple(
            each[top * by : (top + rows) * by, left * by : (left + columns) * by]
            for each, by in zip(rasters, (unit, 1), strict=False)
        )

    def taken(self, item: Item) -> tuple[tuple[Raster, ...], Mask | None]:
        """All pixels, and where some are missing, in pixels of the last picture."""
        if len(item) > 1:
            return matched((item[0], item[1]), self.channels, self.scale, self.span)
        picture = item[0].picture(self.span)
        return (item[0].fitted(picture, self.channels),), picture.holes


class Intake:
    """What has been read so far: pictures while they fit the budget, only their sizes after that."""

    def __init__(self, reader: Reader, budget: int) -> None:
        self.reader, self.budget, self.needed = reader, budget, 0
        self.kept: list[Item] = []
        self.sizes: list[Size] = []
        self.places: list[Places | None] = []
        self.pixels: list[tuple[Raster, ...]] = []
        self.left_out: list[tuple[Item, Opened]] = []
        self.bad: list[tuple[str, InputError]] = []
        self.shifted: list[tuple[Item, Shift]] = []
        self.unlike: list[tuple[Item, Unlike]] = []
        self.listing = hashlib.sha256()

    def read(self, items: Sequence[Item]) -> Iterator[int]:
        """Reads them all, by threads; yields how many are done.

        Warns of pairs that are shifted, or seem to be in two units.  When all have been tried, raises
        InputError for what cannot be read.
        """
        with ThreadPoolExecutor(threads()) as pool:
            for done, each in enumerate(in_order(pool, self.reader, items, 2 * threads()), start=1):
                self.add(*each)
                yield done
        if self.bad:
            raise InputError.combine(self.bad) from self.bad[0][1]
        if self.shifted:
            warnings.warn(shifts.told(self.shifted, len(items)), stacklevel=3)
        if self.unlike:
            warnings.warn(units.told(self.unlike, len(items)), stacklevel=3)

    def add(self, item: Item, outcome: Opened | InputError) -> None:
        if isinstance(outcome, InputError):
            # of a pair it may be either that cannot be used; messages begin with a name
            names = [entry.name for entry in item]
            self.bad.append((names[0] if str(outcome).startswith(names[0]) else names[-1], outcome))
            return
        for entry, (height, width) in zip(item, outcome.sizes, strict=True):
            known = f"{entry.place.as_posix()}\0{height} {width}\0"
            self.listing.update(known.encode("utf-8", "surrogatepass"))  # names need not be text
        if not outcome.rasters:
            self.left_out.append((item, outcome))
            return
        self.kept.append(item)
        self.sizes.append((outcome.rasters[0].shape[0], outcome.rasters[0].shape[1]))
        self.places.append(outcome.places)
        if outcome.shift is not None:
            self.shifted.append((item, outcome.shift))
        if outcome.unlike is not None:
            self.unlike.append((item, outcome.unlike))
        self.needed += sum(raster.nbytes for raster in outcome.rasters)
        self.pixels.append(outcome.rasters)
        if not self.fits:
            self.pixels.clear()

    @property
    def fits(self) -> bool:
        return self.needed <= self.budget

    @property
    def holed(self) -> int:
        """How many are left out because of missing values."""
        return sum(outcome.holed for _, outcome in self.left_out)

    def check(self) -> None:
        """Raises InputError if no picture is of use."""
        if not self.kept:
            (entry, *_), outcome = self.left_out[0]
            raise InputError(
                f"no picture has {held_by(self.reader.smallest, self.holed)}, the size of a crop; "
                f"the first of {len(self.left_out)} is {entry.name} ({format_size(outcome.sizes[0])})"
            )

    def stores(self, device: torch.device) -> list[Stock | Decoder]:
        """Of all pictures and, of pairs, of the poor ones; pixels are kept here no longer.

        Warns if they do not fit in memory.
        """
        channels, span = self.reader.channels, self.reader.span
        if self.fits:
            columns = [list(column) for column in zip(*self.pixels, strict=True)]
            self.pixels.clear()
            return [stocked(column, device, span) for column in columns]
        needed, budget = self.needed / 2**30, self.budget / 2**30
        warnings.warn(
            f"the photos need {needed:.2f} GiB of memory and {budget:.2f} GiB may be used: "
            "each batch is decoded anew, which is slow; take fewer or smaller photos",
            stacklevel=3,
        )
        return [Decoder(column, channels, device, span) for column in zip(*self.kept, strict=True)]
