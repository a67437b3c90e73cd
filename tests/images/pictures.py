"""Pictures for the tests of this folder, uint8 (1, C, H, W): photos of scikit-image, and drawn ones."""

import numpy as np
import skimage.data
import torch
from PIL import Image
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


def pillow(image: Tensor, size: tuple[int, int]) -> Tensor:
    """One picture made `size` = (height, width) by Pillow in 8 bits."""
    _, channels, height, width = image.shape
    whole = Image.frombytes(MODES[channels], (width, height), image[0].movedim(0, -1).numpy().tobytes())
    return _batch(np.asarray(whole.resize(size[::-1], Image.Resampling.BICUBIC)).reshape(*size, channels))


def _batch(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.copy()).movedim(-1, 0)[None]
