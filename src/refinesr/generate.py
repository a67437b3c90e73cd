"""Generating pictures from noise by a cascade: what `refinesr generate` does."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from refinesr.cascade import Cascade, Link
from refinesr.cascade_files import with_steps_and_guidance
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
    """The cascade with other steps, one number for each stage, guidance of the first stage, and size.

    Raises ConfigError for what does not fit it, and for cascades whose values have units.
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
    """Generate the images of these indexes as one batch; yields a `Progress` after each step of the cascade.

    Images stay on the device; `pictures` converts the last ones to pictures.

    A picture depends on the seed and its index alone, not on the batch; so does its class, drawn uniformly,
    if the cascade has classes and none is given.  See `picture_seeds` for how.  The models are moved to the
    device and stay there; with None each computes where its weights are.  A precision of 'auto' is bf16 if
    all these devices multiply in it.  Raises ConfigError.
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
    """Two numbers below 2**64 for a picture: the seed of its noise, and one to choose its class by.

    NumPy's SeedSequence mixes seed and index into a state of 128 bits, so neighbouring ones are unrelated and
    (seed 1, index 0) is not (seed 0, index 1).
    """
    first, second = np.random.SeedSequence(seed, spawn_key=(index,)).generate_state(2, np.uint64).tolist()
    return first, second


def choose_classes(
    cascade: Cascade, indexes: Sequence[int], label: int | None, seed: int
) -> list[int | None]:
    """The class of each picture, from 0; None for models without classes.

    Raises ConfigError for a class that the model lacks.
    """
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
    """A low image of zeros for each picture, with the plane of its class if there is one."""
    low = torch.zeros(len(labels), cascade.channels, *input_size(cascade))
    known = [label for label in labels if label is not None]
    return with_plane(low, torch.tensor(known, dtype=low.dtype)) if known else low


def input_size(cascade: Cascade) -> tuple[int, int]:
    """(height, width) of the first stage's low: the cascade's size, or that of the first model's training."""
    tile = cascade.links[0].stage.method.tile
    if cascade.size is None and tile == 0:
        hint = "give --size, or a size in cascade.json"
        raise ConfigError(f"size: the first model does not say at what size it was trained; {hint}")
    return cascade.size or (tile, tile)


def pictures(image: Images) -> tuple[Picture, ...]:
    """The images rounded to 8 bits.  Raises CheckpointError for values that are not finite."""
    if not bool(image.isfinite().all()):
        raise CheckpointError("the model makes NaN or infinity; try --precision fp32")
    blank = Picture(np.zeros((1, 1, 1), np.uint8))
    return tuple(from_tensor(one[None].cpu(), like=blank) for one in image)


def settings(cascade: Cascade, *, label: int | None, seed: int, precision: str) -> dict[str, Any]:
    """All that generated pictures depend on, as plain data; `precision` is 'fp32' or 'bf16', not 'auto'."""
    size = input_size(cascade)
    shared = {"format": "refinesr-generate-1", "seed": seed, "class": label, "size": list(size)}
    return {**shared, "precision": precision, "stages": [link_facts(link) for link in cascade.links]}


def link_facts(link: Link) -> dict[str, Any]:
    """Facts of a link as plain data: its model, a checksum of the weights, and how it samples."""
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
