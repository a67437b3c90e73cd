"""Metrics that a search maximises or minimises, of single images or of sets of images.

A metric first measures each image, once, as a row of numbers.  Any number of rows then give a score, and
`parts`: values whose mean estimates the score and whose spread gives its standard error.  The parts of two
grids that are evaluated on the same images, from the same noise, are compared in pairs.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from refinesr.errors import ConfigError
from refinesr.held_out import HeldOutSet
from refinesr.method import Method
from refinesr.metrics.perceptual import Perceptual
from refinesr.metrics.pixel import CEILING, psnr
from refinesr.metrics.sets import Features, Normal
from refinesr.shapes import Images

Rows = Float[Tensor, "B K"]
AllRows = Float[Tensor, "n K"]
Parts = Float[Tensor, " P"]

SMALLEST = 32
"""Pixels a side that the perceptual distance needs."""

GROUPS = 10
"""Groups of images for the jackknife."""


@runtime_checkable
class Metric(Protocol):
    """A metric; scores of fewer than `min_images` images are not meaningful."""

    @property
    def title(self) -> str: ...
    @property
    def higher_is_better(self) -> bool: ...
    @property
    def min_images(self) -> int: ...

    def measure(self, high: Images, result: Images) -> Rows:
        """One row for each image, float64 on the CPU.

        high and result are in [0, 1], result rounded to 8 bits.
        """
        ...

    def score(self, rows: AllRows) -> tuple[float, Parts]:
        """The score of the measured images, and its parts."""
        ...


@dataclass(frozen=True)
class Psnr:
    """Mean PSNR in dB, over all channels, without cutting borders; equal images count as 100 dB."""

    title: ClassVar[str] = "PSNR"
    higher_is_better: ClassVar[bool] = True
    min_images: ClassVar[int] = 4

    def measure(self, high: Images, result: Images) -> Rows:
        return psnr(high.cpu(), result.cpu()).clamp(max=CEILING)[:, None]  # MPS has no float64

    def score(self, rows: AllRows) -> tuple[float, Parts]:
        return float(rows.mean()), rows[:, 0]


@dataclass(frozen=True, eq=False)
class Distance:
    """Mean perceptual distance between result and high-resolution image."""

    perceptual: Perceptual

    title: ClassVar[str] = "LPIPS-like"
    higher_is_better: ClassVar[bool] = False
    min_images: ClassVar[int] = 4

    def measure(self, high: Images, result: Images) -> Rows:
        both = (images.expand(-1, 3, -1, -1) for images in (high, result))
        return self.perceptual(*both)[:, None].cpu().double()

    def score(self, rows: AllRows) -> tuple[float, Parts]:
        return float(rows.mean()), rows[:, 0]


@dataclass(frozen=True, eq=False)
class FrechetDistance:
    """Fréchet distance of the results' features to `real`, the features of all held-out pictures (FID).

    The score is the plain distance, as papers report it.  The parts are the jackknife's pseudo-values over
    m = 10 groups of images, m d - (m - 1) d_k, where d_k is the distance without group k.  Their mean is the
    distance without its bias of order 1/n.
    """

    features: Features
    real: Normal

    title: ClassVar[str] = "FID"
    higher_is_better: ClassVar[bool] = False
    min_images: ClassVar[int] = 32

    @staticmethod
    def of(features: Features, held_out: HeldOutSet, batch: int = 8) -> "FrechetDistance":
        rows = [features((images + 1) / 2) for images in torch.split(held_out.high, batch)]
        return FrechetDistance(features, Normal.fitted(torch.cat(rows)))

    def measure(self, high: Images, result: Images) -> Rows:
        return self.features(result)

    def score(self, rows: AllRows) -> tuple[float, Parts]:
        groups = min(GROUPS, len(rows))
        if not bool(rows.isfinite().all()):
            return math.nan, rows.new_full((groups,), math.nan)
        distance, group = self.distance(rows), torch.arange(len(rows)) % groups
        without = [self.distance(rows[group != k]) for k in range(groups)]
        return distance, groups * distance - (groups - 1) * rows.new_tensor(without)

    def distance(self, rows: AllRows) -> float:
        return Normal.fitted(rows).distance(self.real)


def check_metric(metric: Metric, method: Method, held_out: HeldOutSet) -> None:
    """Raise ConfigError if the metric does not suit the method or the pictures."""
    title, side, channels = metric.title, min(held_out.high.shape[-2:]), method.channels
    of_sets = isinstance(metric, FrechetDistance)
    least = 3 if of_sets else 2
    if not of_sets and not {"image_channels", "features"} & method.source.input_channels(channels).keys():
        raise ConfigError(f"metric: {title} compares with a picture that the model is not shown; use fid")
    if channels not in (1, 3) and not isinstance(metric, Psnr):
        raise ConfigError(f"metric: {title} is of grey or RGB, the model has {channels} channels; use psnr")
    if side < SMALLEST and isinstance(metric, Distance):
        raise ConfigError(f"size: {title} needs crops of {SMALLEST} pixels a side; these have {side}")
    if len(held_out) < least:
        raise ConfigError(f"data: {len(held_out)} are too few pictures for {title}, at least {least}")
