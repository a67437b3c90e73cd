"""Restoring pictures by a stage, or by the stages of a cascade one after the other."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from refinesr.cascade import Cascade, Link, run_links
from refinesr.devices import move_to
from refinesr.diffusion.noise import NoiseField
from refinesr.errors import ConfigError
from refinesr.images.masks import BinaryMask
from refinesr.images.picture import Picture, to_tensor, with_span
from refinesr.restore.options import Options
from refinesr.restore.pictures import (
    build_input,
    enlarged_alpha,
    only_inpaints,
    opaque,
    picture_progress,
    split_channels,
    split_count,
    with_colour_channels,
)
from refinesr.restore.rescaling import cascade_kernel, resampled, scaled_size
from refinesr.shapes import LowWithPlanes, Noise
from refinesr.stage import Prepared, Progress, Stage

Pictures = tuple[Picture, ...]
Prepare = Callable[[Link, LowWithPlanes, torch.dtype | None], Prepared]
"""Encodes low images for the stage of a link, with the dtype of autocast."""


def prepare(link: Link, low: LowWithPlanes, autocast: torch.dtype | None) -> Prepared:
    """Encode low for the link's stage, with the link's sampling and tile."""
    return link.stage.prepare(low, link.effective_sampling, link.tile, autocast)


@dataclass(eq=False)
class PrepareOnce:
    """`prepare`, but keeps its first result and returns it again for the same link, values and precision.

    So several samples of one picture share the encoding and the estimate of the posterior mean.  The result
    stays in memory while pictures are finished: of any picture if there is `room` for that, else of small
    ones only (`Method.caches_inputs`).
    """

    room: bool
    first: tuple[Link, torch.dtype | None, LowWithPlanes, Prepared] | None = field(default=None, init=False)

    def __call__(self, link: Link, low: LowWithPlanes, autocast: torch.dtype | None) -> Prepared:
        if self.first is not None:
            *key, values, prepared = self.first
            if key == [link, autocast] and torch.equal(values, low):
                return prepared
        prepared = prepare(link, low, autocast)
        if self.first is None and (self.room or link.stage.method.caches_inputs(low[:, 0].numel())):
            self.first = link, autocast, low, prepared
        return prepared


def shared_preparation(picture: Picture, samples: int, mask: BinaryMask | None = None) -> Prepare:
    """How to prepare the first stage for so many samples of the picture: once if that can be shared.

    A mask is filled with noise of each sample's own, so nothing is shared.  Pictures of 8 bits leave room:
    their memory peaks during sampling; that of deeper pictures peaks again when they are finished.
    """
    if samples == 1 or mask is not None:
        return prepare
    return PrepareOnce(room=picture.pixels.dtype == np.uint8)


def restore_picture(
    model: Stage | Cascade,
    picture: Picture,
    options: Options,
    mask: BinaryMask | None = None,
    *,
    scale: float | None = None,
    watched: bool = False,
    prepare: Prepare = prepare,
) -> Iterator[Progress[Picture]]:
    """`upscale` for a `Picture`: yields a `Progress` after each step, of all stages if there are several.

    The picture's values, and the result's, have the units of the model's span, whatever the picture's own.

    If `watched`, each estimate is rounded to a picture; else a stage's input is yielded until its last step.
    The picture of the last step is made to keep the promise of consistency.

    At another `scale` than the model's the result is resampled, and made consistent again; watched estimates
    are resampled only.  Pass one `shared_preparation` to several calls to encode the picture once.
    """
    links, size = options.links(model), None if scale is None else scaled_size(scale, picture.size)
    device, kernel = options.device_and_dtype(links[-1].stage)[0], cascade_kernel(links)
    for progress in restore_batch(
        model, (picture,), options, (options.seed,), mask, watched=watched, prepare=prepare
    ):
        (image,), ended = progress.image, progress.done == progress.total
        if size is not None and scale != model.scale and (watched or ended):
            image = resampled(image, size, picture, kernel if ended else None, device)
        yield Progress(progress.done, progress.total, image)


def restore_batch(
    model: Stage | Cascade,
    pictures: Pictures,
    options: Options,
    seeds: Sequence[int],
    mask: BinaryMask | None = None,
    *,
    watched: bool = False,
    prepare: Prepare = prepare,
) -> Iterator[Progress[Pictures]]:
    """`restore_picture` for a batch of pictures of one size and number of channels; `seeds` has one for each.

    Each stage is given the result of the one before, as pictures of the original bit depth, so the last
    result is consistent with the original if every stage is consistent with its input.  All stages draw from
    one source of noise, one after the other, as in `Cascade`.
    """
    links = options.links(model)
    each = split_count(pictures[0].channels, links[0].stage.method.channels)
    noise = NoiseField(tuple(seed for seed in seeds for _ in range(each)))

    def refine(number: int, link: Link, pictures: Pictures) -> Iterator[Progress[Pictures]]:
        return restore_by_link(link, pictures, options, noise, None if number else mask, watched, prepare)

    yield from run_links(links, tuple(with_span(picture, model.span) for picture in pictures), refine)


def restore_by_link(
    link: Link,
    pictures: Pictures,
    options: Options,
    noise: Noise,
    mask: BinaryMask | None,
    watched: bool,
    prepare: Prepare,
) -> Iterator[Progress[Pictures]]:
    """Restore by one link, on the device and in the precision of the options."""
    stage, kernel = link.stage, link.effective_sampling.consistent
    device, autocast = options.device_and_dtype(stage)
    if mask is None and only_inpaints(stage):
        raise ConfigError("mask: is missing; the model only fills in what a mask marks")
    move_to(stage.model, device)
    pictures = tuple(with_colour_channels(stage, picture) for picture in pictures)
    low, name = torch.cat([to_tensor(opaque(picture)) for picture in pictures]).to(device), pictures[0].name
    size = stage.scale * low.shape[2], stage.scale * low.shape[3]
    alphas = [None if x.alpha is None else enlarged_alpha(x, size) for x in pictures]
    images = split_channels(low, stage.method.channels, name)
    noisy = images + link.level * noise(images) if link.level > 0 else images
    # the masked part is filled with a draw of its own: the network must not see the noise of the start twice
    steps = prepare(link, build_input(stage, noisy, noise, mask, name, link.level), autocast).refine(noise)

    def to_pictures(progress: Progress[Tensor]) -> Progress[Pictures]:
        parts = [replace(progress, image=x) for x in torch.split(progress.image, len(images) // len(low))]
        made = [
            picture_progress(part, one, kernel, like, alpha, mask=mask, watched=watched).image
            for part, one, like, alpha in zip(parts, torch.split(low, 1), pictures, alphas, strict=True)
        ]
        return Progress(progress.done, progress.total, tuple(made))

    for progress in steps:
        if progress.done == progress.total:
            deque(steps, maxlen=0)  # end the generator: what it holds is freed before pictures are finished
        result = to_pictures(progress)
        del progress
        yield result
