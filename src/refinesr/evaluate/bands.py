"""Metrics of the protocol `bands`: images of any number of bands and any type, also per band."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from refinesr.evaluate.aims import Higher, Lower, Near
from refinesr.evaluate.depths import AsStored
from refinesr.evaluate.image_metrics import Case, Consistency, Metric, Psnr, Ssim
from refinesr.images.resize import PillowBicubic
from refinesr.images.span import Span

DISPLAY = (
    "pages and compared crops show the first three bands as red, green and blue, of fewer the first as grey; "
    "their type's 0 to its largest value (floats: 0 to 1) as black to white, in 8 bits for the eye alone"
)

PEAK = "peak 255 of 8 bits, 65535 of 16 bits, 1 of floats; no border cut"

PEAK_OF_SPAN = "values are counted from the low end of the span, and peak is its width; no border cut"


def display_convention(span: Span | None) -> str:
    """How pages display bands; a span replaces the type's range."""
    ends = "their type's 0 to its largest value (floats: 0 to 1)"
    return DISPLAY if span is None else DISPLAY.replace(ends, "the span's ends")


def span_convention(span: Span) -> str:
    """The remark in reports on what a span applies to."""
    return f"PSNR, SSIM, consistency and pages are by the span {span}, in {AsStored.unit_name}"


def rmse(case: Case) -> float:
    """Root mean squared error in the files' units; 0 for equal images."""
    return case.error.square().mean().sqrt().item()


def bias(case: Case) -> float:
    """Mean of result - original in the files' units."""
    return case.error.mean().item()


@dataclass(frozen=True)
class SingleBand:
    """A metric of one band, counted from 0."""

    measure: Callable[[Case], float | None]
    band: int

    def __call__(self, case: Case) -> float | None:
        return self.measure(case.band(self.band))


def band_metrics(scale: int, span: Span | None = None) -> tuple[Metric, ...]:
    """The metrics of the protocol `bands` over all bands; a span defines which values are 0 and 1."""
    units, range = AsStored.unit_name, PEAK if span is None else PEAK_OF_SPAN
    ends = "[0, 1]" if span is None else "shares of the span"
    return (
        Metric("psnr", "PSNR", Higher(), f"of all bands, {range}; mean of pictures' decibels", "dB", Psnr()),
        Metric("ssim", "SSIM", Higher(), f"the mean of bands, window 11 x 11 Gaussian, {range}", "", Ssim()),
        Metric("rmse", "RMSE", Lower(), f"of all bands in {units}, no border cut", "", rmse),
        Metric("bias", "bias", Near(0.0), f"mean of result - original in {units}, no border cut", "", bias),
        Metric(
            "consistency",
            "Consistency",
            Lower(),
            f"MSE in {ends} between the result reduced by Pillow's bicubic, not rounded, and the "
            "low-resolution image",
            "1e-5",
            Consistency(PillowBicubic()),
        ),
    )


def with_single_bands(metrics: Sequence[Metric], bands: int) -> tuple[Metric, ...]:
    """The metrics and, unless images have 1 or 3 bands, each metric of each band: KEY.1 to KEY.N."""
    if bands in (1, 3):
        return tuple(metrics)
    return tuple(each for metric in metrics for each in (metric, *single_band_metrics(metric, bands)))


def single_band_metrics(metric: Metric, bands: int) -> list[Metric]:
    return [
        replace(
            metric,
            key=f"{metric.key}.{number}",
            title=f"{metric.title} of band {number}",
            convention=f"of band {number} alone, else as {metric.title}",
            measure=SingleBand(metric.measure, number - 1),
            band=number,
        )
        for number in range(1, bands + 1)
    ]
