"""Crops of images that do not fit in memory: threads decode them for each batch, one batch ahead."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch

from refinesr.errors import InputError
from refinesr.images.entries import Entry
from refinesr.images.image_store import CropBatch, Raster, store_images
from refinesr.images.span import Span
from refinesr.shapes import Images
from refinesr.torchrun import local_world_size

T = TypeVar("T")
U = TypeVar("U")


def worker_count() -> int:
    """Number of decoding threads: one per core, at most 16, shared by the processes of a distributed run.

    Decoders release Python's global lock.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(16, cores // local_world_size()))


def map_in_order(
    pool: Executor, function: Callable[[T], U], items: Iterable[T], depth: int
) -> Iterator[tuple[T, U]]:
    """Yields each item and function(item) in order, with at most `depth` items in flight or waiting."""
    waiting: deque[tuple[T, Future[U]]] = deque()
    for item in items:
        waiting.append((item, pool.submit(function, item)))
        if len(waiting) > depth:
            first, future = waiting.popleft()
            yield first, future.result()
    for first, future in waiting:
        yield first, future.result()


@dataclass(frozen=True, eq=False)
class LazyImageStore:
    """Replaces an `ImageStore` if memory is short: decodes the images of each batch when it is needed."""

    entries: tuple[Entry, ...]
    channels: int
    device: torch.device
    span: Span | None = None
    pool: Executor = field(default_factory=lambda: ThreadPoolExecutor(worker_count()))
    ahead: dict[tuple[int, int, int, int], Future[Raster]] = field(default_factory=dict)

    def prefetch(self, crops: CropBatch, size: int) -> list[Future[Raster]]:
        """Start to decode the crops of the next batch; crops requested before and not in it are cancelled."""
        wanted = list(zip(*(x.tolist() for x in (crops.picture, crops.top, crops.left)), strict=True))
        keys = [(picture, top, left, size) for picture, top, left in wanted]
        for key in self.ahead.keys() - set(keys):
            self.ahead.pop(key).cancel()
        for key in keys:
            if key not in self.ahead:
                self.ahead[key] = self.pool.submit(self._window, *key)
        return [self.ahead[key] for key in keys]

    def crop(self, crops: CropBatch, size: int) -> Images:
        """The crops that `ImageStore.crop` returns, bit for bit."""
        windows = [future.result() for future in self.prefetch(crops, size)]
        number = torch.arange(len(crops), device=self.device)
        corner = torch.zeros_like(number)
        store = store_images(windows, self.device, self.span)
        return store.crop(replace(crops, picture=number, top=corner, left=corner), size)

    def _window(self, picture: int, top: int, left: int, size: int) -> Raster:
        pixels = self.entries[picture].read_pixels(self.channels, self.span)
        window = pixels[top : top + size, left : left + size]
        if window.shape[:2] != (size, size):
            raise InputError(f"{self.entries[picture].name}: changed its size since the run began")
        return window.copy()  # a view would hold the memory of the whole image
