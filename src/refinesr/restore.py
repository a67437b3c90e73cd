"""Images in, images out: what `refinesr upscale` does, for PIL images, arrays and tensors too."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from refinesr.devices import autocast_dtype, device_named, put_on
from refinesr.diffusion.noise import NoiseField
from refinesr.errors import CheckpointError, ConfigError, InputError
from refinesr.images.alpha import bleed
from refinesr.images.faithful import to_eight_bits
from refinesr.images.masks import AnyMask, Hidden, mask_of
from refinesr.images.picture import PEAKS, Picture, Plane, from_tensor, plain_array, to_tensor
from refinesr.images.pillow import from_pil, to_pil
from refinesr.images.projection import Projection
from refinesr.images.resize import Kernel, PillowBicubic, resize
from refinesr.images.tasks import Grey, Inpainting, Uncropping
from refinesr.method import Sampling
from refinesr.model import with_plane
from refinesr.shapes import Images, LowImages, Noise
from refinesr.shipped import load
from refinesr.sources import Augmented, Blank, Labelled
from refinesr.stage import Progress, Stage

Array = npt.NDArray[np.generic]
AnyImage = TypeVar("AnyImage", Image.Image, Array, Tensor)
Source = Stage | str | Path

ROUNDS = 30
"""Alternations of clipping and projecting for pictures of more than 8 bits."""

SLACK = 0.5
"""How far float pixels may leave [0, 1]: resampling overshoots, but other ranges are a mistake."""


@dataclass(frozen=True)
class Options:
    """How to restore; None leaves a choice to the model.

    steps       sampling steps
    seed        of the noise: the same seed gives the same picture whatever the tile, batch or device
    tile        core of a tile in input pixels, 0 for none
    consistent  keep the result, downsampled, equal to the input
    device      'auto', 'cpu', 'cuda', 'mps': where to compute; the model is moved there and stays
    precision   'auto', 'fp32', 'bf16': what the network runs in
    """

    steps: int | None = None
    seed: int = 0
    tile: int | None = None
    consistent: bool | None = None
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.tile is not None and self.tile < 0:
            raise ConfigError(f"tile: {self.tile} is negative; 0 means no tiles")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed: {self.seed} is not between 0 and 2**63 - 1")

    def sampling(self, stage: Stage) -> Sampling:
        """The stage's own, with what is asked for here.  Raises ConfigError if there is no such thing."""
        chosen = stage.method.sampling
        if self.steps is not None:
            chosen = replace(chosen, steps=self.steps)
        if self.consistent is not None:
            chosen = replace(chosen, consistent=kept_kernel(stage) if self.consistent else None)
        return chosen


def kept_kernel(stage: Stage) -> Kernel:
    """What the input is said to be downsampled with."""
    if stage.method.scale == 1:
        raise ConfigError("consistent: nothing is lost at scale 1, so there is nothing to keep")
    return stage.method.sampling.consistent or PillowBicubic()


def upscale(
    model: Source,
    image: AnyImage,
    *,
    steps: int | None = None,
    seed: int = 0,
    samples: int = 1,
    tile: int | None = None,
    consistent: bool | None = None,
    device: str = "auto",
    precision: str = "auto",
    mask: AnyMask | None = None,
) -> AnyImage | list[AnyImage]:
    """The image `model.method.scale` times larger, of the kind that was given.

    model   what `load` returned, or what it would be given
    image   a PIL image (grey, RGB, with or without alpha, 8 bit or grey of 16; profile and EXIF are kept), an
            array (H, W) or (H, W, C) of uint8, uint16 or floats in [0, 1], or a tensor (C, H, W) of the same
    samples images to draw, with seeds seed, seed + 1, ...; a list of them if more than 1
    mask    of the image's size, of any kind: what is white or True is made up, the rest stays as it is; for
            models of scale 1

    The others are fields of `Options`.  Raises InputError, ConfigError or CheckpointError.
    """
    if samples < 1:
        raise ConfigError(f"samples: {samples} is not positive")
    choices = [Options(steps, seed + k, tile, consistent, device, precision) for k in range(samples)]
    stage, picture, made = stage_of(model), picture_of(image), []
    hidden = None if mask is None else mask_of(mask)
    for options in choices:
        *_, last = restored(stage, picture, options, hidden)
        made.append(alike(last.image, image))
    return made if samples > 1 else made[0]


def refine(
    model: Source, image: AnyImage, *, mask: AnyMask | None = None, **options: Any
) -> Iterator[Progress[AnyImage]]:
    """Watch the refinement: a `Progress` after each step, whose image is of the kind that was given.

    Takes the fields of `Options` by name.  The last image is what `upscale` returns.
    """
    hidden = None if mask is None else mask_of(mask)
    for progress in restored(stage_of(model), picture_of(image), Options(**options), hidden):
        yield Progress(progress.done, progress.total, alike(progress.image, image))


def stage_of(model: Source) -> Stage:
    return model if isinstance(model, Stage) else load(model)


def restored(
    stage: Stage, picture: Picture, options: Options, mask: Hidden | None = None
) -> Iterator[Progress[Picture]]:
    """The same for `Picture`s.  Estimates are simply rounded; the last one is made to keep its promises."""
    device = device_named(options.device)
    autocast, sampling = autocast_dtype(options.precision, device), options.sampling(stage)
    if mask is None and isinstance(stage.method.degradation, Inpainting | Uncropping):
        raise ConfigError("mask: none is given, and the model only makes up what one marks as missing")
    put_on(stage.model, device)
    picture = colourable(stage, picture)
    low = to_tensor(opaque(picture)).to(device)
    alpha = None if picture.alpha is None else enlarged_alpha(picture, stage.method.scale)
    images = spread(low, stage.method.channels, picture.name)
    tile = stage.method.tile if options.tile is None else options.tile
    noise = NoiseField((options.seed,) * len(images))
    given = completed(stage, images, replace(noise), mask, picture.name)
    for progress in stage(given, noise, sampling=sampling, tile=tile, autocast=autocast):
        made = pictured(progress, low, sampling.consistent, picture, alpha)
        yield made if mask is None else replace(made, image=put_back(made.image, picture, mask))


def colourable(stage: Stage, picture: Picture) -> Picture:
    """With room for colours, if the model is to make them."""
    if picture.channels > 1 or not isinstance(stage.method.degradation, Grey):
        return picture
    return replace(picture, pixels=np.repeat(picture.pixels, 3, axis=2))


def put_back(made: Picture, picture: Picture, mask: Tensor) -> Picture:
    """The very pixels where the mask (H, W) is 0: those under transparency, too, and of any depth."""
    pixels = np.where(mask.numpy()[..., None] > 0, made.pixels, picture.pixels)
    return replace(made, pixels=pixels)


def opaque(picture: Picture) -> Picture:
    """What is seen of it, and a smooth extension of that under what is not."""
    alpha = picture.alpha
    return picture if alpha is None else replace(picture, pixels=bleed(picture.pixels, alpha))


def pictured(
    progress: Progress[Tensor], low: LowImages, kernel: Kernel | None, like: Picture, alpha: Plane | None
) -> Progress[Picture]:
    """What a stage says, as a picture `like` another; the last one is made to keep the kernel's promise."""
    image = gathered(progress.image, like.channels)
    if not bool(image.isfinite().all()):
        raise CheckpointError(f"{like.name}: the model makes NaN or infinity of it; try --precision fp32")
    promised = kernel if progress.done == progress.total else None
    made = from_tensor(finished(image, low, promised, like).cpu(), like=like, alpha=alpha)
    return Progress(progress.done, progress.total, made)


def spread(low: Images, channels: int, name: str) -> Tensor:
    """(1, C, h, w) as a model of `channels` wants it: grey as colour, or each channel as a grey image."""
    given = low.shape[1]
    if given == channels:
        return low
    if given == 1:
        return low.expand(-1, channels, -1, -1)
    if channels == 1:
        return low.transpose(0, 1)
    raise InputError(f"{name}: has {given} channels; the model restores pictures of 1 or {channels}")


def completed(stage: Stage, low: LowImages, noise: Noise, mask: Hidden | None, name: str) -> Tensor:
    """low with the planes that the stage's source takes, and the mask, what is to be made up being noise."""
    match stage.method.source:
        case Blank() | Labelled():
            raise ConfigError("model: makes pictures from nothing; `refinesr generate` is for it")
        case Augmented():
            low = with_plane(low, low.new_zeros(len(low)))  # no noise has been added
    match stage.method.degradation:
        case Grey() as grey:
            low = grey(low, torch.Generator())  # else a picture with some colour would keep it
    if mask is None:
        return low
    if stage.method.scale != 1:
        raise ConfigError(f"mask: the model enlarges {stage.method.scale} times; only scale 1 makes up parts")
    if mask.shape != low.shape[2:]:
        sizes = " and ".join(f"{width} x {height}" for height, width in (mask.shape, low.shape[2:]))
        raise InputError(f"{name}: its mask and itself differ in size: {sizes}")
    if not bool(mask.any()):
        raise InputError(f"{name}: nothing in its mask is white (True, 255 of 8 bits, or 1 as a float)")
    hidden = mask.to(low).expand(len(low), 1, -1, -1)
    return torch.cat((torch.where(hidden > 0, noise(low), low), hidden), 1)


def gathered(image: Tensor, given: int) -> Images:
    """The inverse of `spread`."""
    if image.shape[1] == given:
        return image
    return image.mean(1, keepdim=True) if given == 1 else image.transpose(0, 1)


def finished(image: Images, low: LowImages, kernel: Kernel | None, like: Picture) -> Tensor:
    """The result's values: uint8, or float in [-1, 1] for deeper pictures.

    Downsampled with `kernel`, if one is given, they are low.
    """
    if like.pixels.dtype == np.uint8:
        if kernel is None:
            return ((image.clamp(-1, 1) + 1) * 127.5).round().byte()
        return to_eight_bits(image, ((low + 1) * 127.5).round().byte(), kernel)
    if kernel is None:
        return image.clamp(-1, 1)
    sizes = (image.shape[-2], image.shape[-1]), (low.shape[-2], low.shape[-1])
    projection = Projection(*sizes, kernel)
    for _ in range(ROUNDS):
        image = projection.project(image.clamp(-1, 1), low)
    return image.clamp(-1, 1)


def enlarged_alpha(picture: Picture, scale: int) -> Array:
    """Transparency is a mask, not a texture: enlarged by bicubic, clipped, no more.

    A soft mask, made small again, is as it was.  Hard edges are not: a mask forced to be so has specks around
    them where nothing should be seen.
    """
    assert picture.alpha is not None
    mask = replace(picture, pixels=picture.alpha[..., None], alpha=None)
    height, width = picture.alpha.shape
    large = resize(to_tensor(mask), (scale * height, scale * width), PillowBicubic())
    return from_tensor(large.clamp(-1, 1), like=mask).pixels[..., 0]


def picture_of(image: Image.Image | Array | Tensor) -> Picture:
    """Raises InputError for what is no picture."""
    if isinstance(image, Image.Image):
        return from_pil(image)
    array = array_of(image) if isinstance(image, Tensor) else image
    array = array.astype(np.float32 if array.dtype.kind == "f" else array.dtype.newbyteorder("="), copy=False)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or 0 in array.shape or array.dtype not in PEAKS:
        right = "(H, W) or (H, W, C) of uint8, uint16 or floats in [0, 1] is"
        raise InputError(f"an array of shape {array.shape} and type {array.dtype} is no picture; {right}")
    if array.dtype == np.float32 and (array.min() < -SLACK or array.max() > 1 + SLACK):
        raise InputError(f"float pixels lie in [0, 1]; these go from {array.min():g} to {array.max():g}")
    return Picture(np.ascontiguousarray(array))


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
