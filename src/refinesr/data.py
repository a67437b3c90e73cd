"""Material to learn from: photos on the device, and pairs of a good and a poor image made of them.

A batch is a function of (seed, step) alone, so that a resumed run goes on with what it would have seen.
"""

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from refinesr.devices import folded
from refinesr.errors import ConfigError, InputError
from refinesr.images.decoder import Decoder, in_order, threads
from refinesr.images.degrade import Degradation
from refinesr.images.shards import Entry, check_classes, classes_of, entries
from refinesr.images.span import Span
from refinesr.images.stock import Draw, Raster, Stock, room, stocked
from refinesr.launched import number_here
from refinesr.model import with_plane
from refinesr.shapes import GivenImages, Images

_CAP = 64
"""A picture counts by its pixels, but never for more than this many crops: no panorama drowns the rest."""


@dataclass(frozen=True, eq=False)
class Photos:
    """Photos of any names, sizes and depths, of which crops are drawn at random.

    If `resident`, all are decoded on the device.  Else each batch is decoded anew: the same crops, slower.
    """

    names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    """(height, width) in pixels of each."""
    store: Stock | Decoder
    channels: int
    smallest: int
    """Side of the largest crop that fits all of them."""
    left_out: int
    """How many were too small for that."""
    device: torch.device
    groups: tuple[str, ...] = ()
    """The outermost folder each lies in: its class, for those who learn classes."""
    classes: tuple[str, ...] = ()
    """All such folders, sorted, even if what lies in one is too small; a class is a place in it."""
    listing: str = ""
    """SHA-256 of the names and sizes of all pictures, the small ones too, inside what was named: it stays the
    same where that moves."""

    @staticmethod
    def load(
        source: Path | Sequence[Path],
        device: torch.device,
        *,
        channels: int = 3,
        smallest: int,
        budget_bytes: int | None = None,
        span: Span | None = None,
    ) -> "Photos":
        """See `loading`, which this waits for."""
        *_, last = loading(
            source, device, channels=channels, smallest=smallest, budget_bytes=budget_bytes, span=span
        )
        assert last.photos is not None
        return last.photos

    def __len__(self) -> int:
        return len(self.names)

    @property
    def resident(self) -> bool:
        return isinstance(self.store, Stock)

    def draw(self, n: int, size: int, rng: torch.Generator, *, upright: bool = False) -> Draw:
        """`n` crops of size x size pixels, for `store.cut`; `rng` is on the photos' device.

        A picture is drawn as often as it has pixels, those beyond 64 * smallest**2 not counted; places are
        even, and so are the eight ways up, or, of `upright` crops, the two: as it is and mirrored.  Raises
        ValueError if `size` is above `smallest`.
        """
        if not 0 < size <= self.smallest:
            raise ValueError(f"size is {size}; it must be in [1, {self.smallest}], the smallest side kept")
        number = torch.randint(self._total, (n,), generator=rng, device=self.device)
        picture = torch.searchsorted(self._ends, number, right=True)
        room = self._sides[picture] - size + 1
        part = torch.rand(n, 2, generator=rng, device=self.device)
        # a float just below 1 times a large number may round up to it
        top, left = torch.minimum((part * room).long(), room - 1).unbind(1)
        turned, upside, mirrored = torch.randint(2, (3, n), generator=rng, device=self.device).bool()
        if upright:
            turned, upside = torch.zeros_like(turned), torch.zeros_like(upside)
        return Draw(picture, top, left, turned, upside, mirrored)

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
        return self._sides.prod(1).clamp(max=_CAP * self.smallest**2).cumsum(0)

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
) -> Iterator[Loading]:
    """Decode and check all pictures of a folder (with subfolders), of tar files, or of a list of these.

    Pictures of 8 and 16 bit and of floats keep their depth in memory, and their numbers, of which `span` says
    what -1 and 1 are; None: 0 and the largest of the type, of floats 0 and 1.  Grey is repeated for three
    `channels`, alpha is dropped, and of colour BT.601 luma is kept for one.  Pictures with a side below
    `smallest` pixels are left out.  If all do not fit in `budget_bytes` (half of the free memory unless
    given, shared by all processes of torchrun), none is kept: they are decoded for each batch, and a warning
    says so.

    Raises InputError for pictures that cannot be read or have another number of channels, when all have been
    tried, naming them and what is wrong with the first; and if none is large enough.
    """
    if budget_bytes is None:
        budget_bytes = room(device) // (2 * number_here())
    found, intake = entries(source), _Intake(smallest, budget_bytes)
    with ThreadPoolExecutor(threads()) as pool:
        opened = in_order(pool, partial(_opened, channels=channels, span=span), found, 2 * threads())
        for done, (entry, outcome) in enumerate(opened, start=1):
            intake.add(entry, outcome)
            yield Loading(done, len(found))
    intake.check()
    store = _store(intake, channels, device, span)
    names = tuple(entry.name for entry in intake.kept)
    sizes, left_out = tuple(intake.sizes), len(found) - len(names)
    groups = tuple(entry.group for entry in intake.kept)
    classes, listing = classes_of(found), intake.listing.hexdigest()
    photos = Photos(names, sizes, store, channels, smallest, left_out, device, groups, classes, listing)
    yield Loading(len(found), len(found), photos)


def _opened(entry: Entry, channels: int, span: Span | None) -> Raster | InputError:
    """The picture, or what is wrong with it."""
    try:
        return entry.pixels(channels, span)
    except InputError as error:
        return error


class _Intake:
    """What has been read so far: pictures while they fit the budget, only their sizes after that."""

    def __init__(self, smallest: int, budget: int) -> None:
        self.smallest, self.budget, self.needed = smallest, budget, 0
        self.kept: list[Entry] = []
        self.sizes: list[tuple[int, int]] = []
        self.pixels: list[Raster] = []
        self.small: list[str] = []
        self.bad: list[tuple[str, InputError]] = []
        self.listing = hashlib.sha256()

    def add(self, entry: Entry, outcome: Raster | InputError) -> None:
        if isinstance(outcome, InputError):
            self.bad.append((entry.name, outcome))
            return
        height, width = outcome.shape[:2]
        known = f"{entry.place.as_posix()}\0{height} {width}\0"
        self.listing.update(known.encode("utf-8", "surrogatepass"))  # names need not be text
        if min(height, width) < self.smallest:
            self.small.append(f"{entry.name} ({width} x {height})")
            return
        self.kept.append(entry)
        self.sizes.append((height, width))
        self.needed += outcome.nbytes
        self.pixels.append(outcome)
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


def _store(intake: _Intake, channels: int, device: torch.device, span: Span | None) -> Stock | Decoder:
    if intake.fits:
        return stocked(intake.pixels, device, span)
    needed, budget = intake.needed / 2**30, intake.budget / 2**30
    warnings.warn(
        f"the photos need {needed:.2f} GiB of memory and {budget:.2f} GiB may be used: "
        "each batch is decoded anew, which is slow; take fewer or smaller photos",
        stacklevel=3,
    )
    return Decoder(tuple(intake.kept), channels, device, span)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Training pairs: crops of `photos` and what `degradation` makes of them.

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
        if self.size % self.degradation.scale:
            raise ConfigError(f"size: {self.size} is not a multiple of scale {self.degradation.scale}")
        if self.size > self.photos.smallest:
            raise ConfigError(
                f"size: {self.size} is above {self.photos.smallest}, which the photos were loaded for"
            )

    def _check_all_have_photos(self) -> None:
        for name in sorted({*self.photos.classes} - {*self.photos.groups}):
            side = f"{self.photos.smallest} pixels a side, the size of a crop"
            raise ConfigError(f"data: no photo in {name or '.'} has {side}")

    def at(self, step: int) -> tuple[Images, GivenImages]:
        """(high, low) of a step, any integer: (batch, C, size, size) and smaller by scale, in [-1, 1].

        The same values whenever and however often it is asked for, on one kind of device.
        """
        rng = self._rng(step)
        draw, store = self._draw(rng), self.photos.store
        high = store.cut(draw, self.size)
        if isinstance(store, Decoder):  # begins to decode what will be asked for next
            store.ask(self._draw(self._rng(step + 1)), self.size)
        low = self.degradation(high, rng)
        return high, with_plane(low, self.photos.labels[draw.picture]) if self.classes else low

    def since(self, step: int) -> Iterator[tuple[Images, GivenImages]]:
        """The batches of `step` and all that follow, without end."""
        while True:
            yield self.at(step)
            step += 1

    def _draw(self, rng: torch.Generator) -> Draw:
        return self.photos.draw(self.batch, self.size, rng, upright=self.upright)

    def _rng(self, step: int) -> torch.Generator:
        # torch's CPU generator takes 32 bits of a seed; mixing is a bijection of them, so no two steps agree
        return torch.Generator(self.photos.device).manual_seed(_mixed(step + _mixed(folded(self.seed))))


def _mixed(number: int) -> int:
    """The finaliser of MurmurHash3: neighbours come out unrelated, 32 bits."""
    number &= 0xFFFFFFFF
    number = (number ^ number >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    number = (number ^ number >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return number ^ number >> 16
