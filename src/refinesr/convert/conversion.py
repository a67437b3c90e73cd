"""What the readers of all layouts share: what is asked, what is made, what is settled in the same way."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from refinesr.convert.configs import Config
from refinesr.convert.selection import Found
from refinesr.convert.tables import fits, table_of
from refinesr.convert.trial import best
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Even, Schedule, sigmas
from refinesr.errors import CheckpointError, ConfigError
from refinesr.method import Method, Sampling
from refinesr.nets.adm_unet import ADMUNet
from refinesr.nets.sr3_unet import SR3UNet
from refinesr.tiles import largest_core


@dataclass(frozen=True)
class Asked:
    """What a checkpoint does not tell; None where nothing was said."""

    config: Config
    scale: int | None
    groups: int | None
    head_channels: int | None

    def unused(self, *names: str) -> None:
        """Raises ConfigError for what means nothing to the network at hand."""
        for name in names:
            if getattr(self, name) is not None:
                option = name.replace("_", "-")
                raise ConfigError(f"--{option}: this network has nothing that it would change")


@dataclass(frozen=True)
class Made:
    """`assumed` says in words what neither the file nor the user told."""

    method: Method
    summary: str
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Untold:
    """A field of a network that leaves no trace in its weights.

    given      what the user or the configuration says
    published  what the public configuration of a network of these sizes says
    possible   what it can be, if it is to be found by trial
    """

    field: str
    words: str
    given: int | None
    published: int | None
    option: str
    possible: tuple[int, ...] = ()

    def settle(self, found: Found, row: Method) -> tuple[Method, tuple[str, ...]]:
        """The method with it, and what was assumed.  Raises CheckpointError if it is not to be known."""
        if self.given is not None:
            with naming(found.path):
                return self.put(row, self.given), ()
        if self.published is not None:
            assumed = f"{self.published} {self.words}, as in the public configuration of these sizes"
            return self.put(row, self.published), (assumed,)
        side = getattr(row.network, "size", 0)
        tried = best(found, [self.put(row, value) for value in self.possible], side)
        if tried is None:
            hint = f"leave no trace in the weights; give --config, or {self.option}"
            raise CheckpointError(f"{found.path}: its {self.words} {hint}")
        value = getattr(tried.network, self.field)
        return tried, (f"{value} {self.words}, for with others it finds the noise less well",)

    def put(self, row: Method, value: int) -> Method:
        fields: dict[str, Any] = {self.field: value}
        return replace(row, network=replace(row.network, **fields))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Names the file where a value refuses what was read from it."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def tables(found: Found, config: Config, trained: str, sampled: str) -> tuple[Schedule, Schedule]:
    """The tables of training and of sampling, by the names of their settings; what is stored is one of them.

    Raises CheckpointError if no table is to be had, ConfigError if the file holds another one.
    """
    named = {name: table for name in (trained, sampled) if (table := config.table(name)) is not None}
    for name, table in named.items():
        try:
            sigmas(table)
        except ConfigError as error:
            raise config.error(name, str(error)) from None
    if not named:
        stored = stored_table(found)
        return stored, stored
    if found.buffers and not any(fits(table, found.buffers) for table in named.values()):
        raise config.error(next(iter(named)), f"is not the noise table in {found.path.name}")
    first, *_ = named.values()
    return named.get(trained, first), named.get(sampled, first)


def stored_table(found: Found) -> Schedule:
    if not found.buffers:
        hint = "give --config, which says its beta_schedule"
        raise CheckpointError(f"{found.path}: there is no noise table in it; {hint}")
    table = table_of(found.buffers)
    if table is None:
        rows = next(iter(found.buffers.values())).numel()
        hint = "linear, quad, warmup10, warmup50, const, jsd, cosine"
        raise CheckpointError(f"{found.path}: its noise table of {rows} rows is none of {hint}")
    return table


def as_published(table: Schedule) -> Sampling:
    """Every row of the table, the posterior's variance, x0 clipped, nothing projected."""
    return Sampling(Ancestral(1.0), Even(table), table.rows, clip=True)


def tile_of(network: ADMUNet | SR3UNet, size: int, scale: int) -> int:
    """So that what is shown at once is no larger than in training; of what is made from nothing, its size."""
    if not network.image_channels:
        return size
    return largest_core(size // scale, network.stride // math.gcd(network.stride, scale))


def scale_of(config: Config, name: str, asked: int | None) -> int:
    """`r_resolution` over `l_resolution`, unless a scale is asked for; 1 if neither is said.

    Raises ConfigError.
    """
    if asked is not None:
        if asked < 1:
            raise ConfigError(f"--scale: {asked} is not positive")
        return asked
    if config.get(f"{name}.r_resolution") is None or config.get(f"{name}.l_resolution") is None:
        return 1
    low, high = config.whole(f"{name}.l_resolution"), config.whole(f"{name}.r_resolution")
    if high % low:
        raise config.error(
            f"{name}.r_resolution", f"{high} is no multiple of l_resolution {low}; give --scale"
        )
    return high // low
