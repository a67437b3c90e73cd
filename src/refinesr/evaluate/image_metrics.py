"""Metrics of single images, with the conventions they are measured by."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from refinesr.evaluate.aims import Aim, Higher, Lower, Near, Neither
from refinesr.evaluate.depths import EIGHT_BITS, PEAKS, per_band, to_unit_range
from refinesr.evaluate.pairs import LoadedPair
from refinesr.images.resize import Kernel, MatlabBicubic, PillowBicubic
from refinesr.images.span import Span
from refinesr.metrics.diversity import pixel_deviation
from refinesr.metrics.ensemble import coverage, crps
from refinesr.metrics.fidelity import consistency, lr_psnr_eight_bits
from refinesr.metrics.pixel import luma, psnr
from refinesr.metrics.structure import GAUSSIAN, UniformWindow, Window, ssim

KERNELS = {MatlabBicubic: "MATLAB's bicubic", PillowBicubic: "Pillow's bicubic"}


@dataclass(frozen=True, eq=False)
class Case:
    """An image with a method's results, all float64 in [0, 1].

    `results` (S, C, H, W) are samples; metrics of a single result use the first.  `peak` is the value in the
    files that 1 stands for: 255 for 8 bits, 65535 for 16 bits, 1 for floats; unused if there is a `span`.
    """

    name: str
    high: Tensor
    low: Tensor
    results: Tensor
    peak: float = 255.0
    span: Span | None = None

    @staticmethod
    def of(shown: LoadedPair, results: Sequence[Tensor]) -> "Case":
        """From a pair and results in the files' type."""
        span = shown.depth.span
        high, low, samples = (
            to_unit_range(x, span) for x in (shown.high, shown.low, torch.cat(list(results)))
        )
        return Case(shown.name, high, low, samples, PEAKS[shown.high.dtype], span)

    def band(self, number: int) -> "Case":
        """The case of a single band, counted from 0."""
        high, low, results = (x[:, number : number + 1] for x in (self.high, self.low, self.results))
        span = self.span if self.span is None else self.span.of_band(number)
        return Case(self.name, high, low, results, self.peak, span)

    @property
    def error(self) -> Tensor:
        """Result - original in the files' units, (1, C, H, W); exact for integer types."""
        values = self.peak * (self.result - self.high)
        if self.span is not None:
            values = per_band(self.span.width) * (self.result - self.high)
        return values if self.peak == 1 else values.round()

    @property
    def result(self) -> Tensor:
        return self.results[:1]

    @property
    def rgb_images(self) -> tuple[Tensor, Tensor]:
        """(high, result) as float32 RGB, the input of networks."""
        high, result = (images.float().expand(-1, 3, -1, -1) for images in (self.high, self.result))
        return high, result


@dataclass(frozen=True)
class Metric:
    """A metric of single images.  `measure` returns None if it is undefined, as the spread of one sample."""

    key: str
    title: str
    better: Aim
    convention: str
    unit: str
    measure: Callable[[Case], float | None]
    band: int | None = None
    """Number of the only band measured, from 1; None: all bands."""


Channels = Callable[[Tensor], Tensor]


def rgb(images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    return images


def y(images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 1 H W"]:
    """MATLAB's Y channel of RGB or grey images."""
    return luma(images.expand(-1, 3, -1, -1))


CHANNEL_NAMES: dict[Channels, str] = {rgb: "all channels of RGB", y: "MATLAB's Y, not rounded"}


@dataclass(frozen=True)
class Psnr:
    """PSNR in dB; inf for equal images."""

    channels: Channels = rgb
    border: int = 0

    def __call__(self, case: Case) -> float:
        return psnr(self.channels(case.high), self.channels(case.result), border=self.border).item()


@dataclass(frozen=True)
class Ssim:
    channels: Channels = rgb
    border: int = 0
    window: Window = GAUSSIAN

    def __call__(self, case: Case) -> float:
        one, other = self.channels(case.high), self.channels(case.result)
        return ssim(one, other, border=self.border, window=self.window).item()


@dataclass(frozen=True)
class LrPsnr:
    kernel: Kernel

    def __call__(self, case: Case) -> float:
        """inf if the downsampled result equals the low-resolution image."""
        decibels = lr_psnr_eight_bits(case.low, case.result, self.kernel).item()
        return decibels if decibels < 200 else math.inf


@dataclass(frozen=True)
class Consistency:
    kernel: Kernel

    def __call__(self, case: Case) -> float:
        return consistency(case.low, case.result, self.kernel).item()


@dataclass(frozen=True, eq=False)
class NetworkDistance:
    """A distance of (high, result) by a network of RGB, which needs at least `least` pixels a side."""

    network: Callable[[Tensor, Tensor], Tensor]
    least: int = 1

    def __call__(self, case: Case) -> float:
        if min(case.high.shape[-2:]) < self.least:
            raise ValueError(f"{self.least} pixels a side are needed")
        return float(self.network(*case.rgb_images))


@dataclass(frozen=True, eq=False)
class NoReference:
    """A no-reference metric of the result; None for images that are too small or too flat for it."""

    network: Callable[[Tensor], Tensor]

    def __call__(self, case: Case) -> float | None:
        try:
            value = float(self.network(case.result))
        except ValueError:
            return None
        return None if math.isnan(value) else value


def sample_deviation(case: Case) -> float | None:
    if len(case.results) < 2:
        return None
    if case.span is not None:
        return pixel_deviation(per_band(case.span.width) * case.results) / 255
    return case.peak / 255 * pixel_deviation(case.results)


def fair_crps(case: Case) -> float | None:
    if len(case.results) < 2:
        return None
    if case.span is not None:
        samples, high = (per_band(case.span.width) * x for x in (case.results, case.high))
        return crps(samples[:, None], high).item()
    return case.peak * crps(case.results[:, None], case.high).item()


@dataclass(frozen=True)
class Coverage:
    level: float

    def __call__(self, case: Case) -> float | None:
        if len(case.results) < 2:
            return None
        return coverage(case.results[:, None], case.high, self.level).item()


def psnr_metric(channels: Channels = rgb, border: int = 0) -> Metric:
    name, where = ("_y", "PSNR-Y") if channels is y else ("", "PSNR")
    convention = f"of {CHANNEL_NAMES[channels]}, {border_text(border)}; the mean of pictures' decibels"
    return Metric(f"psnr{name}", where, Higher(), convention, "dB", Psnr(channels, border))


def ssim_metric(channels: Channels = rgb, border: int = 0, window: Window = GAUSSIAN) -> Metric:
    name, title = ("_y", "SSIM-Y") if channels is y else ("", "SSIM")
    shape = (
        "7 x 7 uniform (scikit-image's default)" if isinstance(window, UniformWindow) else "11 x 11 Gaussian"
    )
    convention = f"of {CHANNEL_NAMES[channels]}, window {shape}, {border_text(border)}"
    return Metric(f"ssim{name}", title, Higher(), convention, "", Ssim(channels, border, window))


def lr_psnr_metric(kernel: Kernel) -> Metric:
    reduced = f"the result reduced by {KERNELS[type(kernel)]} in 8 bits"
    convention = f"{reduced} against the low-resolution image, all channels"
    return Metric("lr_psnr", "LR-PSNR", Higher(), convention, "dB", LrPsnr(kernel))


def consistency_metric(kernel: Kernel) -> Metric:
    reduced = f"the result reduced by {KERNELS[type(kernel)]}"
    convention = f"MSE in [0, 1] between {reduced} and the low-resolution image"
    return Metric("consistency", "Consistency", Lower(), convention, "1e-5", Consistency(kernel))


def sample_metrics(samples: int, units: str = EIGHT_BITS.unit_name) -> tuple[Metric, ...]:
    """Metrics of the distribution of several samples.

    Coverage is measured for the central intervals that this number of samples defines.  `units` names the
    unit of values, for conventions.
    """
    if samples < 2:
        return ()
    over = f"over {samples} samples"
    sigma = Metric("sigma", "σ", Neither(), f"standard deviation {over}, in {units}", "", sample_deviation)
    score = Metric("crps", "CRPS", Lower(), f"fair, {over}, in {units}", "", fair_crps)
    levels = [level for level in (0.5, 0.9) if samples >= (1 + level) / (1 - level) - 1e-9]
    convention = "share of values within the central interval of {level:.0%} " + over + "; ideal is {level:g}"
    shares = [
        Metric(
            f"coverage_{level:.0%}".rstrip("%"),
            f"in {level:.0%}",
            Near(level),
            convention.format(level=level),
            "",
            Coverage(level),
        )
        for level in levels
    ]
    return (sigma, score, *shares)


def border_text(border: int) -> str:
    return f"{border} pixels of border cut" if border else "no border cut"
