"""Pictures for the tests of this folder, uint8 (1, C, H, W): photos of scikit-image, and drawn ones."""

import numpy as np
import skimage.data
import torch
from PIL import Image, ImageDraw
from torch import Tensor

PHOTOS = ("astronaut", "chelsea", "coffee", "hubble_deep_field", "rocket")
MODES = {1: "L", 3: "RGB", 4: "CMYK"}  # CMYK rather than RGBA, whose colours Pillow multiplies by alpha


def photo(name: str) -> Tensor:
    return _batch(getattr(skimage.data, name)()[..., :3])


def random(size: tuple[int, int], *, channels: int = 3, seed: int = 0) -> Tensor:
    """Half noise, half black or white."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (1, channels, *size))
    flat = rng.choice([0, 255], (1, channels, *size))
    return torch.from_numpy(np.where(rng.random((1, channels, *size)) < 0.5, noise, flat).astype(np.uint8))


def twigs() -> Tensor:
    """Black lines of one pixel, from a tree's fork upwards, on a bright sky."""
    down = np.mgrid[:128, :128][0]
    picture = Image.fromarray((245 - down // 8).astype(np.uint8))
    pen, rng = ImageDraw.Draw(picture), np.random.default_rng(0)
    for angle in rng.uniform(0.3, np.pi - 0.3, 40):
        far = rng.uniform(50, 120)
        pen.line([64, 127, 64 + far * np.cos(angle), 127 - far * np.sin(angle)], fill=0)
    return _batch(np.asarray(picture)[..., None])


def pillow(image: Tensor, size: tuple[int, int]) -> Tensor:
    """One picture made `size` = (height, width) by Pillow in 8 bits."""
    _, channels, height, width = image.shape
    whole = Image.frombytes(MODES[channels], (width, height), image[0].movedim(0, -1).numpy().tobytes())
    return _batch(np.asarray(whole.resize(size[::-1], Image.Resampling.BICUBIC)).reshape(*size, channels))


def _batch(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.copy()).movedim(-1, 0)[None]
