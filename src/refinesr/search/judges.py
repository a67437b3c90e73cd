"""What a grid is judged by: distances of results from pictures, or of their sets.

A judge first measures each image, once and for all, and then says what the measured rows come to: a score,
and `parts` whose mean is that score and whose spread says how sure it is.  Parts of two grids judged on the
same images, from the same noise, are compared one by one.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from refinesr.errors import ConfigError
from refinesr.held_out import HeldOut
from refinesr.method import Method
from refinesr.metrics.perceptual import Perceptual
from refinesr.metrics.pixel import CEILING, psnr
from refinesr.metrics.sets import Features, Normal
from refinesr.shapes import Images

Rows = Float[Tensor, "B K"]
Measured = Float[Tensor, "n K"]
Parts = Float[Tensor, " P"]

SMALLEST = 32
"""Pixels a side that the perceptual distance needs."""

GROUPS = 10
"""Of images, left out in turn: how sure a distance of sets is."""


@runtime_checkable
class Judge(Protocol):
    """Whether `higher` scores are better; and the `least` number of images a score means anything for."""

    @property
    def title(self) -> str: ...
    @property
    def higher(self) -> bool: ...
    @property
    def least(self) -> int: ...

    def measure(self, high: Images, result: Images) -> Rows:
        """One row for each image; float64 on the CPU.  Both in [0, 1], the result in the levels of 8 bits."""
        ...

    def verdict(self, rows: Measured) -> tuple[float, Parts]:
        """The score of the images measured, and its parts."""
        ...


@dataclass(frozen=True)
class Psnr:
    """Over all channels, no border cut, averaged over the images in dB; equal images count as 100 dB."""

    title: ClassVar[str] = "PSNR"
    higher: ClassVar[bool] = True
    least: ClassVar[int] = 4

    def measure(self, high: Images, result: Images) -> Rows:
        return psnr(high.cpu(), result.cpu()).clamp(max=CEILING)[:, None]  # MPS has no float64

    def verdict(self, rows: Measured) -> tuple[float, Parts]:
        return float(rows.mean()), rows[:, 0]


@dataclass(frozen=True, eq=False)
class Distance:
    """The perceptual distance of result and picture, averaged over the images."""

    perceptual: Perceptual

    title: ClassVar[str] = "LPIPS-like"
    higher: ClassVar[bool] = False
    least: ClassVar[int] = 4

    def measure(self, high: Images, result: Images) -> Rows:
        both = (images.expand(-1, 3, -1, -1) for images in (high, result))
        return self.perceptual(*both)[:, None].cpu().double()

    def verdict(self, rows: Measured) -> tuple[float, Parts]:
        return float(rows.mean()), rows[:, 0]


@dataclass(frozen=True, eq=False)
class FrechetDistance:
    """Of the features of the results from `real`, those of all held-out pictures.

    Its parts are the pseudo-values of the jackknife over ten groups of images: m d - (m - 1) d_k, where d_k
    is the distance without group k.  Their mean is the distance with its bias of order 1/n taken off, the
    score is the plain distance, as everybody gives it.
    """

    features: Features
    real: Normal

    title: ClassVar[str] = "FID"
    higher: ClassVar[bool] = False
    least: ClassVar[int] = 32

    @staticmethod
    def of(features: Features, held: HeldOut, batch: int = 8) -> "FrechetDistance":
        rows = [features((images + 1) / 2) for images in torch.split(held.high, batch)]
        return FrechetDistance(features, Normal.fitted(torch.cat(rows)))

    def measure(self, high: Images, result: Images) -> Rows:
        return self.features(result)

    def verdict(self, rows: Measured) -> tuple[float, Parts]:
        many = min(GROUPS, len(rows))
        if not bool(rows.isfinite().all()):
            return math.nan, rows.new_full((many,), math.nan)
        whole, group = self.distance(rows), torch.arange(len(rows)) % many
        without = [self.distance(rows[group != k]) for k in range(many)]
        return whole, many * whole - (many - 1) * rows.new_tensor(without)

    def distance(self, rows: Measured) -> float:
        return Normal.fitted(rows).distance(self.real)


def check(judge: Judge, method: Method, held: HeldOut) -> None:
    """Raises ConfigError where the judge cannot judge what the model makes."""
    title, side, channels = judge.title, min(held.high.shape[-2:]), method.channels
    of_sets = isinstance(judge, FrechetDistance)
    least = 3 if of_sets else 2
    if not of_sets and not {"image_channels", "features"} & method.source.doors(channels).keys():
        raise ConfigError(f"metric: {title} compares with a picture that the model is not shown; use fid")
    if channels not in (1, 3) and not isinstance(judge, Psnr):
        raise ConfigError(f"metric: {title} is of grey or RGB, the model has {channels} channels; use psnr")
    if side < SMALLEST and isinstance(judge, Distance):
        raise ConfigError(f"size: {title} needs crops of {SMALLEST} pixels a side; these have {side}")
    if len(held) < least:
        raise ConfigError(f"data: {len(held)} are too few pictures for {title}, at least {least}")
