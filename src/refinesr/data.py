"""Training data: photos in memory, and random crops of them with their low-resolution counterparts.

A batch is a function of (seed, step) alone, so a resumed run sees the same batches as an uninterrupted one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from refinesr.devices import fold_seed
from refinesr.errors import ConfigError
from refinesr.images.crop_positions import PositionTable
from refinesr.images.degrade import NEEDS_GIVEN_LOW, Degradation, Given
from refinesr.images.entries import check_classes, class_names, list_entries
from refinesr.images.image_store import CropBatch, ImageStore, available_memory
from refinesr.images.lazy_store import LazyImageStore
from refinesr.images.loader import ImageLoader, ItemReader, list_items, size_requirement
from refinesr.images.span import Span
from refinesr.model import with_plane
from refinesr.shapes import Images, LowWithPlanes
from refinesr.stepwise import Steps, at_once
from refinesr.torchrun import local_world_size

_MAX_CROPS = 64
"""A picture is drawn in proportion to its pixels, but as if it held at most so many crops: a panorama should
not dominate."""

FOR_ONE_SIZE = "photos with missing values are loaded for crops of one size,"


@dataclass(frozen=True, eq=False)
class Photos:
    """Photos of any sizes and bit depths, of which crops are drawn at random; `load_photos` makes them.

    If `resident`, all are decoded in memory; otherwise each batch is decoded anew: the same crops, slower.
    """

    names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    """(height, width) in pixels of each."""
    store: ImageStore | LazyImageStore
    channels: int
    smallest: int
    """Side of the largest crop that all of them hold."""
    left_out: int
    """Number of photos left out: too small for that, or with missing values in all such crops."""
    device: torch.device
    groups: tuple[str, ...] = ()
    """The outermost folder of each: its class, for class-conditional methods."""
    classes: tuple[str, ...] = ()
    """All such folders, sorted, even those whose photos are all too small; class labels are indices of it."""
    listing: str = ""
    """SHA-256 of the names and sizes of all pictures, small ones included, relative to their source: it does
    not change if the source is moved."""
    low: ImageStore | LazyImageStore | None = None
    """The low-resolution pictures, if they are given."""
    scale: int = 1
    """Pixels of a photo per pixel of its low-resolution picture, a side; crops lie on multiples of it."""
    free: PositionTable | None = None
    """Where crops of the size `smallest` miss no value, in low-resolution pixels; None: everywhere."""
    holed: int = 0
    """Number of photos left out because of missing values."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def resident(self) -> bool:
        return isinstance(self.store, ImageStore)

    def draw(self, n: int, size: int, rng: torch.Generator, *, upright: bool = False) -> CropBatch:
        """`n` random crops of size x size pixels, for `cut`; `rng` is on the photos' device.

        A picture's probability is proportional to its pixels, at most 64 * smallest**2 of them.  Positions
        are uniform, and so are the eight orientations or, of `upright` crops, the two: unchanged and
        mirrored. Where values are missing, only pixels count that lie in a crop without missing values, and
        only such crops are drawn.  Raises ValueError if `size` is above `smallest` or, where values are
        missing, not equal to it.
        """
        if not 0 < size <= self.smallest:
            raise ValueError(f"size is {size}; it must be in [1, {self.smallest}], the smallest side kept")
        if self.free is not None and size < self.smallest:
            raise ValueError(f"size is {size}; {FOR_ONE_SIZE} {self.smallest}")
        number = torch.randint(self._total, (n,), generator=rng, device=self.device)
        picture = torch.searchsorted(self._ends, number, right=True)
        positions = (self._sides[picture] - size) // self.scale + 1
        uniform = torch.rand(n, 2, generator=rng, device=self.device)
        # a float just below 1 times a large number may round up to it
        corner = torch.minimum((uniform * positions).long(), positions - 1)
        if self.free is not None:
            corner = self.free.sample_corners(picture, uniform, corner)
        top, left = (self.scale * corner).unbind(1)
        turned, upside, mirrored = torch.randint(2, (3, n), generator=rng, device=self.device).bool()
        if upright:
            turned, upside = torch.zeros_like(turned), torch.zeros_like(upside)
        return CropBatch(picture, top, left, turned, upside, mirrored)

    def cut(self, draw: CropBatch, size: int) -> list[Images]:
        """The crops, (n, C, size, size), and those of the low-resolution pictures, if they are given."""
        self.prefetch(draw, size)
        return [store.crop(draw.downscaled(scale), size // scale) for store, scale in self._stores]

    def prefetch(self, draw: CropBatch, size: int) -> None:
        """Start to decode crops that will be cut next, unless they are in memory."""
        for store, scale in self._stores:
            if isinstance(store, LazyImageStore):
                store.prefetch(draw.downscaled(scale), size // scale)

    @property
    def _stores(self) -> list[tuple[ImageStore | LazyImageStore, int]]:
        """The stores of photos and, if given, of low-resolution pictures, each with its reduction."""
        photos: list[tuple[ImageStore | LazyImageStore, int]] = [(self.store, 1)]
        return photos if self.low is None else [*photos, (self.low, self.scale)]

    @cached_property
    def labels(self) -> Tensor:
        """The class of each picture, (pictures,) float32."""
        index = {name: float(number) for number, name in enumerate(self.classes)}
        return torch.tensor([index[name] for name in self.groups], device=self.device)

    @cached_property
    def _sides(self) -> Tensor:
        return torch.tensor(self.sizes, device=self.device)

    @cached_property
    def _ends(self) -> Tensor:
        """Cumulative sum of the pixels that each picture counts for."""
        pixels = self._sides.prod(1)
        if self.free is not None:
            pixels = torch.where(self.free.count > 0, self.free.covered * self.scale**2, pixels)
        return pixels.clamp(max=_MAX_CROPS * self.smallest**2).cumsum(0)

    @cached_property
    def _total(self) -> int:
        return int(self._ends[-1])


def loading_photos(
    source: Path | Sequence[Path],
    device: torch.device,
    *,
    channels: int = 3,
    smallest: int,
    budget_bytes: int | None = None,
    span: Span | None = None,
    low: Path | Sequence[Path] | None = None,
    scale: int = 1,
) -> Steps[Photos]:
    """Decode and check all pictures of a folder (with subfolders), of tar files, or of a list of these.

    Pictures keep their bit depth (8 or 16 bits, floats) in memory.  `span` gives the values that become -1
    and 1; None: 0 and the largest of the type, of floats 0 and 1.  Grey is repeated for three `channels`,
    alpha is dropped, and for one channel colour is converted to BT.601 luma.  Pictures with a side below
    `smallest` pixels, or with missing values in all crops of that size, are left out.  If the others do not
    fit in `budget_bytes` (by default half of the free memory, shared by the processes of torchrun), none is
    kept in memory: crops are decoded for each batch, and a warning says so.

    `low` are sources of low-resolution pictures, if given (see `pairing`), smaller by `scale`.  Warnings
    tell of one that is shifted against its high-resolution picture, or seems to be in another unit.

    Yields (done, total) as pictures are read.  Raises InputError, after all have been tried, for pictures
    that cannot be read, have another number of channels, or lack a partner, naming them and the first
    error; and if no picture is large enough.
    """
    if budget_bytes is None:
        budget_bytes = available_memory(device) // (2 * local_world_size())
    found, loader = (
        list_entries(source),
        ImageLoader(ItemReader(channels, scale, span, smallest), budget_bytes),
    )
    for done in loader.read(list_items(found, low)):
        yield done, len(found)
    loader.check()
    store, *low_store = loader.build_stores(device)
    names = tuple(entry.name for entry, *_ in loader.items)
    return Photos(
        names=names,
        sizes=tuple(loader.sizes),
        store=store,
        channels=channels,
        smallest=smallest,
        left_out=len(found) - len(names),
        device=device,
        groups=tuple(entry.group for entry, *_ in loader.items),
        classes=class_names(found),
        listing=loader.digest.hexdigest(),
        low=low_store[0] if low_store else None,
        scale=scale if low_store else 1,
        free=PositionTable.build(loader.positions, device),
        holed=loader.skipped_for_holes,
    )


load_photos = at_once(loading_photos)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Batches of training pairs: random crops of `photos`, and each crop degraded.

    If the photos have low-resolution pictures, their crops are used instead, and the degradation is `Given`.
    With `classes`, the number of them, low has one more plane: the class label, from 0, of each crop's photo.
    `upright` crops are at most mirrored; others are also rotated and flipped upside down.
    """

    photos: Photos
    degradation: Degradation
    size: int
    """Side of `high` in pixels."""
    batch: int
    seed: int = 0
    classes: int = 0
    upright: bool = False

    def __post_init__(self) -> None:
        if self.classes:
            check_classes(self.classes, self.photos.classes)
            self._check_classes()
        self._check_low()
        if self.size % self.degradation.scale:
            raise ConfigError(f"size: {self.size} is not a multiple of scale {self.degradation.scale}")
        if self.size > self.photos.smallest:
            raise ConfigError(
                f"size: {self.size} is above {self.photos.smallest}, which the photos were loaded for"
            )
        if self.size < self.photos.smallest and self.photos.free is not None:
            raise ConfigError(f"size: {self.size}, but {FOR_ONE_SIZE} these for {self.photos.smallest}")

    def _check_classes(self) -> None:
        for name in sorted({*self.photos.classes} - {*self.photos.groups}):
            wanted = f"{size_requirement(self.photos.smallest, self.photos.holed)}, the size of a crop"
            raise ConfigError(f"data: no photo in {name or '.'} has {wanted}")

    def _check_low(self) -> None:
        given, low = isinstance(self.degradation, Given), self.photos.low
        if given and low is None:
            raise ConfigError(NEEDS_GIVEN_LOW)
        if low is not None and not given:
            name = type(self.degradation).__name__
            raise ConfigError(f"method.degradation: {name}, but low-resolution images are given; use Given")
        if low is not None and self.photos.scale != self.degradation.scale:
            found = f"the low-resolution images were loaded for scale {self.photos.scale}"
            raise ConfigError(f"method.degradation.scale: {self.degradation.scale}, but {found}")

    def at(self, step: int) -> tuple[Images, LowWithPlanes]:
        """(high, low) of a step, any integer: (batch, C, size, size) and smaller by scale, in [-1, 1].

        Repeated calls return the same values, on one kind of device.
        """
        rng = self._rng(step)
        draw, photos = self._draw(rng), self.photos
        high, *given = photos.cut(draw, self.size)
        if not photos.resident:
            photos.prefetch(self._draw(self._rng(step + 1)), self.size)
        low = given[0] if given else self.degradation(high, rng)
        return high, with_plane(low, self.photos.labels[draw.picture]) if self.classes else low

    def starting_at(self, step: int) -> Iterator[tuple[Images, LowWithPlanes]]:
        """The batches of `step` and of all following steps, without end."""
        while True:
            yield self.at(step)
            step += 1

    def _draw(self, rng: torch.Generator) -> CropBatch:
        return self.photos.draw(self.batch, self.size, rng, upright=self.upright)

    def _rng(self, step: int) -> torch.Generator:
        # torch's CPU generator uses 32 bits of a seed; _mixed is a bijection of them, so all steps differ
        return torch.Generator(self.photos.device).manual_seed(_mixed(step + _mixed(fold_seed(self.seed))))


def _mixed(number: int) -> int:
    """The finaliser of MurmurHash3, 32 bits: neighbouring numbers become unrelated."""
    number &= 0xFFFFFFFF
    number = (number ^ number >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    number = (number ^ number >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return number ^ number >> 16
