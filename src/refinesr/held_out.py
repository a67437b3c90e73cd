"""Pictures that nothing is learnt from, and the poor ones that a model is to restore them from."""

import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from refinesr.errors import ConfigError
from refinesr.images.entries import Entry, list_entries
from refinesr.images.image_store import CropBatch, ImageStore
from refinesr.images.lazy_store import LazyImageStore
from refinesr.images.loader import ImageLoader, ItemReader, list_items
from refinesr.method import Method
from refinesr.model import with_plane
from refinesr.shapes import Images, LowImages, LowWithPlanes
from refinesr.sources import Augmented

SEED = 0
"""Of all that is random about held-out pictures, whatever the seed of a run: runs are measured alike."""

ENDLESS = sys.maxsize
"""Bytes for the middles of pictures, which are kept whatever they need."""

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class HeldOut:
    """`high` (N, C, H, W) in [-1, 1] and what it was made into, `low` (N, K, h, w); float32 on the CPU."""

    names: tuple[str, ...]
    high: Tensor
    low: Tensor
    left_out: int = 0
    """Pictures that were too small, or miss values in all such crops,"""
    holed: int = 0
    """and how many of them because of missing values."""
    mark: str = ""
    """Eight digits that pictures of other names or sizes, or other parts of them, hardly have."""

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Reading:
    """`done` of `total` pictures are read; the last one has them all."""

    done: int
    total: int
    held: HeldOut | None = None


def set_aside(
    method: Method,
    source: Path | Sequence[Path],
    *,
    size: int,
    low: Path | Sequence[Path] | None = None,
    classes: Sequence[str] = (),
) -> HeldOut:
    """See `setting_aside`, which this waits for."""
    *_, last = setting_aside(method, source, size=size, low=low, classes=classes)
    assert last.held is not None
    return last.held


def setting_aside(
    method: Method,
    source: Path | Sequence[Path],
    *,
    size: int,
    low: Path | Sequence[Path] | None = None,
    classes: Sequence[str] = (),
) -> Iterator[Reading]:
    """The middle size x size pixels of each picture, as it lies, and what the degradation makes of them, or
    the same part of its poor picture where that is given (`low`).

    Sources are as `list_entries` takes them.  A corner lies on a multiple of the scale; where the middle
    misses values, the nearest part that has them all is taken.  What is random about a degradation follows
    from the picture's place alone.  `classes` are those of the photos learnt from, sorted; for a method that
    knows classes.  Raises ConfigError for a picture of another class, and InputError as `data.loading`.
    """
    items = list_items(list_entries(source), low)
    reader = ItemReader(method.channels, method.scale, method.span, size, centre_size=size)
    loader = ImageLoader(reader, ENDLESS)
    for done in loader.read(items):
        yield Reading(done, len(items))
    loader.check()
    labels = [place(classes, entry.group) for entry, *_ in loader.items] if method.classes else []
    held = cut(method, loader, size, method.degradation, SEED, labels)
    mark = f"{zlib.crc32(f'{loader.digest.hexdigest()} {size}'.encode()):08x}"
    yield Reading(len(items), len(items), replace(held, mark=mark))


def cut(
    method: Method,
    loader: ImageLoader,
    size: int,
    degrade: Callable[[Tensor, torch.Generator], Tensor],
    seed: int,
    labels: Sequence[int],
) -> HeldOut:
    """The middle size x size pixels of all that has been read, and the poor ones that are given, or made."""
    unit = loader.reader.scale if len(loader.items[0]) > 1 else 1
    stores = zip(loader.build_stores(CPU), (1, unit), strict=False)
    high, *poor = (middles(store, loader.sizes, size, unit, reduced) for store, reduced in stores)
    low = with_planes(method, poor[0], labels) if poor else degraded(degrade, method, high, seed, labels)
    names = tuple(entry.name for entry, *_ in loader.items)
    return HeldOut(names, high, low, len(loader.skipped), loader.skipped_for_holes)


def middles(
    store: ImageStore | LazyImageStore, sizes: Sequence[tuple[int, int]], size: int, unit: int, reduced: int
) -> Images:
    """(N, C, size, size) in [-1, 1] of pictures of these sizes, as they lie, from multiples of `unit` on.

    The store may hold pictures that are `reduced` by as much; then the same part of these.
    """
    corners = [[(length - size) // 2 // unit * unit for length in each] for each in sizes]
    top, left = torch.tensor(corners).unbind(1)
    as_it_lies = torch.zeros(len(sizes), dtype=torch.bool)
    draw = CropBatch(torch.arange(len(sizes)), top, left, *[as_it_lies] * 3)
    return store.crop(draw.downscaled(reduced), size // reduced)


def place(classes: Sequence[str], group: str) -> int:
    """Raises ConfigError for a folder that is none of the classes."""
    if group not in classes:
        known = ", ".join(name or "." for name in classes)[:60]
        raise ConfigError(f"--held-out: {group or '.'} is not a class of the photos learnt from ({known})")
    return classes.index(group)


def degraded(
    degrade: Callable[[Tensor, torch.Generator], Tensor],
    method: Method,
    high: Images,
    seed: int,
    labels: Sequence[int] = (),
) -> LowWithPlanes:
    """(N, K, h, w): what the model is given, planes included.  Each picture draws for itself."""
    rngs = [torch.Generator().manual_seed(drawn(seed, place)) for place in range(len(high))]
    low = torch.cat([degrade(image[None], rng) for image, rng in zip(high, rngs, strict=True)])
    return with_planes(method, low, labels) if labels or low.shape[1] == high.shape[1] else low


def with_planes(method: Method, low: LowImages, labels: Sequence[int] = ()) -> LowWithPlanes:
    """With what the source is told besides: the class, or, if it knows of noise, that none was added."""
    if labels:
        return with_plane(low, torch.tensor(labels, dtype=low.dtype))
    return with_plane(low, low.new_zeros(len(low))) if isinstance(method.source, Augmented) else low


def drawn(*seed: int) -> int:
    """32 bits out of several numbers, none of them negative: what torch's generators make use of."""
    return int(np.random.SeedSequence(seed).generate_state(1)[0])


def check_apart(held: Sequence[Path], learnt: Sequence[Path]) -> None:
    """Raises ConfigError if a picture of the one is also among the other, by whatever name or link.

    Both are as `list_entries` takes them; nothing is decoded.
    """
    known = set(map(identity, list_entries(learnt)))
    both = [entry.name for entry in list_entries(held) if identity(entry) in known]
    if both:
        more = f" and {len(both) - 1} more" if len(both) > 1 else ""
        raise ConfigError(f"--held-out: also learnt from: {both[0]}{more}; hold out other pictures")


def identity(entry: Entry) -> tuple[int, int, int]:
    """The file, wherever links to it lie, and the place in it."""
    found = os.stat(entry.path)
    return found.st_dev, found.st_ino, entry.start
