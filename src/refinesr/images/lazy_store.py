"""Crops of pictures that do not fit in memory: decoded when they are asked for, by threads, ahead of need."""

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
from refinesr.launched import local_world_size
from refinesr.shapes import Images

T = TypeVar("T")
U = TypeVar("U")


def worker_count() -> int:
    """As many as there are cores to decode on, at most 16, shared by all processes of torchrun.

    Decoders let go of Python's lock."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(16, cores // local_world_size()))


def map_in_order(
    pool: Executor, function: Callable[[T], U], items: Iterable[T], depth: int
) -> Iterator[tuple[T, U]]:
    """Each item and function(item), with `depth` items under way: no more results wait in memory."""
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
    """Stands in for a Stock where memory lacks: decodes the pictures of a batch when they are asked for."""

    entries: tuple[Entry, ...]
    channels: int
    device: torch.device
    span: Span | None = None
    pool: Executor = field(default_factory=lambda: ThreadPoolExecutor(worker_count()))
    ahead: dict[tuple[int, int, int, int], Future[Raster]] = field(default_factory=dict)

    def prefetch(self, draw: CropBatch, size: int) -> list[Future[Raster]]:
        """Starts to decode a batch that will be cut next, and forgets what was asked for before."""
        wanted = list(zip(*(x.tolist() for x in (draw.picture, draw.top, draw.left)), strict=True))
        keys = [(picture, top, left, size) for picture, top, left in wanted]
        for key in self.ahead.keys() - set(keys):
            self.ahead.pop(key).cancel()
        for key in keys:
            if key not in self.ahead:
                self.ahead[key] = self.pool.submit(self._window, *key)
        return [self.ahead[key] for key in keys]

    def crop(self, draw: CropBatch, size: int) -> Images:
        """What `Stock.cut` would give, to the bit."""
        windows = [future.result() for future in self.prefetch(draw, size)]
        number = torch.arange(len(draw), device=self.device)
        corner = torch.zeros_like(number)
        stock = store_images(windows, self.device, self.span)
        return stock.crop(replace(draw, picture=number, top=corner, left=corner), size)

    def _window(self, picture: int, top: int, left: int, size: int) -> Raster:
        pixels = self.entries[picture].read_pixels(self.channels, self.span)
        window = pixels[top : top + size, left : left + size]
        if window.shape[:2] != (size, size):
            raise InputError(f"{self.entries[picture].name}: changed its size since the run began")
        return window.copy()  # a view would keep the whole picture in memory
