"""A part of one picture in another, redrawn so that they are one: SRDiff's content fusion."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Unpack

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from refinesr.diffusion.walking import last
from refinesr.editing import fuse_images, pasted
from refinesr.errors import ConfigError, InputError
from refinesr.images.picture import Picture, format_size, to_tensor, with_span
from refinesr.images.resize import Kernel, PillowBicubic, low_size, resize
from refinesr.mixing.patch import Patch
from refinesr.mixing.walk import DEPTH, Redrawing, in_channels, plan_redrawing
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
    """The image with a part of the other in it; both are large ones, of any kind that `upscale` takes.

    image    the one that is changed; the result has its size
    other    the one that a part is taken from
    patch    which part of `other`, and where it goes
    low      what it should look like when it is small, of 1 / `model.method.scale` the size, rounded up;
             without it, like the two put together
    whole    redraw all of it, as in SRDiff's paper, and not only the region and a little around it
    depth    share of the steps that are walked again, more than 0; 1 begins at noise
    options  fields of `Options`; without `steps`, or a `sampling` of as many as are wanted, at least 8

    Raises InputError, ConfigError or CheckpointError.
    """
    if not isinstance(patch, Patch):
        raise ConfigError(f"patch: {type_error_text(patch, 'a Patch')}")
    walk, whole = (
        plan_redrawing(resolve_stage(model), resolve_options(model, options), depth),
        as_bool("whole", whole),
    )
    span = walk.stage.span
    small = None if low is None else picture_of(low, "low", span)
    ground, part = picture_of(image, span=span), picture_of(other, "other", span)
    return image_like(last(fuse_pictures(walk, ground, part, patch, small, whole)).image, image)


def fuse_pictures(
    walk: Redrawing,
    picture: Picture,
    other: Picture,
    patch: Patch,
    low: Picture | None = None,
    whole: bool = False,
) -> Iterator[Progress[Picture]]:
    """`fuse` for `Picture`s.  What is transparent or missing in the other is not pasted.

    A model that only fills holes is told, as in its training, that what is redrawn is one.  Sides that are no
    multiple of the model's scale are continued by their last pixels while it works.
    """
    patch.check(picture, other)
    picture, other = (with_span(each, walk.stage.span) for each in (picture, other))
    scale, (height, width) = walk.stage.method.scale, picture.size
    both = padded(compose(picture, other, patch), scale)
    small = reduce(walk, both) if low is None else low_of(walk, picture, low)
    high = split_channels(both.to(walk.device), walk.stage.method.channels, picture.name)
    mask = patch.mask(picture.size)
    redrawn = None if whole else padded(mask[None, None], scale).to(high).expand(len(high), -1, -1, -1)
    noise, hole = walk.noise(high), torch.ones_like(mask) if whole else mask.ceil()
    given = walk.given(small, picture.name, noise, hole)
    for progress in fuse_images(walk.stage, given, high, noise, mask=redrawn, **walk.how()):
        image = replace(progress, image=progress.image[..., :height, :width])
        yield picture_progress(image, small, None, picture, picture.alpha, mask=None if whole else mask)


def compose(picture: Picture, other: Picture, patch: Patch) -> Images:
    """The other's region in its place, (1, C, H, W)."""
    weight = patch.weight(picture.size)
    if other.alpha is not None:
        weight = weight * patch.region.of(torch.from_numpy(other.alpha / np.float32(other.peak)))
    if (lost := other.missing_mask) is not None:
        weight = weight * patch.region.of(torch.from_numpy(~lost.any(2)))
    part = patch.region.of(in_channels(other, picture.channels))
    return pasted(to_tensor(opaque(picture)), part, patch.place, weight)


def padded(image: Tensor, scale: int) -> Tensor:
    """Down and right to multiples of the scale, by the last row and column."""
    height, width = image.shape[-2:]
    return F.pad(image, (0, -width % scale, 0, -height % scale), mode="replicate")


def reduce(walk: Redrawing, image: Images) -> LowImages:
    """As the model's poor images are made; at scale 1 there is nothing to reduce.

    By the kernel of its promise, if it makes one, so that it keeps what is coarse as it is.
    """
    method = walk.stage.method
    own: Kernel = getattr(method.source, "kernel", PillowBicubic())
    kernel = walk.sampling.consistent or own
    size = low_size((image.shape[-2], image.shape[-1]), method.scale)
    return image if method.scale == 1 else resize(image, size, kernel).clamp(-1, 1)


def low_of(walk: Redrawing, picture: Picture, low: Picture) -> LowImages:
    """Raises InputError for one that cannot be the picture made small."""
    scale = walk.stage.method.scale
    size = low_size(picture.size, scale)
    if low.size != size:
        wanted = f"{picture.name} made {scale} times smaller has {format_size(size)}"
        raise InputError(f"{low.name}: has {format_size(low.size)} pixels, but {wanted}")
    return in_channels(with_span(low, walk.stage.span), picture.channels)
