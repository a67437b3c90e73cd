"""Pictures that nothing is learnt from, and the poor ones that a model is to restore them from."""

import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from refinesr.data import Photos
from refinesr.errors import ConfigError
from refinesr.images.shards import Entry, entries
from refinesr.images.stock import Draw
from refinesr.method import Method
from refinesr.model import with_plane
from refinesr.shapes import GivenImages, Images, LowImages
from refinesr.sources import Augmented

SEED = 0
"""Of all that is random about held-out pictures, whatever the seed of a run: runs are measured alike."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """`high` (N, C, H, W) in [-1, 1] and what it was made into, `low` (N, K, h, w); float32 on the CPU."""

    names: tuple[str, ...]
    high: Tensor
    low: Tensor
    left_out: int = 0
    """Pictures that were too small."""
    mark: str = ""
    """Eight digits that pictures of other names or sizes, or other parts of them, hardly have."""

    def __len__(self) -> int:
        return len(self.names)


def set_aside(method: Method, photos: Photos, *, size: int, classes: Sequence[str] = ()) -> HeldOut:
    """The middle size x size pixels of each picture, as it lies, and what the degradation makes of them, or
    the same part of its poor picture where that is given.

    `photos` hold such crops.  A corner lies on a multiple of the scale.  What is random about a degradation
    follows from the picture's place alone.  `classes` are those of the photos learnt from, sorted; for a
    method that knows classes.  Raises ConfigError for a picture of another class.
    """
    parts = [middle(photos, k, size, method.scale) for k in range(len(photos))]
    high, *poor = (torch.cat(column) for column in zip(*parts, strict=True))
    labels = [place(classes, group) for group in photos.groups] if method.classes else []
    if poor:
        low = with_planes(method, poor[0], labels)
    else:
        low = degraded(method.degradation, method, high, SEED, labels)
    mark = f"{zlib.crc32(f'{photos.listing} {size}'.encode()):08x}"
    return HeldOut(photos.names, high, low, photos.left_out, mark)


def middle(photos: Photos, k: int, size: int, scale: int) -> list[Images]:
    """(1, C, size, size) in [-1, 1] of picture `k`, on the CPU, and the same of a poor one that is given."""
    top, left = ((length - size) // 2 // scale * scale for length in photos.sizes[k])
    picture, rows, columns = torch.tensor([[k], [top], [left]], device=photos.device)
    as_it_lies = torch.zeros_like(picture, dtype=torch.bool)
    return [part.cpu() for part in photos.cut(Draw(picture, rows, columns, *[as_it_lies] * 3), size)]


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
) -> GivenImages:
    """(N, K, h, w): what the model is given, planes included.  Each picture draws for itself."""
    rngs = [torch.Generator().manual_seed(drawn(seed, place)) for place in range(len(high))]
    low = torch.cat([degrade(image[None], rng) for image, rng in zip(high, rngs, strict=True)])
    return with_planes(method, low, labels) if labels or low.shape[1] == high.shape[1] else low


def with_planes(method: Method, low: LowImages, labels: Sequence[int] = ()) -> GivenImages:
    """With what the source is told besides: the class, or, if it knows of noise, that none was added."""
    if labels:
        return with_plane(low, torch.tensor(labels, dtype=low.dtype))
    return with_plane(low, low.new_zeros(len(low))) if isinstance(method.source, Augmented) else low


def drawn(*seed: int) -> int:
    """32 bits out of several numbers, none of them negative: what torch's generators make use of."""
    return int(np.random.SeedSequence(seed).generate_state(1)[0])


def check_apart(held: Sequence[Path], learnt: Sequence[Path]) -> None:
    """Raises ConfigError if a picture of the one is also among the other, by whatever name or link.

    Both are as `entries` takes them; nothing is decoded.
    """
    known = set(map(identity, entries(learnt)))
    both = [entry.name for entry in entries(held) if identity(entry) in known]
    if both:
        more = f" and {len(both) - 1} more" if len(both) > 1 else ""
        raise ConfigError(f"--held-out: also learnt from: {both[0]}{more}; hold out other pictures")


def identity(entry: Entry) -> tuple[int, int, int]:
    """The file, wherever links to it lie, and the place in it."""
    found = os.stat(entry.path)
    return found.st_dev, found.st_ino, entry.start
