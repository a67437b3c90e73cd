"""Pictures from nothing: what `refinesr generate` does."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from refinesr.cascade import Cascade, Link
from refinesr.chains import with_steps_and_guidance
from refinesr.config import to_data
from refinesr.devices import autocast_dtype, device_named, move_to
from refinesr.diffusion.noise import NoiseField
from refinesr.errors import CheckpointError, ConfigError
from refinesr.images.picture import Picture, from_tensor
from refinesr.model import with_plane
from refinesr.shapes import Images, LowWithPlanes
from refinesr.sources import Labelled
from refinesr.stage import Progress


def with_options(
    cascade: Cascade,
    *,
    steps: tuple[int, ...] | None = None,
    guidance: float | None = None,
    size: tuple[int, int] | None = None,
) -> Cascade:
    """The cascade with other steps, one number a stage, guidance of its first stage, and size.

    Raises ConfigError for what it cannot do, and for one of measured values.
    """
    if cascade.span is not None:
        raise ConfigError(
            f"model: has a method.span, {cascade.span}, and generated pictures are of 8 bits without a unit"
        )
    count = len(cascade.links)
    if steps is not None and len(steps) != count:
        raise ConfigError(f"steps: {len(steps)} numbers for {count} stages; one each is needed")
    links = []
    for number, link in enumerate(cascade.links):
        own = with_steps_and_guidance(
            link.effective_sampling,
            None if steps is None else steps[number],
            guidance if number == 0 else None,
        )
        links.append(replace(link, sampling=own))
    return Cascade(tuple(links), size or cascade.size)


def generate_images(
    cascade: Cascade,
    indexes: Sequence[int],
    *,
    label: int | None = None,
    seed: int = 0,
    device: str | None = None,
    precision: str = "auto",
) -> Iterator[Progress[Tensor]]:
    """Make the images of these indexes, at once; a `Progress` after each step, as a cascade yields it.

    They stay on the device; `pictures` makes pictures of them, best of the last ones alone.

    A picture depends on the seed and its index alone, whatever is made beside it; so do its class, drawn
    evenly, if the cascade has classes and none is given.  See `picture_seeds` for how.  The models are moved
    to the device and stay there; with None each computes where its weights are.  A precision of 'auto' is
    bf16 if all these devices multiply in it.  Raises ConfigError.
    """
    low = blank_input(cascade, choose_classes(cascade, indexes, label, seed))
    dtypes = set()
    for link in cascade.links:
        place = link.stage.device if device is None else device_named(device)
        dtypes.add(autocast_dtype(precision, place))
        move_to(link.stage.model, place)
    autocast = None if None in dtypes else dtypes.pop()
    noise = NoiseField(tuple(picture_seeds(seed, index)[0] for index in indexes))
    yield from cascade(low, noise, autocast=autocast)


def picture_seeds(seed: int, index: int) -> tuple[int, int]:
    """Two numbers below 2**64 for a picture: the seed of its noise, and one to choose a class by.

    NumPy's SeedSequence mixes both into one state of 128 bits: neighbouring seeds and indexes have nothing in
    common, and (seed 1, index 0) is not (seed 0, index 1).
    """
    first, second = np.random.SeedSequence(seed, spawn_key=(index,)).generate_state(2, np.uint64).tolist()
    return first, second


def choose_classes(
    cascade: Cascade, indexes: Sequence[int], label: int | None, seed: int
) -> list[int | None]:
    """The class of each picture, from 0; None where there are none.  Raises ConfigError for no such class."""
    source = cascade.links[0].stage.method.source
    if not cascade.links[0].generates:
        raise ConfigError("model: takes pictures and enlarges them; `refinesr upscale` is for it")
    if not isinstance(source, Labelled):
        if label is not None:
            raise ConfigError(f"class: {label}, but the model knows no classes; leave it out")
        return [None for _ in indexes]
    if label is not None and not 0 <= label < source.count:
        raise ConfigError(f"class: {label} is not one of the model's, 0 to {source.count - 1}")
    return [picture_seeds(seed, index)[1] % source.count if label is None else label for index in indexes]


def blank_input(cascade: Cascade, labels: Sequence[int | None]) -> LowWithPlanes:
    """A blank low for each picture, with the plane of its class if there is one."""
    low = torch.zeros(len(labels), cascade.channels, *input_size(cascade))
    known = [label for label in labels if label is not None]
    return with_plane(low, torch.tensor(known, dtype=low.dtype)) if known else low


def input_size(cascade: Cascade) -> tuple[int, int]:
    """(height, width) of low: asked for, or what the first model was trained at."""
    tile = cascade.links[0].stage.method.tile
    if cascade.size is None and tile == 0:
        hint = "give --size, or a size in cascade.json"
        raise ConfigError(f"size: the first model does not say at what size it was trained; {hint}")
    return cascade.size or (tile, tile)


def pictures(image: Images) -> tuple[Picture, ...]:
    """One of each, simply rounded to 8 bits.  Raises CheckpointError if the model has made NaN of them."""
    if not bool(image.isfinite().all()):
        raise CheckpointError("the model makes NaN or infinity; try --precision fp32")
    blank = Picture(np.zeros((1, 1, 1), np.uint8))
    return tuple(from_tensor(one[None].cpu(), like=blank) for one in image)


def settings(cascade: Cascade, *, label: int | None, seed: int, precision: str) -> dict[str, Any]:
    """All that pictures depend on, as plain data.  `precision` is what networks run in, no longer 'auto'."""
    size = input_size(cascade)
    shared = {"format": "refinesr-generate-1", "seed": seed, "class": label, "size": list(size)}
    return {**shared, "precision": precision, "stages": [link_facts(link) for link in cascade.links]}


def link_facts(link: Link) -> dict[str, Any]:
    """Which model, and how it samples."""
    checksum = 0
    for tensor in link.stage.model.state_dict().values():
        checksum = zlib.crc32(
            tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy(), checksum
        )
    return {
        "model": link.stage.card.name,
        "weights": f"{checksum:08x}",
        "sampling": to_data(link.effective_sampling),
        "tile": link.tile,
        "level": link.level,
    }
