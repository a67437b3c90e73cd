"""Images of any kind as pictures, and back: PIL images, arrays and tensors."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from refinesr.errors import InputError
from refinesr.images.masks import AnyMask, Hidden, mask_of
from refinesr.images.picture import PEAKS, Picture, in_range, plain_array
from refinesr.images.pillow import from_pil, to_pil

Array = npt.NDArray[np.generic]
AnyImage = TypeVar("AnyImage", Image.Image, Array, Tensor)


def picture_of(image: Image.Image | Array | Tensor) -> Picture:
    """Raises InputError for what is no picture."""
    check_kind(image)
    if isinstance(image, Image.Image):
        return in_range(from_pil(image))
    array = array_of(image) if isinstance(image, Tensor) else image
    array = array.astype(np.float32 if array.dtype.kind == "f" else array.dtype.newbyteorder("="), copy=False)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or 0 in array.shape or array.dtype not in PEAKS:
        right = "(H, W) or (H, W, C) of uint8, uint16 or floats in [0, 1] is"
        raise InputError(f"an array of shape {array.shape} and type {array.dtype} is no picture; {right}")
    return in_range(Picture(np.ascontiguousarray(array)))


def hidden_of(mask: AnyMask | None) -> Hidden | None:
    """`mask_of`, if there is one."""
    if mask is None:
        return None
    check_kind(mask)
    return mask_of(mask)


def check_kind(image: object) -> None:
    """Raises InputError for what callers without a checker of types may give: a path, a list of rows."""
    if not isinstance(image, Image.Image | np.ndarray | Tensor):
        right = "a PIL image (PIL.Image.open makes one of a file), an array or a tensor is taken"
        raise InputError(f"{image!r:.40} is a {type(image).__name__}; {right}")


def array_of(image: Tensor) -> Array:
    """(C, H, W) as (H, W, C)."""
    if image.ndim != 3:
        raise InputError(f"a tensor of shape {tuple(image.shape)} is no picture; (C, H, W) is")
    return plain_array(image.permute(1, 2, 0))


def alike(picture: Picture, image: AnyImage) -> AnyImage:
    """`picture` as what `image` is."""
    if isinstance(image, Image.Image):
        if picture.channels > 1 and picture.pixels.dtype != np.uint8:
            raise InputError("Pillow has no colours of 16 bits; give an array or an image of 8 bits")
        return to_pil(picture)
    if isinstance(image, Tensor):
        values = torch.from_numpy(picture.pixels).permute(2, 0, 1).contiguous()
        return values.to(image.device, image.dtype)
    several = image.ndim == 3 or picture.channels > 1
    pixels: Array = picture.pixels if several else picture.pixels[..., 0]
    return pixels.astype(image.dtype)
