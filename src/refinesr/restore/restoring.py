"""A picture restored by a stage, or by the stages of a cascade, one after the other."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from refinesr.cascade import Cascade, Link
from refinesr.devices import put_on, seed_out_of
from refinesr.diffusion.noise import NoiseField
from refinesr.errors import ConfigError
from refinesr.images.masks import Hidden
from refinesr.images.picture import Picture, meant_by, to_tensor
from refinesr.restore.options import Options
from refinesr.restore.pictures import (
    colourable,
    completed,
    enlarged_alpha,
    fills,
    opaque,
    pictured,
    spread,
)
from refinesr.restore.rescaling import kept_by, resampled, size_at
from refinesr.stage import Progress, Stage

Pictures = tuple[Picture, ...]


def restored(
    model: Stage | Cascade,
    picture: Picture,
    options: Options,
    mask: Hidden | None = None,
    *,
    scale: float | None = None,
    watched: bool = False,
) -> Iterator[Progress[Picture]]:
    """`upscale` for `Picture`s: a `Progress` after each step, of all stages if there are several.

    Their values are meant by the model's span, whatever theirs is; so are those of the result.

    Where they are `watched`, estimates are simply rounded; else a stage shows what it was given until its
    last step.  The picture of that is made to keep its promises.

    At another `scale` than the model's the result is resampled, and made to keep them again; estimates that
    are watched are resampled.
    """
    size = None if scale is None else size_at(scale, picture.size)
    device, kernel = options.computing()[0], kept_by(options.links(model))
    for progress in together(model, (picture,), options, (options.seed,), mask, watched=watched):
        (image,), ended = progress.image, progress.done == progress.total
        if size is not None and scale != model.scale and (watched or ended):
            image = resampled(image, size, picture, kernel if ended else None, device)
        yield Progress(progress.done, progress.total, image)


def together(
    model: Stage | Cascade,
    pictures: Pictures,
    options: Options,
    seeds: Sequence[int],
    mask: Hidden | None = None,
    *,
    watched: bool = False,
) -> Iterator[Progress[Pictures]]:
    """`restored` for pictures of one size and as many channels, in one batch; a seed for each.

    Each stage is given what the one before has made, as a picture of the depth of the first.  So what each of
    them promises of its input, the last one's result keeps of the first one's.
    """
    links, before = options.links(model), 0
    pictures = tuple(meant_by(model.span, picture) for picture in pictures)
    total = sum(link.steps for link in links)
    for number, link in enumerate(links):
        noises, hidden = [seed_of(seed, number) for seed in seeds], None if number else mask
        for progress in by_stage(link, pictures, options, noises, hidden, watched):
            yield Progress(before + progress.done, total, progress.image)
        pictures, before = progress.image, before + progress.total


def by_stage(
    link: Link, pictures: Pictures, options: Options, seeds: Sequence[int], mask: Hidden | None, watched: bool
) -> Iterator[Progress[Pictures]]:
    """As the link says, on the device and in the precision of the options."""
    stage, kernel = link.stage, link.chosen.consistent
    device, autocast = options.computing()
    if mask is None and fills(stage):
        raise ConfigError("mask: none is given, and the model only makes up what one marks as missing")
    put_on(stage.model, device)
    pictures = tuple(colourable(stage, picture) for picture in pictures)
    low, name = torch.cat([to_tensor(opaque(picture)) for picture in pictures]).to(device), pictures[0].name
    size = stage.scale * low.shape[2], stage.scale * low.shape[3]
    alphas = [None if x.alpha is None else enlarged_alpha(x, size) for x in pictures]
    images = spread(low, stage.method.channels, name)
    each = len(images) // len(pictures)
    noise = NoiseField(tuple(seed for seed in seeds for _ in range(each)))
    stirred = images + link.level * noise(images) if link.level > 0 else images
    # a hole, too, is filled with a draw of its own: what the start is made of would be seen twice
    given = completed(stage, stirred, noise, mask, name, link.level)
    steps = stage(given, noise, sampling=link.chosen, tile=link.tile, autocast=autocast)

    def seen(progress: Progress[Tensor]) -> Progress[Pictures]:
        parts = [replace(progress, image=image) for image in torch.split(progress.image, each)]
        made = [
            pictured(part, one, kernel, like, alpha, mask=mask, watched=watched).image
            for part, one, like, alpha in zip(parts, torch.split(low, 1), pictures, alphas, strict=True)
        ]
        return Progress(progress.done, progress.total, tuple(made))

    for progress in steps:
        if progress.done == progress.total:
            deque(steps, maxlen=0)  # nothing more comes, and what the walk holds makes room
        shown = seen(progress)
        del progress
        yield shown


def seed_of(seed: int, number: int) -> int:
    """Each stage has noise of its own; the first one's is that of the seed itself."""
    if number == 0:
        return seed
    return seed_out_of(np.random.SeedSequence(seed, spawn_key=(number,)))
