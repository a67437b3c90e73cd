"""A picture restored by a stage, or by the stages of a cascade, one after the other."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from refinesr.cascade import Cascade, Link
from refinesr.devices import put_on, seed_out_of
from refinesr.diffusion.noise import NoiseField
from refinesr.errors import ConfigError
from refinesr.images.masks import Hidden
from refinesr.images.picture import Picture, to_tensor, with_span
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
from refinesr.shapes import LowWithPlanes
from refinesr.stage import Progress, Shown, Stage

Pictures = tuple[Picture, ...]
Showing = Callable[[Link, LowWithPlanes, torch.dtype | None], Shown]


def show(link: Link, given: LowWithPlanes, autocast: torch.dtype | None) -> Shown:
    """To the link's stage, sampling as the link says."""
    return link.stage.shown(given, link.chosen, link.tile, autocast)


@dataclass(eq=False)
class ShowOnce:
    """`show`, but what is shown first is encoded once, however often it is shown again.

    It is the same values that count: where noise is put into them, each sample is encoded.  What is kept from
    one walk to the next is there while results are finished, too: of any picture if there is `room` for that,
    else of a small one (`Method.keeps`).
    """

    room: bool
    first: tuple[Link, torch.dtype | None, LowWithPlanes, Shown] | None = field(default=None, init=False)

    def __call__(self, link: Link, given: LowWithPlanes, autocast: torch.dtype | None) -> Shown:
        if self.first is not None:
            *how, low, shown = self.first
            if how == [link, autocast] and torch.equal(low, given):
                return shown
        shown = show(link, given, autocast)
        if self.first is None and (self.room or link.stage.method.keeps(given[:, 0].numel())):
            self.first = link, autocast, given, shown
        return shown


def showing_of(picture: Picture, samples: int) -> Showing:
    """How it is shown to be restored so many times.

    Its memory peaks in a walk, not where 8 bits are finished; deeper pictures take as much there.
    """
    return show if samples == 1 else ShowOnce(room=picture.pixels.dtype == np.uint8)


def restored(
    model: Stage | Cascade,
    picture: Picture,
    options: Options,
    mask: Hidden | None = None,
    *,
    scale: float | None = None,
    watched: bool = False,
    showing: Showing = show,
) -> Iterator[Progress[Picture]]:
    """`upscale` for `Picture`s: a `Progress` after each step, of all stages if there are several.

    Their values are meant by the model's span, whatever theirs is; so are those of the result.

    Where they are `watched`, estimates are simply rounded; else a stage shows what it was given until its
    last step.  The picture of that is made to keep its promises.

    At another `scale` than the model's the result is resampled, and made to keep them again; estimates that
    are watched are resampled.  Several walks share an encoding by one `showing_of`.
    """
    size = None if scale is None else size_at(scale, picture.size)
    device, kernel = options.computing()[0], kept_by(options.links(model))
    seeds = (options.seed,)
    for progress in together(model, (picture,), options, seeds, mask, watched=watched, showing=showing):
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
    showing: Showing = show,
) -> Iterator[Progress[Pictures]]:
    """`restored` for pictures of one size and as many channels, in one batch; a seed for each.

    Each stage is given what the one before has made, as a picture of the depth of the first.  So what each of
    them promises of its input, the last one's result keeps of the first one's.
    """
    links, before = options.links(model), 0
    pictures = tuple(with_span(model.span, picture) for picture in pictures)
    total = sum(link.steps for link in links)
    for number, link in enumerate(links):
        noises, hidden = [seed_of(seed, number) for seed in seeds], None if number else mask
        for progress in by_stage(link, pictures, options, noises, hidden, watched, showing):
            yield Progress(before + progress.done, total, progress.image)
        pictures, before = progress.image, before + progress.total


def by_stage(
    link: Link,
    pictures: Pictures,
    options: Options,
    seeds: Sequence[int],
    mask: Hidden | None,
    watched: bool,
    showing: Showing,
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
    steps = showing(link, given, autocast).refined(noise)

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
