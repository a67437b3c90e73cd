"""Material to learn from: photos on the device, and pairs of a good and a poor image made of them.

A batch is a function of (seed, step) alone, so that a resumed run goes on with what it would have seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
from refinesr.torchrun import local_world_size

_CAP = 64
"""A picture counts by its pixels, but never for more than this many crops: no panorama drowns the rest."""

FOR_ONE_SIZE = "photos with missing values are loaded for crops of one size,"


@dataclass(frozen=True, eq=False)
class Photos:
    """Photos of any names, sizes and depths, of which crops are drawn at random.

    If `resident`, all are decoded on the device.  Else each batch is decoded anew: the same crops, slower.
    """

    names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    """(height, width) in pixels of each."""
    store: ImageStore | LazyImageStore
    channels: int
    smallest: int
    """Side of the largest crop that fits all of them."""
    left_out: int
    """How many were too small for that, or miss values in all such crops."""
    device: torch.device
    groups: tuple[str, ...] = ()
    """The outermost folder each lies in: its class, for those who learn classes."""
    classes: tuple[str, ...] = ()
    """All such folders, sorted, even if what lies in one is too small; a class is a place in it."""
    listing: str = ""
    """SHA-256 of the names and sizes of all pictures, the small ones too, inside what was named: it stays the
    same where that moves."""
    low: ImageStore | LazyImageStore | None = None
    """The poor pictures, if they are given;"""
    scale: int = 1
    """pixels of a picture per pixel of its poor one, a side.  Crops lie on multiples of it."""
    free: PositionTable | None = None
    """Where crops of the size `smallest` miss no value, in pixels of the poor ones; None: everywhere."""
    holed: int = 0
    """How many are left out because of missing values."""

    @staticmethod
    def load(
        source: Path | Sequence[Path],
        device: torch.device,
        *,
        channels: int = 3,
        smallest: int,
        budget_bytes: int | None = None,
        span: Span | None = None,
        low: Path | Sequence[Path] | None = None,
        scale: int = 1,
    ) -> "Photos":
        """See `loading`, which this waits for."""
        sizes = {"channels": channels, "smallest": smallest, "scale": scale}
        *_, last = loading(source, device, budget_bytes=budget_bytes, span=span, low=low, **sizes)
        assert last.photos is not None
        return last.photos

    def __len__(self) -> int:
        return len(self.names)

    @property
    def resident(self) -> bool:
        return isinstance(self.store, ImageStore)

    def draw(self, n: int, size: int, rng: torch.Generator, *, upright: bool = False) -> CropBatch:
        """`n` crops of size x size pixels, for `store.cut`; `rng` is on the photos' device.

        A picture is drawn as often as it has pixels, those beyond 64 * smallest**2 not counted; places are
        even, and so are the eight ways up, or, of `upright` crops, the two: as it is and mirrored.  Where
        values are missing, pixels count that lie in a crop without, and only such crops are drawn.  Raises
        ValueError if `size` is above `smallest`, or, where values are missing, below it.
        """
        if not 0 < size <= self.smallest:
            raise ValueError(f"size is {size}; it must be in [1, {self.smallest}], the smallest side kept")
        if self.free is not None and size < self.smallest:
            raise ValueError(f"size is {size}; {FOR_ONE_SIZE} {self.smallest}")
        number = torch.randint(self._total, (n,), generator=rng, device=self.device)
        picture = torch.searchsorted(self._ends, number, right=True)
        room = (self._sides[picture] - size) // self.scale + 1
        part = torch.rand(n, 2, generator=rng, device=self.device)
        # a float just below 1 times a large number may round up to it
        place = torch.minimum((part * room).long(), room - 1)
        if self.free is not None:
            place = self.free.sample_corners(picture, part, place)
        top, left = (self.scale * place).unbind(1)
        turned, upside, mirrored = torch.randint(2, (3, n), generator=rng, device=self.device).bool()
        if upright:
            turned, upside = torch.zeros_like(turned), torch.zeros_like(upside)
        return CropBatch(picture, top, left, turned, upside, mirrored)

    def cut(self, draw: CropBatch, size: int) -> list[Images]:
        """The crops, (n, C, size, size), and the same of the poor pictures, if they are given."""
        self.ask(draw, size)
        return [store.crop(draw.downscaled(scale), size // scale) for store, scale in self._stores]

    def ask(self, draw: CropBatch, size: int) -> None:
        """Begins to decode what will be cut next, if it must be."""
        for store, scale in self._stores:
            if isinstance(store, LazyImageStore):
                store.prefetch(draw.downscaled(scale), size // scale)

    @property
    def _stores(self) -> list[tuple[ImageStore | LazyImageStore, int]]:
        """Each with how much smaller it is."""
        own: list[tuple[ImageStore | LazyImageStore, int]] = [(self.store, 1)]
        return own if self.low is None else [*own, (self.low, self.scale)]

    @cached_property
    def labels(self) -> Tensor:
        """The class of each picture, (pictures,) float32."""
        places = {name: float(place) for place, name in enumerate(self.classes)}
        return torch.tensor([places[name] for name in self.groups], device=self.device)

    @cached_property
    def _sides(self) -> Tensor:
        return torch.tensor(self.sizes, device=self.device)

    @cached_property
    def _ends(self) -> Tensor:
        """Running sum of what each picture counts, in pixels."""
        shown = self._sides.prod(1)
        if self.free is not None:
            shown = torch.where(self.free.count > 0, self.free.covered * self.scale**2, shown)
        return shown.clamp(max=_CAP * self.smallest**2).cumsum(0)

    @cached_property
    def _total(self) -> int:
        return int(self._ends[-1])


@dataclass(frozen=True)
class Loading:
    """How far photos are loaded: `done` of `total` decoded and checked; the last one has the `photos`."""

    done: int
    total: int
    photos: Photos | None = None


def loading(
    source: Path | Sequence[Path],
    device: torch.device,
    *,
    channels: int = 3,
    smallest: int,
    budget_bytes: int | None = None,
    span: Span | None = None,
    low: Path | Sequence[Path] | None = None,
    scale: int = 1,
) -> Iterator[Loading]:
    """Decode and check all pictures of a folder (with subfolders), of tar files, or of a list of these.

    Pictures of 8 and 16 bit and of floats keep their depth in memory, and their numbers, of which `span` says
    what -1 and 1 are; None: 0 and the largest of the type, of floats 0 and 1.  Grey is repeated for three
    `channels`, alpha is dropped, and of colour BT.601 luma is kept for one.  Pictures with a side below
    `smallest` pixels, or with missing values in all crops of that size, are left out.  If all do not fit in
    `budget_bytes` (half of the free memory unless given, shared by all processes of torchrun), none is kept:
    they are decoded for each batch, and a warning says so.

    `low` are the poor pictures of such sources, if they are given (see `partners`), smaller by `scale`.
    Warnings say so if one is shifted against its good one, or seems to be in another unit.

    Raises InputError for pictures that cannot be read, have another number of channels, or are no pairs, when
    all have been tried, naming them and what is wrong with the first; and if none is large enough.
    """
    if budget_bytes is None:
        budget_bytes = available_memory(device) // (2 * local_world_size())
    found = list_entries(source)
    loader = ImageLoader(ItemReader(channels, scale, span, smallest), budget_bytes)
    for done in loader.read(list_items(found, low)):
        yield Loading(done, len(found))
    loader.check()
    store, *poor = loader.build_stores(device)
    names = tuple(entry.name for entry, *_ in loader.items)
    sizes, left_out = tuple(loader.sizes), len(found) - len(names)
    groups = tuple(entry.group for entry, *_ in loader.items)
    classes, listing = class_names(found), loader.digest.hexdigest()
    photos = Photos(names, sizes, store, channels, smallest, left_out, device, groups, classes, listing)
    free = PositionTable.build(loader.positions, device)
    photos = replace(photos, free=free, holed=loader.skipped_for_holes)
    if poor:
        photos = replace(photos, low=poor[0], scale=scale)
    yield Loading(len(found), len(found), photos)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Training pairs: crops of `photos` and what `degradation` makes of them, or the same crops of the poor
    pictures, if they are given with the photos: then the degradation is `Given`.

    With `classes`, the number of them, low has one more plane: the class, from 0, of each crop's photo.
    `upright` crops are mirrored at most, others also turned and put upside down.
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
            self._check_all_have_photos()
        self._check_poor()
        if self.size % self.degradation.scale:
            raise ConfigError(f"size: {self.size} is not a multiple of scale {self.degradation.scale}")
        if self.size > self.photos.smallest:
            raise ConfigError(
                f"size: {self.size} is above {self.photos.smallest}, which the photos were loaded for"
            )
        if self.size < self.photos.smallest and self.photos.free is not None:
            raise ConfigError(f"size: {self.size}, but {FOR_ONE_SIZE} these for {self.photos.smallest}")

    def _check_all_have_photos(self) -> None:
        for name in sorted({*self.photos.classes} - {*self.photos.groups}):
            wanted = f"{size_requirement(self.photos.smallest, self.photos.holed)}, the size of a crop"
            raise ConfigError(f"data: no photo in {name or '.'} has {wanted}")

    def _check_poor(self) -> None:
        given, low = isinstance(self.degradation, Given), self.photos.low
        if given and low is None:
            raise ConfigError(NEEDS_GIVEN_LOW)
        if low is not None and not given:
            name = type(self.degradation).__name__
            raise ConfigError(f"method.degradation: {name}, but poor pictures are given; Given takes them")
        if low is not None and self.photos.scale != self.degradation.scale:
            found = f"the poor pictures were loaded for scale {self.photos.scale}"
            raise ConfigError(f"method.degradation.scale: {self.degradation.scale}, but {found}")

    def at(self, step: int) -> tuple[Images, LowWithPlanes]:
        """(high, low) of a step, any integer: (batch, C, size, size) and smaller by scale, in [-1, 1].

        The same values whenever and however often it is asked for, on one kind of device.
        """
        rng = self._rng(step)
        draw, photos = self._draw(rng), self.photos
        high, *poor = photos.cut(draw, self.size)
        if not photos.resident:
            photos.ask(self._draw(self._rng(step + 1)), self.size)
        low = poor[0] if poor else self.degradation(high, rng)
        return high, with_plane(low, self.photos.labels[draw.picture]) if self.classes else low

    def since(self, step: int) -> Iterator[tuple[Images, LowWithPlanes]]:
        """The batches of `step` and all that follow, without end."""
        while True:
            yield self.at(step)
            step += 1

    def _draw(self, rng: torch.Generator) -> CropBatch:
        return self.photos.draw(self.batch, self.size, rng, upright=self.upright)

    def _rng(self, step: int) -> torch.Generator:
        # torch's CPU generator takes 32 bits of a seed; mixing is a bijection of them, so no two steps agree
        return torch.Generator(self.photos.device).manual_seed(_mixed(step + _mixed(fold_seed(self.seed))))


def _mixed(number: int) -> int:
    """The finaliser of MurmurHash3: neighbours come out unrelated, 32 bits."""
    number &= 0xFFFFFFFF
    number = (number ^ number >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    number = (number ^ number >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return number ^ number >> 16
