"""From pictures to the inputs of a stage, and from its images back to pictures."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from refinesr.errors import CheckpointError, ConfigError, InputError
from refinesr.images.eight_bits import to_uint8
from refinesr.images.faithful import consistent_eight_bits, consistent_in_range
from refinesr.images.masks import BinaryMask
from refinesr.images.missing import avoid_nodata, fill_missing, restore_missing
from refinesr.images.picture import Picture, Plane, from_tensor, to_tensor
from refinesr.images.resize import Kernel, PillowBicubic, resize
from refinesr.images.span import Span
from refinesr.images.tasks import Grey, Inpainting, Uncropping
from refinesr.model import with_plane
from refinesr.shapes import Images, LowImages, Noise
from refinesr.sources import Augmented, Blank, Labelled
from refinesr.stage import Progress, Stage

Array = npt.NDArray[np.generic]


def with_colour_channels(stage: Stage, picture: Picture) -> Picture:
    """A grey picture as RGB if the model colours pictures, else the picture."""
    if picture.channels > 1 or not isinstance(stage.method.degradation, Grey):
        return picture
    return replace(picture, pixels=np.repeat(picture.pixels, 3, axis=2))


def only_inpaints(stage: Stage) -> bool:
    """Whether the model was trained only to fill in what a mask marks."""
    return isinstance(stage.method.degradation, Inpainting | Uncropping)


def restore_known_pixels(made: Picture, picture: Picture, mask: Tensor) -> Picture:
    """`made` with the pixels of `picture`, missing and transparent ones too, where the mask (H, W) is 0."""
    pixels = np.where(mask.numpy()[..., None] > 0, avoid_nodata(made).pixels, picture.pixels)
    return replace(made, pixels=pixels)


def opaque(picture: Picture) -> Picture:
    """The picture with missing and transparent pixels replaced by a smooth extension of the others.

    Raises InputError if a band has no values.
    """
    return fill_missing(picture, under_alpha=True)


def picture_progress(
    progress: Progress[Tensor],
    low: LowImages,
    kernel: Kernel | None,
    like: Picture,
    alpha: Plane | None,
    *,
    mask: BinaryMask | None = None,
    watched: bool = False,
) -> Progress[Picture]:
    """A stage's progress with its image as a picture of the kind of `like`.

    progress  with an image (1, C, H, W), or one image for each channel
    low       what the image is made of
    kernel    downsampled with it, the last image is made to equal low; None for no consistency
    alpha     of the result
    mask      where it is 0 the result has the pixels of `like`; without a mask it is missing where `like` is
    watched   if not, the image before the last step is `like` itself: no picture is made

    Raises CheckpointError for values that are not finite.
    """
    ended = progress.done == progress.total
    if not bool(progress.image.isfinite().all()):
        raise CheckpointError(f"{like.name}: the model makes NaN or infinity of it; try --precision fp32")
    if not (watched or ended):
        return Progress(progress.done, progress.total, like)
    image = join_channels(progress.image, like.channels)
    made = from_tensor(
        final_values(image, low, kernel if ended else None, like).cpu(), like=like, alpha=alpha
    )
    made = restore_missing(made, like) if mask is None else restore_known_pixels(made, like, mask)
    return Progress(progress.done, progress.total, made)


def split_channels(low: Images, channels: int, name: str) -> Tensor:
    """(B, C, h, w) as input of a model of `channels`: grey repeated, or each channel as an image of its own.

    Raises InputError, with the picture's name, if C fits neither way.
    """
    given = low.shape[1]
    if given == channels:
        return low
    if given == 1:
        return low.expand(-1, channels, -1, -1)
    if channels == 1:
        return low.reshape(-1, 1, *low.shape[2:])
    raise InputError(f"{name}: has {given} channels; the model restores pictures of 1 or {channels}")


def split_count(given: int, channels: int) -> int:
    """Into how many images `split_channels` splits a picture of `given` channels."""
    return given if channels == 1 else 1


def build_input(
    stage: Stage, low: LowImages, noise: Noise, mask: BinaryMask | None, name: str, level: float = 0.0
) -> Tensor:
    """low with the planes that the stage's source takes, and the mask as its last plane, filled with noise.

    `level` is the standard deviation of the noise that has been added to low.  Raises ConfigError and
    InputError for a model or a mask that does not fit.
    """
    match stage.method.source:
        case Blank() | Labelled():
            raise ConfigError("model: generates images from noise; use `refinesr generate`")
        case Augmented():
            low = with_plane(low, low.new_full((len(low),), level))
    match stage.method.degradation:
        case Grey() as grey:
            low = grey(low, torch.Generator())  # colours of the input would be kept
    if mask is None:
        return low
    if stage.method.scale != 1:
        raise ConfigError(
            f"mask: the model enlarges {stage.method.scale} times; only models of scale 1 fill in parts"
        )
    if mask.shape != low.shape[2:]:
        sizes = " and ".join(f"{width} x {height}" for height, width in (mask.shape, low.shape[2:]))
        raise InputError(f"{name}: the mask and the image differ in size: {sizes}")
    if not bool(mask.any()):
        raise InputError(f"{name}: nothing in its mask is white (True, 255 of 8 bits, or 1 as a float)")
    hidden = mask.to(low).expand(len(low), 1, -1, -1)
    return torch.cat((torch.where(hidden > 0, noise(low), low), hidden), 1)


def join_channels(image: Tensor, given: int) -> Images:
    """The inverse of `split_channels` for a picture of `given` channels; RGB becomes grey by its mean."""
    if image.shape[1] == given:
        return image
    return image.mean(1, keepdim=True) if given == 1 else image.reshape(-1, given, *image.shape[2:])


def final_values(image: Images, low: LowImages, kernel: Kernel | None, like: Picture) -> Tensor:
    """The values of the result: uint8, or float in [-1, 1] for pictures of more than 8 bits.

    Downsampled with `kernel`, if one is given, they equal low.
    """
    if like.pixels.dtype == np.uint8:
        if like.span is not None:  # consistency holds in the 256 levels of the file
            image, low = whole_range(image.clamp(-1, 1), like.span), whole_range(low, like.span)
        if kernel is None:
            return to_uint8(image)
        return consistent_eight_bits(image, to_uint8(low), kernel)
    if kernel is None:
        return image.clamp(-1, 1)
    return consistent_in_range(image, low, kernel)


def whole_range(images: Images, span: Span) -> Images:
    """Images with -1 and 1 at the ends of a span, rescaled to have them at 0 and 255 of 8 bits; a copy."""
    values = images.to(torch.float32, copy=True)
    span.denormalise_(values.movedim(1, -1))
    return values.div_(127.5).sub_(1)


def enlarged_alpha(picture: Picture, size: tuple[int, int]) -> Array:
    """The picture's alpha resized to `size` = (height, width) by bicubic, and clipped.

    It is not made consistent: that holds for soft masks anyway, and around hard edges it would leave specks
    where all should be transparent.
    """
    assert picture.alpha is not None
    mask = replace(picture, pixels=picture.alpha[..., None], alpha=None, nodata=None, span=None)
    large = resize(to_tensor(mask), size, PillowBicubic())
    return from_tensor(large.clamp(-1, 1), like=mask).pixels[..., 0]
