"""Content fusion (SRDiff): a part of one picture is pasted into another and redrawn to fit."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Unpack

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from refinesr.diffusion.loops import last_of
from refinesr.editing import fuse_images, pasted
from refinesr.errors import ConfigError, InputError
from refinesr.images.picture import Picture, format_size, to_tensor, with_span
from refinesr.images.resize import Kernel, PillowBicubic, low_size, resize
from refinesr.mixing.patch import Patch
from refinesr.mixing.redrawing import DEPTH, Redrawing, in_channels, plan_redrawing
from refinesr.restore import (
    AnyImage,
    OptionFields,
    Source,
    image_like,
    opaque,
    picture_of,
    picture_progress,
    resolve_options,
    resolve_stage,
    split_channels,
)
from refinesr.shapes import Images, LowImages
from refinesr.stage import Progress
from refinesr.validation import as_bool, type_error_text


def fuse(
    model: Source,
    image: AnyImage,
    other: AnyImage,
    patch: Patch,
    *,
    low: AnyImage | None = None,
    whole: bool = False,
    depth: float = DEPTH,
    **options: Unpack[OptionFields],
) -> AnyImage:
    """Fuse a part of one high-resolution image into another; both of any kind that `upscale` takes.

    image    the image that is changed; the result has its size
    other    the image that a part is taken from
    patch    which part of `other`, and where it goes
    low      the low-resolution image of the result, of 1 / `model.method.scale` the size, rounded up; without
             it, the two images pasted together and downsampled
    whole    redraw the whole image, as in SRDiff's paper, and not only the region and its feather
    depth    share of the sampling steps that are repeated, more than 0; 1 starts from noise
    options  fields of `Options`; without `steps`, or a `sampling` of as many as are wanted, at least 8

    Raises InputError, ConfigError or CheckpointError.
    """
    if not isinstance(patch, Patch):
        raise ConfigError(f"patch: {type_error_text(patch, 'a Patch')}")
    redrawing = plan_redrawing(resolve_stage(model), resolve_options(model, options), depth)
    whole = as_bool("whole", whole)
    span = redrawing.stage.span
    small = None if low is None else picture_of(low, "low", span)
    ground, part = picture_of(image, span=span), picture_of(other, "other", span)
    return image_like(last_of(fuse_pictures(redrawing, ground, part, patch, small, whole)).image, image)


def fuse_pictures(
    redrawing: Redrawing,
    picture: Picture,
    other: Picture,
    patch: Patch,
    low: Picture | None = None,
    whole: bool = False,
) -> Iterator[Progress[Picture]]:
    """`fuse` for `Picture`s; pixels of `other` that are transparent or missing are not pasted.

    A model that only inpaints is given what is redrawn as its mask.  Sides that are no multiple of the
    model's scale are padded by replication while it works.
    """
    patch.check(picture, other)
    picture, other = (with_span(each, redrawing.stage.span) for each in (picture, other))
    scale, (height, width) = redrawing.stage.method.scale, picture.size
    both = padded(compose(picture, other, patch), scale)
    small = reduce_to_low(redrawing, both) if low is None else given_low(redrawing, picture, low)
    high = split_channels(both.to(redrawing.device), redrawing.stage.method.channels, picture.name)
    mask = patch.mask(picture.size)
    redrawn = None if whole else padded(mask[None, None], scale).to(high).expand(len(high), -1, -1, -1)
    noise, hole = redrawing.noise(high), torch.ones_like(mask) if whole else mask.ceil()
    given = redrawing.build_input(small, picture.name, noise, hole)
    for progress in fuse_images(redrawing.stage, given, high, noise, mask=redrawn, **redrawing.arguments()):
        image = replace(progress, image=progress.image[..., :height, :width])
        yield picture_progress(image, small, None, picture, picture.alpha, mask=None if whole else mask)


def compose(picture: Picture, other: Picture, patch: Patch) -> Images:
    """The picture with the other's region pasted in, (1, C, H, W)."""
    weight = patch.weight(picture.size)
    if other.alpha is not None:
        weight = weight * patch.region.of(torch.from_numpy(other.alpha / np.float32(other.peak)))
    if (lost := other.missing_mask) is not None:
        weight = weight * patch.region.of(torch.from_numpy(~lost.any(2)))
    part = patch.region.of(in_channels(other, picture.channels))
    return pasted(to_tensor(opaque(picture)), part, patch.place, weight)


def padded(image: Tensor, scale: int) -> Tensor:
    """The image padded at the bottom and right to multiples of the scale, by replication."""
    height, width = image.shape[-2:]
    return F.pad(image, (0, -width % scale, 0, -height % scale), mode="replicate")


def reduce_to_low(redrawing: Redrawing, image: Images) -> LowImages:
    """The image downsampled as in the model's training; at scale 1 unchanged.

    If the sampling is consistent, its kernel is used, so that low frequencies of the image are kept.
    """
    method = redrawing.stage.method
    own: Kernel = getattr(method.source, "kernel", PillowBicubic())
    kernel = redrawing.sampling.consistent or own
    size = low_size((image.shape[-2], image.shape[-1]), method.scale)
    return image if method.scale == 1 else resize(image, size, kernel).clamp(-1, 1)


def given_low(redrawing: Redrawing, picture: Picture, low: Picture) -> LowImages:
    """The low-resolution image that the caller gives, as a tensor.

    Raises InputError if its size is not that of the picture downsampled.
    """
    scale = redrawing.stage.method.scale
    size = low_size(picture.size, scale)
    if low.size != size:
        wanted = f"{picture.name} made {scale} times smaller has {format_size(size)}"
        raise InputError(f"{low.name}: has {format_size(low.size)} pixels, but {wanted}")
    return in_channels(with_span(low, redrawing.stage.span), picture.channels)
