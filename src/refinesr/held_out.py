"""Held-out (validation) pictures, and the low-resolution images that a model restores them from."""

import os
import sys
import zlib
from collections.abc import Callable, Sequence
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
from refinesr.stepwise import Steps, at_once

HELD_OUT_SEED = 0
"""Of everything random about held-out pictures, whatever the seed of a run: all runs are measured alike."""

UNLIMITED = sys.maxsize
"""Memory in bytes for held-out crops, which are always kept."""

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class HeldOutSet:
    """`high` (N, C, H, W) in [-1, 1] and the model's inputs `low` (N, K, h, w); float32 on the CPU."""

    names: tuple[str, ...]
    high: Tensor
    low: Tensor
    left_out: int = 0
    """Number of pictures left out, because they are too small or miss values in all crops of the size."""
    holed: int = 0
    """Number of those left out because of missing values."""
    fingerprint: str = ""
    """Eight hexadecimal digits of a checksum of the pictures' names and sizes and of the crop size."""

    def __len__(self) -> int:
        return len(self.names)


def loading_held_out(
    method: Method,
    source: Path | Sequence[Path],
    *,
    size: int,
    low: Path | Sequence[Path] | None = None,
    classes: Sequence[str] = (),
) -> Steps[HeldOutSet]:
    """The central size x size crop of each picture, and the model's input for it.

    The input is made by the method's degradation or, with `low`, is the same crop of the low-resolution
    picture.  Sources are as in `list_entries`.  Corners lie on multiples of the scale; where the central crop
    misses values, the nearest one without missing values is taken.  A random degradation depends on the
    picture's position in the list alone.  `classes` are the sorted classes of the training photos, for a
    class-conditional method.

    Yields (done, total) as pictures are read.  Raises ConfigError for a picture of an unknown class, and
    InputError as `data.loading_photos`.
    """
    items = list_items(list_entries(source), low)
    loader = ImageLoader(
        ItemReader(method.channels, method.scale, method.span, size, centre_size=size), UNLIMITED
    )
    for done in loader.read(items):
        yield done, len(items)
    loader.check()
    labels = [class_index(classes, entry.group) for entry, *_ in loader.items] if method.class_count else []
    held_out = centre_crops(method, loader, size, method.degradation, HELD_OUT_SEED, labels)
    checksum = zlib.crc32(f"{loader.digest.hexdigest()} {size}".encode())
    return replace(held_out, fingerprint=f"{checksum:08x}")


load_held_out = at_once(loading_held_out)


def centre_crops(
    method: Method,
    loader: ImageLoader,
    size: int,
    degrade: Callable[[Tensor, torch.Generator], Tensor],
    seed: int,
    labels: Sequence[int],
) -> HeldOutSet:
    """The central crops of all pictures that have been read, with the given or degraded inputs."""
    unit = loader.reader.scale if len(loader.items[0]) > 1 else 1
    stores = zip(loader.build_stores(CPU), (1, unit), strict=False)
    high, *given = (cut_centres(store, loader.sizes, size, unit, scale) for store, scale in stores)
    low = with_planes(method, given[0], labels) if given else degraded(degrade, method, high, seed, labels)
    names = tuple(entry.name for entry, *_ in loader.items)
    return HeldOutSet(names, high, low, len(loader.skipped), loader.skipped_for_holes)


def cut_centres(
    store: ImageStore | LazyImageStore, sizes: Sequence[tuple[int, int]], size: int, unit: int, scale: int
) -> Images:
    """(N, C, size / scale, size / scale) in [-1, 1]: the central crops of pictures of the given sizes.

    sizes  (height, width) of the full-resolution pictures
    size   side of the full-resolution crop; its corner lies on multiples of `unit`
    scale  by how much the pictures in the store are smaller than `sizes`
    """
    corners = [[(length - size) // 2 // unit * unit for length in each] for each in sizes]
    top, left = torch.tensor(corners).unbind(1)
    unchanged = torch.zeros(len(sizes), dtype=torch.bool)  # neither turned nor flipped
    draw = CropBatch(torch.arange(len(sizes)), top, left, *[unchanged] * 3)
    return store.crop(draw.downscaled(scale), size // scale)


def class_index(classes: Sequence[str], group: str) -> int:
    """The index of a folder among the classes.  Raises ConfigError for an unknown one."""
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
    """(N, K, h, w): the model's inputs, further planes included.  Each picture has its own generator."""
    rngs = [torch.Generator().manual_seed(derived_seed(seed, index)) for index in range(len(high))]
    low = torch.cat([degrade(image[None], rng) for image, rng in zip(high, rngs, strict=True)])
    return with_planes(method, low, labels) if labels or low.shape[1] == high.shape[1] else low


def with_planes(method: Method, low: LowImages, labels: Sequence[int] = ()) -> LowWithPlanes:
    """low with a plane of class labels or, for the source `Augmented`, of the added noise's level: 0."""
    if labels:
        return with_plane(low, torch.tensor(labels, dtype=low.dtype))
    return with_plane(low, low.new_zeros(len(low))) if isinstance(method.source, Augmented) else low


def derived_seed(*numbers: int) -> int:
    """A seed of 32 bits from several non-negative numbers; torch's CPU generator uses no more bits."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def check_disjoint(held_out: Sequence[Path], training: Sequence[Path]) -> None:
    """Raise ConfigError if a held-out picture is also a training picture, under any name or link.

    Both are sources as in `list_entries`; nothing is decoded.
    """
    known = set(map(identity, list_entries(training)))
    both = [entry.name for entry in list_entries(held_out) if identity(entry) in known]
    if both:
        more = f" and {len(both) - 1} more" if len(both) > 1 else ""
        raise ConfigError(f"--held-out: also learnt from: {both[0]}{more}; hold out other pictures")


def identity(entry: Entry) -> tuple[int, int, int]:
    """Identifies a picture by its file, links resolved, and its offset in the file."""
    status = os.stat(entry.path)
    return status.st_dev, status.st_ino, entry.start
