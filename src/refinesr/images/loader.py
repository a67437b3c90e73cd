"""Reading of training images: pixels are held while they fit in memory; images and pairs are checked."""

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from refinesr.errors import InputError
from refinesr.images import shifts, units
from refinesr.images.crop_positions import CropPositions, Mask, find_crop_positions
from refinesr.images.entries import Entry, list_entries
from refinesr.images.image_store import ImageStore, Raster, store_images
from refinesr.images.lazy_store import LazyImageStore, map_in_order, worker_count
from refinesr.images.pairing import pair_entries, read_pair
from refinesr.images.picture import format_size
from refinesr.images.shifts import Shift, detect_shift
from refinesr.images.span import Span
from refinesr.images.units import UnitMismatch, detect_unit_mismatch

Item = tuple[Entry, ...]
"""One image, or a pair: a high-resolution image and its low-resolution one."""

Size = tuple[int, int]
"""(height, width)."""


def list_items(found: Sequence[Entry], low: Path | Sequence[Path] | None = None) -> list[Item]:
    """The images as items, paired with those of `low` if it is given (see `pair_entries`)."""
    return [(entry,) for entry in found] if low is None else [*pair_entries(found, list_entries(low))]


def size_requirement(side: int, with_holes: int) -> str:
    """The size an image must have, in words; `with_holes` images have it but for missing values."""
    return f"{side} x {side} pixels without missing values" if with_holes else f"{side} pixels a side"


@dataclass(frozen=True, eq=False)
class ReadItem:
    """The outcome of reading an item."""

    sizes: tuple[Size, ...]
    """Sizes of the whole images."""
    rasters: tuple[Raster, ...] = ()
    """The pixels to hold; empty if no crop fits."""
    has_holes: bool = False
    """Whether a crop would fit if no values were missing."""
    positions: CropPositions | None = None
    """Where crops without missing values fit, in pixels of the last image; None: anywhere."""
    shift: Shift | None = None
    """The shift of a pair's low-resolution image, if one was detected."""
    mismatch: UnitMismatch | None = None
    """The units of a pair's images, if they seem to differ."""


@dataclass(frozen=True)
class ItemReader:
    """Reads items; may be called from several threads.

    channels     number of channels to convert images to, as `Entry.read_pixels` does
    scale        ratio of sides of a pair's images; the central part begins at a multiple of it
    smallest     side in pixels of the crops that an image must hold without missing values
    centre_size  side in pixels of the central part to hold, or less in smaller images; if values are missing
                 there, the nearest part without missing values is taken.  None: whole images are held
    """

    channels: int
    scale: int
    span: Span | None
    smallest: int
    centre_size: int | None = None

    def __call__(self, item: Item) -> ReadItem | InputError:
        """The item as read, pairs as `read_pair` returns them, or the error that reading it raised."""
        try:
            rasters, missing = self.decode(item)
        except InputError as error:
            return error
        sizes = tuple((raster.shape[0], raster.shape[1]) for raster in rasters)
        if min(sizes[0]) < self.smallest:
            return ReadItem(sizes)
        part = self.required_size(sizes)
        positions = None if missing is None else find_crop_positions(missing, *part)
        if positions is not None and not positions.count:
            return ReadItem(sizes, has_holes=True)
        centre = self.central_part(rasters, part, positions)
        outcome = ReadItem(sizes, rasters, positions=positions)
        if len(item) > 1:
            high, low = rasters if positions is None else centre  # missing values cannot be correlated
            mismatch = detect_unit_mismatch(high, low, self.span)
            outcome = replace(outcome, shift=detect_shift(high, low), mismatch=mismatch)
        if self.centre_size is None:
            return outcome
        # views would hold the memory of the whole images
        return replace(outcome, rasters=tuple(raster.copy() for raster in centre), positions=None)

    def required_size(self, sizes: tuple[Size, ...]) -> Size:
        """(height, width) in pixels of the last image of the part without missing values: crop or centre."""
        unit = self.scale if len(sizes) > 1 else 1
        if self.centre_size is None:
            return (-(-self.smallest // unit),) * 2
        height, width = (min(self.centre_size // unit, length) for length in sizes[-1])
        return height, width

    def central_part(
        self, rasters: tuple[Raster, ...], part: Size, positions: CropPositions | None
    ) -> tuple[Raster, ...]:
        """That part of each image at its centre, or at the nearest of `positions`; views."""
        unit = self.scale if len(rasters) > 1 else 1
        step, (rows, columns) = self.scale // unit, part
        top, left = (
            (length - side) // 2 // step * step
            for length, side in zip(rasters[-1].shape[:2], part, strict=True)
        )
        if positions is not None:
            top, left = positions.nearest(top, left)
        return tuple(
            raster[top * factor : (top + rows) * factor, left * factor : (left + columns) * factor]
            for raster, factor in zip(rasters, (unit, 1), strict=False)
        )

    def decode(self, item: Item) -> tuple[tuple[Raster, ...], Mask | None]:
        """All pixels of the item's images, and the mask of missing ones in pixels of the last image."""
        if len(item) > 1:
            return read_pair((item[0], item[1]), self.channels, self.scale, self.span)
        picture = item[0].read_picture(self.span)
        return (item[0].to_raster(picture, self.channels),), picture.any_band_missing


class ImageLoader:
    """Reads items and collects the outcomes: pixels while they fit in `budget_bytes`, then only sizes."""

    def __init__(self, reader: ItemReader, budget_bytes: int) -> None:
        self.reader, self.budget_bytes, self.needed_bytes = reader, budget_bytes, 0
        self.items: list[Item] = []
        self.sizes: list[Size] = []
        self.positions: list[CropPositions | None] = []
        self.pixels: list[tuple[Raster, ...]] = []
        self.skipped: list[tuple[Item, ReadItem]] = []
        self.failed: list[tuple[str, InputError]] = []
        self.shifted: list[tuple[Item, Shift]] = []
        self.mismatched: list[tuple[Item, UnitMismatch]] = []
        self.digest = hashlib.sha256()

    def read(self, items: Sequence[Item]) -> Iterator[int]:
        """Reads all items in threads; yields how many are done.

        Warns of pairs that are shifted or whose units seem to differ.  Raises InputError for files that
        cannot be read, after all have been tried.
        """
        with ThreadPoolExecutor(worker_count()) as pool:
            outcomes = map_in_order(pool, self.reader, items, 2 * worker_count())
            for done, (item, outcome) in enumerate(outcomes, start=1):
                self.add(item, outcome)
                yield done
        if self.failed:
            raise InputError.combine(self.failed) from self.failed[0][1]
        if self.shifted:
            warnings.warn(shifts.shift_warning(self.shifted, len(items)), stacklevel=3)
        if self.mismatched:
            warnings.warn(units.unit_warning(self.mismatched, len(items)), stacklevel=3)

    def add(self, item: Item, outcome: ReadItem | InputError) -> None:
        """Collects the outcome of reading one item."""
        if isinstance(outcome, InputError):
            # either image of a pair may be at fault; messages begin with its name
            names = [entry.name for entry in item]
            self.failed.append((names[0] if str(outcome).startswith(names[0]) else names[-1], outcome))
            return
        for entry, (height, width) in zip(item, outcome.sizes, strict=True):
            known = f"{entry.relative_path.as_posix()}\0{height} {width}\0"
            self.digest.update(known.encode("utf-8", "surrogatepass"))  # names need not be valid text
        if not outcome.rasters:
            self.skipped.append((item, outcome))
            return
        self.items.append(item)
        self.sizes.append((outcome.rasters[0].shape[0], outcome.rasters[0].shape[1]))
        self.positions.append(outcome.positions)
        if outcome.shift is not None:
            self.shifted.append((item, outcome.shift))
        if outcome.mismatch is not None:
            self.mismatched.append((item, outcome.mismatch))
        self.needed_bytes += sum(raster.nbytes for raster in outcome.rasters)
        self.pixels.append(outcome.rasters)
        if not self.fits:
            self.pixels.clear()

    @property
    def fits(self) -> bool:
        """Whether all pixels read so far fit in the budget."""
        return self.needed_bytes <= self.budget_bytes

    @property
    def skipped_for_holes(self) -> int:
        """How many items were skipped only because of missing values."""
        return sum(outcome.has_holes for _, outcome in self.skipped)

    def check(self) -> None:
        """Raises InputError if every item was skipped."""
        if not self.items:
            (entry, *_), outcome = self.skipped[0]
            required = size_requirement(self.reader.smallest, self.skipped_for_holes)
            raise InputError(
                f"no picture has {required}, the size of a crop; "
                f"the first of {len(self.skipped)} is {entry.name} ({format_size(outcome.sizes[0])})"
            )

    def build_stores(self, device: torch.device) -> list[ImageStore | LazyImageStore]:
        """A store of all images, or two of pairs: high- and low-resolution.  Releases the pixels held here.

        Warns if the images do not fit in memory and are decoded anew for each batch.
        """
        channels, span = self.reader.channels, self.reader.span
        if self.fits:
            columns = [list(column) for column in zip(*self.pixels, strict=True)]
            self.pixels.clear()
            return [store_images(column, device, span) for column in columns]
        needed, budget = self.needed_bytes / 2**30, self.budget_bytes / 2**30
        warnings.warn(
            f"the photos need {needed:.2f} GiB of memory and {budget:.2f} GiB may be used: "
            "each batch is decoded anew, which is slow; take fewer or smaller photos",
            stacklevel=3,
        )
        return [LazyImageStore(column, channels, device, span) for column in zip(*self.items, strict=True)]
