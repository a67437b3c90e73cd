"""Standard normal noise that is a function of (seed, draw, channel, row, column) and of nothing else.

So pictures do not depend on the size of the batch, the place in it, the tiling or the device.
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
"""Index along an axis, and the part of it that is wanted: in what is made, and in the cell."""

SHARED = 2**21
"""Values, some 20 ms of one core, from which on several threads make them."""

COMMON = 2**32 - 1
"""The number of a draw that no walk gets to."""

THREADS = 8
"""At most: Python begins the cells one at a time, which leaves nothing to do for more."""


@final
@dataclass
class NoiseField:
    """One seed for each image of a batch.  The k-th call, from 0, returns draw k.

    Made in squares of `cell` pixels, each with a generator of its own; large draws in as many threads as
    PyTorch has, so that a GPU waits less.
    """

    seeds: tuple[int, ...]
    cell: int = 64
    draw: int = 0

    def __call__(self, like: Images) -> Images:
        """The next draw, of like's shape, dtype and device.  ValueError unless each image has a seed."""
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

        threads = min(THREADS, torch.get_num_threads()) if out.size >= SHARED else 1
        with ThreadPoolExecutor(threads) if threads > 1 else nullcontext() as pool:
            for _ in map(fill, strips) if pool is None else pool.map(fill, strips):
                pass  # errors are raised here
        return torch.from_numpy(out)


def common(like: Images) -> Images:
    """One noise for all images and all seeds, of like's shape, dtype and device; no seed draws it."""
    _, channels, height, width = like.shape
    return NoiseField((0,)).window(COMMON, Box(0, 0, height, width), channels).to(like).expand_as(like)


def scaled(noise: Noise, by: float) -> Noise:
    """Every draw times this number; with 1, the noise itself."""
    return noise if by == 1 else lambda like: by * noise(like)


def _cells(start: int, size: int, cell: int) -> list[Cell]:
    """The cells that [start, start + size) meets: index, and the common part from start and from corner."""
    parts = []
    for index in range(start // cell, (start + size - 1) // cell + 1):
        corner = index * cell
        low, high = max(corner, start), min(corner + cell, start + size)
        parts.append((index, slice(low - start, high - start), slice(low - corner, high - corner)))
    return parts
