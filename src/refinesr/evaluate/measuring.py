"""Numbers of a single picture: what is measured, and by which convention."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from refinesr.evaluate.aims import Aim, Higher, Lower, Near, Neither
from refinesr.evaluate.depths import EIGHT_BITS, PEAKS, by_band, unit
from refinesr.evaluate.pairs import Shown
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
    """A picture and what a method has made of its poor one; all in [0, 1] and float64.

    `results` (S, C, H, W) are samples; what is not about all of them is measured on the first.  `peak` is
    what 1 was in the files: 255 of 8 bits, 65535 of 16 bits, 1 of floats; a `span` says otherwise.
    """

    name: str
    high: Tensor
    low: Tensor
    results: Tensor
    peak: float = 255.0
    span: Span | None = None

    @staticmethod
    def of(shown: Shown, results: Sequence[Tensor]) -> "Case":
        """Of images in their files' type."""
        span = shown.depth.span
        high, low, samples = (unit(x, span) for x in (shown.high, shown.low, torch.cat(list(results))))
        return Case(shown.name, high, low, samples, PEAKS[shown.high.dtype], span)

    def band(self, number: int) -> "Case":
        """The same of one band alone, counted from 0."""
        high, low, results = (x[:, number : number + 1] for x in (self.high, self.low, self.results))
        span = self.span if self.span is None else self.span.of_band(number)
        return Case(self.name, high, low, results, self.peak, span)

    @property
    def error(self) -> Tensor:
        """Result - original in the files' units: whole numbers exactly, (1, C, H, W)."""
        values = self.peak * (self.result - self.high)
        if self.span is not None:
            values = by_band(self.span.width) * (self.result - self.high)
        return values if self.peak == 1 else values.round()

    @property
    def result(self) -> Tensor:
        return self.results[:1]

    @property
    def colours(self) -> tuple[Tensor, Tensor]:
        """(high, result) as RGB, float32: what networks are shown."""
        high, result = (images.float().expand(-1, 3, -1, -1) for images in (self.high, self.result))
        return high, result


@dataclass(frozen=True)
class Metric:
    """`measure` gives None where there is nothing to measure, as of one sample's spread."""

    key: str
    title: str
    better: Aim
    convention: str
    unit: str
    measure: Callable[[Case], float | None]
    band: int | None = None
    """Which it is of, from 1; None: of all."""


Channels = Callable[[Tensor], Tensor]


def rgb(images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    return images


def y(images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 1 H W"]:
    """MATLAB's Y, of grey pictures, too."""
    return luma(images.expand(-1, 3, -1, -1))


WORDS: dict[Channels, str] = {rgb: "all channels of RGB", y: "MATLAB's Y, not rounded"}


@dataclass(frozen=True)
class Psnr:
    """inf for equal pictures."""

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
        """inf for a result that becomes the poor picture exactly."""
        decibels = lr_psnr_eight_bits(case.low, case.result, self.kernel).item()
        return decibels if decibels < 200 else math.inf


@dataclass(frozen=True)
class Consistency:
    kernel: Kernel

    def __call__(self, case: Case) -> float:
        return consistency(case.low, case.result, self.kernel).item()


@dataclass(frozen=True, eq=False)
class Distance:
    """By a network of (high, result) in RGB, which needs `least` pixels a side."""

    network: Callable[[Tensor, Tensor], Tensor]
    least: int = 1

    def __call__(self, case: Case) -> float:
        if min(case.high.shape[-2:]) < self.least:
            raise ValueError(f"{self.least} pixels a side are needed")
        return float(self.network(*case.colours))


@dataclass(frozen=True, eq=False)
class Alone:
    """By a judge of the result alone; None of what it cannot judge, for it is too small or flat."""

    judge: Callable[[Tensor], Tensor]

    def __call__(self, case: Case) -> float | None:
        try:
            value = float(self.judge(case.result))
        except ValueError:
            return None
        return None if math.isnan(value) else value


def deviation(case: Case) -> float | None:
    if len(case.results) < 2:
        return None
    if case.span is not None:
        return pixel_deviation(by_band(case.span.width) * case.results) / 255
    return case.peak / 255 * pixel_deviation(case.results)


def fair_crps(case: Case) -> float | None:
    if len(case.results) < 2:
        return None
    if case.span is not None:
        samples, high = (by_band(case.span.width) * x for x in (case.results, case.high))
        return crps(samples[:, None], high).item()
    return case.peak * crps(case.results[:, None], case.high).item()


@dataclass(frozen=True)
class Coverage:
    level: float

    def __call__(self, case: Case) -> float | None:
        if len(case.results) < 2:
            return None
        return coverage(case.results[:, None], case.high, self.level).item()


def psnr_of(channels: Channels = rgb, border: int = 0) -> Metric:
    name, where = ("_y", "PSNR-Y") if channels is y else ("", "PSNR")
    convention = f"of {WORDS[channels]}, {cut(border)}; the mean of pictures' decibels"
    return Metric(f"psnr{name}", where, Higher(), convention, "dB", Psnr(channels, border))


def ssim_of(channels: Channels = rgb, border: int = 0, window: Window = GAUSSIAN) -> Metric:
    name, title = ("_y", "SSIM-Y") if channels is y else ("", "SSIM")
    shape = (
        "7 x 7 uniform (scikit-image's default)" if isinstance(window, UniformWindow) else "11 x 11 Gaussian"
    )
    convention = f"of {WORDS[channels]}, window {shape}, {cut(border)}"
    return Metric(f"ssim{name}", title, Higher(), convention, "", Ssim(channels, border, window))


def lr_psnr_of(kernel: Kernel) -> Metric:
    convention = (
        f"the result reduced by {KERNELS[type(kernel)]} in 8 bits against the poor picture, all channels"
    )
    return Metric("lr_psnr", "LR-PSNR", Higher(), convention, "dB", LrPsnr(kernel))


def consistency_of(kernel: Kernel) -> Metric:
    convention = f"MSE in [0, 1] between the result reduced by {KERNELS[type(kernel)]} and the poor picture"
    return Metric("consistency", "Consistency", Lower(), convention, "1e-5", Consistency(kernel))


def spread_of(samples: int, units: str = EIGHT_BITS.units) -> tuple[Metric, ...]:
    """What several samples of a picture tell; intervals that so many of them reach.  `units`: of values."""
    if samples < 2:
        return ()
    over = f"over {samples} samples"
    sigma = Metric("sigma", "σ", Neither(), f"standard deviation {over}, in {units}", "", deviation)
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


def cut(border: int) -> str:
    return f"{border} pixels of border cut" if border else "no border cut"
