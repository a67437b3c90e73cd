"""A picture restored by a stage, or by the stages of a cascade, one after the other."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from refinesr.cascade import Cascade
from refinesr.devices import autocast_dtype, device_named, put_on, seed_out_of
from refinesr.diffusion.noise import NoiseField
from refinesr.errors import ConfigError
from refinesr.images.masks import Hidden
from refinesr.images.picture import Picture, to_tensor
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
from refinesr.stage import Progress, Stage


def restored(
    model: Stage | Cascade,
    picture: Picture,
    options: Options,
    mask: Hidden | None = None,
    *,
    watched: bool = False,
) -> Iterator[Progress[Picture]]:
    """`upscale` for `Picture`s: a `Progress` after each step, of all stages if there are several.

    Where they are `watched`, estimates are simply rounded; else a stage shows what it was given until its
    last step.  The picture of that is made to keep its promises.
    """
    if isinstance(model, Cascade):
        return one_after_the_other(model, picture, options, mask, watched)
    return by_stage(model, picture, options, mask, watched=watched)


def by_stage(
    stage: Stage,
    picture: Picture,
    options: Options,
    mask: Hidden | None = None,
    level: float = 0.0,
    *,
    watched: bool = False,
) -> Iterator[Progress[Picture]]:
    """`level` is the standard deviation of the noise that the stage's input is given."""
    device = device_named(options.device)
    autocast, sampling = autocast_dtype(options.precision, device), options.sampling(stage)
    if mask is None and fills(stage):
        raise ConfigError("mask: none is given, and the model only makes up what one marks as missing")
    put_on(stage.model, device)
    picture = colourable(stage, picture)
    low = to_tensor(opaque(picture)).to(device)
    alpha = None if picture.alpha is None else enlarged_alpha(picture, stage.method.scale)
    images = spread(low, stage.method.channels, picture.name)
    tile = stage.method.tile if options.tile is None else options.tile
    noise = NoiseField((options.seed,) * len(images))
    stirred = images + level * noise(images) if level > 0 else images
    # a hole, too, is filled with a draw of its own: what the start is made of would be seen twice
    given = completed(stage, stirred, noise, mask, picture.name, level)
    steps = stage(given, noise, sampling=sampling, tile=tile, autocast=autocast)
    for progress in steps:
        if progress.done == progress.total:
            deque(steps, maxlen=0)  # nothing more comes, and what the walk holds makes room
        shown = pictured(progress, low, sampling.consistent, picture, alpha, mask=mask, watched=watched)
        del progress
        yield shown


def one_after_the_other(
    cascade: Cascade, picture: Picture, options: Options, mask: Hidden | None, watched: bool
) -> Iterator[Progress[Picture]]:
    """Each stage is given what the one before has made, as a picture of the depth of the first.

    So what each of them promises of its input, the last one's result keeps of the first one's.
    """
    links, before = options.links(cascade), 0
    total = sum(link.steps for link in links)
    for number, link in enumerate(links):
        own = replace(options, seed=seed_of(options.seed, number), tile=link.tile)
        hidden = None if number else mask
        for progress in by_stage(link.placed, picture, own, hidden, link.level, watched=watched):
            yield Progress(before + progress.done, total, progress.image)
        picture, before = progress.image, before + progress.total


def seed_of(seed: int, number: int) -> int:
    """Each stage has noise of its own; the first one's is that of the seed itself."""
    if number == 0:
        return seed
    return seed_out_of(np.random.SeedSequence(seed, spawn_key=(number,)))
