"""Pictures to learn from as they are read: kept while they fit in memory, checked, and told from others."""

import hashlib
import warnings
from dataclasses import dataclass

import torch

from refinesr.errors import InputError
from refinesr.images.decoder import Decoder
from refinesr.images.partners import matched
from refinesr.images.shards import Entry
from refinesr.images.shifts import Shift, shift
from refinesr.images.span import Span
from refinesr.images.stock import Raster, Stock, stocked
from refinesr.images.units import Unlike, unlike

Item = tuple[Entry, ...]
"""A picture, or a good one and the poor one that is given with it."""


@dataclass(frozen=True, eq=False)
class Opened:
    """An item's pixels, and how far the poor one of a pair is out of place, and in another unit, if that is
    plain to see."""

    rasters: tuple[Raster, ...]
    shift: Shift | None = None
    unlike: Unlike | None = None


def opened(item: Item, channels: int, scale: int, span: Span | None = None) -> Opened | InputError:
    """The pixels, those of pairs as `matched` gives them, or what is wrong."""
    try:
        if len(item) == 1:
            return Opened((item[0].pixels(channels, span),))
        high, low = matched((item[0], item[1]), channels, scale, span)
        return Opened((high, low), shift(high, low), unlike(high, low, span))
    except InputError as error:
        return error


class Intake:
    """What has been read so far: pictures while they fit the budget, only their sizes after that."""

    def __init__(self, smallest: int, budget: int) -> None:
        self.smallest, self.budget, self.needed = smallest, budget, 0
        self.kept: list[Item] = []
        self.sizes: list[tuple[int, int]] = []
        self.pixels: list[tuple[Raster, ...]] = []
        self.small: list[str] = []
        self.bad: list[tuple[str, InputError]] = []
        self.shifted: list[tuple[Item, Shift]] = []
        self.unlike: list[tuple[Item, Unlike]] = []
        self.listing = hashlib.sha256()

    def add(self, item: Item, outcome: Opened | InputError) -> None:
        if isinstance(outcome, InputError):
            # of a pair it may be either that cannot be used; messages begin with a name
            names = [entry.name for entry in item]
            self.bad.append((names[0] if str(outcome).startswith(names[0]) else names[-1], outcome))
            return
        for entry, raster in zip(item, outcome.rasters, strict=True):
            known = f"{entry.place.as_posix()}\0{raster.shape[0]} {raster.shape[1]}\0"
            self.listing.update(known.encode("utf-8", "surrogatepass"))  # names need not be text
        height, width = outcome.rasters[0].shape[:2]
        if min(height, width) < self.smallest:
            self.small.append(f"{item[0].name} ({width} x {height})")
            return
        self.kept.append(item)
        self.sizes.append((height, width))
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

    def check(self) -> None:
        """Raises InputError for what has been read."""
        if self.bad:
            raise InputError.first_of(self.bad) from self.bad[0][1]
        if not self.kept:
            raise InputError(
                f"no picture has {self.smallest} pixels a side, the size of a crop; "
                f"the first of {len(self.small)} is {self.small[0]}"
            )

    def stores(self, channels: int, device: torch.device, span: Span | None = None) -> list[Stock | Decoder]:
        """Of all pictures and, of pairs, of the poor ones; pixels are kept here no longer.

        Warns if they do not fit in memory.
        """
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
