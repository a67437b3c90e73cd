"""Conversion between pictures and PIL images, arrays and tensors."""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from refinesr.errors import InputError
from refinesr.images.masks import AnyMask, BinaryMask, to_mask
from refinesr.images.picture import PEAKS, Picture, check_value_range, tensor_to_array, with_span
from refinesr.images.pillow import from_pil, to_pil
from refinesr.images.span import Span
from refinesr.validation import type_error_text

Array = npt.NDArray[np.generic]
# arrays of Any: for type checkers a result for an array of uint8 may be one of uint8
AnyImage = TypeVar("AnyImage", Image.Image, npt.NDArray[Any], Tensor)


def picture_of(image: Image.Image | Array | Tensor, name: str = "image", span: Span | None = None) -> Picture:
    """The image as a `Picture`; `name` is for messages, `span` gives the units of its values.

    Raises InputError for what is no picture.
    """
    check_image_type(image, name)
    if isinstance(image, Image.Image):
        return with_span(from_pil(image, name), span)
    array = array_of(image, name) if isinstance(image, Tensor) else image
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim == 3:
        check_value_range(array, name, span)
    with np.errstate(over="ignore"):  # infinity and NaN are refused later
        right = np.float32 if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
        array = array.astype(right, copy=False)
    if array.ndim != 3 or 0 in array.shape or array.dtype not in PEAKS:
        wanted = "(H, W) or (H, W, C) of uint8, uint16 or floats in [0, 1] is"
        found = f"an array of shape {array.shape} and type {array.dtype}"
        raise InputError(f"{name}: {found} is no picture; {wanted}")
    return Picture(np.ascontiguousarray(array), name=name, span=span)


def optional_mask(mask: AnyMask | None) -> BinaryMask | None:
    """`to_mask` of a mask of any kind; None for None."""
    if mask is None:
        return None
    check_image_type(mask, "mask")
    return to_mask(mask)


def check_image_type(image: object, name: str) -> None:
    """Raises InputError for anything but a PIL image, an array or a tensor, and for masked values.

    rasterio reads missing values as a masked array, whose data below the mask is meaningless.
    """
    if not isinstance(image, Image.Image | np.ndarray | Tensor):
        right = "a PIL image (PIL.Image.open makes one of a file), an array or a tensor"
        raise InputError(f"{name}: {type_error_text(image, right)}")
    if isinstance(image, np.ma.MaskedArray) and image.mask.any():
        right = "NaN is missing, as .astype(np.float32).filled(np.nan) makes it"
        raise InputError(f"{name}: holds masked values; {right}")


def array_of(image: Tensor, name: str) -> Array:
    """A tensor (C, H, W) as an array (H, W, C)."""
    if image.ndim != 3:
        raise InputError(f"{name}: a tensor of shape {tuple(image.shape)} is no picture; (C, H, W) is")
    return tensor_to_array(image, name).transpose(1, 2, 0)


def check_representable(picture: Picture, image: object) -> None:
    """Raises InputError if a picture of these channels and depth cannot be of the kind of `image`."""
    if isinstance(image, Image.Image) and picture.channels > 1 and picture.pixels.dtype != np.uint8:
        right = "Pillow has no colours of 16 bits; give an array or an image of 8 bits"
        raise InputError(f"{picture.name}: gets colours, and {right}")


def image_like(picture: Picture, image: AnyImage) -> AnyImage:
    """`picture` as an image of the kind of `image`: a PIL image, an array or a tensor, of the same dtype."""
    if isinstance(image, Image.Image):
        return to_pil(picture)
    if isinstance(image, Tensor):
        values = torch.from_numpy(picture.pixels).permute(2, 0, 1)
        # a copy: with one channel it would share the picture's memory
        return values.clone(memory_format=torch.contiguous_format).to(image.device, image.dtype)
    several = image.ndim == 3 or picture.channels > 1
    pixels: Array = picture.pixels if several else picture.pixels[..., 0]
    return pixels.astype(image.dtype)
