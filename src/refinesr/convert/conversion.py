"""What all conversions share: options, result, noise tables, fields that weights do not show."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from refinesr.convert.configs import Config
from refinesr.convert.selection import SourceWeights
from refinesr.convert.tables import fits, table_of
from refinesr.convert.trial import best_fit
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Even, Schedule, sigmas
from refinesr.errors import CheckpointError, ConfigError
from refinesr.method import Method, Sampling
from refinesr.nets.adm_unet import ADMUNet
from refinesr.nets.sr3_unet import SR3UNet
from refinesr.tiles import largest_core


@dataclass(frozen=True)
class ConvertOptions:
    """The user's options: what a checkpoint may not contain; None where not given."""

    config: Config
    scale: int | None
    groups: int | None
    head_channels: int | None

    def unused(self, *names: str) -> None:
        """Raises ConfigError for given options that the network does not have."""
        for name in names:
            if getattr(self, name) is not None:
                option = name.replace("_", "-")
                raise ConfigError(f"--{option}: this network has nothing that it would change")


@dataclass(frozen=True)
class Conversion:
    """The converted method; `assumed` lists in words what neither the file nor the user specified."""

    method: Method
    summary: str
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnrecordedField:
    """A field of a network that cannot be inferred from the shapes of its weights.

    given      the value of the user or the configuration, if any
    published  the value in the public configuration of a network of these sizes, if any
    possible   candidate values, to be tried on an image
    """

    field: str
    words: str
    given: int | None
    published: int | None
    option: str
    possible: tuple[int, ...] = ()

    def settle(self, source: SourceWeights, method: Method) -> tuple[Method, tuple[str, ...]]:
        """The method with this field set, and assumptions in words.  Raises CheckpointError if unknown."""
        if self.given is not None:
            with naming_file(source.path):
                return self.put(method, self.given), ()
        if self.published is not None:
            assumed = f"{self.published} {self.words}, as in the public configuration of these sizes"
            return self.put(method, self.published), (assumed,)
        side = getattr(method.network, "size", 0)
        tried = best_fit(source, [self.put(method, value) for value in self.possible], side)
        if tried is None:
            hint = f"leave no trace in the weights; give --config, or {self.option}"
            raise CheckpointError(f"{source.path}: its {self.words} {hint}")
        value = getattr(tried.network, self.field)
        return tried, (f"{value} {self.words}, for with others it finds the noise less well",)

    def put(self, method: Method, value: int) -> Method:
        fields: dict[str, Any] = {self.field: value}
        return replace(method, network=replace(method.network, **fields))


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Prefixes ConfigErrors, raised by values read from a file, with the file's name."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def noise_tables(
    source: SourceWeights, config: Config, trained: str, sampled: str
) -> tuple[Schedule, Schedule]:
    """The tables of training and sampling: of the settings with these names, else stored in the file.

    Raises CheckpointError if there is none, ConfigError if the file stores neither of the configured ones.
    """
    named = {name: table for name in (trained, sampled) if (table := config.noise_table(name)) is not None}
    for name, table in named.items():
        try:
            sigmas(table)
        except ConfigError as error:
            raise config.error(name, str(error)) from None
    if not named:
        stored = stored_table(source)
        return stored, stored
    if source.buffers and not any(fits(table, source.buffers) for table in named.values()):
        raise config.error(next(iter(named)), f"is not the noise table in {source.path.name}")
    first, *_ = named.values()
    return named.get(trained, first), named.get(sampled, first)


def stored_table(source: SourceWeights) -> Schedule:
    if not source.buffers:
        hint = "give --config, which says its beta_schedule"
        raise CheckpointError(f"{source.path}: there is no noise table in it; {hint}")
    table = table_of(source.buffers)
    if table is None:
        rows = next(iter(source.buffers.values())).numel()
        hint = "linear, quad, warmup10, warmup50, const, jsd, cosine"
        raise CheckpointError(f"{source.path}: its noise table of {rows} rows is none of {hint}")
    return table


def as_published(table: Schedule) -> Sampling:
    """The published sampling: every method of the table, posterior variance, x0 clipped, no projection."""
    return Sampling(Ancestral(1.0), Even(table), table.rows, clip=True)


def tile_of(network: ADMUNet | SR3UNet, size: int, scale: int) -> int:
    """The core of a tile such that the whole tile is no larger than in training; for generators, the size."""
    if not network.image_channels:
        return size
    return largest_core(size // scale, network.stride // math.gcd(network.stride, scale))


def scale_of(config: Config, name: str, given: int | None) -> int:
    """The scale given by the user, else `r_resolution` / `l_resolution` of the configuration, else 1.

    Raises ConfigError.
    """
    if given is not None:
        if given < 1:
            raise ConfigError(f"--scale: {given} is not positive")
        return given
    if config.get(f"{name}.r_resolution") is None or config.get(f"{name}.l_resolution") is None:
        return 1
    low, high = config.integer(f"{name}.l_resolution"), config.integer(f"{name}.r_resolution")
    if high % low:
        raise config.error(
            f"{name}.r_resolution", f"{high} is no multiple of l_resolution {low}; give --scale"
        )
    return high // low
