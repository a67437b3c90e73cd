"""Small photos as files, for the tests of this folder."""

from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image
from torch import Tensor

from refinesr.evaluate.depths import eight_bit_levels
from refinesr.evaluate.pairs import LoadedPair
from refinesr.images.eight_bits import resize_eight_bits
from refinesr.images.picture import Picture
from refinesr.images.resize import MatlabBicubic

CORNERS = {"nose": (120, 200), "ear": (20, 100), "eye": (90, 130), "fur": (220, 330)}


def cat(name: str, height: int = 48, width: int = 40) -> np.ndarray:
    """A part of a photo, uint8 (H, W, 3)."""
    top, left = CORNERS[name]
    return skimage.data.chelsea()[top : top + height, left : left + width]


def saved(folder: str, *names: str, height: int = 48, width: int = 40) -> Path:
    for name in names or CORNERS:
        save(f"{folder}/{name}.png", cat(name, height, width))
    return Path(folder)


def save(path: str, values: np.ndarray) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return Path(path)


def opened(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def shown(name: str = "nose", scale: int = 4, grey: bool = False) -> LoadedPair:
    values = np.ascontiguousarray(cat(name)[..., :1] if grey else cat(name))
    high = eight_bit_levels(Picture(values), name)
    low = resize_eight_bits(high, (48 // scale, 40 // scale), MatlabBicubic())
    return LoadedPair(name, high, low, f"{name}.png")


def array(image: Tensor) -> np.ndarray:
    """(H, W, C)."""
    return image[0].permute(1, 2, 0).numpy()
