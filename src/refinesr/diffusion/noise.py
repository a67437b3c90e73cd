"""Standard normal noise that is a function of (seed, draw, channel, row, column) and of nothing else.

Results therefore do not depend on the batch size, the position in the batch, the tiling or the device.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from typing import final

import numpy as np
import torch

from refinesr.shapes import Images, Noise
from refinesr.tiles import Box

Cell = tuple[int, slice, slice]
"""A cell that the window overlaps along an axis: its index, the overlap in the window, and in the cell."""

THREADED_SIZE = 2**21
"""Draws of at least so many values (about 20 ms of one core) are computed by several threads."""

SEEDLESS_DRAW = 2**32 - 1
"""A draw number that no sampling run reaches."""

MAX_THREADS = 8
"""More threads bring nothing, as Python starts the cells one at a time."""


@final
@dataclass
class NoiseField:
    """Noise for a batch, with one seed for each image.  Call k, counted from 0, returns draw k.

    The plane is divided into cells of `cell` x `cell` pixels, each with its own random generator.  Large
    draws use up to as many threads as PyTorch, so that a GPU waits less.
    """

    seeds: tuple[int, ...]
    cell: int = 64
    draw: int = 0

    def __call__(self, like: Images) -> Images:
        """The next draw, with the shape, dtype and device of `like`.

        Raises ValueError unless there is one seed for each image.
        """
        batch, channels, height, width = like.shape
        if batch != len(self.seeds):
            raise ValueError(f"{batch} images and {len(self.seeds)} seeds; one each is needed")
        self.draw += 1
        return self.window(self.draw - 1, Box(0, 0, height, width), channels).to(like)

    def window(self, draw: int, box: Box, channels: int) -> Images:
        """The part of one draw that lies in `box`: (seeds, channels, height, width), float32 on the CPU."""
        out = np.empty((len(self.seeds), channels, box.height, box.width), np.float32)
        rows, columns = _cells(box.top, box.height, self.cell), _cells(box.left, box.width, self.cell)
        strips = list(product(enumerate(self.seeds), rows))

        def fill(strip: tuple[tuple[int, int], Cell]) -> None:
            (i, seed), (row, y, y_cell) = strip
            for column, x, x_cell in columns:
                rng = np.random.default_rng([seed, draw, row, column])
                values = rng.standard_normal((channels, self.cell, self.cell), np.float32)
                out[i, :, y, x] = values[:, y_cell, x_cell]

        threads = min(MAX_THREADS, torch.get_num_threads()) if out.size >= THREADED_SIZE else 1
        with ThreadPoolExecutor(threads) if threads > 1 else nullcontext() as pool:
            for _ in map(fill, strips) if pool is None else pool.map(fill, strips):
                pass  # errors are raised here
        return torch.from_numpy(out)


def seedless_noise(like: Images) -> Images:
    """Fixed noise with the shape, dtype and device of `like`, the same for all images and seeds.

    It is independent of all draws of a `NoiseField`.
    """
    _, channels, height, width = like.shape
    return NoiseField((0,)).window(SEEDLESS_DRAW, Box(0, 0, height, width), channels).to(like).expand_as(like)


def scaled_noise(noise: Noise, factor: float) -> Noise:
    """`noise` with every draw multiplied by `factor`."""
    return noise if factor == 1 else lambda like: factor * noise(like)


def _cells(start: int, size: int, cell: int) -> list[Cell]:
    """The cells that overlap [start, start + size) along an axis."""
    parts = []
    for index in range(start // cell, (start + size - 1) // cell + 1):
        corner = index * cell
        low, high = max(corner, start), min(corner + cell, start + size)
        parts.append((index, slice(low - start, high - start), slice(low - corner, high - corner)))
    return parts
